"""Other policies to compare the buckets with. Each is for one scope whose window is known."""

import heapq
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable

from alohub_async.rate_limits.status import RateLimit
from benchmarks.limiter.client import Limiter
from benchmarks.limiter.server import Server

_LOOK_AGAIN = 0.002  # seconds


class Omniscient:
    """Sees the server's windows, hidden ones too, and how many requests are on their way. Not the rival, nor latencies.

    No client serves more, with one exception: it leaves a rival no room, and where the rival's denied requests count
    (d'), a modest client serves up to a third more.
    """

    def __init__(self, server: Server, scope: str) -> None:
        self._server = server
        self._scope = scope

    def ready_at(self, now: float) -> float:
        """As soon as there is room for one more than are on their way."""
        window, there = self._server.windows[self._scope], self._server.now
        free = window.free(there)
        if free > self._server.in_flight[self._scope]:
            return now
        return now + (_LOOK_AGAIN if free else max(window.retry_after(there), 1e-6))

    def send(self, now: float) -> None:
        """Nothing to book."""

    def settle(
        self,
        ticket: None,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
    ) -> None:
        """Nothing to learn."""


class _OneFirst(ABC):
    """Sends one request and learns the limit from its answer; the subclass decides about the others.

    A subclass says when one may go (`_next`), counts those that go (`_book`), and reads the answers (`_learn`).
    """

    def __init__(self, window: float) -> None:
        self.window = window
        self.limit: int | None = None
        self.in_flight = 0

    def ready_at(self, now: float) -> float:
        if self.limit is None:
            return math.inf if self.in_flight else now
        return self._next(now, self.limit)

    @abstractmethod
    def _next(self, now: float, limit: int) -> float:
        """When one may go, once the limit is known."""

    def send(self, now: float) -> None:
        self.in_flight += 1
        self._book(now)

    @abstractmethod
    def _book(self, now: float) -> None:
        """Count one that goes now."""

    def settle(
        self,
        ticket: None,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
    ) -> None:
        del ticket, lost
        self.in_flight -= 1
        if snapshot is not None:
            self.limit = snapshot.limit
            self._learn(now, snapshot.remaining, retry_after if denied else None)

    @abstractmethod
    def _learn(self, now: float, remaining: int, retry_after: float | None) -> None:
        """Read an answer; `retry_after` is set only if it is a 429."""


class SyncedBucket(_OneFirst):
    """A token bucket refilled continuously, set to `remaining` by each answer."""

    tokens = 1.0
    at = 0.0

    def _next(self, now: float, limit: int) -> float:
        self.tokens, self.at = min(limit, self.tokens + (now - self.at) * limit / self.window), now
        return now if self.tokens >= 1.0 else now + (1.0 - self.tokens) * self.window / limit + 1e-6

    def _book(self, now: float) -> None:
        del now
        self.tokens -= 1.0

    def _learn(self, now: float, remaining: int, retry_after: float | None) -> None:
        del retry_after
        self.tokens, self.at = float(remaining), now


class LeakyBucket(_OneFirst):
    """A leaky bucket of the limit's size and rate, which ignores answers."""

    level = 0.0
    at = 0.0

    def _next(self, now: float, limit: int) -> float:
        self.level, self.at = max(0.0, self.level - (now - self.at) * limit / self.window), now
        over = self.level + 1.0 - limit
        return now if over <= 1e-9 else now + over * self.window / limit + 1e-6

    def _book(self, now: float) -> None:
        del now
        self.level += 1.0

    def _learn(self, now: float, remaining: int, retry_after: float | None) -> None:
        """Answers are ignored."""


class React:
    """Twenty workers that send at once; one that gets a 429 sleeps for its `Retry-After`, jittered."""

    def __init__(self, window: float) -> None:
        del window
        self._rng = random.Random(0)
        self._idle = [0.0] * 20

    def ready_at(self, now: float) -> float:
        """When a worker is awake."""
        return max(now, self._idle[0]) if self._idle else math.inf

    def send(self, now: float) -> None:
        """A worker is busy until the answer."""
        del now
        heapq.heappop(self._idle)

    def settle(
        self,
        ticket: None,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
    ) -> None:
        """The worker sleeps after a 429."""
        del ticket, snapshot, lost
        heapq.heappush(self._idle, now + (retry_after or 0.0) * self._rng.uniform(1.0, 1.5) if denied else now)


class DrainThenWait(_OneFirst):
    """Sends what is left, then waits a whole window and begins again."""

    left = 1
    until = -math.inf

    def _next(self, now: float, limit: int) -> float:
        if self.left > 0:
            return now
        if now >= self.until:
            self.left = limit
            return now
        return self.until

    def _book(self, now: float) -> None:
        self.left -= 1
        if self.left <= 0:
            self.until = now + self.window

    def _learn(self, now: float, remaining: int, retry_after: float | None) -> None:
        if retry_after is not None:
            self.left, self.until = 0, now + max(retry_after, self.window)
        elif self.until == -math.inf or remaining < self.left:
            self.left = remaining


class AdaptiveRate:
    """A rate that grows by two requests a window per window, and falls by 30 % at a 429; it reads no limit headers."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.rate = 10 / window  # per second
        self.due = -math.inf
        self.sent_at = math.inf
        self.cut_until = -math.inf  # until then, 429s are those of requests that were in flight at the cut

    def ready_at(self, now: float) -> float:
        """At the times of the rate."""
        return max(now, self.due)

    def send(self, now: float) -> None:
        """The rate grows with time."""
        self.rate += max(0.0, now - self.sent_at) * 2 / self.window**2
        self.sent_at = now
        self.due = max(now, self.due) + 1 / self.rate

    def settle(
        self,
        ticket: None,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
    ) -> None:
        """A 429 cuts the rate."""
        del ticket, snapshot, lost
        if denied:
            self.due = max(self.due, now + (retry_after or 0.0))
            if now >= self.cut_until:
                self.rate, self.cut_until = 0.7 * self.rate, now + 1.0


OTHERS: dict[str, Callable[[float], Limiter[None]]] = {
    "synced bucket": SyncedBucket,
    "leaky bucket": LeakyBucket,
    "react": React,
    "drain and wait": DrainThenWait,
    "adaptive": AdaptiveRate,
}
"""Policies in use elsewhere, by name; each is made with the window's length in seconds."""
