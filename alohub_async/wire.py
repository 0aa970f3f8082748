"""What goes over the wire and what comes back, without a socket: pure functions over values.

Field names and codes are from the vendor's page; the spellings `errorCode` and `errorMessage`, and failures under HTTP
200, were seen in the vendor's published client.
"""

import functools
import json
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeGuard, cast
from urllib.parse import quote, unquote, urlencode

import attrs
from yarl import URL

from alohub_async.config import ClientConfig, Endpoint, check_header_value
from alohub_async.errors import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestFailedError,
)
from alohub_async.routes import Route

_ERROR_BY_CODE: Final[dict[str, type[APIStatusError]]] = {
    "INVALID_INPUT": BadRequestError,
    "UNAUTHORIZED": AuthenticationError,
    "INSUFFICIENT_SCOPE": PermissionDeniedError,
    "NOT_FOUND": NotFoundError,
    "RATE_LIMIT_EXCEEDED": RateLimitError,
    "FAIL": InternalServerError,
}
_ERROR_BY_STATUS: Final[dict[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}
_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "X-Kong-Request-Id", "X-Correlation-Id")
_MAX_DIGITS: Final = 18  # what fits a 64-bit number
_EXCERPT: Final = 500  # characters of a body that an error carries
_SECRET_MIN: Final = 4  # a shorter "key" would blot out ordinary words


class Request:
    """One request, without its headers: those hold the key and are made for each attempt.

    Attributes:
        route: The limiter's key.
        url: The whole URL, encoded.
        body: JSON, or None.
    """

    __slots__ = ("body", "route", "url")

    def __init__(self, route: Route, url: URL, body: bytes | None = None) -> None:
        self.route: Route = route
        self.url: URL = url
        self.body: bytes | None = body

    def __str__(self) -> str:
        return f"{self.route.method} {self.url.raw_path_qs}"


class Response:
    """One answer, read to its end.

    Attributes:
        status: HTTP status.
        headers: Case-insensitive; they are this answer's own and pickle.
        body: All of it, decompressed.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: MutableMapping[str, str], body: bytes) -> None:
        self.status: int = status
        self.headers: MutableMapping[str, str] = headers
        self.body: bytes = body


@attrs.frozen
class ApiResponse:
    """What `client.request` returns: a successful answer of the API.

    Attributes:
        status: HTTP status, 2xx.
        headers: The answer's headers, case-insensitive.
        payload: The decoded JSON, envelope and all; None for an answer without content (204).
        attempts: Transmissions it took, 1 or more.
        elapsed: Seconds from the call to the answer, with all waits.
    """

    status: int
    headers: Mapping[str, str]
    payload: Any
    attempts: int
    elapsed: float


class ListPayload(NamedTuple):
    """One page of a list, as the API returned it.

    Attributes:
        items: The records, undecoded.
        total: `totalRecord`, or None if the answer has none that makes sense.
    """

    items: Sequence[Any]
    total: int | None


# --- requests ---


def _path(template: str, values: Mapping[str, object]) -> str:
    # yarl would let "../.." escape and "x/y" become two segments, so each value is quoted whole.
    segments = template.format_map({name: quote(str(value), safe="") for name, value in values.items()})
    check_path(segments)
    return segments


def check_path(path: object) -> str:
    """Return `path` if it can be nothing but a path below the base URL.

    Raises:
        InvalidArgumentError: It is not.
    """
    if not isinstance(path, str):
        raise InvalidArgumentTypeError(f"path must be a string; {type(path).__name__} was given")
    # Servers differ in when they decode "%2e", "%2f" and "%5c", so dot segments are refused however they are written.
    try:
        decoded = unquote(path, errors="strict").replace("\\", "/").split("/")
    except UnicodeDecodeError:  # it has no text, and libraries differ in what they make of it
        decoded = []
    if (
        not decoded
        or not path.startswith("/")
        or "" in path.split("/")[1:]
        or {".", ".."} & set(decoded)
        or not path.isprintable()
        or set("?#\\ ") & set(path)
    ):
        raise InvalidArgumentError(
            "path must look like '/v1/queues/inbound': begin with '/', and hold no empty, '.' or '..' segment, no '?',"
            f" '#', '\\' or space (query values go into params), and no escape that is not UTF-8; {path!r} was given"
        )
    return path


def _query(params: Mapping[str, Any]) -> str:
    for name, value in params.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InvalidArgumentTypeError(f"params[{name!r}] must be a string or an int; {value!r} was given")
    return urlencode(params)


def build_request(
    route: Route,
    endpoint: Endpoint,
    *,
    path: str | None = None,
    path_values: Mapping[str, object] | None = None,
    params: Mapping[str, str | int] | None = None,
    json: object = None,
) -> Request:
    """Make the request for a route.

    Args:
        route: Which endpoint.
        endpoint: Where the API is.
        path: The literal path, if the route does not name it already.
        path_values: What to put into the route's template; quoted whole.
        params: The query.
        json: The body, if not None.

    Raises:
        InvalidArgumentError: A path that could leave the base URL, a query value that is neither string nor int, or a
            body that JSON cannot say.
    """
    try:
        where = quote(path, safe="/%:@!$&'()*+,;=~") if path is not None else _path(route.template, path_values or {})
        query = f"?{_query(params)}" if params else ""
    except UnicodeEncodeError as exc:  # a lone surrogate
        raise InvalidArgumentError(f"path and params must be text that UTF-8 can say: {exc}") from exc
    url = URL(f"{str(endpoint.base_url).rstrip('/')}{where}{query}", encoded=True)
    return Request(route, url, None if json is None else _encode(json))


class PageRequests:
    """Asks for the pages of a list by number and size."""

    def __init__(self, first: Request) -> None:
        """Make no request yet.

        Args:
            first: Without either; its query stays.
        """
        self._route = first.route
        self._url = first.url
        self._bare = not first.url.raw_query_string
        self._asked = (0, 0)
        self._next: Request | None = None

    def __call__(self, page: int, size: int) -> Request:
        """The request for this page."""
        prepared, (last, last_size) = self._next, self._asked
        self._asked, self._next = (page, size), None
        if prepared is not None and page == last + 1 and size == last_size:
            return prepared
        return self._make(page, size)

    def prepare(self) -> None:
        """Make the request for the page behind the one that was asked for last, as there is time."""
        if self._next is None:
            page, size = self._asked
            self._next = self._make(page + 1, size)

    def _make(self, page: int, size: int) -> Request:
        query = f"page={page}&size={size}"
        # A query of its own may hold what yarl would write otherwise.
        return Request(
            self._route, self._url.with_query(query) if self._bare else URL(f"{self._url}&{query}", encoded=True)
        )


def _encode(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidArgumentError(f"json must be what JSON can say; {type(value).__name__} was given: {exc}") from exc


def request_headers(request: Request, config: ClientConfig, key: str) -> dict[str, str]:
    """The headers of one attempt.

    Raises:
        ConfigurationError: A key that cannot stand in a header.
    """
    check_header_value("api_key", key)
    endpoint = config.endpoint
    headers = {"Accept": "application/json", "User-Agent": config.user_agent}
    if endpoint.key_header in {"x-api-key", "both"}:
        headers["X-Api-Key"] = key
    if endpoint.key_header in {"authorization", "both"}:
        headers["Authorization"] = key
    if config.tenant_id is not None and endpoint.send_tenant:
        headers["X-Tenant-ID"] = config.tenant_id
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


class HeaderMaker:
    """Makes the headers of attempts, as `request_headers` does; anew only when the key has changed."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._key: str | None = None
        self._made: dict[bool, Mapping[str, str]] = {}  # by whether there is a body

    def headers(self, request: Request, key: str) -> Mapping[str, str]:
        """The headers of one attempt.

        Raises:
            ConfigurationError: A key that cannot stand in a header.
        """
        has_body = request.body is not None
        if key != self._key or has_body not in self._made:
            made = request_headers(request, self._config, key)
            self._made = {**(self._made if key == self._key else {}), has_body: made}
            self._key = key
        return self._made[has_body]


# --- answers ---


def retry_after_seconds(headers: Mapping[str, str], *, wall_clock: Callable[[], float]) -> float | None:
    """Seconds the server asks to wait (`Retry-After`: integer, decimal or HTTP date); None if it does not say.

    Args:
        headers: Of the answer, case-insensitive.
        wall_clock: Tells the seconds since the epoch, for a date in an answer that has no `Date` of its own to compare
            it with.
    """
    if "Retry-After" not in headers:
        return None
    text = headers["Retry-After"].strip()
    try:
        seconds = float(text)
    except ValueError:
        due = _timestamp(text)
        if due is None:
            return None
        sent = _timestamp(headers.get("Date", ""))
        return max(0.0, due - (wall_clock() if sent is None else sent))
    return seconds if 0 <= seconds < math.inf else None


def _timestamp(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # HTTP dates are GMT whatever they say, and parsedate gives a naive one for "-0000".
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


@functools.cache
def _fast_decode() -> Callable[[bytes], Any] | None:
    """The decoder of the extra `speed`, if it is installed."""
    try:
        import msgspec  # noqa: PLC0415  (optional, and not needed before the first answer)
    except ImportError:
        return None
    return cast("Callable[[bytes], Any]", msgspec.json.decode)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)  # `json.loads` would make one each time


def decode_json(body: bytes) -> Any:
    """Decode JSON; the same result whether the extra `speed` is installed or not.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    fast = _fast_decode()
    if fast is not None:
        try:
            return fast(body)
        except Exception:  # noqa: BLE001, S110  (what it refuses, the standard library accepts or refuses for good)
            pass
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def decode_response(
    request: Request,
    response: Response,
    *,
    secret: str,
    retry_after: float | None,
    decode: Callable[[bytes], object] | None = None,
) -> Any:
    """Return the JSON of a successful answer, or what `decode` makes of it.

    Args:
        request: What was asked, for the error.
        response: What came.
        secret: The key; it is struck out of whatever an error shows.
        retry_after: What `retry_after_seconds` made of the answer, for the error.
        decode: Tried first on the body of an answer whose status is a success. It returns None, and raises nothing,
            unless the body says that it is a success as well.

    Raises:
        APIStatusError: The answer is a failure: by its status, or by `success` or `error_code` under HTTP 200.
        APIResponseError: It is no failure and no JSON either.
    """
    success = 200 <= response.status < 300
    if response.status in {204, 205}:
        return None
    if success and decode is not None and (decoded := decode(response.body)) is not None:
        return decoded
    try:
        payload = decode_json(response.body)
    except ValueError as exc:
        if success:
            excerpt = _excerpt(response.body, secret)
            raise APIResponseError(
                f"{_redacted(str(request), secret)} was answered with HTTP {response.status} and no JSON,"
                f" but {excerpt or 'an empty body'}",
                status=response.status,
                body=excerpt,
                undecodable=True,
            ) from exc
        payload = None
    fields = payload if _is_object(payload) else {}
    if success and not _reports_failure(fields):
        return payload
    raise _status_error(request, response, fields, secret=secret, retry_after=retry_after)


def _error_code(fields: Mapping[str, Any]) -> str | None:
    code = fields.get("error_code", fields.get("errorCode"))
    return str(code) if isinstance(code, str | int) and code != "" else None


def _reports_failure(fields: Mapping[str, Any]) -> bool:
    if "success" in fields:
        return fields["success"] not in ("1", 1)  # and True, which equals 1
    return (_error_code(fields) or "SUCCESS").upper() != "SUCCESS"


def _status_error(
    request: Request, response: Response, fields: Mapping[str, Any], *, secret: str, retry_after: float | None
) -> APIStatusError:
    code = _error_code(fields)
    status = response.status
    # A known code decides, whatever the status; but 429 is a matter of the gateway, which may not know the API's codes.
    kind = RateLimitError if status == 429 else _ERROR_BY_CODE.get((code or "").upper()) or _ERROR_BY_STATUS.get(status)
    if kind is None and status < 300:
        kind = RequestFailedError
    elif kind is None:
        kind = InternalServerError if status >= 500 else APIStatusError
    names = ("error_message", "errorMessage", "message", "error")
    message = next((fields[name] for name in names if isinstance(fields.get(name), str) and fields[name]), None)
    if message is None and 300 <= status < 400:
        message = "redirects are not followed, they would carry the key away; check the base URL"
    return kind(
        None if message is None else _redacted(message, secret),
        status=status,
        error_code=None if code is None else _redacted(code, secret),
        request=_redacted(str(request), secret),
        request_id=next(
            (_redacted(response.headers[n], secret) for n in _REQUEST_ID_HEADERS if n in response.headers), None
        ),
        retry_after=retry_after,
        headers=_redacted_headers(response.headers, secret),
        body=_excerpt(response.body, secret),
    )


def _redacted(text: str, secret: str) -> str:
    if len(secret) >= _SECRET_MIN:
        for spelling in _spellings(secret):
            text = text.replace(spelling, "[redacted]")
    return text.encode(errors="backslashreplace").decode()  # half a surrogate pair could not be printed


@functools.lru_cache(maxsize=4)
def _spellings(secret: str) -> Sequence[str]:
    """How an answer may repeat the key: as it is, or as JSON, HTML or a URL writes it; the longest first."""
    import html  # noqa: PLC0415  (it has a table of all entities, and few programs see an error)

    in_json = json.dumps(secret)[1:-1]
    forms = {secret, in_json, in_json.replace("/", "\\/"), html.escape(secret), quote(secret, safe="")}
    return sorted(forms, key=len, reverse=True)


def _redacted_headers(headers: MutableMapping[str, str], secret: str) -> Mapping[str, str]:
    for name, value in list(headers.items()):
        headers[name] = _redacted(value, secret)
    return headers


def _excerpt(body: bytes, secret: str) -> str:
    # Redacted before it is cut, so that no half of a key is left at the end.
    text = _redacted(body.decode(errors="replace"), secret)[:_EXCERPT]
    return "".join(char if char.isprintable() else " " for char in text).strip()


def read_list(payload: object, *, request: object) -> ListPayload:
    """Read a list envelope: `{"data": […], "totalRecord": …}`.

    Args:
        payload: The decoded answer.
        request: What was asked, for the error.

    Raises:
        APIResponseError: There is no list of objects under `data`.
    """
    items: object = payload.get("data") if _is_object(payload) else None
    total = read_total(payload.get("totalRecord")) if _is_object(payload) else None
    if items is None and total == 0:
        return ListPayload([], 0)  # how some write an empty list
    if not _is_list(items):
        raise _wrong_shape(request, "an object with a list under 'data'", payload)
    if not {*map(type, items)} <= {dict}:
        index = next(index for index, record in enumerate(items) if not _is_object(record))
        raise _wrong_shape(request, f"an object at data[{index}]", items[index])
    return ListPayload(items, total)


def read_record(payload: object, *, id_field: str, request: object) -> dict[str, Any]:
    """Read a single record: bare as documented, or enveloped under `data` as an object or a list of one.

    Args:
        payload: The decoded answer.
        id_field: The field by which a record is known.
        request: What was asked, for the error.

    Raises:
        APIResponseError: There is no such record.
    """
    record = payload
    if _is_object(record) and id_field not in record:
        record = record.get("data")
        if _is_list(record) and len(record) == 1:
            record = record[0]
    if not _is_object(record) or id_field not in record:
        raise _wrong_shape(request, f"an object with {id_field!r}, bare or under 'data'", payload)
    return record


def read_success(payload: object, *, request: object) -> Mapping[str, Any]:
    """Read the answer to a write: an envelope that says it was done. Failures were raised before.

    Args:
        payload: The decoded answer.
        request: What was asked, for the error.

    Raises:
        APIResponseError: The answer does not say so.
    """
    if not _is_object(payload) or "success" not in payload:
        raise _wrong_shape(request, "an object with 'success'", payload)
    return payload


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def read_total(value: object) -> int | None:
    """The total that a `totalRecord` tells; None if it makes no sense."""
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    return None


def _wrong_shape(request: object, expected: str, got: object) -> APIResponseError:
    if _is_object(got):
        shown = f"an object with {sorted(map(str, got))}"
    else:
        shown = "null" if got is None else type(got).__name__
    return APIResponseError(
        f"{request} was answered with JSON of an unknown shape: expected {expected}, got {shown}", status=200
    )
