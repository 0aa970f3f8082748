"""Which request waits, which goes next, and when to look again. The asyncio side of the rate limit.

The buckets say what may be sent when (`bucket.py`): one for the tenant, one for each route. A request needs both of its
buckets. The scheduler asks them, and grants the permits in the order that `wait_queues.py` and `priorities.py` define.
A grant books the request at once, so all that the buckets allow are granted together. One timer serves any number of
waiters, and a waiter is woken only to go.
"""

import asyncio
import logging
import math
import random
from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakSet

from alohub_async.emitter import emit_once, whose
from alohub_async.errors import ConfigurationError, RateLimitWaitError, in_seconds
from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.counts import Ticket
from alohub_async.rate_limits.headers import HeaderReader, Limits, Scope
from alohub_async.rate_limits.priorities import PriorityPolicy
from alohub_async.rate_limits.status import ScopeStatus
from alohub_async.rate_limits.wait_queues import Agenda, Budget, RouteQueue, RouteQueues, WaitingTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from alohub_async.emitter import Emitter
    from alohub_async.errors import AlohubError
    from alohub_async.rate_limits.limiter import Permit
    from alohub_async.rate_limits.wait_queues import WaitQueue

_logger = logging.getLogger("alohub_async")

_LONG_WAIT: Final = 5.0  # seconds; a longer wait is logged
_SCOPES: Final[tuple[Scope, Scope]] = ("tenant", "route")

Tickets: TypeAlias = tuple[Ticket, Ticket]  # of the tenant's bucket, and of the route's


class Scheduler:
    """Grants permits. One event loop at a time uses it."""

    def __init__(self, *, window: float, max_block: float, reader: HeaderReader, bulk_leaves: float) -> None:
        self.window: float = window
        self.max_block: float = max_block
        self.bulk_leaves: float = bulk_leaves
        self.reader: HeaderReader = reader
        new_bucket = partial(Bucket, window, max_block, random=random.random)
        self.tenant: Budget = new_bucket(learns=False)
        self.route_queues: RouteQueues[Permit] = RouteQueues(lambda _: new_bucket())
        self.unavailable: Callable[[], AlohubError] | None = None  # the error of requests that cannot be booked
        self.waiting: set[Permit] = set()
        self.waited: WaitingTime = WaitingTime()
        self.loop: asyncio.AbstractEventLoop | None = None  # None before the first
        self.clock: Callable[[], float] = float  # of that loop; 0.0 before the first
        self.due: float = math.inf  # when the timer fires: before that time, nobody who waits may go
        self._policy: PriorityPolicy[Permit] = PriorityPolicy(bulk_leaves=bulk_leaves, window=window)
        # By their heads, the queues whose routes may have budget: those of bulk requests, and the others.
        self._ready: tuple[Agenda[WaitQueue[Permit]], Agenda[WaitQueue[Permit]]] = Agenda(), Agenda()
        self._due_routes: Agenda[RouteQueue[Permit]] = Agenda()
        self._timer: asyncio.TimerHandle | None = None
        self._logged = False  # that the wait is long
        self.emitters: WeakSet[Emitter] = WeakSet()  # of the clients

    def move_to_running_loop(self) -> None:
        """Have the running event loop use it from now on; `ConfigurationError` if another one, still open, does."""
        if self.loop is not None and not self.loop.is_closed():
            used = "this RateLimiter (or its client) is used by another event loop"
            raise ConfigurationError(f"{used}; make one client for each loop")
        self.loop = asyncio.get_running_loop()
        self.clock = self.loop.time
        self.due, self._timer = math.inf, None
        while self.waiting:  # they ended with the other loop
            self._unbook(self.waiting.pop())
        self.waited.waiters = 0
        for route_queue in self.route_queues.values():
            route_queue.clear()

    async def book(self, permit: "Permit") -> Tickets:
        """Book the permit's request as soon as it may go; `RateLimitWaitError` if that takes longer than it may."""
        route_queue, started = permit.route_queue, self.clock()
        if not route_queue.waited.waiters and started < self.due and self._ready_at(route_queue, started) <= started:
            return self.tenant.send(started), route_queue.bucket.send(started)
        if self.unavailable is not None:
            raise self.unavailable()
        permit.arrived = min(permit.arrived, started)
        self._refuse_long_wait(permit, started)
        permit.granted = granted = asyncio.Future[Tickets]()
        self.waiting.add(permit)
        self.waited.begin(started)
        route_queue.waited.begin(started)
        queue = route_queue.queues[permit.priority]
        queue.add(permit)
        if queue.head() is permit:
            self.wake(route_queue)
        try:
            async with asyncio.timeout(permit.max_wait):
                tickets = await granted
                await asyncio.sleep(0)  # behind those that were granted before
        except BaseException as exc:
            if permit in self.waiting and (granted.cancelled() or granted.cancel()):
                queue.note_cancelled()
            self._unbook(permit)
            self.wake(route_queue)
            if isinstance(exc, TimeoutError):
                raise self._too_long(permit, self._ready_at(route_queue, self.clock()) - started) from None
            raise
        finally:
            if permit in self.waiting:  # otherwise its event loop had ended before
                self.waiting.remove(permit)
                self.waited.end(self.clock())
                route_queue.waited.end(self.clock())
        if permit.max_wait is not None:
            permit.max_wait = max(0.0, permit.max_wait - (self.clock() - started))
        return tickets

    def _unbook(self, permit: "Permit") -> None:
        """Take back the booking of a waiter that does not go, if it was granted."""
        granted = permit.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            for bucket, ticket in zip((self.tenant, permit.route_queue.bucket), granted.result(), strict=True):
                bucket.cancel(ticket, self.clock())

    def _ready_at(self, route_queue: RouteQueue["Permit"], now: float) -> float:
        """When a request of this route may go, by both of its buckets."""
        return max(self.tenant.ready_at(now), route_queue.bucket.ready_at(now))

    def settle_denied(
        self, route_queue: RouteQueue["Permit"], tickets: Tickets, limits: Limits, retry_after: float | None
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
        self.refuse_blocked(self.route_queues.values() if "tenant" in used_up else [route_queue])

    def refuse_blocked(self, route_queues: Iterable[RouteQueue["Permit"]]) -> None:
        """Refuse the waiters that may not wait as long as a `Retry-After` blocks their routes."""
        now = self.clock()
        for each in route_queues:
            blocked = self._blocked_for(each, now)
            if blocked > _LONG_WAIT:
                for queue in each.queues.values():
                    for permit in queue.remove_blocked(blocked):
                        permit.granted.set_exception(self._too_long(permit, blocked))

    def refuse_all(self, error: "Callable[[], AlohubError]") -> None:
        """Refuse all waiters that were not granted."""
        for permit in self.waiting:
            if not permit.granted.done():
                permit.granted.set_exception(error())
        for route_queue in self.route_queues.values():
            for queue in route_queue.queues.values():
                queue.clear()

    def _refuse_long_wait(self, permit: "Permit", now: float) -> None:
        """Raise if it is certain that the permit would wait too long."""
        route_queue = permit.route_queue
        if self._blocked_for(route_queue, now) > permit.max_retry_after:
            raise self._too_long(permit, self._ready_at(route_queue, now) - now)
        if permit.max_wait is not None:
            place = route_queue.queues[permit.priority].waiting + 1  # other priorities may go before it, or after
            self.check_wait(permit, self.forecast(route_queue, now, in_all=place, of_route=place))

    def check_wait(self, permit: "Permit", wait: float) -> None:
        """Raise if so many seconds are longer than the permit may still wait."""
        if permit.max_wait is not None and wait > permit.max_wait:
            raise self._too_long(permit, wait)

    def _asked_until(self, route_queue: RouteQueue["Permit"]) -> float:
        """When a `Retry-After` that blocks this route for less than it says ends; -inf without one."""
        return max(each.bucket.asked_until - each.offset for each in (self.tenant, route_queue.bucket))

    def _blocked_for(self, route_queue: RouteQueue["Permit"], now: float) -> float:
        """Seconds that a `Retry-After` still blocks this route."""
        return max(each.bucket.blocked_until - each.offset for each in (self.tenant, route_queue.bucket)) - now

    def forecast(self, route_queue: RouteQueue["Permit"], now: float, *, in_all: int, of_route: int) -> float:
        """The least seconds until so many requests, in all and of a route, can go; see `Bucket.forecast`."""
        wanted = (self.tenant, in_all), (route_queue.bucket, of_route)
        return max(each.bucket.forecast(requests, now + each.offset) for each, requests in wanted)

    def wake(self, changed: RouteQueue["Permit"] | None = None) -> None:
        """Grant all that may go now, and set the timer for the rest; `changed` is a route that may have new budget."""
        if self.loop is None or self.loop.is_closed():
            return
        now = self.clock()
        if changed is not None:
            self._offer(changed)
        while (due := self._due_routes.first()) is not None and due[0][0] <= now:
            self._due_routes.put(due[1], None)
            self._offer(due[1])
        while (heads := self._heads(now)) and self.tenant.ready_at(now) <= now:
            self._grant(heads, now)
        due = self._due_routes.first()
        route_due = now if heads else math.inf if due is None else due[0][0]
        self._set_timer(max(route_due, self.tenant.ready_at(now)), now)

    def _offer(self, route_queue: RouteQueue["Permit"]) -> None:
        """List the heads of a route that may have budget."""
        for priority, queue in route_queue.queues.items():
            head = queue.head()
            self._ready[priority == "bulk"].put(queue, None if head is None else self._policy.rank(head))

    def _heads(self, now: float) -> list["Permit"]:
        """Of the waiters whose routes allow them now, the best bulk one and the best other one."""
        heads: list[Permit] = []
        for agenda in self._ready:
            while (first := agenda.first()) is not None:
                rank, queue = first
                head = queue.head()
                if head is None or self._policy.rank(head) != rank:  # it was granted, or went away
                    agenda.put(queue, None if head is None else self._policy.rank(head))
                    continue
                due = head.route_queue.bucket.ready_at(now)
                if due <= now:
                    heads.append(head)
                    break
                agenda.put(queue, None)
                self._due_routes.put(head.route_queue, (due, 0) if due < math.inf else None)
        return heads

    def _grant(self, heads: list["Permit"], now: float) -> None:
        """Grant the best of these permits, and book it."""
        permit = self._policy.best(heads)
        route_queue = permit.route_queue
        limits = [limit for each in (self.tenant, route_queue.bucket) if (limit := each.bucket.limit)]
        self._policy.record_grant(permit, heads, limit=min(limits, default=None))
        route_queue.queues[permit.priority].pop()
        permit.granted.set_result((self.tenant.send(now), route_queue.bucket.send(now)))
        self._logged = False

    def _time_has_come(self) -> None:
        self.due, self._timer = math.inf, None
        self.wake()

    def _set_timer(self, due: float, now: float) -> None:
        if due != self.due:
            if self._timer is not None:
                self._timer.cancel()
            self.due, self._timer = due, None
            if due < math.inf and self.loop is not None:
                self._timer = self.loop.call_at(due, self._time_has_come)
        if _LONG_WAIT < due - now < math.inf and not self._logged:
            from alohub_async.events import LimitReached

            self._logged = True
            waiting = sum(route_queue.waiting for route_queue in self.route_queues.values())
            emit_once(self.emitters, LimitReached(waiting=waiting, seconds=due - now, **whose(self.emitters)))

    def status(
        self, budget: Budget, route_queues: Collection[RouteQueue["Permit"]], waited: WaitingTime
    ) -> ScopeStatus:
        """The state of a budget that these routes spend from."""
        now, bucket = self.clock(), budget.bucket
        return ScopeStatus(
            limit=bucket.limit,
            free=bucket.free(now + budget.offset),
            in_flight=budget.in_flight,
            waiting=sum(route_queue.waiting for route_queue in route_queues),
            next_due=max(0.0, budget.ready_at(now) - now),
            denied=bucket.denials,
            waited=waited.seconds(now),
            sent=sum(route_queue.sent for route_queue in route_queues),
        )

    def _too_long(self, permit: "Permit", wait: float) -> RateLimitWaitError:
        maximum = min(permit.max_retry_after, math.inf if permit.max_wait is None else permit.max_wait)
        until = f"for {in_seconds(wait)}" if wait < math.inf else "until another request is answered"
        asked = max(0.0, self._asked_until(permit.route_queue) - self.clock()) or None
        because = "" if asked is None else f" (the server asked for {in_seconds(asked)})"
        message = f"the rate limit makes the request wait {until}{because}, and the maximum is {in_seconds(maximum)}"
        return RateLimitWaitError(f"{message}; try again later, or allow a longer wait", wait=wait, retry_after=asked)
