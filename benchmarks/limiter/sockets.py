"""The shipped client against a gateway in another process: real sockets, real time."""

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from alohub_async import AlohubClient, AlohubError, Endpoint
from alohub_async.testing import Sandbox
from alohub_async.testing.windows import make_window
from benchmarks.limiter.rows import Effort, Row

_LIMIT = 50
_SECONDS = 60.0
_TASKS = 16
_START = 20.0  # seconds; until the server's phase is known, a window's worth may be lost, once
_STEP = 0.005  # seconds between two looks of the best client


def sockets(effort: Effort) -> Iterator[Row]:
    """A weighted counter that reads its clock in whole seconds, counts denied requests, and allows 50 per 10 s."""
    del effort
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url, key, queue_id = ours.recv()
    logging.getLogger("alohub_async").setLevel(logging.ERROR)  # it reports waits
    began, ended, lost = asyncio.run(_use(url, key, queue_id))
    ours.send(None)
    served, denied = ours.recv()
    server.join()
    best = _best(began, ended)
    for since, what in ((0.0, "from the start"), (_START, f"from {_START:.0f} s on")):
        ours_then, best_then = (sum(at >= began + since for at in times) for times in (served, best))
        yield Row(
            f"sockets, {_SECONDS:.0f} s, limit {_LIMIT}, {what}",
            f"{ours_then / best_then:.3f} of the best ({ours_then} of {best_then})  {denied} 429s  {lost} calls lost",
            ">= 0.95, 0, 0",
            ours_then >= 0.95 * best_then and denied == lost == 0,
        )


def _serve(pipe: Connection) -> None:
    with Sandbox(
        queues=1, tenant_limit=_LIMIT, route_limit=None, window_kind="kong-seconds", count_denied=True
    ) as sandbox:
        pipe.send((str(sandbox.url), sandbox.api_key, sandbox.queues[0]["callinId"]))
        pipe.recv()
        served = [request.at for request in sandbox.requests.of(status=200)]
        pipe.send((served, len(sandbox.requests.of(status=429))))


async def _use(url: str, key: str, queue_id: int) -> tuple[float, float, int]:
    """Send as much as the limiter allows; return when that began and ended, and how many calls failed."""
    lost = 0
    async with AlohubClient(key, endpoint=Endpoint(url, allow_http=True)) as client:

        async def work() -> None:
            nonlocal lost
            while True:
                try:
                    await client.queues.get_inbound(queue_id)
                except AlohubError:
                    lost += 1

        began = time.monotonic()
        tasks = [asyncio.create_task(work()) for _ in range(_TASKS)]
        await asyncio.sleep(_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return began, time.monotonic(), lost


def _best(began: float, ended: float) -> list[float]:
    """When the server could have served requests in that time: both processes have one monotonic clock."""
    window = make_window("kong-seconds", _LIMIT, count_denied=True)
    served, now = list[float](), began
    while now < ended:
        for _ in range(window.free(now)):
            window.take(now)
            served.append(now)
        now += _STEP
    return served
