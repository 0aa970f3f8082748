"""How much memory and time an export takes, where the time goes, and its own work: `python -m benchmarks.export`.

The server is the sandbox in a process of its own, without limits. Each export runs in another process, so that its peak
of resident memory, as the system counts it, is its own. A second export runs under cProfile, all in one thread. The
profiler slows Python code down more than C code, so the share of our code is an upper bound.

At the end, exports with details are compared with a bare loop, see `bare.py`.
"""

import argparse
import asyncio
import cProfile
import multiprocessing
import pstats
import resource
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alohub_async import AlohubClient
from alohub_async.export import ExportReport, export_inbound
from benchmarks.bare import print_own_work
from benchmarks.prefetch import server

PAGE_SIZE = 1000
MOST = 150.0  # MB
_SYSTEM = ("poll", "fsync", "posix.", "socket", "acquire", "send", "recv")  # built-ins that wait or call the system


class _SameThread(ThreadPoolExecutor):
    """Runs each call at once, in the thread that is profiled."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


async def export_details(path: Path, client: AlohubClient) -> None:
    """Export once, with details and the usual options."""
    await export_inbound(client, path, details=True)


async def export(url: str, key: str, path: Path, profile: cProfile.Profile | None) -> ExportReport:
    """Export once."""
    async with AlohubClient(key, tenant_id="20260310", endpoint=url) as client:
        if profile is None:
            return await export_inbound(client, path, page_size=PAGE_SIZE)
        asyncio.get_running_loop().set_default_executor(_SameThread())
        profile.enable()
        report = await export_inbound(client, path, page_size=PAGE_SIZE)
        profile.disable()
        return report


def package(file: str, name: str) -> str:
    """Return the package that a function belongs to."""
    parts = Path(file).parts
    if "alohub_async" in parts:
        return f"ours: {parts[parts.index('alohub_async') + 1].removesuffix('.py')}"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if file.startswith(sysconfig.get_path("stdlib")):
        return Path(file).parent.name if Path(file).stem == "__init__" else Path(file).stem
    if any(word in name for word in _SYSTEM):
        return "waiting, system calls"
    return "pyarrow" if "pyarrow" in name else "built in"


def shares(profile: cProfile.Profile) -> list[tuple[str, float]]:
    """Return the share of the time by package, without the functions it calls."""
    seconds: defaultdict[str, float] = defaultdict(float)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(pstats.Stats(profile))["stats"]
    for (file, _, name), (_, _, own, _, _) in stats.items():
        seconds[package(file, name)] += own
    total = sum(seconds.values())
    return [(name, seconds[name] / total) for name in sorted(seconds, key=seconds.__getitem__, reverse=True)]


def run(pipe: Connection, url: str, key: str, path: Path, *, profiled: bool) -> None:
    """Export once in this process; send the report, the CPU seconds, the peak in MB, and the shares."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    profile = cProfile.Profile() if profiled else None
    report = asyncio.run(export(url, key, path, profile))
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    peak = used.ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
    pipe.send((report, cpu, peak, [] if profile is None else shares(profile)))


def measured(url: str, key: str, path: Path, *, profiled: bool) -> tuple[ExportReport, float, float, Any]:
    """Run the same in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=run, args=(theirs, url, key, path), kwargs={"profiled": profiled})
    process.start()
    result: tuple[ExportReport, float, float, Any] = mine.recv()
    process.join()
    return result


def main() -> int:
    """Measure; return 1 if a bound is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queues", type=int, default=100_000)
    parser.add_argument("--details", type=int, default=20_000, help="queues of an export with details; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that compare such an export with the bare loop")
    chosen = parser.parse_args()
    queues, kept = chosen.queues, True
    with server(queues=queues) as (url, key), TemporaryDirectory() as folder:
        for ending in ("jsonl", "csv", "parquet"):
            report, cpu, peak, _ = measured(url, key, Path(folder, f"a.{ending}"), profiled=False)
            kept = kept and peak < MOST and report.complete and report.written == queues
            print(
                f"{ending:8} {report.written:,} queues, {report.passes} passes, {report.requests} requests,"
                f" {report.size / 1e6:.1f} MB: {report.seconds:.1f} s, {cpu:.1f} s of CPU, peak {peak:.0f} MB"
            )
            *_, found = measured(url, key, Path(folder, f"b.{ending}"), profiled=True)
            print("         " + ", ".join(f"{name} {share:.0%}" for name, share in found if share >= 0.01))
    if chosen.details and chosen.rounds:
        with server(queues=chosen.details) as (url, key), TemporaryDirectory() as folder:
            job = partial(export_details, Path(folder, "queues.jsonl"))
            print(f"jsonl    {chosen.details:,} queues with details")
            kept = print_own_work(url, key, job, queues=chosen.details, passes=2, rounds=chosen.rounds) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
