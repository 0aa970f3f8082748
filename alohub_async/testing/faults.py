"""Faults as small values, and the script that selects the requests they happen to."""

import json
from collections import deque
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypedDict, get_args

from attrs import define, evolve, field, frozen

from alohub_async.testing.contract import Answer, gateway_page, json_answer, problem, strip_prefix
from alohub_async.testing.request_log import RecordedRequest, RequestFilter
from alohub_async.unset import UNSET, UnsetType
from alohub_async.validation import check_choice, check_count, check_flag, check_seconds, check_text, refuse, validator

Stage: TypeAlias = Literal["front", "instead", "after"]
"""Where a fault happens.

`front`: in front of the service. No key is checked, no limit counts the request, no rate-limit header is sent.
`instead`: the key is right and the limits count the request, but the service does not process it.
`after`: the service processes the request (an update takes effect), then the response is spoilt.
"""

_GATEWAY_STATUSES: Final = {502, 503, 504}
_TOO_MANY: Final = 429

_STATUS: Final[Any] = validator(check_count, least=200, most=599)
_FLAG: Final[Any] = validator(check_flag)
_TEXT: Final[Any] = validator(check_text, pattern="(?s:.*)", allowed="a string")
_OPTIONAL_TEXT: Final[Any] = validator(check_text, pattern="(?s:.*)", allowed="a string", optional=True)
_HEADER: Final[Any] = validator(
    check_text, pattern=r"[^\x00-\x1f\x7f]*", allowed="a string without control characters", optional=True
)


def _check_payload(name: str, value: object) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as exc:
        raise refuse(name, f"a JSON value ({exc})", value, wrong_type=True) from None


@frozen
class Fault:
    """A failure that happens to one request. The classes below are the kinds; subclass this one for your own.

    At the stages `instead` and `after`, a request with a wrong key, or one that a limit refuses, does not use it up.
    """

    _stage: ClassVar[Stage] = "instead"

    @property
    def stage(self) -> Stage:
        """Where it happens."""
        return self._stage

    def spoil(self, answer: Answer) -> Answer:
        """Return what is sent; `answer` is the service's (`after`) or empty (`instead`: with rate-limit headers)."""
        raise NotImplementedError


@frozen
class Status(Fault):
    """An error status. 502, 503 and 504 come from a gateway, as an HTML page without limit headers.

    The others, and any status with a code or message, come from the service, in the contract's form. A scripted 429 is
    not charged to the limits.

    Attributes:
        status: The HTTP status, 200 to 599.
        error_code, error_message: By default those of the contract for the status (`FAIL` if it has none).
        retry_after: The `Retry-After` header, verbatim: decimals, dates, garbage, or None. By default a 429 has `1`.
        limit_headers: Whether the service sends the rate-limit headers.
        budget_left: Whether a 429 shows the real budget. By default, nothing is left.
    """

    status: int = field(default=500, validator=_STATUS)
    error_code: str | None = field(default=None, kw_only=True, validator=_OPTIONAL_TEXT)
    error_message: str | None = field(default=None, kw_only=True, validator=_OPTIONAL_TEXT)
    retry_after: str | UnsetType | None = field(default=UNSET, kw_only=True, validator=_HEADER)
    limit_headers: bool = field(default=True, kw_only=True, validator=_FLAG)
    budget_left: bool = field(default=False, kw_only=True, validator=_FLAG)

    @property
    def stage(self) -> Stage:
        """`front` for a gateway's status, else `instead`."""
        is_gateway = self.status in _GATEWAY_STATUSES and self.error_code is None and self.error_message is None
        return "front" if is_gateway else "instead"

    def spoil(self, answer: Answer) -> Answer:
        """The error with its headers."""
        error = problem(self.status, code=self.error_code, message=self.error_message)
        if self.stage == "front":
            error = gateway_page(self.status)
        elif self.limit_headers:
            error = evolve(answer, status=error.status, body=error.body)
        if self.is_429 and not self.budget_left:
            empty = {name: "0" for name in error.headers if "Remaining" in name}
            error = evolve(error.with_headers(empty), tenant_remaining=0, route_remaining=0)
        usual = "1" if self.is_429 else None
        retry_after = usual if isinstance(self.retry_after, UnsetType) else self.retry_after
        return error if retry_after is None else error.with_headers({"Retry-After": retry_after})

    @property
    def is_429(self) -> bool:
        """Whether it refuses the request for the rate limit."""
        return self.status == _TOO_MANY


@frozen
class Failure(Fault):
    """A failure with HTTP 200: `success` is `"0"` (the vendor's guide). `camel_case`: `errorCode`, `errorMessage`."""

    error_code: str = field(default="0", validator=_TEXT)
    error_message: str = field(default="Thao tác thất bại", validator=_TEXT)
    camel_case: bool = field(default=False, kw_only=True, validator=_FLAG)

    def spoil(self, answer: Answer) -> Answer:
        """The failure with the rate-limit headers."""
        code, message = ("errorCode", "errorMessage") if self.camel_case else ("error_code", "error_message")
        payload = {"success": "0", code: self.error_code, message: self.error_message}
        return evolve(answer, body=json_answer(payload).body)


@frozen
class JsonAnswer(Fault):
    """Any payload for `json.dumps` with any status, also for a `path=` that is not served, which needs this scope."""

    payload: object = field(validator=validator(_check_payload))
    status: int = field(default=200, validator=_STATUS)
    scope: str = field(default="queue", kw_only=True, validator=_TEXT)

    def spoil(self, answer: Answer) -> Answer:
        """The payload with the rate-limit headers."""
        return evolve(answer, status=self.status, body=json_answer(self.payload).body)


@frozen
class DropConnection(Fault):
    """The connection is closed without a response. If `processed`, an update takes effect and the limits count it."""

    processed: bool = field(default=False, validator=_FLAG)

    @property
    def stage(self) -> Stage:
        """`after` if processed, else `front`."""
        return "after" if self.processed else "front"

    def spoil(self, answer: Answer) -> Answer:
        """A response of which nothing is sent."""
        return evolve(answer, cut="before")


@frozen
class TruncatedBody(Fault):
    """The service's response breaks off: half of its `Content-Length` is sent, then the connection is closed."""

    _stage: ClassVar[Stage] = "after"

    def spoil(self, answer: Answer) -> Answer:
        """A response that is cut in its body."""
        return evolve(answer, cut="inside")


@frozen
class BadJson(Fault):
    """The service's response is complete HTTP, but its JSON breaks off in the middle."""

    _stage: ClassVar[Stage] = "after"

    def spoil(self, answer: Answer) -> Answer:
        """A response with half of the body."""
        return evolve(answer, body=answer.body[: len(answer.body) // 2])


@frozen
class HtmlPage(Fault):
    """The HTML error page of a gateway or load balancer in front of the service, with this HTTP status."""

    _stage: ClassVar[Stage] = "front"
    status: int = field(default=502, validator=_STATUS)

    def spoil(self, answer: Answer) -> Answer:
        """The page."""
        del answer
        return gateway_page(self.status)


@frozen
class EmptyBody(Fault):
    """A response without a body, with this HTTP status, from something in front of the service."""

    _stage: ClassVar[Stage] = "front"
    status: int = field(default=200, validator=_STATUS)

    def spoil(self, answer: Answer) -> Answer:
        """The status alone."""
        return evolve(answer, status=self.status, body=b"")


@frozen
class Delay(Fault):
    """The service's response, this number of seconds late. The request takes effect before the wait."""

    _stage: ClassVar[Stage] = "after"
    seconds: float = field(validator=validator(check_seconds, zero=True))

    def spoil(self, answer: Answer) -> Answer:
        """The same response with a delay."""
        return evolve(answer, delay=self.seconds)


class FaultOptions(TypedDict, total=False):
    """The keywords of `Sandbox.fail`."""

    next: int | None
    status: int | None
    retry_after: str | None
    method: str | None
    path: str | None
    page: int | None


@define(eq=False)
class _Entry:
    fault: Fault
    wanted: RequestFilter
    left: int | None
    met: bool = False

    def __str__(self) -> str:
        return f"{'until healed:' if self.left is None else f'{self.left} x'} {self.fault!r} for {self.wanted}"


@define(eq=False)
class FaultScript:
    """Faults that wait for a matching request, in the order of the script, and each path that had one."""

    entries: deque[_Entry] = field(init=False, factory=deque[_Entry])
    paths: set[str] = field(init=False, factory=set[str])

    def add(self, fault: Fault, *, wanted: RequestFilter, times: int | None) -> None:
        """Script a fault for this number of matching requests; None for all, until cleared."""
        check_choice("stage", fault.stage, get_args(Stage))
        check_count("next", times, least=1, optional=True)
        if wanted.path is not None:
            self.paths.add(strip_prefix(wanted.path))
        self.entries.append(_Entry(fault, wanted, times))

    def find(self, request: RecordedRequest) -> _Entry | None:
        """The entry of the next fault for this request, not used up yet."""
        return next((entry for entry in self.entries if entry.wanted.accepts(request)), None)

    def take(self, request: RecordedRequest, *, front_only: bool = False) -> Fault | None:
        """The next fault for this request, now used up; None if there is none, or it is of another stage."""
        entry = self.find(request)
        if entry is None or (front_only and entry.fault.stage != "front"):
            return None
        entry.met = True
        if entry.left is not None:
            entry.left -= 1
            if not entry.left:
                self.entries.remove(entry)
        return entry.fault

    def left(self, *, unmet_only: bool = False) -> list[str]:
        """A line for each of these faults; with `unmet_only` not for those of all requests that have happened."""
        return [str(entry) for entry in self.entries if not (unmet_only and entry.left is None and entry.met)]
