"""Faults as small values, and the script that decides which requests they affect."""

from collections import deque
from typing import Literal, TypeAlias

from attrs import define, evolve, field, frozen
from attrs.validators import ge, instance_of

from alohub_async.testing.contract import Answer, json_answer, problem
from alohub_async.testing.request_log import RecordedRequest, RequestFilter

Stage: TypeAlias = Literal["front", "instead", "after"]
"""Where a fault happens.

`front`: before the service saw the request: no key is checked, no limit counts it, no rate-limit header is sent.
`instead`: the key was right and the limits counted the request, but the service did not do it.
`after`: the service did it (an update took effect), then the answer was spoilt.
"""


@frozen
class Fault:
    """Something that goes wrong once. The classes below are the kinds; subclass this one for your own.

    A fault at the `instead` or `after` stage is not used up by a request with a wrong key or one that a limit refused.
    """

    @property
    def stage(self) -> Stage:
        """Where it happens."""
        return "instead"

    def spoil(self, answer: Answer) -> Answer:
        """What is sent.

        Args:
            answer: The service's answer for stage `after`; an empty one with the rate-limit headers for `instead`; an
                empty one for `front`.
        """
        raise NotImplementedError


@frozen
class Status(Fault):
    """An error of the service, in the contract's shape.

    A 429 by script is not charged to the limits, as a real one is not.

    Attributes:
        status: Any HTTP status.
        error_code: By default the contract's code for that status (`FAIL` if it has none).
        error_message: By default the contract's message for that status.
        retry_after: The `Retry-After` header, verbatim: seconds, decimals, a date, garbage. None sends none.
    """

    status: int = field(default=500, validator=[instance_of(int), ge(200)])
    error_code: str | None = field(default=None, kw_only=True)
    error_message: str | None = field(default=None, kw_only=True)
    retry_after: str | None = field(default=None, kw_only=True)

    def spoil(self, answer: Answer) -> Answer:
        """The error, with the rate-limit headers it came with."""
        error = problem(self.status, code=self.error_code, message=self.error_message)
        extra = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return evolve(answer, status=error.status, body=error.body).with_headers(extra)


@frozen
class Failure(Fault):
    """A failure under HTTP 200: `success` is `"0"`, as the vendor's guide shows it.

    Attributes:
        error_code: Its code; the guide's example is `"0"`.
        error_message: Its message.
        camel_case: Use the other spelling, `errorCode`/`errorMessage`.
    """

    error_code: str = "0"
    error_message: str = "Thao tác thất bại"
    camel_case: bool = field(default=False, kw_only=True)

    def spoil(self, answer: Answer) -> Answer:
        """The failure, with the rate-limit headers it came with."""
        code, message = ("errorCode", "errorMessage") if self.camel_case else ("error_code", "error_message")
        payload = {"success": "0", code: self.error_code, message: self.error_message}
        return evolve(answer, status=200, body=json_answer(payload).body)


@frozen
class JsonAnswer(Fault):
    """Any payload with any status, instead of the service's own answer.

    With a `path=` that the sandbox does not serve, it stands in for that endpoint.

    Attributes:
        payload: Anything `json.dumps` takes.
        status: The HTTP status.
    """

    payload: object
    status: int = 200

    def spoil(self, answer: Answer) -> Answer:
        """The payload, with the rate-limit headers it came with."""
        return evolve(answer, status=self.status, body=json_answer(self.payload).body)


@frozen
class DropConnection(Fault):
    """The connection is closed before a single byte is sent back.

    Attributes:
        processed: Whether the service did the request first: then an update took effect and the limits counted it.
    """

    processed: bool = False

    @property
    def stage(self) -> Stage:
        """`after` when processed, else `front`."""
        return "after" if self.processed else "front"

    def spoil(self, answer: Answer) -> Answer:
        """An answer of which nothing is sent."""
        return evolve(answer, cut="before")


@frozen
class TruncatedBody(Fault):
    """The service's answer breaks off: `Content-Length` is the whole, half of it is sent, the connection is closed."""

    @property
    def stage(self) -> Stage:
        """`after`: the request took effect."""
        return "after"

    def spoil(self, answer: Answer) -> Answer:
        """An answer cut inside."""
        return evolve(answer, cut="inside")


@frozen
class BadJson(Fault):
    """The service's answer is whole HTTP but its JSON breaks off in the middle."""

    @property
    def stage(self) -> Stage:
        """`after`: the request took effect."""
        return "after"

    def spoil(self, answer: Answer) -> Answer:
        """The first half of the body, correctly declared."""
        return evolve(answer, body=answer.body[: len(answer.body) // 2])


@frozen
class HtmlPage(Fault):
    """The HTML error page of a gateway or load balancer in front of the service.

    Attributes:
        status: Its HTTP status.
    """

    status: int = 502

    @property
    def stage(self) -> Stage:
        """`front`."""
        return "front"

    def spoil(self, answer: Answer) -> Answer:
        """The page."""
        page = f"<html>\n<head><title>{self.status}</title></head>\n<body><h1>{self.status}</h1></body>\n</html>\n"
        return evolve(answer, status=self.status, body=page.encode(), content_type="text/html")


@frozen
class EmptyBody(Fault):
    """An answer without a body from something in front of the service.

    Attributes:
        status: Its HTTP status.
    """

    status: int = 200

    @property
    def stage(self) -> Stage:
        """`front`."""
        return "front"

    def spoil(self, answer: Answer) -> Answer:
        """The status alone."""
        return evolve(answer, status=self.status, body=b"")


@frozen
class Delay(Fault):
    """The service's own answer, late.

    Attributes:
        seconds: How much later. The request takes effect before the wait.
    """

    seconds: float = field(validator=ge(0))

    @property
    def stage(self) -> Stage:
        """`after`."""
        return "after"

    def spoil(self, answer: Answer) -> Answer:
        """The same answer with a delay."""
        return evolve(answer, delay=self.seconds)


@define(eq=False)
class _Entry:
    fault: Fault
    wanted: RequestFilter
    left: int | None


@define(eq=False)
class FaultScript:
    """Faults that wait for a matching request, in the order in which they were scripted."""

    _entries: deque[_Entry] = field(init=False, factory=deque[_Entry])

    def add(self, fault: Fault, *, wanted: RequestFilter, times: int | None) -> None:
        """Script a fault for as many matching requests; None for all, until cleared."""
        self._entries.append(_Entry(fault, wanted, times))

    def take(self, request: RecordedRequest, *, front_only: bool = False) -> Fault | None:
        """The fault for this request, used up; None when there is none, or when it is not its stage yet."""
        entry = next((entry for entry in self._entries if entry.wanted.accepts(request)), None)
        if entry is None or (front_only and entry.fault.stage != "front"):
            return None
        if entry.left is not None:
            entry.left -= 1
            if not entry.left:
                self._entries.remove(entry)
        return entry.fault

    def waiting(self) -> int:
        """How many scripted faults nobody met yet; one for all requests counts once."""
        return sum(1 if entry.left is None else entry.left for entry in self._entries)

    def left(self) -> list[str]:
        """Each of those, in words."""
        return [f"{_times(entry.left)} {entry.fault!r} for {entry.wanted}" for entry in self._entries]

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


def _times(left: int | None) -> str:
    return "until healed:" if left is None else f"{left} x"
