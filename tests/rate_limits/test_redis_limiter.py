"""The limiter of a fleet: whose budget it is, what it stores, and what it gives back."""

import asyncio
import importlib
import json
import sys
from functools import partial
from typing import Any

import pytest

from alohub_async import AlohubClient, ConfigurationError, RateLimitWaitError, RedisRateLimiter, Route
from alohub_async.rate_limits.store import Store
from alohub_async.testing import Sandbox
from tests.rate_limits.fleet import ROUTE, Fleet, Gateway, store_client

KEY = "sk_live_0123456789abcdef"


async def stored(store: Any) -> dict[str, str]:
    """Everything in the store, as text."""
    found: dict[str, str] = {}
    for key in await store.keys():
        kind = (await store.type(key)).decode()
        value = await (store.xrange(key) if kind == "stream" else store.hgetall(key))
        found[key.decode()] = repr(value)
    return found


async def held(store: Any) -> int:
    """Bookings that were neither answered nor given back."""
    booked: dict[str, int] = {}
    ended: set[tuple[str, int]] = set()
    [log] = [key for key in await store.keys() if key.endswith(b":log")]
    for _, fields in await store.xrange(log):
        process = fields[b"p"].decode()
        for grant in fields[b"g"].decode().split():
            booked[process] = booked.get(process, 0) + int(grant.split(":")[1])
        said = json.loads(fields[b"m"] or "{}")
        ended |= {(process, each[0]) for each in said.get("s", ())}
    return sum(booked.values()) - len(ended)


async def until_none_is_held(store: Any) -> None:
    """Wait for all bookings to end."""
    async with asyncio.timeout(30):
        while True:
            if not await held(store):
                return
            await asyncio.sleep(0.02)


async def test_clients_in_two_processes_use_one_budget(store_url: str) -> None:
    """All calls succeed without a 429, and the limiter closes with its last client."""
    async with Sandbox(queues=3, tenant_limit=8, route_limit=None, window=1.0) as sandbox:
        limiters = [RedisRateLimiter.from_url(store_url, window=1.0) for _ in range(2)]
        clients = [sandbox.client(rate_limiter=limiter) for limiter in limiters for _ in range(2)]
        number = int(str(sandbox.queues[0]["callinId"]))
        await asyncio.gather(*(client.queues.get_inbound(number) for client in clients for _ in range(4)))
        for client in clients:
            await client.aclose()
        assert not sandbox.requests.of(status=429)
        assert sandbox.requests.of(status=200)
    async with store_client(store_url) as store:
        assert len(await store.client_list()) == 1
        assert await held(store) == 0


async def test_no_key_or_value_in_the_store_has_the_api_key(store_url: str) -> None:
    """Keys have a hash, and are in one hash slot."""
    async with Sandbox(queues=1) as sandbox:
        limiter = RedisRateLimiter.from_url(store_url)
        async with AlohubClient(sandbox.api_key, endpoint=str(sandbox.url), rate_limiter=limiter) as client:
            await client.queues.list_inbound().collect()
    async with store_client(store_url) as store:
        found = await stored(store)
    assert len(found) == 2
    assert sandbox.api_key not in repr(found)
    assert "sk_live" not in repr(found)
    assert len({key[key.index("{") : key.index("}")] for key in found}) == 1


async def test_clients_of_two_tenants_need_two_limiters() -> None:
    """Another tenant, key or endpoint is refused; the same one is not."""
    limiter = RedisRateLimiter.from_url("redis://localhost")
    first = AlohubClient(KEY, tenant_id="1", rate_limiter=limiter)
    AlohubClient(KEY, tenant_id="1", rate_limiter=limiter)
    others: list[dict[str, Any]] = [{"tenant_id": "2"}, {}, {"tenant_id": "1", "endpoint": "https://other.example"}]
    for options in others:
        with pytest.raises(ConfigurationError, match="make one for each"):
            AlohubClient(KEY, rate_limiter=limiter, **options)
    await first.aclose()


async def test_a_key_provider_needs_a_tenant() -> None:
    """Otherwise it is not known whose budget it is before the first call."""
    with pytest.raises(ConfigurationError, match="tenant="):
        AlohubClient(lambda: KEY, rate_limiter=RedisRateLimiter.from_url("redis://localhost"))
    AlohubClient(lambda: KEY, rate_limiter=RedisRateLimiter.from_url("redis://localhost", tenant="7"))
    with pytest.raises(ConfigurationError, match="tenant="):
        async with RedisRateLimiter.from_url("redis://localhost").acquire(ROUTE):
            pytest.fail("it had no budget")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tenant": ""}, "tenant must be text"),
        ({"weight": 0}, "weight must be a number above 0"),
        ({"weight": "1"}, "weight must be a number above 0"),
        ({"lease": 0}, "lease must be a number of seconds above 0"),
        ({"store_timeout": None}, "store_timeout must be a number of seconds above 0"),
        ({"when_unavailable": "panic"}, "when_unavailable must be one of"),
        ({"window": 0}, "window must be"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(options: dict[str, Any], match: str) -> None:
    """With what was given, and what is allowed."""
    with pytest.raises(ConfigurationError, match=match):
        RedisRateLimiter.from_url("redis://localhost", **options)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cr3t-word@host",
        "s3cr3t-word",
        "redis://:s3cr3t-word@host:port",
        "redis://:s3cr3t#word@host",
        "redis://host/first",
        "redis://host/-1",
        "redis://:s3cr3t-word@host?nosuch=1",
        "redis://:s3cr3t-word@host?retry=5",
        "redis://:s3cr3t-word@host?protocol=5",
        "redis://:s3cr3t-word@host?connection_class=x",
        "rediss://:s3cr3t-word@host?ssl_cert_reqs=s3cr3t",
        b"redis://host",
        7,
    ],
)
def test_a_url_that_is_refused_is_not_shown(url: Any) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigurationError, match="redis://localhost") as caught:
        RedisRateLimiter.from_url(url)
    assert "s3cr3t" not in str(caught.value)


async def test_any_text_may_name_a_tenant_or_a_route(store_url: str) -> None:
    """A lone surrogate, too."""
    async with RedisRateLimiter.from_url(store_url, tenant="\ud800", route_key=lambda _: "\ud800") as limiter:
        assert await Gateway("sliding-log", 5).call(limiter)


def test_a_client_that_blocks_the_loop_is_refused() -> None:
    """`redis.Redis` is not `redis.asyncio.Redis`."""
    blocking: Any = importlib.import_module("redis").Redis()
    with pytest.raises(ConfigurationError, match="redis must be a Redis"):
        RedisRateLimiter(blocking)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of redis is imported before."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setattr("importlib.util.find_spec", {"redis": None}.get)
    with pytest.raises(ConfigurationError, match=r"alohub-async\[redis\]"):
        RedisRateLimiter.from_url("redis://localhost")


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 2}, {"protocol": 3}], ids=str)
async def test_a_client_of_ones_own_is_used_and_not_closed(store_url: str, options: dict[str, Any]) -> None:
    """Whatever form its replies have."""
    gateway = Gateway("sliding-log", 4)
    async with store_client(store_url, **options) as redis:
        new = partial(RedisRateLimiter, redis, tenant="t", window=0.5)
        async with new() as first, new() as second:
            for limiter in (first, second) * 4:
                await gateway.call(limiter)
        assert await redis.ping()
    assert gateway.denied == 0


async def test_leases_that_are_not_used_come_back(fleet: Fleet) -> None:
    """A busy process books ahead; soon after it stops, all of that is free again."""
    gateway = Gateway("sliding-log", 1000)
    limiter = await fleet.process()
    await fleet.store.config_resetstat()
    for _ in range(60):
        await gateway.call(limiter, legs=0.0)
    exchanges = (await fleet.store.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert exchanges < 50  # it booked ahead
    await until_none_is_held(fleet.store)


async def test_a_request_now_and_then_needs_two_exchanges(fleet: Fleet) -> None:
    """One for its lease, and one for its answer; also after the process was idle."""
    gateway = Gateway("sliding-log", 1000)
    limiter = await fleet.process()
    await gateway.call(limiter)
    for _ in range(3):
        await asyncio.sleep(0.15)
        await fleet.store.config_resetstat()
        await gateway.call(limiter)
    await asyncio.sleep(0.15)
    assert (await fleet.store.info("commandstats"))["cmdstat_evalsha"]["calls"] == 2


async def test_a_route_that_waits_is_never_forgotten(fleet: Fleet) -> None:
    """Also if a thousand others are asked for meanwhile."""
    gateway = Gateway("sliding-log", 2)
    limiter = await fleet.process()
    calls = [asyncio.create_task(gateway.call(limiter)) for _ in range(4)]
    await asyncio.sleep(0.1)
    for number in range(1001):
        limiter.forecast(Route.of("GET", f"/v1/x{number}"), 1)
    async with asyncio.timeout(30):
        await asyncio.gather(*calls)


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_request_holds_nothing(fleet: Fleet, steps: int) -> None:
    """Cancelled after so many steps of the loop, its booking comes back, and the next one goes."""
    gateway = Gateway("sliding-log", 3, seconds=30.0)
    limiter = await fleet.process(window=30.0)
    await gateway.call(limiter)
    task = asyncio.create_task(gateway.call(limiter, legs=30.0))
    for _ in range(steps):
        await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(30):
        await gateway.call(limiter)
    await until_none_is_held(fleet.store)


async def test_a_429_is_written_before_anything_is_booked(store_url: str) -> None:
    """What its process asked for in the same exchange did not know of it."""
    async with store_client(store_url) as redis:
        store = Store(lambda: redis, *(False, 1.0, "{b}:log", "{b}:booked"))
        life = (await store.exchange("p", 0, "", "0-0", "", 0, "{}", 1000, 1000, 9)).life
        granted: list[str] = []
        for serial, denied in enumerate([1, 0]):
            reply = await store.exchange("p", serial, life, "0-0", "", denied, "{}", 1000, 1000, 9, "r", 1, 9)
            granted.append(reply.entries[-1][1]["g"])
    assert granted == ["", "r:1:0:0"]


async def test_a_wait_for_the_store_counts_as_a_wait(fleet: Fleet) -> None:
    """A request that may not wait goes only with a lease at hand."""
    limiter = await fleet.process()
    with pytest.raises(RateLimitWaitError):
        async with limiter.acquire(ROUTE, max_wait=0.0):
            pytest.fail("it had no lease")


async def test_the_next_loop_may_use_the_limiter(store_url: str) -> None:
    """It connects anew."""
    limiter = RedisRateLimiter.from_url(store_url, tenant="t", window=0.5)
    gateway = Gateway("sliding-log", 10)

    def run() -> None:
        async def call() -> None:
            await gateway.call(limiter)
            await limiter.aclose()

        asyncio.run(call())

    for _ in range(2):
        await asyncio.to_thread(run)
    assert limiter.status().tenant.sent == 2


async def test_forked_processes_are_processes_of_their_own(store_url: str) -> None:
    """A limiter that was made, or used, before the fork: nobody takes the leases or ends the bookings of another."""
    code = f"""
import asyncio, os
from alohub_async import RedisRateLimiter, Route
limiter = RedisRateLimiter.from_url({store_url!r}, tenant="t", window=30.0, lease=30.0)
async def call():
    async with limiter.acquire(Route.of("GET", "/v1/things")) as permit:
        permit.observe(200, {{"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "40"}}, retry_after=None)
    await asyncio.sleep(0.05)
for _ in range(2):
    child = os.fork()
    asyncio.run(call())
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
    async with store_client(store_url) as store:
        [log] = await store.keys("*:log")
        names = [fields[b"p"] for _, fields in await store.xrange(log)]
    assert len({*names}) == 3


def test_nothing_shows_the_password() -> None:
    """Neither the limiter nor an error of its connection."""
    limiter = RedisRateLimiter.from_url("redis://:s3cr3t-word@localhost")
    assert "s3cr3t" not in repr(limiter)
    assert "s3cr3t" not in str(ConfigurationError("AUTH s3cr3t-word failed"))
