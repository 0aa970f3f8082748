"""OpenTelemetry (extra `otel`): a span for each call and for each of its attempts, and metrics.

    client = AlohubClient(key, on_event=OpenTelemetry())

A call is a span of kind INTERNAL, named by its operation; its attributes say how its time divides. Each attempt is a
span of kind CLIENT below it, by the stable conventions for HTTP. Where aiohttp is instrumented as well, it makes no
second span of these attempts; its spans of other requests stay. No trace context is sent to the vendor.

| metric | kind | attributes |
|---|---|---|
| `http.client.request.duration`, s | histogram | those of the conventions |
| `alohub.rate_limit.wait`, s | histogram | route |
| `alohub.rate_limit.remaining` | gauge | tenant, scope; the route, if it is the scope |
| `alohub.retries` | counter | route, reason |
| `alohub.rate_limited` | counter | route |
"""

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from alohub_async._version import __version__
from alohub_async.errors import ConfigurationError
from alohub_async.events import (
    AttemptFinished,
    AttemptStarted,
    BudgetSeen,
    CallEvent,
    CallFinished,
    CallStarted,
    Event,
    RateLimited,
    RateLimitWaited,
    RetryScheduled,
)

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, SpanKind, TracerProvider

_NAME: Final = "alohub_async"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)  # of the conventions
_WAITS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120)
# By these, instrumentations of HTTP know that they are not wanted: the name in the API package, and that of older ones.
_SUPPRESSED: Final = "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"
_SUPPRESSED_ALL: Final = "suppress_instrumentation"
_PORTS: Final = {"http": 80, "https": 443}


class OpenTelemetry:
    """A listener of one client's or several clients' events that makes spans and metrics."""

    def __init__(
        self, *, tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
    ) -> None:
        """Make a listener.

        Args:
            tracer_provider: Where spans go; None for the global one.
            meter_provider: Where metrics go; None for the global one.

        Raises:
            ConfigurationError: The extra `otel` is not installed.
        """
        try:
            from opentelemetry import context, metrics, trace
        except ImportError:
            needed = "spans and metrics need opentelemetry-api; run: pip install 'alohub-async[otel]'"
            raise ConfigurationError(needed) from None
        self._context, self._trace = context, trace
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._suppressed: tuple[str, ...] = (getattr(context, _SUPPRESSED, _SUPPRESSED_ALL), _SUPPRESSED_ALL)
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._wait = meter.create_histogram(
            "alohub.rate_limit.wait",
            "s",
            "Time that requests waited for the rate limit.",
            explicit_bucket_boundaries_advisory=_WAITS,
        )
        self._remaining = meter.create_gauge("alohub.rate_limit.remaining", "{request}", "What is left of a budget.")
        self._retries = meter.create_counter("alohub.retries", "{retry}", "Attempts that were scheduled again.")
        self._rate_limited = meter.create_counter("alohub.rate_limited", "{response}", "Answers with status 429.")
        self._open: dict[int, list[_OpenSpan]] = {}  # the spans of each call, the innermost last

    def __call__(self, event: Event) -> None:
        """Make what an event says a part of a span or of a metric."""
        if isinstance(event, CallStarted):
            attributes = {"alohub.operation": event.operation, "url.template": event.route.template}
            if event.tenant_id is not None:
                attributes["alohub.tenant.id"] = event.tenant_id
            self._start(event, event.operation, self._trace.SpanKind.INTERNAL, attributes)
        elif isinstance(event, AttemptStarted):
            self._start_attempt(event)
        elif isinstance(event, AttemptFinished):
            self._finish_attempt(event)
        elif isinstance(event, CallFinished):
            parts = ("attempts", "rate_limit_wait", "connection_wait", "backoff", "wire")
            attributes = {f"alohub.{name}": getattr(event, name) for name in parts}
            self._end(event, attributes, event.error)
        elif isinstance(event, CallEvent):
            self._count(event)

    def _count(self, event: CallEvent) -> None:
        """Record what is no span."""
        route = {"alohub.route": str(event.route)}
        if isinstance(event, RateLimitWaited):
            self._wait.record(event.seconds, route)
        elif isinstance(event, RetryScheduled):
            self._retries.add(1, {**route, "error.type": event.reason})
        elif isinstance(event, RateLimited):
            self._rate_limited.add(1, route)
        elif isinstance(event, BudgetSeen):
            of_route = route if event.scope == "route" else {}
            whose = {"alohub.tenant.id": event.tenant_id or "", "alohub.scope": event.scope, **of_route}
            self._remaining.set(event.remaining, whose)

    def _start_attempt(self, event: AttemptStarted) -> None:
        url = urlsplit(event.url)
        common = {
            "http.request.method": event.route.method,
            "server.address": url.hostname or "",
            "server.port": url.port or _PORTS.get(url.scheme, 0),
        }
        attributes = {**common, "url.full": event.url, "url.template": event.route.template}
        if event.resend_count:
            attributes["http.request.resend_count"] = event.resend_count
        self._start(event, str(event.route), self._trace.SpanKind.CLIENT, attributes, common)

    def _finish_attempt(self, event: AttemptFinished) -> None:
        answered = {} if event.status is None else {"http.response.status_code": event.status}
        failed = event.status is not None and event.status >= HTTPStatus.BAD_REQUEST
        error = str(event.status) if failed else event.error
        common = self._end(event, answered, error)
        problem = {} if error is None else {"error.type": error}
        self._duration.record(event.seconds, {**common, **answered, **problem})

    def _start(
        self,
        event: CallEvent,
        name: str,
        kind: "SpanKind",
        attributes: dict[str, Any],
        common: dict[str, Any] | None = None,
    ) -> None:
        """Start a span and make it the current one; within one with `common` attributes, others make none for HTTP."""
        now = time.time_ns()
        span = self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=now)
        context = self._trace.set_span_in_context(span)
        for key in () if common is None else self._suppressed:
            context = self._context.set_value(key, value=True, context=context)
        opened = _OpenSpan(span, self._context.attach(context), now, common or {})
        self._open.setdefault(event.call, []).append(opened)

    def _end(
        self, event: AttemptFinished | CallFinished, attributes: dict[str, Any], error: str | None
    ) -> dict[str, Any]:
        """End the innermost span of a call; returns its `common` attributes."""
        spans = self._open[event.call]
        span, token, began, common = spans.pop()
        if not spans:
            del self._open[event.call]
        if self._trace.get_current_span() is span:  # not where a dropped call is finished elsewhere
            self._context.detach(token)
        span.set_attributes(attributes)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(began + int(event.seconds * 1e9))
        return common


class _OpenSpan(NamedTuple):
    span: "Span"
    token: "Token[Context]"  # to make the span before it the current one again
    began: int  # in nanoseconds
    common: dict[str, Any]
