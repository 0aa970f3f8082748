"""Measure and print the tables: `python -m benchmarks.speed [--quick] [--write] [part ...]`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from benchmarks import prefetch
from benchmarks.speed import costs, picture, report, targets
from benchmarks.speed.contestant import (
    AHEAD,
    BARE_GETS,
    CONTESTANTS,
    GETS,
    GIDGETHUB,
    ITEMS,
    ON_ODD_ANSWERS,
    OPENAI,
    ORJSON,
    PLAIN,
    SINGLES,
    TWILIO,
    Contestant,
)
from benchmarks.speed.crew import Cores, Worker, crew
from benchmarks.speed.floors import TASKS
from benchmarks.speed.lists import ODD, Answers, List
from benchmarks.speed.pages import mean_length, prepare
from benchmarks.speed.rates import SIZES, AllRates, Effort, Rates, lists, measure, measure_singles, proof_list
from benchmarks.speed.server import NginxMissingError, find_nginx, serving
from benchmarks.speed.targets import Check

_HERE: Final = Path(__file__).parent.parent


@attrs.frozen
class Efforts:
    """The effort of each part: rounds, or rounds and seconds of a walk."""

    rates: Effort
    odd: Effort
    singles: int = 8
    gets: int = 5000
    added: int = 60
    imports: int = 25
    makespans: int = 2


FULL: Final = Efforts(rates=Effort(rounds=8, seconds=0.25), odd=Effort(rounds=6, seconds=0.25))
QUICK: Final = Efforts(
    rates=Effort(rounds=2, seconds=0.1),
    odd=Effort(rounds=2, seconds=0.1),
    singles=4,
    gets=1000,
    added=10,
    imports=5,
    makespans=1,
)


@attrs.define
class Run:
    """One run and its results.

    Attributes:
        efforts: How long each part is measured.
        nginx: The path of nginx.
        cores: The cores of the server and the clients.
        title: The date and the machine, in one line.
        tables: The tables to print and write.
        checks: The targets and whether they were reached.
        rates: The rates of walks.
        singles: The rates of single gets.
    """

    efforts: Efforts
    nginx: str
    cores: Cores
    title: str
    tables: list[str] = attrs.field(factory=list[str])
    checks: list[Check] = attrs.field(factory=list[Check])
    rates: AllRates = attrs.field(factory=dict[tuple[Answers, int], Rates])
    singles: Rates | None = None

    def show(self, table: str, checks: Iterable[Check]) -> None:
        """Print a table, and record it with its checks."""
        print(f"\n{table}", flush=True)
        self.tables.append(table)
        self.checks += checks

    @contextmanager
    def serving(self, wanted: Iterable[List]) -> Generator[str]:
        """Serve these lists; yields the URL."""
        both = [form for each in wanted for form in each.forms]
        with tempfile.TemporaryDirectory(prefix="alohub-speed-") as directory:
            prepare(Path(directory), both)
            with serving(self.nginx, Path(directory), both, self.cores.server) as url:
                yield url

    @contextmanager
    def crew(self, contestants: Iterable[Contestant], wanted: Iterable[List]) -> Generator[Mapping[Contestant, Worker]]:
        """Serve these lists to these contestants; yields those that are installed."""
        with self.serving(wanted) as url, crew(contestants, url, self.cores) as workers:
            yield workers

    def measure(self, contestants: Iterable[Contestant], answers: Answers, effort: Effort) -> dict[Contestant, str]:
        """Measure the rates on one kind of answers. Returns the versions.

        The processes are new for each kind, so that nothing learnt from one kind helps with another.
        """
        wanted = [each for size in SIZES for each in (proof_list(size, answers), *lists(size, answers))]
        with self.crew(contestants, wanted) as workers:
            if ORJSON not in workers:
                sys.exit(
                    "the loop that rates are compared with needs orjson; run:"
                    " pip install -r benchmarks/requirements.txt"
                )
            for size in SIZES:
                self.rates[answers, size] = measure(workers, size, answers, effort)
            return {each: worker.version or "" for each, worker in workers.items()}


def rates(run: Run) -> None:
    """Records per second of all contestants."""
    versions = run.measure(CONTESTANTS, "documented", run.efforts.rates)
    for size in SIZES:
        run.show(report.of_rates(run.rates["documented", size], size, versions), ())
    run.checks += targets.of_rates(run.rates, ("documented",))


def odd(run: Run) -> None:
    """Records per second on answers that differ from the documentation."""
    for answers in ODD:
        run.measure(ON_ODD_ANSWERS, answers, run.efforts.odd)
    for size in SIZES:
        run.show(report.of_odd_rates(run.rates, size, ON_ODD_ANSWERS), ())
    run.checks += targets.of_rates(run.rates, ODD)


def singles(run: Run) -> None:
    """Gets of single records."""
    which = List(run.efforts.gets, 1, form="details")
    with run.crew(SINGLES, [which]) as workers:
        if BARE_GETS not in workers:
            sys.exit("the loop that gets are compared with needs orjson; run: pip install orjson")
        run.singles = measure_singles(workers, which, run.efforts.singles)
    run.show(report.of_singles(run.singles, which.records), targets.of_singles(run.singles))


def calls(run: Run) -> None:
    """Function calls."""
    wanted = [costs.CALLS_WARM_UP, *(each for both in costs.CALLS_LISTS.values() for each in both)]
    with run.crew((ORJSON, ITEMS, PLAIN, GIDGETHUB, TWILIO, OPENAI), wanted) as workers:
        counted = {each: costs.calls(worker) for each, worker in workers.items()}
    run.show(report.of_calls(counted), targets.of_calls(counted))


def added(run: Run) -> None:
    """CPU time that limiter and retries add."""
    with run.serving([costs.ADDED_LIST]) as url:
        microseconds = costs.added_cpu(url, run.cores, run.efforts.added)
    row = ["limiter and retries, over the bare transport", microseconds.text(1)]
    run.show(report.table(["CPU a request", "µs"], [row]), targets.of_added_cpu(microseconds))


def memory(run: Run) -> None:
    """Memory over a long walk."""
    with run.crew((ITEMS, AHEAD, TWILIO), costs.MEMORY_LISTS) as workers:
        grown = {each: costs.memory(worker) for each, worker in workers.items()}
    run.show(report.of_memory(grown), targets.of_memory(grown))


def imports(run: Run) -> None:
    """Time of the import."""
    seconds, ratio = costs.imports(run.efforts.imports)
    run.show(report.of_imports(seconds, ratio), targets.of_import(ratio))


def makespan(run: Run) -> None:
    """Prefetching from a slow server."""
    rows = asyncio.run(prefetch.makespans(run.efforts.makespans))
    run.show(report.of_makespans(rows), targets.of_makespans(rows))


PARTS: Final[Mapping[str, Callable[[Run], None]]] = {
    part.__name__: part for part in (rates, odd, singles, calls, added, memory, imports, makespan)
}


def _measure(parts: Sequence[str], efforts: Efforts) -> Run:
    quick = "; a quick run" if efforts == QUICK else ""
    title = f"{report.machine()}; {mean_length():.0f} bytes a record{quick}"
    run = Run(efforts, find_nginx(), Cores.of_this_machine(), title)
    print(run.title)
    for name in parts:
        begun = time.perf_counter()
        PARTS[name](run)
        print(f"({name}: {time.perf_counter() - begun:.0f} s)", flush=True)
    return run


def _each_size(found: Iterator[float], digits: int = 2) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in found)


def _sentence(run: Run) -> str:
    """The results in one sentence, for the README."""

    def ratios(answers: Iterable[Answers]) -> Iterator[float]:
        for size in SIZES:
            yield min(run.rates[kind, size].ratio(ITEMS, ORJSON).value for kind in answers)

    beside = ""
    by_size = [run.rates["documented", size] for size in SIZES]
    best = [sdk for each in by_size if (sdk := each.best(typed=False)) is not None]
    if len(best) == len(SIZES):
        faster = (each.ratio(ITEMS, sdk).value for each, sdk in zip(by_size, best, strict=True))
        beside = f", and {_each_size(faster, 1)} times as fast as the fastest published SDK beside it"
    single = ""
    if run.singles is not None:
        single = f" Single gets, {TASKS} at once, are {run.singles.ratio(GETS, BARE_GETS).value:.2f} times as fast."
    return (
        f"With limiter and retries on, a walk item by item, 20 / 100 / 1000 records a page, is"
        f" {_each_size(ratios(['documented']))} times as fast as a bare aiohttp loop that decodes into dicts with"
        f" orjson{beside}. If the answers differ from the documentation, it is {_each_size(ratios(ODD))} times as fast"
        f" as that loop in the worst of four cases.{single} See [how](benchmarks/README.md)."
    )


def _write(run: Run) -> None:
    tables = [f"{run.title}.", *run.tables, report.of_checks(run.checks)]
    report.put(_HERE / "README.md", "speed", "\n" + "\n\n".join(tables) + "\n")
    (_HERE / "speed.svg").write_text(picture.draw(run.rates), encoding="utf-8")
    report.put(_HERE.parent / "README.md", "speed", _sentence(run))


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
        run = _measure(chosen, QUICK if arguments.quick else FULL)
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
