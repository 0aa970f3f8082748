"""How a client makes room for others: patience, slices, leaving and yielding."""

import math

import pytest

from alohub_async.rate_limits.rivals import Rivals

WINDOW = 10.0


def among_others(denials: int = 0, random: float = 0.5) -> Rivals:
    """A client that got that many 429s at time 0, whose waits have the given jitter."""
    rivals = Rivals(WINDOW, lambda: random)
    for _ in range(denials):
        rivals.denied(0.0)
    return rivals


@pytest.mark.parametrize(("denials", "patience"), [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.4), (6, 2.5), (99, 2.5)])
def test_each_429_doubles_the_patience(denials: int, patience: float) -> None:
    """From a hundredth of a window up to a quarter of one."""
    assert among_others(denials).patience == pytest.approx(patience)


def test_served_requests_use_the_patience_up() -> None:
    """Each takes 2 % of it; a quarter of the first patience is none."""
    rivals = among_others(1)
    rivals.served()
    assert rivals.patience == pytest.approx(0.098)
    for _ in range(67):
        rivals.served()
    assert rivals.patience > 0.0
    rivals.served()
    assert rivals.patience == 0.0


@pytest.mark.parametrize(
    ("denials", "left", "most"), [(0, 50, math.inf), (1, 50, math.inf), (2, 50, 25.0), (99, 50, 7.5), (99, 3, 1.0)]
)
def test_the_more_patience_the_fewer_are_in_flight(denials: int, left: int, most: float) -> None:
    """After the second 429 in a row a half of what is left, later 15 %, and one at least."""
    assert among_others(denials).slice_of(left) == pytest.approx(most)


def test_alone_it_leaves_some_once_in_six_windows() -> None:
    """A tenth of a window long, from six windows after the first new budget on."""
    rivals = among_others()
    asked = (100.0, 159.9, 160.0, 161.0, 175.0, 219.9, 220.0)
    assert [rivals.leaves_until(now) for now in asked] == [100.0, 159.9, 161.0, 161.0, 175.0, 219.9, 221.0]


def test_among_others_it_leaves_some_once_in_a_window() -> None:
    """A 429 shows others for eight windows; each time, half of a new budget waits for 3 % of a window."""
    rivals = among_others(1)
    asked = (5.0, 14.9, 15.0, 20.0, 25.0)
    until = [rivals.leaves_until(now) for now in asked]
    assert until == pytest.approx([5.3, 14.9, 15.3, 20.0, 25.3])
    assert rivals.leaves_until(80.0) == 80.0


def test_it_yields_to_others_by_its_share_once_in_a_window() -> None:
    """While they are taken to be there: for eight windows after they have shown."""
    rivals = among_others()
    assert rivals.yields(0.0, 1.0) == 0.0
    rivals.show(0.0)
    asked = ((1.0, 0.5), (10.9, 0.5), (11.0, 1.0), (79.9, 0.1), (100.0, 1.0))
    assert [rivals.yields(*each) for each in asked] == pytest.approx([0.15, 0.0, 0.3, 0.03, 0.0])
    rivals.show(100.0)
    assert rivals.yields(179.9, 1.0) == pytest.approx(0.3)
    assert rivals.yields(190.0, 1.0) == 0.0
    ended = among_others(1)
    assert ended.yields(80.0, 1.0) == 0.0


@pytest.mark.parametrize(("random", "times"), [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)])
def test_waits_are_jittered_by_a_half(random: float, times: float) -> None:
    """So two clients do not wait alike for long."""
    rivals = among_others(1, random)
    assert rivals.yields(1.0, 1.0) == pytest.approx(0.3 * times)
    assert rivals.leaves_until(1.0) == pytest.approx(1.0 + 0.3 * times)
    alone = among_others(0, random)
    assert alone.leaves_until(0.0) == 0.0
    due = 60.0 * times
    assert alone.leaves_until(due - 0.1) == due - 0.1
    assert alone.leaves_until(due) == pytest.approx(due + times)
