"""Measure and print the tables: `python -m benchmarks.speed [--quick] [--write] [part ...]`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks import prefetch
from benchmarks.speed import costs, picture, report, targets
from benchmarks.speed.contestant import CONTESTANTS, GIDGETHUB, ITEMS, OPENAI, ORJSON, PLAIN, TWILIO, Contestant
from benchmarks.speed.crew import Cores, Worker, crew
from benchmarks.speed.pages import List, prepare
from benchmarks.speed.rates import LISTS, SIZES, Rates, measure
from benchmarks.speed.server import NginxMissingError, find_nginx, serving
from benchmarks.speed.targets import Check

_HERE: Final = Path(__file__).parent.parent


@attrs.frozen
class Effort:
    """The number of rounds of each part."""

    rates: int = 12
    added: int = 60
    imports: int = 25
    makespans: int = 2


QUICK: Final = Effort(rates=3, added=10, imports=5, makespans=1)


@attrs.define
class Run:
    """One run and its results.

    Attributes:
        effort: The number of rounds.
        url: The URL of the server.
        cores: The cores of the server and the clients.
        title: The date and the machine, in one line.
        tables: The tables to print and write.
        checks: The targets and whether they were reached.
        rates: The rates by page size.
    """

    effort: Effort
    url: str
    cores: Cores
    title: str
    tables: list[str] = attrs.field(factory=list[str])
    checks: list[Check] = attrs.field(factory=list[Check])
    rates: dict[int, Rates] = attrs.field(factory=dict[int, Rates])

    def show(self, table: str, checks: Iterator[Check]) -> None:
        """Print a table, and record it with its checks."""
        print(f"\n{table}", flush=True)
        self.tables.append(table)
        self.checks += checks


def _installed(workers: Mapping[Contestant, Worker]) -> dict[Contestant, Worker]:
    for each, worker in workers.items():
        if worker.version is None:
            print(f"skipped: {each.name}: {worker.missing} (pip install -r benchmarks/requirements.txt)")
    return {each: worker for each, worker in workers.items() if worker.version is not None}


def rates(run: Run) -> None:
    """Records per second of all contestants."""
    with crew(CONTESTANTS, run.url, run.cores) as workers:
        there = _installed(workers)
        if ORJSON not in there:
            sys.exit(
                "the loop that rates are compared with needs orjson; run: pip install -r benchmarks/requirements.txt"
            )
        versions = {each: worker.version or "" for each, worker in there.items()}
        for size in SIZES:
            run.rates[size] = measure(there, size, run.effort.rates)
            run.show(report.of_rates(run.rates[size], versions), iter(()))
    run.checks += targets.of_rates(run.rates)


def calls(run: Run) -> None:
    """Function calls."""
    with crew((ORJSON, ITEMS, PLAIN, GIDGETHUB, TWILIO, OPENAI), run.url, run.cores) as workers:
        counted = {each: costs.calls(worker) for each, worker in _installed(workers).items()}
    run.show(report.of_calls(counted), targets.of_calls(counted))


def added(run: Run) -> None:
    """CPU time that limiter and retries add."""
    microseconds = costs.added_cpu(run.url, run.cores, run.effort.added)
    row = ["limiter and retries, over the bare transport", microseconds.text(1)]
    run.show(report.table(["CPU a request", "µs"], [row]), targets.of_added_cpu(microseconds))


def memory(run: Run) -> None:
    """Memory over a long walk."""
    grown: dict[Contestant, float] = {}
    with crew((ITEMS, TWILIO), run.url, run.cores) as workers:
        for each, worker in _installed(workers).items():
            grown[each] = costs.memory(worker)
    run.show(report.of_memory(grown), targets.of_memory(grown))


def imports(run: Run) -> None:
    """Time of the import."""
    seconds, ratio = costs.imports(run.effort.imports)
    run.show(report.of_imports(seconds, ratio), targets.of_import(ratio))


def makespan(run: Run) -> None:
    """Prefetching from a slow server."""
    rows = asyncio.run(prefetch.makespans(run.effort.makespans))
    run.show(report.of_makespans(rows), targets.of_makespans(rows))


PARTS: Final[Mapping[str, Callable[[Run], None]]] = {
    part.__name__: part for part in (rates, calls, added, memory, imports, makespan)
}


def _lists(parts: Sequence[str]) -> list[List]:
    lists = [costs.ADDED_LIST] if "added" in parts else []
    walked = [each for lengths in LISTS.values() for each in lengths] if {"rates", "calls"} & {*parts} else []
    walked += costs.MEMORY_LISTS if "memory" in parts else ()
    return [*lists, *walked, *(attrs.evolve(each, navigated=True) for each in walked)]


def _measure(parts: Sequence[str], effort: Effort) -> Run:
    cores, nginx = Cores.of_this_machine(), find_nginx()
    with tempfile.TemporaryDirectory(prefix="alohub-speed-") as directory:
        lists = _lists(parts)
        record = prepare(Path(directory), lists)
        with serving(nginx, Path(directory), lists, cores.server) as url:
            quick = "; a quick run" if effort == QUICK else ""
            run = Run(effort, url, cores, f"{report.machine()}; {record:.0f} bytes a record{quick}")
            print(run.title)
            for name in parts:
                PARTS[name](run)
    return run


def _sentence(by_size: Mapping[int, Rates]) -> str:
    """The results in one sentence, for the README."""
    ratios = " / ".join(f"{by_size[size].ratio(ITEMS, ORJSON).value:.2f}" for size in SIZES)
    best = [each for size in SIZES if (each := by_size[size].best(typed=False)) is not None]
    beside = ""
    if len(best) == len(SIZES):
        faster = " / ".join(
            f"{by_size[size].ratio(ITEMS, sdk).value:.1f}" for size, sdk in zip(SIZES, best, strict=True)
        )
        beside = f", and {faster} times as fast as the fastest published SDK beside it"
    return (
        f"With limiter and retries on, a walk item by item, 20 / 100 / 1000 records a page, is {ratios} times as fast"
        f" as a bare aiohttp loop that decodes into dicts with orjson{beside}; see [how](benchmarks/README.md)."
    )


def _write(run: Run) -> None:
    tables = [f"{run.title}.", *run.tables, report.of_checks(run.checks)]
    report.put(_HERE / "README.md", "speed", "\n" + "\n\n".join(tables) + "\n")
    (_HERE / "speed.svg").write_text(picture.draw(run.rates), encoding="utf-8")
    report.put(_HERE.parent / "README.md", "speed", _sentence(run.rates))


def main() -> int:
    """Measure and print each part. The exit code is 0 if all targets were reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, wider intervals")
    parser.add_argument(
        "--write", action="store_true", help="write the tables and the picture to the READMEs; needs all parts"
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"parts to run: {', '.join(PARTS)}; all if none is given"
    )
    arguments = parser.parse_args()
    chosen: list[str] = arguments.parts or [*PARTS]
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if arguments.write and arguments.parts:
        parser.error("--write needs a run of all parts")
    begun = time.perf_counter()
    try:
        run = _measure(chosen, QUICK if arguments.quick else Effort())
    except NginxMissingError as error:
        sys.exit(str(error))
    print(f"\n{report.of_checks(run.checks)}")
    if arguments.write:
        _write(run)
    missed = sum(not check.ok for check in run.checks)
    print(f"\n{missed} missed; {time.perf_counter() - begun:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
