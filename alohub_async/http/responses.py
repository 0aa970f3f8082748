"""Responses as values: from status, headers and bytes to a payload or an error. Pure: no socket and no event loop.

Field names and codes are from the vendor's page. The spellings `errorCode` and `errorMessage`, and failures under
HTTP 200, were seen in the vendor's published client.
"""

import heapq
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard

import attrs

from alohub_async.codec.decoding import decode_json, read_total
from alohub_async.errors import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestFailedError,
)
from alohub_async.http.redaction import excerpt_of, shown
from alohub_async.http.requests import Request
from alohub_async.printable import printable
from alohub_async.rate_limits.headers import moment_of, timestamp_of

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
MAX_ERROR_BYTES: Final = 1 << 14
"""What is read of the body of a failure: its JSON is short, and of a page of HTML only an excerpt is shown."""

_MAX_MESSAGE: Final = 1000  # characters
_MAX_SHOWN: Final = 100  # characters of a name or a code
_MAX_NAMES: Final = 12  # of an object's fields
_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "X-Kong-Request-Id", "X-Correlation-Id")


class Unread(NamedTuple):
    """Why the body of a success was not read."""

    why: str
    may_retry: bool  # whether another answer may be readable


class Response(NamedTuple):
    """One answer."""

    status: int
    headers: MutableMapping[str, str]  # case-insensitive; they belong to this answer alone and pickle
    body: bytes  # all of it, decompressed; of a failure, at most `MAX_ERROR_BYTES`
    unread: Unread | None = None


@attrs.frozen
class ApiResponse:
    """What `client.request` returns: a successful response of the API.

    Attributes:
        status: HTTP status, 2xx.
        headers: The response's headers, case-insensitive.
        payload: The decoded JSON with its envelope; None for a response without content (204).
        attempts: Transmissions made, 1 or more.
        elapsed: Seconds from the call to the response, including all waits.
    """

    status: int
    headers: Mapping[str, str]
    payload: Any
    attempts: int
    elapsed: float


class ListPayload(NamedTuple):
    """One page of a list, as the API returned it: the records are undecoded."""

    items: Sequence[Any]
    total: int | None  # None if it is missing or invalid
    absent: bool = False  # whether the answer says that there is no such page


Decode: TypeAlias = Callable[[bytes], object]
"""Decodes the body under a success status. It never raises, and returns None unless the body reports success too."""


def retry_after_seconds(headers: Mapping[str, str], *, wall_clock: Callable[[], float]) -> float | None:
    """Seconds that the server asks to wait (`Retry-After`: number, HTTP date or epoch); None if it does not say.

    A moment is compared with the `Date` of the response, or without one with `wall_clock`, in seconds since the epoch.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
        due = moment_of(seconds)
    except ValueError:
        seconds, due = math.nan, timestamp_of(text)
    if due is not None:
        sent = timestamp_of(headers.get("Date", ""))
        return max(0.0, due - (wall_clock() if sent is None else sent))
    return seconds if 0 <= seconds < math.inf else None


def decode_response(
    request: Request,
    response: Response,
    *,
    retry_after: float | None,
    strict: bool = False,
    decode: Decode | None = None,
) -> Any:
    """Return the JSON of a successful response, or the result of `decode`, which is tried first.

    A response is a failure by its status, or by `success` or `error_code` under HTTP 200.
    """
    success = 200 <= response.status < 300
    if response.status in {204, 205}:
        return None
    if success and decode is not None and (decoded := decode(response.body)) is not None:
        return decoded
    if success and response.unread is not None:
        message = f"{request} was answered with HTTP {response.status}, but {response.unread.why}"
        raise APIResponseError(message, status=response.status, undecodable=response.unread.may_retry)
    try:
        payload = decode_json(response.body, strict=strict and success)
    except ValueError:
        if success:
            excerpt = excerpt_of(response.body)
            answer = f"HTTP {response.status} and no JSON, but {excerpt or 'an empty body'}"
            message = f"{request} was answered with {answer}"
            # Without a cause, which would hold the body.
            raise APIResponseError(message, status=response.status, body=excerpt, undecodable=True) from None
        payload = None
    fields = payload if _is_object(payload) else {}
    if success and not _reports_failure(fields):
        return payload
    raise _status_error(request, response, fields, retry_after=retry_after)


def _error_code(fields: Mapping[str, Any]) -> str | None:
    code = fields.get("error_code", fields.get("errorCode"))
    return str(code) if isinstance(code, str | int) and code != "" else None


def _reports_failure(fields: Mapping[str, Any]) -> bool:
    if "success" in fields:
        return fields["success"] not in ("1", 1)  # and True, which equals 1
    return (_error_code(fields) or "SUCCESS").upper() != "SUCCESS"


def _status_error(
    request: Request, response: Response, fields: Mapping[str, Any], *, retry_after: float | None
) -> APIStatusError:
    code, status, headers = _error_code(fields), response.status, response.headers
    # A known code takes precedence over the status. A 429 is the exception: it may come from the gateway, which may not
    # use the codes of the API.
    kind = RateLimitError if status == 429 else _ERROR_BY_CODE.get((code or "").upper()) or _ERROR_BY_STATUS.get(status)
    if kind is None:
        kind = RequestFailedError if status < 300 else InternalServerError if status >= 500 else APIStatusError
    names = ("error_message", "errorMessage", "message", "error")
    message = next((fields[name] for name in names if isinstance(fields.get(name), str) and fields[name]), None)
    if message is None and 300 <= status < 400:
        message = "redirects are not followed, because they could send the key to another host; check the base URL"
    return kind(
        None if message is None else shown(message, _MAX_MESSAGE),
        status=status,
        error_code=None if code is None else shown(code, _MAX_SHOWN),
        request=str(request),
        request_id=next((shown(headers[name], _MAX_SHOWN) for name in _REQUEST_ID_HEADERS if name in headers), None),
        retry_after=retry_after,
        headers=headers,
        body=excerpt_of(response.body),
    )


def read_list(payload: object, *, request: object, is_first: bool) -> ListPayload:
    """Read a list envelope: `{"data": […], "totalRecord": …}`.

    On a page that is not the first, null or an empty object means that there is no such page.
    """
    items: object = payload.get("data") if _is_object(payload) else None
    if not is_first and (payload in (None, {}) or (_is_object(payload) and payload.get("data", "") in (None, {}))):
        return ListPayload([], None, absent=True)
    total = read_total(payload.get("totalRecord")) if _is_object(payload) else None
    if items is None and total == 0:
        return ListPayload([], 0)  # some APIs write an empty list this way
    if not _is_list(items):
        raise _wrong_shape(request, "an object with a list under 'data'", payload)
    if not {*map(type, items)} <= {dict}:
        index = next(index for index, record in enumerate(items) if not _is_object(record))
        raise _wrong_shape(request, f"an object at data[{index}]", items[index])
    return ListPayload(items, total)


def read_record(payload: object, *, id_field: str, request: object) -> dict[str, Any]:
    """Read a single record with an `id_field`: bare as documented, or under `data` as an object or a list of one."""
    record = payload
    if _is_object(record) and id_field not in record:
        record = record.get("data")
        if _is_list(record) and len(record) == 1:
            record = record[0]
    if not _is_object(record) or id_field not in record:
        raise _wrong_shape(request, f"an object with {id_field!r}, bare or under 'data'", payload)
    return record


def read_success(payload: object, *, request: object) -> Mapping[str, Any]:
    """Return the response to a write if it confirms it; reported failures were raised before."""
    if not _is_object(payload) or "success" not in payload:
        raise _wrong_shape(request, "an object with 'success'", payload)
    return payload


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _wrong_shape(request: object, expected: str, got: object) -> APIResponseError:
    kind = "null" if got is None else type(got).__name__
    if _is_object(got):
        names = [printable(name, _MAX_SHOWN) for name in heapq.nsmallest(_MAX_NAMES, got)]
        kind = f"an object with {names}{f' and {len(got) - len(names)} more' if len(got) > len(names) else ''}"
    message = f"{request} was answered with JSON of an unknown shape: expected {expected}, got {kind}"
    return APIResponseError(message, status=200)
