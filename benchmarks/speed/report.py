"""The tables, as Markdown that is also readable in a terminal."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.prefetch import Makespan
from benchmarks.speed.contestant import BARE_GETS, BYTES, ITEMS, ORJSON, SINGLES, Contestant
from benchmarks.speed.costs import Calls, Memory
from benchmarks.speed.estimate import Estimate
from benchmarks.speed.floors import TASKS
from benchmarks.speed.lists import ANSWERS
from benchmarks.speed.rates import AllRates, Rates
from benchmarks.speed.targets import Check


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    cells = [header, *rows]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    first, *others = widths
    rule = "|".join(["-" * (first + 2), *("-" * (width + 1) + ":" for width in others)])
    head, *body = (_line(row, widths) for row in cells)
    return "\n".join([head, f"|{rule}|", *body])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    return f"| {' | '.join([row[0].ljust(len(first)), *others])} |"


def machine() -> str:
    """The machine and its load, in one line."""
    cpus = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = f"{len(cpus)} cores {cpus[0] if cpus else ''}, load {os.getloadavg()[0]:.1f} when it began"
    return f"{datetime.now(tz=UTC).date()}, {python}, {platform.system()}, {cores}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def of_rates(rates: Rates, size: int, versions: Mapping[Contestant, str]) -> str:
    """The rates of one page size."""
    rows = [
        [
            f"{each.name} {'' if each.kind == 'ours' else versions[each]}".rstrip(),
            "objects" if each.typed else "bytes" if each is BYTES else "dicts",
            f"{rates.rate(each):,.0f}",
            rates.ratio(each, ORJSON).text(),
            rates.ratio(ITEMS, each).text(),
        ]
        for each in rates.walks
    ]
    return table([f"{size} a page", "gives", "records/s", "to orjson dicts", "items, to this"], rows)


def of_odd_rates(rates: AllRates, size: int, contestants: Iterable[Contestant]) -> str:
    """The rates of one page size on each kind of answers, as ratios to orjson dicts on the same answers."""
    here = [(ANSWERS[kind], its) for (kind, its_size), its in rates.items() if its_size == size]
    there = [each for each in contestants if all(each in its.walks for _, its in here)]
    rows = [[each.name, *(its.ratio(each, ORJSON).text() for _, its in here)] for each in there]
    return table([f"{size} a page, to orjson dicts", *(kind for kind, _ in here)], rows)


def of_singles(rates: Rates, gets: int) -> str:
    """Single gets."""
    rows = [
        [
            each.name,
            f"{rates.rate(each):,.0f}",
            rates.ratio(each, BARE_GETS).text(),
            rates.cpu_ratio(each, BARE_GETS).text(),
        ]
        for each in SINGLES
        if each in rates.walks
    ]
    return table([f"{gets:,} single gets, {TASKS} at once", "gets/s", "to aiohttp + orjson", "the same, by CPU"], rows)


def of_calls(calls: Mapping[Contestant, Calls]) -> str:
    """Function calls."""
    rows = [[each.name, f"{its.per_request:.0f}", f"{its.per_record:.2f}"] for each, its in calls.items()]
    return table(["function calls", "a request", "a record"], rows)


def of_memory(memory: Mapping[Contestant, Memory]) -> str:
    """Memory."""
    rows = [
        [each.name, f"{its.after - its.before:.1f} MB", f"{its.after:.1f} MB", f"{its.page:.2f} MB"]
        for each, its in memory.items()
    ]
    return table(["memory", "grows over 1,000,000 records by", "to", "a page of 1000 takes"], rows)


def of_imports(seconds: Mapping[str, Estimate], ratio: Estimate) -> str:
    """Imports."""
    rows = [[f"`import {module}`", f"{its.value * 1e3:.0f} ms"] for module, its in seconds.items()]
    return table(["import", "takes"], [*rows, ["ratio", ratio.text()]])


def of_makespans(makespans: Iterable[Makespan]) -> str:
    """Prefetching."""
    header = ["200 pages of 25 to 75 ms", "seconds", "to the ideal in order", "to the ideal in any order", "faster by"]
    rows = [
        [row.name, f"{row.seconds:.2f}", f"{row.of_in_order:.2f}", f"{row.of_in_any:.2f}", f"{row.faster:.1f}"]
        for row in makespans
    ]
    return table(header, rows)


def of_checks(checks: Iterable[Check]) -> str:
    """The targets and the results."""
    rows = [[check.what, check.asked, check.found, check.verdict] for check in checks]
    return table(["what", "asked", "found", ""], rows)


def put(path: Path, marker: str, text: str) -> None:
    """Replace the text between the comments `<!-- marker -->` and `<!-- /marker -->` of a Markdown file.

    Raises:
        ValueError: The file does not have these comments.
    """
    begin, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    head, opened, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, tail = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"{path} has no {begin.strip()} … {end}")
    path.write_text(f"{head}{begin}{text}\n{end}{tail}", encoding="utf-8")
