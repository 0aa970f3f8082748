"""A limit that no header tells: the pace it sets, and how 429s and served requests move it."""

from itertools import pairwise

import pytest

from alohub_async.rate_limits.learned import LearnedLimit

WINDOW, BUDGET_WINDOW = 1.0, 10.0  # seconds


def learned(rate: float = 100.0, *, confirmed: bool = False) -> LearnedLimit:
    """What the first 429 at time 0 teaches, with that many requests served in the second before it."""
    limit = LearnedLimit(rate, WINDOW, BUDGET_WINDOW, lowered_at=0.0)
    if confirmed:
        limit.denied(1.0, 0.5)
    return limit


def sent(limit: LearnedLimit, now: float, until: float) -> list[float]:
    """The times of requests that go as soon as they may."""
    times = list[float]()
    while (now := limit.ready_at(now)) < until:
        limit.send(now)
        times.append(now)
    return times


def test_requests_go_at_nine_tenths_of_the_refused_rate() -> None:
    """Evenly, but for a tenth of a window's worth that may go at once after a pause."""
    limit = learned()
    times = sent(limit, 5.0, 15.0)
    assert 9 <= times.count(5.0) <= 10
    assert len(times) == pytest.approx(900 + 9, abs=1)
    steps = [late - early for early, late in pairwise(times[20:])]
    assert steps == pytest.approx([1 / 90] * len(steps))
    assert 9 <= sent(limit, 100.0, 101.0).count(100.0) <= 10


def test_a_low_rate_waits_for_two_windows_at_most() -> None:
    """Otherwise a wrong one would stop the client."""
    limit = learned(0.01)
    limit.send(5.0)
    assert limit.ready_at(5.0) == pytest.approx(5.0 + 2 * WINDOW - 0.1)
    for now in (1.0, 2.0, 3.0):
        limit.denied(now, now)
    assert limit.rate == pytest.approx(0.5)


def test_a_second_429_confirms_the_rate_and_later_ones_lower_it() -> None:
    """By a tenth each; requests that were sent before it was lowered tell nothing new."""
    limit = learned()
    rates = [limit.rate]
    for now, sent_at in ((1.0, -0.1), (1.0, 0.0), (2.0, 0.9), (2.0, 1.0), (3.0, 2.5)):
        limit.denied(now, sent_at)
        rates.append(limit.rate)
    assert rates == pytest.approx([90.0, 90.0, 90.0, 90.0, 81.0, 72.9])
    assert limit.lowered_at == 3.0


def test_what_raised_it_is_undone_by_the_second_429() -> None:
    """The first one's rate stands."""
    limit = learned()
    for _ in range(50):
        limit.served()
    assert limit.rate > 130.0
    limit.denied(1.0, 0.5)
    assert limit.rate == pytest.approx(90.0)


def windows_served(limit: LearnedLimit, windows: int, seconds: float) -> float:
    """The rate after so many windows in which all that it allows was served."""
    for _ in range(windows):
        for _ in range(round(limit.rate * seconds)):
            limit.served()
    return limit.rate


def test_unconfirmed_it_grows_by_its_own_size_in_a_window() -> None:
    """At four times the rate of the 429 there is no such limit."""
    limit = learned()
    assert 179.0 < windows_served(limit, 1, WINDOW) < 250.0
    assert not limit.gone
    limit.rate = 400.0
    assert not limit.gone
    limit.served()
    assert limit.gone


def test_confirmed_it_grows_by_one_percent_in_a_window_of_the_budget() -> None:
    """Faster above the rate of the last 429: at twice the rate, 20 % of a window."""
    limit = learned(confirmed=True)
    assert windows_served(limit, 1, BUDGET_WINDOW) == pytest.approx(90.9, rel=0.001)
    limit.rate = 103.0
    assert windows_served(limit, 1, BUDGET_WINDOW) == pytest.approx(104.03, rel=0.001)
    limit.rate = 200.0
    before = limit.rate
    limit.served()
    assert limit.rate / before - 1 == pytest.approx(0.2 / (200.0 * BUDGET_WINDOW))


@pytest.mark.parametrize(("confirmed", "times"), [(False, 2.0), (True, 1.01)])
def test_one_served_request_counts_as_a_window_at_most(times: float, *, confirmed: bool) -> None:
    """Also where the rate is less than one request in a window."""
    limit = learned(confirmed=confirmed)
    limit.rate = 0.05
    limit.served()
    assert limit.rate == pytest.approx(0.05 * times)
