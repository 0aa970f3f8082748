"""What the gauges cost: real microseconds a request."""

import time
from collections.abc import Iterator

from alohub_async.rate_limits.gauge import Gauge
from alohub_async.rate_limits.snapshots import RateLimit
from benchmarks.limiter.table import Line

_REQUESTS = 20_000
_MOST = 10.0  # microseconds


def _request(limit: int) -> float:
    """Seconds for one request through two gauges, uncontended: `ready_at`, `send` and `settle` of each."""
    gauges = Gauge(), Gauge()
    left = RateLimit(limit, limit - 1)
    now, step = 0.0, 20.0 / limit
    begun = time.perf_counter()
    for _ in range(_REQUESTS):
        now += step
        if max(gauges[0].ready_at(now), gauges[1].ready_at(now)) > now:
            raise RuntimeError("the measurement is of requests that need not wait")
        tickets = gauges[0].send(now), gauges[1].send(now)
        gauges[0].settle(tickets[0], now, left)
        gauges[1].settle(tickets[1], now, left)
    return (time.perf_counter() - begun) / _REQUESTS


def _first_fit(limit: int) -> float:
    """Seconds for the costliest single call: the first weighted fit, after a window full of answers."""
    gauge = Gauge()
    for sent in range(limit):
        ticket = gauge.send(sent / limit)
        gauge.settle(ticket, (sent + 0.5) / limit, RateLimit(limit, limit - sent - 1))
    begun = time.perf_counter()
    gauge.ready_at(1.0)
    return time.perf_counter() - begun


def cost() -> Iterator[Line]:
    """By limit."""
    for limit in (50, 1000, 1_000_000):
        best = min(_request(limit) for _ in range(5)) * 1e6
        asked = f"<= {_MOST:g} us"
        yield Line(f"two gauges, limit {limit}", f"{best:.1f} us a request", asked, best <= _MOST)
    fits = [min(_first_fit(limit) for _ in range(3)) * 1e3 for limit in (50, 1000)]
    yield Line("the first weighted fit", f"{fits[0]:.1f} ms at 50, {fits[1]:.1f} ms at 1000; once a gauge")
