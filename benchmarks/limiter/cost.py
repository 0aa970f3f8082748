"""What the buckets cost: real microseconds per request."""

import time
from collections.abc import Iterator

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.status import RateLimit
from benchmarks.limiter.rows import Row

_REQUESTS = 20_000
_MOST = 10.0  # microseconds


def _request(limit: int) -> float:
    """Seconds for one request through two buckets while there is budget: the question, `send` and `settle` of each."""
    buckets = Bucket(), Bucket()
    left = RateLimit(limit, limit - 1)
    now, step = 0.0, 20.0 / limit
    for bucket in buckets:
        bucket.settle(bucket.send(now), now, left)
    started = time.perf_counter()
    for _ in range(_REQUESTS):
        now += step
        if now > buckets[0].ready_until or now > buckets[1].ready_until:
            raise RuntimeError("this measures requests that need not wait")
        tickets = buckets[0].send(now), buckets[1].send(now)
        buckets[0].settle(tickets[0], now, left)
        buckets[1].settle(tickets[1], now, left)
    return (time.perf_counter() - started) / _REQUESTS


def _first_fit(limit: int) -> float:
    """Seconds for the most expensive call: the first weighted fit, after a window full of answers."""
    bucket = Bucket()
    for sent in range(limit):
        ticket = bucket.send(sent / limit)
        bucket.settle(ticket, (sent + 0.5) / limit, RateLimit(limit, limit - sent - 1))
    started = time.perf_counter()
    bucket.ready_at(1.0)
    return time.perf_counter() - started


def cost() -> Iterator[Row]:
    """By limit."""
    for limit in (50, 1000, 1_000_000):
        best = min(_request(limit) for _ in range(5)) * 1e6
        required = f"<= {_MOST:g} us"
        yield Row(f"two buckets, limit {limit}", f"{best:.1f} us per request", required, best <= _MOST)
    fits = [min(_first_fit(limit) for _ in range(3)) * 1e3 for limit in (50, 1000)]
    yield Row("the first weighted fit", f"{fits[0]:.1f} ms at 50, {fits[1]:.1f} ms at 1000; once per bucket")
