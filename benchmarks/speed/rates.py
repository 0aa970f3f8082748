"""Records per second of all contestants on the same lists, and their ratios.

A ratio compares two walks that ran back to back, as the speed of the machine varies over minutes. Every round runs the
contestants in random order, each together with alohub-async and with the floor that all are compared with.
"""

import itertools
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from benchmarks.speed.contestant import ITEMS, JSON, ORJSON, PLAIN, Contestant
from benchmarks.speed.crew import Worker
from benchmarks.speed.estimate import Estimate, median
from benchmarks.speed.pages import List

SIZES: Final = (20, 100, 1000)
LISTS: Final = {
    20: (List(50, 20), List(200, 20), List(800, 20)),
    100: (List(40, 100), List(160, 100), List(640, 100)),
    1000: (List(10, 1000), List(40, 1000), List(160, 1000)),
}
"""Short to long. Each contestant walks the longest list that takes it about a third of a second."""
_MOST_SECONDS: Final = 0.35


@attrs.define
class Rates:
    """The results for one page size.

    Attributes:
        walks: Records per second of each walk.
        ratios: Ratios of the rates of two contestants, one per pair of walks.
    """

    size: int
    walks: dict[Contestant, list[float]] = attrs.field(factory=dict[Contestant, list[float]])
    ratios: dict[tuple[Contestant, Contestant], list[float]] = attrs.field(
        factory=dict[tuple[Contestant, Contestant], list[float]]
    )

    def note(self, rates: Mapping[Contestant, float]) -> None:
        """Record the rates of walks that ran back to back."""
        for contestant, rate in rates.items():
            self.walks[contestant].append(rate)
        for one, other in itertools.permutations(rates, 2):
            self.ratios.setdefault((one, other), []).append(rates[one] / rates[other])

    def rate(self, contestant: Contestant) -> float:
        """The median rate of a contestant, in records per second."""
        return statistics.median(self.walks[contestant])

    def ratio(self, one: Contestant, other: Contestant) -> Estimate:
        """The speed of `one` relative to `other`."""
        return Estimate(1.0, 1.0, 1.0) if one == other else median(self.ratios[one, other])

    def best(self, *, typed: bool) -> Contestant | None:
        """The fastest published SDK relative to alohub-async; None if none is installed."""
        sdks = [each for each in self.walks if each.kind == "sdk" and (each.typed or not typed)]
        return min(sdks, key=lambda sdk: self.ratio(ITEMS, sdk).value, default=None)


def _list_for(worker: Worker, size: int) -> List:
    shortest, *longer = LISTS[size]
    rate = shortest.records / worker.measure("seconds", shortest)
    return next((each for each in reversed(longer) if each.records / rate <= _MOST_SECONDS), shortest)


def _beside(contestant: Contestant) -> Sequence[Contestant]:
    """The contestants that run back to back with this one, including itself."""
    group = dict.fromkeys((contestant, ORJSON, ITEMS))
    return [*group, JSON] if contestant is PLAIN else [*group]


def measure(crew: Mapping[Contestant, Worker], size: int, rounds: int) -> Rates:
    """Walk the lists in all rounds."""
    rng = random.Random(size)
    rates = Rates(size, walks={contestant: [] for contestant in crew})
    lists = {contestant: _list_for(worker, size) for contestant, worker in crew.items()}
    for _ in range(rounds):
        for contestant in rng.sample([*crew], len(crew)):
            group = _beside(contestant)
            rates.note(
                {
                    each: lists[each].records / crew[each].measure("seconds", lists[each])
                    for each in rng.sample(group, len(group))
                }
            )
    return rates
