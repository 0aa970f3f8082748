"""The asyncio side of the rate limit, on a loop whose time does not wait."""

import asyncio
import logging
import math
import re
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from multidict import CIMultiDict

from alohub_async import ConfigurationError, Priority, RateLimiter, RateLimitHeaders, RateLimitWaitError
from alohub_async.routes import Route
from alohub_async.testing import windows
from alohub_async.unset import UNSET, UnsetType
from tests.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND

pytestmark = pytest.mark.looptime


class Server:
    """A tenant's and each route's window. It answers at once or after a latency, without sockets."""

    def __init__(
        self,
        *,
        tenant: int | None,
        route: int | None = None,
        latency: float = 0.01,
        kind: windows.WindowKind = "sliding-log",
    ) -> None:
        self.latency = latency
        self.kind: windows.WindowKind = kind
        self.tenant: windows.ServerWindow | None = None if tenant is None else windows.make_window(kind, tenant)
        self.routes: dict[str, windows.ServerWindow] = {}
        self.route_limit = route
        self.sent: list[object] = []
        self.served: list[tuple[float, str, object]] = []
        self.denied = 0

    def answer(self, route: Route, who: object) -> tuple[int, CIMultiDict[str], float | None]:
        """Count a request; return status, headers and seconds to wait."""
        now = asyncio.get_running_loop().time()
        counts: dict[str, windows.ServerWindow] = {} if self.tenant is None else {"Tenant": self.tenant}
        if self.route_limit is not None:
            counts["Route"] = self.routes.setdefault(str(route), windows.make_window(self.kind, self.route_limit))
        allowed = all(window.free(now) > 0 for window in counts.values())
        for window in counts.values():
            if allowed:
                window.take(now)
        headers = CIMultiDict[str]()
        for scope, window in counts.items():
            headers[f"X-RateLimit-Limit-{scope}"] = str(window.limit)
            headers[f"X-RateLimit-Remaining-{scope}"] = str(window.free(now))
        if allowed:
            self.served.append((now, str(route), who))
            return 200, headers, None
        self.denied += 1
        return 429, headers, float(max(1, math.ceil(max(window.retry_after(now) for window in counts.values()))))

    async def request(
        self,
        limiter: RateLimiter,
        route: Route = LIST_INBOUND,
        who: object = None,
        *,
        max_wait: float | UnsetType | None = UNSET,
        priority: Priority = "normal",
    ) -> int:
        """Make one attempt through the limiter; return the status."""
        async with limiter.acquire(route, max_wait=max_wait, priority=priority) as permit:
            self.sent.append(who)
            await asyncio.sleep(self.latency)
            status, headers, retry_after = self.answer(route, who)
            await asyncio.sleep(self.latency)
            permit.observe(status, headers, retry_after=retry_after)
            return status


async def settled(check: Callable[[], bool]) -> None:
    """Run ready tasks until the check holds."""
    for _ in range(100):
        if check():
            return
        await asyncio.sleep(0)
    raise AssertionError("the check does not hold")


async def test_no_request_is_refused_and_the_budget_is_used_up() -> None:
    """Fifty callers at once against five in ten seconds: all served, none refused, five in each window."""
    server, limiter = Server(tenant=5), RateLimiter()
    statuses = await asyncio.gather(*(server.request(limiter, who=who) for who in range(50)))
    assert statuses == [200] * 50
    assert server.denied == 0
    assert asyncio.get_running_loop().time() < 9.2 * 10 + 10  # one window may be lost until the server is known


async def test_requests_of_a_route_go_first_come_first_served() -> None:
    """Requests go in the order in which they asked."""
    server, limiter = Server(tenant=5), RateLimiter()
    await asyncio.gather(*(server.request(limiter, who=who) for who in range(20)))
    assert server.sent == list(range(20))


async def test_the_oldest_waiter_across_routes_goes_first_when_the_tenant_allows_one() -> None:
    """No route starves another."""
    server, limiter = Server(tenant=4, latency=0.0), RateLimiter()
    routes = [LIST_INBOUND, GET_INBOUND, UPDATE_INBOUND]
    await asyncio.gather(*(server.request(limiter, routes[who % 3], who) for who in range(24)))
    each = [[who for at, _, who in server.served if int(at // 10) == window] for window in range(6)]
    assert all(set(window) == set(range(4 * n, 4 * n + 4)) for n, window in enumerate(each) if n)


async def test_a_route_with_its_budget_spent_does_not_hold_up_another() -> None:
    """While one route waits, another goes at once."""
    server, limiter = Server(tenant=100, route=2), RateLimiter()
    busy = [asyncio.ensure_future(server.request(limiter, LIST_INBOUND)) for _ in range(6)]
    await asyncio.sleep(1)
    started = asyncio.get_running_loop().time()
    await server.request(limiter, GET_INBOUND)
    assert asyncio.get_running_loop().time() - started < 0.1
    await asyncio.gather(*busy)
    assert server.denied == 0


async def test_a_refused_request_keeps_its_place() -> None:
    """After a 429 the same permit, entered again, goes before all that came later."""
    limiter = RateLimiter()
    order: list[str] = []
    full, free = ({"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": left} for left in ("0", "5"))

    async def later() -> None:
        async with limiter.acquire(LIST_INBOUND) as permit:
            order.append("later")
            permit.observe(200, CIMultiDict(free), retry_after=None)

    permit = limiter.acquire(LIST_INBOUND)
    async with permit:
        waiting = asyncio.ensure_future(later())
        await asyncio.sleep(0.1)
        permit.observe(429, CIMultiDict(full), retry_after=3.0)
    async with permit:
        order.append("refused")
        assert asyncio.get_running_loop().time() >= 3.1
        permit.observe(200, CIMultiDict(free), retry_after=None)
    await waiting
    assert order == ["refused", "later"]


async def test_while_nothing_is_known_one_request_goes_alone() -> None:
    """The first answer reports the budget; until then the others wait."""
    server, limiter = Server(tenant=50), RateLimiter()
    tasks = [asyncio.ensure_future(server.request(limiter)) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    status = limiter.status().tenant
    assert (status.in_flight, status.waiting, status.limit, status.free) == (1, 9, None, None)
    await asyncio.gather(*tasks)
    status = limiter.status().tenant
    assert (status.in_flight, status.waiting, status.limit, status.free) == (0, 0, 50, 40)


async def test_a_server_without_rate_limit_headers_is_not_limited() -> None:
    """As many at once as were served before: 500 take a few round trips."""
    server, limiter = Server(tenant=None), RateLimiter()
    await asyncio.gather(*(server.request(limiter) for _ in range(500)))
    assert asyncio.get_running_loop().time() < 0.3


@pytest.mark.parametrize("steps", range(1, 12))
async def test_cancelling_a_waiter_at_any_step_loses_no_slot(steps: int) -> None:
    """Wherever a request is cancelled, those behind it go, and nothing stays booked."""
    server, limiter = Server(tenant=5, latency=0.0), RateLimiter()
    await server.request(limiter)
    tasks = [asyncio.ensure_future(server.request(limiter, who=who)) for who in range(12)]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [200] * 6
    assert server.denied == 0
    status = limiter.status().tenant
    assert (status.in_flight, status.waiting) == (0, 0)
    await asyncio.wait_for(server.request(limiter), timeout=25)


async def test_a_request_cancelled_after_the_grant_but_before_it_ran_leaves_nothing_booked() -> None:
    """The next request gets its place."""
    server, limiter = Server(tenant=5, latency=0.0), RateLimiter()
    await server.request(limiter)
    assert limiter.status().tenant.free == 4
    async with limiter.acquire(LIST_INBOUND):
        pass
    first = asyncio.ensure_future(server.request(limiter))
    await settled(lambda: limiter.status().tenant.in_flight == 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert limiter.status().tenant.in_flight == 0


async def test_a_wait_that_is_known_to_be_too_long_raises_at_once() -> None:
    """`max_wait` raises before waiting, with the seconds it would have taken."""
    server, limiter = Server(tenant=2), RateLimiter()
    for _ in range(2):
        await server.request(limiter)
    started = asyncio.get_running_loop().time()
    with pytest.raises(RateLimitWaitError, match=r"wait for 1?\d\.\d+ s") as caught:
        await server.request(limiter, max_wait=1.5)
    assert "the maximum is 1.50 s" in str(caught.value)
    assert asyncio.get_running_loop().time() == started
    assert 9.9 < caught.value.wait < 20
    assert await server.request(limiter, max_wait=caught.value.wait + 0.1) == 200


async def test_the_queue_ahead_counts_for_the_wait() -> None:
    """With a window's worth of others in front, the wait is a window longer, and known to be."""
    server, limiter = Server(tenant=2), RateLimiter()
    ahead = [asyncio.ensure_future(server.request(limiter)) for _ in range(6)]
    await asyncio.sleep(1)
    with pytest.raises(RateLimitWaitError) as caught:
        await server.request(limiter, max_wait=15)
    assert caught.value.wait > 25
    await asyncio.gather(*ahead)


async def test_a_wait_that_turns_out_too_long_raises_when_it_is_over() -> None:
    """When the wait depends on an answer, it ends at `max_wait`."""
    server, limiter = Server(tenant=5, latency=30), RateLimiter(max_wait=2)
    slow = asyncio.ensure_future(server.request(limiter))
    await asyncio.sleep(0)
    with pytest.raises(RateLimitWaitError, match=r"wait until another request is answered, and the maximum is 2\.00 s"):
        await server.request(limiter)
    assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)
    assert await slow == 200
    assert limiter.status().tenant.waiting == 0


async def test_a_retry_after_beyond_the_cap_raises_instead_of_stalling() -> None:
    """A server that asks for an hour is not obeyed silently."""
    limiter = RateLimiter()
    full = CIMultiDict({"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0"})

    async def request() -> None:
        async with limiter.acquire(LIST_INBOUND) as permit:
            await asyncio.sleep(0.1)
            permit.observe(429, full, retry_after=3600.0)

    async def waiter(max_retry_after: float = 30) -> None:
        async with limiter.acquire(LIST_INBOUND, max_retry_after=max_retry_after):
            pass

    refused = asyncio.ensure_future(request())
    await asyncio.sleep(0)
    patient = asyncio.ensure_future(waiter(7200))
    with pytest.raises(RateLimitWaitError):
        await waiter()
    await refused
    with pytest.raises(RateLimitWaitError, match=r"the server asked for 3600\.00 s") as caught:
        await waiter()
    assert caught.value.wait == pytest.approx(60, abs=1)
    assert caught.value.retry_after == pytest.approx(3600, abs=1)
    assert asyncio.get_running_loop().time() < 1
    await patient
    assert 60 <= asyncio.get_running_loop().time() < 62


@pytest.mark.parametrize(("left", "refused"), [({}, 2), ({"Tenant": "0"}, 2), ({"Tenant": "7", "Route": "0"}, 1)])
async def test_a_long_retry_after_refuses_those_that_wait_for_the_same_budget(
    left: dict[str, str], refused: int
) -> None:
    """On all routes if it is the tenant's, or is not told; otherwise on the one route."""
    limiter, results = RateLimiter(), list[str]()

    async def waiter(route: Route) -> None:
        try:
            async with limiter.acquire(route, max_retry_after=30):
                results.append(f"{route} went")
        except RateLimitWaitError as exc:
            results.append(f"{route} {exc.wait:.0f} {asyncio.get_running_loop().time():.0f}")

    async with limiter.acquire(LIST_INBOUND) as permit:
        tasks = [asyncio.ensure_future(waiter(route)) for route in (LIST_INBOUND, GET_INBOUND)]
        await asyncio.sleep(1)
        headers = {f"X-RateLimit-Remaining-{scope}": count for scope, count in left.items()}
        headers |= {f"X-RateLimit-Limit-{scope}": "10" for scope in left}
        permit.observe(429, CIMultiDict(headers), retry_after=40.0)
    await asyncio.sleep(0.1)
    both = [f"{LIST_INBOUND} 40 1", f"{GET_INBOUND} 40 1" if refused == 2 else f"{GET_INBOUND} went"]
    assert sorted(results) == sorted(both)
    await asyncio.gather(*tasks)


class Refusing:
    """A server that answers 429 until a time, and then serves all."""

    def __init__(self, until: float, retry_after: float) -> None:
        self.until = until
        self.retry_after = retry_after
        self.times: list[float] = []
        self.in_flight = 0

    async def request(self, limiter: RateLimiter) -> int:
        """Make one attempt."""
        loop = asyncio.get_running_loop()
        async with limiter.acquire(LIST_INBOUND, max_retry_after=60) as permit:
            self.times.append(loop.time())
            self.in_flight += 1
            assert loop.time() < 1 or loop.time() > self.until or self.in_flight == 1, "one probe at a time"
            await asyncio.sleep(3)
            self.in_flight -= 1
            refused = loop.time() < self.until
            left = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0" if refused else "40"}
            permit.observe(
                429 if refused else 200, CIMultiDict(left), retry_after=self.retry_after if refused else None
            )
            return 429 if refused else 200


@pytest.mark.parametrize(("max_block", "block"), [(None, 60.0), (7.0, 7.0)])
@pytest.mark.parametrize("asked", [86_400.0, 1e308, math.inf])
async def test_one_answer_stops_the_sharers_for_the_bound_only(
    caplog: pytest.LogCaptureFixture, asked: float, max_block: float | None, block: float
) -> None:
    """After the bound one request tries, alone; refused, the next tries a bound later; served, all go at once."""
    caplog.set_level(logging.INFO, "alohub_async")
    limiter = RateLimiter(max_block=max_block)
    server = Refusing(until=1.5 * block + 3, retry_after=asked)
    first = asyncio.ensure_future(server.request(limiter))
    await asyncio.sleep(0.1)
    statuses = await asyncio.gather(first, *(server.request(limiter) for _ in range(20)))
    assert sorted(statuses) == [200] * 19 + [429] * 2
    assert [server.times[1] - server.times[0], server.times[2] - server.times[1]] == pytest.approx([block + 3] * 2)
    assert server.times[-1] - server.times[2] < 3.1
    shown = {86_400.0: "86400.00", 1e308: "1e+308", math.inf: "inf"}[asked]
    assert f"the server asks to wait {shown} s; in {block:.0f} s one request tries" in caplog.text


def test_a_long_window_is_the_bound() -> None:
    """Whose window is an hour is asked to wait for most of one."""
    assert (RateLimiter().max_block, RateLimiter(window=3600).max_block) == (60.0, 3600)
    assert RateLimiter(window=3600, max_block=5).max_block == 5


class OddServer(Server):
    """A server whose 251st answer is a 429 that asks for 50 s, for no reason."""

    def answer(self, route: Route, who: object) -> tuple[int, CIMultiDict[str], float | None]:
        """Count a request; return status, headers and seconds to wait."""
        status, headers, retry_after = super().answer(route, who)
        if len(self.served) == 251:
            headers["X-RateLimit-Remaining-Tenant"] = "0"
            return 429, headers, 50.0
        return status, headers, retry_after


async def test_one_odd_answer_costs_its_own_wait_only() -> None:
    """A 429 that asks for 50 s in the middle of 1,500 requests does not slow the rest down."""
    server, limiter = OddServer(tenant=100), RateLimiter()
    await asyncio.gather(*(server.request(limiter) for _ in range(1500)))
    assert asyncio.get_running_loop().time() < 150 + 50 + 30


async def test_waiters_cancelled_in_the_moment_of_a_long_retry_after_are_counted_once() -> None:
    """Cancelled and refused in the same step: the count of waiters is right."""
    limiter = RateLimiter()
    permit = limiter.acquire(LIST_INBOUND)

    async def waiter() -> None:
        async with limiter.acquire(LIST_INBOUND, max_retry_after=30):
            pass

    async with permit:
        tasks = [asyncio.ensure_future(waiter()) for _ in range(4)]
        await asyncio.sleep(0.1)
        permit.observe(429, CIMultiDict(), retry_after=3600.0)
        for task in tasks[:2]:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2 + [RateLimitWaitError] * 2
    assert limiter.status().tenant.waiting == 0


async def test_a_stall_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Waiting for more than five seconds leaves one line in the log, not one per waiter."""
    server, limiter = Server(tenant=5), RateLimiter()
    with caplog.at_level(logging.WARNING, "alohub_async"):
        await asyncio.gather(*(server.request(limiter) for _ in range(10)))
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert re.match(r"the rate limit is used up: waiting=5 seconds=1\d\.\d+ ", record.getMessage())


async def test_one_request_that_waits_is_logged_in_the_singular(caplog: pytest.LogCaptureFixture) -> None:
    """The line reads as English."""
    server, limiter = Server(tenant=1), RateLimiter()
    with caplog.at_level(logging.WARNING, "alohub_async"):
        await asyncio.gather(*(server.request(limiter) for _ in range(2)))
    assert "the rate limit is used up: waiting=1 seconds=" in caplog.text


async def test_clients_that_share_a_limiter_share_one_budget() -> None:
    """Two users of one limiter stay within one budget together."""
    server, limiter = Server(tenant=5), RateLimiter()
    await asyncio.gather(*(server.request(limiter, who=who) for who in range(20) for _ in range(2)))
    assert server.denied == 0


async def test_a_limit_that_shrinks_or_grows_is_followed() -> None:
    """What the latest answer says holds at once."""
    server, limiter = Server(tenant=20), RateLimiter()
    assert server.tenant is not None
    await asyncio.gather(*(server.request(limiter) for _ in range(20)))
    server.tenant.limit = 4
    await asyncio.sleep(20)
    await server.request(limiter)
    assert limiter.status().tenant.limit == 4
    await asyncio.gather(*(server.request(limiter) for _ in range(12)))
    assert server.denied == 0
    server.tenant.limit = 40
    await asyncio.sleep(20)
    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(server.request(limiter) for _ in range(40)))
    assert asyncio.get_running_loop().time() - started < 1


async def test_ten_thousand_waiters_cost_no_more_each_than_a_hundred() -> None:
    """Work per request does not grow with the queue. The bound is generous, because machines are noisy."""

    async def cost(waiters: int) -> float:
        server, limiter = Server(tenant=waiters, latency=0.0), RateLimiter()
        started = time.process_time()
        await asyncio.gather(*(server.request(limiter) for _ in range(waiters)))
        return (time.process_time() - started) / waiters

    few = min([await cost(100) for _ in range(5)])
    assert await cost(10_000) < 5 * few


async def test_ten_thousand_waiters_can_be_cancelled_at_once() -> None:
    """Cancelling a long queue is quick and leaves nothing behind."""
    server, limiter = Server(tenant=1, latency=0.0), RateLimiter()
    await server.request(limiter)
    tasks = [asyncio.ensure_future(server.request(limiter)) for _ in range(10_000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert limiter.status().tenant.waiting == 10_000
    started = time.process_time()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert time.process_time() - started < 5
    assert limiter.status().tenant.waiting == 0
    assert await server.request(limiter) == 200


async def test_many_routes_are_not_remembered_for_ever() -> None:
    """Calling ever new paths does not make the limiter grow without end."""
    server, limiter = Server(tenant=None, latency=0.0), RateLimiter()
    for number in range(1050):
        await server.request(limiter, Route("GET", f"/v1/thing-{number}"))
    assert len(limiter.status().routes) <= 1000


async def test_a_request_that_is_tried_again_goes_when_its_route_was_forgotten() -> None:
    """It does not wait in a queue that is no longer served."""
    limiter = RateLimiter()
    permit = limiter.acquire(LIST_INBOUND)
    async with permit:
        full = {"X-RateLimit-Limit-Route": "5", "X-RateLimit-Remaining-Route": "0"}
        permit.observe(429, CIMultiDict(full), retry_after=3.0)
    for number in range(1000):
        async with limiter.acquire(Route("GET", f"/v1/thing-{number}")) as other:
            other.observe(200, CIMultiDict(), retry_after=None)
    async with asyncio.timeout(60), permit:
        pass


async def test_the_route_key_decides_what_one_route_is() -> None:
    """What the server counts as a route is not known, so the user can define it."""
    server, limiter = Server(tenant=50, route=50), RateLimiter(route_key=lambda route: route.template)
    await server.request(limiter, GET_INBOUND)
    await server.request(limiter, UPDATE_INBOUND)
    assert list(limiter.status().routes) == ["/v1/queues/inbound/{id}"]


def test_a_limiter_can_move_to_a_new_loop_when_the_old_one_is_closed() -> None:
    """Two `asyncio.run` in a row may use one limiter."""
    limiter = RateLimiter()
    for _ in range(2):
        assert asyncio.run(Server(tenant=50, latency=0.0).request(limiter)) == 200


def test_two_event_loops_at_once_get_a_clear_error() -> None:
    """A limiter in use by another open loop says so instead of hanging."""
    limiter = RateLimiter()
    first = asyncio.new_event_loop()
    try:
        first.run_until_complete(Server(tenant=50, latency=0.0).request(limiter))
        told = r"^this RateLimiter \(or its client\) is used by another event loop; make one client for each loop$"
        with pytest.raises(ConfigurationError, match=told):
            asyncio.run(Server(tenant=50, latency=0.0).request(limiter))
    finally:
        first.close()


@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan, "10", True, False], ids=repr)
@pytest.mark.parametrize("name", ["window", "max_wait", "max_block"])
def test_a_number_of_seconds_out_of_range_is_refused(name: str, bad: Any) -> None:
    """The error names the argument and what was given."""
    with pytest.raises(ConfigurationError, match=rf"{name} must be a number of seconds above 0.*; {bad!r} was given"):
        RateLimiter(**{name: bad})


async def test_max_wait_of_one_permit_replaces_that_of_the_limiter() -> None:
    """None is no maximum; by default it is the limiter's."""
    server, limiter = Server(tenant=1), RateLimiter(max_wait=2)
    await server.request(limiter)
    with pytest.raises(RateLimitWaitError):
        await server.request(limiter)
    with pytest.raises(RateLimitWaitError):
        await server.request(limiter, max_wait=3)
    assert await server.request(limiter, max_wait=None) == 200


async def test_a_permit_takes_few_calls_while_there_is_budget() -> None:
    """Of our functions, from acquiring to leaving; those that read new header values included."""
    server, limiter = Server(tenant=10_000, route=5_000), RateLimiter()
    await server.request(limiter)
    calls: list[str] = []

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "alohub_async" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_qualname)

    _, headers, _ = server.answer(LIST_INBOUND, None)
    sys.setprofile(count)
    try:
        async with limiter.acquire(LIST_INBOUND) as permit:
            permit.observe(200, headers, retry_after=None)
    finally:
        sys.setprofile(None)
    assert len(calls) <= 14, calls


async def test_named_headers_are_the_only_ones_read() -> None:
    """A user who knows the names can give them."""
    names = RateLimitHeaders(tenant_limit="X-Most", tenant_remaining="X-Left")
    limiter = RateLimiter(headers=names)
    async with limiter.acquire(LIST_INBOUND) as permit:
        permit.observe(200, CIMultiDict({"x-most": "7", "x-left": "6", "X-RateLimit-Limit": "99"}), retry_after=None)
    assert limiter.status().tenant.limit == 7


@pytest.mark.parametrize("scope", ["tenant", "route"])
async def test_a_scope_of_which_no_answer_says_anything_is_not_limited(scope: str) -> None:
    """Beside the budget of the other one, a hundred requests go at once."""
    server = Server(tenant=500) if scope == "route" else Server(tenant=None, route=500)
    limiter = RateLimiter()
    await server.request(limiter)
    await asyncio.gather(*(server.request(limiter) for _ in range(100)))
    assert asyncio.get_running_loop().time() == pytest.approx(4 * server.latency)


async def test_a_new_request_does_not_pass_those_that_were_granted_and_have_not_run() -> None:
    """It comes in the moment in which an answer allowed all that wait."""
    server, limiter = Server(tenant=50), RateLimiter()
    async with limiter.acquire(LIST_INBOUND) as permit:
        waiting = [asyncio.ensure_future(server.request(limiter, who=who)) for who in range(3)]
        await asyncio.sleep(1)
        permit.observe(*server.answer(LIST_INBOUND, None)[:2], retry_after=None)
    await asyncio.gather(*waiting, server.request(limiter, who="new"))
    assert server.sent == [0, 1, 2, "new"]


class BusyLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes while a callback runs."""

    passed = 0.0

    def time(self) -> float:
        """Seconds of its clock."""
        return super().time() + self.passed


def test_a_new_request_does_not_pass_those_whose_time_has_come() -> None:
    """The event loop was busy when it came: the timer fires late, and the tenant has one request left."""
    limiter, order, loop = RateLimiter(), list[str](), BusyLoop()

    async def request(who: str, route: Route, left: int) -> None:
        headers = {"X-RateLimit-Limit-Tenant": "50", "X-RateLimit-Remaining-Tenant": str(left)}
        if route is LIST_INBOUND:
            headers |= {"X-RateLimit-Limit-Route": "1", "X-RateLimit-Remaining-Route": "0"}
        async with limiter.acquire(route) as permit:
            order.append(who)
            permit.observe(200, CIMultiDict(headers), retry_after=None)

    async def run() -> None:
        await request("first", LIST_INBOUND, 40)
        waiting = asyncio.ensure_future(request("waiting", LIST_INBOUND, 30))
        await asyncio.sleep(0)
        loop.passed = 9.0
        await request("other route", GET_INBOUND, 1)
        loop.passed = 13.0
        await request("new", GET_INBOUND, 30)
        await waiting

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    assert order == ["first", "other route", "waiting", "new"]


async def test_a_pause_is_part_of_the_wait() -> None:
    """It counts against `max_wait`, and one that is longer than what is left of it raises at once."""
    loop, limiter = asyncio.get_running_loop(), RateLimiter()
    permit = limiter.acquire(LIST_INBOUND, max_wait=10)
    async with permit:
        pass
    await permit.pause(4)
    assert (permit.max_wait, loop.time()) == (6, 4)
    told = (
        r"^the rate limit makes the request wait for 7\.00 s, and the maximum is 6\.00 s; try again later, or allow a"
    )
    with pytest.raises(RateLimitWaitError, match=told) as caught:
        await permit.pause(7)
    assert (caught.value.wait, loop.time()) == (7, 4)
    await permit.pause(6)
    assert (permit.max_wait, loop.time()) == (0, 10)
    await limiter.acquire(LIST_INBOUND).pause(50)
    assert loop.time() == 60


async def test_the_status_counts_what_happened() -> None:
    """Of both scopes: what was sent and refused, what waits and since when, and when the next goes."""
    limiter = RateLimiter()
    refused = CIMultiDict({"X-RateLimit-Limit-Route": "5", "X-RateLimit-Remaining-Route": "0"})
    for _ in range(2):
        async with limiter.acquire(LIST_INBOUND) as permit:
            permit.observe(429, refused, retry_after=3.0)
    async with limiter.acquire(GET_INBOUND) as permit:
        pass
    waiting = [asyncio.ensure_future(Server(tenant=None, route=5).request(limiter)) for _ in range(2)]
    await asyncio.sleep(1)
    status = limiter.status()
    assert [str(route) for route in (LIST_INBOUND, GET_INBOUND)] == [*status.routes]
    route, other = status.routes.values()
    assert (status.denied, status.tenant.denied, route.denied, other.denied) == (2, 0, 2, 0)
    assert (status.tenant.sent, route.sent, other.sent) == (3, 2, 1)
    assert (status.tenant.waiting, route.waiting, other.waiting) == (2, 2, 0)
    assert (route.limit, route.free, route.in_flight) == (5, 0, 0)
    second_look = route.waited - 1.0  # after the second 429, a little later than it asked
    assert (status.tenant.waited, other.waited) == (route.waited, 0.0)
    assert 3.0 <= second_look < 3.2
    assert (other.next_due, status.tenant.next_due) == (0.0, 0.0)
    assert route.next_due == pytest.approx(limiter.forecast(LIST_INBOUND, 1))
    assert 1.9999 <= route.next_due < 2.5
    await asyncio.gather(*waiting)
    assert limiter.status().tenant.waited == pytest.approx(route.waited + route.next_due, abs=0.2)


async def test_a_permit_entered_again_has_no_answer_of_before() -> None:
    """Without a new one it is settled as lost, and no second 429 is counted."""
    limiter = RateLimiter()
    permit = limiter.acquire(LIST_INBOUND)
    async with permit:
        permit.observe(429, CIMultiDict(), retry_after=1.0)
    async with permit:
        pass
    status = limiter.status()
    assert (status.denied, status.tenant.in_flight, status.tenant.sent) == (1, 0, 2)


async def test_a_wait_of_exactly_what_is_allowed_is_allowed() -> None:
    """A request that allows the seconds of a `Retry-After` waits for them."""
    limiter = RateLimiter()
    async with limiter.acquire(LIST_INBOUND) as permit:
        permit.observe(429, CIMultiDict(), retry_after=30.0)
    async with limiter.acquire(LIST_INBOUND, max_retry_after=30.0):
        assert asyncio.get_running_loop().time() == 30
    async with limiter.acquire(LIST_INBOUND) as permit:
        permit.observe(429, CIMultiDict(), retry_after=30.0)
    with pytest.raises(RateLimitWaitError):
        await limiter.acquire(LIST_INBOUND, max_retry_after=29.9).__aenter__()


async def test_forecast_is_by_the_key_of_the_route() -> None:
    """Two routes with one key have one budget."""
    server, limiter = Server(tenant=None, route=5), RateLimiter(route_key=lambda route: route.template)
    for _ in range(5):
        await server.request(limiter, GET_INBOUND)
    assert limiter.forecast(UPDATE_INBOUND, 1) == limiter.forecast(GET_INBOUND, 1) > 9.0
    assert limiter.forecast(LIST_INBOUND, 1) == 0.0


@pytest.mark.parametrize("scope", ["tenant", "route"])
async def test_a_request_without_an_answer_tells_nothing(scope: str) -> None:
    """The scope is not taken for one without a limit: one request of it goes first again."""
    server, limiter = Server(tenant=None if scope == "tenant" else 50), RateLimiter()
    if scope == "route":
        await server.request(limiter, GET_INBOUND)
    for _ in range(10):
        async with limiter.acquire(LIST_INBOUND):
            pass
    routes = (LIST_INBOUND, GET_INBOUND, UPDATE_INBOUND) if scope == "tenant" else [LIST_INBOUND] * 3
    tasks = [asyncio.ensure_future(server.request(limiter, route)) for route in routes]
    await asyncio.sleep(0.005)
    assert limiter.status().tenant.in_flight == 1
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("scope", ["tenant", "route"])
async def test_lost_answers_leave_the_limit_that_was_told(scope: str) -> None:
    """Many in a row are no sign that the server has stopped to tell it."""
    server = Server(tenant=50) if scope == "tenant" else Server(tenant=None, route=50)
    limiter = RateLimiter()
    await server.request(limiter)
    for _ in range(10):
        async with limiter.acquire(LIST_INBOUND):
            pass
    status = limiter.status()
    assert {"tenant": status.tenant, "route": status.routes[str(LIST_INBOUND)]}[scope].free == 39
    tasks = [asyncio.ensure_future(server.request(limiter)) for _ in range(5)]
    await asyncio.sleep(0.005)
    assert limiter.status().tenant.in_flight == 5
    await asyncio.gather(*tasks)


async def test_without_headers_a_429_sets_the_pace_of_its_own_route() -> None:
    """The others go as before, once it is over: many at once."""
    loop, limiter = asyncio.get_running_loop(), RateLimiter()

    async def request(route: Route, status: int = 200) -> None:
        async with limiter.acquire(route) as permit:
            permit.observe(status, CIMultiDict(), retry_after=1.0 if status == 429 else None)

    for _ in range(30):
        await request(LIST_INBOUND)
    await request(LIST_INBOUND, 429)
    await request(LIST_INBOUND)
    assert loop.time() == pytest.approx(1.0)
    await asyncio.gather(*(request(GET_INBOUND) for _ in range(20)))
    assert loop.time() == pytest.approx(1.0)
    await asyncio.gather(*(request(LIST_INBOUND) for _ in range(20)))
    assert 3.0 < loop.time() < 9.0


@pytest.mark.parametrize("scope", ["Tenant", "Route"])
async def test_clients_that_are_refused_together_come_back_apart(scope: str) -> None:
    """A 429 that does not say when leaves it to each: after about a tenth of a window."""
    waits = set[float]()
    for _ in range(8):
        limiter = RateLimiter()
        async with limiter.acquire(LIST_INBOUND) as permit:
            headers = {
                f"X-RateLimit-{kind}-{each}": "9" for kind in ("Limit", "Remaining") for each in ("Tenant", "Route")
            }
            permit.observe(429, CIMultiDict(headers | {f"X-RateLimit-Remaining-{scope}": "0"}), retry_after=None)
        status = limiter.status()
        waits.add((status.tenant if scope == "Tenant" else status.routes[str(LIST_INBOUND)]).next_due)
    assert len(waits) > 4
    assert 0.75 <= min(waits) <= max(waits) <= 1.25


async def test_forecast_counts_those_that_wait_on_other_routes() -> None:
    """They spend from the tenant's budget as well."""
    server, limiter = Server(tenant=5), RateLimiter()
    for _ in range(5):
        await server.request(limiter)
    alone = limiter.forecast(LIST_INBOUND, 3)
    assert 9 < alone < 13
    waiting = [asyncio.ensure_future(server.request(limiter, GET_INBOUND)) for _ in range(3)]
    await asyncio.sleep(0)
    assert limiter.forecast(LIST_INBOUND, 2) == alone
    assert limiter.forecast(LIST_INBOUND, 3) == alone + 10.0
    await asyncio.gather(*waiting)


async def test_the_queue_ahead_counts_for_the_wait_for_a_route() -> None:
    """Also where the tenant has no limit."""
    server, limiter = Server(tenant=None, route=2), RateLimiter()
    ahead = [asyncio.ensure_future(server.request(limiter)) for _ in range(4)]
    await asyncio.sleep(1)
    with pytest.raises(RateLimitWaitError) as caught:
        await server.request(limiter, max_wait=15)
    assert 18 < caught.value.wait < 26
    await asyncio.gather(*ahead)
