"""The client's lifecycle, its options and its escape hatches, over sockets."""

import asyncio
import gc
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp
import attrs
import pytest

from alohub_async import (
    AlohubClient,
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    Endpoint,
    InboundQueue,
    InternalServerError,
    InvalidArgumentError,
    RateLimiter,
    RetryPolicy,
    Timeouts,
    __version__,
)
from alohub_async.testing import Delay, Sandbox
from tests.support import CALLS, FIRST, LIST, QUEUE, RawServer, Step, http, id_of, json_reply, queue, until

ONCE = RetryPolicy(max_retries=0)
KEY = "sk_live_secret"


def answering() -> RawServer:
    """A server that answers every request with a queue and keeps its connections."""
    return RawServer(lambda _: [http(QUEUE)])


# Lifecycle


def test_client_is_made_outside_of_an_event_loop() -> None:
    """Creating a client opens nothing and needs no loop; an unused client leaks nothing."""
    client = AlohubClient(KEY)
    del client
    gc.collect()


async def test_nothing_is_opened_before_the_first_request() -> None:
    """Creating, entering and closing a client, or creating a pager, opens no connection."""
    async with answering() as server:
        async with AlohubClient(KEY, endpoint=server.url) as client:
            client.queues.list_inbound()
            client.paginate(LIST)
            await asyncio.sleep(0.01)
        assert server.connections == 0


async def test_connections_are_kept_and_closed_by_their_maker() -> None:
    """Consecutive requests share a connection, and closing the client closes it."""
    async with answering() as server:
        client = AlohubClient(KEY, endpoint=server.url)
        for _ in range(3):
            await client.queues.get_inbound(1)
        assert (server.connections, server.connected) == (1, 1)
        await client.aclose()
        await until(lambda: server.connected == 0)


async def test_given_session_is_used_and_left_open() -> None:
    """The session's own headers and connector show that it is used; closing the client leaves it open and usable."""
    async with (
        answering() as server,
        aiohttp.ClientSession(headers={"X-Mark": "mine"}, connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        async with AlohubClient(KEY, endpoint=server.url, session=session) as client:
            await client.queues.get_inbound(1)
        assert not session.closed
        async with session.get(f"{server.url}/x") as response:
            assert response.status == 200
        assert [request.headers["X-Mark"] for request in server.requests] == ["mine", "mine"]
        assert server.connections == 1
    with pytest.raises(ClientClosedError):
        await client.queues.get_inbound(1)


async def test_middlewares_of_a_given_session_still_run() -> None:
    """The SDK's own middleware does not disable those of the session."""
    seen: list[str] = []

    async def note(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await handler(request)

    async with (
        answering() as server,
        aiohttp.ClientSession(middlewares=(note,)) as session,
        AlohubClient(KEY, endpoint=server.url, session=session) as client,
    ):
        await client.queues.get_inbound(1)
    assert seen == ["GET"]


@pytest.mark.parametrize("call", CALLS)
async def test_closed_client_says_so(sandbox: Sandbox, call: str) -> None:
    """Every call raises `ClientClosedError`, and closing again is harmless."""
    unused = sandbox.client()
    used = sandbox.client()
    await used.queues.get_inbound(FIRST)
    sandbox.clear()
    for client in (unused, used):
        await client.aclose()
        await client.aclose()
        with pytest.raises(ClientClosedError, match="this client is closed; make a new AlohubClient"):
            await CALLS[call](client)
        with pytest.raises(ClientClosedError, match="this client is closed"):
            await client.__aenter__()
    assert sandbox.requests == []


async def test_client_is_closed_from_several_tasks_at_once(sandbox: Sandbox) -> None:
    """No task gets an error."""
    client = sandbox.client()
    await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(5)))
    await asyncio.gather(*(client.aclose() for _ in range(5)))


@pytest.mark.parametrize("given", [False, True])
async def test_closing_ends_what_is_under_way_with_an_error_of_ours(sandbox: Sandbox, *, given: bool) -> None:
    """Requests in flight or waiting for a connection or the rate limit end with `ClientClosedError`."""
    sandbox.latency = 0.2
    session = aiohttp.ClientSession()
    client = sandbox.client(max_connections=1, session=session if given else None)
    await client.queues.get_inbound(FIRST)
    calls = [asyncio.ensure_future(client.queues.get_inbound(FIRST)) for _ in range(4)]
    await until(lambda: len(sandbox.requests) == 2)
    await (session.close() if given else client.aclose())
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, ClientClosedError)
    assert client.rate_limits.tenant.in_flight == 0
    await client.aclose()
    await session.close()


async def test_closed_given_session_is_told_apart(sandbox: Sandbox) -> None:
    """The error reports that the session is closed."""
    session = aiohttp.ClientSession()
    async with sandbox.client(session=session) as client:
        await session.close()
        with pytest.raises(ClientClosedError, match="the aiohttp session this client was given is closed"):
            await client.queues.get_inbound(FIRST)


async def test_pager_of_a_closed_client_keeps_its_place(sandbox: Sandbox) -> None:
    """Its error has the token, and another client continues from it."""
    async with sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=10)
        got = [(await anext(pager)).id for _ in range(10)]
    with pytest.raises(ClientClosedError) as caught:
        await anext(pager)
    assert caught.value.resume_token == pager.token
    async with sandbox.client() as client:
        got += [found.id async for found in client.queues.list_inbound(token=caught.value.resume_token)]
    assert got == [stored["callinId"] for stored in sandbox.queues]


def test_one_client_serves_two_runs_of_an_event_loop() -> None:
    """`asyncio.run` twice with one client works: each loop has its own session; the last one can close it."""
    with Sandbox(queues=3) as sandbox:
        client = sandbox.client()

        async def get() -> int:
            return id_of(await client.queues.get_inbound(FIRST))

        async def get_and_close() -> int:
            async with client:
                return await get()

        assert [asyncio.run(get()), asyncio.run(get()), asyncio.run(get_and_close())] == [FIRST] * 3
        with pytest.raises(ClientClosedError):
            asyncio.run(get())
        gc.collect()


def test_sessions_of_dead_loops_are_released() -> None:
    """A client that has run in many loops holds only the session of the last one."""
    with Sandbox(queues=3) as sandbox:
        client = sandbox.client()

        async def get() -> int:
            return id_of(await client.queues.get_inbound(FIRST))

        def sessions() -> int:
            gc.collect()
            return sum(type(found) is aiohttp.ClientSession for found in gc.get_objects())

        before = sessions()
        for _ in range(4):
            asyncio.run(get())
            assert sessions() == before + 1
        asyncio.run(client.aclose())
        assert sessions() == before


def test_client_is_closed_from_another_loop() -> None:
    """While its own loop is stopped: its connections are closed when that loop ends, without a warning."""
    with Sandbox(queues=3) as sandbox, asyncio.Runner() as runner:
        client = sandbox.client()
        assert runner.run(client.queues.get_inbound(FIRST)).id == FIRST
        asyncio.run(client.aclose())
        with pytest.raises(ClientClosedError):
            runner.run(client.queues.get_inbound(FIRST))
        del client
        gc.collect()
    gc.collect()


def test_cancelled_run_does_not_block_the_next() -> None:
    """Requests that waited for the limit when their loop ended do not affect the next loop."""
    with Sandbox(queues=3) as sandbox:
        sandbox.fail(Delay(60))
        client = sandbox.client()

        async def leave_in_the_middle() -> None:
            calls = [asyncio.ensure_future(client.queues.get_inbound(FIRST)) for _ in range(5)]
            await asyncio.sleep(0.02)
            assert not any(call.done() for call in calls)

        async def get_and_close() -> int:
            async with client:
                return id_of(await client.queues.get_inbound(FIRST))

        asyncio.run(leave_in_the_middle())
        assert asyncio.run(get_and_close()) == FIRST
        assert client.rate_limits.tenant.in_flight == 0
        gc.collect()


def test_two_loops_at_once_are_refused_clearly() -> None:
    """A client used in a second loop while the first is open raises `ConfigurationError`; the first loop continues."""
    with Sandbox(queues=3) as sandbox:
        client = sandbox.client()

        async def get() -> int:
            return id_of(await client.queues.get_inbound(FIRST))

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="used by another event loop; make one client for each loop"):
                asyncio.run(get())

        async def main() -> None:
            async with client:
                assert await get() == FIRST
                await asyncio.to_thread(elsewhere)
                assert await get() == FIRST

        asyncio.run(main())


# from_env


async def test_environment_gives_key_tenant_and_base_url(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` reads them from the environment; arguments take precedence."""
    monkeypatch.setenv("ALOHUB_API_KEY", sandbox.api_key)
    monkeypatch.setenv("ALOHUB_TENANT_ID", sandbox.tenant_id)
    monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
    monkeypatch.setenv("ALOHUB_ENV", "development")
    async with AlohubClient.from_env() as client:
        await client.queues.get_inbound(FIRST)
    sent = sandbox.requests[0].headers
    assert (sent["X-Api-Key"], sent["X-Tenant-ID"]) == (sandbox.api_key, sandbox.tenant_id)
    async with AlohubClient.from_env("sk_live_other", tenant_id="7", retry=ONCE, user_agent="me/1") as client:
        with pytest.raises(AuthenticationError):
            await client.queues.get_inbound(FIRST)
    sent = sandbox.requests[1].headers
    assert (sent["X-Api-Key"], sent["X-Tenant-ID"], sent["User-Agent"]) == ("sk_live_other", "7", "me/1")
    async with (
        answering() as server,
        AlohubClient.from_env(endpoint=Endpoint.direct(server.url)) as client,
    ):
        await client.queues.get_inbound(FIRST)
        assert server.requests[0].headers["Authorization"] == sandbox.api_key


@pytest.mark.parametrize(
    ("environ", "arguments", "base_url"),
    [
        ({}, {}, "https://xapi.alohub.vn"),
        ({"ALOHUB_ENV": "production"}, {}, "https://xapi.alohub.vn"),
        ({"ALOHUB_ENV": "development"}, {}, "https://xapi-dev.alohub.vn"),
        ({"ALOHUB_BASE_URL": "https://a.example/p/"}, {}, "https://a.example/p"),
        ({"ALOHUB_BASE_URL": "https://a.example", "ALOHUB_ENV": "development"}, {}, "https://a.example"),
        ({"ALOHUB_BASE_URL": "https://a.example"}, {"endpoint": "https://b.example"}, "https://b.example"),
        ({"ALOHUB_ENV": "development"}, {"endpoint": Endpoint.production()}, "https://xapi.alohub.vn"),
        ({"ALOHUB_BASE_URL": ""}, {}, "https://xapi.alohub.vn"),
    ],
)
def test_environment_chooses_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str], arguments: dict[str, Any], base_url: str
) -> None:
    """An argument takes precedence over a base URL, and that over the name of an environment."""
    for name, value in {"ALOHUB_API_KEY": KEY, **environ}.items():
        monkeypatch.setenv(name, value)
    assert f"<AlohubClient {base_url}" in repr(AlohubClient.from_env(**arguments)).replace("/ ", " ")


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "there is no API key: set ALOHUB_API_KEY"),
        ({"ALOHUB_API_KEY": ""}, "there is no API key"),
        ({"ALOHUB_API_KEY": f"{KEY}\n"}, "api_key must be printable ASCII"),
        ({"ALOHUB_API_KEY": KEY, "ALOHUB_ENV": "test"}, "ALOHUB_ENV must be one of"),
        ({"ALOHUB_API_KEY": KEY, "ALOHUB_BASE_URL": "http://a.example"}, "would send the key unencrypted"),
        ({"ALOHUB_API_KEY": KEY, "ALOHUB_BASE_URL": "a.example"}, "base_url must begin with https://"),
    ],
)
def test_invalid_environment_raises_configuration_error(
    monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str], problem: str
) -> None:
    """It is a `ConfigurationError` that names the variable or the argument and never shows the key."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        AlohubClient.from_env()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("value", ["test", ""])
def test_argument_takes_precedence_over_an_invalid_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With an endpoint given, the variables of the endpoint are not read."""
    monkeypatch.setenv("ALOHUB_ENV", value)
    monkeypatch.setenv("ALOHUB_BASE_URL", "nonsense")
    client = AlohubClient.from_env(KEY, endpoint=Endpoint.development())
    assert "xapi-dev" in repr(client)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"api_key": ""}, "api_key must be"),
        ({"api_key": None}, "api_key must be"),
        ({"api_key": b"sk_live_secret"}, "api_key must be a string"),
        ({"api_key": "sk_live_secret\r\nX-Evil: 1"}, "api_key must be printable"),
        ({"api_key": "sk_live_secret "}, "api_key must be printable"),
        ({"api_key": "sk_live_secretđ"}, "api_key must be printable"),
        ({"tenant_id": 20260310}, "tenant_id must be a string"),
        ({"tenant_id": "1\n2"}, "tenant_id must be printable"),
        ({"user_agent": ""}, "user_agent must be"),
        ({"endpoint": 7}, "endpoint must be"),
        ({"endpoint": "http://a.example"}, "would send the key unencrypted"),
        ({"endpoint": "http://127.0.0.1.a.example"}, "would send the key unencrypted"),
        ({"endpoint": "https://user:pass@a.example"}, "must not hold a user"),
        ({"endpoint": "ftp://a.example"}, "must begin with https"),
        ({"endpoint": "https://a.example?x=1"}, "without '\\?'"),
        ({"timeouts": 5}, "timeouts must be a Timeouts"),
        ({"retry": 3}, "retry must be a RetryPolicy"),
        ({"rate_limiter": 10}, "rate_limiter must be a RateLimiter"),
        ({"session": object()}, "session must be a ClientSession; object was given"),
        ({"max_connections": 0}, "max_connections must be"),
        ({"max_connections": True}, "max_connections must be"),
    ],
)
def test_invalid_option_is_refused(arguments: dict[str, Any], problem: str) -> None:
    """It is a `ConfigurationError` (a `ValueError`) when the client is made, and the key is not shown."""
    given: dict[str, Any] = {"api_key": KEY, **arguments}
    with pytest.raises(ConfigurationError, match=problem) as caught:
        AlohubClient(**given)
    assert isinstance(caught.value, ValueError)
    assert KEY not in str(caught.value)


def test_plain_http_is_for_this_machine_unless_allowed() -> None:
    """Loopback hosts are allowed without TLS; other hosts only with `allow_http`."""
    for host in ("127.0.0.1:8080", "localhost", "[::1]:8080", "127.9.9.9"):
        AlohubClient(KEY, endpoint=f"http://{host}")
    AlohubClient(KEY, endpoint=Endpoint("http://pbx.example", allow_http=True))
    AlohubClient(KEY, endpoint=Endpoint.direct("http://pbx.example", allow_http=True))


# with_options


async def test_copy_shares_connections_limits_and_retry_quota() -> None:
    """A copy uses the same connection and the same budgets as the original."""
    headers = {"X-RateLimit-Limit-Tenant": "9", "X-RateLimit-Remaining-Tenant": "8"}
    async with (
        RawServer(lambda _: [http(QUEUE, headers=headers)]) as server,
        AlohubClient(KEY, endpoint=server.url) as client,
    ):
        copy = client.with_options(retry=ONCE).with_options(timeouts=Timeouts(total=9))
        await client.queues.get_inbound(1)
        await copy.queues.get_inbound(1)
        assert server.connections == 1
        assert copy.rate_limits == client.rate_limits
        assert client.rate_limits.tenant.limit == 9
        assert client.tenant_rate_limit == client.rate_limits.tenant


async def test_copy_has_its_own_options_and_the_rest_of_the_original(sandbox: Sandbox) -> None:
    """A given option applies only to the copy; the others are those of the client."""
    sandbox.fail(json_reply(queue(strategy="?")), next=None)
    async with sandbox.client(retry=ONCE, strict=True, tenant_id="20260310") as client:
        lax = client.with_options(strict=False)
        assert (await lax.queues.get_inbound(FIRST)).strategy is None
        with pytest.raises(APIResponseError):
            await client.queues.get_inbound(FIRST)
        with pytest.raises(APIResponseError):
            await client.with_options(deadline=9).queues.get_inbound(FIRST)
    assert all(sent.headers["X-Tenant-ID"] == "20260310" for sent in sandbox.requests)


@pytest.mark.looptime
async def test_copy_keeps_each_option_through_further_copies(sandbox: Sandbox) -> None:
    """A copy of a copy keeps the options of both."""
    sandbox.latency = 30.0
    async with sandbox.client() as client:
        once = client.with_options(retry=ONCE)
        short = once.with_options(timeouts=Timeouts(total=2))
        with pytest.raises(APITimeoutError):
            await short.queues.get_inbound(FIRST)
        assert len(sandbox.requests) <= 1
        with pytest.raises(DeadlineExceededError):
            await short.with_options(deadline=1).queues.get_inbound(FIRST)


async def test_closing_a_copy_leaves_the_client_open(sandbox: Sandbox, client: AlohubClient) -> None:
    """The closed copy raises an error; the client and its other copies still work."""
    async with client.with_options(strict=True) as copy:
        await copy.queues.get_inbound(FIRST)
    with pytest.raises(ClientClosedError):
        await copy.queues.get_inbound(FIRST)
    with pytest.raises(ClientClosedError):
        await copy.__aenter__()
    await client.queues.get_inbound(FIRST)
    await client.with_options(strict=True).queues.get_inbound(FIRST)
    assert len(sandbox.requests) == 3


async def test_closing_the_client_closes_its_copies(sandbox: Sandbox) -> None:
    """A copy has no connections of its own."""
    client = sandbox.client()
    copy = client.with_options(strict=True).with_options(retry=ONCE)
    await copy.queues.get_inbound(FIRST)
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await copy.queues.get_inbound(FIRST)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"timeouts": 5}, ConfigurationError),
        ({"retry": 3}, ConfigurationError),
        ({"deadline": 0}, InvalidArgumentError),
        ({"deadline": -1.0}, InvalidArgumentError),
        ({"deadline": float("nan")}, InvalidArgumentError),
        ({"deadline": True}, InvalidArgumentError),
    ],
)
def test_copy_with_an_invalid_option_is_refused(options: dict[str, Any], kind: type[AlohubError]) -> None:
    """The error is raised immediately, not at the first request."""
    with pytest.raises(kind):
        AlohubClient(KEY).with_options(**options)


def test_copy_is_of_the_same_class() -> None:
    """A subclass's copies are of the subclass."""

    class Mine(AlohubClient):
        pass

    assert type(Mine(KEY).with_options()) is Mine


# Keys


def _plain(keys: list[str]) -> Callable[[], str]:
    return lambda: keys.pop(0)


def _async(keys: list[str]) -> Callable[[], Awaitable[str]]:
    async def key() -> str:
        await asyncio.sleep(0)
        return keys.pop(0)

    return key


def _async_object(keys: list[str]) -> Callable[[], Awaitable[str]]:
    class Vault:
        async def __call__(self) -> str:
            return keys.pop(0)

    return Vault()


@pytest.mark.parametrize("provider", [_plain, _async, _async_object])
async def test_key_is_asked_for_before_each_attempt(
    sandbox: Sandbox, provider: Callable[[list[str]], Callable[[], Any]]
) -> None:
    """A callable, plain or async, is called for each attempt, so keys can be rotated between attempts."""
    keys = ["sk_live_1", "sk_live_2", "sk_live_3"]
    sandbox.fail(json_reply({}, status=503))
    sandbox.fail(json_reply(QUEUE), next=2)
    async with sandbox.client(api_key=provider(keys), retry=RetryPolicy(backoff=0)) as client:
        await client.queues.get_inbound(FIRST)
        await client.queues.get_inbound(FIRST)
    assert [sent.headers["X-Api-Key"] for sent in sandbox.requests] == ["sk_live_1", "sk_live_2", "sk_live_3"]


@pytest.mark.parametrize("key", [None, 7, "", "sk_live_secret\n", b"sk_live_secret"])
async def test_provider_that_returns_no_key_raises_configuration_error(sandbox: Sandbox, key: Any) -> None:
    """The error does not show the returned value, and nothing is sent."""
    async with sandbox.client(api_key=lambda: key) as client:
        with pytest.raises(ConfigurationError, match="api_key must be") as caught:
            await client.queues.get_inbound(FIRST)
    assert "secret" not in str(caught.value)
    assert sandbox.requests == []
    assert client.rate_limits.tenant.in_flight == 0


@pytest.mark.parametrize("error", [OSError("vault"), TimeoutError("vault"), ValueError("vault")])
async def test_error_of_a_provider_is_the_users_own(sandbox: Sandbox, error: Exception) -> None:
    """An exception of the user's callable is raised unchanged, and the client stays usable."""
    answers: list[Exception | str] = [error, sandbox.api_key]

    def key() -> str:
        answer = answers.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer

    async with sandbox.client(api_key=key) as client:
        with pytest.raises(type(error), match="vault") as caught:
            await client.queues.get_inbound(FIRST, deadline=5)
        assert caught.value is error
        await client.queues.get_inbound(FIRST)


@pytest.mark.looptime
async def test_slow_provider_is_within_the_deadline(sandbox: Sandbox) -> None:
    """The deadline covers the time of the key provider, and nothing was sent."""

    async def key() -> str:
        await asyncio.sleep(60)
        return sandbox.api_key

    async with sandbox.client(api_key=key) as client:
        started = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError) as caught:
            await client.queues.get_inbound(FIRST, deadline=5)
        assert asyncio.get_running_loop().time() - started == pytest.approx(5)
    assert not caught.value.maybe_sent
    assert sandbox.requests == []


# User agent, repr


async def test_user_agent_names_the_sdk_and_its_version(sandbox: Sandbox, client: AlohubClient) -> None:
    """By default it names the SDK, Python and aiohttp."""
    await client.queues.get_inbound(FIRST)
    agent = sandbox.requests[0].headers["User-Agent"]
    assert agent.startswith(f"alohub-async/{__version__} Python/3.")
    assert agent.endswith(f" aiohttp/{aiohttp.__version__}")


async def test_repr_shows_the_endpoint_and_never_the_key() -> None:
    """The reprs of the client and its parts do not show the key, whether a string or a callable."""
    async with answering() as server:
        async with AlohubClient(KEY, endpoint=server.url, tenant_id="20260310") as client:
            await client.queues.get_inbound(1)
            assert repr(client) == f"<AlohubClient {server.url}/ tenant_id='20260310'>"
            parts: list[object] = [client, client.queues, client.with_options(), client.queues.list_inbound()]
            parts += [client.rate_limits, *vars(client).values()]
            assert KEY not in repr(parts)
            assert KEY not in "".join(str(part) for part in parts)
        assert KEY not in repr(AlohubClient(lambda: KEY))


# request


async def test_request_gives_status_headers_payload_attempts_and_time(sandbox: Sandbox) -> None:
    """The result has the whole response and the number of attempts."""
    sandbox.fail(status=503)
    sandbox.fail(json_reply({"a": [1, "ă"]}, status=201, headers={"X-More": "yes"}))
    async with sandbox.client(retry=RetryPolicy(backoff=0)) as client:
        answer = await client.request("put", "/v1/queues/inbound/5", params={"a": 1, "b": "x y&z"}, json={"c": None})
    assert (answer.status, answer.payload, answer.attempts) == (201, {"a": [1, "ă"]}, 2)
    assert answer.headers["x-more"] == "yes"
    assert 0 < answer.elapsed < 5
    sent = sandbox.requests[-1]
    assert (sent.method, sent.path, dict(sent.query)) == ("PUT", "/v1/queues/inbound/5", {"a": "1", "b": "x y&z"})
    assert sent.json == {"c": None}
    assert sent.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("status", "method"), [(204, "DELETE"), (205, "POST"), (204, "GET")])
async def test_answer_without_content_is_no_error(status: int, method: str) -> None:
    """204 and 205 have no body to decode."""
    head = f"HTTP/1.1 {status} Done\r\nX-Mark: 1\r\n\r\n".encode()
    async with (
        RawServer(lambda _: [head, "close"]) as server,
        AlohubClient(KEY, endpoint=server.url, retry=ONCE) as client,
    ):
        answer = await client.request(method, "/v1/other/5")
    assert (answer.status, answer.payload, answer.attempts) == (status, None, 1)


async def test_request_has_the_same_errors(sandbox: Sandbox, client: AlohubClient) -> None:
    """Error statuses and failures under 200 raise the same errors as the named methods."""
    with pytest.raises(AlohubError, match="GET /v1/nothing/here failed with HTTP 404 NOT_FOUND"):
        await client.request("GET", "/v1/nothing/here")
    sandbox.fail(json_reply({"success": "0"}))
    with pytest.raises(AlohubError, match="failed with HTTP 200"):
        await client.request("GET", "/v1/queues/inbound")


async def test_request_goes_below_the_endpoints_prefix(sandbox: Sandbox) -> None:
    """The path is written as on the vendor's page, whatever the way of access."""
    async with sandbox.client(direct=True) as client:
        await client.request("GET", LIST)
    assert sandbox.requests[0].path == f"/api{LIST}"


async def test_request_shares_the_budget_of_the_listed_call(client: AlohubClient) -> None:
    """The same method and path make the same route, also with an id in it."""
    await client.queues.get_inbound(FIRST)
    await client.request("get", f"{LIST}/{FIRST}")
    await client.queues.list_inbound().first()
    await client.request("GET", LIST)
    assert set(client.rate_limits.routes) == {f"GET {LIST}", f"GET {LIST}/{{id}}"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"path": "v1/queues"}, "path must"),
        ({"path": "/../admin"}, "path must"),
        ({"path": "/v1/%2e%2e/%2e%2E/admin"}, "path must"),
        ({"path": "/v1/./x"}, "path must"),
        ({"path": "/v1//x"}, "path must"),
        ({"path": "//evil.example/x"}, "path must"),
        ({"path": "https://evil.example/x"}, "path must"),
        ({"path": "/v1/x?y=1"}, "path must"),
        ({"path": "/v1/x#y"}, "path must"),
        ({"path": "/v1\\..\\x"}, "path must"),
        ({"path": "/v1/a b"}, "path must"),
        ({"path": "/v1/a\r\nX: 1"}, "path must"),
        ({"path": None}, "path must be a string"),
        ({"method": "BREW"}, "method must be one of"),
        ({"method": "GET\r\nX: 1"}, "method must be one of"),
        ({"method": None}, "method must be one of"),
        ({"params": {"a": True}}, "params"),
        ({"params": {"a": None}}, "params"),
        ({"params": {"a": [1]}}, "params"),
        ({"json": {"a": object()}}, "json must be"),
        ({"json": float("nan")}, "json must be"),
        ({"deadline": 0}, "deadline must be"),
    ],
)
async def test_invalid_request_is_refused_before_it_is_sent(
    sandbox: Sandbox, client: AlohubClient, arguments: dict[str, Any], problem: str
) -> None:
    """In particular, a path that could leave the base URL is refused."""
    given: dict[str, Any] = {"method": "GET", "path": "/v1/x", **arguments}
    with pytest.raises(InvalidArgumentError, match=problem):
        await client.request(**given)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/đường", "/v1/%C4%91%C6%B0%E1%BB%9Dng"),
        ("/v1/a%2Fb", "/v1/a%2Fb"),
        ("/v1/a:b@c", "/v1/a:b@c"),
        ("/v1/..a", "/v1/..a"),
    ],
)
async def test_path_arrives_as_written(path: str, target: str) -> None:
    """Escapes are kept, and characters that need escaping are escaped."""
    async with answering() as server, AlohubClient(KEY, endpoint=f"{server.url}/base") as client:
        await client.request("GET", path)
    assert server.requests[0].target == f"/base{target}"


# paginate


@attrs.frozen
class Plain:
    """A record of the user's, without wire names."""

    callinId: int  # noqa: N815 (the wire's)
    callinName: str  # noqa: N815


@attrs.frozen
class Named:
    """A record with wire names, and no `extra`."""

    ident: int = attrs.field(metadata={"wire": "callinId"})
    name: str = attrs.field(metadata={"wire": "callinName"})
    music: str | None = attrs.field(default=None, metadata={"wire": "musicinQueue"})


@attrs.frozen
class Kept:
    """A record with `extra`, read like an `InboundQueue`."""

    ident: int = attrs.field(metadata={"wire": "callinId"})
    wait: int | None = attrs.field(default=None, metadata={"wire": "timeWait"})
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any])


async def test_paginate_gives_dicts(sandbox: Sandbox, client: AlohubClient) -> None:
    """Without a model, records are returned as dicts."""
    pager = client.paginate(LIST, page_size=10)
    assert await pager.collect() == [*sandbox.queues]
    assert pager.total == 25


async def test_paginate_makes_attrs_records(sandbox: Sandbox, client: AlohubClient) -> None:
    """With an attrs class, by its field names or by their wire names; with `extra`, what is unknown is kept."""
    plain = await client.paginate(LIST, model=Plain).collect()
    assert plain[0] == Plain(FIRST, str(sandbox.queues[0]["callinName"]))
    named = await client.paginate(LIST, model=Named).collect()
    assert [record.ident for record in named] == [stored["callinId"] for stored in sandbox.queues]
    assert [record.music for record in named] == [stored["musicinQueue"] for stored in sandbox.queues]
    kept = await client.paginate(LIST, model=Kept).collect()
    assert kept[0].extra["callinName"] == sandbox.queues[0]["callinName"]
    assert {type(record.wait) for record in kept} == {int, type(None)}
    assert await client.paginate(LIST, model=InboundQueue).collect() == await client.queues.list_inbound().collect()


async def test_paginate_sends_its_params_with_each_page(sandbox: Sandbox, client: AlohubClient) -> None:
    """They are sent with `page` and `size`, and are part of the token."""
    pager = client.paginate(LIST, params={"kind": "vip", "n": 2}, page_size=10)
    await pager.collect()
    assert [dict(sent.query) for sent in sandbox.requests] == [
        {"kind": "vip", "n": "2", "page": str(page), "size": "10"} for page in range(3)
    ]
    with pytest.raises(InvalidArgumentError, match="the token is of another list"):
        client.paginate(LIST, params={"kind": "other"}, token=pager.token)


async def test_paginate_goes_on_from_its_token(sandbox: Sandbox, client: AlohubClient) -> None:
    """Another client continues at the same record."""
    pager = client.paginate(LIST, page_size=10, key="callinId")
    got = [await anext(pager) for _ in range(13)]
    async with sandbox.client() as other:
        got += await other.paginate(LIST, token=pager.token, key="callinId").collect()
    assert got == [*sandbox.queues]


@pytest.mark.parametrize("model", [Plain, Named, Kept, InboundQueue])
async def test_strict_names_page_index_field_and_value(sandbox: Sandbox, model: type[Any]) -> None:
    """On the second page, in the third record: the error says all of it and where to go on."""
    good = [queue(callinId=number) for number in range(1, 9)]
    good[7] = queue(callinId="x!y")
    for page in (0, 1):
        payload = {"success": "1", "totalRecord": 10, "data": good[page * 5 : page * 5 + 5]}
        sandbox.fail(json_reply(payload), page=page)
    async with sandbox.client(strict=True) as client:
        pager = client.paginate(LIST, model=model, page_size=5)
        for _ in range(5):
            await anext(pager)
        with pytest.raises(APIResponseError, match="page 1, index 2") as caught:
            await anext(pager)
    assert "callinId" in str(caught.value) or "ident" in str(caught.value)
    assert "x!y" in str(caught.value) or model in {Plain, Named}
    assert caught.value.resume_token == pager.token


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"params": {"page": 1}}, "params must not hold"),
        ({"params": {"size": 1}}, "params must not hold"),
        ({"page_size": 0}, "page_size must be"),
        ({"page_size": True}, "page_size must be"),
        ({"page_size": "10"}, "page_size must be"),
        ({"token": "x"}, "token must be"),
        ({"token": 7}, "token must be"),
        ({"path": "/../x"}, "path must"),
        ({"model": "InboundQueue"}, "model must be"),
        ({"model": object}, "model must be"),
        ({"model": dict}, "model must be"),
        ({"model": Plain(1, "x")}, "model must be"),
        ({"deadline": 0}, "deadline must be"),
    ],
)
async def test_invalid_paginate_is_refused_when_called(
    client: AlohubClient, arguments: dict[str, Any], problem: str
) -> None:
    """The error is raised before the first step of the pager."""
    given: dict[str, Any] = {"path": LIST, **arguments}
    with pytest.raises(InvalidArgumentError, match=problem):
        client.paginate(**given)


# Secrets


def _answer_and_close(answer: bytes, _: int) -> Sequence[Step]:
    return [answer, "close"]


@pytest.mark.parametrize("key", [KEY, "k/1+2=3&4", 'q"u\\o<t>e', "[brackets].*", "%41bc", "sk live inside"])
async def test_no_error_or_log_shows_the_key(sandbox: Sandbox, caplog: pytest.LogCaptureFixture, key: str) -> None:
    """Whatever goes wrong, and even if the server repeats the key, no error or log record contains it."""
    caplog.set_level("DEBUG")
    said = {"error_code": key, "error_message": f"no such key: {key}", "key": {"key": key}}
    harmless = key.replace('"', "").replace("\\", "")
    html = f"<p>{key.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;').replace(chr(34), '&quot;')}</p>"
    faults = [
        json_reply(said, status=401, headers={"X-Request-Id": key, "X-Echo": harmless, "Link": f"<{key}>"}),
        json_reply(said | {"success": "0"}),
        json_reply(said | {"success": "0"}, status=500),
    ]
    errors: list[AlohubError] = []
    async with sandbox.client(api_key=key, retry=RetryPolicy(max_retries=1, backoff=0)) as client:
        for fault in faults:
            sandbox.fail(fault, next=2)
            with pytest.raises(AlohubError) as caught:
                await client.queues.get_inbound(FIRST)
            errors.append(caught.value)
            sandbox.heal()
        for body in (html.encode(), key.encode(), b"HTTP"):
            answers = http(body), http(body, status=502), body, http(body)[:-1]
            for answer in answers:
                async with (
                    RawServer(partial(_answer_and_close, answer)) as server,
                    AlohubClient(key, endpoint=server.url, retry=ONCE) as raw,
                ):
                    with pytest.raises(AlohubError) as caught:
                        await raw.queues.get_inbound(FIRST)
                    errors.append(caught.value)
        text = [record.getMessage() + repr(record.__dict__) for record in caplog.records]
        text += [repr(client), repr(client.queues)]
    assert len(errors) == 15
    for error in errors:
        chain: BaseException | None = error
        while chain is not None:
            text += [str(chain), repr(chain)]
            chain = chain.__cause__ or chain.__context__
        text += [repr(vars(error)), "".join(traceback.format_exception(error))]
    assert len(caplog.records) > 3
    for line in text:
        assert key not in line
        assert repr(key)[1:-1] not in line
    if key == KEY:
        assert not any("live_secret" in line for line in text)


async def test_headers_of_an_error_are_the_answers_and_not_the_requests(sandbox: Sandbox, client: AlohubClient) -> None:
    """An error carries no header of the request, so it does not contain the key under any name."""
    sandbox.fail(json_reply({}, status=500), next=None)
    with pytest.raises(InternalServerError) as caught:
        await client.with_options(retry=ONCE).queues.get_inbound(FIRST)
    assert not {"x-api-key", "authorization", "x-tenant-id"} & {name.lower() for name in caught.value.headers}


async def test_one_limiter_serves_several_clients(sandbox: Sandbox) -> None:
    """Clients that share a limiter share its knowledge of the budget."""
    limiter = RateLimiter()
    async with (
        sandbox.client(rate_limiter=limiter) as first,
        sandbox.client(rate_limiter=limiter, direct=True) as second,
    ):
        await first.queues.get_inbound(FIRST)
        await second.queues.get_inbound(FIRST)
        assert first.rate_limits == second.rate_limits == limiter.status()
        assert first.rate_limits.tenant.free == 98


@pytest.mark.looptime
async def test_timeouts_of_a_call_do_not_apply_to_the_next(sandbox: Sandbox, client: AlohubClient) -> None:
    """A call that timed out leaves the client usable, with a new connection."""
    sandbox.fail(Delay(20), next=1)
    impatient = client.with_options(timeouts=Timeouts(total=1), retry=ONCE)
    with pytest.raises(APITimeoutError):
        await impatient.queues.get_inbound(FIRST)
    assert (await impatient.queues.get_inbound(FIRST)).id == FIRST
    assert isinstance(APITimeoutError("x", maybe_sent=True), APIConnectionError)


async def test_token_of_a_capped_walk_goes_with_the_page_size_that_was_asked_for() -> None:
    """A token works with the requested `page_size` even if the server capped it; another size is refused."""
    async with Sandbox(queues=30, page_size_cap=10) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=20)
        got = [await anext(pager) for _ in range(13)]
        rest = await client.queues.list_inbound(page_size=20, token=pager.token).collect()
        assert [queue.id for queue in [*got, *rest]] == [row["callinId"] for row in sandbox.queues]
        with pytest.raises(InvalidArgumentError, match="page_size=20"):
            client.queues.list_inbound(page_size=10, token=pager.token)


async def test_what_tells_clients_apart(sandbox: Sandbox) -> None:
    """A client is identified by endpoint, tenant and a fingerprint that does not show its key."""
    salt = b"0123456789abcdef"
    async with sandbox.client() as client, sandbox.client(api_key=lambda: "sk_live_other") as other:
        assert client.endpoint.base_url == sandbox.url
        assert client.tenant_id == sandbox.tenant_id
        assert await client.fingerprint(salt) == await client.fingerprint(salt)
        assert await client.fingerprint(salt) != await other.fingerprint(salt)
        assert await client.fingerprint(salt) != await client.fingerprint(salt[::-1])
        assert sandbox.api_key not in await client.fingerprint(salt)


async def test_the_status_counts_requests_and_429s(sandbox: Sandbox, client: AlohubClient) -> None:
    """All transmissions are counted, including those that either budget denied."""
    sandbox.fail(status=429, retry_after="0.01")
    await client.queues.list_inbound().collect()
    assert client.rate_limits.tenant.sent == len(sandbox.requests) == 2
    assert [route.sent for route in client.rate_limits.routes.values()] == [2]
    assert client.rate_limits.denied == 1
