"""One contestant in its own process: `python -m benchmarks.speed.worker`, driven by `crew.py`.

It writes a line of JSON when it is ready, then one for each line that it reads.
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
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from benchmarks.speed.contestant import CONTESTANTS, SINGLES, Contestant, Open, Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting, Fields, Keeping, fields_of

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

    async def opened(self, url: str, which: List) -> Walk:
        """The walk over the list at `url`, opened at the first call."""
        if url not in self.walks:
            self.walks[url] = await self.stack.enter_async_context(self.opens(url, which))
        return self.walks[url]

    async def walked(self, walk: Walk, which: List, visit: Counting) -> None:
        """Walk once, and check the number of records.

        Raises:
            RuntimeError: It is wrong.
        """
        count = await walk(visit)
        if count != which.records:
            raise RuntimeError(f"{self.contestant.name} found {count} of {which.records} records")

    async def times(self, walk: Walk, which: List) -> tuple[float, float]:
        """Wall-clock time and CPU time of one walk, in seconds."""
        visit = Counting()
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        await self.walked(walk, which, visit)
        return time.perf_counter() - wall, time.process_time() - cpu

    async def warm(self, walk: Walk, which: List) -> None:
        """Walk once, so that connections, caches and generated code are there."""
        await self.walked(walk, which, Counting())

    async def records(self, walk: Walk, which: List) -> list[Fields]:
        """The fields of each record, as this contestant read them."""
        visit = Keeping()
        await self.walked(walk, which, visit)
        return [fields_of(record) for record in visit.records]

    async def calls(self, walk: Walk, which: List) -> float:
        """Calls of Python and C functions in one walk."""
        profile = cProfile.Profile()
        profile.enable()
        await self.walked(walk, which, Counting())
        profile.disable()
        return sum(entry.callcount for entry in profile.getstats())

    async def peak(self, walk: Walk, which: List) -> float:
        """Peak memory of the process after one more walk, in bytes."""
        await self.walked(walk, which, Counting())
        return _peak()

    async def page(self, walk: Walk, which: List) -> float:
        """Bytes of memory that the records of a page take, if they are kept."""
        visit = Keeping()
        tracemalloc.start()
        await self.walked(walk, which, visit)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return kept / which.pages


_MEASURES: Final[dict[str, Callable[[_Worker, Walk, List], Awaitable[Any]]]] = {
    "times": _Worker.times,
    "warm": _Worker.warm,
    "records": _Worker.records,
    "calls": _Worker.calls,
    "peak": _Worker.peak,
    "page": _Worker.page,
}


async def _serve(contestant: Contestant, opens: Open) -> None:
    async with AsyncExitStack() as stack:
        worker = _Worker(contestant, opens, stack)
        for line in sys.stdin:
            asked = json.loads(line)
            which = List(**asked["which"])
            walk = await worker.opened(asked["url"], which)
            _say(await _MEASURES[asked["measure"]](worker, walk, which))


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Run a contestant; the arguments are its name and its core."""
    name, core = sys.argv[1:]
    contestant = next(each for each in (*CONTESTANTS, *SINGLES) if each.name == name)
    if contestant.hidden is not None:
        cast("dict[str, ModuleType | None]", sys.modules)[contestant.hidden] = None  # as if it were not installed
    try:
        module = importlib.import_module(f"benchmarks.speed.{contestant.module}")
        version = importlib.metadata.version(contestant.package)
    except ImportError as error:
        _say({"missing": str(error)})
        return
    os.sched_setaffinity(0, {int(core)})  # only now, so that contestants are imported on all cores
    _say({"version": version})
    asyncio.run(_serve(contestant, getattr(module, contestant.opens)))


if __name__ == "__main__":
    main()
