"""`AlohubPool`: clients of many tenants over one set of connections, and jobs over them."""

import asyncio
import copy
import gc
import pickle
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async import (
    AlohubClient,
    AlohubPool,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    FileError,
    InvalidArgumentError,
    RateLimiter,
    RetryPolicy,
    Tenant,
)
from alohub_async.tenants import read_tenants
from alohub_async.testing import Delay, Sandbox

NAMES = ("a", "b", "c")


@pytest.fixture(name="sandboxes")
async def _sandboxes() -> AsyncGenerator[dict[str, Sandbox]]:
    """Three tenants, with 1, 2 and 3 queues."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(Sandbox(queues=number, tenant_id=f"T{number}")) for number in (1, 2, 3)
        ]
        yield dict(zip(NAMES, opened, strict=True))


@pytest.fixture(name="tenants")
def _tenants(sandboxes: dict[str, Sandbox]) -> dict[str, Tenant]:
    return {name: tenant_of(name, sandbox) for name, sandbox in sandboxes.items()}


def tenant_of(name: str, sandbox: Sandbox, **values: Any) -> Tenant:
    """The tenant of a sandbox."""
    values = {"api_key": sandbox.api_key, "tenant_id": sandbox.tenant_id, "base_url": str(sandbox.url), **values}
    return Tenant(name, **values)


async def count(client: AlohubClient, tenant: Tenant) -> int:
    """The number of queues of a tenant."""
    del tenant
    return len(await client.queues.list_inbound().collect())


async def test_each_yields_the_outcome_of_each_tenant(tenants: dict[str, Tenant]) -> None:
    """A failure is the outcome of its tenant, whether it is of the API, the configuration or the job itself."""
    wrong = {"wrong": Tenant("wrong", api_key="sk_live_wrong", base_url=tenants["a"].base_url)}
    missing = {"missing": Tenant("missing", api_key_env="NO_SUCH_KEY"), "none": None, "../x": "sk_live_x"}

    async def job(client: AlohubClient, tenant: Tenant) -> int:
        return 1 // 0 if tenant.name == "b" else await count(client, tenant)

    async with AlohubPool() as pool:
        outcomes = {
            outcome.tenant.name: outcome for outcome in await pool.each(job, {**tenants, **wrong, **missing}).collect()
        }
    assert {name: outcome.value for name, outcome in outcomes.items() if outcome.ok} == {"a": 1, "c": 3}
    errors = {name: type(outcome.error) for name, outcome in outcomes.items() if not outcome.ok}
    refused = dict.fromkeys(("missing", "none", "../x"), ConfigurationError)
    assert errors == {"b": ZeroDivisionError, "wrong": AuthenticationError, **refused}
    assert "set NO_SUCH_KEY" in str(outcomes["missing"].error)
    assert outcomes["a"].unwrap() == 1
    with pytest.raises(ZeroDivisionError):
        outcomes["b"].unwrap()


async def test_tenants_of_a_file(
    sandboxes: dict[str, Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path stands for the tenants of the file."""
    file = tmp_path / "tenants.toml"
    file.write_text(
        "".join(
            f'[tenants.{name}]\napi_key_env = "KEY_{name}"\nbase_url = "{sandbox.url}"\n'
            for name, sandbox in sandboxes.items()
        )
    )
    for name, sandbox in sandboxes.items():
        monkeypatch.setenv(f"KEY_{name}", sandbox.api_key)
    async with AlohubPool() as pool:
        for path in (file, str(file)):
            outcomes = await pool.each(count, path).collect()
            assert sorted(outcome.unwrap() for outcome in outcomes) == [1, 2, 3]
        with pytest.raises(FileError):
            pool.each(count, tmp_path / "none.toml")


async def provide(name: str) -> str:
    """A key provider."""
    return f"sk_live_{name}"


async def test_key_of_a_named_provider() -> None:
    """The function gets the tenant's name; one that cannot be imported is the tenant's error."""
    async with Sandbox(queues=1) as sandbox, AlohubPool(endpoint=str(sandbox.url)) as pool:
        provider = f"{__name__}:provide"
        async with pool.client(Tenant("x", key_provider=provider)) as client:
            with pytest.raises(AuthenticationError):
                await client.queues.list_inbound().collect()
        assert [sent.headers.get("X-Api-Key") for sent in sandbox.requests] == ["sk_live_x"]
        for wrong in ("no_such_module:f", f"{__name__}:nope", "a..b:f", "os:name"):
            with pytest.raises(ConfigurationError, match="cannot be used"):
                async with pool.client(Tenant("x", key_provider=wrong)):
                    pass


async def test_async_iterable_is_read_only_as_needed() -> None:
    """No more tenants are read than are worked on or not yet yielded, and nothing is kept of those that are done."""
    read = 0

    async def many() -> AsyncIterator[Tenant]:
        nonlocal read
        for number in range(100_000):
            read += 1
            yield Tenant(f"t{number}", api_key="sk_live_x")

    async def nothing(client: AlohubClient, tenant: Tenant) -> None:
        del client, tenant

    limiters: WeakSet[RateLimiter] = WeakSet()

    def make(_: Tenant) -> RateLimiter:
        limiter = RateLimiter()
        limiters.add(limiter)
        return limiter

    async with AlohubPool(max_idle=5, rate_limiter=make) as pool:
        outcomes = pool.each(nothing, many(), concurrency=4)
        for taken in range(1, 200):
            assert (await anext(aiter(outcomes))).ok
            assert read <= taken + 4
        gc.collect()
        assert len(limiters) <= 5 + 4  # what knows no budget is not kept


@pytest.mark.looptime
async def test_tenants_run_side_by_side() -> None:
    """As many as `concurrency`; each starts as soon as another is done."""

    async def job(client: AlohubClient, tenant: Tenant) -> None:
        del client
        await asyncio.sleep(10 if tenant.name == "t0" else 1)

    now = asyncio.get_running_loop().time
    async with AlohubPool() as pool:
        began = now()
        tenants = [Tenant(f"t{number}", api_key="sk_live_x") for number in range(11)]
        outcomes = await pool.each(job, tenants, concurrency=2).collect()
        assert now() - began == pytest.approx(10)
    assert "t0" in {outcome.tenant.name for outcome in outcomes[-2:]}
    with pytest.raises(InvalidArgumentError, match="concurrency"):
        AlohubPool().each(job, tenants, concurrency=0)


def tasks() -> set["asyncio.Task[object]"]:
    """The running tasks, without those of the sandbox."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)}


@pytest.mark.parametrize("how", ["break", "cancel", "aclose"])
async def test_nothing_is_left_behind(tenants: dict[str, Tenant], how: str) -> None:
    """After `break`, a cancellation or `aclose`, no task runs on, and no client is open."""
    ended: list[str] = []
    before = tasks()

    async def job(client: AlohubClient, tenant: Tenant) -> None:
        try:
            if tenant.name != "a":
                await asyncio.sleep(60)
            await count(client, tenant)
        finally:
            ended.append(tenant.name)

    async def loop() -> None:
        async for _ in pool.each(job, tenants):
            if how == "break":
                break
            started.set()

    started = asyncio.Event()
    async with AlohubPool() as pool:
        task = asyncio.create_task(loop())
        if how == "break":
            await task
        else:
            await started.wait()
        if how == "cancel":
            task.cancel()
            await asyncio.wait([task])
    await asyncio.wait([task])
    assert tasks() == before
    assert sorted(ended) == ["a", "b", "c"]
    with pytest.raises(ClientClosedError, match="this pool is closed"):
        await pool.each(job, tenants).__anext__()


async def test_loop_over_a_closed_pool_says_so(tenants: dict[str, Tenant]) -> None:
    """An end would look as if all tenants had been done."""

    async def job(client: AlohubClient, tenant: Tenant) -> str:
        del client
        await asyncio.sleep(0 if tenant.name == "a" else 60)
        return tenant.name

    async def loop() -> None:
        async for outcome in pool.each(job, tenants):
            done.append(outcome.unwrap())
            started.set()

    done, started = list[str](), asyncio.Event()
    async with AlohubPool() as pool:
        ended = await pool.each(job, {"a": tenants["a"]}).collect()
        task = asyncio.create_task(loop())
        await started.wait()
    with pytest.raises(ClientClosedError, match="this pool is closed"):
        await task
    assert [outcome.value for outcome in ended] == done == ["a"]


async def test_job_may_close_the_pool(tenants: dict[str, Tenant]) -> None:
    """It goes on to its end, the others are cancelled, and nobody waits for itself."""
    cancelled, before = list[str](), tasks()

    async def job(client: AlohubClient, tenant: Tenant) -> None:
        del client
        if tenant.name == "a":
            await pool.aclose()
            cancelled.append("-")
            return
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(tenant.name)
            raise

    pool = AlohubPool()
    with pytest.raises(ClientClosedError, match="this pool is closed"):
        async with asyncio.timeout(5):
            await pool.each(job, {name: tenants[name] for name in ("b", "c", "a")}).collect()
    await asyncio.sleep(0)
    assert sorted(cancelled) == ["-", "b", "c"]
    assert tasks() == before


@pytest.mark.parametrize("given", [None, 5, RateLimiter])
async def test_what_makes_no_limiter_is_named(tenants: dict[str, Tenant], given: Any) -> None:
    """As the error of each tenant."""
    async with AlohubPool(rate_limiter=lambda _: given) as pool:
        outcomes = await pool.each(count, tenants).collect()
    assert {str(outcome.error) for outcome in outcomes} == {
        f"what rate_limiter returns must be a RateLimiter; {type(given).__name__} was given"
    }


async def test_job_that_is_no_function_is_refused(tenants: dict[str, Tenant]) -> None:
    """At once, not for each tenant."""
    async with AlohubPool() as pool:
        nothing: Any = None
        with pytest.raises(InvalidArgumentError, match="job must be an async function"):
            pool.each(nothing, tenants)


async def test_one_set_of_connections_serves_all_tenants(sandboxes: dict[str, Sandbox]) -> None:
    """Tenants at one address use each other's idle connections."""
    opened: list[object] = []

    async def note(*event: object) -> None:
        opened.append(event)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(note)
    tenants = [tenant_of(f"t{number}", sandboxes["b"]) for number in range(5)]
    async with aiohttp.ClientSession(trace_configs=[trace]) as session, AlohubPool(session=session) as pool:
        await pool.each(count, tenants, concurrency=1).collect()
    assert len(sandboxes["b"].requests) >= 5
    assert len(opened) == 1


async def test_slow_tenant_does_not_take_the_connections_of_others(sandboxes: dict[str, Sandbox]) -> None:
    """Each has its own, `max_connections` of them."""
    slow, quick = tenant_of("slow", sandboxes["a"]), tenant_of("quick", sandboxes["c"])
    sandboxes["a"].fail(Delay(60))
    async with AlohubPool(max_connections=2) as pool, pool.client(slow) as client:
        waiting = [asyncio.create_task(count(client, slow)) for _ in range(50)]
        async with asyncio.timeout(30), pool.client(quick) as other:
            assert await count(other, quick) == 3
        assert len(sandboxes["a"].requests) <= 2
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


@pytest.mark.looptime
async def test_limiter_outlives_its_client() -> None:
    """A client that was dropped and made again draws no 429; another key of the tenant has the same budget."""
    made: list[Tenant] = []

    def make(tenant: Tenant) -> RateLimiter:
        made.append(tenant)
        return RateLimiter()

    sandbox = Sandbox(queues=1, tenant_limit=3)
    async with sandbox, AlohubPool(rate_limiter=make, max_idle=0) as pool:
        for _ in range(7):
            await pool.each(count, [tenant_of("a", sandbox, api_key=sandbox.add_key())]).collect()
        assert not sandbox.requests.of(status=429)
        assert len(made) == 1
        await asyncio.sleep(61)
        async with pool.client(tenant_of("b", sandbox)):
            gc.collect()
        async with pool.client(tenant_of("a", sandbox)):
            assert [tenant.name for tenant in made] == ["a", "b", "a"]


async def test_idle_clients_are_dropped(sandboxes: dict[str, Sandbox]) -> None:
    """The latest `max_idle` are kept, with those in use."""
    tenants = [tenant_of(f"t{number}", sandboxes["a"]) for number in range(4)]
    async with AlohubPool(max_idle=1) as pool:
        clients: list[AlohubClient] = []
        for tenant in tenants:
            async with pool.client(tenant) as client:
                clients.append(client)
        assert await count(clients[-1], tenants[-1]) == 1
        with pytest.raises(ClientClosedError):
            await count(clients[0], tenants[0])


async def test_job_may_close_its_client(tenants: dict[str, Tenant]) -> None:
    """The next job of the tenant works all the same."""

    async def job(client: AlohubClient, tenant: Tenant) -> int:
        async with client:
            return await count(client, tenant)

    async with AlohubPool() as pool:
        for _ in range(2):
            assert [outcome.unwrap() for outcome in await pool.each(job, {"a": tenants["a"]}).collect()] == [1]


@settings(max_examples=30)
@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=30))
def test_clients_in_use_are_open_and_few_others_are(max_idle: int, steps: list[tuple[int, bool]]) -> None:
    """Whatever the order in which clients of 4 tenants are entered and left."""

    async def is_open(client: AlohubClient) -> bool:
        try:
            await client.__aenter__()
        except ClientClosedError:
            return False
        return True

    async def run() -> None:
        seen: dict[int, AlohubClient] = {}
        async with AlohubPool(max_idle=max_idle) as pool, AsyncExitStack() as left:
            used: dict[int, list[AsyncExitStack]] = {number: [] for number in range(4)}
            for number, enter in steps:
                if enter:
                    stack = await left.enter_async_context(AsyncExitStack())
                    client = pool.client(Tenant(f"t{number}", api_key=KEY))
                    seen[number] = await stack.enter_async_context(client)
                    used[number].append(stack)
                elif used[number]:
                    await used[number].pop().aclose()
                opened = {number for number, client in seen.items() if await is_open(client)}
                in_use = {number for number, stacks in used.items() if stacks}
                assert in_use <= opened
                assert len(opened - in_use) <= max_idle

    asyncio.run(run())


def test_a_pool_serves_one_event_loop_after_another() -> None:
    """The clients of the last loop are forgotten, their limiters are not."""
    made: list[Tenant] = []

    def make(tenant: Tenant) -> RateLimiter:
        made.append(tenant)
        return RateLimiter()

    with Sandbox(queues=2) as sandbox:
        pool, tenant = AlohubPool(rate_limiter=make), tenant_of("a", sandbox)

        async def main(*, close: bool) -> int:
            outcomes = await pool.each(count, [tenant]).collect()
            if close:
                await pool.aclose()
            return outcomes[0].unwrap()

        assert [asyncio.run(main(close=close)) for close in (False, True)] == [2, 2]
    assert len(made) == 1


async def test_session_of_the_user_is_used_and_stays_open(sandboxes: dict[str, Sandbox]) -> None:
    """It can have proxies and certificates of its own."""
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with AlohubPool(session=session) as pool:
            await pool.each(count, [tenant_of("a", sandboxes["a"])]).collect()
        assert sandboxes["a"].requests[0].headers.get("X-Mine") == "1"
        assert not session.closed


def test_pickled_pool_is_its_settings() -> None:
    """Another process makes its own connections."""
    pool = AlohubPool(retry=RetryPolicy(max_retries=7), max_idle=3)
    assert pickle.dumps(copy.copy(pool)) == pickle.dumps(pool)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tenant_id": "1"}, "there is no option 'tenant_id'"),
        ({"max_idle": -1}, "max_idle must be an int of 0 or more"),
        ({"rate_limiter": RateLimiter()}, "rate_limiter of a pool must be a function that takes a Tenant"),
        ({"max_connections": 0}, "max_connections must be"),
    ],
)
def test_wrong_option_of_a_pool(options: dict[str, Any], message: str) -> None:
    """It is refused at once."""
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=message):
        AlohubPool(**options)


# Tenants

KEY = "sk_live_0123456789abcdef"


def test_key_of_a_tenant_is_never_shown() -> None:
    """Neither by repr nor by pickle; two tenants with different keys differ."""
    tenant = Tenant("a", api_key=KEY)
    assert KEY not in repr(tenant)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(tenant)
    assert tenant == Tenant("a", api_key=KEY)
    assert tenant != Tenant("a", api_key=KEY + "0")


@pytest.mark.parametrize(
    ("tenant", "message"),
    [
        (Tenant("a/b", api_key=KEY), "a name must consist of"),
        (Tenant("__HIVE_DEFAULT_PARTITION__", api_key=KEY), "a name must consist of"),
        (Tenant("a\n", api_key=KEY), "a name must consist of"),
        (Tenant("a", api_key=""), "api_key must be printable"),
        (Tenant("a", api_key=KEY, api_key_env="A"), "give one of api_key_env and api_key"),
        (Tenant("a", api_key_env=KEY + "-"), "must be the name of an environment variable"),
        (Tenant("a", key_provider=KEY), "must name a function"),
        (Tenant("a", api_key=KEY, direct=True), "direct needs base_url"),
        (Tenant("a", api_key=KEY, base_url="x", env="production"), "either base_url or env"),
    ],
)
async def test_wrong_tenant_is_refused_when_it_is_used(tenant: Tenant, message: str) -> None:
    """The error names the tenant and shows no key."""
    async with AlohubPool() as pool:
        with pytest.raises(ConfigurationError, match=message) as caught:
            async with pool.client(tenant):
                pass
    assert KEY not in str(caught.value)


def test_tenants_file_has_a_format_and_any_field(tmp_path: Path) -> None:
    """What a tenant does not name has its default."""
    file = tmp_path / "t.toml"
    file.write_text('format = "csv"\n[tenants.a]\nkey_provider = "vault:key"\nenv = "development"\n')
    found = read_tenants(file)
    assert found.file_format == "csv"
    assert found.tenants == (Tenant("a", key_provider="vault:key", env="development"),)


@settings(max_examples=20)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: f'[tenants.a]\napi_key_env = "{text}"'.encode()))
def test_no_file_raises_another_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the file has, reading it succeeds or raises a `ConfigurationError`."""
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    with suppress(ConfigurationError):
        read_tenants(file)
