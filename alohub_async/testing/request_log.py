"""What the sandbox was asked: one immutable record per transmission."""

from collections.abc import Mapping
from typing import Final

from attrs import define, evolve, field, frozen
from multidict import CIMultiDictProxy

from alohub_async.testing.contract import Answer, strip_prefix

# Headers whose values a repr shows; of all others (a key may travel in any) only the names.
_SHOWN: Final = frozenset({"accept", "content-length", "content-type", "host", "user-agent"})


def _redacted(headers: Mapping[str, str]) -> str:
    return repr({name: value if name.lower() in _SHOWN else "…" for name, value in headers.items()})


@frozen
class RecordedRequest:
    """One transmission as it reached the sandbox.

    Attributes:
        at: The event loop's time at which it arrived (and was counted), in seconds; see `latency` of the sandbox.
        method: In capitals.
        path: As sent, without the query.
        route: Method and path template, like `"GET /v1/queues/inbound/{id}"`: the same for both ways of access, and
            what a route's limit counts. None for a path the API does not have.
        query: The first value of each parameter.
        headers: By name in any case. The repr shows the values of a few harmless ones only.
        json: The decoded body; None without one or when it was not JSON.
        status: The status it was answered; None while it waits, or when the connection was dropped without a status.
        tenant_remaining: What the tenant's window had left after it; None when nothing was counted.
        route_remaining: What the route's window had left after it.
    """

    at: float
    method: str
    path: str
    route: str | None
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str] = field(repr=_redacted)
    json: object = None
    status: int | None = None
    tenant_remaining: int | None = None
    route_remaining: int | None = None

    @property
    def page(self) -> int | None:
        """The page of a list request (0 when it named none); None for other requests."""
        if self.method != "GET" or self.route is None or "{id}" in self.route:
            return None
        text = self.query.get("page", "0")
        return int(text) if text.isascii() and text.isdigit() else None


@frozen(kw_only=True)
class RequestFilter:
    """Selects requests; a field that is None matches any.

    Attributes:
        method: The method, in any case.
        path: A literal path (`/v1/queues/inbound/1001226`) or a template (`/v1/queues/inbound/{id}`); the backend's
            prefix `/api` does not matter.
        page: The page of a list request.
        status: The status it was answered.
        json: The decoded body.
    """

    method: str | None = None
    path: str | None = None
    page: int | None = None
    status: int | None = None
    json: object = None

    def __str__(self) -> str:
        """Like `PUT /v1/queues/inbound/{id}`, and what else is asked of the request."""
        named = {"page": self.page, "status": self.status, "json": self.json}
        parts = [f"{name}={value!r}" for name, value in named.items() if value is not None]
        return " ".join([self.method.upper() if self.method else "any", self.path or "request", *parts])

    def accepts(self, request: RecordedRequest) -> bool:
        """Whether the request matches."""
        template = request.route.partition(" ")[2] if request.route else None
        return (
            (self.method is None or self.method.upper() == request.method)
            and (self.path is None or strip_prefix(self.path) in {strip_prefix(request.path), template})
            and (self.page is None or self.page == request.page)
            and (self.status is None or self.status == request.status)
            and (self.json is None or self.json == request.json)
        )


class Requests(list[RecordedRequest]):
    """A snapshot of the transmissions, in order of arrival."""

    def of(
        self,
        *,
        method: str | None = None,
        path: str | None = None,
        page: int | None = None,
        status: int | None = None,
        json: object = None,
    ) -> "Requests":
        """Those that match all given; see `RequestFilter`."""
        return self.matching(RequestFilter(method=method, path=path, page=page, status=status, json=json))

    def matching(self, wanted: RequestFilter) -> "Requests":
        """Those the filter accepts."""
        return Requests(request for request in self if wanted.accepts(request))


@define(eq=False)
class RequestLog:
    """The requests in order of arrival, whether answered yet or not."""

    _records: dict[int, RecordedRequest] = field(init=False, factory=dict[int, RecordedRequest])
    _next: int = field(init=False, default=0)

    def arrived(self, request: RecordedRequest) -> int:
        """Write the request down; returns the number to give back to `answered`."""
        self._next += 1
        self._records[self._next] = request
        return self._next

    def answered(self, number: int, answer: Answer) -> None:
        """Record its answer, unless the log was cleared in between."""
        if number in self._records:
            self._records[number] = evolve(
                self._records[number],
                status=None if answer.cut == "before" else answer.status,
                tenant_remaining=answer.tenant_remaining,
                route_remaining=answer.route_remaining,
            )

    def requests(self) -> Requests:
        """All of them."""
        return Requests(self._records.values())

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()
