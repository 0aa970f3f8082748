"""Who waits, who goes next, and when to look again: the asyncio side of the rate limit.

The buckets say what may be sent when (`bucket.py`): one for the tenant, one for each route. A request needs both of its
buckets. Here they are asked; whose turn it is among those they allow is the business of `lanes.py`. One timer
serves any number of waiters, and a waiter is woken only to go.
"""

import asyncio
import logging
import math
import time
from collections.abc import Hashable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from alohub_async.errors import ConfigurationError, RateLimitWaitError
from alohub_async.rate_limits.bucket import Bucket, Ticket
from alohub_async.rate_limits.headers import HeaderReader, Scope
from alohub_async.rate_limits.priorities import Priority, PriorityPolicy
from alohub_async.rate_limits.status import RateLimit, ScopeStatus
from alohub_async.rate_limits.wait_queues import RouteQueue, RouteQueues

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger("alohub_async")

_TOO_MANY: Final = HTTPStatus.TOO_MANY_REQUESTS.value
_STALL: Final = 5.0  # seconds of waiting that are worth a line in the log
_SOON: Final = 0.001  # seconds after an answer; a request that goes then may go before the answer is taken in


_Outcome: TypeAlias = tuple[bool, bool, Mapping[Scope, RateLimit], float | None]
"""What came of a booking: whether it was answered, whether with 429, what was said, and the `Retry-After`."""

_LOST: Final[_Outcome] = (False, False, {}, None)
_Tickets: TypeAlias = tuple[Ticket, Ticket]
_Booked: TypeAlias = tuple[Scope, Bucket, Ticket, bool]
_Ended: TypeAlias = tuple[RouteQueue["Permit"], _Tickets, float, _Outcome]
"""A booking whose request has ended: of which lane, what was booked, when it ended, and what came of it."""


class Permit:
    """A request's turn, to be entered for each of its attempts; made by `RateLimiter.acquire`.

        async with limiter.acquire(route) as turn:
            response = ...
            turn.observe(response.status, response.headers, retry_after=None)

    Entering waits until the request may go, and books it. Leaving settles the booking with what `observe` was told, or
    as lost. Entered again, the request has its old place in line: it has waited longer than all who came after it.

    Attributes:
        lane: Its route's, from when it is entered.
        place: Its place in line, over all routes; lower goes first.
        priority: Which line.
        arrived: When it first waited, in the loop's seconds.
        max_wait: Most seconds it may still wait, over all the times it is entered; None for no end.
        max_retry_after: Raise rather than wait when the server asks to stay away for more seconds than this.
        granted: While it waits: done when it may go.
        catch_up: Takes in the answer before; to be called when there is time, such as while the server is busy.
    """

    __slots__ = (
        "_key",
        "_outcome",
        "_schedule",
        "_tickets",
        "arrived",
        "catch_up",
        "granted",
        "lane",
        "max_retry_after",
        "max_wait",
        "place",
        "priority",
    )

    def __init__(
        self,
        schedule: "Scheduler",
        key: Hashable,
        place: int,
        *,
        priority: Priority,
        max_wait: float | None,
        max_retry_after: float,
    ) -> None:
        self.lane: RouteQueue[Permit]
        self.place: int = place
        self.priority: Priority = priority
        self.arrived: float = math.inf
        self.max_wait: float | None = max_wait
        self.max_retry_after: float = max_retry_after
        self.granted: asyncio.Future[None] | None = None
        self.catch_up: Callable[[], None] = schedule.catch_up
        self._key = key
        self._outcome = _LOST
        self._schedule = schedule
        self._tickets: _Tickets | None = None

    def let_go(self, error: RateLimitWaitError | None = None) -> None:
        """End its waiting: it may go, or it must raise."""
        if self.granted is None:
            return
        if error is None:
            self.granted.set_result(None)
        else:
            self.granted.set_exception(error)

    @property
    def gone(self) -> bool:
        """Whether it gave up waiting."""
        return self.granted is not None and self.granted.cancelled()

    async def __aenter__(self) -> Self:
        self._outcome = _LOST
        self.lane = lane = self._schedule.lanes[self._key]  # anew: its route may have been forgotten in between
        self._tickets = self._schedule.book(lane) or await self._schedule.wait(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        schedule, tickets = self._schedule, self._tickets
        if tickets is None:
            return
        self._tickets = None
        if schedule.ended is not None:
            schedule.catch_up()
        schedule.in_flight -= 1
        schedule.ended = self.lane, tickets, schedule.clock(), self._outcome
        if schedule.waiting:
            schedule.catch_up()
            schedule.wake()
            return
        answered, denied, said, _retry_after = self._outcome
        if answered and not denied and said:
            for limit in said.values():
                if limit.remaining <= schedule.in_flight:
                    break
            else:
                return  # the next one may go in any case
        schedule.catch_up()

    def observe(self, status: int, headers: Mapping[str, str], *, retry_after: float | None) -> None:
        """Tell what was answered; errors count too.

        Args:
            status: HTTP status; 429 means that the request was refused.
            headers: Of the answer, case-insensitive.
            retry_after: Seconds the server asks to wait, if it does.
        """
        snapshots = self._schedule.reader.read(headers, wall_clock=time.time)
        self._outcome = True, status == _TOO_MANY, snapshots, retry_after


class Scheduler:
    """Who may go, and when to look again. One event loop at a time uses it.

    An answer that leaves room for another request need not be taken in before that one is sent: while the server works
    on it there is time. So the latest answer may wait for `catch_up`, until one more request has been booked; whoever
    looks at the buckets calls it first.

    Attributes:
        in_flight: Requests booked and not ended. The tenant's bucket has as many, and the one that has `ended`; but to
            ask it takes calls.
        ended: The booking that has ended and is not settled yet, if there is one.
    """

    def __init__(self, *, window: float, reader: HeaderReader, bulk_leaves: float) -> None:
        self.reader: HeaderReader = reader
        self.tenant: Bucket = Bucket(window)
        self.lanes: RouteQueues[Permit] = RouteQueues(window)
        self.clock: Callable[[], float] = float  # the time of the event loop that uses this limiter; 0.0 before one did
        self.waiting: set[Permit] = set()  # whoever is in `wait`
        self.in_flight: int = 0
        self.ended: _Ended | None = None
        self._since: RouteQueue[Permit] | None = None  # of which one was booked since that one `ended`
        self._choice = PriorityPolicy[Permit](bulk_leaves=bulk_leaves, window=window)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._granted: Permit | None = None  # who was let go and has not booked yet
        self._stalled = False

    def now(self) -> float:
        """The time of the running event loop.

        Raises:
            ConfigurationError: Another event loop, still open, uses this limiter.
        """
        if asyncio.get_running_loop() is not self._loop:
            self._move_to_running_loop()
        return self.clock()

    def _move_to_running_loop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError(
                "this RateLimiter (or its client) is used by another event loop; make one client for each loop"
            )
        self.catch_up()
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self._timer = self._granted = None
        self.waiting.clear()  # whoever waited died with the other loop
        for lane in self.lanes.values():
            lane.clear()

    def catch_up(self) -> None:
        """Settle the booking that has ended, if there is one."""
        ended, since = self.ended, self._since
        self.ended = self._since = None
        if ended is None:
            return
        lane, (tenant, route), now, (answered, denied, said, retry_after) = ended
        lane.sent += 1
        lane.denied += denied
        # A 429 does not name the budget that was spent: it is the one with nothing left, or either.
        spent = [scope for scope, limit in said.items() if not limit.remaining] if denied else []
        booked: tuple[_Booked, _Booked] = (
            ("tenant", self.tenant, tenant, since is not None),
            ("route", lane.bucket, route, since is lane),
        )
        for scope, bucket, ticket, one_since in booked:
            bucket.settle(
                ticket,
                now,
                said[scope] if scope in said else None,  # noqa: SIM401  (`get` would be a call)
                denied=denied and (not spent or scope in spent),
                retry_after=retry_after,
                lost=not answered,
                since=int(one_since),
            )
        if denied:
            self._turn_away(now)

    def ready_at(self, lane: RouteQueue[Permit], now: float) -> float:
        """When a request of this lane may go, by both of its buckets."""
        return max(self.tenant.ready_at(now), lane.bucket.ready_at(now))

    def book(self, lane: RouteQueue[Permit], *, let_go: bool = False) -> _Tickets | None:
        """Book, if both buckets allow it now, and nobody waits before (or this is the one that was let go)."""
        if asyncio.get_running_loop() is not self._loop:
            self._move_to_running_loop()
        if self.waiting and not let_go and (lane.waiting or self._granted is not None):
            return None
        now, tenant, route = self.clock(), self.tenant, lane.bucket
        ended = self.ended
        if ended is not None and (self._since is not None or now > ended[2] + _SOON):
            self.catch_up()
            ended = None
        if tenant.ready_at(now) > now or route.ready_at(now) > now:
            if ended is None:
                return None
            self.catch_up()
            return self.book(lane, let_go=let_go)
        self.in_flight += 1
        if ended is None:
            return tenant.send(now), route.send(now)
        self._since = lane
        return tenant.send(now, unsettled=1), route.send(now, unsettled=int(ended[0] is lane))

    async def wait(self, turn: Permit) -> _Tickets:
        """Wait in line until the request may go, and book it.

        Raises:
            RateLimitWaitError: That would take longer than it may.
        """
        started, lane = self.now(), turn.lane
        line = lane.lines[turn.priority]
        turn.arrived = min(turn.arrived, started)
        self._refuse_long_wait(turn, started)
        self.waiting.add(turn)
        try:
            async with asyncio.timeout(turn.max_wait):
                while True:
                    turn.granted = asyncio.get_running_loop().create_future()
                    line.add(turn)
                    self.wake()
                    await turn.granted
                    self._granted = None
                    tickets = self.book(lane, let_go=True)  # an answer may have come since
                    if tickets is not None:
                        if turn.max_wait is not None:
                            turn.max_wait = max(0.0, turn.max_wait - (self.now() - started))
                        return tickets
        except BaseException as exc:
            if turn.gone:
                line.give_up()
            elif self._granted is turn:  # it was let go in the very moment it gave up, and has not booked
                self._granted = None
            if isinstance(exc, TimeoutError):
                raise self._too_long(turn, self.ready_at(lane, self.now()) - started) from None
            raise
        finally:
            self.waiting.discard(turn)
            lane.waited += self.now() - started
            self.wake()

    def _refuse_long_wait(self, turn: Permit, now: float) -> None:
        """Raise if it is certain that the turn would wait too long."""
        lane = turn.lane
        if self._blocked(lane, now) > turn.max_retry_after:
            raise self._too_long(turn, self.ready_at(lane, now) - now)
        if turn.max_wait is not None:
            place = lane.lines[turn.priority].waiting + 1  # who waits with another priority may go before it, or after
            wait = max(self.tenant.forecast(place, now), lane.bucket.forecast(place, now))
            if wait > turn.max_wait:
                raise self._too_long(turn, wait)

    def _blocked(self, lane: RouteQueue[Permit], now: float) -> float:
        """Seconds that a `Retry-After` still blocks this lane."""
        return max(self.tenant.blocked_until, lane.bucket.blocked_until) - now

    def _too_long(self, turn: Permit, wait: float) -> RateLimitWaitError:
        most = min(turn.max_retry_after, math.inf if turn.max_wait is None else turn.max_wait)
        return RateLimitWaitError(
            f"the rate limit would have the request wait for {wait:.2f} s, at most {most:.2f} s are allowed;"
            " try again later, or allow more",
            wait=wait,
        )

    def _turn_away(self, now: float) -> None:
        """Have those who wait raise if the server wants to be left alone for longer than they may wait."""
        for lane in self.lanes.values():
            blocked = self._blocked(lane, now)
            if blocked > _STALL:
                for line in lane.lines.values():
                    for turn in line.take_out(blocked):
                        turn.let_go(self._too_long(turn, blocked))

    def wake(self) -> None:
        """Let the next one go, if one may go now; else set the timer for it.

        One at a time: it books when it runs, and then lets the next one go. So whoever is cancelled before has booked
        nothing.
        """
        if self._granted is not None:
            return
        now = self.now()
        due, allowed = math.inf, list[Permit]()
        tenant_at = self.tenant.ready_at(now)
        for lane in self.lanes.values():
            if lane.waiting:
                at = max(tenant_at, lane.bucket.ready_at(now))
                if at > now:
                    due = min(due, at)
                else:
                    allowed += lane.heads()
        if allowed:
            self._granted = chosen = self._choice.best(allowed)
            limits = [bucket.limit for bucket in (self.tenant, chosen.lane.bucket) if bucket.limit]
            self._choice.let_go(chosen, allowed, limit=min(limits, default=None))
            chosen.lane.lines[chosen.priority].pop()
            chosen.let_go()
            self._stalled = False
        self._set_timer(due, now)

    def _set_timer(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due == math.inf or self._loop is None:
            return
        self._timer = self._loop.call_at(due, self.wake)
        if due - now > _STALL and not self._stalled:
            self._stalled = True
            waiting = sum(lane.waiting for lane in self.lanes.values())
            _logger.warning("the rate limit is used up: %d requests wait, the next for %.1f s", waiting, due - now)

    def status(self, bucket: Bucket, lanes: Sequence[RouteQueue[Permit]], now: float) -> ScopeStatus:
        """Where a bucket stands that these lanes spend from."""
        return ScopeStatus(
            limit=bucket.limit,
            free=bucket.free(now),
            in_flight=bucket.in_flight,
            waiting=sum(lane.waiting for lane in lanes),
            next_due=max(0.0, bucket.ready_at(now) - now),
            denied=bucket.denials,
            waited=sum(lane.waited for lane in lanes),
            sent=sum(lane.sent for lane in lanes),
        )
