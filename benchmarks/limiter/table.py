"""Which runs are made, what each requires, and whether it was reached."""

import bisect
import functools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

from benchmarks.limiter.policies import OTHERS
from benchmarks.limiter.rows import Effort, Row, policy, utilisation
from benchmarks.limiter.scenario import EXACT, LEGS, WINDOW, Legs, Outcome, Setup, buckets, omniscient, run


def _by_limit(cells: Mapping[int, str]) -> str:
    return "  ".join(f"{limit:>4}: {cell}" for limit, cell in cells.items())


def _use_and_denials(found: Mapping[int, tuple[float, float]]) -> str:
    return _by_limit({limit: f"{used:.4f} {denied:4.1f}" for limit, (used, denied) in found.items()})


def alone(effort: Effort) -> Iterator[Row]:
    """No other client: windows a to e and d', by the worst seed."""
    for kind, legs in product(EXACT, LEGS):
        weighted = kind.startswith("d")
        most = 0.0 if not weighted else 1.0 if legs == "small" else 2.0 if kind == "d" else 5.0
        least = (0.97 if legs == "small" else 0.96) if weighted else (0.995 if legs == "small" else 0.97)
        found: dict[int, tuple[float, float]] = {}
        for limit in effort.limits:
            setups = [Setup(kind, limit, legs, seed, effort.windows) for seed in effort.seeds]
            outcomes = [buckets(setup) for setup in setups]
            used = min(utilisation(setup, outcome) for setup, outcome in zip(setups, outcomes, strict=True))
            found[limit] = used, max(outcome.per_thousand for outcome in outcomes)
        yield Row(
            f"alone {kind} {legs}",
            _use_and_denials(found),
            f">= {least}, <= {most:g} / 1,000",
            all(used >= least and denied <= most for used, denied in found.values()),
        )


def _lost_for_good(outcome: Outcome, best: Outcome) -> float:
    """The smallest gap to the best client, in requests, from window 3 to 7: bursts catch up once per window."""
    behind = float("inf")
    for tenths in range(30, 70):
        time = tenths / 10 * WINDOW
        missing = bisect.bisect_left(best.served, best.start + time) - bisect.bisect_left(
            outcome.served, outcome.start + time
        )
        behind = min(behind, missing - time * max(0.0, best.rate - outcome.rate))
    return max(0.0, behind)


def cold_start(effort: Effort) -> Iterator[Row]:
    """Windows' worth lost at the start, beyond what is lost later, and 429s in the first two windows."""
    for kind in EXACT:
        lost: dict[int, float] = {}
        denied = 0
        for limit in effort.limits:
            for legs, seed in product(LEGS, effort.seeds):
                setup = Setup(kind, limit, legs, seed, effort.windows)
                outcome, best = buckets(setup), omniscient(setup)
                lost[limit] = max(lost.get(limit, 0.0), _lost_for_good(outcome, best) / limit)
                denied += sum(at < outcome.start + 2 * WINDOW for at in outcome.denials)
        required = ("windows <= 1, " if kind in "abce" else "") + ("429s 0" if kind in "abce" else "")
        ok = round(max(lost.values()), 2) <= 1.0 and denied == 0 if kind in "abce" else None
        found = _by_limit({limit: f"{windows:5.2f} windows" for limit, windows in lost.items()})
        yield Row(f"cold start {kind}", f"{found}  429s {denied}", required, ok)


def rival(effort: Effort) -> Iterator[Row]:
    """Another client asks for 30 %: by the mean of the seeds."""
    for kind, legs in product(EXACT, LEGS):
        most = 35.0 if kind[0] in "de" else 10.0 if legs == "small" else 30.0
        least = {"d": 0.92, "d'": None}.get(kind, 0.97)
        found: dict[int, tuple[float, float]] = {}
        tries = 0
        for limit in (limit for limit in effort.limits if limit >= 50):
            setups = [Setup(kind, limit, legs, seed, effort.windows, rival=0.3) for seed in effort.rival_seeds]
            outcomes = [buckets(setup) for setup in setups]
            used = statistics.fmean(
                utilisation(setup, outcome) for setup, outcome in zip(setups, outcomes, strict=True)
            )
            found[limit] = used, statistics.fmean(outcome.per_thousand for outcome in outcomes)
            tries = max(tries, *(outcome.most_tries for outcome in outcomes))
        yield Row(
            f"rival takes 30 % {kind} {legs}",
            _use_and_denials(found) + f"  most tries {tries}",
            f"<= {most:g} / 1,000" if least is None else f">= {least}, <= {most:g} / 1,000",
            all(denied <= most and (least is None or used >= least) for used, denied in found.values()),
        )


def order(effort: Effort) -> Iterator[Row]:
    """A tenant's budget of 50 and three routes of 20, 20 and 40: no request is overtaken, no route starves."""
    for kind, legs in product(EXACT, LEGS):
        setups = [Setup(kind, 50, legs, seed, effort.windows, routes=(20, 20, 40)) for seed in effort.seeds]
        outcomes = [buckets(setup) for setup in setups]
        shares = [
            outcome.by_route[route] / (effort.windows * fair)
            for outcome in outcomes
            for route, fair in (("route 0", 50 / 3), ("route 1", 50 / 3), ("route 2", 50 / 3))
        ]
        used = min(utilisation(setup, outcome) for setup, outcome in zip(setups, outcomes, strict=True))
        overtakings = sum(outcome.overtakings for outcome in outcomes)
        tries = max(outcome.most_tries for outcome in outcomes)
        denied = max(outcome.per_thousand for outcome in outcomes)
        yield Row(
            f"three routes {kind} {legs}",
            f"overtaken {overtakings}  most tries {tries}  poorest route {min(shares):.2f} of a third"
            f"  {used:.4f} {denied:4.1f}",
            "0, <= 3, >= 0.5",
            overtakings == 0 and tries <= 3 and min(shares) >= 0.5,
        )


def poisson(effort: Effort) -> Iterator[Row]:
    """Requests arrive at random: seconds that they wait.

    On average 70 % of the limit; 50 % of the smallest, as a weighted counter serves only 4 of 5.
    """
    for kind, legs in product(EXACT, LEGS):
        found: dict[int, tuple[float, float, float]] = {}
        for limit in effort.limits:
            load = 0.5 if limit < 10 else 0.7
            setups = [Setup(kind, limit, legs, seed, effort.windows, load=load) for seed in effort.seeds]
            outcomes = [buckets(setup) for setup in setups]
            median = max(outcome.wait(50) for outcome in outcomes)
            late = statistics.fmean(outcome.wait(99) for outcome in outcomes)
            found[limit] = median, late, statistics.fmean(omniscient(setup).wait(99) for setup in setups)
        yield Row(
            f"Poisson {kind} {legs}",
            _by_limit({limit: f"{p50:.2f} {p99:.2f}/{best:.2f}" for limit, (p50, p99, best) in found.items()}),
            "p50 0, p99 <= best + 1.5 s",
            all(median == 0 and late <= best + 1.5 for median, late, best in found.values()),
        )


def changes(effort: Effort) -> Iterator[Row]:
    """The limit goes from 50 to 80, to 20, and back; and requests that arrive in bursts of 100."""
    for kind, legs in product(EXACT, LEGS):
        moving = [Setup(kind, 50, legs, seed, 60, limits=((15, 80), (30, 20), (45, 50))) for seed in effort.seeds]
        bursts = [Setup(kind, 50, legs, seed, effort.windows, load=0.7, burst=100) for seed in effort.seeds]
        moved, burst = [buckets(setup) for setup in moving], [buckets(setup) for setup in bursts]
        served = min(
            len(outcome.served) / len(omniscient(setup).served) for setup, outcome in zip(moving, moved, strict=True)
        )
        yield Row(
            f"limits change, bursts {kind} {legs}",
            f"served {served:.3f} of the best, 429s {max(len(outcome.denials) for outcome in moved)} in 60 windows;"
            f"  bursts: p50 wait {statistics.fmean(o.wait(50) for o in burst):.1f} s,"
            f" best {statistics.fmean(omniscient(s).wait(50) for s in bursts):.1f} s,"
            f" 429s {max(len(o.denials) for o in burst)}",
        )


def others(effort: Effort) -> Iterator[Row]:
    """What other policies reach with a limit of 50, alone, small legs: utilisation, and 429s per 1,000."""

    def cell(kind: str, legs: Legs, outcome: Callable[[Setup], Outcome]) -> str:
        setup = Setup(kind, 50, legs, effort.seeds[0], min(effort.windows, 40))
        result = outcome(setup)
        return f"{kind}: {utilisation(setup, result):.2f} {result.per_thousand:.0f}"

    for name, make in OTHERS.items():
        outcome = functools.partial(run, make=functools.partial(policy, make, WINDOW))
        yield Row(name, "  ".join(cell(kind, "small", outcome) for kind in EXACT))
    for legs in LEGS:
        yield Row(f"bucket, {legs} legs", "  ".join(cell(kind, legs, buckets) for kind in EXACT))


WINDOWS: Sequence[tuple[str, Callable[[Effort], Iterator[Row]]]] = (
    ("limit: steady utilisation against an omniscient client, 429s per 1,000 successes", alone),
    ("limit: windows' worth lost at the start", cold_start),
    ("limit: the whole budget's use against an omniscient client's, 429s per 1,000 successes", rival),
    ("order, and tenant and routes together", order),
    ("limit: median wait, p99 / an omniscient client's p99, in seconds", poisson),
    ("limits that change, requests in bursts (nothing is required)", changes),
    (
        "kind: utilisation, 429s per 1,000 successes, with a limit of 50 and no other client (nothing is required)",
        others,
    ),
)
"""The parts of the table, each with what its columns are."""
