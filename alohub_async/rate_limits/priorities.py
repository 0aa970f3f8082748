"""Which of the waiting requests goes first: three priorities, and the share that bulk work leaves to the others."""

from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

Priority: TypeAlias = Literal["interactive", "normal", "bulk"]
"""Which requests go first when several wait for the rate limit: `interactive` (a person waits), `normal`, or `bulk` (an
export; it leaves a share of each window to the others while they wait)."""

Rank: TypeAlias = tuple[float, int]
"""The lowest goes first."""

_SAVED_WINDOWS: Final = 3  # of the others' shares, at most: enough for requests at random times


class Waiter(Protocol):
    """A request that waits."""

    sequence: int  # over all routes; lower goes first
    priority: Priority
    arrived: float  # when it first waited, in seconds
    max_retry_after: float  # seconds

    @property
    def cancelled(self) -> bool:
        """Whether it has stopped waiting."""
        ...


WaiterT = TypeVar("WaiterT", bound=Waiter)


class PriorityPolicy(Generic[WaiterT]):
    """Chooses the next request among those that their buckets allow.

    - *Bulk and the others.* While both wait, bulk leaves a share of the requests to the others: each request that goes
      credits them with that share of a request, and for a credit of 1 one of them goes before bulk. Unused credit is
      saved, up to their share of three windows. So an occasional request goes at the next opening, many get their
      share, and bulk certainly gets the rest. Where only one kind waits, it goes.
    - *Interactive and normal.* An interactive request goes before normal ones that came less than a window before it.
    """

    def __init__(self, *, bulk_leaves: float, window: float) -> None:
        self._share = bulk_leaves
        self._window = window
        self._credit = 1.0  # requests, of the others

    def best(self, heads: list[WaiterT]) -> WaiterT:
        """The one that goes next, of at least one."""
        others = [head for head in heads if head.priority != "bulk"]
        if others and (self._credit >= 1.0 or len(others) == len(heads)):
            return min(others, key=self.rank)
        return min((head for head in heads if head.priority == "bulk"), key=self.rank)

    def record_grant(self, chosen: WaiterT, heads: list[WaiterT], *, limit: int | None) -> None:
        """Account for a request that goes, chosen from `heads`; `limit` is in requests per window."""
        contended = chosen.priority != "bulk" and any(head.priority == "bulk" for head in heads)
        credit = self._credit + self._share - (1.0 if contended else 0.0)
        self._credit = min(credit, max(1.0, _SAVED_WINDOWS * self._share * (limit or 0)))

    def rank(self, waiter: WaiterT) -> Rank:
        """Its place among those of its kind (bulk, or the others): the lowest goes first."""
        return waiter.arrived + (self._window if waiter.priority == "normal" else 0.0), waiter.sequence
