"""Medians with 95 % intervals, by a seeded bootstrap."""

import random
import statistics
from collections.abc import Sequence
from typing import Final

import attrs

_RESAMPLES: Final = 2_000


@attrs.frozen
class Estimate:
    """A median, and the interval that holds it 95 times of 100.

    Attributes:
        value: The median.
        low: Where the interval begins.
        high: Where it ends.
    """

    value: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        """As it stands in a table."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def median(samples: Sequence[float], *, seed: int = 7) -> Estimate:
    """The median of the samples; its interval from medians of samples drawn from them again."""
    rng = random.Random(seed)
    drawn = sorted(statistics.median(rng.choices(samples, k=len(samples))) for _ in range(_RESAMPLES))
    return Estimate(statistics.median(samples), drawn[round(0.025 * _RESAMPLES)], drawn[round(0.975 * _RESAMPLES) - 1])
