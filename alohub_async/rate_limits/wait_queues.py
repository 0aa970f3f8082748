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
from typing import Final, Generic

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.priorities import Priority, WaiterT

_PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "normal", "bulk")
_MOST: Final = 1000  # routes that are remembered; the API has a handful
_LITTER: Final = 64  # waiters that gave up and are not worth clearing away


class WaitQueue(Generic[WaiterT]):
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


class RouteQueue(Generic[WaiterT]):
    """One route.

    Attributes:
        bucket: Its budget.
        lines: Its waiters, by priority.
        waited: Seconds that all its requests have waited.
        sent: Requests sent so far.
        denied: 429s among them.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket: Bucket = bucket
        self.lines: dict[Priority, WaitQueue[WaiterT]] = {}
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
        self._each = (WaitQueue[WaiterT](), WaitQueue[WaiterT](), WaitQueue[WaiterT]())
        self.lines = dict(zip(_PRIORITIES, self._each, strict=True))


class RouteQueues(dict[Hashable, RouteQueue[WaiterT]]):
    """The lane of each route, made when first asked for.

    Args:
        window: Seconds.
    """

    def __init__(self, window: float) -> None:
        super().__init__()
        self._window = window

    def __missing__(self, key: Hashable) -> RouteQueue[WaiterT]:
        if len(self) >= _MOST:
            idle = (name for name, old in self.items() if not old.waiting and not old.bucket.in_flight)
            self.pop(next(idle, key), None)
        self[key] = lane = RouteQueue[WaiterT](Bucket(self._window))
        return lane
