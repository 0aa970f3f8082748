"""What happens in a client, as values: for the listeners of `AlohubClient(on_event=…)`, and for the log.

A listener is called in the task of the call, so it sees the caller's context variables. It must return quickly. If it
raises, the call goes on, and its first error is logged. No event holds a key, a body or the name of a record.

The logger `alohub_async` has attempts and calls at DEBUG, retries at INFO, and at WARNING long waits for the rate limit
and lists that move. Each record has the fields of its event as attributes, such as `alohub_route`, for JSON formatters.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal, TypeAlias, dataclass_transform

import attrs
from yarl import URL

from alohub_async.routes import Route
from alohub_async.secret import redacted

_logger = logging.getLogger("alohub_async")
_LEAST_WAIT: Final = 0.001  # seconds; a shorter wait for the rate limit is no event
_numbers: Final = itertools.count(1)


def without_values(url: str) -> str:
    """A URL, or a path, without keys and the values of its query but `page` and `size`."""
    (url, _, query), shown = url.partition("?"), list[str]()
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        kept = name in {"page", "size"} and value.isdigit()
        shown.append(pair if kept else f"{redacted(name)}=REDACTED")
    return f"{redacted(url)}?{'&'.join(shown)}" if shown else redacted(url)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
class Event:
    """Something that happened in a client; its subclasses are frozen attrs classes."""

    level: ClassVar[int] = logging.NOTSET  # of the log; this one is not logged
    text: ClassVar[str] = ""  # of the log

    def __init_subclass__(cls, *, level: int = logging.NOTSET, says: str = "") -> None:
        made: Any = attrs.frozen(cls, kw_only=True, slots=False)
        cls.level = level
        cls.text = f"{says}: {' '.join(f'{name}=%({name})s' for name in attrs.fields_dict(made))}"


class CallEvent(Event):
    """Something that happened in a call, which sends one request, in one or several attempts."""

    call: int  # a number that all events of the call have, and no other call of this process
    operation: str  # such as `get_inbound`; for others than the SDK's, made from method and path
    route: Route
    url: str  # without the values of its query but `page` and `size`
    tenant_id: str | None  # the client's


class CallStarted(CallEvent):
    """A call begins."""


class AttemptStarted(CallEvent):
    """A request is sent."""

    resend_count: int  # attempts before this one


class BudgetSeen(CallEvent):
    """An answer reports a budget of the rate limit, in requests per window."""

    scope: Literal["tenant", "route"]
    limit: int
    remaining: int


class RateLimited(CallEvent):
    """The server refused an attempt with status 429."""

    retry_after: float | None  # seconds that it asks to wait


class AttemptFinished(CallEvent, level=logging.DEBUG, says="attempt finished"):
    """An attempt was answered, or failed."""

    resend_count: int  # attempts before this one
    seconds: float  # from sending the request to the end of its answer
    status: int | None  # of HTTP; None without a complete answer
    error: str | None  # name of the exception, if it failed


class RetryScheduled(CallEvent, level=logging.INFO, says="retrying"):
    """A call will be tried again; the wait begins now, and the rate limit may lengthen it."""

    seconds: float  # to wait
    reason: str  # name of the exception that the last attempt failed with
    attempts: int  # so far


class RateLimitWaited(CallEvent, level=logging.DEBUG, says="waited for the rate limit"):
    """A request waited for the rate limit, for a millisecond or more."""

    seconds: float


class CallFinished(CallEvent, level=logging.DEBUG, says="call finished"):
    """A call has a result, failed, or was cancelled. The parts of its time add up to the whole."""

    attempts: int  # requests sent
    seconds: float  # in all
    rate_limit_wait: float  # seconds
    connection_wait: float  # seconds that it waited for one of `max_connections`
    backoff: float  # seconds between attempts, apart from the rate limit's
    wire: float  # seconds of its attempts
    other: float  # seconds for the provider of the key, and for decoding
    error: str | None  # name of the exception, if it failed


class DriftNoticed(Event, level=logging.WARNING, says="records may be missing"):
    """A walk has ended, and records may be missing."""

    listed: str = attrs.field(converter=without_values)  # method, path and names in the query
    tenant_id: str | None
    what: str  # was noticed


class LimitReached(Event, level=logging.WARNING, says="the rate limit is used up"):
    """Requests wait for the rate limit, and none may go for some seconds. It may come from a timer."""

    waiting: int
    seconds: float  # until the next one goes


class SharedStoreLost(Event, level=logging.WARNING, says="the store of the shared rate limit does not answer"):
    """The store of a shared rate limit does not answer."""

    error: str  # what it did
    share: float  # of the budget, with which this process goes on; 0 if its requests fail


class SharedStoreRegained(Event, level=logging.INFO, says="the store of the shared rate limit answers again"):
    """The store of a shared rate limit answers again."""

    seconds: float  # without it


Listener: TypeAlias = Callable[[Event], object]
"""Called with each event; what it returns is ignored."""


@attrs.define(eq=False)
class Emitter:
    """Emits the events of a client."""

    listeners: tuple[Listener, ...] = ()
    tenant_id: str | None = None
    failed: set[int] = attrs.field(factory=set[int])  # listeners that raised, by `id`

    def __call__(self, event: Event) -> None:
        """Log an event, and call the listeners."""
        emit_once([self], event)


def emit_once(emitters: Iterable[Emitter], event: Event) -> None:
    """Emit an event of what several clients may share: one line in the log, and one call of each listener."""
    if event.level and _logger.isEnabledFor(event.level):
        values = {name: _plain(value) for name, value in vars(event).items()}
        extra = {f"alohub_{name}": value for name, value in values.items()}
        _logger.log(event.level, event.text, values, extra={"alohub_event": type(event).__name__, **extra})
    called = {id(listener): (listener, each) for each in emitters for listener in each.listeners}
    for key, (listener, emitter) in called.items():
        try:
            listener(event)
        except Exception as error:
            if key not in emitter.failed:
                emitter.failed.add(key)
                _logger.warning("a listener of events raised %s", type(error).__name__, exc_info=True)


def _plain(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else str(value) if isinstance(value, Route) else value


@functools.lru_cache(maxsize=1024)
def _operation(route: Route, *, paged: bool) -> str:
    verb = {"GET": "list" if paged else "get", "PUT": "update"}.get(route.method, route.method.lower())
    names = [segment for segment in route.template.split("/") if segment and not segment.startswith("{")]
    return "_".join([verb, *names[-1:]])


class CallRecorder:
    """Measures one call and emits its events. One part of its time ends where the next begins, so they add up."""

    def __init__(self, emit: Emitter, route: Route, url: URL, clock: Callable[[], float]) -> None:
        self._emit, self._clock = emit, clock
        shown = without_values(str(url))
        if "redacted" in shown:
            route = Route(route.method, redacted(route.template))
        operation = _operation(route, paged="page" in url.query)
        about = {"call": next(_numbers), "operation": operation, "route": route, "url": shown}
        self._about: dict[str, Any] = {**about, "tenant_id": emit.tenant_id}
        self._began = self._since = clock()  # the call, and the part that is running
        self._part = "rate_limit_wait"
        self._spent: dict[str, float] = dict.fromkeys(
            ("rate_limit_wait", "connection_wait", "backoff", "wire", "other"), 0.0
        )
        self._attempts, self._wire = 0, 0.0  # seconds of the last attempt
        self._status: int | None = None  # of its answer
        self._open = False  # whether it has not finished

    def tell(self, kind: type[CallEvent], **fields: Any) -> None:
        """Emit an event of this call."""
        self._emit(kind(**self._about, **fields))

    def enter(self, part: str) -> float:
        """Begin a part of the call's time; returns the seconds of the part that ends."""
        now = self._clock()
        seconds = now - self._since
        self._spent[self._part] += seconds
        if self._part == "rate_limit_wait" and seconds >= _LEAST_WAIT:
            self.tell(RateLimitWaited, seconds=seconds)
        self._part, self._since = part, now
        return seconds

    def attempt_started(self) -> None:
        """The next attempt is sent now."""
        self._open, self._status = True, None
        self.tell(AttemptStarted, resend_count=self._attempts)
        self._attempts += 1
        self.enter("wire")

    def answered(self, status: int, budgets: Any, retry_after: float | None) -> None:
        """The attempt was answered; `budgets` are `Limits`."""
        self._wire, self._status = self.enter("other"), status
        for scope, budget in budgets.items():
            self.tell(BudgetSeen, scope=scope, limit=budget.limit, remaining=budget.remaining)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.tell(RateLimited, retry_after=retry_after)

    def attempt_finished(self, error: str | None) -> None:
        """The attempt, if one is open, succeeded or failed."""
        seconds = self.enter("backoff")
        if self._open:
            self._open = False
            seconds, resent = seconds if self._status is None else self._wire, self._attempts - 1
            self.tell(AttemptFinished, resend_count=resent, seconds=seconds, status=self._status, error=error)

    def finish(self, error: BaseException | None) -> None:
        """The call is over."""
        name = None if error is None else type(error).__name__
        self.attempt_finished(name)
        self.tell(CallFinished, attempts=self._attempts, seconds=self._since - self._began, error=name, **self._spent)
