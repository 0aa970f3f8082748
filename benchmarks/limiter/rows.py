"""What a part of the table is made of: how much to simulate, and its rows."""

import functools
from collections.abc import Callable, Mapping, Sequence

import attrs

from benchmarks.limiter import REPORT_SEEDS
from benchmarks.limiter.client import Limiter
from benchmarks.limiter.policies import OTHERS
from benchmarks.limiter.scenario import Outcome, Setup, buckets, omniscient, run
from benchmarks.limiter.server import Server


@attrs.frozen
class Effort:
    """How much to simulate."""

    seeds: Sequence[int] = REPORT_SEEDS[:3]
    rival_seeds: Sequence[int] = REPORT_SEEDS
    windows: int = 100
    limits: Sequence[int] = (5, 20, 50, 200)


QUICK = Effort(seeds=REPORT_SEEDS[:1], rival_seeds=REPORT_SEEDS[:2], windows=30, limits=(5, 50))


@attrs.frozen
class Row:
    """One row of the table: the run, its result, what is required; `ok` is None if nothing is."""

    name: str
    found: str
    required: str = ""
    ok: bool | None = None

    def __str__(self) -> str:
        mark = {True: "ok", False: "MISSED", None: ""}[self.ok]
        return f"{self.name:<34} {self.found:<90} {self.required:<30} {mark}"


def utilisation(setup: Setup, outcome: Outcome) -> float:
    """Of the budget, against a client that sees the server: in the second half, where that is in a steady state."""
    best = omniscient(setup)
    return len(outcome.served) / len(best.served) if setup.limits else outcome.rate / best.rate


def compare(
    name: str, cells: Mapping[str, Sequence[Setup]], *, most: float, in_all: bool = False, least: float = 0.0
) -> Row:
    """One row: use and 429s of each cell, by the worst of its setups.

    Required are a use of `least`, and at most `most` 429s: of each setup `in_all`, or per 1,000 successes.
    """
    found: list[str] = []
    ok = True
    for label, setups in cells.items():
        outcomes = [buckets(setup) for setup in setups]
        used = min(utilisation(setup, outcome) for setup, outcome in zip(setups, outcomes, strict=True))
        denied = max(len(outcome.denials) if in_all else outcome.per_thousand for outcome in outcomes)
        ok = ok and used >= least and denied <= most
        found.append(f"{label}: {used:.3f} {denied:.{0 if in_all else 1}f}")
    required = f"<= {most:g} {'in all' if in_all else '/ 1,000'}"
    return Row(name, "  ".join(found), f">= {least}, {required}" if least else required, ok)


def peers(setup: Setup) -> Row:
    """What other policies reach there: use, and 429s per 1,000."""
    found: list[str] = []
    for name, make in OTHERS.items():
        outcome = run(setup, functools.partial(policy, make, setup.seconds))
        found.append(f"{name} {utilisation(setup, outcome):.2f} {outcome.per_thousand:.0f}")
    return Row(f"others, {setup.kind}, limit {setup.limit}", "  ".join(found))


def policy(make: Callable[[float], Limiter[None]], seconds: float, _server: Server, _scope: str) -> Limiter[None]:
    """One of `OTHERS`, for windows of that many seconds."""
    return make(seconds)
