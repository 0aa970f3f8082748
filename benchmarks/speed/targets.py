"""The performance targets of alohub-async, and whether they were reached."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from benchmarks.prefetch import Makespan
from benchmarks.speed.contestant import AHEAD, BARE_GETS, GETS, ITEMS, JSON, MANY, ORJSON, PLAIN, Contestant
from benchmarks.speed.costs import Calls, Memory
from benchmarks.speed.estimate import Estimate
from benchmarks.speed.lists import ANSWERS, Answers
from benchmarks.speed.rates import SIZES, AllRates, Rates

_ITEMS_AGAINST_ORJSON: Final[Mapping[Answers, Sequence[float]]] = {
    "documented": (0.85, 0.82, 0.72),
    "undocumented": (0.80, 0.75, 0.60),
    "numbers": (0.80, 0.75, 0.60),
    "misfits": (0.75, 0.70, 0.55),
    "integers": (0.75, 0.70, 0.55),
}
_ITEMS_AGAINST_SDK: Final = (1.3, 1.45, 1.7)
_ITEMS_AGAINST_TYPED_SDK: Final = (1.3, 2.0, 2.5)
_PLAIN_AGAINST_JSON: Final = (0.93, 0.75, 0.5)
_CALLS_A_REQUEST: Final = 330.0
_CALLS_A_RECORD: Final = 1.1
_CALLS_A_RECORD_PLAIN: Final = 4.5
_ADDED_CPU: Final = 30.0  # microseconds
_MEMORY: Final = 2.0  # MB
_AHEAD: Final = 4  # pages in flight of the contestant `AHEAD`
_IMPORT: Final = 1.15
_MAKESPAN: Final = 1.06
_GETS_AGAINST_BARE: Final = 0.80


@attrs.frozen
class Check:
    """One target: what is measured, the result, the target, and whether it was reached."""

    what: str
    found: str
    asked: str
    ok: bool

    @property
    def verdict(self) -> str:
        """The verdict in the table."""
        return "ok" if self.ok else "MISSED"


def _least(what: str, found: Estimate, asked: float, digits: int = 2) -> Check:
    return Check(what, found.text(digits), f">= {asked:g}", round(found.value, digits) >= asked)


def _most(what: str, found: float, asked: float, unit: str = "", digits: int = 1) -> Check:
    return Check(what, f"{found:.{digits}f}{unit}", f"<= {asked:g}{unit}", round(found, digits) <= asked)


def of_rates(rates: AllRates, kinds: Iterable[Answers]) -> Iterator[Check]:
    """Ratios of records per second on these kinds of answers."""
    for kind in kinds:
        for place, size in enumerate(SIZES):
            here, where = rates[kind, size], f"{size} a page, {ANSWERS[kind]}"
            ratio = here.ratio(ITEMS, ORJSON)
            yield _least(f"items / {ORJSON.name}, {where}", ratio, _ITEMS_AGAINST_ORJSON[kind][place])
            if kind == "documented" and PLAIN in here.walks:
                ratio = here.ratio(PLAIN, JSON)
                yield _least(f"items without speed / {JSON.name}, {where}", ratio, _PLAIN_AGAINST_JSON[place])
            for name, typed, asked in (
                ("SDK", False, _ITEMS_AGAINST_SDK),
                ("typed SDK", True, _ITEMS_AGAINST_TYPED_SDK),
            ):
                best = here.best(typed=typed)
                if best is not None and (typed or kind == "documented"):
                    what = f"items / best {name} ({best.name}), {where}"
                    yield _least(what, here.ratio(ITEMS, best), asked[place])


def of_singles(rates: Rates) -> Iterator[Check]:
    """Single gets."""
    for each in (GETS, MANY):
        ratios = {"": rates.ratio(each, BARE_GETS), ", by CPU": rates.cpu_ratio(each, BARE_GETS)}
        for by, ratio in ratios.items():
            yield _least(f"{each.name} / {BARE_GETS.name}{by}", ratio, _GETS_AGAINST_BARE)


def of_calls(calls: Mapping[Contestant, Calls]) -> Iterator[Check]:
    """Function calls."""
    ours, plain = calls[ITEMS], calls[PLAIN]
    yield _most("function calls a request", ours.per_request, _CALLS_A_REQUEST, digits=0)
    yield _most("function calls a record", ours.per_record, _CALLS_A_RECORD, digits=2)
    yield _most("function calls a record, without speed", plain.per_record, _CALLS_A_RECORD_PLAIN, digits=2)


def of_added_cpu(added: Estimate) -> Iterator[Check]:
    """CPU."""
    text = f"{added.text(1)} µs"
    yield Check("CPU a request, over the bare transport", text, f"<= {_ADDED_CPU:g} µs", added.value <= _ADDED_CPU)


def of_memory(memory: Mapping[Contestant, Memory]) -> Iterator[Check]:
    """Memory. Prefetching may hold twice as many pages as it has in flight, on top of what a walk takes without it."""
    items, ahead = memory[ITEMS], memory[AHEAD]
    yield _most("memory over 1,000,000 records", items.after - items.before, _MEMORY, " MB")
    held = round(_MEMORY + 2 * _AHEAD * ahead.page, 1)
    yield _most(f"the same with prefetch {_AHEAD}, 2 MB + {2 * _AHEAD} pages", ahead.after - items.before, held, " MB")


def of_import(ratio: Estimate) -> Iterator[Check]:
    """Import."""
    yield Check("import / import aiohttp", ratio.text(), f"<= {_IMPORT:g}", round(ratio.value, 2) <= _IMPORT)


def of_makespans(rows: Iterable[Makespan]) -> Iterator[Check]:
    """Prefetching."""
    for row in rows:
        if "prefetch" in row.name:
            yield _most(f"makespan / ideal in any order, {row.name}", row.of_in_any, _MAKESPAN, digits=2)
