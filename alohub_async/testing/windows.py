"""Five kinds of rate-limit window, as pure state. The clock is an argument.

The vendor documents a number of requests per 10 seconds, but not how they are counted. All times are seconds of one
monotonic clock. Some gateways also count the requests they deny (`count_denied`).
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Final, Literal

from attrs import define, field

from alohub_async.validation import check_count, check_seconds, validator

WindowKind = Literal["aligned", "first-request", "sliding-log", "sliding-counter", "token-bucket"]
"""The kinds of `make_window`."""

_ROUNDING = 1e-9  # requests: the tolerated error of sums of floats


@define(eq=False)
class ServerWindow(ABC):
    """The budget of one scope on the server. The limit can be changed at any time; 0 allows no request."""

    limit: int = field(validator=validator(check_count, least=0))
    seconds: float = field(default=10.0, kw_only=True, validator=validator(check_seconds))
    count_denied: bool = field(default=False, kw_only=True)

    def free(self, now: float) -> int:
        """Whole requests that are allowed now, 0 or more."""
        return max(0, self._left(now))

    def take(self, now: float) -> None:
        """Count one request, whether it is allowed or not."""
        self._count(now)

    def deny(self, now: float) -> None:
        """Count a denied request if `count_denied`."""
        if self.count_denied:
            self._count(now)

    def retry_after(self, now: float) -> float:
        """Seconds until a request is allowed; 0 if one is now, and one window if the limit is 0."""
        if self.free(now) > 0:
            return 0.0
        return max(0.0, self._next_free(now) - now) if self.limit else self.seconds

    @abstractmethod
    def _count(self, now: float) -> None:
        """Count one request."""

    @abstractmethod
    def _left(self, now: float) -> int:
        """Whole requests left; negative if the limit was lowered or denied requests count."""

    @abstractmethod
    def _next_free(self, now: float) -> float:
        """When the next request is allowed, if none is now and the limit is above 0."""


class AlignedWindow(ServerWindow):
    """A counter that restarts at each multiple of `seconds`. The previous count is for `SlidingCounterWindow`."""

    _index: int = 0
    _current: int = 0
    _previous: int = 0

    def _count(self, now: float) -> None:
        self._turn(now)
        self._current += 1

    def _left(self, now: float) -> int:
        self._turn(now)
        return self.limit - self._current

    def _next_free(self, now: float) -> float:
        return (math.floor(now / self.seconds) + 1) * self.seconds

    def _turn(self, now: float) -> None:
        index = math.floor(now / self.seconds)
        if index != self._index:
            self._previous = self._current if index == self._index + 1 else 0
            self._index, self._current = index, 0


class SlidingCounterWindow(AlignedWindow):
    """Two aligned counters; the previous one is weighted by its share of the window that ends now.

    A request is allowed if the estimate with it does not exceed the limit, and what is left is rounded down. Some
    gateways round the weighted part down first, which allows up to one request more.
    """

    def _left(self, now: float) -> int:
        self._turn(now)
        in_view = 1.0 - (now / self.seconds - self._index)
        return math.floor(self.limit - self._previous * in_view - self._current + _ROUNDING)

    def _next_free(self, now: float) -> float:
        self._turn(now)
        if self._current < self.limit:  # then `previous` is what is in the way, and it fades in this very window
            faded = 1.0 - (self.limit - self._current - 1) / self._previous
            return (self._index + faded) * self.seconds
        faded = 1.0 - (self.limit - 1) / self._current
        return (self._index + 1 + faded) * self.seconds


class FirstRequestWindow(ServerWindow):
    """A counter that restarts with the first request that comes after the window before has ended."""

    _start: float = -math.inf
    _served: int = 0

    def _count(self, now: float) -> None:
        if now >= self._start + self.seconds:
            self._start, self._served = now, 0
        self._served += 1

    def _left(self, now: float) -> int:
        return self.limit - (self._served if now < self._start + self.seconds else 0)

    def _next_free(self, now: float) -> float:
        return max(now, self._start + self.seconds)


@define(eq=False)
class SlidingLogWindow(ServerWindow):
    """Every request counts for exactly `seconds`."""

    _log: deque[float] = field(init=False, factory=deque[float])

    def _count(self, now: float) -> None:
        self._log.append(now)

    def _left(self, now: float) -> int:
        while self._log and self._log[0] + self.seconds <= now:
            self._log.popleft()
        return self.limit - len(self._log)

    def _next_free(self, now: float) -> float:
        self._left(now)
        return self._log[len(self._log) - self.limit] + self.seconds


class TokenBucketWindow(ServerWindow):
    """At most `limit` tokens; each request takes one, and they are refilled evenly at `limit` per window.

    The bucket is full at first. Denied requests that count make a debt of at most one full bucket.
    """

    _at: float = -math.inf
    _tokens: float = 0.0

    def _count(self, now: float) -> None:
        self._refill(now)
        self._tokens = max(self._tokens - 1.0, -float(self.limit))

    def _left(self, now: float) -> int:
        self._refill(now)
        return math.floor(self._tokens + _ROUNDING)

    def _next_free(self, now: float) -> float:
        self._refill(now)
        return now + (1.0 - self._tokens) * self.seconds / self.limit

    def _refill(self, now: float) -> None:
        if self.limit == 0:
            self._tokens = 0.0
        elif self._at == -math.inf:
            self._tokens = float(self.limit)
        else:
            self._tokens = min(float(self.limit), self._tokens + (now - self._at) * self.limit / self.seconds)
        self._at = now


_KINDS: Final[dict[WindowKind, type[ServerWindow]]] = {
    "aligned": AlignedWindow,
    "first-request": FirstRequestWindow,
    "sliding-log": SlidingLogWindow,
    "sliding-counter": SlidingCounterWindow,
    "token-bucket": TokenBucketWindow,
}


def make_window(kind: WindowKind, limit: int, *, seconds: float = 10.0, count_denied: bool = False) -> ServerWindow:
    """Make an empty window of this kind."""
    return _KINDS[kind](limit, seconds=seconds, count_denied=count_denied)
