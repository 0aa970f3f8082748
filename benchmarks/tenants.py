"""How fast many tenants are exported, here and on a cluster: `python -m benchmarks.tenants`.

A server in a process of its own has any number of tenants, each with 50 queues and without limits. They are exported by
asyncio in one process, by two such processes with half of the tenants each, and on a local cluster of 2 workers, one of
which is killed when a tenth of the tenants is done. DuckDB then verifies that all queues of each tenant are there once.
"""

import argparse
import asyncio
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web

from alohub_async import Tenant
from alohub_async.tenants import TenantsProgress, export_tenants

SIZES = (100, 500, 1000, 2000)
QUEUES = 50
WORKERS = 2
AT_ONCE = 16


def key(name: str) -> str:
    """The key of a tenant, as a vault would return it."""
    return f"sk_live_{name}"


def serve(url: Connection) -> None:
    """Serve the list of every tenant; the ids of tenant 7 begin with 7."""
    wire = {"callinName": "sales", "strategy": 1, "musicinQueue": "a.wav", "timeWait": "120"}

    async def answer(request: web.Request) -> web.StreamResponse:
        first = (int(request.headers["X-Api-Key"].rpartition("t")[2]) + 1) * 1000
        rows = (
            [{"callinId": first + number, **wire} for number in range(QUEUES)] if request.query["page"] == "0" else []
        )
        return web.json_response({"success": "1", "totalRecord": QUEUES, "data": rows})

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/v1/queues/inbound", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        url.send(f"http://{host}:{port}")
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def served() -> Generator[str]:
    """The URL of the server, while it runs."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    yield mine.recv()
    process.kill()
    process.join()


def tenants_at(url: str, number: int) -> list[Tenant]:
    """So many tenants."""
    provider = "benchmarks.tenants:key"
    return [Tenant(f"t{each}", key_provider=provider, base_url=url) for each in range(number)]


def export_part(tenants: Sequence[Tenant], folder: Path) -> None:
    """Export by asyncio in this process."""
    asyncio.run(export_tenants(tenants, folder, concurrency=AT_ONCE))


def by_processes(tenants: Sequence[Tenant], folder: Path) -> None:
    """Export by two processes, to a folder each."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(export_part, tenants[part::WORKERS], folder / f"part{part}") for part in range(WORKERS)]
        for part in parts:
            part.result()


def by_cluster(client: Any) -> Callable[[Sequence[Tenant], Path], None]:
    """Export on a cluster, and kill a worker on the way."""

    def export(tenants: Sequence[Tenant], folder: Path) -> None:
        pids = [*client.run(os.getpid).values()]

        def kill_one(now: TenantsProgress) -> None:
            if pids and now.finished * 10 >= len(tenants):
                os.kill(pids.pop(), signal.SIGKILL)
                pids.clear()

        asyncio.run(export_tenants(tenants, folder, scheduler=client, concurrency=2 * AT_ONCE, on_progress=kill_one))

    return export


def verify(folder: Path, tenants: int) -> str:
    """What DuckDB finds wrong; nothing if every queue of every tenant is there once."""
    rows: Any = importlib.import_module("duckdb").read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
    [found] = rows.aggregate("count(*), count(DISTINCT id), count(DISTINCT tenant)").fetchall()
    whole = rows.aggregate("tenant, count(*) AS rows").filter(f"rows = {QUEUES}").aggregate("count(*)").fetchall()
    expected = (tenants * QUEUES, tenants * QUEUES, tenants)
    return "" if found == expected and whole == [(tenants,)] else f"{found} rows, ids, tenants; expected {expected}"


def main() -> int:
    """Measure; return 1 if anything is missing or twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 tenants only")
    parser.add_argument("--tenants", type=int, nargs="+", default=SIZES, help="numbers of tenants, one after another")
    options = parser.parse_args()
    sizes = SIZES[:1] if options.quick else options.tenants
    distributed: Any = importlib.import_module("distributed")
    failed = False
    with (
        served() as url,
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=AT_ONCE, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        ways = {"one process": export_part, "two processes": by_processes, "cluster": by_cluster(client)}
        for size in sizes:
            for name, way in ways.items():
                client.wait_for_workers(WORKERS)
                with TemporaryDirectory() as folder:
                    started = time.perf_counter()
                    way(tenants_at(url, size), Path(folder))
                    seconds = time.perf_counter() - started
                    problem = verify(Path(folder), size)
                failed = failed or bool(problem)
                result = problem or "every partition whole, nothing twice"
                print(
                    f"{size:5,} tenants, {name:13} {seconds:6.1f} s, {size / seconds:6.1f} tenants/s; {result}",
                    flush=True,
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
