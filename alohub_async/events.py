"""What happens in a client, as values: for the listeners of `AlohubClient(on_event=…)`, and for the log.

A listener is called in the task of the call, so it sees the caller's context variables; a `LimitReached` may come from
a timer. It must return quickly. If it raises, the call goes on, and its first error is logged.

No event holds a key, a body or the name of a record. Values of a query are left out, but for `page` and `size`.

The logger `alohub_async` writes attempts and calls at DEBUG, retries at INFO, and at WARNING long waits for the rate
limit and lists that move. Each record has the fields of its event as attributes, such as `alohub_route`, and the
event's name in `alohub_event`.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal, TypeAlias

import attrs
from yarl import URL

from alohub_async.routes import Route
from alohub_async.secret import redacted

_logger = logging.getLogger("alohub_async")

_SHOWN: Final = frozenset({"page", "size"})  # names in a query whose values are shown
_LEAST_WAIT: Final = 0.001  # seconds; a shorter wait for the rate limit is no event
_PARTS: Final = ("rate_limit_wait", "connection_wait", "backoff", "wire")
_numbers: Final = itertools.count(1)


def without_values(url: str) -> str:
    """A URL, or a path, without keys and the values of its query but `page` and `size`."""
    url, _, query = url.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    shown = "&".join(f"{name}={value if name in _SHOWN else 'REDACTED'}" for name, _, value in pairs)
    return redacted(f"{url}?{shown}" if shown else url)


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened in a client; the base class of all events."""

    level: ClassVar[int] = logging.NOTSET  # of the log; this one is not logged
    text: ClassVar[str] = ""  # of the log, with the names of fields


@attrs.frozen(kw_only=True)
class CallEvent(Event):
    """Something that happened in a call, which sends one request, in one or several attempts.

    Attributes:
        call: A number that all events of the call have, and no other call of this process.
        operation: What the call does, such as `get_inbound`; for others than the SDK's, made from method and path.
        route: Method and path template.
        url: The URL, without the values of its query but `page` and `size`.
        tenant_id: The client's.
    """

    call: int
    operation: str
    route: Route
    url: str
    tenant_id: str | None


@attrs.frozen(kw_only=True)
class CallStarted(CallEvent):
    """A call begins."""


@attrs.frozen(kw_only=True)
class AttemptStarted(CallEvent):
    """A request is sent.

    Attributes:
        resend_count: Attempts of this call before this one.
    """

    resend_count: int


@attrs.frozen(kw_only=True)
class BudgetSeen(CallEvent):
    """An answer reports a budget of the rate limit.

    Attributes:
        scope: Whose budget it is.
        limit: Requests per window.
        remaining: Requests that are left.
    """

    scope: Literal["tenant", "route"]
    limit: int
    remaining: int


@attrs.frozen(kw_only=True)
class RateLimited(CallEvent):
    """The server refused an attempt with status 429.

    Attributes:
        retry_after: Seconds that it asks to wait; None if it says none.
    """

    retry_after: float | None


@attrs.frozen(kw_only=True)
class AttemptFinished(CallEvent):
    """An attempt was answered, or failed.

    Attributes:
        resend_count: Attempts of this call before this one.
        seconds: From sending the request to the end of its answer.
        status: HTTP status; None without a complete answer.
        error: Name of the exception, if the attempt failed.
    """

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "%(route)s: HTTP %(status)s, attempt %(attempt)d, %(seconds).3f s, %(outcome)s (%(url)s)"
    resend_count: int
    seconds: float
    status: int | None
    error: str | None


@attrs.frozen(kw_only=True)
class RetryScheduled(CallEvent):
    """A call will be tried again; the wait begins now.

    Attributes:
        seconds: Length of the wait. After it, the rate limit may add one.
        reason: Name of the exception that the last attempt failed with.
        attempts: Attempts so far.
    """

    level: ClassVar[int] = logging.INFO
    text: ClassVar[str] = "%(route)s: retrying in %(seconds).2f s after attempt %(attempts)d: %(reason)s (%(url)s)"
    seconds: float
    reason: str
    attempts: int


@attrs.frozen(kw_only=True)
class RateLimitWaited(CallEvent):
    """A request waited for the rate limit, for a millisecond or more.

    Attributes:
        seconds: Length of the wait.
    """

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "%(route)s: waited %(seconds).3f s for the rate limit"
    seconds: float


@attrs.frozen(kw_only=True)
class CallFinished(CallEvent):
    """A call has a result, failed, or was cancelled.

    Attributes:
        attempts: Requests sent.
        seconds: The whole time. What the parts below leave of it was spent on the key's provider and on decoding.
        rate_limit_wait: Seconds of it that the call waited for the rate limit.
        connection_wait: Seconds that it waited for one of `max_connections`.
        backoff: Seconds that it waited between attempts, apart from the rate limit.
        wire: Seconds that its attempts took.
        error: Name of the exception, if the call failed.
    """

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = (
        "%(route)s: %(outcome)s in %(seconds).3f s: attempts %(attempts)d, rate limit %(rate_limit_wait).3f s,"
        " connection %(connection_wait).3f s, backoff %(backoff).3f s, wire %(wire).3f s (%(url)s)"
    )
    attempts: int
    seconds: float
    rate_limit_wait: float
    connection_wait: float
    backoff: float
    wire: float
    error: str | None


@attrs.frozen(kw_only=True)
class DriftNoticed(Event):
    """A walk has ended, and records may be missing: the list moved meanwhile, or ended short of its total.

    Attributes:
        listed: Method and path of the list, and the names in its query.
        tenant_id: The client's.
        what: What was noticed.
        duplicates: See `Drift`.
        totals: See `Drift`.
        gone: See `Drift`.
        passes: See `Drift`.
    """

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the list %(listed)s %(what)s; records may be missing"
    listed: str = attrs.field(converter=without_values)
    tenant_id: str | None
    what: str
    duplicates: int
    totals: tuple[int, ...]
    gone: int
    passes: int


@attrs.frozen(kw_only=True)
class LimitReached(Event):
    """Requests wait for the rate limit, and none may go for some seconds.

    Attributes:
        waiting: How many wait.
        seconds: Until the next one goes.
    """

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the rate limit is used up: %(waiting)d waiting, the next for %(seconds).1f s"
    waiting: int
    seconds: float


@attrs.frozen(kw_only=True)
class SharedStoreLost(Event):
    """The store of a shared rate limit does not answer.

    Attributes:
        error: Name of the exception.
    """

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the store of the shared rate limit does not answer: %(error)s"
    error: str


@attrs.frozen(kw_only=True)
class SharedStoreRegained(Event):
    """The store of a shared rate limit answers again.

    Attributes:
        seconds: How long it did not.
    """

    level: ClassVar[int] = logging.INFO
    text: ClassVar[str] = "the store of the shared rate limit answers again, after %(seconds).1f s"
    seconds: float


Listener: TypeAlias = Callable[[Event], object]
"""Called with each event; what it returns is ignored."""


class Emitter:
    """Where the events of a client leave: for its listeners, and for the log."""

    def __init__(self, listeners: Iterable[Listener] = (), *, tenant_id: str | None = None) -> None:
        self.listeners: tuple[Listener, ...] = tuple(listeners)
        self.tenant_id: str | None = tenant_id
        self._failed: set[int] = set()  # listeners that raised, by `id`

    def __call__(self, event: Event) -> None:
        """Log an event, and call the listeners with it."""
        emit_once([self], event)

    def call(self, event: Event, called: set[int]) -> None:
        """Call each listener that was not `called` yet."""
        for listener in self.listeners:
            if id(listener) in called:
                continue
            called.add(id(listener))
            try:
                listener(event)
            except Exception as error:
                if id(listener) not in self._failed:
                    self._failed.add(id(listener))
                    _logger.warning("a listener of events raised %s", type(error).__name__, exc_info=True)


def emit_once(emitters: Iterable[Emitter], event: Event) -> None:
    """Emit an event of what several clients share: one line in the log, and one call of each listener."""
    if event.level and _logger.isEnabledFor(event.level):
        values = attrs.asdict(event, recurse=False, value_serializer=lambda _, __, value: _plain(value))
        extra = {"alohub_event": type(event).__name__, **{f"alohub_{name}": values[name] for name in values}}
        values |= {"outcome": values.get("error") or "done", "attempt": values.get("resend_count", 0) + 1}
        _logger.log(event.level, event.text, values, extra=extra)
    called = set[int]()
    for emitter in [*emitters]:
        emitter.call(event, called)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Route) else value


@functools.lru_cache(maxsize=1024)
def _operation(route: Route, *, paged: bool) -> str:
    """The name of the SDK's own call for a route; `list_inbound` for `GET /v1/queues/inbound?page=0`."""
    verb = {"GET": "list" if paged else "get", "PUT": "update"}.get(route.method, route.method.lower())
    names = [segment for segment in route.template.split("/") if segment and not segment.startswith("{")]
    return "_".join([verb, *names[-1:]])


@attrs.define(eq=False, repr=False)
class CallRecorder:
    """Measures one call and emits its events. One part of its time ends where the next begins, so they add up."""

    _emit: Emitter
    _route: Route
    _url: URL
    _clock: Callable[[], float]
    _about: dict[str, Any] = attrs.field(init=False)
    _began: float = attrs.field(init=False)
    _since: float = attrs.field(init=False)  # when the part that is running began
    _part: str = "rate_limit_wait"
    _spent: dict[str, float] = attrs.field(factory=dict[str, float])
    _attempts: int = 0
    _open: bool = False  # whether an attempt has started and not finished
    _status: int | None = None  # of its answer
    _wire: float = 0.0  # seconds until its answer was there

    def __attrs_post_init__(self) -> None:
        route = Route(self._route.method, redacted(self._route.template))
        self._about = {
            "call": next(_numbers),
            "operation": _operation(route, paged="page" in self._url.query),
            "route": route,
            "url": without_values(str(self._url)),
            "tenant_id": self._emit.tenant_id,
        }
        self._began = self._since = self._clock()

    def start(self) -> "CallRecorder":
        """Emit the start of the call."""
        self._emit(CallStarted(**self._about))
        return self

    def enter(self, part: str) -> float:
        """Begin a part of the call's time; returns the seconds of the part that ends."""
        now = self._clock()
        seconds = now - self._since
        self._spent[self._part] = self._spent.get(self._part, 0.0) + seconds
        self._part, self._since = part, now
        return seconds

    def permitted(self) -> None:
        """The rate limit allows the next attempt."""
        waited = self.enter("connection_wait")
        if waited >= _LEAST_WAIT:
            self._emit(RateLimitWaited(**self._about, seconds=waited))

    def attempt_started(self) -> None:
        """The next attempt is sent now."""
        self._open, self._status = True, None
        self._emit(AttemptStarted(**self._about, resend_count=self._attempts))
        self._attempts += 1
        self.enter("wire")

    def answered(self, status: int, budgets: Mapping[Any, Any], retry_after: float | None) -> None:
        """The attempt was answered."""
        self._wire, self._status = self.enter("decoding"), status
        for scope, budget in budgets.items():
            self._emit(BudgetSeen(**self._about, scope=scope, limit=budget.limit, remaining=budget.remaining))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._emit(RateLimited(**self._about, retry_after=retry_after))

    def attempt_finished(self, error: str | None) -> None:
        """The attempt, if one is open, succeeded or failed."""
        ended = self.enter("backoff")
        if self._open:
            self._open = False
            seconds = ended if self._status is None else self._wire
            numbers: dict[str, Any] = {"resend_count": self._attempts - 1, "seconds": seconds, "status": self._status}
            self._emit(AttemptFinished(**self._about, **numbers, error=error))

    def retry_scheduled(self, seconds: float, reason: str, attempts: int) -> None:
        """The call will be tried again."""
        self._emit(RetryScheduled(**self._about, seconds=seconds, reason=reason, attempts=attempts))

    def finish(self, error: BaseException | None) -> None:
        """The call is over."""
        name = None if error is None else type(error).__name__
        self.attempt_finished(name)
        parts: dict[str, Any] = {part: self._spent.get(part, 0.0) for part in _PARTS}
        seconds = self._since - self._began
        self._emit(CallFinished(**self._about, attempts=self._attempts, seconds=seconds, error=name, **parts))
