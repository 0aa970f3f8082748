"""The limiter against each kind of server window, with pauses, other clients and lost requests."""

import asyncio
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

User: TypeAlias = tuple[int, float, Route]
"""How many requests to send one after another, the pause between them in seconds, and the route."""


@given(
    kind=st.sampled_from(get_args(WindowKind)),
    limits=st.tuples(st.integers(1, 15), st.none() | st.integers(1, 15)),
    latency=st.sampled_from([0.0, 0.01, 0.4]),
    users=st.lists(
        st.tuples(
            st.integers(1, 12), st.sampled_from([0.0, 0.0005, 0.3]), st.sampled_from([LIST_INBOUND, GET_INBOUND])
        ),
        min_size=1,
        max_size=4,
    ),
)
async def test_no_request_is_refused_but_for_a_trial(
    kind: WindowKind, limits: tuple[int, int | None], latency: float, users: list[User]
) -> None:
    """At every pace; weighted counters may refuse one for each limit that leaves open how they count."""
    weighted = kind in {"sliding-counter", "kong-seconds"}
    trials = sum(weighted and limit is not None and not 2 < limit <= 10 for limit in (limits[0], limits[1], limits[1]))
    server, limiter = Server(tenant=limits[0], route=limits[1], latency=latency, kind=kind), RateLimiter()

    async def use(requests: int, pause: float, route: Route) -> None:
        for _ in range(requests):
            while await server.request(limiter, route) != 200:
                continue
            await asyncio.sleep(pause)

    await asyncio.gather(*(use(*user) for user in users))
    assert len(server.served) == sum(requests for requests, _, _ in users)
    assert server.denied <= trials


async def test_status_and_forecast_know_the_latest_answer() -> None:
    """Even if no other request has followed yet."""
    server, limiter = Server(tenant=50, route=20), RateLimiter()
    for count in range(1, 20):
        await server.request(limiter)
        assert limiter.forecast(LIST_INBOUND, 40 - count) == 0.0
        assert limiter.forecast(LIST_INBOUND, 41 - count) == 10.0
        await server.request(limiter, GET_INBOUND)
        status = limiter.status()
        assert (status.tenant.free, status.tenant.sent, status.tenant.in_flight) == (50 - 2 * count, 2 * count, 0)
        assert status.routes[str(GET_INBOUND)].free == 20 - count


async def test_a_lowered_limit_holds_for_the_next_request() -> None:
    """Many that follow the answer that reports it are not refused."""
    server, limiter = Server(tenant=40, latency=0.0), RateLimiter()
    await asyncio.gather(*(server.request(limiter) for _ in range(3)))
    server.tenant = Server(tenant=5).tenant
    await server.request(limiter)
    await asyncio.gather(*(server.request(limiter) for _ in range(12)))
    assert server.denied == 0


def _others_spend(server: Server, requests: int) -> None:
    assert server.tenant is not None
    for _ in range(requests):
        server.tenant.take(asyncio.get_running_loop().time())


async def _lose(server: Server, limiter: RateLimiter) -> None:
    """Send a request that the server counts and whose answer is lost."""
    async with limiter.acquire(LIST_INBOUND):
        server.answer(LIST_INBOUND, None)


async def test_no_request_follows_an_answer_that_says_that_nothing_is_left() -> None:
    """Another client has used up the budget that this limiter assumed."""
    server, limiter = Server(tenant=40, latency=0.0), RateLimiter()
    await server.request(limiter)
    _others_spend(server, 38)
    await server.request(limiter)
    await server.request(limiter)
    assert server.denied == 0


async def test_a_budget_that_another_client_takes_when_it_is_new() -> None:
    """One answer shows a new window, and the next that nothing is left of it: the latter counts."""
    server, limiter, loop = Server(tenant=10, kind="aligned"), RateLimiter(), asyncio.get_running_loop()
    await asyncio.sleep(8)
    for _ in range(4):
        await server.request(limiter)
    await asyncio.sleep(10 - loop.time() % 10 + 0.5)
    await server.request(limiter)
    _others_spend(server, 8)
    await server.request(limiter)
    asked = loop.time()
    await server.request(limiter)
    assert loop.time() - asked > 5


async def test_the_last_of_a_budget_goes_to_a_request_without_an_answer() -> None:
    """It was booked, so it counts."""
    server, limiter = Server(tenant=10), RateLimiter()
    await server.request(limiter)
    _others_spend(server, 7)
    await server.request(limiter)
    await _lose(server, limiter)
    await server.request(limiter)
    assert server.denied == 0


async def test_a_pause_costs_nothing() -> None:
    """After it, a whole budget goes as soon as the server allows it."""
    server, limiter = Server(tenant=4), RateLimiter()
    await asyncio.gather(*(server.request(limiter) for _ in range(30)))  # by then the kind of window is known
    await asyncio.sleep(20)
    started = asyncio.get_running_loop().time()
    await server.request(limiter)
    await asyncio.sleep(9)
    await asyncio.gather(*(server.request(limiter) for _ in range(4)))
    assert asyncio.get_running_loop().time() - started == pytest.approx(10, abs=0.2)
