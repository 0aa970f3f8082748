"""Attempts, waits and timeouts over sockets: how often a request is sent, and when a call ends."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import formatdate
from itertools import pairwise
from time import time as wall_clock
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from alohub_async import (
    UNSET,
    AlohubClient,
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    DeadlineExceededError,
    Endpoint,
    InboundQueue,
    InboundQueueUpdate,
    InternalServerError,
    Pager,
    RateLimiter,
    RateLimitError,
    RateLimitWaitError,
    RetryPolicy,
    Timeouts,
)
from alohub_async.testing import (
    BadJson,
    Delay,
    DropConnection,
    EmptyBody,
    Failure,
    Fault,
    HtmlPage,
    Sandbox,
    Status,
    TruncatedBody,
)
from tests.support import (
    CALLS,
    FIRST,
    LIST,
    QUEUE,
    RawServer,
    Reply,
    Step,
    deaf_endpoint,
    http,
    id_of,
    json_reply,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

KEY = "sk_live_x"
ONCE = RetryPolicy(max_retries=0)
TWICE_MORE = RetryPolicy(max_retries=2, backoff=0)
READS = ["list", "get", "request", "paginate"]


def now() -> float:
    """The event loop's time."""
    return asyncio.get_running_loop().time()


def idle(client: AlohubClient) -> bool:
    """Whether no request of this client waits or holds a permit."""
    limits = client.rate_limits
    scopes = [limits.tenant, *limits.routes.values()]
    return all(scope.in_flight == scope.waiting == 0 for scope in scopes)


async def refused_endpoint() -> str:
    """Return a local URL that refuses connections."""
    async with RawServer(lambda _: ["close"]) as server:
        return server.url


# What is retried


@pytest.mark.parametrize(
    "fault",
    [
        Status(500),
        Status(502),
        Status(503),
        Status(504),
        *(HtmlPage(status) for status in (408, 425, 520, 521, 522, 523, 524, 529, 530)),
        HtmlPage(502),
        EmptyBody(503),
        Failure("FAIL"),
        Failure("RATE_LIMIT_EXCEEDED"),
        DropConnection(),
        DropConnection(processed=True),
        TruncatedBody(),
    ],
)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.looptime
async def test_passing_failures_are_tried_again(sandbox: Sandbox, fault: Fault, call: str) -> None:
    """Transient failures of reads and updates are retried twice, then the last error is raised."""
    async with sandbox.client(retry=TWICE_MORE) as client:
        sandbox.fail(fault, next=3)
        with pytest.raises(AlohubError) as caught:
            await CALLS[call](client)
        assert isinstance(caught.value, APIConnectionError | APIStatusError)
        assert len(sandbox.requests) == 3
        sandbox.clear()
        sandbox.fail(fault, next=2)
        await CALLS[call](client)
        assert len(sandbox.requests) == 3
        assert idle(client)


@pytest.mark.parametrize("fault", [BadJson(), EmptyBody(200), HtmlPage(200)])
@pytest.mark.parametrize("call", CALLS)
async def test_undecodable_answers_of_reads_alone_are_tried_again(sandbox: Sandbox, fault: Fault, call: str) -> None:
    """The service may have processed an update, so only a read is sent again."""
    sandbox.fail(fault, next=3)
    async with sandbox.client(retry=TWICE_MORE) as client:
        with pytest.raises(APIResponseError):
            await CALLS[call](client)
    assert len(sandbox.requests) == (3 if call in READS else 1)


@pytest.mark.parametrize(
    "fault",
    [
        *(Status(status) for status in (400, 401, 403, 404, 405, 409, 422, 501, 505)),
        Failure(),
        Failure("NOT_FOUND"),
        Reply(b"", status=302, headers={"Location": "/elsewhere"}),
        json_reply({"success": "1", "error_code": "SUCCESS", "data": 5}),
    ],
)
@pytest.mark.parametrize("call", ["list", "get"])
async def test_other_failures_are_final(sandbox: Sandbox, fault: Fault, call: str) -> None:
    """A request whose failure a retry cannot fix is sent once."""
    sandbox.fail(fault, next=None)
    async with sandbox.client(retry=TWICE_MORE) as client:
        with pytest.raises(AlohubError):
            await CALLS[call](client)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("fault", [Status(500), Status(429), DropConnection(), TruncatedBody(), BadJson()])
@pytest.mark.parametrize("call", CALLS)
async def test_no_retries_means_one_transmission(sandbox: Sandbox, fault: Fault, call: str) -> None:
    """`max_retries=0` sends each request once, whatever the failure."""
    sandbox.fail(fault)
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(AlohubError):
            await CALLS[call](client)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("fault", "transmissions"),
    [
        (Status(500), 1),
        (Status(503, retry_after="1"), 1),
        (DropConnection(), 1),
        (TruncatedBody(), 1),
        (HtmlPage(408), 3),
        (HtmlPage(425), 3),
        (HtmlPage(524), 1),
    ],
)
@pytest.mark.looptime
async def test_writes_can_be_left_alone(sandbox: Sandbox, fault: Fault, transmissions: int) -> None:
    """With `retry_writes=False` an update is retried only if the server certainly did not process it; reads are."""
    async with sandbox.client(retry=RetryPolicy(max_retries=2, backoff=0, retry_writes=False)) as client:
        sandbox.fail(fault, next=3)
        with pytest.raises(AlohubError):
            await client.queues.update_inbound(FIRST, max_wait=1)
        assert len(sandbox.requests) == transmissions
        sandbox.heal()
        sandbox.clear()
        sandbox.fail(fault, next=2)
        await client.queues.get_inbound(FIRST)
        assert len(sandbox.requests) == 3


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("fault", "transmissions"),
    [
        *((Status(500), 1), (DropConnection(), 1), (TruncatedBody(), 1)),
        *((HtmlPage(520), 1), (HtmlPage(408), 3), (HtmlPage(425), 3)),
    ],
)
@pytest.mark.looptime
async def test_methods_that_are_not_idempotent_are_sent_once(
    sandbox: Sandbox, method: str, fault: Fault, transmissions: int
) -> None:
    """`POST` and `PATCH` of the escape hatch are retried only if the server certainly did not process them."""
    sandbox.fail(json_reply({}), method="GET")
    sandbox.fail(fault, next=3, path="/v1/other")
    async with sandbox.client(retry=TWICE_MORE) as client:
        await client.request("GET", "/v1/first")
        with pytest.raises(AlohubError):
            await client.request(method, "/v1/other", json={})
    assert len(sandbox.requests.of(method=method)) == transmissions


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("retry_writes", [False, True])
async def test_refused_connections_are_tried_again(
    caplog: pytest.LogCaptureFixture, call: str, *, retry_writes: bool
) -> None:
    """Nothing was sent, so every call is retried, and the error reports that nothing was sent."""
    caplog.set_level("INFO")
    policy = RetryPolicy(max_retries=2, backoff=0, retry_writes=retry_writes)
    async with AlohubClient(KEY, endpoint=await refused_endpoint(), retry=policy) as client:
        with pytest.raises(APIConnectionError) as caught:
            await CALLS[call](client)
        assert idle(client)
    assert not caught.value.maybe_sent
    assert not isinstance(caught.value, APITimeoutError)
    assert sum("retrying: " in record.message for record in caplog.records) == 2


# A key that rotates


class Rotating:
    """A key provider whose key changes after it was asked so many times."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.asked = 0

    async def __call__(self) -> str:
        """Return the next key; the last one for good."""
        self.asked += 1
        return self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("retry_writes", [False, True])
async def test_key_that_rotated_meanwhile_is_asked_for_again(
    sandbox: Sandbox, call: str, *, retry_writes: bool
) -> None:
    """After a 401 the provider is asked once more, and reads and writes are repeated once with another key."""
    provider = Rotating("sk_live_old", sandbox.api_key)
    policy = RetryPolicy(retry_writes=retry_writes)
    async with sandbox.client(api_key=provider, retry=policy) as client:
        await CALLS[call](client)
        assert [sent.status for sent in sandbox.requests] == [401, 200]
        assert provider.asked == 2
        assert idle(client)


async def test_key_that_did_not_rotate_is_not_tried_again(sandbox: Sandbox) -> None:
    """The same key would be refused again."""
    provider = Rotating("sk_live_old")
    async with sandbox.client(api_key=provider) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.queues.update_inbound(FIRST, max_wait=1)
    assert (len(sandbox.requests), provider.asked, caught.value.attempts) == (1, 2, 1)


async def test_provider_is_asked_once_more_only(sandbox: Sandbox) -> None:
    """A second 401 in the same call is final, whatever the provider would return; the next call may ask again."""
    provider = Rotating(*(f"sk_live_old_{number}" for number in range(9)))
    async with sandbox.client(api_key=provider) as client:
        with pytest.raises(AuthenticationError):
            await client.queues.get_inbound(FIRST)
        assert (len(sandbox.requests), provider.asked) == (2, 2)
        with pytest.raises(AuthenticationError):
            await client.queues.get_inbound(FIRST)
    assert (len(sandbox.requests), provider.asked) == (4, 4)


@pytest.mark.parametrize("key", ["given", "provided"])
async def test_wrong_key_is_sent_once_without_a_provider_or_without_retries(sandbox: Sandbox, key: str) -> None:
    """A string cannot change, and `max_retries=0` is one transmission."""
    policy = RetryPolicy() if key == "given" else ONCE
    wrong = "sk_live_wrong" if key == "given" else Rotating("sk_live_old", sandbox.api_key)
    async with sandbox.client(api_key=wrong, retry=policy) as client:
        with pytest.raises(AuthenticationError):
            await client.queues.get_inbound(FIRST)
    assert len(sandbox.requests) == 1


async def test_error_of_a_provider_that_is_asked_again_reaches_the_caller(sandbox: Sandbox) -> None:
    """It is the provider's own, with the refused answer as its context."""

    def provide() -> str:
        if sandbox.requests:
            raise LookupError("the vault is closed")
        return "sk_live_old"

    async with sandbox.client(api_key=provide) as client:
        with pytest.raises(LookupError, match="the vault is closed") as caught:
            await client.queues.get_inbound(FIRST)
        assert idle(client)
    assert isinstance(caught.value.__context__, AuthenticationError)


# Requests that aiohttp would resend by itself


def _drops_the_second(number: int) -> Sequence[Step]:
    return ["close"] if number == 2 else [http({"success": "1", "error_code": "SUCCESS", **QUEUE})]


@asynccontextmanager
async def _client_of(server: RawServer, kind: str, policy: RetryPolicy) -> AsyncGenerator[AlohubClient]:
    async def pass_on(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await handler(request)

    if kind == "own":
        async with AlohubClient(KEY, endpoint=server.url, retry=policy) as client:
            yield client
        return
    middlewares = (pass_on,) if kind == "given with middleware" else ()
    async with (
        aiohttp.ClientSession(middlewares=middlewares) as session,
        AlohubClient(KEY, endpoint=server.url, retry=policy, session=session) as client,
    ):
        yield client


@pytest.mark.parametrize("kind", ["own", "given", "given with middleware"])
@pytest.mark.parametrize("call", ["get", "update", "request"])
@pytest.mark.parametrize("retries", [0, 1])
async def test_dropped_connection_is_resent_by_the_policy_alone(kind: str, call: str, retries: int) -> None:
    """If a reused connection drops, the request is sent once, and once more for each retry of the policy."""
    async with (
        RawServer(_drops_the_second) as server,
        _client_of(server, kind, RetryPolicy(max_retries=retries, backoff=0)) as client,
    ):
        await CALLS[call](client)
        if retries:
            await CALLS[call](client)
        else:
            with pytest.raises(APIConnectionError, match="the connection was lost") as caught:
                await CALLS[call](client)
            assert caught.value.maybe_sent
        assert len(server.requests) == 2 + retries
        assert [request.connection for request in server.requests] == [1, 1, 2][: 2 + retries]
        assert idle(client)


async def test_answer_that_breaks_off_is_not_resent_by_itself() -> None:
    """A response truncated in its headers or body, on a reused or new connection, causes no resend by aiohttp."""
    answer = http(QUEUE)
    for cut in (1, 20, len(answer) - 1):
        for first in (True, False):

            def steps(number: int, cut: int = cut, *, first: bool = first) -> Sequence[Step]:
                return [answer] if number == 1 and not first else [answer[:cut], "close"]

            async with RawServer(steps) as server, AlohubClient(KEY, endpoint=server.url, retry=ONCE) as client:
                if not first:
                    await client.queues.get_inbound(1)
                with pytest.raises(APIConnectionError) as caught:
                    await client.queues.get_inbound(1)
                assert caught.value.maybe_sent
                assert len(server.requests) == (1 if first else 2)


# Retry-After


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7.1),
        ("2.5", 2.5, 2.6),
        ("0", 0, 2.1),
        ("60", 60, 60.1),
        (lambda: formatdate(wall_clock() + 30, usegmt=True), 28, 31),
        (lambda: formatdate(wall_clock() - 30, usegmt=True), 0, 2.1),
        (lambda: f"{wall_clock() + 30:.0f}", 28, 32),
        (lambda: f"{wall_clock() + 30:.3f}", 28, 32),
        (lambda: f"{(wall_clock() + 30) * 1000:.0f}", 28, 32),
        (lambda: f"{wall_clock() - 30:.0f}", 0, 2.1),
        ("soon", 0, 2.1),
        ("-5", 0, 2.1),
        ("nan", 0, 2.1),
        ("inf", 0, 2.1),
        ("", 0, 2.1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.looptime
async def test_retry_after_is_obeyed_in_each_form(
    sandbox: Sandbox, retry_after: str | Callable[[], str], *, status: int, least: float, most: float
) -> None:
    """Whole seconds, decimals, dates and epochs set the wait; an invalid value is ignored, and the backoff applies."""
    text = retry_after if isinstance(retry_after, str) else retry_after()
    sandbox.fail(Status(status, retry_after=text))
    async with sandbox.client(retry=RetryPolicy(backoff=2)) as client:
        await client.queues.get_inbound(FIRST)
    first, second = sandbox.requests
    spread = 0 if status == 429 else max(2, most / 10)  # upward only
    assert least <= second.at - first.at <= most + spread


@pytest.mark.looptime
async def test_clients_sent_away_by_one_503_do_not_come_back_at_once() -> None:
    """Twenty clients that were told the same second are spread over a tenth of a minute, none of them early."""
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(queues=3))
        clients = [await stack.enter_async_context(sandbox.client()) for _ in range(20)]
        sandbox.fail(Status(503, retry_after="60"), next=20)
        await asyncio.gather(*(client.queues.get_inbound(FIRST) for client in clients))
        times = sorted(sent.at for sent in sandbox.requests)
    assert times[20] - times[0] >= 60
    assert times[-1] - times[20] > 1
    assert max(late - early for early, late in pairwise(times[20:])) < 4


@pytest.mark.looptime
async def test_date_is_compared_with_our_clock_if_the_answer_has_none() -> None:
    """Without a `Date` header, the date is compared with the local clock."""
    times: list[float] = []

    def steps(_: int) -> Sequence[Step]:
        times.append(now())
        if len(times) > 1:
            return [http(QUEUE)]
        return [http({}, status=429, headers={"Retry-After": formatdate(wall_clock() + 20, usegmt=True)})]

    async with RawServer(steps) as server, AlohubClient(KEY, endpoint=server.url) as client:
        await client.queues.get_inbound(1)
    assert 18 <= times[1] - times[0] <= 21


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("retry_after", ["61", "1200", "410400"])
@pytest.mark.looptime
async def test_retry_after_above_the_cap_raises_at_once(sandbox: Sandbox, status: int, retry_after: str) -> None:
    """The call does not sleep for 20 minutes or 4.75 days; the error has the time."""
    sandbox.fail(Status(status, retry_after=retry_after))
    async with sandbox.client() as client:
        started = now()
        with pytest.raises(APIStatusError) as caught:
            await client.queues.get_inbound(FIRST)
        assert now() - started < 1
    assert caught.value.retry_after == float(retry_after)
    assert len(sandbox.requests) == 1


@pytest.mark.looptime
async def test_retry_after_counts_whatever_status_the_limit_came_under(sandbox: Sandbox) -> None:
    """`RATE_LIMIT_EXCEEDED` under HTTP 200 waits like a 429."""
    payload = {"success": "0", "error_code": "RATE_LIMIT_EXCEEDED"}
    sandbox.fail(json_reply(payload, headers={"Retry-After": "9"}))
    async with sandbox.client() as client:
        await client.queues.get_inbound(FIRST)
    first, second = sandbox.requests
    assert 9 <= second.at - first.at < 10


@pytest.mark.looptime
async def test_backoff_doubles_up_to_its_cap_and_is_spread(sandbox: Sandbox) -> None:
    """The n-th wait is random between 0 and `backoff * 2**(n-1)`, at most `max_backoff`."""
    policy = RetryPolicy(max_retries=6, backoff=1, max_backoff=5)
    gaps: list[list[float]] = []
    for _ in range(40):  # the chance that all waits fall into the same half is 1 in 10^11
        async with sandbox.client(retry=policy) as client:  # a new client, whose retry quota is full
            sandbox.clear()
            sandbox.fail(HtmlPage(503), next=6)
            await client.queues.get_inbound(FIRST)
            times = [sent.at for sent in sandbox.requests]
            gaps.append([later - earlier for earlier, later in pairwise(times)])
    by_retry = list(zip(*gaps, strict=True))
    assert len(by_retry) == 6
    for most, waits in zip((1, 2, 4, 5, 5, 5), by_retry, strict=True):
        assert 0 <= min(waits) < most / 2 < max(waits) <= most + 0.01
        assert len({round(wait, 3) for wait in waits}) > 20


@pytest.mark.looptime
async def test_calls_have_their_own_retries(sandbox: Sandbox) -> None:
    """Concurrent calls that share a policy each have its full number of retries."""
    sandbox.fail(HtmlPage(503), next=None)
    async with sandbox.client(retry=RetryPolicy(max_retries=3, backoff=0.1)) as client:
        results = await asyncio.gather(
            *(client.queues.get_inbound(number) for number in range(1, 9)), return_exceptions=True
        )
    assert all(isinstance(result, InternalServerError) for result in results)
    for number in range(1, 9):
        assert len(sandbox.requests.of(path=f"{LIST}/{number}")) == 4


async def test_retry_quota_bounds_the_traffic_of_an_outage(sandbox: Sandbox) -> None:
    """An outage gets at most 100 retries from a client and its copies; successes earn some back."""
    sandbox.fail(HtmlPage(503), next=None)
    policy = RetryPolicy(max_retries=3, backoff=0)
    async with sandbox.client(retry=policy) as client:
        last: InternalServerError | None = None
        for number in range(60):
            asked = client.with_options(retry=policy) if number % 2 else client
            with pytest.raises(InternalServerError) as caught:
                await asked.queues.get_inbound(FIRST)
            last = caught.value
        assert len(sandbox.requests) == 60 + 100
        assert last is not None
        assert any("not tried again: too many" in note for note in last.__notes__)
        sandbox.heal()
        sandbox.tenant_limit = sandbox.route_limit = None
        for _ in range(11):
            await client.queues.get_inbound(FIRST)
        sandbox.clear()
        sandbox.fail(HtmlPage(503), next=None)
        with pytest.raises(InternalServerError):
            await client.queues.get_inbound(FIRST)
        assert len(sandbox.requests) == 3  # eleven successes earned two retries


# Timeouts


def _slow_body(*waits: float) -> Callable[[int], Sequence[Step]]:
    """Return the steps of a response that sends one byte of its body after each wait."""
    whole = http(QUEUE)
    cut = len(whole) - len(waits)
    steps: list[Step] = [whole[:cut]]
    for at, wait in enumerate(waits, cut):
        steps += [wait, whole[at : at + 1]]
    return lambda _: steps


@pytest.mark.looptime
async def test_slow_body_in_time_is_read() -> None:
    """A pause below `read` and a total time below `total` are no errors."""
    async with (
        RawServer(_slow_body(1.5, 1.5)) as server,
        AlohubClient(KEY, endpoint=server.url, timeouts=Timeouts(connect=1, read=2, total=4), retry=ONCE) as client,
    ):
        started = now()
        await client.queues.get_inbound(1)
        assert now() - started == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("waits", [(2.5,), (1.0, 2.5)])
@pytest.mark.looptime
async def test_read_timeout_is_between_two_bytes(waits: tuple[float, ...]) -> None:
    """A pause above `read` in the body ends the attempt at once."""
    async with (
        RawServer(_slow_body(*waits)) as server,
        AlohubClient(KEY, endpoint=server.url, timeouts=Timeouts(read=2, total=60), retry=ONCE) as client,
    ):
        started = now()
        with pytest.raises(APITimeoutError, match="read=2") as caught:
            await client.queues.get_inbound(1)
        assert now() - started == pytest.approx(sum(waits) - 0.5, abs=0.01)
        assert caught.value.maybe_sent
        assert idle(client)
        await until(lambda: server.connected == 0)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.looptime
async def test_read_timeout_is_before_the_first_byte_too(given: bool) -> None:  # noqa: FBT001  (pytest gives it)
    """If the server sends nothing, the attempt ends after `read`, in a given session too."""
    timeouts = Timeouts(read=2, total=60)
    async with (
        RawServer(lambda _: [100.0]) as server,
        aiohttp.ClientSession() as session,
        AlohubClient(
            KEY, endpoint=server.url, timeouts=timeouts, retry=ONCE, session=session if given else None
        ) as client,
    ):
        started = now()
        with pytest.raises(APITimeoutError):
            await client.queues.get_inbound(1)
        assert now() - started == pytest.approx(2, abs=0.01)


@pytest.mark.looptime
async def test_total_timeout_covers_the_body() -> None:
    """A body whose pauses are below `read` still ends the attempt at `total`."""
    async with (
        RawServer(_slow_body(*[1.0] * 30)) as server,
        AlohubClient(KEY, endpoint=server.url, timeouts=Timeouts(read=2, total=4.5), retry=ONCE) as client,
    ):
        started = now()
        with pytest.raises(APITimeoutError, match=r"total=4\.5") as caught:
            await client.queues.get_inbound(1)
        assert now() - started == pytest.approx(4.5, abs=0.01)
        assert caught.value.maybe_sent


@pytest.mark.looptime
async def test_connect_timeout_means_nothing_was_sent() -> None:
    """An attempt that cannot connect ends after `connect`, and the error reports that nothing was sent."""
    async with (
        deaf_endpoint() as url,
        AlohubClient(KEY, endpoint=url, timeouts=Timeouts(connect=3, read=1, total=60), retry=ONCE) as client,
    ):
        started = now()
        with pytest.raises(APITimeoutError, match="no connection") as caught:
            await client.queues.get_inbound(1)
        assert now() - started == pytest.approx(3, abs=0.01)
        assert not caught.value.maybe_sent


@pytest.mark.looptime
async def test_timeouts_hold_for_each_attempt_by_itself(sandbox: Sandbox) -> None:
    """A timeout is retried, and each attempt has the full time."""
    sandbox.fail(Delay(30), next=2)
    async with sandbox.client(timeouts=Timeouts(total=2), retry=TWICE_MORE) as client:
        started = now()
        assert (await client.request("GET", LIST)).attempts == 3
        assert now() - started == pytest.approx(4, abs=0.01)


@pytest.mark.looptime
async def test_waits_are_not_inside_the_timeouts(sandbox: Sandbox) -> None:
    """`Retry-After`, backoff and the wait for a connection do not count as time of an attempt."""
    short = Timeouts(connect=1, read=1, total=1)
    async with sandbox.client(timeouts=short) as client:
        sandbox.fail(Status(429, retry_after="25"))
        sandbox.fail(Status(503, retry_after="35"))
        started = now()
        await client.queues.get_inbound(FIRST)
        assert 60 <= now() - started < 64
    sandbox.latency = 0.9
    async with sandbox.client(timeouts=short, max_connections=1) as client:
        started = now()
        await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(5)))
        assert now() - started == pytest.approx(4.5, abs=0.1)


@pytest.mark.looptime
async def test_wait_for_the_rate_limit_is_not_inside_the_timeouts() -> None:
    """Requests above the budget of a window wait for the next one and still have their full timeouts."""
    async with (
        Sandbox(queues=3, route_limit=2) as sandbox,
        sandbox.client(timeouts=Timeouts(connect=1, read=1, total=1), retry=ONCE) as client,
    ):
        await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(5)))
        assert now() >= 20
        assert {sent.status for sent in sandbox.requests} == {200}


# The deadline


@pytest.mark.parametrize("deadline", [0.5, 3.0, 7.7])
@pytest.mark.looptime
async def test_deadline_covers_attempts_and_backoff(sandbox: Sandbox, deadline: float) -> None:
    """The call ends by the deadline, during an attempt or a wait, and the error reports the attempts."""
    sandbox.fail(HtmlPage(503), next=None)
    sandbox.latency = 0.4
    policy = RetryPolicy(max_retries=100, backoff=1, max_backoff=2)
    async with sandbox.client(retry=policy) as client:
        for _ in range(5):
            sandbox.clear()
            started = now()
            with pytest.raises(DeadlineExceededError) as caught:
                await client.queues.get_inbound(FIRST, deadline=deadline)
            assert now() - started <= deadline + 1e-6
            assert isinstance(caught.value.__cause__, InternalServerError)
            assert f"not done within its deadline of {deadline:.2f} s" in str(caught.value)
            assert "the last error: GET /v1/queues/inbound/1001226 failed with HTTP 503" in str(caught.value)
            told = re.search(r"\((\d+) attempts?\)", str(caught.value))
            assert told is not None
            assert int(told[1]) - len(sandbox.requests) in {0, 1}  # the last one may have been in flight
            assert caught.value.maybe_sent
            assert idle(client)
            await asyncio.sleep(1)  # lets the sandbox record the request in flight


@pytest.mark.looptime
async def test_deadline_is_over_a_slow_answer(sandbox: Sandbox) -> None:
    """A call without a response ends exactly at the deadline, whatever the timeouts are."""
    sandbox.fail(Delay(50), next=None)
    async with sandbox.client() as client:
        started = now()
        with pytest.raises(DeadlineExceededError, match="the time is over") as caught:
            await client.queues.get_inbound(FIRST, deadline=3.3)
        assert now() - started == pytest.approx(3.3, abs=1e-4)
        assert caught.value.maybe_sent
        assert isinstance(caught.value, APITimeoutError)
        assert idle(client)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.looptime
async def test_wait_that_would_pass_the_deadline_is_not_begun(sandbox: Sandbox, status: int) -> None:
    """`Retry-After: 20` with 5 seconds left raises at once, with the answer as its cause."""
    sandbox.fail(Status(status, retry_after="20"))
    async with sandbox.client() as client:
        started = now()
        with pytest.raises(DeadlineExceededError, match=r"2[0-2]\.\d\d s") as caught:
            await client.queues.get_inbound(FIRST, deadline=5)
        assert now() - started < 0.1
        assert isinstance(caught.value.__cause__, APIStatusError)
        assert caught.value.__cause__.retry_after == 20
        assert idle(client)


@pytest.mark.looptime
async def test_deadline_covers_the_wait_for_the_rate_limit() -> None:
    """With the budget spent, a call whose deadline is too short is not sent, and the error reports it."""
    async with Sandbox(queues=3, route_limit=1) as sandbox, sandbox.client() as client:
        await client.queues.get_inbound(FIRST)
        started = now()
        with pytest.raises(DeadlineExceededError, match="the rate limit") as caught:
            await client.queues.get_inbound(FIRST, deadline=2)
        assert now() - started <= 2 + 1e-6
        assert not caught.value.maybe_sent
        assert len(sandbox.requests) == 1
        assert idle(client)
        await client.queues.get_inbound(FIRST, deadline=30)


@pytest.mark.looptime
async def test_limiters_own_bound_is_not_taken_for_the_deadline() -> None:
    """The limiter's own bound raises `RateLimitWaitError`, even with a longer deadline."""
    async with (
        Sandbox(queues=3, route_limit=1) as sandbox,
        sandbox.client(rate_limiter=RateLimiter(max_wait=0.5)) as client,
    ):
        await client.queues.get_inbound(FIRST)
        with pytest.raises(RateLimitWaitError):
            await client.queues.get_inbound(FIRST, deadline=600)
        with pytest.raises(DeadlineExceededError):
            await client.queues.get_inbound(FIRST, deadline=0.25)


@pytest.mark.looptime
async def test_deadline_of_the_call_overrules_that_of_the_client(sandbox: Sandbox) -> None:
    """A call's own deadline takes precedence over `with_options`, and that over the constructor."""
    sandbox.fail(Delay(50), next=None)
    async with sandbox.client(deadline=4) as client:
        copy = client.with_options(deadline=2)
        for asked, own, expected in ((client, UNSET, 4), (copy, UNSET, 2), (client, 1, 1)):
            calls: list[Coroutine[Any, Any, object]] = [
                asked.queues.get_inbound(FIRST, deadline=own),
                asked.queues.update_inbound(FIRST, max_wait=1, deadline=own),
                asked.request("GET", LIST, deadline=own),
                asked.queues.list_inbound(deadline=own).collect(),
                asked.paginate(LIST, deadline=own).collect(),
            ]
            for call in calls:
                started = now()
                with pytest.raises(DeadlineExceededError):
                    await call
                assert now() - started == pytest.approx(expected, abs=0.01)


@pytest.mark.looptime
async def test_deadline_of_a_walk_is_over_all_its_pages(sandbox: Sandbox) -> None:
    """The walk ends in time in the middle of a page, and its token continues there."""
    sandbox.latency = 2.0
    async with sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=10, prefetch=0, deadline=5)
        started = now()
        got: list[int] = []
        with pytest.raises(DeadlineExceededError) as caught:
            await _drain(pager, got)
        assert now() - started == pytest.approx(5, abs=0.01)
        assert len(got) == 20
        assert caught.value.resume_token == pager.token
        got += [id_of(found) async for found in client.queues.list_inbound(token=caught.value.resume_token)]
    assert got == [stored["callinId"] for stored in sandbox.queues]


@pytest.mark.looptime
async def test_deadline_covers_waiting_for_a_connection(sandbox: Sandbox) -> None:
    """While the only connection is in use, the deadline of the next call runs."""
    sandbox.latency = 3.0
    async with sandbox.client(max_connections=1) as client:
        await client.queues.get_inbound(FIRST)
        first = asyncio.ensure_future(client.queues.get_inbound(FIRST))
        await asyncio.sleep(0.1)
        started = now()
        with pytest.raises(DeadlineExceededError, match="0 attempts") as caught:
            await client.queues.update_inbound(FIRST, max_wait=1, deadline=2)
        assert now() - started == pytest.approx(2, abs=0.01)
        assert not caught.value.maybe_sent
        assert (await first).id == FIRST
        assert len(sandbox.requests) == 2


@pytest.mark.looptime
async def test_users_own_timeout_is_the_users(sandbox: Sandbox) -> None:
    """`asyncio.timeout` around a call raises the plain `TimeoutError` at its time, also with a deadline set."""
    sandbox.fail(Delay(50), next=None)
    async with sandbox.client(deadline=30) as client:
        started = now()
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(2):
                await client.queues.get_inbound(FIRST)
        assert not isinstance(caught.value, AlohubError)
        assert now() - started == pytest.approx(2, abs=0.01)
        assert idle(client)


# Connections and permits


@pytest.mark.parametrize("kind", ["own", "given"])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.looptime
async def test_failed_answer_gives_its_connection_back_before_the_wait(
    sandbox: Sandbox, kind: str, status: int
) -> None:
    """With one connection, another call is sent while a failed one waits for its retry."""
    sandbox.fail(
        Reply(b"x" * 300_000, status=status, headers={"Retry-After": "30" if status == 503 else "1"}),
        path=f"{LIST}/{FIRST}",
    )
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        sandbox.client(max_connections=1, session=session if kind == "given" else None) as client,
    ):
        await client.queues.list_inbound().first()
        failed = asyncio.ensure_future(client.queues.get_inbound(FIRST))
        await until(lambda: len(sandbox.requests) == 2)
        started = now()
        await client.queues.list_inbound().first()
        if status == 503:
            assert now() - started < 1
        assert (await failed).id == FIRST


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", [None, Status(503), Status(429, retry_after="0.01"), DropConnection()])
async def test_cancelled_anywhere_a_call_leaves_nothing_behind(call: str, fault: Fault | None) -> None:
    """A call cancelled at any step leaves no permit, task or connection, and the next call works."""
    before = asyncio.all_tasks()
    async with (
        Sandbox(queues=3, tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client(
            retry=RetryPolicy(backoff=0.001), max_connections=1, rate_limiter=RateLimiter(window=0.01)
        ) as client,
    ):
        steps = finished = 0
        while not finished:
            if fault is not None:
                sandbox.heal()
                sandbox.fail(fault)
            task = asyncio.create_task(CALLS[call](client))
            for _ in range(steps):
                await asyncio.sleep(0)
            finished = task.done()
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            assert finished or isinstance(results[0], asyncio.CancelledError)
            assert idle(client)
            steps += 1 if steps < 40 else 7
        sandbox.heal()
        await CALLS[call](client)
        assert steps > 10
    assert asyncio.all_tasks() == before


@pytest.mark.looptime
async def test_cancelled_while_it_waits_a_call_leaves_nothing_behind() -> None:
    """In the backoff, in the wait for the limit and for a connection, a cancelled call blocks no other call."""
    async with Sandbox(queues=3, route_limit=3) as sandbox, sandbox.client(max_connections=2) as client:
        sandbox.latency = 0.5
        for number in range(12):
            calls = [asyncio.ensure_future(client.queues.get_inbound(FIRST)) for _ in range(8)]
            await asyncio.sleep(0.3 * number)
            for doomed in calls[::2]:
                doomed.cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
            survivors = results[1::2]
            assert not [result for result in survivors if isinstance(result, BaseException)]
            assert idle(client)


@pytest.mark.looptime
async def test_cancelled_in_the_backoff_a_call_sends_no_more(sandbox: Sandbox) -> None:
    """No retry is sent after the cancellation."""
    sandbox.fail(Status(503, retry_after="10"), next=None)
    async with sandbox.client() as client:
        task = asyncio.ensure_future(client.queues.get_inbound(FIRST))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(60)
        assert len(sandbox.requests) == 1
        assert idle(client)


async def test_break_leaves_nothing_behind() -> None:
    """`break` in `async for`, of records and of pages, leaves no task, permit or further request."""
    before = asyncio.all_tasks()
    async with Sandbox(queues=25) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=5)
        during = asyncio.all_tasks()
        async for _ in pager:
            break
        async for _ in pager.pages():
            break
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks() - during) <= 1  # the sandbox's task of the open connection
        assert idle(client)
        assert len(sandbox.requests) == 1
        rest = [found.id async for found in pager]
        assert rest == [stored["callinId"] for stored in sandbox.queues][5:]
    assert asyncio.all_tasks() == before


async def _drain(pager: Pager[InboundQueue], ids: list[int]) -> None:
    async for found in pager:
        ids.append(id_of(found))  # noqa: PERF401 (keeps the items before an error)


@pytest.mark.parametrize("fault", [Status(500), DropConnection(), TruncatedBody(), BadJson(), HtmlPage(502)])
async def test_walk_goes_on_after_a_failed_page(sandbox: Sandbox, fault: Fault) -> None:
    """The same pager fetches the failed page again, and no record is lost."""
    sandbox.fail(fault, page=1, next=2)
    async with sandbox.client(retry=ONCE) as client:
        pager = client.queues.list_inbound(page_size=10)
        got: list[int] = []
        for _ in range(2):
            with pytest.raises(AlohubError) as caught:
                await _drain(pager, got)
            assert len(got) == 10
            assert caught.value.resume_token == pager.token
            assert client.queues.list_inbound(token=pager.token).token == pager.token
        await _drain(pager, got)
    assert got == [stored["callinId"] for stored in sandbox.queues]


# `maybe_sent`


@pytest.mark.parametrize(
    ("steps", "maybe_sent"),
    [(["close"], True), ([b"HTTP/1.1 200 OK\r\n", "close"], True), ([b"nonsense\r\n\r\n"], True), ([9.0], True)],
)
@pytest.mark.looptime
async def test_what_was_taken_may_have_been_done(steps: list[Step], *, maybe_sent: bool) -> None:
    """Once the server may have received the request, `maybe_sent` is True."""
    async with (
        RawServer(lambda _: steps) as server,
        AlohubClient(KEY, endpoint=server.url, retry=ONCE, timeouts=Timeouts(read=2)) as client,
    ):
        with pytest.raises(APIConnectionError) as caught:
            await client.queues.update_inbound(1, max_wait=1)
        assert caught.value.maybe_sent is maybe_sent
        assert len(server.requests) == 1


@pytest.mark.looptime
async def test_deadline_remembers_an_earlier_transmission() -> None:
    """`maybe_sent` is True if any attempt may have reached the server, even if the last one did not."""
    async with RawServer(lambda _: ["close"]) as server:
        client = AlohubClient(KEY, endpoint=server.url, retry=RetryPolicy(max_retries=50, backoff=0.5))
        task = asyncio.ensure_future(client.queues.update_inbound(1, max_wait=1, deadline=5))
        await until(lambda: len(server.requests) == 1)
    with pytest.raises(DeadlineExceededError) as caught:
        await task
    assert caught.value.maybe_sent
    async with client:
        with pytest.raises(DeadlineExceededError) as caught:
            await client.queues.update_inbound(1, max_wait=1, deadline=5)
        assert not caught.value.maybe_sent


@pytest.mark.parametrize(
    ("timeouts", "deadline"),
    [(Timeouts(connect=2, total=9), None), (Timeouts(connect=9, total=2), None), (Timeouts(), 2.0)],
    ids=["connect", "total", "deadline"],
)
@pytest.mark.looptime
async def test_name_lookup_that_is_cut_off_was_not_sent(
    monkeypatch: pytest.MonkeyPatch, timeouts: Timeouts, deadline: float | None
) -> None:
    """Whatever ends it, nothing was written to a connection."""

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
    endpoint = Endpoint("https://queues.example")
    async with AlohubClient(KEY, endpoint=endpoint, retry=ONCE, timeouts=timeouts) as client:
        with pytest.raises(APITimeoutError) as caught:
            await client.queues.update_inbound(1, max_wait=1, deadline=deadline)
    assert (caught.value.maybe_sent, caught.value.attempts) == (False, 1)
    assert now() < 2.1


@pytest.mark.looptime
async def test_error_of_the_limiter_tells_what_was_sent_before(sandbox: Sandbox) -> None:
    """A wait that is refused after an attempt has that attempt's record."""
    sandbox.fail(Status(429, retry_after="9"), next=None)
    async with sandbox.client(max_rate_limit_wait=5) as client:
        with pytest.raises(RateLimitWaitError) as caught:
            await client.queues.update_inbound(FIRST, max_wait=1)
        assert (caught.value.maybe_sent, caught.value.attempts) == (True, 1)
        with pytest.raises(RateLimitWaitError) as caught:
            await client.queues.update_inbound(FIRST, max_wait=1)
        assert (caught.value.maybe_sent, caught.value.attempts) == (False, 0)


@pytest.mark.looptime
async def test_error_of_an_edit_describes_all_of_it(sandbox: Sandbox) -> None:
    """The attempts of all its requests count, and only the update can make it `maybe_sent`."""
    async with sandbox.client(retry=ONCE) as client:
        sandbox.fail(HtmlPage(503), method="GET")
        with pytest.raises(InternalServerError) as read:
            await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=77))
        assert (read.value.maybe_sent, read.value.attempts) == (False, 1)
        sandbox.fail(Delay(0), method="GET")
        sandbox.fail(Delay(9), method="GET")
        with pytest.raises(DeadlineExceededError, match=r"its deadline of 4\.00 s") as caught:
            await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=78), deadline=4)
        assert (caught.value.maybe_sent, caught.value.maybe_written, caught.value.attempts) == (True, True, 3)


# The budget of a tenant, end to end


@pytest.mark.looptime
async def test_many_callers_stay_within_the_budget() -> None:
    """With 30 callers and 5 requests a window, every call succeeds and no response is a 429."""
    async with (
        Sandbox(queues=3, route_limit=5, window=2.0, latency=0.05) as sandbox,
        sandbox.client(rate_limiter=RateLimiter(window=2.0)) as client,
    ):
        found = await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(30)))
        assert len(found) == 30
        assert [sent.status for sent in sandbox.requests] == [200] * 30


# A 429 that the limiter waits out

REFUSALS = [
    Status(429),
    Status(429, retry_after="0"),
    Status(429, retry_after=None),
    Status(429, retry_after="3", limit_headers=False),
    Status(429, retry_after="0", limit_headers=False),
    Status(429, retry_after=None, limit_headers=False),
]


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.looptime
async def test_429s_use_up_no_retries(sandbox: Sandbox, fault: Fault, call: str) -> None:
    """With one retry, a call is served after eight 429s."""
    sandbox.fail(fault, next=8)
    async with sandbox.client(retry=RetryPolicy(max_retries=1)) as client:
        await CALLS[call](client)
        assert len(sandbox.requests) == 9
        assert idle(client)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
@pytest.mark.looptime
async def test_attempts_count_429s(sandbox: Sandbox, method: str) -> None:
    """A result has all its attempts, and a method that is not idempotent is repeated after a 429, too."""
    sandbox.fail(Status(429), next=5)
    sandbox.fail(json_reply({}))
    policy = RetryPolicy(max_retries=1, retry_writes=False)
    async with sandbox.client(retry=policy) as client:
        assert (await client.request(method, "/v1/other", json=None if method == "GET" else {})).attempts == 6


@pytest.mark.looptime
async def test_other_failures_between_429s_are_counted_alone(sandbox: Sandbox) -> None:
    """Two retries are there for two failures, however many 429s there were; the third failure is final."""
    async with sandbox.client(retry=TWICE_MORE) as client:
        for failures in (2, 3):
            sandbox.heal()
            for _ in range(failures):
                sandbox.fail(Status(429), next=3)
                sandbox.fail(Status(503))
            if failures == 2:
                await client.queues.get_inbound(FIRST)
            else:
                with pytest.raises(InternalServerError) as caught:
                    await client.queues.get_inbound(FIRST)
                assert caught.value.attempts == 12


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.looptime
async def test_the_deadline_ends_429s(sandbox: Sandbox, fault: Fault) -> None:
    """However often it is refused, the call ends in time, and its error counts the attempts."""
    sandbox.fail(fault, next=None)
    async with sandbox.client(retry=RetryPolicy(max_retries=1)) as client:
        started = now()
        with pytest.raises(DeadlineExceededError) as caught:
            await client.queues.get_inbound(FIRST, deadline=40)
        assert now() - started < 40.1
        assert caught.value.attempts == len(sandbox.requests) > 2
        assert isinstance(caught.value.__cause__, RateLimitError)
        assert idle(client)


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.looptime
async def test_the_longest_wait_for_the_limit_ends_429s(sandbox: Sandbox, fault: Fault) -> None:
    """All waits after 429s count for `max_rate_limit_wait`, those of the call alone among them."""
    sandbox.fail(fault, next=None)
    async with sandbox.client(retry=RetryPolicy(max_retries=1), max_rate_limit_wait=20) as client:
        started = now()
        with pytest.raises(RateLimitWaitError, match=r"the maximum is \d+\.\d\d s") as caught:
            await client.queues.get_inbound(FIRST)
        assert now() - started < 20.1
        assert caught.value.attempts == len(sandbox.requests) > 2
        assert idle(client)


@pytest.mark.parametrize("retries", [1, 2])
@pytest.mark.looptime
async def test_429_without_end_is_its_error(sandbox: Sandbox, retries: int) -> None:
    """A hundred are waited out, then the retries are used up, and the 429 is raised with its `retry_after`."""
    sandbox.fail(Status(429, retry_after="1", limit_headers=False), next=None)
    async with sandbox.client(retry=RetryPolicy(max_retries=retries, backoff=0)) as client:
        with pytest.raises(RateLimitError) as caught:
            await client.queues.get_inbound(FIRST)
    assert caught.value.retry_after == 1
    assert caught.value.attempts == len(sandbox.requests) == 101 + retries


@pytest.mark.looptime
async def test_a_server_that_refuses_all_ends_the_call(sandbox: Sandbox) -> None:
    """After twice `max_block`, 429s use up retries."""
    sandbox.fail(Status(429, retry_after="50"), next=None)
    async with sandbox.client(retry=RetryPolicy(max_retries=1)) as client:
        with pytest.raises(RateLimitError):
            await client.queues.get_inbound(FIRST)
    assert 120 < now() < 300


@pytest.mark.looptime
async def test_429s_spend_no_retry_quota(sandbox: Sandbox) -> None:
    """After a hundred of 429s, another failure is still tried again."""
    async with sandbox.client() as client:
        for _ in range(20):
            sandbox.fail(Status(429), next=5)
            sandbox.fail(Status(503), next=3)
            await client.queues.get_inbound(FIRST)


@pytest.mark.looptime
async def test_a_429_that_the_limiter_does_not_wait_for_uses_up_a_retry(sandbox: Sandbox) -> None:
    """The limiter believes a `Retry-After` up to `max_block`; a longer one is the call's own wait."""
    sandbox.fail(Status(429, retry_after="9"), next=None)
    async with sandbox.client(rate_limiter=RateLimiter(max_block=5), retry=TWICE_MORE) as client:
        with pytest.raises(RateLimitError):
            await client.queues.get_inbound(FIRST)
    assert len(sandbox.requests) == 3
    assert now() >= 18


async def test_a_429_that_is_no_retry_status_is_final(sandbox: Sandbox) -> None:
    """`retry_statuses` decides about 429s, too."""
    sandbox.fail(Status(429, retry_after="0"), next=None)
    async with sandbox.client(retry=RetryPolicy(retry_statuses={503})) as client:
        with pytest.raises(RateLimitError):
            await client.queues.get_inbound(FIRST)
    assert len(sandbox.requests) == 1
