"""The one loop of a request: wait for the limit, send, observe, decode, retry, within one deadline."""

import asyncio
import inspect
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import attrs

from alohub_async.config import ApiKey, check_header_value
from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    DeadlineExceededError,
    RateLimitError,
    RateLimitWaitError,
)
from alohub_async.http.requests import HeaderCache, Request
from alohub_async.http.responses import ApiResponse, Response, decode_response, retry_after_seconds
from alohub_async.http.retries import RetryQuota
from alohub_async.http.transport import Transport
from alohub_async.options import CallOptions, ClientOptions
from alohub_async.rate_limits import RateLimiter
from alohub_async.unset import UNSET

if TYPE_CHECKING:
    from alohub_async.rate_limits import Permit

_logger = logging.getLogger("alohub_async")

_TRANSIENT: Final = (APIConnectionError, APIResponseError, APIStatusError)


class Call:
    """One call, from its first attempt to its result.

    Attributes:
        request: What is sent.
        decode: See `decode_response`.
        permit: The limiter's permit, entered anew for each attempt.
        deadline: Seconds for the call; None for no end.
        ends: When the deadline is over, in the loop's seconds; inf without one.
        attempts: Transmissions so far.
        maybe_sent: Whether any attempt may have reached the server.
        error: The last attempt's error, if it failed.
        response: The last answer.
        payload: The decoded answer, once there is one.
    """

    __slots__ = (
        "attempts",
        "deadline",
        "decode",
        "ends",
        "error",
        "maybe_sent",
        "payload",
        "permit",
        "request",
        "response",
    )

    response: Response
    payload: Any

    def __init__(
        self, requestor: "Requestor", request: Request, options: CallOptions, decode: Callable[[bytes], object] | None
    ) -> None:
        defaults = requestor.options
        wait = options.max_rate_limit_wait
        priority = defaults.priority if options.priority is UNSET else options.priority
        self.request: Request = request
        self.decode: Callable[[bytes], object] | None = decode
        self.permit: Permit = requestor.limiter.acquire(
            request.route,
            priority="normal" if priority is UNSET else priority,
            max_wait=defaults.max_rate_limit_wait if wait is UNSET else wait,
            max_retry_after=defaults.retry.max_retry_after,
        )
        deadline = defaults.deadline if options.deadline is UNSET else options.deadline
        self.deadline: float | None = None if deadline is UNSET else deadline
        self.ends: float = math.inf
        self.attempts: int = 0
        self.maybe_sent: bool = False
        self.error: AlohubError | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Requestor:
    """Sends requests. Copies of a client share everything here but the options.

    Attributes:
        api_key: See `ApiKey`.
        options: The client's; its call options are the defaults of each call.
        transport: Sends.
        limiter: Decides when a request may go.
        quota: Retries that the client may still spend.
        headers: The headers of attempts.
    """

    api_key: ApiKey
    options: ClientOptions
    transport: Transport
    limiter: RateLimiter
    quota: RetryQuota
    headers: HeaderCache

    async def send(
        self, request: Request, options: CallOptions, decode: Callable[[bytes], object] | None = None
    ) -> Call:
        """Send a request until it succeeds, fails for good, or the time is over.

        Args:
            request: What to send.
            options: How; `UNSET` is the client's.
            decode: See `decode_response`.

        Raises:
            DeadlineExceededError: It cannot be done within the deadline.
            RateLimitWaitError: It would have to wait longer than it may.
            AlohubError: The last attempt's error.
        """
        call = Call(self, request, options, decode)
        if call.deadline is None:
            await self._try_until_done(call)
            return call
        call.ends = _now() + call.deadline
        timeout = asyncio.timeout_at(call.ends)
        try:
            async with timeout:
                await self._try_until_done(call)
        except TimeoutError as exc:
            if not timeout.expired():
                raise  # a key provider's own
            raise _deadline_exceeded(call, "the time is over") from (call.error or exc)
        return call

    async def request(self, request: Request, options: CallOptions) -> ApiResponse:
        """Send a request as `send` does, for the whole answer."""
        started = _now()
        call = await self.send(request, options)
        return ApiResponse(call.response.status, call.response.headers, call.payload, call.attempts, _now() - started)

    async def _try_until_done(self, call: Call) -> None:
        while True:
            sent_before = call.maybe_sent
            try:
                await self._try(call)
            except AlohubError as error:
                error.attempts = call.attempts
                if isinstance(error, DeadlineExceededError) or not isinstance(error, _TRANSIENT):
                    raise
                if isinstance(error, APIConnectionError):
                    call.maybe_sent = sent_before or error.maybe_sent
                call.error = error
                await self._before_retry(call, error)
            else:
                if not self.quota.full:
                    self.quota.refund()
                return

    async def _try(self, call: Call) -> None:
        """Make one attempt."""
        request, permit = call.request, call.permit
        left = math.inf
        if call.ends < math.inf:
            left = max(0.0, call.ends - _now())
            if permit.max_wait is None or left < permit.max_wait:
                permit.max_wait = left
        connections = await self.transport.connections()  # before the wait, so that a closed client says so at once
        try:
            async with permit:
                if connections.free_slots:
                    connections.free_slots -= 1
                else:
                    await connections.wait_for_slot()
                try:
                    key = self.api_key
                    if not isinstance(key, str):
                        key = await _provided(key)  # after the waits, for a key that rotates
                    headers = self.headers[key, request.body is not None]
                    call.attempts += 1
                    call.maybe_sent = True
                    call.response = response = await connections.send(
                        request, headers, self.options.timeouts, self.options.max_response_bytes
                    )
                finally:
                    connections.release_slot()
                retry_after = None
                if "Retry-After" in response.headers:
                    retry_after = retry_after_seconds(response.headers, wall_clock=time.time)
                permit.observe(response.status, response.headers, retry_after=retry_after)
        except RateLimitWaitError as error:
            if permit.max_wait != left or error.wait < left:
                raise  # the limiter's own bounds are narrower than the deadline
            why = f"the rate limit delays the next attempt by {error.wait:.2f} s"
            raise _deadline_exceeded(call, why) from (call.error or error)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s: HTTP %d, attempt %d", request, response.status, call.attempts)
        call.payload = decode_response(
            request,
            response,
            secret=key,
            retry_after=retry_after,
            strict=self.options.strict,
            decode=call.decode,
        )

    async def _before_retry(self, call: Call, error: AlohubError) -> None:
        """Wait before the next attempt, or raise `error` if there is to be none."""
        request = call.request
        delay = self.options.retry.delay(call.attempts, request.route.method, error, random.random)
        if delay is None:
            raise error
        if isinstance(error, RateLimitError):
            if error.status == HTTPStatus.TOO_MANY_REQUESTS and error.retry_after == delay:
                return  # the limiter makes all requests wait, and keeps this one's place in the queue
        elif not self.quota.spend():
            error.add_note("not tried again: too many of this client's calls have failed lately")
            raise error
        _logger.info("%s: retrying in %.2f s after attempt %d: %s", request, delay, call.attempts, type(error).__name__)
        if _now() + delay >= call.ends:
            raise _deadline_exceeded(call, f"the next attempt is due in {delay:.2f} s") from error
        await asyncio.sleep(delay)

    async def key(self) -> str:
        """The key as it is now."""
        key = self.api_key
        return key if isinstance(key, str) else await _provided(key)


async def _provided(key: Callable[[], str | Awaitable[str]]) -> str:
    provided = key()
    return check_header_value("api_key", await provided if inspect.isawaitable(provided) else provided)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _deadline_exceeded(call: Call, why: str) -> DeadlineExceededError:
    attempts = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
    last = f"; the last error: {call.error}" if call.error is not None else ""
    error = DeadlineExceededError(
        f"{call.request}: not done within its deadline of {call.deadline or 0.0:.2f} s ({attempts}): {why}{last}",
        maybe_sent=call.maybe_sent,
    )
    error.attempts = call.attempts
    return error
