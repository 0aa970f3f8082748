"""The scheduler in any order of events: who goes, who waits, and what is left behind."""

import asyncio
import cProfile
import gc
from typing import TYPE_CHECKING, Any

import looptime
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alohub_async import Priority, RateLimiter, RateLimitWaitError
from alohub_async.rate_limits.headers import HeaderReader
from alohub_async.rate_limits.limiter import Permit
from alohub_async.rate_limits.scheduler import Scheduler
from alohub_async.routes import Route
from tests.rate_limits.test_limiter import Server
from tests.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND

if TYPE_CHECKING:
    from multidict import CIMultiDict

ROUTES = (LIST_INBOUND, GET_INBOUND, UPDATE_INBOUND)
PRIORITIES: tuple[Priority, ...] = ("interactive", "normal", "bulk")


class CheckedScheduler(Scheduler):
    """Looks at every route before each grant."""

    def _grant(self, heads: list[Permit], now: float) -> None:
        assert self.tenant.ready_at(now) <= now
        every = [
            head
            for route_queue in self.route_queues.values()
            if route_queue.bucket.ready_at(now) <= now
            for queue in route_queue.queues.values()
            if (head := queue.head()) is not None
        ]
        assert self._policy.best(heads) is self._policy.best(every)
        assert any(head.priority == "bulk" for head in heads) == any(head.priority == "bulk" for head in every)
        super()._grant(heads, now)


class AnyOrder(RuleBasedStateMachine):
    """Requests come, are answered, fail, time out and are cancelled, between any two steps of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop(start=0.0)
        reader = HeaderReader(None)
        self.scheduler = CheckedScheduler(window=10.0, max_block=60.0, reader=reader, bulk_leaves=0.2)
        self.server = Server(tenant=None)
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.places: dict[int, tuple[Route, Priority]] = {}
        self.flights: dict[int, asyncio.Future[tuple[int, CIMultiDict[str], float | None]]] = {}
        self.sent: list[int] = []
        self.cancelled: set[int] = set()

    @initialize(tenant=st.none() | st.integers(1, 6), route=st.none() | st.integers(1, 4))
    def begin(self, tenant: int | None, route: int | None) -> None:
        """Choose the server's limits."""
        self.server = Server(tenant=tenant, route=route)

    async def _request(self, number: int, permit: Permit) -> None:
        async with permit:
            self.sent.append(number)
            self.flights[number] = flight = self.loop.create_future()
            try:
                status, headers, retry_after = await flight
            finally:
                del self.flights[number]
            permit.observe(status, headers, retry_after=retry_after)

    @rule(
        route=st.sampled_from(ROUTES),
        priority=st.sampled_from(PRIORITIES),
        count=st.integers(1, 4),
        max_wait=st.none() | st.floats(0.1, 30),
    )
    def ask(self, route: Route, priority: Priority, count: int, max_wait: float | None) -> None:
        """Some new requests."""
        for _ in range(count):
            number = len(self.tasks)
            permit = Permit(self.scheduler, route, number, priority, max_wait, 60.0)
            self.places[number] = route, priority
            self.tasks[number] = self.loop.create_task(self._request(number, permit))

    @rule(count=st.integers(1, 4))
    def step(self, count: int) -> None:
        """Single turns of the event loop."""
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(seconds=st.floats(0.0, 0.5) | st.floats(0.0, 25.0))
    def time_passes(self, seconds: float) -> None:
        """A little, or a lot."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    async def _answer(self, number: int) -> None:
        if (flight := self.flights.get(number)) is not None and not flight.done():
            flight.set_result(self.server.answer(self.places[number][0], number))

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), fails=st.booleans())
    def one_ends(self, data: st.DataObject, *, fails: bool) -> None:
        """With an answer, or without."""
        number = data.draw(st.sampled_from(sorted(self.flights)))
        if fails:
            self.cancelled.add(number)
            self.tasks[number].cancel()
        else:
            self.loop.run_until_complete(self._answer(number))

    @rule()
    def all_are_answered(self) -> None:
        """In the order in which they were sent."""
        for number in list(self.flights):
            self.loop.run_until_complete(self._answer(number))

    @precondition(lambda self: not all(task.done() for task in self.tasks.values()))
    @rule(data=st.data(), count=st.integers(1, 3))
    def some_are_cancelled(self, data: st.DataObject, count: int) -> None:
        """Wherever they are."""
        for _ in range(count):
            number = data.draw(st.sampled_from([number for number, task in self.tasks.items() if not task.done()]))
            self.cancelled.add(number)
            self.tasks[number].cancel()

    @rule()
    def nobody_waits_who_may_go(self) -> None:
        """Once all that is due has run."""
        self.step(5)
        now = self.loop.time()
        for route_queue in self.scheduler.route_queues.values():
            if route_queue.waiting:
                assert max(self.scheduler.tenant.ready_at(now), route_queue.bucket.ready_at(now)) > now

    @invariant()
    def the_order_holds(self) -> None:
        """First come, first served, within a route and a priority."""
        for place in {*self.places.values()}:
            mine = [number for number in self.sent if self.places[number] == place]
            assert mine == sorted(mine)

    def teardown(self) -> None:
        """All others end, and nothing is left."""
        for _ in self.tasks:
            if all(task.done() for task in self.tasks.values()):
                break
            self.step(3)
            self.all_are_answered()
            self.time_passes(21)
        for number, task in self.tasks.items():
            assert task.done()
            if number not in self.cancelled:
                assert number in self.sent or isinstance(task.exception(), RateLimitWaitError)
        buckets = [self.scheduler.tenant, *(each.bucket for each in self.scheduler.route_queues.values())]
        assert [bucket.in_flight for bucket in buckets] == [0] * len(buckets)
        assert not self.scheduler.waiting
        assert not any(each.waiting or each.waited.waiters for each in self.scheduler.route_queues.values())
        self.loop.close()


TestAnyOrder: Any = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def _calls(routes: int, waiters: int) -> int:
    """Function calls of that number of requests, nearly all of which wait."""
    server, limiter = Server(tenant=waiters, latency=0.0), RateLimiter()
    places = [Route("GET", f"/v1/thing-{number}") for number in range(routes)]
    with cProfile.Profile() as profile:
        await asyncio.gather(*(server.request(limiter, places[number % routes]) for number in range(waiters)))
    assert server.denied == 0
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.looptime
async def test_a_thousand_routes_cost_no_more_than_one() -> None:
    """Three thousand requests that wait take about as many calls over a thousand routes as over one."""
    assert await _calls(1000, 3000) == pytest.approx(await _calls(1, 3000), rel=0.5)


def test_a_grant_that_never_ran_holds_up_nobody_in_the_next_loop() -> None:
    """What was granted just before its event loop was closed is taken back."""
    server, limiter, loop = Server(tenant=50, latency=0.0), RateLimiter(), asyncio.new_event_loop()

    async def first() -> None:
        await server.request(limiter)
        loop.stop()  # before those run that this answer allowed

    tasks = [loop.create_task(first()), *(loop.create_task(server.request(limiter)) for _ in range(2))]
    loop.run_forever()
    status = limiter.status().tenant
    assert (status.in_flight, status.waiting) == (2, 0)
    loop.close()
    assert asyncio.run(server.request(limiter)) == 200
    del tasks
    gc.collect()
    status = limiter.status().tenant
    assert (status.in_flight, status.waiting) == (0, 0)
