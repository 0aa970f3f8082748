"""Points to try, and what is wrong at each: the common part of all harnesses."""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final, TypeVar

from attrs import define, field

from tests.torture.known import KNOWN, Known

P = TypeVar("P")

_KIND: Final = 90  # characters by which violations of one kind are the same


def sampled(names: Iterable[str], most: int, *, seed: int) -> list[str]:
    """Select points evenly: one out of each stretch of equal length."""
    points, rng = [*names], random.Random(seed)
    if len(points) <= most:
        return points
    edges = [round(number * len(points) / most) for number in range(most + 1)]
    return [points[rng.randrange(start, end)] for start, end in pairwise(edges)]


@define(eq=False)
class Torture:
    """Tries points, and compares what is wrong with what is known to be.

    Attributes:
        long: Whether all points are tried.
        seed: Selects them otherwise.
        only: A pattern of the points to try, for which no violation is known; "" for none.
        known: The violations that are known.
        harness: The name of the harness, the first part of the names of its points.
    """

    long: bool
    seed: int
    only: str = ""
    known: Sequence[Known] = KNOWN
    harness: str = field(init=False, default="none")
    _points: int = field(init=False, default=0)
    _tried: int = field(init=False, default=0)
    _found: dict[str, list[str]] = field(init=False, factory=dict[str, list[str]])

    def try_points(self, points: Mapping[str, P], run: Callable[[P], Iterable[str]], *, short: int) -> None:
        """Try each point, or some of them, and fail if one is violated in a way that is not known.

        Args:
            points: The points by name, such as `cancelled/walk/once/17`.
            run: Tries a point; returns what is wrong, each in one line.
            short: How many points are tried in the short mode.
        """
        names = self._chosen(points, short)
        self.harness = next(iter(points)).partition("/")[0]
        self._points += len(points)
        for name in names:
            self._tried += 1
            found = [*run(points[name])]
            if found:
                self._found[name] = found
        self._compare([*points], names)

    def _chosen(self, points: Mapping[str, P], short: int) -> list[str]:
        if self.only:
            self.known = ()
            return [name for name in points if fnmatchcase(name, self.only)]
        if self.long:
            return [*points]
        chosen = sampled(points, short, seed=self.seed)
        examples = [known.example for known in self.known if known.example is not None]
        return [*chosen, *(name for name in examples if name in points and name not in chosen)]

    def counts(self) -> dict[str, int]:
        """Return the numbers for the summary."""
        known = sum(bool(self._explained(name, what)) for name, found in self._found.items() for what in found)
        every = sum(map(len, self._found.values()))
        return {"points": self._points, "tried": self._tried, "known": known, "new": every - known}

    def _compare(self, points: list[str], tried: list[str]) -> None:
        new = [(name, what) for name, found in self._found.items() for what in found if not self._explained(name, what)]
        kinds: dict[str, list[str]] = {}
        for name, what in new:
            kinds.setdefault(re.sub(r"\d+(\.\d+)?", "0", what)[:_KIND], []).append(f"{name}: {what}")
        lines = [f"{len(shown)} x {min(shown, key=len)}" for shown in kinds.values()]
        stale = [known for known in self.known if _judged(known, points, tried) and not self._seen(known)]
        lines += [f"it fails no longer, remove it from known.py: {known}" for known in stale]
        if lines:
            raise AssertionError("\n".join([f"{len(new)} violations of {len(kinds)} kinds", *lines]))

    def _seen(self, known: Known) -> bool:
        return any(known in self._explained(name, what) for name, found in self._found.items() for what in found)

    def _explained(self, name: str, what: str) -> list[Known]:
        """Return the entries that a violation belongs to."""
        return [known for known in self.known if fnmatchcase(name, known.points) and re.search(known.what, what)]


def _judged(known: Known, points: list[str], tried: list[str]) -> bool:
    """Return whether the tried points tell if it still fails."""
    if known.example is not None:
        return known.example in tried
    return len(tried) == len(points) and any(fnmatchcase(name, known.points) for name in points)
