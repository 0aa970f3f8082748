"""OpenTelemetry (extra `otel`): a span for each call and for each of its attempts, and metrics.

    client = AlohubClient(key, on_event=OpenTelemetry())

A call is a span of kind INTERNAL; its attributes say how its time divides. Each attempt is a span of kind CLIENT below
it, by the stable conventions for HTTP. Where aiohttp is instrumented as well, it makes no second span of these; its
spans of other requests stay. No trace context is sent to the vendor. The metrics are `http.client.request.duration`,
`alohub.rate_limit.wait`, `alohub.rate_limit.remaining` (by scope), `alohub.retries` and `alohub.rate_limited` (429s).
"""

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from alohub_async import events
from alohub_async._version import __version__
from alohub_async.emitter import Event
from alohub_async.errors import ConfigurationError

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)  # of the conventions
_WAITS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120)
_SUPPRESSED: Final = "suppress_instrumentation"  # by it, instrumentations know that they are not wanted, also old ones
_PARTS: Final = ("attempts", "rate_limit_wait", "connection_wait", "backoff", "wire", "other")
_FAILED: Final = 400  # the lowest HTTP status of a failure


class _OpenSpan(NamedTuple):
    span: "Span"
    token: "Token[Context]"  # to make the span before it the current one again
    began: int  # nanoseconds
    common: dict[str, Any]  # attributes of the span and of the metric of an attempt


class OpenTelemetry:
    """A listener of one client's or several clients' events that makes spans and metrics."""

    def __init__(
        self, *, tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
    ) -> None:
        """Make a listener for these providers; None for the global ones.

        Raises:
            ConfigurationError: The extra `otel` is not installed.
        """
        try:
            from opentelemetry import context, metrics, trace
        except ImportError:
            needed = "spans and metrics need opentelemetry-api; run: pip install 'alohub-async[otel]'"
            raise ConfigurationError(needed) from None
        self._context, self._trace = context, trace
        self._tracer = trace.get_tracer("alohub_async", __version__, tracer_provider)
        self._open: dict[tuple[int, bool], _OpenSpan] = {}  # by call, and whether it is that of an attempt
        meter = metrics.get_meter("alohub_async", __version__, meter_provider)
        buckets, waits = ({"explicit_bucket_boundaries_advisory": bounds} for bounds in (_BUCKETS, _WAITS))
        about = "Duration of HTTP client requests."
        self._duration = meter.create_histogram("http.client.request.duration", "s", about, **buckets)
        self._wait = meter.create_histogram("alohub.rate_limit.wait", "s", "Waits for the rate limit.", **waits)
        self._remaining = meter.create_gauge("alohub.rate_limit.remaining", "{request}", "What is left of a budget.")
        self._retries = meter.create_counter("alohub.retries", "{retry}", "Retries that were scheduled.")
        self._rate_limited = meter.create_counter("alohub.rate_limited", "{response}", "Answers with status 429.")

    def __call__(self, event: Event) -> None:
        """Make an event a part of a span or of a metric."""
        if not isinstance(event, events.CallEvent):
            return
        route = {"alohub.route": str(event.route)}
        named = {"alohub.tenant.name": event.tenant, "alohub.tenant.id": event.tenant_id}
        whose = {name: value for name, value in named.items() if value is not None}
        match event:
            case events.CallStarted():
                self._start(event, event.operation, {"alohub.operation": event.operation} | whose, {})
            case events.AttemptStarted():
                self._start_attempt(event)
            case events.AttemptFinished():
                self._finish_attempt(event)
            case events.CallFinished():
                self._end(event, {f"alohub.{part}": getattr(event, part) for part in _PARTS}, event.error)
            case events.RateLimitWaited():
                self._wait.record(event.seconds, route)
            case events.RetryScheduled():
                self._retries.add(1, {**route, "error.type": event.reason})
            case events.RateLimited():
                self._rate_limited.add(1, route)
            case events.BudgetSeen():
                scope = {"alohub.scope": event.scope} | whose | (route if event.scope == "route" else {})
                self._remaining.set(event.remaining, scope)
            case _:
                pass

    def _start_attempt(self, event: events.AttemptStarted) -> None:
        url = urlsplit(event.url)
        common = {
            "http.request.method": event.route.method,
            "server.address": url.hostname or "",
            "server.port": url.port or (443 if url.scheme == "https" else 80),
        }
        resent = {"http.request.resend_count": event.resend_count} if event.resend_count else {}
        self._start(
            event, str(event.route), {"url.full": event.url, "url.template": event.route.template} | resent, common
        )

    def _finish_attempt(self, event: events.AttemptFinished) -> None:
        answered = {} if event.status is None else {"http.response.status_code": event.status}
        error = str(event.status) if (event.status or 0) >= _FAILED else event.error
        if common := self._end(event, answered, error):
            self._duration.record(event.seconds, common | answered | ({} if error is None else {"error.type": error}))

    def _start(self, event: events.CallEvent, name: str, attributes: dict[str, Any], common: dict[str, Any]) -> None:
        """Start a span and make it the current one; in that of an attempt, others make none for HTTP."""
        kind, now = self._trace.SpanKind.CLIENT if common else self._trace.SpanKind.INTERNAL, time.time_ns()
        span = self._tracer.start_span(name, kind=kind, attributes=common | attributes, start_time=now)
        context = self._trace.set_span_in_context(span)
        if common:
            context = self._context.set_value(_SUPPRESSED, value=True, context=context)
        self._open[event.call, bool(common)] = _OpenSpan(span, self._context.attach(context), now, common)

    def _end(
        self, event: events.AttemptFinished | events.CallFinished, attributes: dict[str, Any], error: str | None
    ) -> dict[str, Any]:
        """End a span, unless it failed to start; returns its `common` attributes."""
        opened = self._open.pop((event.call, isinstance(event, events.AttemptFinished)), None)
        if opened is None:
            return {}
        span, token, began, common = opened
        if self._trace.get_current_span() is span:  # not where a dropped call is finished elsewhere
            self._context.detach(token)
        span.set_attributes(attributes)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(began + int(event.seconds * 1e9))
        return common
