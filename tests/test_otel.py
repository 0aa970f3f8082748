"""Spans and metrics by OpenTelemetry's conventions, read back from the SDK's exporters in memory."""

import asyncio
import sys
from collections.abc import Generator
from typing import Any, Final

import aiohttp
import pytest
from attrs import define, field
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from alohub_async import (
    AlohubClient,
    AlohubPool,
    APIConnectionError,
    InternalServerError,
    NotFoundError,
    RateLimiter,
    RetryPolicy,
    Tenant,
)
from alohub_async.errors import ConfigurationError
from alohub_async.otel import OpenTelemetry
from alohub_async.testing import Delay, DropConnection, HtmlPage, Sandbox, Status
from tests.support import FIRST, LIST, QUEUE, RawServer, http

KEY: Final = "sk_live_0123456789abcdef"
DURATION: Final = "http.client.request.duration"
PARTS: Final = ("rate_limit_wait", "connection_wait", "backoff", "wire", "other")
ONCE: Final = RetryPolicy(max_retries=0)


@define(eq=False)
class Telemetry:
    """What was exported.

    Attributes:
        listener: The listener that makes it.
        tracers: The provider of its spans.
    """

    listener: OpenTelemetry = field(init=False)
    tracers: TracerProvider = field(init=False, factory=TracerProvider)
    _exporter: InMemorySpanExporter = field(init=False, factory=InMemorySpanExporter)
    _reader: InMemoryMetricReader = field(init=False, factory=InMemoryMetricReader)
    _meters: MeterProvider = field(init=False)
    _data: MetricsData | None = None

    def __attrs_post_init__(self) -> None:
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._meters = MeterProvider([self._reader])
        self.listener = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self._meters)

    def spans(self, kind: SpanKind | None = None) -> list[ReadableSpan]:
        """The spans that have ended, of one kind or of all."""
        return [span for span in self._exporter.get_finished_spans() if kind in {None, span.kind}]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric, as they are when first asked for any."""
        self._data = data = self._data or self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in metrics for point in metric.data.data_points]

    def close(self) -> None:
        """End both providers."""
        self.tracers.shutdown()
        self._meters.shutdown()


@pytest.fixture(name="telemetry")
def _telemetry() -> Generator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})


def seconds(span: ReadableSpan) -> float:
    """How long a span took."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def parent(span: ReadableSpan) -> int | None:
    """The id of the span above."""
    return None if span.parent is None else span.parent.span_id


def own(span: ReadableSpan) -> int:
    """The id of a span."""
    assert span.context is not None
    return int(span.context.span_id)


async def test_a_call_is_a_span_with_one_below_it_for_each_attempt(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """By the stable conventions for HTTP; all of them are below the caller's own span."""
    sandbox.fail(HtmlPage(503))
    tracer = telemetry.tracers.get_tracer("mine")
    async with sandbox.client(on_event=telemetry.listener, retry=RetryPolicy(backoff=0)) as client:
        with tracer.start_as_current_span("job") as job:
            await client.queues.get_inbound(FIRST)
            assert trace.get_current_span() is job
    failed, done, call, _ = telemetry.spans()
    assert [parent(span) for span in (failed, done, call)] == [own(call), own(call), own(telemetry.spans()[3])]
    assert (call.name, call.kind, call.status.status_code) == ("get_inbound", SpanKind.INTERNAL, StatusCode.UNSET)
    assert failed.name == done.name == f"GET {LIST}/{{id}}"
    assert failed.kind is done.kind is SpanKind.CLIENT
    common = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": sandbox.url.port,
        "url.full": f"{sandbox.url}{LIST}/{FIRST}",
        "url.template": f"{LIST}/{{id}}",
    }
    assert attributes(failed) == common | {"http.response.status_code": 503, "error.type": "503"}
    assert attributes(done) == common | {"http.response.status_code": 200, "http.request.resend_count": 1}
    assert (failed.status.status_code, done.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert attributes(call)["alohub.attempts"] == 2
    assert attributes(call)["alohub.tenant.id"] == client.tenant_id


@pytest.mark.looptime
async def test_the_parts_of_a_call_add_up_to_its_span(telemetry: Telemetry) -> None:
    """A walk with 30 requests, a budget of 20 per 10 s and two 503s: waits, backoff and wire are the whole time."""
    async with (
        Sandbox(queues=30, tenant_limit=20, route_limit=20, latency=0.05) as sandbox,
        sandbox.client(on_event=telemetry.listener) as client,
    ):
        sandbox.fail(HtmlPage(503), next=2)
        assert len(await client.queues.list_inbound(page_size=1).collect()) == 30
    calls, attempts = telemetry.spans(SpanKind.INTERNAL), telemetry.spans(SpanKind.CLIENT)
    assert len(attempts) == len(calls) + 2
    for call in calls:
        parts = [attributes(call)[f"alohub.{part}"] for part in PARTS]
        assert sum(parts) == pytest.approx(seconds(call), abs=0.005)
        below = [seconds(attempt) for attempt in attempts if parent(attempt) == own(call)]
        assert sum(below) == pytest.approx(attributes(call)["alohub.wire"], abs=0.001)
    waited = sum(attributes(call)["alohub.rate_limit_wait"] for call in calls)
    assert waited > 10
    [wait] = telemetry.points("alohub.rate_limit.wait")
    assert wait.sum == pytest.approx(waited, abs=0.05)
    assert wait.attributes == {"alohub.route": f"GET {LIST}"}
    [retries] = telemetry.points("alohub.retries")
    assert (retries.value, dict(retries.attributes)["error.type"]) == (2, "InternalServerError")


@pytest.mark.looptime
async def test_metrics_of_requests_and_budgets(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Durations in the conventions' buckets by status, 429s, and what is left of each budget."""
    sandbox.fail(Status(429, retry_after="1"))
    async with sandbox.client(on_event=telemetry.listener) as client:
        await client.queues.get_inbound(FIRST)
        with pytest.raises(NotFoundError):
            await client.queues.get_inbound(5)
    points = {point.attributes.get("http.response.status_code"): point for point in telemetry.points(DURATION)}
    assert {status: point.count for status, point in points.items()} == {200: 1, 404: 1, 429: 1}
    assert points[404].attributes["error.type"] == "404"
    assert "error.type" not in points[200].attributes
    assert tuple(points[200].explicit_bounds) == (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
        *(1, 2.5, 5, 7.5, 10),
    )
    [refused] = telemetry.points("alohub.rate_limited")
    assert refused.value == 1
    left = {point.attributes["alohub.scope"]: point for point in telemetry.points("alohub.rate_limit.remaining")}
    status = client.rate_limits
    assert left["tenant"].value == status.tenant.free
    assert left["route"].attributes["alohub.route"] == f"GET {LIST}/{{id}}"
    assert "alohub.route" not in left["tenant"].attributes
    assert left["tenant"].attributes["alohub.tenant.id"] == client.tenant_id


async def test_tenants_of_a_pool_are_told_apart_by_name(telemetry: Telemetry) -> None:
    """In the spans of calls, and in what is left of their budgets."""
    async with (
        Sandbox(queues=1, tenant_limit=9) as one,
        Sandbox(queues=1, tenant_limit=5) as two,
        AlohubPool(on_event=telemetry.listener) as pool,
    ):
        tenants = {
            name: Tenant(name, api_key=each.api_key, base_url=str(each.url)) for name, each in (("a", one), ("b", two))
        }
        await pool.each(lambda client, _: client.queues.get_inbound(FIRST), tenants).collect()
    assert {attributes(span)["alohub.tenant.name"] for span in telemetry.spans(SpanKind.INTERNAL)} == {"a", "b"}
    left = {
        point.attributes["alohub.tenant.name"]: point.value
        for point in telemetry.points("alohub.rate_limit.remaining")
        if point.attributes["alohub.scope"] == "tenant"
    }
    assert left == {"a": 8, "b": 4}


@pytest.mark.looptime
@pytest.mark.parametrize("end", ["lost", "cancelled"])
async def test_an_attempt_without_an_answer_has_its_error(sandbox: Sandbox, telemetry: Telemetry, end: str) -> None:
    """And its call; nothing stays open or current."""
    sandbox.fail(Delay(60) if end == "cancelled" else DropConnection())
    before = trace.get_current_span()
    async with sandbox.client(on_event=telemetry.listener, retry=ONCE) as client:
        with pytest.raises((APIConnectionError, TimeoutError)):
            async with asyncio.timeout(2):
                await client.queues.get_inbound(FIRST)
    assert trace.get_current_span() is before
    error = "CancelledError" if end == "cancelled" else "APIConnectionError"
    attempt, call = telemetry.spans()
    for span in (attempt, call):
        assert attributes(span)["error.type"] == error
        assert span.status.status_code is StatusCode.ERROR
    assert "http.response.status_code" not in attributes(attempt)
    [point] = telemetry.points(DURATION)
    assert point.attributes["error.type"] == error


async def test_calls_at_once_do_not_mix(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Each attempt is below its own call, each call below the span of its task."""
    tracer = telemetry.tracers.get_tracer("mine")

    ids = [int(str(record["callinId"])) for record in sandbox.queues[:10]]

    async def job(queue_id: int) -> None:
        with tracer.start_as_current_span(f"job {queue_id}"):
            await client.queues.get_inbound(queue_id)

    sandbox.fail(HtmlPage(503), next=3)
    async with sandbox.client(on_event=telemetry.listener, retry=RetryPolicy(backoff=0.01)) as client:
        await asyncio.gather(*map(job, ids))
    by_id = {own(span): span for span in telemetry.spans()}
    for attempt in telemetry.spans(SpanKind.CLIENT):
        call = by_id[parent(attempt) or 0]
        queue_id = by_id[parent(call) or 0].name.removeprefix("job ")
        assert attributes(attempt)["url.full"].endswith(f"/{queue_id}")
    assert len(telemetry.spans(SpanKind.CLIENT)) == 13


async def test_aiohttp_may_be_instrumented_too(telemetry: Telemetry) -> None:
    """It makes no second span of our attempts, and those of others, in the same task, stay."""
    instrumentor: Any = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.tracers)
    try:
        async with (
            RawServer(lambda _: [http(QUEUE)]) as server,
            aiohttp.ClientSession() as session,
            AlohubClient("sk_live_x", endpoint=server.url, on_event=telemetry.listener) as client,
            AlohubClient("sk_live_x", endpoint=server.url, on_event=telemetry.listener, session=session) as of_session,
            AlohubClient("sk_live_x", endpoint=server.url) as silent,
        ):

            async def key() -> str:
                async with session.get(f"{server.url}/key") as response:
                    await response.read()
                return "sk_live_y"

            async with AlohubClient(key, endpoint=server.url, on_event=telemetry.listener) as rotating:
                for each in (client, of_session, silent, rotating):
                    await each.queues.get_inbound(FIRST)
            async with session.get(f"{server.url}/other") as response:
                await response.read()
    finally:
        instrumentor.uninstrument()
    ours, theirs = f"GET {LIST}/{{id}}", "GET"
    assert [span.name for span in telemetry.spans(SpanKind.CLIENT)] == [ours, ours, theirs, theirs, ours, theirs]
    assert all(
        "traceparent" not in sent.headers for sent in server.requests if sent.headers.get("X-Api-Key") == "sk_live_y"
    )


async def test_two_listeners_of_a_client_leave_nothing_current(sandbox: Sandbox, telemetry: Telemetry) -> None:
    """Each makes all spans; afterwards the caller's is the current one, and other instrumentations go on."""
    other, before = OpenTelemetry(tracer_provider=telemetry.tracers), context.get_current()
    async with sandbox.client(on_event=[telemetry.listener, other]) as client:
        await client.queues.get_inbound(FIRST)
    assert context.get_current() == before
    assert [span.kind for span in telemetry.spans()] == [SpanKind.CLIENT, SpanKind.CLIENT, *[SpanKind.INTERNAL] * 2]


class _Broken(SpanProcessor):
    """Fails at the start of one span of many."""

    def __init__(self, fails_at: int) -> None:
        self.left = fails_at

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del span, parent_context
        self.left -= 1
        if not self.left:
            raise RuntimeError


@pytest.mark.parametrize(("fails_at", "ended"), [(1, ["GET"]), (2, ["get_inbound"])])
async def test_span_that_does_not_start_harms_no_other(
    sandbox: Sandbox, telemetry: Telemetry, fails_at: int, ended: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the other spans of the call, nor those of later calls; it is logged once."""
    telemetry.tracers.add_span_processor(_Broken(fails_at))
    before = context.get_current()
    async with sandbox.client(on_event=telemetry.listener) as client:
        for _ in range(2):
            await client.queues.get_inbound(FIRST)
            assert context.get_current() == before
    assert [span.name.partition(" ")[0] for span in telemetry.spans()] == [*ended, "GET", "get_inbound"]
    assert all("alohub.attempts" in attributes(span) for span in telemetry.spans(SpanKind.INTERNAL))
    assert len(caplog.records) == 1


async def test_spans_hold_no_secret(telemetry: Telemetry) -> None:
    """Neither the key, nor a body, nor the values of a query."""
    async with (
        RawServer(lambda _: [http({"message": KEY}, status=500)]) as server,
        AlohubClient(KEY, endpoint=server.url, on_event=telemetry.listener, retry=ONCE) as client,
    ):
        with pytest.raises(InternalServerError):
            await client.request("GET", f"/v1/{KEY}", params={"name": "Bí Mật", "key": KEY, "page": 2})
    shown = "".join(span.to_json() for span in telemetry.spans())
    assert KEY not in shown
    assert "M%E1%BA%ADt" not in shown
    assert "name=REDACTED&key=REDACTED&page=2" in shown


async def test_call_that_sends_nothing_is_one_span(telemetry: Telemetry, sandbox: Sandbox) -> None:
    """The port of the address is that of its scheme, and a shared listener keeps the clients' calls apart."""
    async with AlohubClient("sk_live_x", on_event=[telemetry.listener], rate_limiter=RateLimiter()) as client:
        await client.aclose()
        with pytest.raises(Exception, match="closed"):
            await client.queues.get_inbound(FIRST)
    async with sandbox.client(on_event=telemetry.listener) as other:
        await other.queues.get_inbound(FIRST)
    assert [span.kind for span in telemetry.spans()] == [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL]
    call = attributes(telemetry.spans()[0])
    assert call["error.type"] == "ClientClosedError"
    assert "alohub.tenant.id" not in call


async def test_global_providers_are_the_default(sandbox: Sandbox) -> None:
    """Without any configured, everything is a no-op."""
    async with sandbox.client(on_event=OpenTelemetry()) as client:
        assert (await client.queues.get_inbound(FIRST)).id == FIRST


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module itself can be imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'alohub-async\[otel\]'"):
        OpenTelemetry()
