"""Records per second of all contestants on the same lists, and their ratios.

A ratio compares two walks that ran back to back, as the speed of the machine varies over minutes. Every round runs the
contestants in random order, each together with alohub-async and with the floor that all are compared with.
"""

import itertools
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from benchmarks.speed.contestant import BARE_GETS, BYTES, ITEMS, JSON, ORJSON, PLAIN, SINGLES, Contestant
from benchmarks.speed.crew import Times, Worker
from benchmarks.speed.estimate import Estimate, median
from benchmarks.speed.lists import ANSWERS, Answers, List
from benchmarks.speed.pages import records
from benchmarks.speed.visits import fields_of, first_difference

SIZES: Final = (20, 100, 1000)
_LENGTHS: Final = {20: (50, 150, 600), 100: (40, 120, 480), 1000: (5, 30, 120)}
"""Pages by page size, short to long. Each contestant walks the longest list that it can walk in the time allowed."""


def proof_list(size: int, answers: Answers) -> List:
    """A short list, on which contestants prove that they read all that is sent."""
    return List(3, size, answers)


def lists(size: int, answers: Answers = "documented") -> list[List]:
    """The lists of a page size, short to long."""
    return [List(pages, size, answers) for pages in _LENGTHS[size]]


class UnequalRecordsError(Exception):
    """A contestant did not read what was sent, so that its time means nothing."""


def prove(crew: Mapping[Contestant, Worker], which: List) -> None:
    """Compare the fields of all records that each contestant reads with what is sent.

    Raises:
        UnequalRecordsError: A record or a field is missing or has another value.
    """
    sent = [fields_of(record) for record in records(which)]
    for contestant, worker in crew.items():
        if contestant is BYTES:  # it reads no records
            continue
        if wrong := first_difference(worker.records(which), sent, drops=contestant.drops):
            raise UnequalRecordsError(f"{contestant.name}, {ANSWERS[which.answers]}: {wrong}")


@attrs.frozen
class Effort:
    """How long contestants are measured.

    Attributes:
        rounds: The number of rounds.
        seconds: The most that a walk may take, if the shortest list does not take longer.
    """

    rounds: int
    seconds: float


@attrs.define
class Rates:
    """The results on one kind of list.

    Attributes:
        walks: Records per second of each walk.
        ratios: Ratios of the rates of two contestants, one per pair of walks.
        cpu_ratios: The same, of records per second of CPU time.
    """

    walks: dict[Contestant, list[float]] = attrs.field(factory=dict[Contestant, list[float]])
    ratios: dict[tuple[Contestant, Contestant], list[float]] = attrs.field(
        factory=dict[tuple[Contestant, Contestant], list[float]]
    )
    cpu_ratios: dict[tuple[Contestant, Contestant], list[float]] = attrs.field(
        factory=dict[tuple[Contestant, Contestant], list[float]]
    )

    def note(self, walked: Mapping[Contestant, tuple[List, Times]]) -> None:
        """Record walks that ran back to back."""
        for contestant, (which, times) in walked.items():
            self.walks.setdefault(contestant, []).append(which.records / times.wall)
        for (one, (its, took)), (other, (others, it_took)) in itertools.permutations(walked.items(), 2):
            more = its.records / others.records
            self.ratios.setdefault((one, other), []).append(more * it_took.wall / took.wall)
            self.cpu_ratios.setdefault((one, other), []).append(more * it_took.cpu / took.cpu)

    def rate(self, contestant: Contestant) -> float:
        """The median rate of a contestant, in records per second."""
        return statistics.median(self.walks[contestant])

    def ratio(self, one: Contestant, other: Contestant) -> Estimate:
        """The speed of `one` relative to `other`."""
        return Estimate(1.0, 1.0, 1.0) if one == other else median(self.ratios[one, other])

    def cpu_ratio(self, one: Contestant, other: Contestant) -> Estimate:
        """The same in records per second of CPU time."""
        return Estimate(1.0, 1.0, 1.0) if one == other else median(self.cpu_ratios[one, other])

    def best(self, *, typed: bool) -> Contestant | None:
        """The fastest published SDK relative to alohub-async; None if none is installed."""
        sdks = [each for each in self.walks if each.kind == "sdk" and (each.typed or not typed)]
        return min(sdks, key=lambda sdk: self.ratio(ITEMS, sdk).value, default=None)


AllRates: TypeAlias = dict[tuple[Answers, int], Rates]
"""Rates by the kind of answers and the page size."""


def _list_for(worker: Worker, chosen: Sequence[List], seconds: float) -> List:
    shortest, *longer = chosen
    worker.warm(shortest)
    rate = shortest.records / worker.times(shortest).wall
    for which in reversed(longer):
        if which.records / rate <= seconds:
            worker.warm(which)
            return which
    return shortest


def _groups(crew: Mapping[Contestant, Worker]) -> Iterator[list[Contestant]]:
    """Contestants that run back to back: each with the floor and alohub-async."""
    for contestant in crew:
        if contestant not in {ORJSON, ITEMS, JSON}:
            beside = (ORJSON, ITEMS, JSON) if contestant is PLAIN else (ORJSON, ITEMS)
            yield [each for each in (contestant, *beside) if each in crew]


def _rounds(
    groups: Sequence[Sequence[Contestant]], rounds: int, walk: Callable[[Contestant], tuple[List, Times]]
) -> Rates:
    rng = random.Random(len(groups))
    rates = Rates()
    for _ in range(rounds):
        for group in rng.sample(groups, len(groups)):
            rates.note({each: walk(each) for each in rng.sample(group, len(group))})
    return rates


def measure(crew: Mapping[Contestant, Worker], size: int, answers: Answers, effort: Effort) -> Rates:
    """Walk lists of a page size and a kind of answers in all rounds, after a proof that all read the same."""
    chosen = lists(size, answers)
    prove(crew, proof_list(size, answers))
    walked = {contestant: _list_for(worker, chosen, effort.seconds) for contestant, worker in crew.items()}
    groups = [*_groups(crew)]
    rates = _rounds(groups, effort.rounds, lambda each: (walked[each], crew[each].times(walked[each])))
    rates.walks = {contestant: rates.walks[contestant] for contestant in crew}  # in the order of the tables
    return rates


def measure_singles(crew: Mapping[Contestant, Worker], which: List, rounds: int) -> Rates:
    """Get each record by its id in all rounds, after the same proof."""
    prove(crew, which)
    for worker in crew.values():
        worker.warm(which)
    groups = [[each, BARE_GETS] for each in SINGLES if each is not BARE_GETS]
    return _rounds(groups, rounds, lambda each: (which, crew[each].times(which)))
