"""How long interactive requests wait while bulk work runs on the same budget: `python -m benchmarks.priorities`.

The shipped limiter in virtual time, against the sandbox's windows: a bulk job that always has twenty requests waiting,
and interactive requests at random times (Poisson) at a tenth of the budget.
"""

import asyncio
import logging
import math
import random
from collections.abc import Sequence
from typing import Final

import attrs
import looptime
from multidict import CIMultiDict

from alohub_async import Priority, RateLimiter, Route
from alohub_async.testing.windows import ServerWindow, WindowKind, make_window

WINDOW: Final = 10.0
WINDOWS: Final = 400
WORKERS: Final = 20
LEG: Final = (0.005, 0.020)  # seconds each way
KINDS: Final[tuple[WindowKind, ...]] = ("first-request", "sliding-log", "sliding-counter")

LIST: Final = Route("GET", "/v1/queues/inbound")


@attrs.define
class Result:
    """What one run measured.

    Attributes:
        waits: Seconds that each interactive request waited for its permit.
        bulk: Bulk requests that were served.
        denied: 429s.
    """

    waits: list[float] = attrs.field(factory=list[float])
    bulk: int = 0
    denied: int = 0


@attrs.define
class Run:
    """One limiter and one window."""

    window: ServerWindow
    limiter: RateLimiter = attrs.field(factory=RateLimiter)
    rng: random.Random = attrs.field(factory=lambda: random.Random(7))
    result: Result = attrs.field(factory=Result)

    async def request(self, priority: Priority) -> float:
        """Send one request until it is served; return the seconds it waited for its first attempt."""
        loop = asyncio.get_running_loop()
        permit = self.limiter.acquire(LIST, priority=priority)
        started, waited = loop.time(), math.nan
        while True:
            async with permit:
                waited = loop.time() - started if math.isnan(waited) else waited
                await asyncio.sleep(self.rng.uniform(*LEG))
                now, window = loop.time(), self.window
                free = window.free(now) > 0
                if free:
                    window.take(now)
                headers = CIMultiDict(
                    {
                        "X-RateLimit-Limit-Tenant": str(window.limit),
                        "X-RateLimit-Remaining-Tenant": str(max(0, window.free(now))),
                    }
                )
                retry_after = None if free else float(math.ceil(window.retry_after(now)))
                await asyncio.sleep(self.rng.uniform(*LEG))
                permit.observe(200 if free else 429, headers, retry_after=retry_after)
            if free:
                return waited
            self.result.denied += 1

    async def bulk(self, priority: Priority) -> None:
        """One worker of a job without end."""
        while True:
            await self.request(priority)
            self.result.bulk += 1

    async def interactive(self, priority: Priority) -> None:
        """Requests at a tenth of the budget."""

        async def one() -> None:
            self.result.waits.append(await self.request(priority))

        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(self.rng.expovariate(self.window.limit / 10 / WINDOW))
                group.create_task(one())


def run(kind: WindowKind, limit: int, *, bulk: Priority | None, interactive: Priority | None) -> Result:
    """Both kinds of work, or one of them, with these priorities."""

    async def work() -> Result:
        both = Run(make_window(kind, limit, seconds=WINDOW))
        tasks = [asyncio.create_task(both.bulk(bulk)) for _ in range(WORKERS)] if bulk else []
        if interactive:
            tasks.append(asyncio.create_task(both.interactive(interactive)))
        await asyncio.sleep(WINDOW * WINDOWS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return both.result

    loop = looptime.new_event_loop()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


def quantile(waits: Sequence[float], share: float) -> float:
    """The wait that this share of the waits does not exceed."""
    return sorted(waits)[min(len(waits) - 1, int(share * len(waits)))]


def main() -> None:
    """Print the table."""
    logging.getLogger("alohub_async").setLevel(logging.ERROR)  # a used-up budget is the purpose here
    print(f"{WINDOWS} windows of {WINDOW:.0f} s; interactive requests at 10 % of the budget; seconds of waiting")
    print(f"{'':44}    p50    p90    p99    max   bulk served  429s")
    for kind in KINDS:
        for limit in (10, 50):
            alone = run(kind, limit, bulk="bulk", interactive=None).bulk
            ways: dict[str, tuple[Priority | None, Priority]] = {
                "no others": (None, "interactive"),
                "bulk, all of one priority": ("normal", "normal"),
                "bulk as bulk": ("bulk", "interactive"),
            }
            for name, (bulk, interactive) in ways.items():
                result = run(kind, limit, bulk=bulk, interactive=interactive)
                p50, p90, p99, most = (quantile(result.waits, share) for share in (0.5, 0.9, 0.99, 1.0))
                share = result.bulk / alone
                row = f"{kind} {limit}, interactive beside {name}"
                verdict = ""
                if bulk == "bulk":
                    verdict = "ok" if p99 < WINDOW and share >= 0.75 else "MISSED"
                print(
                    f"{row:58} {p50:6.2f} {p90:6.2f} {p99:6.2f} {most:6.2f} {share:8.3f} of alone"
                    f" {result.denied:4d}  {verdict}"
                )


if __name__ == "__main__":
    main()
