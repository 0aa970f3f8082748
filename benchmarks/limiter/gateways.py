"""Servers that differ from the six exact windows: other clocks, sparse headers, hidden limits, other programs.

Each part is one row of the second table of the design: what is found, what is wanted. Use is against a client that sees
the server.
"""

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from benchmarks.limiter.rows import Effort, Row, compare, peers, utilisation
from benchmarks.limiter.scenario import EXACT, LEGS, ODD_AT, WINDOW, Outcome, Setup, buckets, omniscient
from benchmarks.limiter.server import Headers, OddDenial

_SHARE_FROM = 10  # windows after which the shares of several clients are measured
_SHARE_WINDOWS = 30
_ODD_WINDOWS = 56  # the odd 429 comes after a quarter of them
_STARVED = 5  # windows without a success


def _seeds(effort: Effort, setup: Setup) -> list[Setup]:
    return [attrs.evolve(setup, seed=seed) for seed in effort.seeds]


def _kinds(effort: Effort, setup: Setup, kinds: Iterable[str] = "abcde") -> dict[str, list[Setup]]:
    """A cell of each of these kinds, otherwise alike."""
    return {kind: _seeds(effort, attrs.evolve(setup, kind=kind)) for kind in kinds}


def tiny(effort: Effort) -> Iterator[Row]:
    """One or two requests a window: at most one 429 in all, to find out."""
    for limit in (1, 2):
        for legs in LEGS:
            setup = Setup("a", limit, legs, windows=2 * effort.windows)
            yield compare(f"limit {limit} {legs}", _kinds(effort, setup, "abce"), least=0.95, most=1, in_all=True)
            yield compare(f"limit {limit} {legs}", _kinds(effort, setup, ("d", "d'")), most=1, in_all=True)
        yield peers(Setup("c", limit, windows=40))


def kong(effort: Effort) -> Iterator[Row]:
    """A weighted counter in whole seconds: denied requests count or not, and both kinds of `Retry-After`."""
    for kind, legs, headers in itertools.product(("k", "k'"), LEGS, (Headers(), Headers(retry_after="kong"))):
        setups = {limit: Setup(kind, limit, legs, windows=effort.windows, headers=headers) for limit in effort.limits}
        cells = {str(limit): _seeds(effort, setup) for limit, setup in setups.items()}
        yield compare(f"{kind} {legs}, {headers.retry_after} Retry-After", cells, least=0.95, most=0)
    yield peers(Setup("k", 50, windows=40))
    yield peers(Setup("k'", 50, windows=40, headers=Headers(retry_after="kong")))


def halved(effort: Effort) -> Iterator[Row]:
    """A small limit is halved in mid-run; so many windows that a single 429 is no miss."""
    for limit, legs in itertools.product((2, 3, 4, 5), LEGS):
        windows = 200 if limit > 2 else 400
        setup = Setup("a", limit, legs, windows=windows, limits=((windows // 2, limit // 2),))
        yield compare(f"limit {limit} halved {legs}", _kinds(effort, setup), most=5)


def gaps(effort: Effort) -> Iterator[Row]:
    """A tenth of the answers have no limit headers, or are lost."""
    setup = Setup("a", 50, windows=effort.windows)
    changes = {
        "without headers": attrs.evolve(setup, headers=Headers(missing=0.1)),
        "lost": attrs.evolve(setup, lost=0.1),
    }
    for (name, changed), limit, legs in itertools.product(changes.items(), (20, 50), LEGS):
        each = attrs.evolve(changed, limit=limit, legs=legs)
        yield compare(f"a tenth {name} {limit} {legs}", _kinds(effort, each, "abce"), least=0.95, most=0)
        yield compare(f"a tenth {name} {limit} {legs}", _kinds(effort, each, "d"), least=0.85, most=0)


def blind(effort: Effort) -> Iterator[Row]:
    """Limit headers on 429s only, or none at all with three kinds of `Retry-After`."""
    windows = max(effort.windows, 40)  # the rate must grow first
    for name, headers in (
        ("headers on 429s only", Headers("429")),
        ("no headers", Headers("none")),
        ("no headers, wait 0", Headers("none", retry_after="zero")),
        ("no headers, no wait", Headers("none", retry_after="absent")),
    ):
        for legs in LEGS:
            setup = Setup("a", 50, legs, windows=windows, headers=headers)
            yield compare(f"{name} {legs}", _kinds(effort, setup), least=0.8, most=60)
    yield peers(Setup("b", 50, windows=40, headers=Headers("429")))


def hidden(effort: Effort) -> Iterator[Row]:
    """Fifty per ten seconds, and ten a second that no header shows."""
    for legs in LEGS:
        setup = Setup("a", 50, legs, windows=effort.windows, also=((10, 1.0),))
        yield compare(f"hidden burst limit {legs}", _kinds(effort, setup), most=30)
    yield peers(Setup("a", 50, windows=40, also=((10, 1.0),)))


def off_by_one(effort: Effort) -> Iterator[Row]:
    """`remaining` does not count the request that it answers."""
    for limit, legs in itertools.product((5, 50), LEGS):
        setup = Setup("a", limit, legs, windows=effort.windows, headers=Headers(off_by_one=True))
        yield compare(f"off by one {limit} {legs}", _kinds(effort, setup), least=0.95, most=2, in_all=True)
    yield peers(Setup("a", 50, windows=40, headers=Headers(off_by_one=True)))


def said(effort: Effort) -> Iterator[Row]:
    """Windows of other lengths than expected, which the headers name."""
    for seconds, limit in ((1.0, 10), (60.0, 50), (3600.0, 200)):
        setup = Setup("a", limit, windows=effort.windows, seconds=seconds, headers=Headers(window=True))
        yield compare(f"{limit} per {seconds:g} s, said", _kinds(effort, setup), least=0.95, most=0)


def several(effort: Effort) -> Iterator[Row]:
    """Ten a second and fifty per ten seconds, both in the headers."""
    for legs in LEGS:
        setup = Setup("a", 50, legs, windows=effort.windows, also=((10, 1.0),), headers=Headers(window=True))
        yield compare(f"two windows {legs}", _kinds(effort, setup), least=0.95, most=0)


def odd(effort: Effort) -> Iterator[Row]:
    """One 429 with an odd `Retry-After` in a clean run: what is served in the thirty windows after it."""
    waits = {"3600": 3600.0, "0": 0.0, "-5": None, "none": None}
    for (name, wait), says_empty in itertools.product(waits.items(), (True, False)):
        denial = OddDenial(wait, says_empty)
        found: list[str] = []
        ok = True
        for kind, setups in _kinds(effort, Setup("a", 50, windows=_ODD_WINDOWS, odd=denial), EXACT).items():
            used = min(_served_after(buckets(setup)) / _served_after(omniscient(setup)) for setup in setups)
            ok = ok and used >= 0.95
            found.append(f"{kind}: {used:.3f}")
        yield Row(f"Retry-After {name}{', nothing left' if says_empty else ''}", "  ".join(found), ">= 0.95", ok)


def _served_after(outcome: Outcome) -> int:
    since = outcome.start + _ODD_WINDOWS * ODD_AT * WINDOW
    first, last = (bisect.bisect_left(outcome.served, at) for at in (since, since + 30 * WINDOW))
    return last - first


def rivals(effort: Effort) -> Iterator[Row]:
    """Another program asks for 30 %, of small budgets too: every denied request is served in the end."""
    for kind, legs in itertools.product(EXACT, LEGS):
        found: list[str] = []
        worst = 0
        for limit in (5, 50, 200):
            setups = _seeds(effort, Setup(kind, limit, legs, windows=effort.windows, rival=0.3))
            outcomes = [buckets(setup) for setup in setups]
            tries = max(outcome.most_tries for outcome in outcomes)
            worst = max(worst, tries)
            denied = max(outcome.per_thousand for outcome in outcomes)
            found.append(f"{limit:>4}: {denied:5.1f}, {tries} tries")
        yield Row(f"rival takes 30 % {kind} {legs}", "  ".join(found), "<= 20 tries", worst <= 20)


def uncoordinated(effort: Effort) -> Iterator[Row]:
    """Several programs of ours, each with buckets of its own: the least and the greatest share of a fair one."""
    cases = [(2, 50, (*"abc",)), (2, 50, ("d", "e", "d'")), (4, 50, (*"abc",)), (4, 50, ("d", "e", "d'"))]
    for (clients, limit, kinds), legs in itertools.product([*cases, (2, 5, ("d'",)), (4, 5, ("d'",))], LEGS):
        found: list[str] = []
        ok = True
        setup = Setup("a", limit, legs, windows=_SHARE_FROM + _SHARE_WINDOWS, clients=clients)
        for kind, setups in _kinds(effort, setup, kinds).items():
            outcomes = [buckets(each) for each in setups]
            shares = [share for outcome in outcomes for share in _shares(outcome)]
            gap = max(_longest_gap(outcome) for outcome in outcomes) / WINDOW
            used = min(utilisation(each, outcome) for each, outcome in zip(setups, outcomes, strict=True))
            ok = ok and min(shares) >= 0.5 and max(shares) <= 2.0 and gap <= _STARVED and used >= 0.5
            denied = max(outcome.per_thousand for outcome in outcomes)
            found.append(f"{kind}: {min(shares):.2f}-{max(shares):.2f} {gap:4.1f} {used:.2f} {denied:3.0f}")
        required = f"0.5 to 2, gap <= {_STARVED}, >= 0.5"
        yield Row(f"{clients} programs, limit {limit} {legs}", "  ".join(found), required, ok)


def _shares(outcome: Outcome) -> list[float]:
    """What each client got in the last thirty windows, as a multiple of the fair share."""
    since = outcome.start + _SHARE_FROM * WINDOW
    counts = [len(done) - bisect.bisect_left(done, since) for done in outcome.by_client]
    return [count * len(counts) / max(sum(counts), 1) for count in counts]


def _longest_gap(outcome: Outcome) -> float:
    """The longest time in the last thirty windows in which a client got nothing, in seconds."""
    since, until = (outcome.start + windows * WINDOW for windows in (_SHARE_FROM, _SHARE_FROM + _SHARE_WINDOWS))
    rows = [[since, *(at for at in done if at > since), until] for done in outcome.by_client]
    return max(after - before for row in rows for before, after in itertools.pairwise(row))


GATEWAYS: Sequence[tuple[str, Callable[[Effort], Iterator[Row]]]] = (
    ("kind: use and 429s in all, with one or two requests a window", tiny),
    ("limit: use and 429s per 1,000, against a weighted counter that reads its clock in whole seconds", kong),
    ("kind: use and 429s per 1,000, when a small limit is halved in mid-run", halved),
    ("kind: use and 429s per 1,000, when a tenth of the answers say nothing", gaps),
    ("kind: use and 429s per 1,000, when only 429s have limit headers, or no answer has them", blind),
    ("kind: use and 429s per 1,000, with a limit that no header shows", hidden),
    ("kind: use and 429s in all, when `remaining` does not count the request itself", off_by_one),
    ("kind: use and 429s per 1,000, with windows of other lengths that the headers name", said),
    ("kind: use and 429s per 1,000, with two windows in the headers", several),
    ("kind: use of the thirty windows after one 429 with an odd `Retry-After`, with a limit of 50", odd),
    ("limit: 429s per 1,000 and most tries of one request, with another program", rivals),
    (
        "kind: shares of a fair one, windows without a success, use of the best, 429s per 1,000, with several programs",
        uncoordinated,
    ),
)
"""The parts, each with what its columns are."""
