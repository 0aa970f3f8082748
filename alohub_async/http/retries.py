"""Whether and when to try again: pure decisions, without a clock or a socket.

Retries multiply traffic just when the server can bear it least. So delays grow exponentially and are spread over their
whole range ("full jitter"), and each client has a retry quota that an outage uses up and successes refill.
"""

from collections.abc import Callable
from typing import Any, Final

import attrs

from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    ConfigurationError,
    InternalServerError,
    RateLimitError,
)
from alohub_async.secret import repr_of_fields
from alohub_async.validation import check_count, check_flag, check_seconds, refuse, validator

_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525), 529, 530})
_NOT_ACTED_ON: Final = frozenset({408, 425, 429})  # the server says so: it did not get all of it, or refused it
MAX_REFUSALS: Final = 100
"""429s that one call waits out beyond its retries, within twice `max_block`: if all is refused, the call ends."""

_SPREAD: Final = 0.1  # of a `Retry-After`: clients that were sent away together come back one by one
_READS: Final = frozenset({"GET"})
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})

_seconds: Final = validator(check_seconds, zero=True, error=ConfigurationError)
_max_retries: Final = validator(check_count, least=0, most=100, error=ConfigurationError)


def _statuses(value: Any) -> frozenset[int]:
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise refuse("retry_statuses", "a set of HTTP statuses", value, wrong_type=True, error=ConfigurationError)
    statuses = frozenset(value)
    for status in statuses:
        check_count("each of retry_statuses", status, least=400, most=599, error=ConfigurationError)
    return statuses


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a failed attempt is repeated.

    Connection errors, timeouts, `retry_statuses`, and reads whose body is cut short or not JSON are repeated. A `PUT`
    of this API sets absolute values, so it is repeated too. Other failures (400, 403, 404, …) are not. A 401 is, once,
    if a callable that provides the key now returns another one.

    The n-th retry waits a random time between 0 and `backoff * 2**(n-1)` seconds, at most `max_backoff`. If the server
    sends a `Retry-After`, it waits for that, and for a random time of up to a tenth of it or that backoff.

    A 429 uses up no retry if its `Retry-After` is at most the rate limiter's `max_block`: the call waits again. So it
    goes on for twice `max_block` (two minutes), or 100 429s, within its deadline and its longest wait for the limit.

    Attributes:
        max_retries: Attempts after the first, 0 to 100. 0 means one transmission, whatever happens.
        backoff: Seconds, see above.
        max_backoff: Seconds, see above.
        max_retry_after: The longest `Retry-After` that is obeyed, in seconds. A longer one raises at once; the error's
            `retry_after` has the time.
        retry_writes: Whether `PUT` and `DELETE` are repeated when the server may have acted on them already. They are
            always repeated when it certainly has not (no connection, 408, 425, 429).
        retry_statuses: HTTP statuses that are transient. By default 408, 425, 429, 500, 502, 503, 504, and those of
            Cloudflare and other gateways: 520 to 524, 529, 530.

    Raises:
        ConfigurationError: A value out of range.
    """

    max_retries: int = attrs.field(default=3, validator=_max_retries)
    backoff: float = attrs.field(default=0.5, validator=_seconds)
    max_backoff: float = attrs.field(default=8.0, validator=_seconds)
    max_retry_after: float = attrs.field(default=60.0, validator=_seconds)
    retry_writes: bool = attrs.field(default=True, validator=validator(check_flag, error=ConfigurationError))
    retry_statuses: frozenset[int] = attrs.field(default=_TRANSIENT, converter=_statuses)

    __repr__ = repr_of_fields

    def delay(
        self, attempt: int, method: str, error: AlohubError, random: Callable[[], float], *, refused: int = 0
    ) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        `attempt` attempts were made, 1 or more; the last one failed with `error`. `refused` of them count as no retry,
        because the rate limiter waits. `random` returns a number between 0 and 1.
        """
        if not self.max_retries or attempt - refused > self.max_retries or not self._may_repeat(method, error):
            return None
        asked = error.retry_after if isinstance(error, APIStatusError) else None
        if asked is not None and asked > self.max_retry_after:
            return None
        spread = min(self.max_backoff, self.backoff * 2.0 ** (attempt - 1))
        if asked is None:
            return random() * spread
        if isinstance(error, RateLimitError) and error.status == 429:
            return max(random() * spread, asked)  # the limiter lets the waiting requests go one by one
        return asked + random() * max(spread, asked * _SPREAD)

    def _may_repeat(self, method: str, error: AlohubError) -> bool:
        idempotent = method in (_IDEMPOTENT if self.retry_writes else _READS)
        if isinstance(error, APIConnectionError):
            return not error.permanent and (idempotent or not error.maybe_sent)
        if isinstance(error, APIResponseError):
            return error.undecodable and method in _READS
        if not isinstance(error, APIStatusError):
            return False
        status = error.status
        if isinstance(error, RateLimitError):  # the API's own code counts, under any status
            status = 429
        elif status < 300 and isinstance(error, InternalServerError):
            status = 500
        if status not in self.retry_statuses:
            return False
        # An error of its own kind under another status is the API's answer, not a gateway's.
        known = type(error) in {APIStatusError, InternalServerError, RateLimitError} or status not in _TRANSIENT
        return known and (idempotent or status in _NOT_ACTED_ON)


_COST: Final = 5  # of a retry, in successes


class RetryQuota:
    """How many retries a client may still spend, shared by all its calls; five successes earn one retry.

    A full quota covers a burst of failures. In an outage it runs dry: calls then fail at their first error, until at
    most one call in six fails.
    """

    def __init__(self, retries: int = 100) -> None:
        self.full: bool = True  # whether all retries that were spent are earned again
        self._most = retries * _COST
        self._left = self._most

    def spend(self) -> bool:
        """Spend one retry; False if none is left."""
        if self._left < _COST:
            return False
        self._left -= _COST
        self.full = False
        return True

    def refund(self) -> None:
        """Record a success."""
        self._left = min(self._left + 1, self._most)
        self.full = self._left == self._most
