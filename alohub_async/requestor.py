"""The one loop a request goes through: limit, send, observe, decode, retry, within one time budget."""

import asyncio
import inspect
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import attrs

from alohub_async.calls import CallOptions
from alohub_async.config import ClientConfig, Priority, Timeouts
from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    DeadlineExceededError,
    RateLimitError,
    RateLimitWaitError,
)
from alohub_async.rate_limits import RateLimiter
from alohub_async.rate_limits.schedule import Turn
from alohub_async.retries import RetryPolicy, RetryQuota
from alohub_async.transport import Transport
from alohub_async.wire import ApiResponse, HeaderMaker, Request, decode_response, retry_after_seconds

_logger = logging.getLogger("alohub_async")


class _Call:
    """How far one call has come."""

    __slots__ = ("attempts", "decode", "ends", "error", "loop", "maybe_sent", "started")

    def __init__(self, seconds: float | None, decode: Callable[[bytes], object] | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.started = started = self.loop.time()
        self.ends = None if seconds is None else started + seconds  # loop time
        self.decode = decode
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

    async def send(
        self, request: Request, options: CallOptions, decode: Callable[[bytes], object] | None = None
    ) -> ApiResponse:
        """Send a request until it succeeds, fails for good, or the time is up.

        Args:
            request: What to send.
            options: How.
            decode: See `decode_response`; what it makes of the answer is the payload.

        Raises:
            DeadlineExceededError: It cannot be done by the deadline.
            RateLimitWaitError: It would have to wait longer than it may.
            AlohubError: The last attempt's error.
        """
        self.transport.require_open()
        call = _Call(self.deadline if options.deadline is None else options.deadline, decode)
        turn = self.limiter.acquire(
            request.route,
            priority=options.priority or self.priority,
            max_wait=options.max_wait,
            max_retry_after=self.retry.max_retry_after,
        )
        try:
            if call.ends is None:
                return await self._send_until_done(request, call, turn)
            return await self._send_by_deadline(request, call, turn)
        except AlohubError as error:
            error.attempts = call.attempts
            raise

    async def _send_by_deadline(self, request: Request, call: _Call, turn: Turn) -> ApiResponse:
        limit = asyncio.timeout_at(call.ends)
        try:
            async with limit:
                return await self._send_until_done(request, call, turn)
        except TimeoutError as exc:
            if not limit.expired():
                raise  # a key provider's own
            raise self._deadline_exceeded(request, call, "it passed") from (call.error or exc)

    async def _send_until_done(self, request: Request, call: _Call, turn: Turn) -> ApiResponse:
        while True:
            sent_before = call.maybe_sent
            try:
                response = await self._attempt(request, call, turn)
            except DeadlineExceededError:
                raise
            except (APIConnectionError, APIResponseError, APIStatusError) as error:
                if isinstance(error, APIConnectionError):
                    call.maybe_sent = sent_before or error.maybe_sent
                call.error = error
                await self._before_retry(request, call, error)
            else:
                self.quota.refund()
                return response

    async def _attempt(self, request: Request, call: _Call, turn: Turn) -> ApiResponse:
        left = math.inf if call.ends is None else max(0.0, call.ends - call.loop.time())
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
                    response = await connections.send(request, headers, self.timeouts)
                finally:
                    connections.leave()
                retry_after = retry_after_seconds(response.headers, wall_clock=time.time)
                turn.observe(response.status, response.headers, retry_after=retry_after)
        except RateLimitWaitError as error:
            if turn.max_wait != left or error.wait < left:
                raise  # the limiter's own bounds are narrower than the deadline
            why = f"the rate limit has the next attempt wait for {error.wait:.2f} s"
            raise self._deadline_exceeded(request, call, why) from (call.error or error)
        _logger.debug("%s: HTTP %d, attempt %d", request, response.status, call.attempts)
        payload = decode_response(request, response, secret=key, retry_after=retry_after, decode=call.decode)
        return ApiResponse(response.status, response.headers, payload, call.attempts, call.loop.time() - call.started)

    async def _before_retry(self, request: Request, call: _Call, error: AlohubError) -> None:
        """Wait before the next attempt, or raise `error` if there is to be none."""
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
        if call.ends is not None and call.loop.time() + delay >= call.ends:
            raise self._deadline_exceeded(request, call, f"the next attempt is due in {delay:.2f} s") from error
        await asyncio.sleep(delay)

    def _deadline_exceeded(self, request: Request, call: _Call, why: str) -> DeadlineExceededError:
        seconds = (call.ends or 0.0) - call.started
        last = f"; the last error: {call.error}" if call.error is not None else ""
        error = DeadlineExceededError(
            f"{request}: not done within its deadline of {seconds:.2f} s ({call.attempts} attempts): {why}{last}",
            maybe_sent=call.maybe_sent,
        )
        error.attempts = call.attempts
        return error

    async def key(self) -> str:
        """The key, as it is now."""
        key = self.config.api_key
        return key if isinstance(key, str) else await _provided(key)


async def _provided(key: Callable[[], str | Awaitable[str]]) -> str:
    provided = key()
    return await provided if inspect.isawaitable(provided) else provided
