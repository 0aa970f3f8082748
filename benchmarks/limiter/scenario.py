"""One run of one client against one server, and its outcome."""

import bisect
import functools
import random
import statistics
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import attrs

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.testing.windows import WindowKind, make_window
from benchmarks.limiter.client import Client, Limiter
from benchmarks.limiter.loop import Loop
from benchmarks.limiter.policies import Omniscient
from benchmarks.limiter.server import Rival, Server

T = TypeVar("T")
WINDOW = 10.0  # seconds
KINDS: Mapping[str, tuple[WindowKind, bool]] = {
    "a": ("aligned", False),
    "b": ("first-request", False),
    "c": ("sliding-log", False),
    "d": ("sliding-counter", False),
    "e": ("token-bucket", False),
    "d'": ("sliding-counter", True),
}
"""How the server counts, and whether denied requests count too, by the letter in the table."""
Legs = Literal["small", "large"]
LEGS: Mapping[Legs, tuple[float, float]] = {"small": (0.005, 0.020), "large": (0.005, 0.200)}
"""One-way latencies in seconds, of requests and of answers: uniform between these and independent, so they overtake."""


@attrs.frozen
class Setup:
    """What is simulated.

    Attributes:
        kind: Key of `KINDS`.
        limit: Requests a window, of the tenant.
        legs: Key of `LEGS`.
        seed: Of all random numbers.
        windows: How long, in windows.
        rival: Share of the limit that another client asks for.
        load: Requests submitted, as a share of the limit: at random times (Poisson), or all at the start if None.
        burst: How many arrive at each of those times.
        routes: Limits of the routes; if empty, there is only the tenant's.
        limits: Changes of the tenant's limit: from which window on, and to what.
    """

    kind: str
    limit: int
    legs: Legs = "small"
    seed: int = 0
    windows: int = 100
    rival: float = 0.0
    load: float | None = None
    burst: int = 1
    routes: tuple[int, ...] = ()
    limits: tuple[tuple[int, int], ...] = ()


@attrs.frozen
class Outcome:
    """What was measured.

    Attributes:
        start: When it began, in seconds.
        served: When each request was served, those of other clients included.
        rate: Requests served per second in the second half.
        per_thousand: 429s per 1,000 successes.
        denials: When each 429 arrived.
        most_tries: Most attempts of one request.
        overtakings: Requests sent before an older one of their route.
        waits: How long each request waited, in seconds.
        by_route: Requests served, by route.
    """

    start: float
    served: list[float]
    rate: float
    per_thousand: float
    denials: list[float]
    most_tries: int
    overtakings: int
    waits: list[float]
    by_route: Mapping[str, int]

    def wait(self, quantile: int) -> float:
        """The wait that this percentage of the requests did not exceed."""
        return statistics.quantiles(self.waits, n=100, method="inclusive")[quantile - 1]


def steady_rate(served: list[float], middle: float, cycle: int) -> float:
    """Requests per second after `middle`, over a whole number of cycles of that many requests.

    0 if there is no whole cycle. With clients that send one burst per window, the plain count would jump by a window's
    worth with the phase.
    """
    first = bisect.bisect_left(served, middle)
    cycles = (len(served) - 1 - first) // cycle
    return cycles * cycle / (served[first + cycles * cycle] - served[first]) if cycles > 0 else 0.0


def run(setup: Setup, make: Callable[[Server, str], Limiter[T]]) -> Outcome:
    """Simulate it, with the limiters that `make` returns for each scope of a server."""
    rng = random.Random(repr(attrs.astuple(setup)))
    loop = Loop(start := rng.uniform(0.0, 1000.0))
    kind, count_denied = KINDS[setup.kind]
    limits = {"tenant": setup.limit} | {f"route {number}": limit for number, limit in enumerate(setup.routes)}
    windows = {name: make_window(kind, limit, count_denied=count_denied) for name, limit in limits.items()}
    server = Server(loop, windows)
    client = Client(server, {scope: make(server, scope) for scope in windows}, LEGS[setup.legs], rng)
    if setup.rival:
        Rival(server, "tenant", setup.rival * setup.limit / WINDOW, random.Random(f"rival {setup.seed}"))
    for window, limit in setup.limits:
        loop.at(start + window * WINDOW, functools.partial(setattr, windows["tenant"], "limit", limit))
    _submit(setup, loop, client, random.Random(f"arrivals {setup.seed}"))
    loop.run(start + setup.windows * WINDOW)
    by_route = dict.fromkeys(limits, 0)
    for request in client.done:
        by_route[request.scopes[-1]] += 1
    return Outcome(
        start=start,
        served=server.served,
        rate=steady_rate(server.served, start + setup.windows * WINDOW / 2, setup.limit),
        per_thousand=1000 * len(client.denials) / len(client.done),
        denials=client.denials,
        most_tries=max(request.tries for request in client.done),
        overtakings=client.overtakings,
        waits=[request.waited for request in client.done],
        by_route=by_route,
    )


def _submit(setup: Setup, loop: Loop, client: Client[T], rng: random.Random) -> None:
    routes: list[tuple[str, ...]] = [("tenant", f"route {number}") for number in range(len(setup.routes))] or [
        ("tenant",)
    ]
    if setup.load is None:
        for scopes in routes:
            client.submit(scopes, max(setup.limit, *(limit for _, limit in setup.limits), 0) * (setup.windows + 3))
        return
    rate = setup.load * setup.limit / WINDOW / setup.burst

    def arrive() -> None:
        client.submit(rng.choice(routes), setup.burst)
        loop.at(loop.now + rng.expovariate(rate), arrive)

    loop.at(loop.now + rng.expovariate(rate), arrive)


def buckets(setup: Setup) -> Outcome:
    """Run it with the shipped buckets."""
    return run(setup, lambda _server, _scope: Bucket(WINDOW))


@functools.cache
def omniscient(setup: Setup) -> Outcome:
    """Run it with a client that sees the server's windows."""
    return run(setup, Omniscient)
