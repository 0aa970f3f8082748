"""The server: a window per scope, and another client that spends from them."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from alohub_async.rate_limits.status import RateLimit
from alohub_async.testing.windows import ServerWindow
from benchmarks.limiter.loop import Loop


@attrs.frozen
class Answer:
    """What an answer says about the budgets."""

    denied: bool
    snapshots: Mapping[str, RateLimit]
    retry_after: float | None


class Server:
    """Serves a request if each of its scopes has room.

    Attributes:
        served: When each request was served, of any client.
        in_flight: Requests of the client under test that were sent and have not arrived, by scope.
    """

    def __init__(self, loop: Loop, windows: Mapping[str, ServerWindow]) -> None:
        self.loop = loop
        self.windows = windows
        self.served: list[float] = []
        self.in_flight: Counter[str] = Counter()

    def serve(self, scopes: Sequence[str]) -> Answer:
        """Count a request that arrives now, and answer it. `Retry-After` is in whole seconds, as in the real header."""
        now = self.loop.now
        windows = [self.windows[scope] for scope in scopes]
        denied = any(window.free(now) == 0 for window in windows)
        retry_after = float(math.ceil(max(window.retry_after(now) for window in windows))) if denied else None
        for window in windows:
            if denied:
                window.deny(now)
            else:
                window.take(now)
        if not denied:
            self.served.append(now)
        snapshots = {scope: RateLimit(self.windows[scope].limit, self.windows[scope].free(now)) for scope in scopes}
        return Answer(denied, snapshots, retry_after)


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
