"""Every exception this package raises on purpose, as one tree.

    AlohubError
    ├── ConfigurationError               a client that cannot work: no key, a bad base URL, … (also ValueError)
    ├── InvalidArgumentError             refused before anything was sent (also ValueError)
    │   └── InvalidArgumentTypeError     … because of its type (also TypeError)
    ├── ClientClosedError                the client was used after it was closed
    ├── RateLimitWaitError               the rate limit would have made the call wait longer than it may
    ├── PageDriftError                   a list moved while it was walked
    ├── ConflictError                    a record is not as the caller expected it
    ├── FileError                        a file cannot be written or read
    ├── APIConnectionError               no complete answer came
    │   └── APITimeoutError              … in time
    │       └── DeadlineExceededError    … within the call's deadline, over attempts and waits
    ├── APIResponseError                 an answer came and is not what the API documents
    └── APIStatusError                   the API said no
        ├── BadRequestError              400, INVALID_INPUT
        ├── AuthenticationError          401, UNAUTHORIZED
        ├── PermissionDeniedError        403, INSUFFICIENT_SCOPE
        ├── NotFoundError                404, NOT_FOUND
        ├── RateLimitError               429, RATE_LIMIT_EXCEEDED
        ├── InternalServerError          5xx, FAIL
        └── RequestFailedError           HTTP 200 whose `success` is not "1"

All of them pickle and copy whole, and none shows the API key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _rebuild(cls: type["AlohubError"], args: tuple[object, ...], state: dict[str, Any]) -> "AlohubError":
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class AlohubError(Exception):
    """The root of the tree: `except AlohubError` catches whatever this package raises on purpose.

    Attributes:
        resume_token: Set on errors raised while a list is iterated: hand it to `list_inbound(token=…)` to go on at the
            item that could not be had. None elsewhere.
        attempts: Transmissions that were made for the call that failed; 0 if nothing was sent.
    """

    resume_token: str | None = None
    attempts: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which fails for every class with keyword-only arguments.
        return _rebuild, (type(self), self.args, self.__dict__)


class ConfigurationError(AlohubError, ValueError):
    """The client cannot be made, or its key cannot be had, from what was given."""


class InvalidArgumentError(AlohubError, ValueError):
    """An argument was refused before anything was sent."""


class InvalidArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument of a wrong type was refused before anything was sent."""


class ClientClosedError(AlohubError):
    """The client was closed; make a new one."""


class RateLimitWaitError(AlohubError):
    """The rate limit would have made the call wait longer than it may; nothing was sent.

    Attributes:
        wait: Seconds the call would have had to wait, as known when it gave up; `math.inf` if only the next answer
            could tell.
    """

    def __init__(self, message: str, *, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class PageDriftError(AlohubError):
    """The list moved while it was walked, so records may be missing; raised with `consistency="raise"`.

    Attributes:
        duplicates: Records that came again.
        totals: The totals that pages told, in order.
    """

    def __init__(self, message: str, *, duplicates: int, totals: tuple[int, ...]) -> None:
        super().__init__(message)
        self.duplicates = duplicates
        self.totals = totals


class ConflictError(AlohubError):
    """A record is not as the caller expected it; nothing was written.

    Attributes:
        differences: By name of the field: what was expected, and what was found.
    """

    def __init__(self, message: str, *, differences: Mapping[str, tuple[object, object]]) -> None:
        super().__init__(message)
        self.differences = differences


class FileError(AlohubError):
    """A file cannot be written or read, or is not what it should be.

    Attributes:
        path: The file.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class APIConnectionError(AlohubError):
    """No complete answer came.

    Attributes:
        maybe_sent: False if the request surely never left (no connection was made); True if the server may have seen
            it and may have acted on it.
    """

    def __init__(self, message: str, *, maybe_sent: bool) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent


class APITimeoutError(APIConnectionError):
    """No complete answer came in time; `maybe_sent` tells whether the server may have seen the request."""


class DeadlineExceededError(APITimeoutError):
    """The call could not be finished within its deadline.

    It is raised as soon as that is certain, so perhaps well before the deadline itself. What went wrong last, if
    anything did, is its `__cause__`.
    """


class APIResponseError(AlohubError):
    """An answer came, and it is not what the API documents: not JSON, or JSON of another shape.

    Attributes:
        status: HTTP status of the answer.
        body: The beginning of its body, for a log; None if the body was JSON and only a value in it is at fault.
        undecodable: True if the body was not JSON at all (empty, cut short, HTML), which another try may mend.
    """

    def __init__(self, message: str, *, status: int, body: str | None = None, undecodable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.undecodable = undecodable


class APIStatusError(AlohubError):
    """The API answered, and the answer is no.

    Attributes:
        status: HTTP status. It can be 200: the API reports some failures under it (see `error_code`).
        error_code: The API's own code, such as `"NOT_FOUND"`; None if the answer had none (it may come from a gateway).
        message: What the answer says, as it came (the vendor writes Vietnamese); None if it says nothing.
        request_id: The id under which the server knows the request, if it sent one.
        retry_after: Seconds the server asks to wait before trying again; None if it does not say.
        headers: The answer's headers, case-insensitive.
        body: The beginning of the answer's body, for a log.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int,
        error_code: str | None = None,
        request: str = "request",
        request_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        body: str = "",
    ) -> None:
        said = f" {error_code}" if error_code else ""
        told = f": {message}" if message else ""
        known = f" (request id {request_id})" if request_id else ""
        super().__init__(f"{request} failed with HTTP {status}{said}{told}{known}")
        self.message = message
        self.status = status
        self.error_code = error_code
        self.request_id = request_id
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body


class BadRequestError(APIStatusError):
    """The API refused the input (400, `INVALID_INPUT`)."""


class AuthenticationError(APIStatusError):
    """The key is missing or wrong (401, `UNAUTHORIZED`)."""


class PermissionDeniedError(APIStatusError):
    """The key lacks the scope `queue` (403, `INSUFFICIENT_SCOPE`)."""


class NotFoundError(APIStatusError):
    """No such queue, or it belongs to another tenant (404, `NOT_FOUND`)."""


class RateLimitError(APIStatusError):
    """The tenant's or the route's budget is spent (429, `RATE_LIMIT_EXCEEDED`); see `retry_after`."""


class InternalServerError(APIStatusError):
    """The service, or something in front of it, failed (5xx, `FAIL`)."""


class RequestFailedError(APIStatusError):
    """HTTP 200, yet the answer's `success` is not "1" and its code is none we know."""
