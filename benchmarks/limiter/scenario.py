"""One run of one client against one server, and its outcome."""

import bisect
import functools
import random
import statistics
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import attrs

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.testing.windows import ServerWindow, WindowKind, make_window
from benchmarks.limiter.client import Client, Limiter
from benchmarks.limiter.loop import Loop
from benchmarks.limiter.policies import Omniscient
from benchmarks.limiter.server import Headers, OddDenial, Rival, Server

T = TypeVar("T")
WINDOW = 10.0  # seconds
_HOPELESS = 10_000  # 429s; a run with more of them ends early
ODD_AT = 0.25  # of a run: when the odd 429 comes
MAX_BLOCK = 60.0  # seconds, as of the shipped limiter
KINDS: Mapping[str, tuple[WindowKind, bool]] = {
    "a": ("aligned", False),
    "b": ("first-request", False),
    "c": ("sliding-log", False),
    "d": ("sliding-counter", False),
    "e": ("token-bucket", False),
    "d'": ("sliding-counter", True),
    "k": ("kong-seconds", False),
    "k'": ("kong-seconds", True),
}
"""How the server counts, and whether denied requests count too, by the letter in the table."""
EXACT = tuple(kind for kind in KINDS if not kind.startswith("k"))
"""Those with an exact clock."""
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
        seconds: The length of the tenant's and the routes' windows.
        also: Further windows of the tenant: limit and seconds.
        headers: What the answers say.
        lost: The share of requests without an answer.
        clients: How many clients there are, each with limiters of its own; they start at random in the first window.
        odd: One 429 in mid-run, although there is room.
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
    seconds: float = WINDOW
    also: tuple[tuple[int, float], ...] = ()
    headers: Headers = attrs.field(factory=Headers)
    lost: float = 0.0
    clients: int = 1
    odd: OddDenial | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.windows * self.seconds


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
        by_client: When each answer of success arrived, by client.
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
    by_client: list[list[float]]

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
    loop = Loop(start := random.Random(f"start {setup.seed}").uniform(0.0, 1000.0))
    server = Server(loop, _windows(setup), setup.headers, random.Random(f"server {setup.seed}"))
    windows = server.windows
    clients = [
        Client(server, {scope: make(server, scope) for scope in windows}, LEGS[setup.legs], rng, setup.lost)
        for _ in range(setup.clients)
    ]
    if setup.rival:
        Rival(server, "tenant", setup.rival * setup.limit / setup.seconds, random.Random(f"rival {setup.seed}"))
    for window, limit in setup.limits:
        loop.at(start + window * setup.seconds, functools.partial(setattr, windows["tenant"], "limit", limit))
    if setup.odd is not None:
        loop.at(start + setup.duration * ODD_AT, functools.partial(setattr, server, "odd", setup.odd))
    for number, client in enumerate(clients):
        submit = functools.partial(_submit, setup, loop, client, random.Random(f"arrivals {setup.seed}"))
        loop.at(start + (rng.uniform(0.0, setup.seconds) if number else 0.0), submit)
    for tenth in range(10 * setup.windows):
        loop.run(start + (tenth + 1) * setup.seconds / 10)
        if sum(len(client.denials) for client in clients) > _HOPELESS:
            break
    by_route = dict.fromkeys(windows, 0)
    done = [request for client in clients for request in client.done]
    denials = sorted(at for client in clients for at in client.denials)
    for request in done:
        by_route[request.scopes[-1]] += 1
    return Outcome(
        start=start,
        served=server.served,
        rate=steady_rate(server.served, (start + loop.now) / 2, setup.limit),
        per_thousand=1000 * len(denials) / max(len(done), 1),
        denials=denials,
        most_tries=max((request.tries for request in done), default=0),
        overtakings=sum(client.overtakings for client in clients),
        waits=[request.waited for request in done],
        by_route=by_route,
        by_client=[client.done_at for client in clients],
    )


def _windows(setup: Setup) -> dict[str, ServerWindow]:
    kind, count_denied = KINDS[setup.kind]
    make = functools.partial(make_window, kind, count_denied=count_denied)
    further = [make(limit, seconds=seconds) for limit, seconds in setup.also]
    routes = {f"route {number}": make(limit, seconds=setup.seconds) for number, limit in enumerate(setup.routes)}
    return {"tenant": make(setup.limit, seconds=setup.seconds, also=further)} | routes


def _submit(setup: Setup, loop: Loop, client: Client[T], rng: random.Random) -> None:
    routes: list[tuple[str, ...]] = [("tenant", f"route {number}") for number in range(len(setup.routes))] or [
        ("tenant",)
    ]
    if setup.load is None:
        for scopes in routes:
            client.submit(scopes, max(setup.limit, *(limit for _, limit in setup.limits), 0) * (setup.windows + 3))
        return
    rate = setup.load * setup.limit / setup.seconds / setup.burst

    def arrive() -> None:
        client.submit(rng.choice(routes), setup.burst)
        loop.at(loop.now + rng.expovariate(rate), arrive)

    loop.at(loop.now + rng.expovariate(rate), arrive)


def buckets(setup: Setup) -> Outcome:
    """Run it with the shipped buckets."""
    return run(setup, lambda _server, scope: Bucket(WINDOW, MAX_BLOCK, random=random.Random(f"{setup} {scope}").random))


def omniscient(setup: Setup) -> Outcome:
    """Run it with one client that sees the server's windows, without losses and odd answers: no other serves more."""
    return _omniscient(attrs.evolve(setup, headers=Headers(), lost=0.0, clients=1, odd=None))


@functools.cache
def _omniscient(setup: Setup) -> Outcome:
    return run(setup, Omniscient)
