"""Which of the waiting requests goes first: three priorities, and a share that bulk work leaves to the others."""

from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

Priority: TypeAlias = Literal["interactive", "normal", "bulk"]
"""Who goes first where requests wait for the rate limit: `interactive` (a person waits), `normal`, or `bulk` (an
export, which leaves a share of each window to the others as long as they wait)."""

_KEPT: Final = 3  # windows' shares that others may save up: enough for those that come at random, one with another


class Waiter(Protocol):
    """A request in line."""

    place: int
    """Its place over all routes; lower goes first."""
    priority: Priority
    arrived: float
    """When it first waited, in seconds."""
    max_retry_after: float

    @property
    def gone(self) -> bool:
        """Whether it gave up waiting."""
        ...


WaiterT = TypeVar("WaiterT", bound=Waiter)


class PriorityPolicy(Generic[WaiterT]):
    """Whose turn it is among those whose buckets allow it.

    Args:
        bulk_leaves: The share of requests that bulk leaves to others while they wait, above 0 and below 1.
        window: Seconds.
    """

    def __init__(self, *, bulk_leaves: float, window: float) -> None:
        self._share = bulk_leaves
        self._window = window
        self._earned = 1.0

    def best(self, heads: list[WaiterT]) -> WaiterT:
        """The one that goes, of at least one; see the module."""
        bulk = min((head for head in heads if head.priority == "bulk"), key=self._rank, default=None)
        other = min((head for head in heads if head.priority != "bulk"), key=self._rank, default=None)
        if bulk is None or (other is not None and self._earned >= 1.0):
            assert other is not None  # noqa: S101  (there is at least one)
            return other
        return bulk

    def let_go(self, chosen: WaiterT, heads: list[WaiterT], *, limit: int | None) -> None:
        """Take account of who goes; `limit` is what a window holds, if that is known."""
        contended = chosen.priority != "bulk" and any(head.priority == "bulk" for head in heads)
        earned = self._earned + self._share - (1.0 if contended else 0.0)
        self._earned = min(earned, max(1.0, _KEPT * self._share * (limit or 0)))

    def _rank(self, waiter: WaiterT) -> tuple[float, int]:
        return waiter.arrived + (self._window if waiter.priority == "normal" else 0.0), waiter.place
