"""The harness: which points it tries, and when it fails."""

import pytest

from tests.torture.harness import Torture, sampled
from tests.torture.known import Known

POINTS = {f"h/{number}": number for number in range(100)}
KNOWN = Known("h/*7", "seven", "It ends with 7.", example="h/47")


def _sevens(number: int) -> list[str]:
    return ["it is seven"] if number % 10 == 7 else []


def _nothing(_: int) -> list[str]:
    return []


def test_points_are_sampled_evenly() -> None:
    """One out of each tenth; another seed selects others."""
    names = [*POINTS]
    chosen = sampled(names, 10, seed=1)
    assert [names.index(name) // 10 for name in chosen] == [*range(10)]
    assert chosen == sampled(names, 10, seed=1) != sampled(names, 10, seed=2)
    assert sampled(names, 100, seed=1) == names


def test_new_violation_fails() -> None:
    """The message has the number of each kind, and an example."""
    torture = Torture(long=True, seed=1, known=[])
    with pytest.raises(AssertionError, match="10 violations of 1 kinds\n10 x h/7: it is seven"):
        torture.try_points(POINTS, _sevens, short=5)
    assert torture.counts() == {"points": 100, "tried": 100, "known": 0, "new": 10}


@pytest.mark.parametrize("long", [False, True])
def test_known_violation_passes(*, long: bool) -> None:
    """Its example is tried in the short mode, too."""
    torture = Torture(long=long, seed=1, known=[KNOWN])
    torture.try_points(POINTS, _sevens, short=5)
    assert torture.harness == "h"
    assert torture.counts()["known"] >= 1
    assert torture.counts()["new"] == 0


@pytest.mark.parametrize("long", [False, True])
def test_known_violation_that_is_gone_fails(*, long: bool) -> None:
    """The entry must be removed."""
    with pytest.raises(AssertionError, match="fails no longer"):
        Torture(long=long, seed=1, known=[KNOWN]).try_points(POINTS, _nothing, short=5)


def test_points_are_named() -> None:
    """Only these are tried, and what is known is shown, too."""
    torture = Torture(long=False, seed=1, only="h/4?", known=[KNOWN])
    with pytest.raises(AssertionError, match="1 x h/47: it is seven"):
        torture.try_points(POINTS, _sevens, short=5)
    assert torture.counts()["tried"] == 10
