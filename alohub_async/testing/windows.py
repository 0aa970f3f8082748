"""Six kinds of rate-limit window, as pure state. The clock is an argument.

The vendor documents a number of requests per 10 seconds, but not how they are counted. All times are seconds of one
monotonic clock. Some gateways also count the requests they deny (`count_denied`), or have several windows (`also`).
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from attrs import define, field

from alohub_async.validation import check_count, check_seconds, refuse, validator

WindowKind = Literal["aligned", "first-request", "sliding-log", "sliding-counter", "kong-seconds", "token-bucket"]
"""The kinds of `make_window`."""

HeadersOn = Literal["always", "counted", "429", "never"]
"""The responses with limit headers."""

RetryAfterStyle = Literal["right", "kong", "zero", "absent"]
"""`kong`: as Kong's library computes it, with `kong-seconds`; else as `right`."""

_ROUNDING = 1e-9  # requests: the tolerated error of sums of floats


@define(eq=False, on_setattr=[])  # hooks would be a quarter of the cost of a simulation
class ServerWindow(ABC):
    """The budget of a scope; `limit` may change at any time. A request needs room, and counts, in all of `also` too."""

    limit: int = field(validator=validator(check_count, least=0))
    seconds: float = field(default=10.0, kw_only=True, validator=validator(check_seconds))
    count_denied: bool = field(default=False, kw_only=True)
    also: Sequence["ServerWindow"] = field(default=(), kw_only=True)
    _now: float = field(init=False, default=-math.inf)
    _served: int = field(init=False, default=0)

    def free(self, now: float) -> int:
        """Whole requests that are allowed now, 0 or more."""
        return min([self.left(now), *(window.free(now) for window in self.also)])

    def left(self, now: float) -> int:
        """Whole requests that are left in this window alone, 0 or more."""
        self._turn(now)
        return max(0, self._left())

    def take(self, now: float) -> None:
        """Count one request, whether it is allowed or not."""
        self._turn(now)
        self._count()
        for window in self.also:
            window.take(now)

    def deny(self, now: float) -> None:
        """Count a denied request if `count_denied`."""
        if self.count_denied:
            self.take(now)

    def retry_after(self, now: float) -> float:
        """Seconds until a request is allowed; 0 if one is now, and one window if the limit is 0."""
        waits = [window.retry_after(now) for window in self.also]
        if not self.left(now):
            waits.append(max(0.0, self._next_free() - now) if self.limit else self.seconds)
        return max(waits, default=0.0)

    def gateway_retry_after(self, now: float) -> float:
        """What the gateway with such windows tells a request that was just denied; it may be wrong."""
        return self.retry_after(now)

    def _turn(self, now: float) -> None:
        """Set the clock, by which the methods below go."""
        self._now = now

    def _left(self) -> int:
        """Whole requests left; negative if the limit was lowered or denied requests count."""
        return self.limit - self._served

    def _count(self) -> None:
        self._served += 1

    @abstractmethod
    def _next_free(self) -> float:
        """When the next request is allowed, if none is now and the limit is above 0."""


class AlignedWindow(ServerWindow):
    """A counter that restarts at each multiple of `seconds`. The previous count is for `SlidingCounterWindow`."""

    _index: int = 0
    _previous: int = 0

    def _turn(self, now: float) -> None:
        super()._turn(now)
        index = math.floor(now / self.seconds)
        if index != self._index:
            self._previous = self._served if index == self._index + 1 else 0
            self._index, self._served = index, 0

    def _next_free(self) -> float:
        return (self._index + 1) * self.seconds


class SlidingCounterWindow(AlignedWindow):
    """Two aligned counters; the previous one is weighted by its share of the window that ends now.

    What is left is rounded down. Gateways that round the weighted part down first allow up to one request more.
    """

    def _left(self) -> int:
        in_view = 1.0 - (self._now / self.seconds - self._index)
        return math.floor(self.limit - self._previous * in_view - self._served + _ROUNDING)

    def _next_free(self) -> float:
        if self._served < self.limit:  # then `previous` is what is in the way, and it fades in this very window
            faded = 1.0 - (self.limit - self._served - 1) / self._previous
            return (self._index + faded) * self.seconds
        faded = 1.0 - (self.limit - 1) / self._served
        return (self._index + 1 + faded) * self.seconds


class KongSecondsWindow(SlidingCounterWindow):
    """A sliding counter with a clock in whole seconds, as in Kong's public library: its weights fall in steps."""

    def gateway_retry_after(self, now: float) -> float:
        """That library's: the rest of this window, and of a window the share by which the limit was exceeded."""
        if self.left(now) or not self.limit:
            return self.retry_after(now)
        gone = self._now / self.seconds - self._index
        rate = self._previous * (1.0 - gone) + self._served + (not self.count_denied)
        return (rate / self.limit - gone) * self.seconds

    def _turn(self, now: float) -> None:
        super()._turn(math.floor(now))

    def _next_free(self) -> float:
        return math.ceil(super()._next_free() - _ROUNDING)


class FirstRequestWindow(ServerWindow):
    """A counter that restarts with the first request that comes after the window before has ended."""

    _end: float = -math.inf

    def _left(self) -> int:
        return super()._left() if self._now < self._end else self.limit

    def _count(self) -> None:
        if self._now >= self._end:
            self._end, self._served = self._now + self.seconds, 0
        super()._count()

    def _next_free(self) -> float:
        return self._end


@define(eq=False, on_setattr=[])
class SlidingLogWindow(ServerWindow):
    """Every request counts for exactly `seconds`."""

    _log: deque[float] = field(init=False, factory=deque[float])

    def _turn(self, now: float) -> None:
        super()._turn(now)
        while self._log and self._log[0] + self.seconds <= now:
            self._log.popleft()

    def _left(self) -> int:
        return self.limit - len(self._log)

    def _count(self) -> None:
        self._log.append(self._now)

    def _next_free(self) -> float:
        return self._log[len(self._log) - self.limit] + self.seconds


class TokenBucketWindow(ServerWindow):
    """A bucket of `limit` tokens, full at first, refilled evenly. Denied requests make a debt of at most one bucket."""

    _tokens: float = math.inf

    def _turn(self, now: float) -> None:
        refilled = self._tokens + (now - self._now) * self.limit / self.seconds
        self._tokens = min(float(self.limit), refilled) if self.limit else 0.0
        super()._turn(now)

    def _left(self) -> int:
        return math.floor(self._tokens + _ROUNDING)

    def _count(self) -> None:
        self._tokens = max(self._tokens - 1.0, -float(self.limit))

    def _next_free(self) -> float:
        return self._now + (1.0 - self._tokens) * self.seconds / self.limit


_KINDS: Final[dict[WindowKind, type[ServerWindow]]] = {
    "aligned": AlignedWindow,
    "first-request": FirstRequestWindow,
    "sliding-log": SlidingLogWindow,
    "sliding-counter": SlidingCounterWindow,
    "kong-seconds": KongSecondsWindow,
    "token-bucket": TokenBucketWindow,
}


def make_window(
    kind: WindowKind, limit: int, *, seconds: float = 10, count_denied: bool = False, also: Sequence[ServerWindow] = ()
) -> ServerWindow:
    """Make an empty window of this kind."""
    if kind == "kong-seconds" and seconds % 1:
        raise refuse("window", "whole seconds with kong-seconds", seconds)
    return _KINDS[kind](limit, seconds=seconds, count_denied=count_denied, also=also)


def retry_after_header(windows: Iterable[ServerWindow], now: float, style: RetryAfterStyle) -> int | None:
    """The `Retry-After` of a request that was just denied: whole seconds, at least 1 if it is right; None for none."""
    if style in {"zero", "absent"}:
        return 0 if style == "zero" else None
    wait = max(each.gateway_retry_after(now) if style == "kong" else each.retry_after(now) for each in windows)
    return max(1, math.ceil(wait - _ROUNDING))
