"""The requests that wait, by route and priority: pure state, with no clock and no event loop.

Within a route and a priority the order is first come, first served, and a refused request keeps its place. Across
routes, the request that has waited longest goes first. `priorities.py` decides between priorities.

An `Agenda` lists queues by their next request, or routes by the time when they have budget again. So the work for a
request hardly depends on the number of routes.
"""

from collections import deque
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from alohub_async.rate_limits.priorities import Priority, Rank, WaiterT

if TYPE_CHECKING:
    from alohub_async.rate_limits.bucket import Bucket
    from alohub_async.rate_limits.leases import Lease

Budget: TypeAlias = "Bucket | Lease"
"""What a route, or the tenant, may send: as this process knows it, or its part of a shared budget."""

_PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "normal", "bulk")
MAX_ROUTES: Final = 1000  # kept in memory; the API has a handful
_MAX_CANCELLED: Final = 64  # cancelled waiters that are not worth removing


class Listed:
    """What an `Agenda` lists."""

    listed: Rank | None = None  # None while it is not listed


ListedT = TypeVar("ListedT", bound=Listed)


class Agenda(Generic[ListedT]):
    """Items by rank, lowest first: a heap in which an entry that is out of date stays until it comes to the top."""

    def __init__(self) -> None:
        self._heap: list[tuple[Rank, int, ListedT]] = []
        self._entries = count()  # items have no order

    def put(self, item: ListedT, rank: Rank | None) -> None:
        """List it under this rank alone; None takes it off the list."""
        if rank is not None and rank != item.listed:
            heappush(self._heap, (rank, next(self._entries), item))
        item.listed = rank

    def first(self) -> tuple[Rank, ListedT] | None:
        """The lowest rank, and its item."""
        while self._heap:
            rank, _, item = self._heap[0]
            if rank == item.listed:
                return rank, item
            heappop(self._heap)
        return None


class WaitQueue(Listed, Generic[WaiterT]):
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

    def clear(self) -> None:
        """Remove all."""
        self.waiting = 0
        self._waiters.clear()


class WaitingTime:
    """The time during which at least one request waited: waits at the same time count once."""

    def __init__(self) -> None:
        self._seconds = self._since = 0.0
        self.waiters: int = 0  # those that were granted and have not run yet among them

    def begin(self, now: float) -> None:
        """A request begins to wait."""
        if not self.waiters:
            self._since = now
        self.waiters += 1

    def end(self, now: float) -> None:
        """A request has ended to wait."""
        self.waiters -= 1
        if not self.waiters:
            self._seconds += now - self._since

    def seconds(self, now: float) -> float:
        """The time so far."""
        return self._seconds + (now - self._since if self.waiters else 0.0)


class RouteQueue(Listed, Generic[WaiterT]):
    """One route: its budget, and the requests that wait for it."""

    def __init__(self, bucket: Budget) -> None:
        self.bucket: Budget = bucket
        self.queues: dict[Priority, WaitQueue[WaiterT]] = {priority: WaitQueue() for priority in _PRIORITIES}
        self.waited: WaitingTime = WaitingTime()
        self.sent: int = 0
        self.denied: int = 0  # 429s among them

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(queue.waiting for queue in self.queues.values())

    def clear(self) -> None:
        """Remove all waiters: their event loop has ended."""
        self.waited.waiters = 0
        self.listed: Rank | None = None
        for queue in self.queues.values():
            queue.clear()


class RouteQueues(dict[Hashable, RouteQueue[WaiterT]]):
    """The queue of each route, made at its first use."""

    def __init__(self, new_budget: Callable[[Hashable], Budget]) -> None:
        super().__init__()
        self._new_budget = new_budget

    def __missing__(self, key: Hashable) -> RouteQueue[WaiterT]:
        if len(self) >= MAX_ROUTES:
            idle = (name for name, old in self.items() if not old.waiting and not old.bucket.in_flight)
            self.pop(next(idle, key), None)
        self[key] = route_queue = RouteQueue[WaiterT](self._new_budget(key))
        return route_queue
