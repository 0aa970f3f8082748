"""`RateLimiter` and `Permit`, the public side of the rate limit. `scheduler.py` decides who waits, and for how long."""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypedDict

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.headers import HeaderReader, Limits, RateLimitHeaders
from alohub_async.rate_limits.priorities import Priority
from alohub_async.rate_limits.scheduler import Scheduler, Tickets
from alohub_async.rate_limits.status import RateLimitStatus, ScopeStatus
from alohub_async.rate_limits.wait_queues import RouteQueue
from alohub_async.routes import Route
from alohub_async.secret import Secret
from alohub_async.unset import UNSET, UnsetType
from alohub_async.validation import check_seconds, check_share

if TYPE_CHECKING:
    from weakref import WeakSet

    from alohub_async.emitter import Emitter

WINDOW: Final = 10.0  # seconds; the vendor's page
BULK_LEAVES: Final = 0.2
_MAX_BLOCK: Final = 60.0  # seconds
_TOO_MANY: Final = HTTPStatus.TOO_MANY_REQUESTS.value

_Answer: TypeAlias = tuple[bool, bool, Limits, float | None]
"""Whether there was one, whether it was a 429, what it said about the budgets, and its `Retry-After`."""

_NO_ANSWER: Final[_Answer] = (False, False, {}, None)


@attrs.define(eq=False, repr=False)
class Permit:
    """The right to send one request, to be entered for each of its attempts; made by `RateLimiter.acquire`.

        async with limiter.acquire(route) as permit:
            response = ...
            permit.observe(response.status, response.headers, retry_after=None)

    Entering waits until the request may go, and books it. Leaving settles the booking with what `observe` recorded, or
    as lost. A cancelled waiter holds no permit. Entered again, the permit has its old place: it goes before all that
    were acquired later.

    When there is budget and the request overtakes no other, acquiring, entering, observing and leaving call 12 of our
    functions (14 with header values not seen before). With one for each step it was 22, and 1.2 times the time.
    """

    _scheduler: Scheduler
    _key: Hashable
    sequence: int  # over all routes; lower goes first
    priority: Priority
    max_wait: float | None  # seconds that are left, over all the times it is entered; None for no maximum
    max_retry_after: float  # an error is raised when the server asks to wait for more seconds than this
    arrived: float = math.inf  # when it first waited, in the loop's seconds
    granted: asyncio.Future[Tickets] = attrs.field(init=False)  # since it waited: the booking, once it may go
    route_queue: RouteQueue["Permit"] = attrs.field(init=False)  # once it is entered
    _answer: _Answer = _NO_ANSWER
    _tickets: Tickets | None = None

    @property
    def cancelled(self) -> bool:
        """Whether it has stopped waiting."""
        return self.granted.cancelled()

    async def __aenter__(self) -> Self:
        scheduler = self._scheduler
        if asyncio.get_running_loop() is not scheduler.loop:
            scheduler.move_to_running_loop()
        self._answer = _NO_ANSWER
        # Looked up each time: the route may have been forgotten in between.
        self.route_queue = route_queue = scheduler.route_queues[self._key]
        now, tenant, route = scheduler.clock(), scheduler.tenant, route_queue.bucket
        overtakes = scheduler.waiting and (route_queue.waited.waiters or now >= scheduler.due)
        if now <= tenant.ready_until and now <= route.ready_until and not overtakes:
            self._tickets = tenant.send(now), route.send(now)
        else:
            self._tickets = await scheduler.book(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        tickets = self._tickets
        if tickets is None:
            return
        self._tickets = None
        scheduler, route_queue = self._scheduler, self.route_queue
        route_queue.sent += 1
        answered, denied, limits, retry_after = self._answer
        if denied:
            scheduler.settle_denied(route_queue, tickets, limits, retry_after)
        else:
            now = scheduler.clock()
            lost = not answered
            scheduler.tenant.settle(tickets[0], now, limits.get("tenant"), lost=lost, elsewhere="route" in limits)
            route_queue.bucket.settle(tickets[1], now, limits.get("route"), lost=lost, elsewhere="tenant" in limits)
        if scheduler.waiting:
            scheduler.wake(route_queue)

    def observe(self, status: int, headers: Mapping[str, str], *, retry_after: float | None) -> Limits:
        """Record the answer, whatever its status, and return its limits; 429 means that the request was refused.

        The headers are case-insensitive; `retry_after` are the seconds that the server asks to wait, if it does.
        """
        denied = status == _TOO_MANY
        limits = self._scheduler.reader.read(headers, wall_clock=time.time, denied=denied)
        self._answer = True, denied, limits, retry_after
        return limits

    async def pause(self, seconds: float) -> None:
        """Wait before it is entered again, as part of `max_wait`; others may go meanwhile."""
        if self.max_wait is not None:
            self._scheduler.check_wait(self, seconds)
            self.max_wait -= seconds
        await asyncio.sleep(seconds)


class RateLimiterOptionsDict(TypedDict, total=False):
    """Keywords of `RateLimiter`."""

    window: float
    headers: RateLimitHeaders | None
    max_wait: float | None
    max_block: float | None
    bulk_leaves: float
    route_key: Callable[[Route], str]


class RateLimiter:
    """Keeps a tenant's requests within the budgets that the server reports: the tenant's, and each route's.

    Every `AlohubClient` makes its own. Pass one to all clients of a tenant in a process, and they share one budget:

        limiter = RateLimiter()
        first = AlohubClient(key, rate_limiter=limiter)
        second = AlohubClient(key, endpoint=..., rate_limiter=limiter)

    A budget that the server does not report is not limited here. Only one event loop at a time may use a limiter.

    Attributes:
        max_block: Most seconds that a `Retry-After` stops all requests.
        emitters: Of the clients that use it, for `emit_once` and `whose`.
    """

    def __init__(
        self,
        *,
        window: float = WINDOW,
        headers: RateLimitHeaders | None = None,
        max_wait: float | None = None,
        max_block: float | None = None,
        bulk_leaves: float = BULK_LEAVES,
        route_key: Callable[[Route], str] = str,
    ) -> None:
        """Make a limiter.

        Args:
            window: Seconds that a budget is for; the vendor's page says 10.
            headers: Names of the rate-limit headers; None recognises them.
            max_wait: Most seconds that a request waits; a longer wait raises an error. None for no maximum.
            max_block: Most seconds that a `Retry-After` stops all requests. If the server asked for more, one request
                then tries, and is followed by the others or starts the next such time. None for 60, or for `window` if
                that is longer.
            bulk_leaves: The share of each window that requests of priority `bulk` leave to others while others wait:
                above 0 and below 1. What the others do not use of it is saved for them, up to three windows' worth.
            route_key: Returns the key of a route's budget. What the server counts as one route is not documented; by
                default, each method and path template is one.

        Raises:
            ConfigurationError: A value is not allowed.
        """
        check_seconds("window", window, error=ConfigurationError)
        self._max_wait = check_seconds("max_wait", max_wait, optional=True, error=ConfigurationError)
        bulk_leaves = check_share("bulk_leaves", bulk_leaves, error=ConfigurationError)
        check_seconds("max_block", max_block, optional=True, error=ConfigurationError)
        self.max_block: float = max(_MAX_BLOCK, window) if max_block is None else max_block
        reader = HeaderReader(headers, window)
        self._scheduler = Scheduler(window=window, max_block=self.max_block, reader=reader, bulk_leaves=bulk_leaves)
        self._route_key = route_key
        self._acquired = 0
        self.emitters: WeakSet[Emitter] = self._scheduler.emitters

    def bind(self, endpoint: str, tenant_id: str | None, key: Secret[str] | None) -> None:
        """Note that a client uses it; the key is None if a provider returns it."""

    async def release(self) -> None:
        """Note that a client that used it is closed."""

    def acquire(
        self,
        route: Route,
        *,
        priority: Priority = "normal",
        max_wait: float | UnsetType | None = UNSET,
        max_retry_after: float = math.inf,
    ) -> Permit:
        """A permit for one request: an async context manager that waits until the request may go. See `Permit`.

        Args:
            route: Its budget, besides the tenant's.
            priority: Which requests go first.
            max_wait: Longest wait in seconds, over all attempts; None for no maximum. By default the limiter's.
            max_retry_after: Raise an error when the server asks to wait for more seconds than this.
        """
        self._acquired = sequence = self._acquired + 1
        key = route if self._route_key is str else self._route_key(route)
        max_wait = self._max_wait if max_wait is UNSET else max_wait
        return Permit(self._scheduler, key, sequence, priority, max_wait, max_retry_after)

    def forecast(self, route: Route, requests: int) -> float:
        """The least seconds until a number of further requests to a route can all go, behind those that wait.

        0.0 if all of them can go now, or nothing is known.
        """
        if requests < 1:
            return 0.0
        scheduler = self._scheduler
        now = scheduler.clock()
        route_queue = scheduler.route_queues[route if self._route_key is str else self._route_key(route)]
        waiting = sum(each.waiting for each in scheduler.route_queues.values())
        of_route = route_queue.waiting + requests
        return scheduler.forecast(route_queue, now, in_all=waiting + requests, of_route=of_route)

    def tenant_status(self) -> ScopeStatus:
        """The state of the tenant's budget alone, for what asks often."""
        scheduler = self._scheduler
        return scheduler.status(scheduler.tenant, scheduler.route_queues.values(), scheduler.waited)

    def status(self) -> RateLimitStatus:
        """The state of all budgets."""
        status, route_queues = self._scheduler.status, self._scheduler.route_queues
        return RateLimitStatus(
            tenant=self.tenant_status(),
            routes={str(key): status(each.bucket, [each], each.waited) for key, each in route_queues.items()},
            denied=sum(each.denied for each in route_queues.values()),
        )
