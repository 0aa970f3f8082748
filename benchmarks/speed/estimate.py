"""Medians with 95 % confidence intervals from a seeded bootstrap."""

import random
import statistics
from collections.abc import Sequence
from typing import Final

import attrs

_RESAMPLES: Final = 2_000


@attrs.frozen
class Estimate:
    """A median with its 95 % confidence interval.

    Attributes:
        value: The median.
        low: The lower end of the interval.
        high: The upper end of the interval.
    """

    value: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        """The estimate as tables show it."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def median(samples: Sequence[float], *, seed: int = 7) -> Estimate:
    """The median of the samples, with a bootstrap interval."""
    rng = random.Random(seed)
    drawn = sorted(statistics.median(rng.choices(samples, k=len(samples))) for _ in range(_RESAMPLES))
    return Estimate(statistics.median(samples), drawn[round(0.025 * _RESAMPLES)], drawn[round(0.975 * _RESAMPLES) - 1])
