"""How close prefetching comes to the ideal, and how much memory a long walk takes: `python -m benchmarks.prefetch`.

Times are virtual (looptime), so that they show the order of the requests and not how busy this machine is: computing
takes no time. Every round walks the list once in each way. There are two ideals, both computed from latencies of the
same distribution, for as many workers as requests may be in flight:

- *any order*: no worker is ever idle once the first page has come. This is the one that counts.
- *in order*: the same, but a page is only requested once the page that is twice as many before it was delivered. No
  walk that delivers in order and holds that many pages can be faster.

With details, 16 workers look up the records, while the others fetch the pages. For the memory, the server is the
sandbox in a process of its own.
"""

import argparse
import asyncio
import heapq
import multiprocessing
import random
import statistics
import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import attrs
import looptime

from alohub_async import AlohubClient
from alohub_async.testing import Sandbox

PAGES = 200
PAGE_SIZE = 20
LATENCY = (0.025, 0.075)  # seconds there and back; 0.05 on average
BOUND = 1.06
AT_ONCE = 16  # look-ups
DETAILED = 20  # pages whose records are looked up


def _serve(pipe: Connection, settings: dict[str, Any]) -> None:
    async def serve() -> None:
        async with Sandbox(tenant_limit=None, route_limit=None, **settings) as sandbox:
            pipe.send((str(sandbox.url), sandbox.api_key))
            while not pipe.poll():
                await asyncio.sleep(0.05)
                sandbox.clear()

    asyncio.run(serve())


@contextmanager
def server(**settings: Any) -> Generator[tuple[str, str]]:
    """Run a sandbox in another process; yields its URL and its key."""
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, settings))
    process.start()
    try:
        yield mine.recv()
    finally:
        mine.send("stop")
        process.join()


def ideal(latencies: list[float], workers: int, *, held: int = 1_000_000) -> float:
    """Return the seconds with workers that are never idle after the first page, unless pages `held` before are due."""
    free, delivered = [latencies[0]] * workers, [latencies[0]]
    for number, seconds in enumerate(latencies[1:], 1):
        done = max(heapq.heappop(free), delivered[max(0, number - held)] if number >= held else 0.0) + seconds
        heapq.heappush(free, done)
        delivered.append(max(delivered[-1], done))
    return delivered[-1]


async def walk(client: AlohubClient, **options: Any) -> float:
    """Return the seconds for the whole list."""
    started = asyncio.get_running_loop().time()
    count = 0
    async for _ in client.queues.list_inbound(page_size=PAGE_SIZE, **options):
        count += 1
    assert count % PAGE_SIZE == PAGE_SIZE - 5  # noqa: S101  (the time of an incomplete walk means nothing)
    return asyncio.get_running_loop().time() - started


def drawn(seed: int, count: int = PAGES) -> list[float]:
    """Return latencies as the sandbox draws them: one for each direction."""
    rng = random.Random(seed)
    least, most = LATENCY
    return [rng.uniform(least / 2, most / 2) + rng.uniform(least / 2, most / 2) for _ in range(count)]


@attrs.frozen
class Makespan:
    """The duration of walks of one kind.

    Attributes:
        name: How the pages were fetched.
        seconds: The median.
        of_in_order: Relative to the ideal that delivers in order.
        of_in_any: Relative to the ideal that delivers in any order.
        faster: How many times faster than one by one.
        ok: Whether it is close enough to its ideal; None if there is no bound.
    """

    name: str
    seconds: float
    of_in_order: float
    of_in_any: float
    faster: float
    ok: bool | None


async def makespans(rounds: int, *, details: bool = False) -> list[Makespan]:
    """Measure the times, and compare them with the ideals."""
    ways: dict[str, dict[str, Any]] = {"one by one": {"prefetch": 0}}
    for ahead in (4, 8, 16):
        ways[f"prefetch {ahead}"] = {"prefetch": ahead}
        ways[f"prefetch {ahead}, as they come"] = {"prefetch": ahead, "ordered": False}
    took: dict[str, list[float]] = {name: [] for name in ways}
    pages = DETAILED if details else PAGES
    free = Sandbox(queues=pages * PAGE_SIZE - 5, latency=LATENCY, tenant_limit=None, route_limit=None)
    async with free as sandbox, sandbox.client() as client:
        for _ in range(rounds):
            for name, options in ways.items():
                took[name].append(await walk(client, details=details, **options))
                sandbox.clear()
    slow = statistics.median(took["one by one"])
    rows: list[Makespan] = []
    for name, options in ways.items():
        seconds, ahead = statistics.median(took[name]), max(1, options["prefetch"])
        # The look-ups take longer than the pages: the first page is before them, and the others are beside them.
        requests, workers = (1 + pages * PAGE_SIZE - 5, AT_ONCE) if details else (pages, ahead)
        held = requests if details else 2 * ahead
        in_order = statistics.mean(ideal(drawn(seed, requests), workers, held=held) for seed in range(50))
        in_any = statistics.mean(ideal(drawn(seed, requests), workers) for seed in range(50))
        ok = None if name == "one by one" else seconds <= BOUND * in_any
        rows.append(Makespan(name, seconds, seconds / in_order, seconds / in_any, slow / seconds, ok))
    return rows


async def print_makespans(rounds: int) -> None:
    """Print the times and the ideals."""
    for details in (False, True):
        rows = await makespans(rounds, details=details)
        what = f"{DETAILED} pages with the details of {PAGE_SIZE} records each" if details else f"{PAGES} pages"
        print(f"{what}, 25 to 75 ms a request; medians of {rounds} interleaved rounds")
        print(f"{'':28} seconds  of ideal in order  of ideal in any order  faster than one by one")
        for row in rows:
            verdict = {True: "ok", False: "MISSED", None: ""}[row.ok]
            ratios = f"{row.of_in_order:17.3f}  {row.of_in_any:21.3f}  {row.faster:9.1f}"
            print(f"{row.name:28} {row.seconds:7.3f}  {ratios}  {verdict}")


async def memory(records: int) -> None:
    """Print the peak memory of a long walk, relative to its start."""
    page_size, ahead = 1000, 8
    with server(queues=records) as (url, key):
        async with AlohubClient(key, endpoint=url) as client:
            async for _ in client.queues.list_inbound(page_size=page_size, prefetch=0):
                break  # what is created once exists afterwards
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            first = await anext(client.queues.list_inbound(page_size=page_size, prefetch=0).pages())
            one, _ = tracemalloc.get_traced_memory()
            page = one - before
            del first
            tracemalloc.reset_peak()
            start, _ = tracemalloc.get_traced_memory()
            count = 0
            async for _ in client.queues.list_inbound(page_size=page_size, prefetch=ahead):
                count += 1
            _, peak = tracemalloc.get_traced_memory()
    grown, allowed = peak - start, 2e6 + (2 * ahead + 1) * page
    print(f"walk over {count:,} records, {page_size} a page, prefetch {ahead}: a page is {page / 1e6:.2f} MB")
    print(f"peak {grown / 1e6:.2f} MB, allowed {allowed / 1e6:.2f} MB  {'ok' if grown < allowed else 'MISSED'}")


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefetch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="length of the walk whose memory is measured; 0 for none"
    )
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(print_makespans(options.rounds))
    if options.records:
        asyncio.run(memory(options.records))


if __name__ == "__main__":
    main()
