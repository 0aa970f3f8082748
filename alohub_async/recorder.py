"""What happens in one call, as events; imported when somebody listens."""

import functools
import itertools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from yarl import URL

from alohub_async.emitter import Emitter, whose
from alohub_async.events import (
    AttemptFinished,
    AttemptStarted,
    BudgetSeen,
    CallEvent,
    CallFinished,
    CallStarted,
    RateLimited,
    RateLimitWaited,
    RetryScheduled,
    without_values,
)
from alohub_async.routes import Route
from alohub_async.secret import redacted

_LEAST_WAIT: Final = 0.001  # seconds; a shorter wait for the rate limit is no event
_numbers: Final = itertools.count(1)


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
        self._about: dict[str, Any] = {**about, **whose([emit])}
        self._began = self._since = clock()  # the call, and the part that is running
        self._part = "rate_limit_wait"
        self._spent: dict[str, float] = dict.fromkeys(
            ("rate_limit_wait", "connection_wait", "backoff", "wire", "other"), 0.0
        )
        self._attempts, self._wire = 0, 0.0  # seconds of the last attempt
        self._status: int | None = None  # of its answer
        self._open = False  # whether it has not finished

    def call_started(self) -> None:
        """The call begins."""
        self._tell(CallStarted)

    def enter(self, part: str) -> float:
        """Begin a part of the call's time; returns the seconds of the part that ends."""
        now = self._clock()
        seconds = now - self._since
        self._spent[self._part] += seconds
        if self._part == "rate_limit_wait" and seconds >= _LEAST_WAIT:
            self._tell(RateLimitWaited, seconds=seconds)
        self._part, self._since = part, now
        return seconds

    def attempt_started(self) -> None:
        """The next attempt is sent now."""
        self._open, self._status = True, None
        self._tell(AttemptStarted, resend_count=self._attempts)
        self._attempts += 1
        self.enter("wire")

    def answered(self, status: int, budgets: Any, retry_after: float | None) -> None:
        """The attempt was answered; `budgets` are `Limits`."""
        self._wire, self._status = self.enter("other"), status
        for scope, budget in budgets.items():
            self._tell(BudgetSeen, scope=scope, limit=budget.limit, remaining=budget.remaining)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._tell(RateLimited, retry_after=retry_after)

    def attempt_finished(self, error: str | None) -> None:
        """The attempt, if one is open, succeeded or failed."""
        seconds = self.enter("backoff")
        if self._open:
            self._open = False
            seconds, resent = seconds if self._status is None else self._wire, self._attempts - 1
            self._tell(AttemptFinished, resend_count=resent, seconds=seconds, status=self._status, error=error)

    def retry_scheduled(self, seconds: float, error: BaseException, attempts: int) -> None:
        """The call will be tried again in some seconds."""
        self._tell(RetryScheduled, seconds=seconds, reason=type(error).__name__, attempts=attempts)

    def finish(self, error: BaseException | None) -> None:
        """The call is over."""
        name = None if error is None else type(error).__name__
        self.attempt_finished(name)
        self._tell(CallFinished, attempts=self._attempts, seconds=self._since - self._began, error=name, **self._spent)

    def _tell(self, kind: type[CallEvent], **fields: Any) -> None:
        self._emit(kind(**self._about, **fields))
