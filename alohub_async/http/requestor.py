"""The one loop of a request: wait for the limit, send, observe, decode, retry, within one deadline."""

import asyncio
import inspect
import logging
import math
import random
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import attrs

from alohub_async.config import KeyProvider, check_key
from alohub_async.emitter import Emitter
from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    DeadlineExceededError,
    RateLimitError,
    RateLimitWaitError,
    in_seconds,
)
from alohub_async.http.redaction import bare
from alohub_async.http.requests import HeaderCache, Request
from alohub_async.http.responses import ApiResponse, Decode, Response, decode_response, retry_after_seconds
from alohub_async.http.retries import MAX_REFUSALS, RetryQuota
from alohub_async.http.transport import Transport
from alohub_async.options import CallOptions, ClientOptions, whole_deadline
from alohub_async.plurals import counted
from alohub_async.rate_limits.limiter import Permit, RateLimiter
from alohub_async.secret import Secret, hide, redacted
from alohub_async.unset import UNSET

if TYPE_CHECKING:
    from alohub_async.recorder import CallRecorder

_logger = logging.getLogger("alohub_async")


def _redact(record: logging.LogRecord) -> bool:
    """Filter of the package's log: strike the key out of a line, whatever module wrote it."""
    line = record.getMessage()
    clean = redacted(line)
    if clean != line:
        record.msg, record.args = clean, None
    return True


_logger.addFilter(_redact)

P = ParamSpec("P")
T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=BaseException)

_ROUNDING: Final = 1e-6  # seconds: possible error of a difference of clock readings
_TRANSIENT: Final = (APIConnectionError, APIResponseError, APIStatusError)


@attrs.define(eq=False, repr=False)
class Call:
    """One call, from its first attempt to its result."""

    request: Request
    decode: Decode | None
    permit: Permit  # entered anew for each attempt
    deadline: float | None  # seconds for the call; None for no end
    ends: float = math.inf  # when the deadline is over, in the loop's seconds
    attempts: int = 0  # so far
    refused: int = 0  # of them, answered with a 429 that the limiter waits out
    patient_until: float = math.inf  # later 429s use up retries; in the loop's seconds
    maybe_sent: bool = False  # see `transport.Call`
    error: AlohubError | None = None  # of the last attempt, if it failed
    recorder: "CallRecorder | None" = None  # if anybody listens
    next_key: Secret[str] | None = None  # of the next attempt, if the provider returned it after a 401
    asked_again: bool = False  # whether the provider was asked after a 401
    key: Secret[str] = attrs.field(init=False)  # of the last attempt
    response: Response = attrs.field(init=False, repr=False)  # the last one; hidden, since rich shows fields in frames
    payload: Any = attrs.field(init=False, repr=False)

    def describe(self, error: ErrorT) -> ErrorT:
        """Make an error describe the whole call, and drop the frames that may hold headers and bodies."""
        if isinstance(error, AlohubError):
            error.attempts, error.maybe_sent = self.attempts, self.maybe_sent
        return bare(error)

    def decoded(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function reads out of the payload."""
        try:
            return read(*args, **kwargs)
        except AlohubError as error:
            del args, kwargs
            failed = self.describe(error)
        try:
            raise failed
        finally:
            del failed  # or the error would hold its own frame, and that the caller's


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Requestor:
    """Sends requests. Copies of a client share everything here but the options."""

    api_key: Secret[str] | KeyProvider
    options: ClientOptions  # its call options are the defaults of each call
    transport: Transport
    limiter: RateLimiter
    quota: RetryQuota
    headers: HeaderCache
    events: Emitter

    async def send(self, request: Request, options: CallOptions, decode: Decode | None = None) -> Call:
        """Send a request until it succeeds, fails for good, or the time is over."""
        defaults, wait = self.options, options.max_rate_limit_wait
        priority = defaults.priority if options.priority is UNSET else options.priority
        deadline = defaults.deadline if options.deadline is UNSET else options.deadline
        permit = self.limiter.acquire(
            request.route,
            priority="normal" if priority is UNSET else priority,
            max_wait=defaults.max_rate_limit_wait if wait is UNSET else wait,
            max_retry_after=defaults.retry.max_retry_after,
        )
        call = Call(request, decode, permit, None if deadline is UNSET else deadline)
        if self.events.listeners or _logger.isEnabledFor(logging.DEBUG):
            call.recorder = self._recorder(request)
            call.recorder.call_started()
        timeout: asyncio.Timeout | None = None
        error: Any = None
        done = False
        try:
            if call.deadline is None:
                await self._try_until_done(call)
            else:
                call.ends = _now() + call.deadline
                timeout = asyncio.timeout_at(call.ends)
                async with timeout:
                    await self._try_until_done(call)
        except TimeoutError:
            if timeout is None or not timeout.expired():
                raise  # a key provider's own
            error = _deadline_exceeded(call, "the time is over")
            error.__cause__ = call.error
        except (AlohubError, asyncio.CancelledError) as exc:
            error = call.describe(exc)
        else:
            done = True
            return call
        finally:
            if call.recorder is not None:
                call.recorder.finish(None if done else error or sys.exception())
        try:
            raise error  # here, so that it has no context
        finally:
            del error, call  # or the error would hold its own frame, and that the caller's

    async def request(self, request: Request, options: CallOptions) -> ApiResponse:
        """Send a request as `send` does, for the whole answer."""
        started = _now()
        call = await self.send(request, options)
        return ApiResponse(call.response.status, call.response.headers, call.payload, call.attempts, _now() - started)

    async def _try_until_done(self, call: Call) -> None:
        while True:
            try:
                await self._try(call)
            except AlohubError as error:
                if call.recorder is not None:
                    call.recorder.attempt_finished(type(error).__name__)
                if isinstance(error, DeadlineExceededError) or not isinstance(error, _TRANSIENT):
                    raise
                call.error = error
                await self._before_retry(call, error)
                if call.recorder is not None:
                    call.recorder.enter("rate_limit_wait")
            else:
                if not self.quota.full:
                    self.quota.refund()
                return

    async def _try(self, call: Call) -> None:
        """Make one attempt."""
        request, permit, recorder = call.request, call.permit, call.recorder
        left = math.inf
        if call.ends < math.inf:
            left = max(0.0, call.ends - _now())
            permit.max_wait = left if permit.max_wait is None else min(left, permit.max_wait)
        connections = await self.transport.connections()  # before the wait, so that a closed client says so at once
        try:
            async with permit:
                if recorder is not None:
                    recorder.enter("connection_wait")
                if connections.free_slots:
                    connections.free_slots -= 1
                else:
                    await connections.wait_for_slot()
                try:
                    key = self.api_key
                    if callable(key):  # asked after the waits, for a key that rotates
                        if recorder is not None:
                            recorder.enter("other")
                        key, call.next_key = call.next_key or await _provided(key), None
                    call.key = key
                    headers = self.headers[key, request.body is not None]
                    call.attempts += 1
                    if recorder is not None:
                        recorder.attempt_started()
                    timeouts, max_bytes = self.options.timeouts, self.options.max_response_bytes
                    call.response = response = await connections.send(request, headers, timeouts, max_bytes, call=call)
                finally:
                    connections.release_slot()
                status, answered = response.status, response.headers
                asked = retry_after_seconds(answered, wall_clock=time.time) if "Retry-After" in answered else None
                limits = permit.observe(status, answered, retry_after=asked)
                if recorder is not None:
                    recorder.answered(status, limits, asked)
        except RateLimitWaitError as error:
            if left - (permit.max_wait or 0.0) > _ROUNDING or error.wait < left:
                raise  # the limiter's own bounds are narrower than the deadline
            because = "" if error.retry_after is None else f" (the server asked for {in_seconds(error.retry_after)})"
            why = f"the rate limit delays the next attempt by {in_seconds(error.wait)}{because}"
            raise _deadline_exceeded(call, why) from (call.error or error)
        strict, decode = self.options.strict, call.decode
        call.payload = decode_response(request, response, retry_after=asked, strict=strict, decode=decode)

    async def _before_retry(self, call: Call, error: AlohubError) -> None:
        """Wait before the next attempt, or raise `error` if there is to be none."""
        if isinstance(error, AuthenticationError) and await self._has_another_key(call):
            self._retry(call, 0.0, error)  # with another key
            return
        is_429 = isinstance(error, RateLimitError) and error.status == HTTPStatus.TOO_MANY_REQUESTS
        asked = error.retry_after if isinstance(error, RateLimitError) else None
        waits = is_429 and (asked or 0.0) <= self.limiter.max_block
        if not call.refused:
            call.patient_until = _now() + 2 * self.limiter.max_block
        if waits and call.refused < MAX_REFUSALS and _now() < call.patient_until:
            call.refused += 1
        retry, method = self.options.retry, "GET" if call.request.reads else call.request.route.method
        delay = retry.delay(call.attempts, method, error, random.random, refused=call.refused)
        if delay is None:
            raise error
        if waits and asked == delay:
            self._retry(call, delay, error)
            return  # the limiter makes all requests wait, and keeps this one's place in the queue
        if not isinstance(error, RateLimitError) and not self.quota.spend():
            error.add_note("not tried again: too many of this client's calls have failed lately")
            raise error
        if _now() + delay >= call.ends:
            raise _deadline_exceeded(call, f"the next attempt is due in {delay:.2f} s") from error
        self._retry(call, delay, error)
        await (call.permit.pause(delay) if waits else asyncio.sleep(delay))

    def _retry(self, call: Call, delay: float, error: AlohubError) -> None:
        """Emit that the call will be tried again."""
        if call.recorder is not None or _logger.isEnabledFor(logging.INFO):
            recorder = call.recorder or self._recorder(call.request)
            recorder.retry_scheduled(delay, error, call.attempts)

    def _recorder(self, request: Request) -> "CallRecorder":
        from alohub_async.recorder import CallRecorder  # most clients need none

        return CallRecorder(self.events, request.route, request.url, asyncio.get_running_loop().time)

    async def _has_another_key(self, call: Call) -> bool:
        """Ask the provider once more after a 401, which says that the request was not acted on."""
        used_up = call.attempts - call.refused > self.options.retry.max_retries
        if not callable(self.api_key) or call.asked_again or used_up:
            return False
        call.asked_again, call.next_key = True, await _provided(self.api_key)
        return call.next_key is not call.key

    async def key(self) -> Secret[str]:
        """The key as it is now."""
        return await _provided(self.api_key) if callable(self.api_key) else self.api_key


async def _provided(key: KeyProvider) -> Secret[str]:
    provided = hide(key())
    if inspect.isawaitable(provided.revealed):
        provided = hide(await provided.revealed)
    return check_key(provided)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _deadline_exceeded(call: Call, why: str) -> DeadlineExceededError:
    tried = f"{whole_deadline(call.deadline)} ({counted(call.attempts, 'attempt')})"
    last = f"; the last error: {call.error}" if call.error is not None else ""
    message = f"{call.request}: not done within its deadline of {tried}: {why}{last}"
    return call.describe(DeadlineExceededError(message, maybe_sent=call.maybe_sent))
