"""What listeners and the log get from a call: in order, with times that add up, and without secrets."""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from importlib.resources import files
from types import FrameType
from typing import Any, Final, TypeVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alohub_async
from alohub_async import (
    AlohubClient,
    AlohubError,
    AlohubPool,
    APITimeoutError,
    AttemptFinished,
    AttemptStarted,
    BudgetSeen,
    CallEvent,
    CallFinished,
    CallStarted,
    ConfigurationError,
    DeadlineExceededError,
    DriftNoticed,
    Event,
    InternalServerError,
    LimitReached,
    RateLimited,
    RateLimiter,
    RateLimitWaited,
    RateLimitWaitError,
    RetryPolicy,
    RetryScheduled,
    SharedStoreLost,
    SharedStoreRegained,
    Tenant,
    Timeouts,
    emitter,
    events,
    recorder,
)
from alohub_async.emitter import Emitter, emit_once, whose
from alohub_async.testing import Delay, DropConnection, Fault, HtmlPage, Sandbox, Status, TruncatedBody
from tests.support import CALLS, FIRST, LIST, RawServer, http, queue

pytestmark = pytest.mark.looptime

EventT = TypeVar("EventT", bound=Event)
KEY: Final = "sk_live_0123456789abcdef"
NAME: Final = "Hàng đợi Bí Mật"


class Listener(list[Event]):
    """Keeps all events."""

    def __call__(self, event: Event) -> None:
        """Keep one."""
        self.append(event)

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Those of one class."""
        return [event for event in self if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        """The names of their classes, in order."""
        return [type(event).__name__ for event in self]


def parts(call: CallFinished) -> float:
    """The sum of the parts of a call's time."""
    return call.rate_limit_wait + call.connection_wait + call.backoff + call.wire + call.other


async def test_a_call_that_is_retried_tells_each_step(sandbox: Sandbox) -> None:
    """A retry is announced before its wait; the numbers of a call fit its attempts."""
    heard = Listener()
    sandbox.fail(HtmlPage(503), next=2)
    async with sandbox.client(on_event=heard, tenant_id="20260310") as client:
        await client.queues.get_inbound(FIRST)
    retried = ["AttemptStarted", "AttemptFinished", "RetryScheduled"]
    last = ["AttemptStarted", "BudgetSeen", "BudgetSeen", "AttemptFinished", "CallFinished"]
    assert heard.kinds() == ["CallStarted", *retried, *retried, *last]
    assert [attempt.resend_count for attempt in heard.of(AttemptStarted)] == [0, 1, 2]
    failed, again, done = heard.of(AttemptFinished)
    assert (failed.status, failed.error, failed.resend_count) == (503, "InternalServerError", 0)
    assert (again.resend_count, done.status, done.error) == (1, 200, None)
    assert [(retry.reason, retry.attempts) for retry in heard.of(RetryScheduled)] == [
        ("InternalServerError", 1),
        ("InternalServerError", 2),
    ]
    [call] = heard.of(CallFinished)
    assert (call.attempts, call.error) == (3, None)
    assert call.backoff == pytest.approx(sum(retry.seconds for retry in heard.of(RetryScheduled)), abs=0.005)
    assert call.wire == pytest.approx(sum(attempt.seconds for attempt in heard.of(AttemptFinished)), abs=0.001)
    assert parts(call) == pytest.approx(call.seconds, abs=0.005)
    assert {(budget.scope, budget.limit) for budget in heard.of(BudgetSeen)} == {("tenant", 100), ("route", 50)}


async def test_events_say_whose_they_are(sandbox: Sandbox) -> None:
    """Each has its call's number, operation, route, URL and tenant."""
    heard = Listener()
    async with sandbox.client(on_event=heard) as client:
        await client.queues.list_inbound(page_size=25).collect()
        await client.queues.get_inbound(FIRST)
        await client.queues.update_inbound(FIRST, max_wait=1)
        await client.request("GET", LIST, params={"name": NAME, "size": 5})
    started = heard.of(CallStarted)
    assert len({call.call for call in started}) == len(started)
    shown = [(call.operation, str(call.route), call.url.removeprefix(str(sandbox.url))) for call in started]
    assert shown[0] == ("list_inbound", "GET /v1/queues/inbound", f"{LIST}?page=0&size=25")
    assert shown[-3:] == [
        ("get_inbound", "GET /v1/queues/inbound/{id}", f"{LIST}/{FIRST}"),
        ("update_inbound", "PUT /v1/queues/inbound/{id}", f"{LIST}/{FIRST}"),
        ("get_inbound", "GET /v1/queues/inbound", f"{LIST}?name=REDACTED&size=5"),
    ]
    assert {event.tenant_id for event in heard.of(CallEvent)} == {client.tenant_id}


async def test_waits_for_the_limit_are_measured() -> None:
    """Of 30 calls with a budget of 20, ten wait; each one's parts add up, and one event says that it is used up."""
    heard = Listener()
    async with (
        Sandbox(queues=1, tenant_limit=20, route_limit=20) as sandbox,
        sandbox.client(on_event=heard) as client,
    ):
        await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(30)))
    calls = heard.of(CallFinished)
    waits = [wait for wait in heard.of(RateLimitWaited) if wait.seconds > 1]
    assert len(calls) == 30
    assert len(waits) == 10
    by_call = Counter[int]()
    for wait in heard.of(RateLimitWaited):
        by_call[wait.call] += round(wait.seconds * 1e6)
    for call in calls:
        assert parts(call) == pytest.approx(call.seconds, abs=0.005)
        assert call.rate_limit_wait == pytest.approx(by_call[call.call] / 1e6, abs=0.001)
    reached = heard.of(LimitReached)
    assert [(limit.waiting, 5 < limit.seconds <= 10.1) for limit in reached] == [(10, True)]


async def test_a_wait_that_is_given_up_is_told() -> None:
    """A call that is cancelled while the limit makes it wait has waited, too."""
    heard = Listener()
    async with (
        Sandbox(queues=1, tenant_limit=1, route_limit=1) as sandbox,
        sandbox.client(on_event=heard) as client,
    ):
        await client.queues.get_inbound(FIRST)
        heard.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await client.queues.get_inbound(FIRST)
    assert heard.kinds() == ["CallStarted", "LimitReached", "RateLimitWaited", "CallFinished"]
    assert [wait.seconds for wait in heard.of(RateLimitWaited)] == [pytest.approx(3, abs=0.01)]
    assert [call.rate_limit_wait for call in heard.of(CallFinished)] == [pytest.approx(3, abs=0.01)]


async def test_refusals_are_told(sandbox: Sandbox) -> None:
    """A 429 is an event of its own, with what the server asks for; the limiter's wait is no backoff."""
    heard = Listener()
    sandbox.fail(Status(429, retry_after="2"))
    async with sandbox.client(on_event=heard) as client:
        await client.queues.get_inbound(FIRST)
    [refused] = heard.of(RateLimited)
    assert refused.retry_after == 2
    [retry] = heard.of(RetryScheduled)
    assert (retry.seconds, retry.reason) == (2, "RateLimitError")
    [call] = heard.of(CallFinished)
    assert call.rate_limit_wait == pytest.approx(2, abs=0.1)
    assert parts(call) == pytest.approx(call.seconds, abs=0.005)


async def test_waits_for_a_connection_are_measured(sandbox: Sandbox) -> None:
    """With one connection, the second call waits for the first one's."""
    heard = Listener()
    async with sandbox.client(on_event=heard, max_connections=1) as client:
        await client.queues.get_inbound(FIRST)
        sandbox.latency = 3.0
        await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(2)))
    waited = sorted(call.connection_wait for call in heard.of(CallFinished))
    assert waited == pytest.approx([0, 0, 3], abs=0.1)


async def _cancelled(client: AlohubClient) -> None:
    call = asyncio.create_task(client.queues.get_inbound(FIRST))
    await asyncio.sleep(0.5)
    call.cancel()
    await call


async def _late(client: AlohubClient) -> None:
    await client.queues.get_inbound(FIRST, deadline=0.5)


async def _slow(client: AlohubClient) -> None:
    await client.queues.get_inbound(FIRST)


@pytest.mark.parametrize(
    ("call", "error", "attempt"),
    [
        (_cancelled, asyncio.CancelledError, "CancelledError"),
        (_late, DeadlineExceededError, "DeadlineExceededError"),
        (_slow, APITimeoutError, "APITimeoutError"),
    ],
)
async def test_calls_without_an_answer_end(
    sandbox: Sandbox, call: Any, error: type[BaseException], attempt: str
) -> None:
    """Also an attempt that is cancelled, or too slow, is finished, and so is its call."""
    heard = Listener()
    sandbox.fail(Delay(60), next=None)
    retry, timeouts = RetryPolicy(max_retries=0), Timeouts(total=1)
    async with sandbox.client(on_event=heard, retry=retry, timeouts=timeouts) as client:
        with pytest.raises(error):
            await call(client)
    assert heard.kinds() == ["CallStarted", "AttemptStarted", "AttemptFinished", "CallFinished"]
    [finished], [done] = heard.of(AttemptFinished), heard.of(CallFinished)
    assert (finished.status, finished.error, done.error) == (None, attempt, error.__name__)
    assert parts(done) == pytest.approx(done.seconds, abs=0.005)
    assert done.wire == finished.seconds >= 0.49


async def test_a_call_that_sends_nothing_has_no_attempt(sandbox: Sandbox) -> None:
    """The limit may refuse to wait, and a key provider may fail."""

    def broken() -> str:
        raise LookupError

    heard = Listener()
    limiter = RateLimiter(max_block=60)
    sandbox.fail(Status(429, retry_after="50"))
    async with sandbox.client(on_event=heard, retry=RetryPolicy(max_retries=0), rate_limiter=limiter) as client:
        with pytest.raises(AlohubError):
            await client.queues.get_inbound(FIRST)
        heard.clear()
        with pytest.raises(RateLimitWaitError):
            await client.queues.get_inbound(FIRST, max_rate_limit_wait=1)
        async with AlohubClient(broken, endpoint=str(sandbox.url), on_event=heard) as other:
            with pytest.raises(LookupError):
                await other.queues.get_inbound(FIRST)
    assert heard.kinds() == ["CallStarted", "CallFinished"] * 2
    assert [(call.error, call.attempts) for call in heard.of(CallFinished)] == [
        ("RateLimitWaitError", 0),
        ("LookupError", 0),
    ]


FAULTS: Final = st.sampled_from(
    [
        *(HtmlPage(503), HtmlPage(404), Status(429, retry_after="1"), Status(429, retry_after=None), Status(401)),
        *(Status(503, retry_after="2"), DropConnection(), Delay(1), Delay(9), TruncatedBody()),
    ]
)


@given(st.lists(FAULTS, max_size=6), st.none() | st.floats(0, 12), st.none() | st.floats(0.1, 12))
@settings(max_examples=30)
async def test_events_of_a_call_fit_together(faults: list[Fault], cancel: float | None, deadline: float | None) -> None:
    """Whatever happens: a call begins and ends once, its attempts alternate, and its parts add up."""
    heard = Listener()
    async with Sandbox(queues=1) as sandbox, sandbox.client(on_event=heard, timeouts=Timeouts(total=5)) as client:
        for fault in faults:
            sandbox.fail(fault)
        with suppress(AlohubError, TimeoutError):
            async with asyncio.timeout(cancel):
                await client.queues.get_inbound(FIRST, deadline=deadline)
    if not heard:
        return  # cancelled before it began
    first, *_, last = heard
    assert isinstance(first, CallStarted)
    assert isinstance(last, CallFinished)
    assert len(heard.of(CallStarted)) == len(heard.of(CallFinished)) == 1
    attempts = [event for event in heard if isinstance(event, AttemptStarted | AttemptFinished)]
    assert [type(event) for event in attempts] == [AttemptStarted, AttemptFinished] * last.attempts
    assert [event.resend_count for event in attempts] == [number // 2 for number in range(len(attempts))]
    assert parts(last) == pytest.approx(last.seconds)
    assert last.wire == pytest.approx(sum(event.seconds for event in heard.of(AttemptFinished)))
    assert last.error is None or last.error in {event.error for event in heard.of(AttemptFinished)} | {
        *("CancelledError", "DeadlineExceededError", "RateLimitWaitError")
    }


# Listeners


async def test_nothing_is_built_when_nobody_listens(sandbox: Sandbox) -> None:
    """A call without a listener enters no function of the events."""
    entered = list[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename in {emitter.__file__, events.__file__, recorder.__file__}:
            entered.append(frame.f_code.co_qualname)

    async def count(client: AlohubClient) -> int:
        entered.clear()
        sys.setprofile(note)
        try:
            await client.queues.get_inbound(FIRST)
        finally:
            sys.setprofile(None)
        return len(entered)

    async with sandbox.client() as client, sandbox.client(on_event=[str]) as heard:
        assert await count(client) == 0
        assert await count(heard) > 5


class _OfNoKind(BaseException): ...


async def test_listener_may_end_the_program(sandbox: Sandbox) -> None:
    """As when Ctrl-C arrives in it."""

    def stop(_: Event) -> None:
        raise KeyboardInterrupt

    async with sandbox.client(on_event=stop) as client:
        step = client.queues.get_inbound(FIRST)
        with pytest.raises(KeyboardInterrupt):
            step.send(None)


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError, GeneratorExit, _OfNoKind])
async def test_a_listener_that_raises_harms_nobody(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    """The call succeeds, the other listeners are called, and its first error is logged with its traceback."""
    heard = Listener()

    def broken(_: Event) -> None:
        raise error

    async with sandbox.client(on_event=[broken, heard, heard]) as client:
        assert (await client.queues.get_inbound(FIRST)).id == FIRST
        await client.with_options(deadline=5).queues.get_inbound(FIRST)
    assert heard.kinds().count("CallFinished") == 2
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"a listener of events raised {error.__name__}" in record.getMessage()
    assert record.exc_info


async def test_listeners_end_in_reverse_order(sandbox: Sandbox) -> None:
    """The first one is called first at a start and last at an end, so what it makes current encloses the others."""
    heard = list[tuple[str, str]]()

    def outer(event: Event) -> None:
        heard.append(("outer", type(event).__name__))

    def inner(event: Event) -> None:
        heard.append(("inner", type(event).__name__))

    async with sandbox.client(on_event=[outer, inner]) as client:
        await client.queues.get_inbound(FIRST)
    first = {kind: name for name, kind in reversed(heard)}
    starts = dict.fromkeys(("CallStarted", "AttemptStarted", "BudgetSeen"), "outer")
    assert first == starts | {"AttemptFinished": "inner", "CallFinished": "inner"}


async def test_listeners_see_the_context_of_the_call(sandbox: Sandbox) -> None:
    """Context variables of the caller are there, in the calls of a walk too."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: set[str] = set()

    def note(_: Event) -> None:
        seen.add(user.get())

    async with sandbox.client(on_event=note) as client:
        user.set("An")
        await client.queues.get_inbound(FIRST)
        await client.queues.list_inbound(page_size=5).collect()
    assert seen == {"An"}


async def _coroutine(_: Event) -> None: ...


class _AsyncListener:
    async def __call__(self, _: Event) -> None: ...


@pytest.mark.parametrize(
    "given",
    [5, "print", [None], [print, 5], _coroutine, _AsyncListener(), [_coroutine]],
    ids=["number", "text", "None", "a number among them", "async function", "async call", "async function among them"],
)
def test_what_cannot_be_called_is_refused(given: Any) -> None:
    """Nor may a listener be a coroutine function: nobody would await it."""
    with pytest.raises(
        ConfigurationError, match="on_event must be a callable that is no coroutine function, or several"
    ):
        AlohubClient(KEY, on_event=given)


async def test_clients_that_share_a_limiter_share_its_events(caplog: pytest.LogCaptureFixture) -> None:
    """Each listener is called once, and one line is logged; a client that is gone is not told."""
    heard, other, gone, limiter = Listener(), Listener(), Listener(), RateLimiter()
    AlohubClient(KEY, rate_limiter=limiter, on_event=gone)
    clients = [AlohubClient(KEY, rate_limiter=limiter, on_event=each) for each in ([heard], [heard, other], [])]
    for event in (SharedStoreLost(error="TimeoutError", share=0.5), SharedStoreRegained(seconds=2.5)):
        emit_once(limiter.emitters, event)
    assert len(clients) == 3
    assert heard.kinds() == other.kinds() == ["SharedStoreLost", "SharedStoreRegained"]
    assert gone == []
    assert caplog.messages == [
        "the store of the shared rate limit does not answer: error=TimeoutError share=0.5 tenant=None tenant_id=None"
    ]


async def test_event_of_a_shared_limiter_has_the_tenant_that_its_clients_have() -> None:
    """Clients of several tenants are of none."""
    heard, limiter = Listener(), RateLimiter()
    first = AlohubClient(KEY, rate_limiter=limiter, on_event=heard, tenant_name="hue", tenant_id="7")
    emit_once(limiter.emitters, LimitReached(waiting=1, seconds=2.0, **whose(limiter.emitters)))
    second = AlohubClient(KEY, rate_limiter=limiter, tenant_name="hanoi", tenant_id="7")
    emit_once(limiter.emitters, LimitReached(waiting=1, seconds=2.0, **whose(limiter.emitters)))
    assert [(event.tenant, event.tenant_id) for event in heard.of(LimitReached)] == [("hue", "7"), (None, None)]
    assert first is not second


async def test_events_of_a_pool_have_the_name_of_their_tenant(caplog: pytest.LogCaptureFixture) -> None:
    """Of those of one budget, too, and of their lists; a name that is a key is not shown."""
    caplog.set_level(logging.DEBUG, "alohub_async")
    heard = Listener()

    async def job(client: AlohubClient, _: Tenant) -> None:
        pager = client.queues.list_inbound(page_size=1, prefetch=0)
        await anext(pager)
        sandbox.insert_queue()
        await pager.collect()

    async with Sandbox(queues=3, tenant_limit=2) as sandbox, AlohubPool(on_event=heard) as pool:
        key, other = sandbox.api_key, sandbox.add_key()
        tenants = {
            name: Tenant("", api_key=each, base_url=str(sandbox.url))
            for name, each in {"hanoi": key, other: other}.items()
        }
        assert [outcome.error for outcome in await pool.each(job, tenants, concurrency=1).collect()] == [None] * 2
    for kind in ("CallStarted", "CallFinished", "BudgetSeen", "LimitReached", "DriftNoticed"):
        assert ("hanoi", kind) in {(vars(event)["tenant"], type(event).__name__) for event in heard}
    assert {vars(event)["tenant"] for event in heard} == {"hanoi", "[redacted]"}
    assert other not in repr(heard)
    assert {vars(record)["alohub_tenant"] for record in caplog.records} == {"hanoi", "[redacted]"}


# Lists


async def test_a_list_that_moves_is_told(sandbox: Sandbox) -> None:
    """At the end of the walk, with what was noticed, and without the values of a filter."""
    heard = Listener()
    async with sandbox.client(on_event=heard) as client:
        pager = client.paginate(LIST, page_size=10, prefetch=0, params={"name": NAME}, key="callinId")
        await anext(pager)
        sandbox.remove_queue(FIRST)
        await pager.collect()
    [drift] = heard.of(DriftNoticed)
    assert drift.tenant_id == client.tenant_id
    assert drift.listed == f"GET {LIST}?name=REDACTED"
    assert "moved while it was walked" in drift.what
    assert "totals=(25, 24)" in drift.what


async def test_list_of_a_post_is_named_without_its_body(sandbox: Sandbox) -> None:
    """Not even by a hash, which a short body could be found by; nor is what tells two ways of paging apart."""
    heard = Listener()
    async with sandbox.client(on_event=heard) as client:
        form: Any = {"method": "POST", "safe": True, "json": {"phone": "0901234567"}}
        await client.paginate("/v1/reports/call-logs", first_page=99, size_name="limit", **form).collect()
    assert [drift.listed for drift in heard.of(DriftNoticed)] == ["POST /v1/reports/call-logs"]


# The log


async def test_records_have_the_fields_of_their_event(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """DEBUG has attempts, INFO retries, WARNING drift; each record can be written as JSON."""
    caplog.set_level(logging.DEBUG, "alohub_async")
    sandbox.fail(HtmlPage(503))
    async with sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=10, prefetch=0)
        await anext(pager)
        sandbox.remove_queue(FIRST)
        await pager.collect()
    levels = {(vars(record)["alohub_event"], record.levelname) for record in caplog.records}
    assert levels == {
        *{("AttemptFinished", "DEBUG"), ("CallFinished", "DEBUG")},
        *{("RetryScheduled", "INFO"), ("DriftNoticed", "WARNING")},
    }
    [retry] = [record for record in caplog.records if record.levelname == "INFO"]
    fields = {name: value for name, value in vars(retry).items() if name.startswith("alohub_")}
    assert json.loads(json.dumps(fields))["alohub_route"] == "GET /v1/queues/inbound"
    assert {"alohub_seconds", "alohub_reason", "alohub_attempts", "alohub_call", "alohub_url"} <= fields.keys()
    assert "retrying: call=" in retry.getMessage()


async def test_retries_are_logged_without_a_listener(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """At INFO there is no more than the retry."""
    caplog.set_level(logging.INFO, "alohub_async")
    sandbox.fail(HtmlPage(503))
    async with sandbox.client() as client:
        await client.queues.get_inbound(FIRST)
    assert [vars(record)["alohub_event"] for record in caplog.records] == ["RetryScheduled"]


@pytest.mark.parametrize("call", CALLS)
async def test_no_event_or_record_holds_a_secret(call: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a key, nor a body, nor the name of a queue, whatever the server repeats."""
    caplog.set_level(logging.DEBUG, "alohub_async")
    heard = Listener()
    answers = {1: http({"error": KEY}, status=503), 2: http(queue(callinName=NAME), headers={"X-Key": KEY})}
    async with (
        RawServer(lambda number: [answers.get(number % 3, http({"message": KEY, "name": NAME}, status=404))]) as server,
        AlohubClient(KEY, endpoint=server.url, on_event=heard, retry=RetryPolicy(backoff=0)) as client,
    ):
        for path in (LIST, f"/v1/{KEY}"):
            for step in (CALLS[call], _of_path(path)):
                with suppress(AlohubError):
                    await step(client)
    shown = [repr(event) for event in heard] + [f"{record.getMessage()} {vars(record)!r}" for record in caplog.records]
    assert len(shown) > 10
    for text in shown:
        assert KEY not in text
        assert NAME not in text
        assert "Mật" not in text


def _of_path(path: str) -> Callable[[AlohubClient], Any]:
    return lambda client: client.request("GET", path, params={"name": NAME, "page": KEY, KEY: 1})


def test_events_are_values() -> None:
    """They cannot be changed, are equal by their fields, and match by class."""
    event = SharedStoreLost(error="TimeoutError", share=0.5)
    assert event == SharedStoreLost(error="TimeoutError", share=0.5)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, *("error", ""))
    match event:
        case SharedStoreLost(error=error):
            assert error == "TimeoutError"


def test_every_event_is_public() -> None:
    """Each class can be imported from the package."""
    kinds = {name for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, Event)}
    assert kinds <= {*dir(alohub_async)}


def test_guide_names_every_event_and_field() -> None:
    """A reader need not look into the code."""
    text = (files("alohub_async") / "guide" / "observability.md").read_text()
    kinds: list[type[Any]] = [*Event.__subclasses__(), *CallEvent.__subclasses__()]
    fields = {name for kind in kinds for name in attrs.fields_dict(kind)}
    named = {kind.__name__ for kind in kinds} - {"CallEvent"} | fields
    assert [name for name in sorted(named) if f"`{name}`" not in text] == []


def test_emitter_without_listeners_only_logs(caplog: pytest.LogCaptureFixture) -> None:
    """So what no client made can use one."""
    Emitter()(SharedStoreLost(error="OSError", share=1.0))
    assert len(caplog.records) == 1


async def test_failed_call_has_the_error_of_its_last_attempt(sandbox: Sandbox) -> None:
    """Its name is that of the exception that the caller gets."""
    heard = Listener()
    sandbox.fail(HtmlPage(500), next=None)
    async with sandbox.client(on_event=heard, retry=RetryPolicy(max_retries=1)) as client:
        with pytest.raises(InternalServerError):
            await client.queues.get_inbound(FIRST)
    assert [call.error for call in heard.of(CallFinished)] == ["InternalServerError"]
