"""Faults as small values, and the script that selects the requests they happen to."""

from collections import deque
from random import Random
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

from attrs import Factory, define, evolve, field, frozen
from attrs.validators import optional

from alohub_async import validation
from alohub_async.plurals import counted
from alohub_async.testing.contract import PROBLEMS, Answer, gateway_page, json_answer, problem, strip_prefix
from alohub_async.testing.data import check_json
from alohub_async.testing.request_log import FilterOptions, RecordedRequest, RequestFilter
from alohub_async.unset import UNSET, UnsetType

Stage: TypeAlias = Literal["front", "instead", "after"]
"""Where a fault happens.

`front`: in front of the service. No key is checked, no limit counts the request, no rate-limit header is sent.
`instead`: the key is right and the limits count the request, but the service does not process it.
`after`: the service processes the request (an update takes effect), then the response is spoilt.
"""

_TOO_MANY: Final = 429

_STATUS: Final[Any] = validation.validator(validation.check_count, least=200, most=599)


def _check_with_body(name: str, value: object) -> None:
    if validation.check_count(name, value, least=200, most=599) in {204, 205, 304}:
        raise validation.refuse(name, "of a response with a body; see EmptyBody", value)


_WITH_BODY: Final[Any] = validation.validator(_check_with_body)
_FLAG: Final[Any] = validation.validator(validation.check_flag)
_TEXT: Final[Any] = validation.validator(validation.check_text, pattern="(?s:.*)", allowed="a string")
_HEADER: Final[Any] = validation.validator(
    validation.check_text, pattern=r"[^\x00-\x1f\x7f]*", allowed="a string without control characters", optional=True
)


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
    """An error status. One that the contract does not list (408, 502, 520, …) is a gateway's HTML page, without limits.

    The others (400, 401, 403, 404, 429, 500), and any status with a code or message, come from the service, in the
    contract's form. A scripted 429 is not charged to the limits.

    Attributes:
        status: The HTTP status, 200 to 599.
        error_code, error_message: By default those of the contract for the status (`FAIL` if it has none).
        retry_after: The `Retry-After` header, verbatim: decimals, dates, garbage, or None. By default a 429 has `1`.
        limit_headers: Whether the service sends the rate-limit headers.
        budget_left: Whether a 429 shows the real budget. By default, nothing is left.
    """

    status: int = field(default=500, validator=_WITH_BODY)
    error_code: str | None = field(default=None, kw_only=True, validator=optional(_TEXT))
    error_message: str | None = field(default=None, kw_only=True, validator=optional(_TEXT))
    retry_after: str | UnsetType | None = field(default=UNSET, kw_only=True, validator=_HEADER)
    limit_headers: bool = field(default=True, kw_only=True, validator=_FLAG)
    budget_left: bool = field(default=False, kw_only=True, validator=_FLAG)

    @property
    def stage(self) -> Stage:
        """`front` for a gateway's status, else `instead`."""
        listed = self.status in PROBLEMS or self.status < min(PROBLEMS)
        return "instead" if listed or self.error_code is not None or self.error_message is not None else "front"

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

    payload: object = field(validator=validation.validator(check_json))
    status: int = field(default=200, validator=_WITH_BODY)
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
    status: int = field(default=502, validator=_WITH_BODY)

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
    seconds: float = field(validator=validation.validator(validation.check_seconds, zero=True))

    def spoil(self, answer: Answer) -> Answer:
        """The same response with a delay."""
        return evolve(answer, delay=self.seconds)


class FaultOptions(FilterOptions, total=False):
    """The keywords of `Sandbox.fail`; `status` is that of the fault."""

    next: int | None
    retry_after: str | None
    after: int
    chance: float | None
    seed: int


@define(eq=False, on_setattr=[])
class FaultEntry:
    """A fault of the script: for the `next` requests (None for all) `after` so many, by `chance` (None for always)."""

    fault: Fault
    wanted: RequestFilter
    next: int | None = field(default=1, validator=validation.validator(validation.check_count, least=1, optional=True))
    after: int = field(default=0, validator=validation.validator(validation.check_count, least=0))
    chance: float | None = field(default=None, validator=optional(validation.validator(validation.check_share)))
    seed: int = field(default=0, validator=validation.validator(validation.check_count, least=None))
    met: bool = field(init=False, default=False)
    _rng: Random = field(init=False, repr=False, default=Factory(lambda self: Random(self.seed), takes_self=True))

    def is_due(self, request: RecordedRequest) -> bool:
        """Whether it happens to this request. Each request is asked about once, as it is counted and draws a number."""
        if not self.wanted.accepts(request):
            return False
        if self.after:
            self.after -= 1
            return False
        self.met = self.met or self.chance is not None
        return self.chance is None or self._rng.random() < self.chance

    def __str__(self) -> str:
        more = f" after {counted(self.after, 'request')}" if self.after else ""
        return f"{'until healed:' if self.next is None else f'{self.next} x'} {self.fault!r} for {self.wanted}{more}"


@define(eq=False)
class FaultScript:
    """Faults that wait for a matching request, in the order of the script, and each path that had one."""

    entries: deque[FaultEntry] = field(init=False, factory=deque[FaultEntry])
    paths: set[str] = field(init=False, factory=set[str])

    def add(self, entry: FaultEntry) -> None:
        """Add a fault to the script."""
        validation.check_choice("stage", entry.fault.stage, get_args(Stage))
        if entry.wanted.path is not None:
            self.paths.add(strip_prefix(entry.wanted.path))
        self.entries.append(entry)

    def find(self, request: RecordedRequest) -> FaultEntry | None:
        """The first fault that is due; all are asked, so that none depends on the others."""
        due = [entry for entry in self.entries if entry.is_due(request)]
        return due[0] if due else None

    def use(self, entry: FaultEntry) -> Fault:
        """The fault, now used up."""
        entry.met = True
        if entry.next is not None:
            entry.next -= 1
            if not entry.next:
                self.entries.remove(entry)
        return entry.fault

    def left(self, *, unmet_only: bool = False) -> list[str]:
        """A line for each of these faults; with `unmet_only` not for those of all requests that have happened."""
        return [str(entry) for entry in self.entries if not (unmet_only and entry.next is None and entry.met)]
