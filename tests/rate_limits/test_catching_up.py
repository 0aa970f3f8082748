"""Answers that are taken in only when there is time: nobody can tell."""

import asyncio
import random
from typing import TypeAlias, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import RateLimiter
from alohub_async.routes import Route
from alohub_async.testing.windows import WindowKind
from tests.rate_limits.test_limiter import Server
from tests.routes import GET_INBOUND, LIST_INBOUND

pytestmark = pytest.mark.looptime

KINDS: list[WindowKind] = [*get_args(WindowKind)]
ROUTES = [LIST_INBOUND, GET_INBOUND]
PAUSES = [0.0, 0.0005, 0.3]
LATENCIES = [0.0, 0.01, 0.4]

User: TypeAlias = tuple[int, float, Route]
"""Somebody who sends so many requests one after the other, with such a pause in between, on that route."""


async def _run(server: Server, users: list[User], *, at_once: bool = False) -> float:
    """Seconds that it takes, if each answer is taken in at once, or as the limiter has it."""
    limiter, started = RateLimiter(), asyncio.get_running_loop().time()

    async def use(requests: int, pause: float, route: Route) -> None:
        for _ in range(requests):
            assert await server.request(limiter, route) == 200
            if at_once:
                limiter.acquire(route).catch_up()
            await asyncio.sleep(pause)

    await asyncio.gather(*(use(*user) for user in users))
    return asyncio.get_running_loop().time() - started


@given(
    kind=st.sampled_from(KINDS),
    limits=st.tuples(st.integers(1, 15), st.none() | st.integers(1, 15)),
    latency=st.sampled_from(LATENCIES),
    users=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(PAUSES), st.sampled_from(ROUTES)), min_size=1, max_size=4
    ),
)
async def test_nobody_is_refused(
    kind: WindowKind, limits: tuple[int, int | None], latency: float, users: list[User]
) -> None:
    """Whatever the server's windows are, and however requests follow each other."""
    tenant, route = limits
    server = Server(tenant=tenant, route=route, latency=latency, kind=kind)
    await _run(server, users)
    assert (len(server.served), server.denied) == (sum(requests for requests, _, _ in users), 0)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
async def test_it_takes_no_longer(kind: WindowKind, count: int) -> None:
    """All in all, over many users, than if each answer is taken in at once."""
    rng = random.Random(7)
    at_once = later = 0.0
    for _ in range(30):
        tenant, route, latency = rng.randint(1, 15), rng.choice([None, rng.randint(1, 15)]), rng.choice(LATENCIES)
        users = [(rng.randint(1, 30), rng.choice(PAUSES), rng.choice(ROUTES)) for _ in range(count)]
        servers = [Server(tenant=tenant, route=route, latency=latency, kind=kind) for _ in range(2)]
        first, second = await asyncio.gather(_run(servers[0], users, at_once=True), _run(servers[1], users))
        at_once, later = at_once + first, later + second
    assert later == pytest.approx(at_once, rel=0.002)


async def test_who_asks_knows_of_the_latest_answer() -> None:
    """Although no other request has followed yet."""
    server, limiter = Server(tenant=50, route=20), RateLimiter()
    for count in range(1, 20):
        await server.request(limiter)
        assert limiter.forecast(LIST_INBOUND, 40 - count) == 0.0
        assert limiter.forecast(LIST_INBOUND, 41 - count) == 10.0
        await server.request(limiter, GET_INBOUND)
        status = limiter.status()
        assert (status.tenant.free, status.tenant.sent, status.tenant.in_flight) == (50 - 2 * count, 2 * count, 0)
        assert status.routes[str(GET_INBOUND)].free == 20 - count


async def test_one_request_at_most_goes_before_the_latest_answer_is_taken_in() -> None:
    """A server that has lowered its limit meanwhile is believed by the next but one."""
    server, limiter = Server(tenant=40, latency=0.0), RateLimiter()
    await asyncio.gather(*(server.request(limiter) for _ in range(3)))
    server.tenant = Server(tenant=5).tenant  # of which the answer to the next one tells
    await server.request(limiter)
    await asyncio.gather(*(server.request(limiter) for _ in range(12)))
    assert server.denied == 0


async def test_an_answer_that_leaves_no_room_is_taken_in_at_once() -> None:
    """Somebody else has used up the budget that this limiter thought it had: not a single request more goes."""
    server, limiter = Server(tenant=40, latency=0.0), RateLimiter()
    await server.request(limiter)
    assert server.tenant is not None
    for _ in range(38):
        server.tenant.take(asyncio.get_running_loop().time())
    await server.request(limiter)
    await server.request(limiter)
    assert server.denied == 0


async def _one(server: Server, limiter: RateLimiter, *, at_once: bool, lost: bool = False) -> float:
    """One request, as a client sends it; how long it waited."""
    asked = asyncio.get_running_loop().time()
    async with limiter.acquire(LIST_INBOUND) as turn:
        waited = asyncio.get_running_loop().time() - asked
        turn.catch_up()
        await asyncio.sleep(0.01)
        status, headers, retry_after = server.answer(LIST_INBOUND, None)
        if not lost:
            turn.observe(status, headers, retry_after=retry_after)
    if at_once:
        limiter.acquire(LIST_INBOUND).catch_up()
    return waited


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_budget_that_a_stranger_takes_when_it_is_new(*, at_once: bool) -> None:
    """An answer tells of a new window, and the next one that nothing is left of it: that one counts."""
    server, limiter, loop = Server(tenant=10, kind="aligned"), RateLimiter(), asyncio.get_running_loop()
    await asyncio.sleep(8)
    for _ in range(4):
        await _one(server, limiter, at_once=at_once)
    await asyncio.sleep(10 - loop.time() % 10 + 0.5)
    await _one(server, limiter, at_once=at_once)
    assert server.tenant is not None
    for _ in range(8):
        server.tenant.take(loop.time())
    await _one(server, limiter, at_once=at_once)
    assert await _one(server, limiter, at_once=at_once) > 5


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_last_of_a_budget_goes_to_a_request_without_an_answer(*, at_once: bool) -> None:
    """It was booked, and so it counts."""
    server, limiter, loop = Server(tenant=10), RateLimiter(), asyncio.get_running_loop()
    await _one(server, limiter, at_once=at_once)
    assert server.tenant is not None
    for _ in range(7):
        server.tenant.take(loop.time())
    await _one(server, limiter, at_once=at_once)
    await _one(server, limiter, at_once=at_once, lost=True)
    await _one(server, limiter, at_once=at_once)
    assert server.denied == 0


async def test_a_pause_costs_nothing() -> None:
    """An answer counts from when it came, not from when it is taken in."""
    server, limiter = Server(tenant=4), RateLimiter()
    await asyncio.gather(*(server.request(limiter) for _ in range(30)))  # by then it knows what kind of window this is
    await asyncio.sleep(20)
    started = asyncio.get_running_loop().time()
    await server.request(limiter)
    await asyncio.sleep(9)
    await asyncio.gather(*(server.request(limiter) for _ in range(4)))
    assert asyncio.get_running_loop().time() - started == pytest.approx(10, abs=0.2)
