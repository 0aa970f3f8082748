"""The performance targets of alohub-async, and whether they were reached."""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from benchmarks.prefetch import Makespan
from benchmarks.speed.contestant import ITEMS, JSON, ORJSON, PAGES, PLAIN, Contestant
from benchmarks.speed.costs import Calls
from benchmarks.speed.estimate import Estimate
from benchmarks.speed.rates import Rates

_SIZES: Final = (20, 100, 1000)
_ITEMS_AGAINST_ORJSON: Final = (0.88, 0.83, 0.72)
_PAGES_AGAINST_ORJSON: Final = (None, None, 0.82)
_ITEMS_AGAINST_JSON: Final = (1.0, 1.15, 1.45)
_ITEMS_AGAINST_SDK: Final = (1.3, 1.45, 1.7)
_ITEMS_AGAINST_TYPED_SDK: Final = (1.3, 2.0, 3.5)
_PLAIN_AGAINST_JSON: Final = (0.93, 0.75, 0.5)
_CALLS_A_REQUEST: Final = 330.0
_CALLS_A_RECORD: Final = 1.1
_CALLS_A_RECORD_PLAIN: Final = 4.5
_ADDED_CPU: Final = 30.0  # microseconds
_MEMORY: Final = 2.0  # MB
_IMPORT: Final = 1.15
_MAKESPAN: Final = 1.12


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


def of_rates(by_size: Mapping[int, Rates]) -> Iterator[Check]:
    """Ratios of records per second."""
    fixed = (
        ("items", ITEMS, ORJSON, _ITEMS_AGAINST_ORJSON),
        ("pages", PAGES, ORJSON, _PAGES_AGAINST_ORJSON),
        ("items", ITEMS, JSON, _ITEMS_AGAINST_JSON),
        ("items without speed", PLAIN, JSON, _PLAIN_AGAINST_JSON),
    )
    for name, one, other, asked in fixed:
        for size, least in zip(_SIZES, asked, strict=True):
            rates = by_size[size]
            if least is not None and (one, other) in rates.ratios:
                yield _least(f"{name} / {other.name}, {size} a page", rates.ratio(one, other), least)
    for name, typed, asked in (
        ("best SDK", False, _ITEMS_AGAINST_SDK),
        ("best typed SDK", True, _ITEMS_AGAINST_TYPED_SDK),
    ):
        for size, least in zip(_SIZES, asked, strict=True):
            best = by_size[size].best(typed=typed)
            if best is not None:
                ratio = by_size[size].ratio(ITEMS, best)
                yield _least(f"items / {name} ({best.name}), {size} a page", ratio, least)


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


def of_memory(grown: Mapping[Contestant, float]) -> Iterator[Check]:
    """Memory."""
    yield _most("memory over 1,000,000 records", grown[ITEMS], _MEMORY, " MB")


def of_import(ratio: Estimate) -> Iterator[Check]:
    """Import."""
    yield Check("import / import aiohttp", ratio.text(), f"<= {_IMPORT:g}", round(ratio.value, 2) <= _IMPORT)


def of_makespans(rows: list[Makespan]) -> Iterator[Check]:
    """Prefetching."""
    close = [row for row in rows if row.ok is not None]
    found = max(row.of_in_any if "as they come" in row.name else row.of_in_order for row in close)
    yield _most("makespan / its ideal, the worst", found, _MAKESPAN, digits=2)
