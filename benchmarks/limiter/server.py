"""The server: windows per scope, what its answers say, and another client that spends from them."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from alohub_async.rate_limits.status import RateLimit
from alohub_async.testing.windows import KongSecondsWindow, ServerWindow
from benchmarks.limiter.loop import Loop

WaitStyle = Literal["right", "kong", "zero", "absent"]


@attrs.frozen
class Headers:
    """What the answers say.

    Attributes:
        on: Which answers have limit headers.
        missing: The share of answers that lack them all the same, at random.
        off_by_one: Whether `remaining` does not count the request that it answers.
        retry_after: The `Retry-After` of a 429; `kong` is that of Kong's library, for windows of whole seconds.
        window: Whether they name the window's length.
    """

    on: Literal["all", "429", "none"] = "all"
    missing: float = 0.0
    off_by_one: bool = False
    retry_after: WaitStyle = "right"
    window: bool = False


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
        odd: The `Retry-After` with which the next request is denied, whatever is left; None for none.
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
        self.odd: float | None = None
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
        left = {scope: [each.left(now) for each in _shown(self.windows[scope])] for scope in scopes}
        denied = odd is not None or any(window.free(now) == 0 for window in windows)
        for window in windows:
            if denied:
                window.deny(now)
            else:
                window.take(now)
        if not denied:
            self.served.append(now - self._ahead)
        silent = self._rng.random() < self._headers.missing or self._headers.on == "none"
        if silent or (self._headers.on == "429" and not denied):
            snapshots: dict[str, RateLimit | None] = dict.fromkeys(scopes)
        else:
            before = self._headers.off_by_one
            snapshots = {scope: self._snapshot(scope, left[scope] if before else None) for scope in scopes}
        return Answer(denied, snapshots, self._retry_after(windows) if odd is None and denied else odd)

    def _snapshot(self, scope: str, left: Sequence[int] | None) -> RateLimit:
        """What the headers say of one scope: the tightest window by its rate, with the others beside it."""
        windows = _shown(self.windows[scope])
        left = [window.left(self.now) for window in windows] if left is None else left
        reports = [
            RateLimit(window.limit, most, window=window.seconds if self._headers.window else None)
            for window, most in zip(windows, left, strict=True)
        ]
        tightest = min(range(len(windows)), key=lambda number: windows[number].limit / windows[number].seconds)
        main = reports.pop(tightest)
        return main._replace(also=tuple(reports))

    def _retry_after(self, windows: Sequence[ServerWindow]) -> float | None:
        style = self._headers.retry_after
        if style == "absent":
            return None
        if style == "zero":
            return 0.0
        waits = [
            window.library_retry_after(self.now)
            if style == "kong" and isinstance(window, KongSecondsWindow) and not window.left(self.now)
            else window.retry_after(self.now)
            for window in windows
        ]
        return float(math.ceil(max(waits) - 1e-9))


def _shown(window: ServerWindow) -> list[ServerWindow]:
    return [each for each in (window, *window.also) if each.shown]


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
