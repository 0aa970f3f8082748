"""The log of the sandbox's requests, one immutable record per transmission, and the messages of failed assertions."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypedDict, Unpack, cast

from attrs import field, frozen
from attrs.validators import optional
from multidict import CIMultiDictProxy, MultiMapping

from alohub_async.plurals import counted
from alohub_async.testing.contract import fields_of, path_fits, whole_number
from alohub_async.testing.data import check_json
from alohub_async.validation import check_count, check_flag, check_instance, check_text, validator

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
        query: By name, with repeated values (`query.getall`), as sent.
        headers: By name in any case. The repr shows the values of a few harmless ones only.
        json: The decoded body; None without one or if it is not JSON.
        body: The bytes as received.
        tenant_id: The tenant of its key; of an unknown key, the one that `X-Tenant-ID` names.
        status: The status of the response; None until it is sent, and if the connection was dropped.
        tenant_remaining, route_remaining: Requests left in the window afterwards; None if nothing was counted.
    """

    at: float
    method: str
    path: str
    route: str | None
    query: MultiMapping[str]
    headers: CIMultiDictProxy[str] = field(repr=_redacted)
    json: Any = None
    body: bytes = field(default=b"", repr=False)
    tenant_id: str | None = None
    status: int | None = None
    tenant_remaining: int | None = None
    route_remaining: int | None = None

    @property
    def page(self) -> int | None:
        """The page of a list request, as sent (the first one if it has none); None for other requests."""
        if self.method == "POST":
            page = fields_of(self.json).get("page", self.route and 1)
            return page if type(page) is int else None
        if self.method != "GET" or "{id}" in (self.route or ""):
            return None
        return whole_number(self.query.get("page", None if self.route is None else "0"))

    @property
    def api_key(self) -> str | None:
        """The key as sent, in either header."""
        return self.headers.get("X-Api-Key", self.headers.get("Authorization"))


Predicate: TypeAlias = Callable[[RecordedRequest], bool]

_COMPARED: Final = ("page", "status", "api_key", "tenant_id")
_METHOD: Final = {"pattern": f"(?i:{'|'.join(_METHODS)})", "allowed": f"one of {_METHODS}"}
_TEXT: Final[Any] = validator(check_text, optional=True, pattern="(?s:.+)", allowed="a string")
CALLABLE: Final[Any] = optional(validator(check_instance, kind=cast("type", Callable)))
_PATH: Final = {"pattern": r"/([^?#{}]|\{id\})*", "allowed": "like /v1/queues/inbound/{id}, without host and query"}


@frozen(kw_only=True)
class RequestFilter:
    """Selects requests by method (in any case), path, page of a list, status, decoded body, key and tenant.

    The path is literal (`/v1/queues/inbound/1001226`) or a template (`/v1/queues/inbound/{id}`); the backend's prefix
    `/api` does not matter. `when` is a function of the `RecordedRequest`. A field that is None matches any.
    """

    method: str | None = field(default=None, validator=validator(check_text, optional=True, **_METHOD))
    path: str | None = field(default=None, validator=validator(check_text, optional=True, **_PATH))
    page: int | None = field(default=None, validator=validator(check_count, least=0, optional=True))
    status: int | None = field(default=None, validator=validator(check_count, least=100, most=599, optional=True))
    json: object = field(default=None, validator=validator(check_json))
    api_key: str | None = field(default=None, repr=False, validator=_TEXT)
    tenant_id: str | None = field(default=None, validator=_TEXT)
    when: Predicate | None = field(default=None, validator=CALLABLE)

    def __str__(self) -> str:
        values = [(name, getattr(self, name)) for name in ("page", "status", "json", "tenant_id", "when")]
        parts = [f"{name}={value!r}" for name, value in values if value is not None]
        parts += [] if self.api_key is None else ["with one key"]
        return " ".join([self.method.upper() if self.method else "any", self.path or "request", *parts])

    def accepts(self, request: RecordedRequest) -> bool:
        """Whether the request matches."""
        if self.method is not None and self.method.upper() != request.method:
            return False
        if self.path is not None and not path_fits(self.path, request.path):
            return False
        # As text, in which 1 is not true.
        if self.json is not None and json.dumps(self.json, sort_keys=True) != json.dumps(request.json, sort_keys=True):
            return False
        if any(getattr(self, name) not in (None, getattr(request, name)) for name in _COMPARED):
            return False
        return self.when is None or check_flag("the result of when", self.when(request))


class FilterOptions(TypedDict, total=False):
    """The fields of `RequestFilter`."""

    method: str | None
    path: str | None
    page: int | None
    status: int | None
    json: object
    api_key: str | None
    tenant_id: str | None
    when: Predicate | None


class Requests(list[RecordedRequest]):
    """A snapshot of the transmissions, in order of arrival."""

    check: Callable[[RequestFilter], object] | None = None
    """Refuses a filter that no request can match."""

    def of(self, **wanted: Unpack[FilterOptions]) -> "Requests":
        """Those that match all keywords; see `RequestFilter`."""
        chosen = RequestFilter(**wanted)
        found = Requests(filter(chosen.accepts, self))
        found.check = self.check
        if not found and self.check is not None:
            self.check(chosen)
        return found


def mismatch(requests: Requests, wanted: RequestFilter, times: int | None) -> str | None:
    """What is wrong if not exactly this number of requests match (None: at least one); None if they do."""
    count = sum(map(wanted.accepts, requests))
    if count == times or (times is None and count):
        return None
    expected = "at least 1 request" if times is None else counted(times, "request")
    return f"expected {expected}, received {count}: {wanted}"


def assert_matching(requests: Requests, wanted: RequestFilter, *, times: int | None) -> None:
    """Assert that this number of requests match; None for at least one."""
    __tracebackhide__ = True  # pytest then shows the line of the test
    problem = mismatch(requests, wanted, times)
    if problem is not None:
        raise AssertionError(f"{problem}\n{table(requests)}")


def table(requests: Requests) -> str:
    """The requests as lines of text. It shows no headers, and no query parameters but page and size, so no key."""
    if not requests:
        return "No requests were received."
    rows = [(f"[{number}]", *row_of(request)) for number, request in enumerate(requests)][-_ROWS:]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left_out = len(requests) - len(rows)
    return "\n".join(["Received requests:", *([f"… {left_out} earlier"] if left_out else []), *lines])


def row_of(request: RecordedRequest) -> tuple[str, ...]:
    """Method, path, status and body for people to read, without headers."""
    query = "&".join(f"{name}={request.query[name]}" for name in ("page", "size") if name in request.query)
    body = "" if request.json is None else json.dumps(request.json, ensure_ascii=False)
    return (
        request.method,
        f"{request.path}?{query}" if query else request.path,
        "no response" if request.status is None else str(request.status),
        body if len(body) <= _BODY else f"{body[:_BODY]}…",
    )
