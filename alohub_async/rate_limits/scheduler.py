"""Which request waits, which goes next, and when to look again. The asyncio side of the rate limit.

The buckets say what may be sent when (`bucket.py`): one for the tenant, one for each route. A request needs both of its
buckets. The scheduler asks them, and grants the permits in the order that `wait_queues.py` and `priorities.py` define.
One timer serves any number of waiters, and a waiter is woken only to go.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from alohub_async.errors import ConfigurationError, RateLimitWaitError, in_seconds
from alohub_async.rate_limits.bucket import Bucket, Ticket
from alohub_async.rate_limits.headers import HeaderReader, Scope
from alohub_async.rate_limits.priorities import PriorityPolicy
from alohub_async.rate_limits.status import RateLimit, ScopeStatus
from alohub_async.rate_limits.wait_queues import RouteQueue, RouteQueues, WaitingTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from alohub_async.rate_limits.limiter import Permit

_logger = logging.getLogger("alohub_async")

_LONG_WAIT: Final = 5.0  # seconds; a longer wait is logged
_SCOPES: Final[tuple[Scope, Scope]] = ("tenant", "route")

Tickets: TypeAlias = tuple[Ticket, Ticket]  # of the tenant's bucket, and of the route's


class Scheduler:
    """Grants permits. One event loop at a time uses it."""

    def __init__(self, *, window: float, max_block: float, reader: HeaderReader, bulk_leaves: float) -> None:
        self.reader: HeaderReader = reader
        self.tenant: Bucket = Bucket(window, max_block)
        self.route_queues: RouteQueues[Permit] = RouteQueues(window, max_block)
        self.waiting: set[Permit] = set()
        self.waited: WaitingTime = WaitingTime()
        self.loop: asyncio.AbstractEventLoop | None = None  # None before the first
        self.clock: Callable[[], float] = float  # of that loop; 0.0 before the first
        self._policy: PriorityPolicy[Permit] = PriorityPolicy(bulk_leaves=bulk_leaves, window=window)
        self._timer: asyncio.TimerHandle | None = None
        self._granted: Permit | None = None  # may go, and has not booked yet
        self._logged = False  # that the wait is long

    def move_to_running_loop(self) -> None:
        """Have the running event loop use it from now on; `ConfigurationError` if another one, still open, does."""
        if self.loop is not None and not self.loop.is_closed():
            message = "this RateLimiter (or its client) is used by another event loop; make one client for each loop"
            raise ConfigurationError(message)
        self.loop = asyncio.get_running_loop()
        self.clock = self.loop.time
        self._timer = self._granted = None
        self.waiting.clear()  # they ended with the other loop
        self.waited.clear()
        for route_queue in self.route_queues.values():
            route_queue.clear()

    async def book(self, permit: "Permit") -> Tickets:
        """Book the permit's request as soon as it may go; `RateLimitWaitError` if that takes longer than it may."""
        route_queue, started = permit.route_queue, self.clock()
        if self._granted is None and not route_queue.waiting and (tickets := self._try_book(route_queue, started)):
            return tickets
        permit.arrived = min(permit.arrived, started)
        self._refuse_long_wait(permit, started)
        queue = route_queue.queues[permit.priority]
        self.waiting.add(permit)
        self.waited.begin(started)
        route_queue.waited.begin(started)
        try:
            async with asyncio.timeout(permit.max_wait):
                tickets = await self._wait(permit)
        except BaseException as exc:
            if permit.cancelled:
                queue.note_cancelled()
            elif self._granted is permit:  # cancelled after the grant, before it booked
                self._granted = None
            if isinstance(exc, TimeoutError):
                now = self.clock()
                raise self._too_long(permit, self._ready_at(route_queue, now) - started, now) from None
            raise
        finally:
            self.waiting.discard(permit)
            now = self.clock()
            self.waited.end(now)
            route_queue.waited.end(now)
            self.wake()
        if permit.max_wait is not None:
            permit.max_wait = max(0.0, permit.max_wait - (now - started))
        return tickets

    async def _wait(self, permit: "Permit") -> Tickets:
        """Wait in the queue until the permit is granted, and book."""
        route_queue = permit.route_queue
        while True:
            permit.granted = asyncio.get_running_loop().create_future()
            route_queue.queues[permit.priority].add(permit)
            self.wake()
            await permit.granted
            self._granted = None
            if tickets := self._try_book(route_queue, self.clock()):  # an answer may have come since
                return tickets

    def _try_book(self, route_queue: RouteQueue["Permit"], now: float) -> Tickets | None:
        """Book a request of this route if both of its buckets allow it now."""
        if self._ready_at(route_queue, now) > now:
            return None
        return self.tenant.send(now), route_queue.bucket.send(now)

    def _ready_at(self, route_queue: RouteQueue["Permit"], now: float) -> float:
        """When a request of this route may go, by both of its buckets."""
        return max(self.tenant.ready_at(now), route_queue.bucket.ready_at(now))

    def settle_denied(
        self,
        route_queue: RouteQueue["Permit"],
        tickets: Tickets,
        limits: Mapping[Scope, RateLimit],
        retry_after: float | None,
    ) -> None:
        """Settle a booking that was answered with 429, and refuse the waiters that may not wait as long as it asks."""
        now = self.clock()
        route_queue.denied += 1
        # A 429 does not name the budget that is used up: it is the one with nothing left, or either.
        used_up = [scope for scope, limit in limits.items() if limit.used_up] or _SCOPES
        for scope, bucket, ticket in zip(_SCOPES, (self.tenant, route_queue.bucket), tickets, strict=True):
            bucket.settle(ticket, now, limits.get(scope), denied=scope in used_up, retry_after=retry_after)
        if retry_after is not None and self._asked_until(route_queue) > now:
            block = self._blocked_for(route_queue, now)
            _logger.info("the server asks to wait %s; in %.0f s one request tries", in_seconds(retry_after), block)
        for each in self.route_queues.values():
            blocked = self._blocked_for(each, now)
            if blocked > _LONG_WAIT:
                for queue in each.queues.values():
                    for permit in queue.remove_blocked(blocked):
                        permit.end_wait(self._too_long(permit, blocked, now))

    def _refuse_long_wait(self, permit: "Permit", now: float) -> None:
        """Raise if it is certain that the permit would wait too long."""
        route_queue = permit.route_queue
        if self._blocked_for(route_queue, now) > permit.max_retry_after:
            raise self._too_long(permit, self._ready_at(route_queue, now) - now, now)
        if permit.max_wait is not None:
            place = route_queue.queues[permit.priority].waiting + 1  # other priorities may go before it, or after
            wait = max(self.tenant.forecast(place, now), route_queue.bucket.forecast(place, now))
            if wait > permit.max_wait:
                raise self._too_long(permit, wait, now)

    def _asked_until(self, route_queue: RouteQueue["Permit"]) -> float:
        """When a `Retry-After` that blocks this route for less than it says ends; -inf without one."""
        return max(self.tenant.asked_until, route_queue.bucket.asked_until)

    def _blocked_for(self, route_queue: RouteQueue["Permit"], now: float) -> float:
        """Seconds that a `Retry-After` still blocks this route."""
        return max(self.tenant.blocked_until, route_queue.bucket.blocked_until) - now

    def wake(self) -> None:
        """Grant the next permit if a request may go now; otherwise set the timer for it.

        One at a time: the waiter books when it runs, and then wakes the next one. So a waiter that is cancelled before
        that has booked nothing.
        """
        if self._granted is not None:
            return
        if asyncio.get_running_loop() is not self.loop:
            self.move_to_running_loop()
        now = self.clock()
        due = math.inf
        heads: list[Permit] = []
        tenant_at = self.tenant.ready_at(now)
        for route_queue in self.route_queues.values():
            if route_queue.waiting:
                at = max(tenant_at, route_queue.bucket.ready_at(now))
                if at > now:
                    due = min(due, at)
                else:
                    heads += route_queue.heads()
        if heads:
            self._grant(heads)
        self._set_timer(due, now)

    def _grant(self, heads: list["Permit"]) -> None:
        """Grant the best of these permits."""
        self._granted = permit = self._policy.best(heads)
        limits = [bucket.limit for bucket in (self.tenant, permit.route_queue.bucket) if bucket.limit]
        self._policy.record_grant(permit, heads, limit=min(limits, default=None))
        permit.route_queue.queues[permit.priority].pop()
        permit.end_wait()
        self._logged = False

    def _set_timer(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due == math.inf or self.loop is None:
            return
        self._timer = self.loop.call_at(due, self.wake)
        if due - now > _LONG_WAIT and not self._logged:
            self._logged = True
            count = sum(route_queue.waiting for route_queue in self.route_queues.values())
            waiting = "1 request waits" if count == 1 else f"{count} requests wait"
            _logger.warning("the rate limit is used up: %s, the next for %.1f s", waiting, due - now)

    def status(
        self, bucket: Bucket, route_queues: Sequence[RouteQueue["Permit"]], waited: WaitingTime, now: float
    ) -> ScopeStatus:
        """The state of a bucket that these routes spend from."""
        return ScopeStatus(
            limit=bucket.limit,
            free=bucket.free(now),
            in_flight=bucket.in_flight,
            waiting=sum(route_queue.waiting for route_queue in route_queues),
            next_due=max(0.0, bucket.ready_at(now) - now),
            denied=bucket.denials,
            waited=waited.seconds(now),
            sent=sum(route_queue.sent for route_queue in route_queues),
        )

    def _too_long(self, permit: "Permit", wait: float, now: float) -> RateLimitWaitError:
        maximum = min(permit.max_retry_after, math.inf if permit.max_wait is None else permit.max_wait)
        until = f"for {in_seconds(wait)}" if wait < math.inf else "until another request is answered"
        asked = max(0.0, self._asked_until(permit.route_queue) - now) or None
        because = "" if asked is None else f" (the server asked for {in_seconds(asked)})"
        return RateLimitWaitError(
            f"the rate limit makes the request wait {until}{because}, and the maximum is {in_seconds(maximum)};"
            " try again later, or allow a longer wait",
            wait=wait,
            retry_after=asked,
        )
