"""Which requests go first: interactive, normal and bulk on one budget; and the forecast of waits."""

import asyncio
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alohub_async import ConfigurationError, Priority, RateLimiter, RateLimitWaitError
from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.priorities import PriorityPolicy
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.wait_queues import RouteQueue
from alohub_async.routes import Route
from alohub_async.testing.windows import WindowKind, make_window
from tests.rate_limits.test_limiter import Server
from tests.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND

looptime = pytest.mark.looptime
PRIORITIES: tuple[Priority, ...] = ("interactive", "normal", "bulk")


async def _many(
    server: Server, limiter: RateLimiter, counts: dict[Priority, int], routes: dict[Priority, Route] | None = None
) -> list[Priority]:
    """Send all at once; return the priorities in the order they were served."""
    calls = [
        server.request(limiter, (routes or {}).get(priority, LIST_INBOUND), priority, priority=priority)
        for priority, count in counts.items()
        for _ in range(count)
    ]
    assert {*await asyncio.gather(*calls)} == {200}
    assert server.denied == 0
    served: list[Any] = [who for _, _, who in server.served]
    return served


@looptime
@pytest.mark.parametrize("routes", [None, {"bulk": LIST_INBOUND, "interactive": GET_INBOUND}], ids=["one", "two"])
@pytest.mark.parametrize(("share", "limit"), [(0.2, 10), (0.5, 10), (0.1, 50), (0.2, 3)])
async def test_bulk_leaves_the_others_their_share(
    share: float, limit: int, routes: dict[Priority, Route] | None
) -> None:
    """While both wait, the others get that share: on one route, and on two that share the tenant's budget."""
    count = limit * 12
    served = await _many(
        Server(tenant=limit), RateLimiter(bulk_leaves=share), {"bulk": count, "interactive": count}, routes
    )
    first = Counter(served[: limit * 10])
    assert first["interactive"] / (limit * 10) == pytest.approx(share, abs=0.05)


@looptime
async def test_bulk_alone_uses_all() -> None:
    """Where no others wait, nothing is left to them."""
    started = asyncio.get_running_loop().time()
    await _many(Server(tenant=10), RateLimiter(), {"bulk": 50})
    assert asyncio.get_running_loop().time() - started < 45


@looptime
async def test_interactive_request_goes_at_the_next_opening() -> None:
    """It waits for less than a window, however many bulk requests came before it."""
    server, limiter = Server(tenant=5), RateLimiter()
    bulk = [asyncio.create_task(server.request(limiter, priority="bulk")) for _ in range(100)]
    for _ in range(6):
        await asyncio.sleep(17)
        started = asyncio.get_running_loop().time()
        assert await server.request(limiter, priority="interactive") == 200
        assert asyncio.get_running_loop().time() - started < 10.5
    await asyncio.gather(*bulk)
    assert server.denied == 0


@looptime
async def test_interactive_goes_before_normal_that_came_just_before() -> None:
    """But not before one that has waited a window longer."""
    server, limiter = Server(tenant=1), RateLimiter()
    await server.request(limiter)
    order: list[str] = []

    async def call(who: str, priority: Priority) -> None:
        await server.request(limiter, priority=priority)
        order.append(who)

    tasks = [asyncio.create_task(call("old", "normal")), asyncio.create_task(call("older bulk", "bulk"))]
    await asyncio.sleep(1)
    tasks.append(asyncio.create_task(call("second", "normal")))
    await asyncio.sleep(1)
    tasks.append(asyncio.create_task(call("urgent", "interactive")))
    await asyncio.sleep(13)
    tasks.append(asyncio.create_task(call("late", "interactive")))
    await asyncio.gather(*tasks)
    assert order.index("urgent") < order.index("second") < order.index("late")


def _requests(count: int) -> st.SearchStrategy[list[tuple[Priority, int, float, bool]]]:
    request = st.tuples(st.sampled_from(PRIORITIES), st.integers(0, 2), st.floats(0, 60), st.booleans())
    return st.lists(request, min_size=1, max_size=count)


@looptime
@settings(max_examples=150)
@given(_requests(30), st.integers(1, 6), st.none() | st.integers(1, 4))
async def test_all_are_served_in_order_and_none_is_refused(
    requests: list[tuple[Priority, int, float, bool]], tenant: int, route: int | None
) -> None:
    """For any times, priorities and cancellations: first come, first served within a route and a priority."""
    server, limiter = Server(tenant=tenant, route=route), RateLimiter()
    routes = (LIST_INBOUND, GET_INBOUND, UPDATE_INBOUND)
    arrived: dict[tuple[str, str], list[int]] = {}

    async def call(number: int, priority: Priority, at: int, delay: float) -> None:
        await asyncio.sleep(delay)
        arrived.setdefault((priority, str(routes[at])), []).append(number)
        await server.request(limiter, routes[at], (priority, str(routes[at]), number), priority=priority)

    tasks = [
        asyncio.create_task(call(number, priority, at, delay))
        for number, (priority, at, delay, _) in enumerate(requests)
    ]
    await asyncio.sleep(20)
    for task, (*_, is_cancelled) in zip(tasks, requests, strict=True):
        if is_cancelled:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert server.denied == 0
    for (priority, name), numbers in arrived.items():
        sent: list[Any] = server.sent
        mine = [number for whose, where, number in sent if (whose, where) == (priority, name)]
        assert mine == [number for number in numbers if number in mine]
        assert {number for number in numbers if not requests[number][3]} <= {*mine}
    status = limiter.status().tenant
    assert (status.in_flight, status.waiting) == (0, 0)


@attrs.define
class _Waiter:
    sequence: int
    priority: Priority
    arrived: float = 0.0
    max_retry_after: float = 0.0
    cancelled: bool = False


@given(st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_no_priority_starves(arrivals: list[Priority], share: float) -> None:
    """In any stream of new requests, the oldest of each kind goes within 1 / share, or 1 / (1 - share), turns."""
    policy = PriorityPolicy[_Waiter](bulk_leaves=share, window=10.0)
    route_queue = RouteQueue[_Waiter](Bucket(10.0))
    waited: Counter[str] = Counter()
    for place, priority in enumerate(arrivals * 4):
        for each in PRIORITIES:  # there is always one of each
            if not route_queue.queues[each].waiting:
                route_queue.queues[each].add(_Waiter(place, each, arrived=float(place)))
        route_queue.queues[priority].add(_Waiter(place, priority, arrived=float(place)))
        heads = [head for queue in route_queue.queues.values() if (head := queue.head()) is not None]
        chosen = policy.best(heads)
        policy.record_grant(chosen, heads, limit=10)
        route_queue.queues[chosen.priority].pop()
        for kind in ("bulk", "other"):
            waited[kind] = 0 if (chosen.priority == "bulk") == (kind == "bulk") else waited[kind] + 1
        assert waited["other"] <= 1 / share + 1
        assert waited["bulk"] <= max(1, 3 * share * 10) / (1 - share) + 2


def _turns(policy: PriorityPolicy[_Waiter], count: int, limit: int | None, kinds: str = "bi") -> str:
    """Which of these kinds of request go, one after another, while one of each waits."""
    heads = [_Waiter(number, "bulk" if kind == "b" else "interactive") for number, kind in enumerate(kinds)]
    turns = ""
    for _ in range(count):
        chosen = policy.best(heads)
        policy.record_grant(chosen, heads, limit=limit)
        turns += chosen.priority[0]
    return turns


@pytest.mark.parametrize("alone", ["b", "i"])
@pytest.mark.parametrize(
    ("limit", "turns"), [(10, "iiiiiiiiibibbbi"), (2, "ibibbbibbbib"), (1, "ibbbibbbi"), (0, "ibbbi"), (None, "ibbbi")]
)
def test_what_the_others_did_not_use_is_saved_for_them(alone: str, limit: int | None, turns: str) -> None:
    """Up to a quarter of three windows, or one request if that is more or the limit is not known."""
    policy = PriorityPolicy[_Waiter](bulk_leaves=0.25, window=10.0)
    assert _turns(policy, 100, limit, alone) == alone * 100
    assert _turns(policy, len(turns), limit) == turns


def test_without_a_known_limit_one_request_is_saved() -> None:
    """However large the share is."""
    policy = PriorityPolicy[_Waiter](bulk_leaves=0.5, window=10.0)
    _turns(policy, 100, None, "b")
    assert _turns(policy, 6, None) == "ibibib"


def test_of_one_kind_the_lowest_rank_goes() -> None:
    """The oldest; a normal request counts as if it had come a window later, and then the lower number goes."""
    policy = PriorityPolicy[_Waiter](bulk_leaves=0.2, window=10.0)
    bulk = [_Waiter(1, "bulk", 7.0), _Waiter(2, "bulk", 5.0), _Waiter(3, "bulk", 5.0)]
    assert policy.best(bulk) is bulk[1]
    normal, older = _Waiter(1, "normal", 3.0), _Waiter(4, "normal", 2.0)
    same, later = _Waiter(5, "interactive", 12.0), _Waiter(2, "interactive", 12.5)
    assert [policy.best(heads).sequence for heads in ([normal, older, same], [normal, same], [later, same])] == [
        4,
        5,
        5,
    ]
    assert policy.best([normal, later]) is later


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, True, "0.2", None], ids=repr)
def test_share_out_of_range_is_refused(share: Any) -> None:
    """0 would starve the others, 1 would starve bulk."""
    with pytest.raises(ConfigurationError, match="bulk_leaves must be a number above 0 and below 1"):
        RateLimiter(bulk_leaves=share)


# Forecasts


@pytest.mark.parametrize("kind", ["aligned", "first-request", "sliding-log", "sliding-counter", "token-bucket"])
@given(limit=st.integers(1, 12), used=st.integers(0, 20), requests=st.integers(1, 40), start=st.floats(0, 30))
@example(limit=10, used=17, requests=11, start=27.0)
@example(limit=5, used=4, requests=16, start=23.875)
@settings(max_examples=40)
def test_forecast_is_never_more_than_it_takes(
    kind: WindowKind, limit: int, used: int, requests: int, start: float
) -> None:
    """Sent one after another as soon as each may go, the last one goes no sooner than the forecast says.

    Windows that begin at fixed times allow a full limit before and after that time: sooner by less than a window.
    """
    bucket, window, now = Bucket(10.0), make_window(kind, limit), start

    def send() -> None:
        nonlocal now
        now = max(now, bucket.ready_at(now))
        ticket = bucket.send(now)
        now += 0.01
        if window.free(now) > 0:
            window.take(now)
            bucket.settle(ticket, now, window_snapshot())
        else:  # a weighted counter may refuse one until the bucket knows its phase
            bucket.settle(ticket, now, window_snapshot(), denied=True, retry_after=window.retry_after(now))

    def window_snapshot() -> RateLimit:
        return RateLimit(limit=limit, remaining=max(0, window.free(now)))

    for _ in range(used + 1):
        send()
    forecast, asked_at = bucket.forecast(requests, now), now
    for _ in range(requests - 1):
        send()
    goes = max(now, bucket.ready_at(now)) - asked_at
    assert forecast <= goes + (10.0 if kind in {"aligned", "sliding-counter"} else 1e-6)


@looptime
async def test_forecast_of_the_limiter_counts_the_waiters() -> None:
    """It is the longer of both budgets; 0.0 while nothing is known, and for no requests."""
    server, limiter = Server(tenant=20, route=5), RateLimiter()
    assert limiter.forecast(LIST_INBOUND, 1000) == 0.0
    for _ in range(5):
        await server.request(limiter)
    assert limiter.forecast(LIST_INBOUND, 0) == 0.0
    assert 9 < limiter.forecast(LIST_INBOUND, 5) < 13
    assert 19 < limiter.forecast(LIST_INBOUND, 6) < 23
    assert limiter.forecast(GET_INBOUND, 15) == 0.0
    waiting = [asyncio.create_task(server.request(limiter)) for _ in range(5)]
    await asyncio.sleep(0)
    assert 19 < limiter.forecast(LIST_INBOUND, 1) < 23
    await asyncio.gather(*waiting)


@looptime
async def test_too_long_a_wait_is_refused_at_once_with_the_time() -> None:
    """The error is raised before any waiting, and has the seconds that it would have taken."""
    server, limiter = Server(tenant=5), RateLimiter()
    await _many(server, limiter, {"normal": 5})
    tasks = [asyncio.create_task(server.request(limiter)) for _ in range(10)]
    await asyncio.sleep(0)
    started = asyncio.get_running_loop().time()
    with pytest.raises(RateLimitWaitError) as caught:
        await server.request(limiter, max_wait=25)
    assert asyncio.get_running_loop().time() == started
    assert 29 < caught.value.wait < 33
    with pytest.raises(RateLimitWaitError):
        await server.request(limiter, max_wait=0)
    assert await server.request(limiter, max_wait=15, priority="interactive") == 200
    await asyncio.gather(*tasks)


@looptime
async def test_max_wait_is_for_all_attempts_together() -> None:
    """What the first entry waited is taken off for the second."""
    server, limiter = Server(tenant=1), RateLimiter()
    await server.request(limiter)
    permit = limiter.acquire(LIST_INBOUND, max_wait=15)
    async with permit:
        assert permit.max_wait is not None
        assert permit.max_wait < 9
    with pytest.raises(RateLimitWaitError):
        async with permit:
            pass
