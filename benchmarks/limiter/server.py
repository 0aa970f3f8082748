"""The server: windows per scope, what its answers say, and another client that spends from them."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from alohub_async.rate_limits.status import RateLimit
from alohub_async.testing.windows import RetryAfterStyle, ServerWindow, retry_after_header
from benchmarks.limiter.loop import Loop


@attrs.frozen
class Headers:
    """What the answers say.

    Attributes:
        on: Which answers have limit headers.
        missing: The share of answers that lack them all the same, at random.
        off_by_one: Whether `remaining` does not count the request that it answers.
        retry_after: The `Retry-After` of a 429.
        window: Whether they name the window's length. Without it, they show only one window of several.
    """

    on: Literal["all", "429", "none"] = "all"
    missing: float = 0.0
    off_by_one: bool = False
    retry_after: RetryAfterStyle = "right"
    window: bool = False


@attrs.frozen
class OddDenial:
    """A 429 although there is room, and what it says.

    Attributes:
        retry_after: Its `Retry-After` as the client reads it; None for one that it cannot read, such as -5.
        says_empty: Whether its headers say that nothing is left.
    """

    retry_after: float | None
    says_empty: bool


@attrs.frozen
class Answer:
    """What an answer says about the budgets; None for a scope about which it says nothing."""

    denied: bool
    snapshots: Mapping[str, RateLimit | None]
    retry_after: float | None


class Server:
    """Serves a request if each of its scopes has room.

    Attributes:
        served: When each request was served, of any client.
        in_flight: Requests of the clients under test that were sent and have not arrived, by scope.
        odd: The odd 429 with which the next request is denied, whatever is left; None for none.
    """

    def __init__(
        self,
        loop: Loop,
        windows: Mapping[str, ServerWindow],
        headers: Headers,
        rng: random.Random,
    ) -> None:
        self.loop = loop
        self.windows = windows
        self.served: list[float] = []
        self.in_flight: Counter[str] = Counter()
        self.odd: OddDenial | None = None
        self._headers = headers
        self._rng = rng
        self._ahead = self._rng.uniform(0.0, 1000.0)  # of its clock: its seconds do not begin with the client's

    @property
    def now(self) -> float:
        """The time by its own clock, by which its windows go."""
        return self.loop.now + self._ahead

    def serve(self, scopes: Sequence[str]) -> Answer:
        """Count a request that arrives now, and answer it. `Retry-After` is in whole seconds, as in the real header."""
        now, odd = self.now, self.odd
        self.odd = None
        windows = [self.windows[scope] for scope in scopes]
        denied = odd is not None or any(window.free(now) == 0 for window in windows)
        for window in windows:
            if denied:
                window.deny(now)
            else:
                window.take(now)
        if not denied:
            self.served.append(now - self._ahead)
        headers = self._headers
        silent = self._rng.random() < headers.missing or headers.on == "none" or (headers.on == "429" and not denied)
        extra = headers.off_by_one and not denied
        snapshots = {scope: None if silent else self._snapshot(self.windows[scope], extra=extra) for scope in scopes}
        if odd is None:
            return Answer(denied, snapshots, retry_after_header(windows, now, headers.retry_after) if denied else None)
        empty = {scope: snapshot and snapshot._replace(remaining=0) for scope, snapshot in snapshots.items()}
        return Answer(denied, empty if odd.says_empty else snapshots, odd.retry_after)

    def _snapshot(self, window: ServerWindow, *, extra: int) -> RateLimit:
        """What the headers say of one scope: the tightest window by its rate, with the others beside it."""
        if not self._headers.window:
            return RateLimit(window.limit, window.left(self.now) + extra)
        tightest, *others = sorted((window, *window.also), key=lambda each: each.limit / each.seconds)
        snapshot, *also = (
            RateLimit(each.limit, each.left(self.now) + extra, window=each.seconds) for each in (tightest, *others)
        )
        return snapshot._replace(also=tuple(also))


class Rival:
    """Another program of the same tenant: Poisson arrivals at a rate per second, no waiting, no retries."""

    def __init__(self, server: Server, scope: str, rate: float, rng: random.Random) -> None:
        self._server = server
        self._scope = scope
        self._rate = rate
        self._rng = rng
        self._wait()

    def _wait(self) -> None:
        loop = self._server.loop
        loop.at(loop.now + self._rng.expovariate(self._rate), self._send)

    def _send(self) -> None:
        self._server.serve((self._scope,))
        self._wait()
