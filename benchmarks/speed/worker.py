"""One contestant in its own process: `python -m benchmarks.speed.worker`, driven by `crew.py`.

It writes a line of JSON when it is ready, then one for each line that it reads. Each list is walked once to warm up.
"""

import asyncio
import cProfile
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from benchmarks.speed.contestant import CONTESTANTS, Contestant, Open, Walk

if TYPE_CHECKING:
    from types import ModuleType


def _peak() -> float:
    # Not from getrusage, which includes the peak of the parent before exec.
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


@attrs.define
class _Worker:
    """The contestant and its walks, by URL of the list."""

    contestant: Contestant
    opens: Open
    stack: AsyncExitStack
    walks: dict[str, Walk] = attrs.field(factory=dict[str, Walk])

    async def ready(self, url: str, size: int, records: int) -> Walk:
        """The walk over the list at `url`, opened and warmed up at the first call."""
        if url not in self.walks:
            walk = await self.stack.enter_async_context(self.opens(url, size))
            self.check(await walk(), records)
            self.walks[url] = walk
        return self.walks[url]

    def check(self, count: int, records: int) -> None:
        if count != records:
            raise RuntimeError(f"{self.contestant.name} found {count} of {records} records")

    async def seconds(self, walk: Walk, records: int) -> float:
        """Wall-clock time of one walk."""
        gc.collect()
        started = time.perf_counter()
        count = await walk()
        took = time.perf_counter() - started
        self.check(count, records)
        return took

    async def calls(self, walk: Walk, records: int) -> float:
        """Calls of Python and C functions in one walk."""
        profile = cProfile.Profile()
        profile.enable()
        count = await walk()
        profile.disable()
        self.check(count, records)
        return sum(entry.callcount for entry in profile.getstats())

    async def peak(self, walk: Walk, records: int) -> float:
        """Peak memory of the process after one more walk, in bytes."""
        self.check(await walk(), records)
        return _peak()


_MEASURES: Final[dict[str, Callable[..., Any]]] = {
    "seconds": _Worker.seconds,
    "calls": _Worker.calls,
    "peak": _Worker.peak,
}


async def _serve(contestant: Contestant, opens: Open) -> None:
    async with AsyncExitStack() as stack:
        worker = _Worker(contestant, opens, stack)
        for line in sys.stdin:
            asked = json.loads(line)
            walk = await worker.ready(asked["url"], asked["size"], asked["records"])
            _say(await _MEASURES[asked["measure"]](worker, walk, asked["records"]))


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Run a contestant; the arguments are its name and its core."""
    name, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    contestant = next(each for each in CONTESTANTS if each.name == name)
    if contestant.hidden is not None:
        cast("dict[str, ModuleType | None]", sys.modules)[contestant.hidden] = None  # as if it were not installed
    try:
        module = importlib.import_module(f"benchmarks.speed.{contestant.module}")
        version = importlib.metadata.version(contestant.package)
    except ImportError as error:
        _say({"missing": str(error)})
        return
    _say({"version": version})
    asyncio.run(_serve(contestant, getattr(module, contestant.opens)))


if __name__ == "__main__":
    main()
