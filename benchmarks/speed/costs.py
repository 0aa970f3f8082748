"""Other costs of a client: function calls, memory of a long walk, CPU time over the bare transport, import time."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import attrs

from benchmarks.speed.crew import Cores, Worker
from benchmarks.speed.estimate import Estimate, median
from benchmarks.speed.lists import List
from benchmarks.speed.rates import lists

MEMORY_LISTS: Final = (List(20, 1000), List(1000, 1000))
ADDED_LIST: Final = List(300, 1)
CALLS_LISTS: Final = {size: lists(size)[:2] for size in (20, 100)}
CALLS_WARM_UP: Final = List(60, 100)


@attrs.frozen
class Calls:
    """Calls of Python and C functions, as cProfile counts them."""

    per_request: float
    per_record: float


def calls(worker: Worker) -> Calls:
    """Calls of a long walk minus a short one, so that costs per walk cancel out; from page sizes 20 and 100.

    Another list warms up: in a second walk over the same list, URLs would come from the caches of yarl and urllib.
    """
    worker.warm(CALLS_WARM_UP)
    a_page: dict[int, float] = {}
    for size, (short, long) in CALLS_LISTS.items():
        more = worker.measure("calls", long) - worker.measure("calls", short)
        a_page[size] = more / (long.pages - short.pages)
    per_record = (a_page[100] - a_page[20]) / 80
    return Calls(a_page[20] - 20 * per_record, per_record)


@attrs.frozen
class Memory:
    """Megabytes of memory.

    Attributes:
        before: The peak of the process after a walk over 20 pages of 1000 records.
        after: The peak after a walk over 1000 such pages.
        page: What the records of one page take.
    """

    before: float
    after: float
    page: float


def memory(worker: Worker) -> Memory:
    """Memory of a walk over 1,000,000 records."""
    short, long = MEMORY_LISTS
    worker.warm(short)
    before, after = worker.measure("peak", short) / 1e6, worker.measure("peak", long) / 1e6
    return Memory(before, after, worker.measure("page", short) / 1e6)


def added_cpu(url: str, cores: Cores, rounds: int) -> Estimate:
    """Microseconds of CPU time that limiter and retries add to a request."""
    arguments = [f"{url}/{ADDED_LIST.name}", str(ADDED_LIST.pages), str(cores.client), str(rounds)]
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.added", *arguments], check=True, stdout=subprocess.PIPE
    )
    differences: list[float] = json.loads(answer.stdout)
    return median(differences)


def _import_seconds(module: str) -> float:
    code = f"import time; begun = time.perf_counter(); import {module}; print(time.perf_counter() - begun)"
    kept = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "",
    }  # an installed package has byte code, made by the first import
    return float(subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, env=kept).stdout)


def imports(rounds: int) -> tuple[Mapping[str, Estimate], Estimate]:
    """Seconds to import aiohttp and alohub-async, alternately in fresh interpreters; and their ratio."""
    modules = ("aiohttp", "alohub_async.client")
    took: dict[str, list[float]] = {module: [] for module in modules}
    for number in range(rounds + 1):
        for module in modules if number % 2 else reversed(modules):
            took[module].append(_import_seconds(module))
    took = {module: seconds[1:] for module, seconds in took.items()}  # the first import compiles byte code
    floor, ours = took.values()
    ratio = median([mine / its for mine, its in zip(ours, floor, strict=True)])
    return {module: median(seconds) for module, seconds in took.items()}, ratio
