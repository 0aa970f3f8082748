"""The one loop a request goes through: limit, send, observe, decode, retry, within one time budget."""

import asyncio
import inspect
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

import attrs

from alohub_async.config import ClientConfig
from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    DeadlineExceededError,
    RateLimitError,
    RateLimitWaitError,
)
from alohub_async.http.requests import HeaderMaker, Request
from alohub_async.http.responses import ApiResponse, Response, decode_response, retry_after_seconds
from alohub_async.http.retries import RetryPolicy, RetryQuota
from alohub_async.http.timeouts import Timeouts
from alohub_async.http.transport import Meanwhile, Transport
from alohub_async.options import CallOptions
from alohub_async.rate_limits import RateLimiter
from alohub_async.rate_limits.priorities import Priority
from alohub_async.unset import UNSET

_logger = logging.getLogger("alohub_async")

_TRANSIENT: Final = (APIConnectionError, APIResponseError, APIStatusError)  # what may be another time


class _Call:
    """What is to be sent, and how far it has come."""

    __slots__ = (
        "attempts",
        "decode",
        "ends",
        "error",
        "maybe_sent",
        "meanwhile",
        "request",
        "response",
        "seconds",
        "turn",
    )

    response: Response
    """The last answer."""

    def __init__(
        self,
        requestor: "Requestor",
        request: Request,
        options: CallOptions,
        decode: Callable[[bytes], object] | None = None,
        meanwhile: Meanwhile = (),
    ) -> None:
        requestor.transport.require_open()
        self.request = request
        self.decode = decode
        self.turn = requestor.limiter.acquire(
            request.route,
            priority=options.priority or requestor.priority,
            max_wait=UNSET if options.max_wait is None else options.max_wait,
            max_retry_after=requestor.retry.max_retry_after,
        )
        self.meanwhile: Meanwhile = meanwhile
        self.seconds = requestor.deadline if options.deadline is None else options.deadline  # it may take in all
        self.ends = None if self.seconds is None else _now() + self.seconds  # loop time
        self.attempts = 0
        self.error: AlohubError | None = None  # of the last attempt
        self.maybe_sent = False  # whether any attempt may have reached the server


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Requestor:
    """Sends requests; what it holds is shared by the copies that `with_options` makes.

    Attributes:
        config: What a request is built from.
        timeouts: Of each attempt.
        retry: When to try again.
        deadline: Seconds for a call in all, if the call does not bring its own; None for no end.
        priority: Of a call that does not bring its own.
        transport: Sends.
        limiter: Says when to send.
        quota: Retries the client may still spend.
    """

    config: ClientConfig
    timeouts: Timeouts
    retry: RetryPolicy
    deadline: float | None
    priority: Priority
    transport: Transport
    limiter: RateLimiter
    quota: RetryQuota
    _headers: HeaderMaker = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_headers", HeaderMaker(self.config))  # as attrs says for frozen classes

    async def send(self, request: Request, options: CallOptions) -> ApiResponse:
        """Send a request until it succeeds, fails for good, or the time is up.

        Args:
            request: What to send.
            options: How.

        Raises:
            DeadlineExceededError: It cannot be done by the deadline.
            RateLimitWaitError: It would have to wait longer than it may.
            AlohubError: The last attempt's error.
        """
        started = _now()
        call = _Call(self, request, options)
        payload = await self._until_done(call)
        return ApiResponse(call.response.status, call.response.headers, payload, call.attempts, _now() - started)

    def load(
        self,
        request: Request,
        options: CallOptions,
        decode: Callable[[bytes], object] | None,
        meanwhile: Meanwhile = (),
    ) -> Coroutine[Any, Any, Any]:
        """Send a request as `send` does, for nothing but its payload.

        Args:
            request: What to send.
            options: How.
            decode: See `decode_response`; what it makes of the answer is the payload.
            meanwhile: See `Connections.send`.
        """
        return self._until_done(_Call(self, request, options, decode, meanwhile))

    def _until_done(self, call: _Call) -> Coroutine[Any, Any, Any]:
        return self._try_until_done(call) if call.ends is None else self._try_until_deadline(call)

    async def _try_until_deadline(self, call: _Call) -> Any:
        limit = asyncio.timeout_at(call.ends)
        try:
            async with limit:
                return await self._try_until_done(call)
        except TimeoutError as exc:
            if not limit.expired():
                raise  # a key provider's own
            raise _deadline_exceeded(call, "it passed") from (call.error or exc)

    async def _try_until_done(self, call: _Call) -> Any:
        while True:
            sent_before = call.maybe_sent
            try:
                payload = await self._try(call)
            except AlohubError as error:
                error.attempts = call.attempts
                if isinstance(error, DeadlineExceededError) or not isinstance(error, _TRANSIENT):
                    raise
                if isinstance(error, APIConnectionError):
                    call.maybe_sent = sent_before or error.maybe_sent
                call.error = error
                await self._before_retry(call, error)
            else:
                self.quota.refund()
                return payload

    async def _try(self, call: _Call) -> Any:
        request, turn = call.request, call.turn
        left = math.inf if call.ends is None else max(0.0, call.ends - _now())
        if left < (math.inf if turn.max_wait is None else turn.max_wait):
            turn.max_wait = left
        try:
            async with turn:
                connections = await self.transport.connections()
                if connections.free:
                    connections.free -= 1
                else:
                    await connections.wait()
                try:
                    key = self.config.api_key
                    if not isinstance(key, str):
                        key = await _provided(key)  # after the waits, for one that rotates
                    headers = self._headers.headers(request, key)
                    call.attempts += 1
                    call.maybe_sent = True
                    call.response = response = await connections.send(request, headers, self.timeouts, call.meanwhile)
                finally:
                    connections.leave()
                retry_after = None
                if "Retry-After" in response.headers:
                    retry_after = retry_after_seconds(response.headers, wall_clock=time.time)
                turn.observe(response.status, response.headers, retry_after=retry_after)
        except RateLimitWaitError as error:
            if turn.max_wait != left or error.wait < left:
                raise  # the limiter's own bounds are narrower than the deadline
            why = f"the rate limit has the next attempt wait for {error.wait:.2f} s"
            raise _deadline_exceeded(call, why) from (call.error or error)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s: HTTP %d, attempt %d", request, response.status, call.attempts)
        return decode_response(request, response, secret=key, retry_after=retry_after, decode=call.decode)

    async def _before_retry(self, call: _Call, error: AlohubError) -> None:
        """Wait before the next attempt, or raise `error` if there is to be none."""
        request = call.request
        delay = self.retry.delay(call.attempts, request.route.method, error, random.random)
        if delay is None:
            raise error
        if isinstance(error, RateLimitError):
            if error.status == HTTPStatus.TOO_MANY_REQUESTS and error.retry_after == delay:
                return  # the limiter waits, for all requests alike, and keeps this one's place in line
        elif not self.quota.spend():
            error.add_note("not tried again: too many of this client's calls have failed lately")
            raise error
        _logger.info(
            "%s: trying again in %.2f s after attempt %d: %s", request, delay, call.attempts, type(error).__name__
        )
        if call.ends is not None and _now() + delay >= call.ends:
            raise _deadline_exceeded(call, f"the next attempt is due in {delay:.2f} s") from error
        await asyncio.sleep(delay)

    async def key(self) -> str:
        """The key, as it is now."""
        key = self.config.api_key
        return key if isinstance(key, str) else await _provided(key)


async def _provided(key: Callable[[], str | Awaitable[str]]) -> str:
    provided = key()
    return await provided if inspect.isawaitable(provided) else provided


def _now() -> float:
    return asyncio.get_running_loop().time()


def _deadline_exceeded(call: _Call, why: str) -> DeadlineExceededError:
    last = f"; the last error: {call.error}" if call.error is not None else ""
    error = DeadlineExceededError(
        f"{call.request}: not done within its deadline of {call.seconds or 0.0:.2f} s"
        f" ({call.attempts} attempts): {why}{last}",
        maybe_sent=call.maybe_sent,
    )
    error.attempts = call.attempts
    return error
