"""Who waits on which route, and whose turn it is: pure state, no clock and no event loop.

Within a route and a priority it is first come, first served, and a request that was refused keeps its place. Across
routes, the one that waited longest goes. Between priorities:

- *Bulk and the others.* While both wait, bulk leaves a share of the requests to the others: each request that is let
  go earns them that share of a turn, and for a whole turn one of them goes before bulk. What they do not use is kept,
  up to their share of three windows. So one that comes now and then goes at the next opening, many get their share, and
  bulk gets the rest for certain. Where only one kind waits, it goes.
- *Interactive and normal.* An interactive request goes before normal ones that came less than a window before it.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from alohub_async.config import Priority
from alohub_async.rate_limits.gauge import Gauge

_PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "normal", "bulk")
_KEPT: Final = 3  # windows' shares that others may save up: enough for those that come at random, one with another
_MOST: Final = 1000  # routes that are remembered; the API has a handful
_LITTER: Final = 64  # waiters that gave up and are not worth clearing away


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


class Line(Generic[WaiterT]):
    """Those of one route and one priority, oldest first."""

    def __init__(self) -> None:
        self.waiters: deque[WaiterT] = deque()  # with those that gave up, until their turn comes
        self.waiting: int = 0  # without those

    def add(self, waiter: WaiterT) -> None:
        """Put it in line, by its place."""
        at = len(self.waiters)
        while at and self.waiters[at - 1].place > waiter.place:
            at -= 1  # only one that was in line before finds any to pass
        self.waiters.insert(at, waiter)
        self.waiting += 1

    def give_up(self) -> None:
        """Count one less; the waiter itself says that it is gone."""
        self.waiting -= 1
        if len(self.waiters) > 2 * self.waiting + _LITTER:
            self.waiters = deque(waiter for waiter in self.waiters if not waiter.gone)

    def take_out(self, blocked: float) -> list[WaiterT]:
        """Take out those who may not wait that many seconds for a `Retry-After`."""
        out = [waiter for waiter in self.waiters if not waiter.gone and waiter.max_retry_after < blocked]
        if out:
            self.waiters = deque(w for w in self.waiters if w.gone or w.max_retry_after >= blocked)
            self.waiting -= len(out)
        return out

    def head(self) -> WaiterT | None:
        """The one that goes next."""
        while self.waiters and self.waiters[0].gone:
            self.waiters.popleft()
        return self.waiters[0] if self.waiters else None

    def pop(self) -> None:
        """Take the head out."""
        self.waiting -= 1
        self.waiters.popleft()


class Lane(Generic[WaiterT]):
    """One route.

    Attributes:
        gauge: Its budget.
        lines: Its waiters, by priority.
        waited: Seconds that all its requests have waited.
        sent: Requests sent so far.
        denied: 429s among them.
    """

    def __init__(self, gauge: Gauge) -> None:
        self.gauge: Gauge = gauge
        self.lines: dict[Priority, Line[WaiterT]] = {}
        self.waited: float = 0.0
        self.sent: int = 0
        self.denied: int = 0
        self.clear()

    @property
    def waiting(self) -> int:
        """How many wait."""
        interactive, normal, bulk = self._each
        return interactive.waiting + normal.waiting + bulk.waiting

    def heads(self) -> Iterator[WaiterT]:
        """The next one of each priority."""
        for line in self.lines.values():
            if line.waiting and (head := line.head()) is not None:
                yield head

    def clear(self) -> None:
        """Forget all who wait."""
        self._each = (Line[WaiterT](), Line[WaiterT](), Line[WaiterT]())
        self.lines = dict(zip(_PRIORITIES, self._each, strict=True))


class Lanes(dict[Hashable, Lane[WaiterT]]):
    """The lane of each route, made when first asked for.

    Args:
        window: Seconds.
    """

    def __init__(self, window: float) -> None:
        super().__init__()
        self._window = window

    def __missing__(self, key: Hashable) -> Lane[WaiterT]:
        if len(self) >= _MOST:
            idle = (name for name, old in self.items() if not old.waiting and not old.gauge.in_flight)
            self.pop(next(idle, key), None)
        self[key] = lane = Lane[WaiterT](Gauge(self._window))
        return lane


class Choice(Generic[WaiterT]):
    """Whose turn it is among those whose gauges allow it.

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
