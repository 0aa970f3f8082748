"""The log of the sandbox's requests, one immutable record per transmission, and the messages of failed assertions."""

import json
from collections.abc import Mapping
from typing import Final, TypedDict, Unpack

from attrs import field, frozen
from multidict import CIMultiDictProxy

from alohub_async.plurals import counted
from alohub_async.testing.contract import path_fits, whole_number
from alohub_async.validation import check_count, check_text, validator

_ROWS: Final = 20  # of a table: the latest ones
_BODY: Final = 60  # characters of a body in a table
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# Headers whose values a repr shows. Any other header may carry a key.
_SHOWN: Final = frozenset({"accept", "content-length", "content-type", "host", "user-agent"})


def _redacted(headers: Mapping[str, str]) -> str:
    return repr({name: value if name.lower() in _SHOWN else "…" for name, value in headers.items()})


@frozen
class RecordedRequest:
    """One transmission as received by the sandbox.

    Attributes:
        at: The event loop's time when it arrived and was counted, in seconds; see `latency` of the sandbox.
        method: In capitals.
        path: As sent, without the query.
        route: Method and path template, like `"GET /v1/queues/inbound/{id}"`, the same for both ways of access. A
            route's limit counts it. None for a path that the API does not have.
        query: The first value of each parameter.
        headers: By name in any case. The repr shows the values of a few harmless ones only.
        json: The decoded body; None without one or if it is not JSON.
        status: The status of the response; None until it is sent, and if the connection was dropped.
        tenant_remaining, route_remaining: Requests left in the window afterwards; None if nothing was counted.
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
        """The page of a list request (0 if it has none); None for other requests."""
        if self.method != "GET" or "{id}" in (self.route or ""):
            return None
        return whole_number(self.query.get("page", None if self.route is None else "0"))


_METHOD: Final = {"pattern": f"(?i:{'|'.join(_METHODS)})", "allowed": f"one of {_METHODS}"}
_PATH: Final = {"pattern": r"/([^?#{}]|\{id\})*", "allowed": "like /v1/queues/inbound/{id}, without host and query"}


@frozen(kw_only=True)
class RequestFilter:
    """Selects requests by method (in any case), page of a list, status of the response, decoded body, and path.

    The path is literal (`/v1/queues/inbound/1001226`) or a template (`/v1/queues/inbound/{id}`); the backend's prefix
    `/api` does not matter. A field that is None matches any.
    """

    method: str | None = field(default=None, validator=validator(check_text, optional=True, **_METHOD))
    path: str | None = field(default=None, validator=validator(check_text, optional=True, **_PATH))
    page: int | None = field(default=None, validator=validator(check_count, least=0, optional=True))
    status: int | None = field(default=None, validator=validator(check_count, least=100, most=599, optional=True))
    json: object = None

    def __str__(self) -> str:
        named = {"page": self.page, "status": self.status, "json": self.json}
        parts = [f"{name}={value!r}" for name, value in named.items() if value is not None]
        return " ".join([self.method.upper() if self.method else "any", self.path or "request", *parts])

    def accepts(self, request: RecordedRequest) -> bool:
        """Whether the request matches."""
        if self.method is not None and self.method.upper() != request.method:
            return False
        if self.path is not None and not path_fits(self.path, request.path):
            return False
        return all(getattr(self, name) in (None, getattr(request, name)) for name in ("page", "status", "json"))


class FilterOptions(TypedDict, total=False):
    """The keywords of `Requests.of`."""

    method: str | None
    path: str | None
    page: int | None
    status: int | None
    json: object


class Requests(list[RecordedRequest]):
    """A snapshot of the transmissions, in order of arrival."""

    def of(self, **wanted: Unpack[FilterOptions]) -> "Requests":
        """Those that match all keywords; see `RequestFilter`."""
        return Requests(filter(RequestFilter(**wanted).accepts, self))


def assert_matching(requests: Requests, wanted: RequestFilter, *, times: int | None) -> None:
    """Assert that this number of requests match; None for at least one."""
    __tracebackhide__ = True  # pytest then shows the line of the test
    count = sum(map(wanted.accepts, requests))
    if count != times and (times is not None or not count):
        expected = "at least 1 request" if times is None else counted(times, "request")
        raise AssertionError(f"expected {expected}, received {count}: {wanted}\n{table(requests)}")


def table(requests: Requests) -> str:
    """The requests as lines of text. It shows no headers, and no query parameters but page and size, so no key."""
    if not requests:
        return "No requests were received."
    rows = [_row(number, request) for number, request in enumerate(requests)][-_ROWS:]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left_out = len(requests) - len(rows)
    return "\n".join(["Received requests:", *([f"… {left_out} earlier"] if left_out else []), *lines])


def _row(number: int, request: RecordedRequest) -> tuple[str, ...]:
    query = "&".join(f"{name}={request.query[name]}" for name in ("page", "size") if name in request.query)
    body = "" if request.json is None else json.dumps(request.json, ensure_ascii=False)
    return (
        f"[{number}]",
        request.method,
        f"{request.path}?{query}" if query else request.path,
        "no response" if request.status is None else str(request.status),
        body if len(body) <= _BODY else f"{body[:_BODY]}…",
    )
