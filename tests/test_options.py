"""Every documented option has an observable effect: none is accepted and ignored."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import aiohttp
import attrs
import pytest
from multidict import CIMultiDict

from alohub_async import (
    UNSET,
    AlohubClient,
    APIConnectionError,
    APIResponseError,
    APITimeoutError,
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    Endpoint,
    Event,
    InboundQueueUpdate,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    KeyHeader,
    NotFoundError,
    Outcomes,
    PageDriftError,
    Pager,
    Queues,
    RateLimiter,
    RateLimitError,
    RateLimitHeaders,
    RateLimitWaitError,
    RetryPolicy,
    Timeouts,
    UpdateResult,
)
from alohub_async.options import (
    BulkOptions,
    BulkOptionsDict,
    CallOptions,
    CallOptionsDict,
    ClientOptions,
    ClientOptionsDict,
    ListingOptions,
    ListingOptionsDict,
    PageOptions,
    PageOptionsDict,
    WalkOptions,
    WalkOptionsDict,
)
from alohub_async.rate_limits.headers import HeaderReader
from alohub_async.testing import Delay, HtmlPage, Sandbox, Status, seed_queues
from tests.support import FIRST, LIST, QUEUE, RawServer, deaf_endpoint, http, json_reply, queue

ONCE = RetryPolicy(max_retries=0)

Effect = Callable[[], Awaitable[None]]
EFFECTS: dict[str, Effect] = {}


def effect(*names: str) -> Callable[[Effect], Effect]:
    """Register a check of the effect of these options."""

    def register(check: Effect) -> Effect:
        for name in names:
            assert name not in EFFECTS, name
            EFFECTS[name] = check
        return check

    return register


def _keywords(what: Callable[..., Any]) -> dict[str, object]:
    """All parameters and their types, those of `**options` one by one."""
    hints = get_type_hints(inspect.unwrap(what.__init__ if inspect.isclass(what) else what))
    keywords: dict[str, object] = {}
    for name, parameter in inspect.signature(what).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            [declared] = get_args(hints[name])
            keywords |= get_type_hints(declared)
        elif name not in {"self", "cls"}:
            keywords[name] = hints.get(name)
    return keywords


def _options_of(what: Callable[..., Any], name: str) -> set[str]:
    return {f"{name}.{keyword}" for keyword in _keywords(what)}


def documented() -> set[str]:
    """Every option of everything a user configures or calls, by its name."""
    options: set[str] = set()
    for kind in (AlohubClient, RetryPolicy, Timeouts, Endpoint, RateLimiter, RateLimitHeaders):
        options |= _options_of(kind, kind.__name__)
    for name in ("with_options", "request", "paginate"):
        options |= _options_of(getattr(AlohubClient, name), name)
    for name in (
        "list_inbound",
        "get_inbound",
        "update_inbound",
        "edit_inbound",
        "get_many_inbound",
        "update_many_inbound",
    ):
        options |= _options_of(getattr(Queues, name), name)
    options |= _options_of(Endpoint.direct, "Endpoint.direct")
    return options


def test_every_option_has_a_check() -> None:
    """The options are read from the signatures: a new option without a check fails here."""
    assert documented() == EFFECTS.keys()


def test_from_env_has_the_options_of_the_class() -> None:
    """`from_env` has the same options as the class, with an optional key; `with_options` has some of them."""
    ours, theirs = _keywords(AlohubClient), _keywords(AlohubClient.from_env)
    del theirs["api_key"], ours["api_key"]
    assert theirs == ours
    assert _keywords(AlohubClient.with_options).items() <= ours.items()


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (CallOptions, CallOptionsDict),
        (PageOptions, PageOptionsDict),
        (WalkOptions, WalkOptionsDict),
        (ListingOptions, ListingOptionsDict),
        (BulkOptions, BulkOptionsDict),
        (ClientOptions, ClientOptionsDict),
    ],
)
def test_options_class_has_the_keywords_that_editors_know(options: Any, keywords: Any) -> None:
    """The class that checks the options and the `TypedDict` for editors declare the same options."""
    assert {*attrs.fields_dict(options)} == {*get_type_hints(keywords)}
    for name in attrs.fields_dict(options):
        assert any(f"    {name}: " in (base.__doc__ or "") for base in options.__mro__), name


@pytest.mark.looptime
@pytest.mark.parametrize("name", sorted(documented()))
async def test_option_has_its_effect(name: str) -> None:
    """The option changes something in the requests, the time or the outcome."""
    await EFFECTS[name]()


def now() -> float:
    """The event loop's time."""
    return asyncio.get_running_loop().time()


async def headers_sent(api_key: Any = "sk_live_x", **options: Any) -> CIMultiDict[str]:
    """Return the headers that a client with these options sends."""
    async with RawServer(lambda _: [http(QUEUE)]) as server:
        endpoint = options.pop("endpoint", Endpoint)(server.url)
        async with AlohubClient(api_key, endpoint=endpoint, **options) as client:
            await client.queues.get_inbound(1)
        return server.requests[0].headers


async def seconds_of(call: Awaitable[object], error: type[Exception] | None = None) -> float:
    """Return how long a call takes until its result or the expected error."""
    started = now()
    if error is None:
        await call
    else:
        with pytest.raises(error):
            await call
    return now() - started


# AlohubClient and with_options


@effect("AlohubClient.api_key")
async def _api_key() -> None:
    assert (await headers_sent("sk_live_1"))["X-Api-Key"] == "sk_live_1"
    assert (await headers_sent(lambda: "sk_live_2"))["X-Api-Key"] == "sk_live_2"


@effect("AlohubClient.tenant_id")
async def _tenant_id() -> None:
    assert (await headers_sent(tenant_id="77"))["X-Tenant-ID"] == "77"
    assert "X-Tenant-ID" not in await headers_sent()


@effect("AlohubClient.endpoint")
async def _endpoint() -> None:
    async with RawServer(lambda _: [http(QUEUE)]) as server:
        for endpoint in (server.url, Endpoint(server.url), Endpoint(f"{server.url}/base/")):
            async with AlohubClient("sk_live_x", endpoint=endpoint) as client:
                await client.queues.get_inbound(1)
        assert [sent.target.removesuffix(f"{LIST}/1") for sent in server.requests] == ["", "", "/base"]


@effect("AlohubClient.timeouts", "with_options.timeouts")
async def _timeouts() -> None:
    async with Sandbox(queues=3) as sandbox:
        sandbox.fail(Delay(100), next=None)
        async with sandbox.client(retry=ONCE, timeouts=Timeouts(total=2)) as client:
            assert await seconds_of(client.queues.get_inbound(FIRST), APITimeoutError) == pytest.approx(2, abs=0.1)
            copy = client.with_options(timeouts=Timeouts(total=4))
            assert await seconds_of(copy.queues.get_inbound(FIRST), APITimeoutError) == pytest.approx(4, abs=0.1)


@effect("AlohubClient.retry", "with_options.retry")
async def _retry() -> None:
    async with Sandbox(queues=3) as sandbox:
        sandbox.fail(HtmlPage(502), next=None)
        async with sandbox.client(retry=ONCE) as client:
            with pytest.raises(InternalServerError):
                await client.queues.get_inbound(FIRST)
            assert len(sandbox.requests) == 1
            with pytest.raises(InternalServerError):
                await client.with_options(retry=RetryPolicy(max_retries=1)).queues.get_inbound(FIRST)
            assert len(sandbox.requests) == 3


@effect("AlohubClient.deadline", "with_options.deadline", "get_inbound.deadline", "request.deadline")
async def _deadline() -> None:
    async with Sandbox(queues=3) as sandbox:
        sandbox.fail(Delay(100), next=None)
        async with sandbox.client(deadline=4) as client:
            copy = client.with_options(deadline=3)
            for call, seconds in (
                (client.queues.get_inbound(FIRST), 4),
                (copy.queues.get_inbound(FIRST), 3),
                (client.queues.get_inbound(FIRST, deadline=2), 2),
                (client.request("GET", LIST, deadline=1), 1),
            ):
                assert await seconds_of(call, DeadlineExceededError) == pytest.approx(seconds, abs=0.01)


@effect("update_inbound.deadline")
async def _update_deadline() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        sandbox.fail(Delay(100))
        call = client.queues.update_inbound(FIRST, max_wait=1, deadline=2)
        assert await seconds_of(call, DeadlineExceededError) == pytest.approx(2, abs=0.01)


@effect("list_inbound.deadline", "paginate.deadline")
async def _walk_deadline() -> None:
    async with Sandbox(queues=30, latency=1.0) as sandbox, sandbox.client() as client:
        for pager in (
            client.queues.list_inbound(page_size=5, deadline=2.5),
            client.paginate(LIST, page_size=5, deadline=2.5),
        ):
            assert await seconds_of(pager.collect(), DeadlineExceededError) == pytest.approx(2.5, abs=0.01)


@effect("AlohubClient.rate_limiter")
async def _rate_limiter() -> None:
    limiter = RateLimiter()
    async with Sandbox(queues=3, tenant_limit=77) as sandbox, sandbox.client(rate_limiter=limiter) as client:
        await client.queues.get_inbound(FIRST)
    assert limiter.status().tenant.limit == 77


@effect("AlohubClient.session")
async def _session() -> None:
    async with aiohttp.ClientSession(headers={"X-Mark": "mine"}) as session:
        assert (await headers_sent(session=session))["X-Mark"] == "mine"


@effect("AlohubClient.max_connections")
async def _max_connections() -> None:
    for most, seconds in ((1, 6), (2, 3), (100, 1)):
        async with Sandbox(queues=3) as sandbox, sandbox.client(max_connections=most) as client:
            await client.queues.get_inbound(FIRST)
            sandbox.latency = 1.0
            calls = asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(6)))
            assert await seconds_of(calls) == pytest.approx(seconds, abs=0.1)


@effect("AlohubClient.tenant_name")
async def _tenant_name() -> None:
    heard = list[Event]()
    async with Sandbox(queues=1) as sandbox, sandbox.client(tenant_name="hanoi", on_event=heard.append) as client:
        await client.queues.get_inbound(FIRST)
    assert {vars(event)["tenant"] for event in heard} == {"hanoi"}


@effect("AlohubClient.user_agent")
async def _user_agent() -> None:
    assert (await headers_sent(user_agent="me/1"))["User-Agent"] == "me/1"
    assert (await headers_sent())["User-Agent"].startswith("alohub-async/")


async def _connects_to(options: Callable[[str], dict[str, Any]]) -> list[str]:
    """Return what a client with these options asks a proxy for."""
    async with RawServer(lambda _: [http(b"", status=403)]) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HTTPS_PROXY", server.url)
            client = AlohubClient("sk_live_x", endpoint="https://api.example", retry=ONCE, **options(server.url))
        async with client:
            with pytest.raises(APIConnectionError):
                await client.queues.get_inbound(1)
        return [f"{sent.method} {sent.target}" for sent in server.requests]


@effect("AlohubClient.proxy", "AlohubClient.trust_env")
async def _proxy() -> None:
    assert await _connects_to(lambda url: {"proxy": url}) == ["CONNECT api.example:443"]
    assert await _connects_to(lambda _: {"trust_env": True}) == ["CONNECT api.example:443"]


@effect("AlohubClient.ssl")
async def _ssl() -> None:
    with pytest.raises(ConfigurationError, match="PEM"):
        AlohubClient("sk_live_x", ssl=__file__)


@effect("AlohubClient.on_event")
async def _on_event() -> None:
    heard = list[Event]()
    await headers_sent(on_event=heard.append)
    assert heard


@effect("AlohubClient.strict", "with_options.strict")
async def _strict() -> None:
    async with Sandbox(queues=[queue(strategy="?")]) as sandbox, sandbox.client(strict=True) as client:
        with pytest.raises(APIResponseError):
            await client.queues.get_inbound(FIRST)
        assert (await client.with_options(strict=False).queues.get_inbound(FIRST)).strategy is None


@effect("AlohubClient.max_response_bytes", "with_options.max_response_bytes")
async def _max_response_bytes() -> None:
    async with Sandbox(queues=1) as sandbox, sandbox.client(max_response_bytes=10) as client:
        with pytest.raises(APIResponseError, match="max_response_bytes=10"):
            await client.queues.get_inbound(FIRST)
        assert (await client.with_options(max_response_bytes=None).queues.get_inbound(FIRST)).id == FIRST


# RetryPolicy


@effect("RetryPolicy.max_retries")
async def _max_retries() -> None:
    async with Sandbox(queues=3) as sandbox:
        sandbox.fail(HtmlPage(502), next=None)
        for retries in (0, 1, 5):
            sandbox.clear()
            async with sandbox.client(retry=RetryPolicy(max_retries=retries)) as client:
                with pytest.raises(InternalServerError):
                    await client.queues.get_inbound(FIRST)
            assert len(sandbox.requests) == 1 + retries


async def _backoff_gaps(policy: RetryPolicy) -> list[float]:
    async with Sandbox(queues=3) as sandbox, sandbox.client(retry=policy) as client:
        sandbox.fail(HtmlPage(502), next=None)
        with pytest.raises(InternalServerError):
            await client.queues.get_inbound(FIRST)
        times = [sent.at for sent in sandbox.requests]
        return [after - before for before, after in pairwise(times)]


@effect("RetryPolicy.backoff", "RetryPolicy.max_backoff")
async def _backoff() -> None:
    assert max(await _backoff_gaps(RetryPolicy(max_retries=20, backoff=0))) < 0.1
    assert max(await _backoff_gaps(RetryPolicy(max_retries=20, backoff=30, max_backoff=30))) > 5
    assert max(await _backoff_gaps(RetryPolicy(max_retries=20, backoff=30, max_backoff=2))) <= 2.1


@effect("RetryPolicy.max_retry_after")
async def _max_retry_after() -> None:
    for status, kind in ((429, RateLimitError), (503, InternalServerError)):
        async with Sandbox(queues=3) as sandbox, sandbox.client(retry=RetryPolicy(max_retry_after=5)) as client:
            sandbox.fail(Status(status, retry_after="6"))
            assert await seconds_of(client.queues.get_inbound(FIRST), kind) < 0.1
            if status == 429:  # later calls, which wait without sending a request
                assert await seconds_of(client.queues.get_inbound(FIRST), RateLimitWaitError) < 0.1
    await _wait_for_retry_after(429)
    await _wait_for_retry_after(503)


async def _wait_for_retry_after(status: int) -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client(retry=RetryPolicy(max_retry_after=100)) as client:
        sandbox.fail(Status(status, retry_after="90"))
        assert 90 <= await seconds_of(client.queues.get_inbound(FIRST)) <= (90.1 if status == 429 else 99.1)


@effect("RetryPolicy.retry_statuses")
async def _retry_statuses() -> None:
    async with Sandbox(queues=3) as sandbox:
        for statuses, times in ((frozenset({502, 404}), 2), (frozenset[int](), 1)):
            for status in (404, 502):
                sandbox.clear()
                sandbox.fail(HtmlPage(status), next=times)
                async with sandbox.client(retry=RetryPolicy(max_retries=1, retry_statuses=statuses)) as client:
                    with pytest.raises((NotFoundError, InternalServerError)):
                        await client.queues.get_inbound(FIRST)
                assert len(sandbox.requests) == times


@effect("RetryPolicy.retry_writes")
async def _retry_writes() -> None:
    async with Sandbox(queues=3) as sandbox:
        for retry_writes in (False, True):
            sandbox.fail(HtmlPage(502))
            async with sandbox.client(retry=RetryPolicy(retry_writes=retry_writes)) as client:
                if retry_writes:
                    assert (await client.queues.update_inbound(FIRST, max_wait=1)).attempts == 2
                else:
                    with pytest.raises(InternalServerError):
                        await client.queues.update_inbound(FIRST, max_wait=1)


# Timeouts


@effect("Timeouts.read", "Timeouts.total")
async def _read_and_total() -> None:
    head, blank, body = http(QUEUE).partition(b"\r\n\r\n")
    trickle: list[bytes | float] = [head, blank]
    trickle += [part for at in range(len(body)) for part in (body[at : at + 1], 0.5)]
    async with RawServer(lambda number: trickle if number > 1 else [100.0]) as server:
        for timeouts, seconds in ((Timeouts(read=3, total=100), 3), (Timeouts(read=3, total=4), 4)):
            async with AlohubClient("sk_live_x", endpoint=server.url, timeouts=timeouts, retry=ONCE) as client:
                call = client.queues.get_inbound(1)
                assert await seconds_of(call, APITimeoutError) == pytest.approx(seconds, abs=0.1)


@effect("Timeouts.connect")
async def _connect() -> None:
    async with deaf_endpoint() as url:
        for timeouts, seconds in ((Timeouts(connect=2), 2), (Timeouts(connect=4), 4)):
            async with AlohubClient("sk_live_x", endpoint=url, timeouts=timeouts, retry=ONCE) as client:
                call = client.queues.get_inbound(1)
                assert await seconds_of(call, APITimeoutError) == pytest.approx(seconds, abs=0.1)


# Endpoint


@effect("Endpoint.base_url", "Endpoint.direct.url")
async def _base_url() -> None:
    async with RawServer(lambda _: [http(QUEUE)]) as server:
        for endpoint in (Endpoint(f"{server.url}/a"), Endpoint.direct(f"{server.url}/b")):
            async with AlohubClient("sk_live_x", endpoint=endpoint) as client:
                await client.queues.get_inbound(1)
        assert [sent.target for sent in server.requests] == [f"/a{LIST}/1", f"/b/api{LIST}/1"]


@effect("Endpoint.key_header")
async def _key_header() -> None:
    expected: dict[KeyHeader, set[str]] = {
        "x-api-key": {"X-Api-Key"},
        "authorization": {"Authorization"},
        "both": {"X-Api-Key", "Authorization"},
    }
    for key_header, names in expected.items():

        def make(url: str, key_header: KeyHeader = key_header) -> Endpoint:
            return Endpoint(url, key_header=key_header)

        sent = await headers_sent(endpoint=make)
        assert {"X-Api-Key", "Authorization"} & set(sent) == names


@effect("Endpoint.send_tenant")
async def _send_tenant() -> None:
    def without(url: str) -> Endpoint:
        return Endpoint(url, send_tenant=False)

    def direct_with(url: str) -> Endpoint:
        return attrs.evolve(Endpoint.direct(url), send_tenant=True)

    assert "X-Tenant-ID" not in await headers_sent(endpoint=without, tenant_id="7")
    assert "X-Tenant-ID" not in await headers_sent(endpoint=Endpoint.direct, tenant_id="7")
    assert (await headers_sent(endpoint=direct_with, tenant_id="7"))["X-Tenant-ID"] == "7"


@effect("Endpoint.allow_http", "Endpoint.direct.allow_http")
async def _allow_http() -> None:
    for make in (Endpoint, Endpoint.direct):
        with pytest.raises(ConfigurationError, match=r"http://pbx\.example would send the key unencrypted"):
            make("http://pbx.example")
        assert make("http://pbx.example", allow_http=True).base_url.host == "pbx.example"


# RateLimiter


@effect("RateLimiter.window")
async def _window() -> None:
    for window in (2.0, 5.0):
        async with (
            Sandbox(queues=3, route_limit=2, window=window) as sandbox,
            sandbox.client(rate_limiter=RateLimiter(window=window)) as client,
        ):
            started = now()
            await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(4)))
            assert window <= now() - started < 3 * window
            assert {sent.status for sent in sandbox.requests} == {200}


@effect(
    "RateLimiter.headers",
    "RateLimitHeaders.tenant_limit",
    "RateLimitHeaders.tenant_remaining",
    "RateLimitHeaders.route_limit",
    "RateLimitHeaders.route_remaining",
)
async def _headers() -> None:
    names = RateLimitHeaders(
        tenant_limit="Quota-All", tenant_remaining="Left-All", route_limit="Quota-Here", route_remaining="Left-Here"
    )
    headers = {"Quota-All": "9", "Left-All": "8", "Quota-Here": "5", "Left-Here": "4", "X-RateLimit-Limit": "1"}
    for given, expected in ((names, (9, 8, 5, 4)), (None, (None, None, None, None))):
        async with RawServer(lambda _: [http(QUEUE, headers=headers)]) as server:
            limiter = RateLimiter(headers=given)
            async with AlohubClient("sk_live_x", endpoint=server.url, rate_limiter=limiter) as client:
                await client.queues.get_inbound(1)
        tenant, [route] = limiter.status().tenant, limiter.status().routes.values()
        assert (tenant.limit, tenant.free, route.limit, route.free) == expected


@effect("RateLimitHeaders.tenant_window", "RateLimitHeaders.route_window")
async def _windows_of_named_headers() -> None:
    for scope in ("tenant", "route"):
        for window in (None, 60.0):
            names: dict[str, Any] = {f"{scope}_limit": "All", f"{scope}_remaining": "Left", f"{scope}_window": window}
            reader = HeaderReader(RateLimitHeaders(**names))
            [found] = reader.read({"All": "9", "Left": "8"}, wall_clock=lambda: 0.0).values()
            assert found.window == window


@effect("RateLimiter.max_wait")
async def _max_wait() -> None:
    async with Sandbox(queues=3, route_limit=1) as sandbox:
        for max_wait, error in ((1.0, RateLimitWaitError), (60.0, None)):
            async with sandbox.client(rate_limiter=RateLimiter(max_wait=max_wait)) as client:
                await client.queues.get_inbound(FIRST)
                seconds = await seconds_of(client.queues.get_inbound(FIRST), error)
                assert (seconds <= 1) == (error is not None)
                await asyncio.sleep(30)


@effect("RateLimiter.max_block")
async def _max_block() -> None:
    for max_block in (5.0, 25.0):
        async with (
            Sandbox(queues=3) as sandbox,
            sandbox.client(rate_limiter=RateLimiter(max_block=max_block)) as client,
        ):
            sandbox.fail(Status(429, retry_after="86400"))
            with pytest.raises(RateLimitError, match=r"retry after 86400\.00 s"):
                await client.queues.get_inbound(FIRST)
            assert await seconds_of(client.queues.get_inbound(FIRST)) == pytest.approx(max_block, abs=0.1)


@effect("RateLimiter.route_key")
async def _route_key() -> None:
    limiter = RateLimiter(route_key=lambda route: route.method)
    async with Sandbox(queues=3) as sandbox, sandbox.client(rate_limiter=limiter) as client:
        await client.queues.get_inbound(FIRST)
        await client.queues.list_inbound().first()
        assert set(limiter.status().routes) == {"GET"}


# Calls


@effect("request.method", "request.path", "request.params", "request.json")
async def _request() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        sandbox.fail(json_reply({}))
        await client.request("PUT", "/v1/other", params={"a": 1}, json=[2])
        [sent] = sandbox.requests
        assert (sent.method, sent.path, dict(sent.query), sent.json) == ("PUT", "/v1/other", {"a": "1"}, [2])


@attrs.frozen
class _Record:
    ident: int = attrs.field(metadata={"wire": "callinId"})


@effect("paginate.path", "paginate.params", "paginate.page_size", "paginate.model", "paginate.token")
async def _paginate() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        pager = client.paginate(LIST, model=_Record, params={"a": "b"}, page_size=2)
        first = await pager.first()
        assert first == _Record(FIRST)
        [sent] = sandbox.requests
        assert (sent.path, dict(sent.query)) == (LIST, {"a": "b", "page": "0", "size": "2"})
        rest = await client.paginate(LIST, params={"a": "b"}, token=pager.token).collect()
        assert [record["callinId"] for record in rest] == [stored["callinId"] for stored in sandbox.queues[1:]]


@effect(*(f"paginate.{name}" for name in ("method", "json", "safe", "first_page", "page_name", "size_name")))
async def _paginate_a_post() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        calls = sandbox.records("calls")
        form: dict[str, Any] = {"first_page": 1, "size_name": "limit", "page_size": 100}
        assert (
            await client.paginate("/v1/reports/call-logs", method="POST", safe=True, json={"a": 1}, **form).collect()
            == calls
        )
        assert sandbox.requests[0].json == {"a": 1, "page": 1, "limit": 100}
        await client.paginate(LIST, page_name="p", first_page=7).first()
        assert dict(sandbox.requests[-1].query) == {"p": "7", "size": "100"}
        with pytest.raises(InvalidArgumentError, match="safe=True"):
            client.paginate("/v1/reports/call-logs", method="POST")


@effect("paginate.key")
async def _key() -> None:
    pages = [[{"id": 1, "n": 0}, {"id": 2}], [{"id": 2, "n": 1}, {"id": 3}]]
    for key, expected in (("id", [1, 2, 3]), (None, [1, 2, 2, 3])):
        async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
            for page in pages:
                sandbox.fail(json_reply({"success": "1", "totalRecord": 4, "data": page}))
            records = await client.paginate(LIST, page_size=2, key=key).collect()
            assert [record["id"] for record in records] == expected


def walk(name: str, client: AlohubClient, **options: Any) -> Pager[Any]:
    """Iterate over the queues with one of the two methods."""
    if name == "paginate":
        return client.paginate(LIST, key="callinId", **options)
    return client.queues.list_inbound(**options)


def call(name: str, client: AlohubClient, *, queue_id: int = FIRST, **options: Any) -> Awaitable[object]:
    """Make one call of the named method, for this queue if it takes one."""
    change, queues = InboundQueueUpdate(max_wait=1), client.queues

    def walk_all(**options: Any) -> Awaitable[object]:
        return walk(name, client, **options).collect()

    def get_many(**options: Any) -> Awaitable[object]:
        return _all_of(queues.get_many_inbound([queue_id], **options))

    def update_many(**options: Any) -> Awaitable[object]:
        return _all_of(queues.update_many_inbound({queue_id: change}, **options))

    def update(**options: Any) -> Awaitable[object]:
        return queues.update_inbound(queue_id, change, **options)

    calls: dict[str, Callable[..., Awaitable[object]]] = {
        "list_inbound": walk_all,
        "paginate": walk_all,
        "request": partial(client.request, "GET", LIST),
        "get_inbound": partial(queues.get_inbound, queue_id),
        "edit_inbound": partial(queues.edit_inbound, queue_id, change),
        "get_many_inbound": get_many,
        "update_many_inbound": update_many,
        "update_inbound": update,
    }
    return calls[name](**options)


async def _all_of(many: Outcomes[Any]) -> None:
    for outcome in await many.collect():
        outcome.unwrap()


WALKS = ("list_inbound", "paginate")
MANY = ("get_many_inbound", "update_many_inbound")
ALL_CALLS = (*WALKS, *MANY, "get_inbound", "request", "edit_inbound", "update_inbound")


@effect("list_inbound.prefetch", "paginate.prefetch")
async def _prefetch() -> None:
    for name in WALKS:
        for prefetch, expected in ((0, {0}), (3, {*range(7)})):
            async with Sandbox(queues=20) as sandbox, sandbox.client() as client:
                pager = walk(name, client, page_size=2, prefetch=prefetch)
                await anext(pager)
                await asyncio.sleep(1)
                await pager.aclose()
                assert {sent.page for sent in sandbox.requests} == expected


@effect("list_inbound.ordered", "paginate.ordered")
async def _ordered() -> None:
    for name in WALKS:
        for ordered in (True, False):
            async with Sandbox(queues=20) as sandbox, sandbox.client() as client:
                sandbox.fail(Delay(5), page=1)
                pager = walk(name, client, page_size=5, ordered=ordered)
                numbers = [page.number async for page in pager.pages()]
                assert (numbers == [0, 1, 2, 3]) == ordered
                assert sorted(numbers) == [0, 1, 2, 3]


@effect("list_inbound.consistency", "paginate.consistency", "list_inbound.max_passes", "paginate.max_passes")
async def _consistency() -> None:
    def script(sandbox: Sandbox, *pages: tuple[int, int]) -> None:
        for number, total in pages:
            told = {"success": "1", "totalRecord": total, "data": [queue(callinId=number)]}
            sandbox.fail(json_reply(told))

    for name in WALKS:
        async with Sandbox(queues=21) as sandbox, sandbox.client() as client:
            await walk(name, client, consistency="repair").collect()
            assert len(sandbox.requests) == 4  # in each pass, an empty page shows that the first one is not capped
            script(sandbox, (1, 3), (2, 4))
            with pytest.raises(PageDriftError):
                await walk(name, client, consistency="raise", page_size=1, prefetch=0).collect()
        for max_passes in (2, 4):
            async with Sandbox(queues=21) as sandbox, sandbox.client() as client:
                for number in range(1, 9):  # each walk sees another list, and an empty page behind it
                    script(sandbox, (number, 1))
                    sandbox.fail(json_reply({"success": "1", "totalRecord": 1, "data": []}))
                pager = walk(name, client, consistency="repair", max_passes=max_passes)
                await pager.collect()
                assert (pager.drift.passes, len(sandbox.requests)) == (max_passes, 2 * max_passes)


@effect("list_inbound.details")
async def _details() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        await client.queues.list_inbound(details=True).collect()
        assert [sent.page for sent in sandbox.requests] == [0, None, None, None]


@effect(*(f"{name}.max_rate_limit_wait" for name in ALL_CALLS))
async def _max_rate_limit_wait_of_a_call() -> None:
    for name in ALL_CALLS:
        async with Sandbox(queues=3, route_limit=1, tenant_limit=None) as sandbox, sandbox.client() as client:
            await call(name, client)
            assert await seconds_of(call(name, client, max_rate_limit_wait=1), RateLimitWaitError) == 0
            assert await seconds_of(call(name, client, max_rate_limit_wait=60)) > 5


@effect("AlohubClient.max_rate_limit_wait", "with_options.max_rate_limit_wait")
async def _max_rate_limit_wait_of_a_client() -> None:
    async with (
        Sandbox(queues=3, route_limit=1, tenant_limit=None) as sandbox,
        sandbox.client(max_rate_limit_wait=1) as client,
    ):
        await client.queues.get_inbound(FIRST)
        assert await seconds_of(client.queues.get_inbound(FIRST), RateLimitWaitError) == 0
        patient = client.with_options(max_rate_limit_wait=60)
        assert await seconds_of(patient.queues.get_inbound(FIRST)) > 5


@pytest.mark.looptime
async def test_bound_of_the_limiter_holds_unless_a_call_has_its_own() -> None:
    """`None` disables the bound for one call."""
    async with (
        Sandbox(queues=3, route_limit=1, tenant_limit=None) as sandbox,
        sandbox.client(rate_limiter=RateLimiter(max_wait=1)) as client,
    ):
        await client.queues.get_inbound(FIRST)
        assert await seconds_of(client.queues.get_inbound(FIRST), RateLimitWaitError) == 0
        assert await seconds_of(client.queues.get_inbound(FIRST, max_rate_limit_wait=None)) > 5


@pytest.mark.parametrize("name", ALL_CALLS)
async def test_wrong_keyword_is_refused_with_the_nearest_right_one(name: str) -> None:
    """Nothing is sent. The error is a `TypeError`, as in Python."""
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        with pytest.raises(TypeError, match=r"there is no option 'deadlin'; did you mean 'deadline'"):
            await call(name, client, deadlin=1)
        with pytest.raises(InvalidArgumentTypeError, match=r"there is no option 'zzz'; choose from .*priority"):
            await call(name, client, zzz=1)
        assert not sandbox.requests


def test_wrong_keyword_of_a_client_is_refused_with_the_nearest_right_one() -> None:
    """So do the class, `from_env` and `with_options`; the latter suggests only options that a copy can change."""
    wrong: Any = {"tenant": "1"}
    for make in (AlohubClient, AlohubClient.from_env):
        with pytest.raises(InvalidArgumentTypeError, match="did you mean 'tenant_id'"):
            make("sk_live_x", **wrong)
    wrong = {"max_connections": 5}
    with pytest.raises(InvalidArgumentTypeError, match="there is no option 'max_connections'"):
        AlohubClient("sk_live_x").with_options(**wrong)


@pytest.mark.looptime
async def test_deadline_of_the_client_can_be_cleared_for_one_call() -> None:
    """`None` means no deadline; `UNSET` or an omitted option means the client's deadline."""
    for name in ALL_CALLS:
        async with Sandbox(queues=3) as sandbox, sandbox.client(deadline=2) as client:
            cases: list[tuple[dict[str, Any], type[Exception] | None]] = [
                ({}, DeadlineExceededError),
                ({"deadline": UNSET}, DeadlineExceededError),
                ({"deadline": None}, None),
            ]
            for given, error in cases:
                sandbox.clear()
                sandbox.fail(Delay(5))
                await seconds_of(call(name, client, **given), error)


@pytest.mark.looptime
async def test_deadline_of_a_call_covers_all_of_it_and_one_of_the_client_each_request() -> None:
    """In a walk, the client's deadline applies to each page, and the call's own deadline to all pages together."""
    async with Sandbox(queues=30, latency=(1, 1)) as sandbox, sandbox.client(deadline=2) as client:
        for name in WALKS:
            assert len(await walk(name, client, page_size=10, prefetch=0).collect()) == 30
            await seconds_of(walk(name, client, page_size=10, prefetch=0, deadline=2).collect(), DeadlineExceededError)
        ids = [int(str(stored["callinId"])) for stored in seed_queues(4)]
        many = await client.queues.get_many_inbound(ids, concurrency=1).collect()
        assert all(outcome.ok for outcome in many)
        late = await client.queues.get_many_inbound(ids, concurrency=1, deadline=2).collect()
        assert [outcome.ok for outcome in late].count(False) >= 2


async def _place_of_the_urgent(low: Callable[..., Awaitable[object]], high: Callable[..., Awaitable[object]]) -> int:
    order: list[str] = []

    async def note(name: str, work: Awaitable[object]) -> None:
        await work
        order.append(name)

    await low()
    ids = [int(str(stored["callinId"])) for stored in seed_queues(7)]  # reads of one queue would share a request
    tasks = [asyncio.create_task(note("bulk", low(queue_id=queue_id))) for queue_id in ids[1:]]
    await asyncio.sleep(1)
    tasks.append(asyncio.create_task(note("urgent", high(queue_id=ids[0]))))
    await asyncio.gather(*tasks)
    return order.index("urgent")


@effect(*(f"{name}.priority" for name in (*ALL_CALLS, "AlohubClient", "with_options")), "RateLimiter.bulk_leaves")
async def _priority() -> None:
    for name in ALL_CALLS:
        limiter = RateLimiter(bulk_leaves=0.9)
        async with (
            Sandbox(queues=7, tenant_limit=2) as sandbox,
            sandbox.client(priority="bulk", rate_limiter=limiter) as client,
        ):
            urgent = client.with_options(priority="interactive")
            assert await _place_of_the_urgent(partial(call, name, client), partial(call, name, urgent)) < 4
            bulk, interactive = (partial(call, name, urgent, priority=priority) for priority in ("bulk", "interactive"))
            assert await _place_of_the_urgent(bulk, interactive) < 4


@effect("list_inbound.page_size", "list_inbound.token")
async def _list() -> None:
    async with Sandbox(queues=5) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=2)
        await pager.first()
        assert sandbox.requests[0].query["size"] == "2"
        assert len(await client.queues.list_inbound(token=pager.token).collect()) == 4


@effect(*(f"{name}.deadline" for name in (*MANY, "edit_inbound")))
async def _deadline_of_several_requests() -> None:
    for name in (*MANY, "edit_inbound"):
        async with Sandbox(queues=3, latency=4.0) as sandbox, sandbox.client() as client:
            await call(name, client)
            assert await seconds_of(call(name, client, deadline=3), DeadlineExceededError) <= 3


def many_of(name: str, client: AlohubClient, ids: list[int], **options: Any) -> Outcomes[Any]:
    """Return the outcomes of reading or updating these queues."""
    if name == "get_many_inbound":
        return client.queues.get_many_inbound(ids, **options)
    return client.queues.update_many_inbound(
        [(queue_id, InboundQueueUpdate(max_wait=1)) for queue_id in ids], **options
    )


@effect(
    "get_many_inbound.ids",
    "update_many_inbound.changes",
    *(f"{name}.{option}" for name in MANY for option in ("concurrency", "ordered", "stop_on_error")),
)
async def _many() -> None:
    for name in MANY:
        async with Sandbox(queues=9, latency=1.0) as sandbox, sandbox.client() as client:
            ids = [int(str(stored["callinId"])) for stored in sandbox.queues]
            for concurrency, seconds in ((1, 9), (3, 3)):
                assert await seconds_of(many_of(name, client, ids, concurrency=concurrency).collect()) == seconds
            sandbox.clear()
            for ordered in (True, False):
                sandbox.fail(Delay(9), path=f"{LIST}/{ids[0]}")
                outcomes = await many_of(name, client, ids, ordered=ordered).collect()
                assert ([outcome.id for outcome in outcomes] == ids) == ordered
            with pytest.raises(NotFoundError):
                await many_of(name, client, [5, *ids], stop_on_error=True).collect()
            assert len(await many_of(name, client, [5, *ids]).collect()) == 10


@effect(*(f"edit_inbound.{option}" for option in ("queue_id", "changes", "expect", "dry_run", "verify")))
async def _edit() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        change = InboundQueueUpdate(max_wait=77)
        tried: list[tuple[dict[str, Any], str]] = [({"dry_run": True}, "G"), ({"verify": False}, "GP"), ({}, "G")]
        for options, methods in tried:
            sandbox.clear()
            assert (await client.queues.edit_inbound(FIRST, change, **options)).id == FIRST
            assert [sent.method[0] for sent in sandbox.requests] == [*methods]
        expect = await client.queues.get_inbound(FIRST)
        await client.queues.update_inbound(FIRST, max_wait=1)
        with pytest.raises(ConflictError):
            await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=2), expect=expect)


@effect("get_inbound.queue_id", "update_inbound.queue_id")
async def _queue_id() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        queue_id = int(str(sandbox.queues[2]["callinId"]))
        assert (await client.queues.get_inbound(queue_id)).id == queue_id
        assert (await client.queues.update_inbound(queue_id, max_wait=1)).id == queue_id
        assert [sent.path for sent in sandbox.requests] == [f"{LIST}/{queue_id}"] * 2


@effect(
    "update_inbound.changes",
    "update_inbound.music_on_hold",
    "update_inbound.max_wait",
    "update_inbound.strategy",
    "update_inbound.announce_position",
)
async def _update() -> None:
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        changes: dict[str, Any] = {
            "music_on_hold": "a.wav",
            "max_wait": 7,
            "strategy": 4,
            "announce_position": False,
        }
        wire = {"moh_file_id": "a.wav", "max_wait_sec": "7", "strategy": 4, "announce_position": "0"}
        for (name, value), (wire_name, wire_value) in zip(changes.items(), wire.items(), strict=True):
            single: dict[str, Any] = {name: value}
            assert isinstance(await client.queues.update_inbound(FIRST, **single), UpdateResult)
            assert sandbox.requests[-1].json == {wire_name: wire_value}
        await client.queues.update_inbound(FIRST, InboundQueueUpdate(**changes))
        assert sandbox.requests[-1].json == wire


def test_defaults_are_as_documented() -> None:
    """The defaults that the docstrings and the README name."""
    assert Timeouts() == Timeouts(connect=10.0, read=30.0, total=60.0)
    assert RetryPolicy() == RetryPolicy(
        max_retries=3, backoff=0.5, max_backoff=8.0, max_retry_after=60.0, retry_writes=True
    )
    assert inspect.signature(RateLimiter).parameters["window"].default == 10.0
