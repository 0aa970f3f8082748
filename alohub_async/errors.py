"""Every exception this package raises on purpose, as one tree.

    AlohubError
    ├── ConfigurationError               invalid client configuration: no key, a bad base URL, … (also ValueError)
    ├── InvalidArgumentError             refused before anything was sent (also ValueError)
    │   └── InvalidArgumentTypeError     … because of its type (also TypeError)
    ├── ClientClosedError                the client was used after it was closed
    ├── RateLimiterUnavailableError      the store of a `RedisRateLimiter` does not answer
    ├── RateLimitWaitError               the wait for the rate limit exceeds its maximum
    ├── PageDriftError                   a list changed while it was iterated
    ├── ConflictError                    a record differs from what the caller expected
    ├── FileError                        a file cannot be written or read
    ├── APIConnectionError               no complete response was received
    │   └── APITimeoutError              … in time
    │       └── DeadlineExceededError    … within the call's deadline, over attempts and waits
    ├── APIResponseError                 the response is not what the API documents
    └── APIStatusError                   the API reported a failure
        ├── BadRequestError              400, INVALID_INPUT
        ├── AuthenticationError          401, UNAUTHORIZED
        ├── PermissionDeniedError        403, INSUFFICIENT_SCOPE
        ├── NotFoundError                404, NOT_FOUND
        ├── RateLimitError               429, RATE_LIMIT_EXCEEDED
        ├── InternalServerError          5xx, FAIL
        └── RequestFailedError           HTTP 200 whose `success` is not "1"

All of them can be pickled and copied without loss. None shows the API key: a message, attribute or note that holds it
is redacted when the error gets it, wherever it comes from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from alohub_async.secret import cleaned, redacted

_MANY_SECONDS: Final = 1e9  # more are shown with an exponent


def _rebuild(cls: type["AlohubError"], *args: object) -> "AlohubError":
    return cls.__new__(cls, *args)


def in_seconds(seconds: float) -> str:
    """A number of seconds for a message, short even if a server sent it."""
    return f"{seconds:.2f} s" if seconds < _MANY_SECONDS else f"{seconds:.3g} s"


class AlohubError(Exception):
    """The root of the tree: `except AlohubError` catches every error that this package raises on purpose.

    Attributes:
        resume_token: Set on errors raised while a list is iterated: pass it to `list_inbound(token=…)` to continue at
            the item that could not be fetched. None elsewhere.
        attempts: Attempts of the failed call, over all its requests; 0 if none was made, and on errors that several
            pages of a list show together.
        maybe_sent: Whether any request of the failed call may have reached the server. False only if none was written
            to a connection. For an edit, only the update counts. In a session of your own, it is also True if a
            deadline cuts off the opening of a connection.
        maybe_written: Set on errors of an edit: whether its update was written, or may still be. False elsewhere.
    """

    resume_token: str | None = None
    attempts: int = 0
    maybe_sent: bool = False
    maybe_written: bool = False

    def __init__(self, *args: object) -> None:
        super().__init__(*map(cleaned, args))

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, cleaned(value))

    def add_note(self, note: str) -> None:
        """Add a note, redacted as everything here."""
        super().add_note(redacted(note))

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which fails for every class with keyword-only arguments.
        return _rebuild, (type(self), *self.args), self.__dict__


class ConfigurationError(AlohubError, ValueError):
    """The client cannot be created from the given arguments, or its key provider returned no valid key."""


class InvalidArgumentError(AlohubError, ValueError):
    """An argument was refused before anything was sent."""


class InvalidArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument of a wrong type was refused before anything was sent."""


class ClientClosedError(AlohubError):
    """The client was closed; create a new one."""


class RateLimiterUnavailableError(AlohubError):
    """The store of a `RedisRateLimiter` with `when_unavailable="fail"` does not answer; the request was not sent."""


class RateLimitWaitError(AlohubError):
    """The wait for the rate limit would exceed its maximum, so no further attempt was made.

    `wait` is the seconds that it would have waited, as estimated then; `math.inf` if that depends on the next response.
    `retry_after` is what the server asked to wait, if that is more than the limiter believes; otherwise None.
    """

    def __init__(self, message: str, *, wait: float, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        self.retry_after = retry_after


class PageDriftError(AlohubError):
    """The list changed while it was iterated, so records may be missing; raised with `consistency="raise"`.

    `duplicates` counts records that were returned more than once; `totals` are what the pages reported, in order.
    """

    def __init__(self, message: str, *, duplicates: int, totals: tuple[int, ...]) -> None:
        super().__init__(message)
        self.duplicates = duplicates
        self.totals = totals


class ConflictError(AlohubError):
    """A record differs from what the caller expected; nothing was written.

    `differences` has the expected value and the current value, by field name.
    """

    def __init__(self, message: str, *, differences: Mapping[str, tuple[object, object]]) -> None:
        super().__init__(message)
        self.differences = differences


class FileError(AlohubError):
    """The file at `path` cannot be written or read, or its content is invalid."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class APIConnectionError(AlohubError):
    """No complete response was received.

    It is `permanent` if trying again cannot help: the server's certificate is not trusted, or a proxy refuses.
    """

    permanent: bool = False

    def __init__(self, message: str, *, maybe_sent: bool, permanent: bool = False) -> None:
        super().__init__(message)
        self.maybe_sent = maybe_sent
        self.permanent = permanent


class APITimeoutError(APIConnectionError):
    """No complete response was received in time; `maybe_sent` tells whether the server may have the request."""


class DeadlineExceededError(APITimeoutError):
    """The call could not be completed within its deadline; raised as soon as that is certain, perhaps well before.

    The last failure, if there was one, is its `__cause__`.
    """


class APIResponseError(AlohubError):
    """The response is not what the API documents: not JSON, or JSON of another shape.

    Attributes:
        status: HTTP status of the response.
        body: The beginning of its body, for logs; None if the body was JSON and only a value in it is invalid.
        undecodable: True if the body was not JSON at all (empty, truncated, HTML); a retry may succeed.
    """

    def __init__(self, message: str, *, status: int, body: str | None = None, undecodable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.undecodable = undecodable


class APIStatusError(AlohubError):
    """The API reported a failure.

    Attributes:
        status: HTTP status. It can be 200: the API reports some failures under it (see `error_code`).
        error_code: The API's own code, such as `"NOT_FOUND"`; None if there is none (the response may be a gateway's).
        message: The message of the response, unchanged (the vendor writes Vietnamese); None if there is none.
        request_id: The server's id of the request; None if it sent none.
        retry_after: Seconds that the server asks to wait before a retry; None if it does not say.
        headers: The response's headers, case-insensitive.
        body: The beginning of the response's body, for logs.
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
        code_part = f" {error_code}" if error_code else ""
        message_part = f": {message}" if message else ""
        wait_part = f" (retry after {in_seconds(retry_after)})" if retry_after else ""
        id_part = f" (request id {request_id})" if request_id else ""
        super().__init__(f"{request} failed with HTTP {status}{code_part}{message_part}{wait_part}{id_part}")
        self.message = message
        self.status = status
        self.error_code = error_code
        self.request_id = request_id
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body


class BadRequestError(APIStatusError):
    """The API rejected the input (400, `INVALID_INPUT`)."""


class AuthenticationError(APIStatusError):
    """The key is missing or wrong (401, `UNAUTHORIZED`)."""


class PermissionDeniedError(APIStatusError):
    """The key lacks the scope `queue` (403, `INSUFFICIENT_SCOPE`)."""


class NotFoundError(APIStatusError):
    """The queue does not exist, or belongs to another tenant (404, `NOT_FOUND`)."""


class RateLimitError(APIStatusError):
    """The tenant's or the route's budget is spent (429, `RATE_LIMIT_EXCEEDED`); see `retry_after`."""


class InternalServerError(APIStatusError):
    """The service, or a gateway in front of it, failed (5xx, `FAIL`)."""


class RequestFailedError(APIStatusError):
    """HTTP 200, but the response's `success` is not "1" and its error code is unknown to the SDK."""
