"""The running count, and the fit of a weighted counter to the server's answers."""

import math
import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.weighted import WeightedFit
from alohub_async.testing.windows import WindowKind, make_window

if TYPE_CHECKING:
    from alohub_async.testing.windows import ServerWindow

WINDOW = 10.0
LEG = 0.02  # seconds to the server, and as many back


class Log:
    """A client that sends one request after another, and records what the fit needs."""

    def __init__(self, kind: WindowKind, limit: int) -> None:
        self.window: ServerWindow = make_window(kind, limit)
        self.fit = WeightedFit(WINDOW)
        self.sends, self.answers = EventHistory(WINDOW, late=False), EventHistory(WINDOW, late=True)

    def request(self, now: float) -> None:
        """Send one now; its answer arrives two legs later."""
        counted = self.answers.total + 1
        self.sends.add(now)
        self.window.take(now + LEG)
        used = self.window.limit - self.window.free(now + LEG)
        self.answers.add(now + 2 * LEG)
        self.fit.recent.append((now, now + 2 * LEG, counted, self.sends.total, used))

    def opening(self, now: float) -> float:
        """When the fit allows the next one."""
        self.fit.learn(now, self.window.limit, self.sends, self.answers)
        return self.fit.opening(now, self.window.limit, self.sends.total, self.answers)

    def run(self, until: float, now: float) -> float:
        """Send what the server allows until that time, at 20 requests per second at most."""
        while now < until:
            if self.window.free(now + LEG):
                self.request(now)
            else:
                self.opening(now)
            now += 0.05
        return now


def test_a_history_counts_the_events_up_to_a_time() -> None:
    """The time itself included."""
    history = EventHistory(WINDOW, late=True)
    for at in (1.0, 2.0, 2.0, 5.0):
        history.add(at)
    assert [history.by(at) for at in (0.9, 1.0, 2.0, 4.9, 5.0)] == [0, 1, 3, 3, 4]


def test_a_history_knows_when_a_count_was_reached() -> None:
    """Never, if it was not reached; long ago, if it is 0 or less."""
    history = EventHistory(WINDOW, late=True)
    for at in (1.0, 2.0, 5.0):
        history.add(at)
    assert [history.reached(count) for count in (-1, 0, 1, 3, 4)] == [-math.inf, -math.inf, 1.0, 5.0, math.inf]


@settings(deadline=None, max_examples=100)
@given(
    steps=st.lists(st.sampled_from([0.0, 0.001, 0.004, 0.5, 7.0]), min_size=1, max_size=400),
    asked=st.floats(0.0, 12.0),
)
def test_a_history_errs_on_its_side_by_a_grain_at_most(steps: list[float], asked: float) -> None:
    """A late one never counts later events; an early one never misses earlier events."""
    early, late = EventHistory(WINDOW, late=False), EventHistory(WINDOW, late=True)
    now, times = 100.0, list[float]()
    for step in steps:
        now += step
        times.append(now)
        early.add(now)
        late.add(now)
    time = max(now - asked, times[0])
    grain = WINDOW / 2048
    true = sum(at <= time for at in times)
    assert sum(at <= time - grain for at in times) <= late.by(time) <= true
    assert true <= early.by(time) <= sum(at <= time + grain for at in times)


def test_a_history_stays_small() -> None:
    """Many events in three windows take a few thousand steps; old steps are deleted, and the total stays right."""
    history = EventHistory(WINDOW, late=True)
    for number in range(300_000):
        history.add(number / 10_000)
    assert len(pickle.dumps(history)) < 160_000
    for number in range(200):
        history.add(1000.0 + number)
    assert history.by(1199.0) == 300_200
    assert history.reached(1) == -math.inf
    assert len(pickle.dumps(history)) < 6_000


def test_nothing_seen_allows_any_phase() -> None:
    """After a full limit of requests at one time, one more is allowed when the latest phase allows it."""
    log = Log("sliding-counter", 10)
    for _ in range(10):
        log.request(103.0)
    opening = log.opening(103.1)
    assert 114.0 < log.fit.opening(103.1, 10, 10, log.answers, even=True) < 114.2
    assert 114.0 < opening < 115.0  # a clock of whole seconds allows it up to a second later


def test_the_opening_is_never_before_that_of_the_server() -> None:
    """And after enough answers, it is not much later either."""
    log = Log("sliding-counter", 20)
    now = 1003.7
    lags: list[float] = []
    while now < 1103.7:
        if log.window.free(now + LEG):
            log.request(now)
            now += 0.05
            continue
        true = now + LEG + log.window.retry_after(now + LEG)
        lags.append(log.opening(now) - true)
        now = max(now + 0.05, true)
    assert min(lags) > -LEG - 1e-6
    assert max(lags[-20:]) < 1.1


def test_other_windows_are_told_apart() -> None:
    """A sliding log, for example, contradicts every phase within a few windows."""
    log = Log("sliding-log", 20)
    log.run(1060.0, 1003.7)
    assert log.opening(1060.0) == -math.inf
    assert not log.fit.possible


def test_a_restart_counts_after_four_windows() -> None:
    """Other clients may have been the reason: some cells must survive four windows first."""
    log = Log("sliding-counter", 20)
    for at in (1002.0, 1003.0):
        log.fit.recent.append((at, at + 0.1, 1, 1, 15))  # fifteen used, and one of them ours
    assert log.opening(1003.2) == -math.inf
    log.fit.restart(1004.0)
    now = log.run(1040.0, 1004.0)
    assert log.fit.possible
    assert log.opening(now) == -math.inf
    now = log.run(1050.0, now)
    assert log.opening(now) > now - WINDOW


def test_a_lost_request_makes_the_bounds_wider() -> None:
    """Counted or not, it must neither remove the true phase nor make the opening too early."""
    log = Log("sliding-counter", 10)
    for _ in range(9):
        log.request(103.0)
    log.sends.add(103.5)
    log.answers.add(103.6)
    log.fit.doubt(103.6)
    log.request(109.0)
    assert log.opening(109.1) > 114.9
    assert log.fit.possible


@pytest.mark.parametrize("kind", ["sliding-counter", "kong-seconds"])
def test_the_way_the_share_falls_is_found(kind: WindowKind) -> None:
    """Requests at all times of a second tell an even share from one of whole seconds."""
    log = Log(kind, 50)
    now = 1003.7
    for number in range(300):
        if log.window.free(now + LEG) > 2 or not number % 9:
            log.request(now)
        log.opening(now + 0.1)
        now += 0.19
    assert log.fit.possible
    assert not log.fit.undecided
    even = log.fit.opening(1060.0, 50, log.sends.total, log.answers, even=True)
    assert (even > -math.inf) is (kind == "sliding-counter")


@pytest.mark.parametrize(("window", "undecided"), [(1.9, False), (2.0, True), (10.0, True)])
def test_a_short_window_has_no_share_of_whole_seconds(window: float, *, undecided: bool) -> None:
    """It would be all or nothing."""
    assert WeightedFit(window).undecided is undecided


@pytest.mark.parametrize(("offset", "late"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.0), (1e-9, 0.0), (-1e-9, 0.0)])
@pytest.mark.parametrize("kind", ["sliding-counter", "kong-seconds"])
def test_requests_at_the_very_second_keep_the_true_phase(kind: WindowKind, offset: float, late: float) -> None:
    """Either share is possible then; and the opening is never before the server's."""
    window: ServerWindow = make_window(kind, 20)
    fit, sends, answers = WeightedFit(WINDOW), EventHistory(WINDOW, late=False), EventHistory(WINDOW, late=True)
    for number in range(240):
        now = 1000.0 + offset + number / 2
        if not window.free(now):
            continue
        counted = answers.total + 1
        sends.add(now)
        window.take(now)
        answers.add(now + late)
        fit.recent.append((now, now + late, counted, sends.total, 20 - window.free(now)))
        fit.learn(now + late, 20, sends, answers)
        assert fit.possible
        opening = fit.opening(now + late, 20, sends.total, answers)
        assert opening >= now + window.retry_after(now) - 1e-6 or window.free(now)


def test_answers_older_than_a_window_tell_nothing() -> None:
    """The histories may have forgotten the windows before them."""
    log = Log("sliding-log", 20)
    log.run(1040.0, 1003.7)
    log.fit.restart(1040.0)
    kept = [*log.fit.recent]
    fresh = WeightedFit(WINDOW)
    fresh.recent.extend(kept)
    fresh.learn(1100.0, 20, log.sends, log.answers)
    assert fresh.possible
    assert fresh.vague


def test_a_restart_waits_for_the_end_of_the_one_before() -> None:
    """Four windows; and it changes nothing while a weighted counter still explains all."""
    log = Log("sliding-counter", 20)

    def contradict(now: float) -> None:
        log.fit.recent.append((now, now + 0.1, 1, 1, 15))
        log.fit.recent.append((now + 1, now + 1.1, 1, 1, 15))
        log.opening(now + 1.2)
        assert not log.fit.possible

    log.fit.restart(1000.0)
    assert log.opening(1000.0) > -math.inf
    contradict(1002.0)
    log.fit.restart(1004.0)
    assert (log.fit.possible, log.opening(1043.9)) == (True, -math.inf)
    contradict(1010.0)
    log.fit.restart(1043.9)
    assert not log.fit.possible
    log.fit.restart(1044.0)
    assert log.fit.possible
    assert log.opening(1083.9) == -math.inf
    assert log.opening(1084.0) > -math.inf


def test_few_answers_leave_the_phase_vague() -> None:
    """More than half of all phases are possible."""
    log = Log("sliding-counter", 20)
    assert log.fit.vague
    log.request(1003.7)
    log.opening(1003.8)
    assert log.fit.vague
    log.run(1040.0, 1003.8)
    assert not log.fit.vague


def test_a_sample_of_many_answers_is_enough() -> None:
    """Of those since the last fit, 32 are kept at most, from all of the time."""
    log = Log("sliding-counter", 1000)
    now = 1003.7
    for _ in range(1500):
        log.request(now)
        log.fit.fold()
        now += 0.01
    assert len(pickle.dumps(log.fit)) < 20_000
    log.opening(now)
    assert not log.fit.vague


def test_a_boundary_may_have_been_a_moment_ago() -> None:
    """Then requests of that moment belong to the new window, and the next is allowed in the one after it."""
    fit, sends, answers = WeightedFit(WINDOW), EventHistory(WINDOW, late=False), EventHistory(WINDOW, late=True)
    for at in (*[1003.0] * 1000, 1015.04):
        sends.add(at)
        answers.add(at)
    fit.recent.append((1015.04, 1015.04, 1001, 1001, 501))  # half of the thousand: the boundary was at 1010.04
    fit.learn(1015.04, 1000, sends, answers)
    for _ in range(1000):
        answers.add(1030.05)
    assert 1040.04 < fit.opening(1030.06, 1000, 2001, answers, even=True) < 1040.2


def test_more_in_flight_than_the_limit_waits_for_two_boundaries() -> None:
    """As long as they are not answered, the server may count them at any time."""
    log = Log("sliding-counter", 50)
    for _ in range(100):
        log.answers.add(103.0)
    assert 123.0 < log.fit.opening(103.1, 50, 150, log.answers, even=True) <= 123.2
    assert log.fit.opening(103.1, 50, 49, log.answers) <= 103.1
