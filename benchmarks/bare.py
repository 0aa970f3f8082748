"""The CPU time of a job, compared with a bare loop of aiohttp and orjson that fetches the same pages and details.

Each round has a process of its own, so that it finds nothing in a cache. In it the job and the loop run one after the
other, in turns the one and the other first. The time is that of all threads of the process: it does not depend on the
speed of the server.
"""

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import aiohttp
import orjson

from alohub_async import AlohubClient
from benchmarks.speed.estimate import median

MOST: Final = 0.4
"""What a job may take of its CPU time for more than the bare loop does."""

_TASKS: Final = 16
_PATH: Final = "/v1/queues/inbound"
_PAGE_SIZE: Final = 100


async def _fetch(session: aiohttp.ClientSession, url: str, passes: int) -> int:
    """Fetch the whole list as often as a job does, and each detail once; return the number of requests."""

    async def get(path: str) -> Any:
        async with session.get(f"{url}{_PATH}{path}") as response:
            return orjson.loads(await response.read())

    async def get_all(paths: list[str], take: Callable[[Any], object]) -> int:
        left = iter(paths)

        async def work() -> None:
            for path in left:
                take(await get(path))

        await asyncio.gather(*(work() for _ in range(_TASKS)))
        return len(paths)

    count, ids = 0, set[int]()

    def note(page: Any) -> None:
        ids.update(record["callinId"] for record in page["data"])

    for _ in range(passes):
        first = await get(f"?page=0&size={_PAGE_SIZE}")
        note(first)
        last = first["totalRecord"] // _PAGE_SIZE  # after a full page comes another one
        count += 1 + await get_all([f"?page={page}&size={_PAGE_SIZE}" for page in range(1, last + 1)], note)
    return count + await get_all([f"/{queue_id}" for queue_id in ids], len)


async def _both(
    url: str, key: str, job: Callable[[AlohubClient], Awaitable[object]], passes: int, *, job_first: bool
) -> tuple[float, float]:
    """Return the CPU seconds of the job and of the bare loop."""
    headers, cookies = {"X-Api-Key": key}, aiohttp.DummyCookieJar()
    async with (
        AlohubClient(key, tenant_id="20260310", endpoint=url) as client,
        aiohttp.ClientSession(headers=headers, cookie_jar=cookies) as session,
    ):
        seconds, requests = dict[bool, float](), dict[bool, int]()
        for is_job in (job_first, not job_first):
            gc.collect()
            started = time.process_time()
            if is_job:
                await job(client)
                requests[is_job] = client.rate_limits.tenant.sent
            else:
                requests[is_job] = await _fetch(session, url, passes)
            seconds[is_job] = time.process_time() - started
    if requests[True] != requests[False]:
        raise RuntimeError(f"the job sent {requests[True]} requests, but the bare loop {requests[False]}")
    return seconds[True], seconds[False]


def _round(*arguments: Any, job_first: bool) -> tuple[float, float]:
    return asyncio.run(_both(*arguments, job_first=job_first))


def print_own_work(
    url: str,
    key: str,
    job: Callable[[AlohubClient], Awaitable[object]],
    *,
    queues: int,
    passes: int,
    rounds: int,
) -> bool:
    """Print which part of its CPU time a job takes for more than the bare loop does; return whether it is allowed."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        times = [pool.submit(_round, url, key, job, passes, job_first=bool(number % 2)) for number in range(rounds)]
        pairs = [each.result() for each in times]
    own = median([1 - bare / took for took, bare in pairs])
    took, bare = (1e6 * min(column) / queues for column in zip(*pairs, strict=True))
    print(f"  CPU time a queue: at best {took:.0f} µs, of a bare loop {bare:.0f} µs; {rounds} rounds")
    found = f"own work {own.value:.0%} ({own.low:.0%} to {own.high:.0%}) of the CPU time"
    ok = own.value <= MOST
    print(f"  {found}, asked <= {MOST:.0%}  {'ok' if ok else 'MISSED'}")
    return ok
