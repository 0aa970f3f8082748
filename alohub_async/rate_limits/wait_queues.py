"""The requests that wait, by route and priority: pure state, with no clock and no event loop.

Within a route and a priority the order is first come, first served, and a refused request keeps its place. Across
routes, the request that has waited longest goes first. `priorities.py` decides between priorities.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Final, Generic

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.priorities import Priority, WaiterT

_PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "normal", "bulk")
_MAX_ROUTES: Final = 1000  # kept in memory; the API has a handful
_MAX_CANCELLED: Final = 64  # cancelled waiters that are not worth removing


class WaitQueue(Generic[WaiterT]):
    """The waiters of one route and one priority, oldest first."""

    def __init__(self) -> None:
        self.waiting: int = 0
        self._waiters: deque[WaiterT] = deque()  # with cancelled ones, until they reach the head

    def add(self, waiter: WaiterT) -> None:
        """Insert it by its sequence number."""
        at = len(self._waiters)
        while at and self._waiters[at - 1].sequence > waiter.sequence:
            at -= 1  # only a request that waited before passes others
        self._waiters.insert(at, waiter)
        self.waiting += 1

    def note_cancelled(self) -> None:
        """Count one less; the waiter itself reports that it is cancelled."""
        self.waiting -= 1
        if len(self._waiters) > 2 * self.waiting + _MAX_CANCELLED:
            self._waiters = deque(waiter for waiter in self._waiters if not waiter.cancelled)

    def remove_blocked(self, seconds: float) -> list[WaiterT]:
        """Remove and return those that may not wait that long for a `Retry-After`."""
        blocked = [waiter for waiter in self._waiters if not waiter.cancelled and waiter.max_retry_after < seconds]
        if blocked:
            self._waiters = deque(w for w in self._waiters if w.cancelled or w.max_retry_after >= seconds)
            self.waiting -= len(blocked)
        return blocked

    def head(self) -> WaiterT | None:
        """The one that goes next."""
        while self._waiters and self._waiters[0].cancelled:
            self._waiters.popleft()
        return self._waiters[0] if self._waiters else None

    def pop(self) -> None:
        """Remove the head."""
        self.waiting -= 1
        self._waiters.popleft()


class WaitingTime:
    """The time during which at least one request waited: waits at the same time count once."""

    def __init__(self) -> None:
        self._seconds = self._since = 0.0
        self._waiters = 0

    def begin(self, now: float) -> None:
        """A request begins to wait."""
        if not self._waiters:
            self._since = now
        self._waiters += 1

    def end(self, now: float) -> None:
        """A request has ended to wait."""
        self._waiters -= 1
        if not self._waiters:
            self._seconds += now - self._since

    def clear(self) -> None:
        """Nothing waits any more: the event loop has ended."""
        self._waiters = 0

    def seconds(self, now: float) -> float:
        """The time so far."""
        return self._seconds + (now - self._since if self._waiters else 0.0)


class RouteQueue(Generic[WaiterT]):
    """One route: its budget, and the requests that wait for it."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket: Bucket = bucket
        self.queues: dict[Priority, WaitQueue[WaiterT]] = {}
        self.waited: WaitingTime = WaitingTime()
        self.sent: int = 0
        self.denied: int = 0  # 429s among them
        self.clear()

    @property
    def waiting(self) -> int:
        """How many wait."""
        interactive, normal, bulk = self.queues.values()
        return interactive.waiting + normal.waiting + bulk.waiting

    def heads(self) -> Iterator[WaiterT]:
        """The next one of each priority."""
        for queue in self.queues.values():
            if queue.waiting and (head := queue.head()) is not None:
                yield head

    def clear(self) -> None:
        """Remove all waiters."""
        self.waited.clear()
        self.queues = {priority: WaitQueue[WaiterT]() for priority in _PRIORITIES}


class RouteQueues(dict[Hashable, RouteQueue[WaiterT]]):
    """The queue of each route, made at its first use."""

    def __init__(self, window: float, max_block: float) -> None:
        super().__init__()
        self._window = window
        self._max_block = max_block

    def __missing__(self, key: Hashable) -> RouteQueue[WaiterT]:
        if len(self) >= _MAX_ROUTES:
            idle = (name for name, old in self.items() if not old.waiting and not old.bucket.in_flight)
            self.pop(next(idle, key), None)
        self[key] = route_queue = RouteQueue[WaiterT](Bucket(self._window, self._max_block))
        return route_queue
