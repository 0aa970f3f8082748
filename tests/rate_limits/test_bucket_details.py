"""The bucket's numbers: bounds, moments and lengths of time, each by itself."""

import math
import random

import pytest

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.counts import Ticket
from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.status import RateLimit
from alohub_async.testing.windows import ServerWindow, WindowKind, make_window
from tests.rate_limits.test_bucket import WINDOW, answered, drained, new_bucket


def refused(bucket: Bucket, now: float, snapshot: RateLimit | None, retry_after: float | None = None) -> None:
    """Have one request refused now."""
    bucket.settle(bucket.send(now), now, snapshot, denied=True, retry_after=retry_after)


def gap(bucket: Bucket, now: float) -> float:
    """Seconds between two requests of many that go as soon as they may."""
    times = list[float]()
    while len(times) < 15:
        if (due := bucket.ready_at(now)) > now:
            now = due
            continue
        bucket.send(now)
        times.append(now)
    return times[-1] - times[-2]


def burst(bucket: Bucket, now: float, most: int = 50) -> list[Ticket]:
    """Send as many as may go now."""
    tickets = list[Ticket]()
    while len(tickets) < most and bucket.ready_at(now) == now:
        tickets.append(bucket.send(now))
    return tickets


# Counts


def test_a_lower_remaining_leaves_room_for_those_in_flight() -> None:
    """Four remain and two are in flight, whatever the credit was: two more may go."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    first, *_ = [bucket.send(5.2) for _ in range(3)]
    bucket.settle(first, 5.3, RateLimit(10, 4))
    assert bucket.free(5.3) == 2
    for _ in range(2):
        assert bucket.ready_at(5.3) == 5.3
        bucket.send(5.3)
    assert bucket.ready_at(5.3) > 5.3


def test_each_answer_is_true_for_a_window() -> None:
    """The last one counts, also if it is of an older request."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    assert bucket.free(15.1) == 9
    ticket = bucket.send(5.2)
    bucket.settle(ticket, 9.0, RateLimit(10, 8))
    bucket.send(9.1)
    assert bucket.ready_at(19.0) == 19.0
    assert bucket.ready_at(19.05) == 19.05  # the one in flight is slow
    bucket.send(19.05)
    assert bucket.ready_at(19.06) == pytest.approx(20.05)


def test_a_clock_that_goes_back_changes_no_booking() -> None:
    """The request counts as sent when the one before it was."""
    bucket = new_bucket()
    answered(bucket, 5.0, 2, 1)
    _, sent_at, _ = bucket.send(3.0)
    assert sent_at == 5.1
    assert bucket.ready_at(5.1) >= 15.1


def test_a_booking_taken_back_counts_as_answered_now() -> None:
    """Its credit is free again, within what the server said; the request in flight with it stays booked."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 5)
    other, taken = bucket.send(5.2), bucket.send(5.2)
    for _ in range(2):
        bucket.cancel(taken, 5.3)
    assert (bucket.in_flight, bucket.free(5.3)) == (1, 4)
    bucket.settle(other, 5.4, RateLimit(10, 4))
    assert (bucket.in_flight, bucket.free(5.4)) == (0, 4)
    late, lost = bucket.send(5.5), bucket.send(5.5)
    bucket.settle(late, 5.6, RateLimit(10, 9))
    bucket.settle(lost, 5.7, None, lost=True)
    assert bucket.free(5.7) == 8


@pytest.mark.parametrize(
    ("requests", "seconds"), [(1, 0.0), (2, 0.0), (3, 0.0), (7, 0.0), (8, 10.0), (12, 10.0), (13, 20.0)]
)
def test_a_forecast_with_some_free(requests: int, seconds: float) -> None:
    """Two may go, and an answer may show a refill of five at any moment: the next five may go with it."""
    bucket = new_bucket()
    answered(bucket, 5.0, 5, 2)
    assert bucket.forecast(requests, 5.1) == seconds


@pytest.mark.parametrize(
    ("limit", "requests", "windows"), [(5, 1, 0), (5, 5, 0), (5, 6, 1), (1, 2, 1), (1, 3, 2), (0, 3, 2)]
)
def test_a_forecast_with_nothing_free(limit: int, requests: int, windows: int) -> None:
    """The first goes when the bucket looks again, and a limit's worth in each window from then on."""
    bucket = new_bucket()
    answered(bucket, 5.0, limit, 0)
    look = bucket.ready_at(6.0)
    assert look > 15.0
    assert bucket.forecast(requests, 6.0) == pytest.approx(look - 6.0 + windows * WINDOW)


def test_a_forecast_without_a_limit_is_that_of_the_block() -> None:
    """Nothing else is known."""
    bucket = new_bucket()
    assert bucket.forecast(100, 5.0) == 0.0
    refused(bucket, 5.0, None, 7.0)
    assert (bucket.forecast(100, 5.0), bucket.forecast(1, 9.0), bucket.forecast(1, 15.0)) == (7.0, 3.0, 0.0)


# Limits that change


@pytest.mark.parametrize("limits", [[20], [20, 40], [40, 20]])
def test_a_raised_limit_counts_for_the_clocks_after_a_window(limits: list[int]) -> None:
    """Until then the lowest of that window does: a larger token bucket is not full at once."""
    bucket = new_bucket()
    for number in range(4):
        answered(bucket, 5.0 + number / 10, 5, 4 - number)
    for limit in limits:
        answered(bucket, 5.4, limit, 1)
    bucket.settle(bucket.send(5.6), 5.6, None, lost=True)
    assert bucket.ready_at(5.6) == pytest.approx(15.2 + (len(limits) - 1) / 10)
    ticket = bucket.send(15.6)
    bucket.settle(ticket, 15.6, None, lost=True)
    assert bucket.ready_at(15.7) == 15.7


def test_a_lowered_limit_counts_for_the_clocks_at_once() -> None:
    """Five more than it allows were sent: the sixth must be forgotten."""
    bucket = new_bucket()
    for number in range(9):
        answered(bucket, 5.0 + number / 10, 20, 19 - number)
    answered(bucket, 5.9, 5, 1)
    bucket.settle(bucket.send(6.1), 6.1, None, lost=True)
    assert bucket.ready_at(6.1) == pytest.approx(5.7 + WINDOW, abs=2 * WINDOW / 5 + 0.3)
    assert bucket.ready_at(6.1) >= 5.7 + WINDOW


# Off by one


def test_a_remaining_that_equals_the_limit_shows_it_for_four_windows() -> None:
    """Then it is taken at its word again."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(9, 9))
    assert bucket.free(5.0) == 8
    bucket.settle(bucket.send(44.9), 44.9, RateLimit(9, 6))
    assert bucket.free(44.9) == 5
    bucket.settle(bucket.send(45.0), 45.0, RateLimit(9, 8))
    assert bucket.free(45.0) == 8


def overrun(bucket: Bucket, now: float, remaining: tuple[int, ...] = (4, 4, 3, 2, 1)) -> None:
    """Send a limit's worth, of which the server seems to leave one, and have the next one refused."""
    for left in remaining:
        bucket.settle(bucket.send(now), now, RateLimit(5, left))
    refused(bucket, now, RateLimit(5, 0), 10.0)


def test_429s_that_our_own_requests_explain_show_it_for_longer() -> None:
    """The second in a row does, for 64 windows; each later one, for four times as many, and 360 at most."""
    bucket, now = new_bucket(), 100.0
    overrun(bucket, now)
    for windows in (64, 256, 360, 360):
        now += 20.0
        bucket.settle(bucket.send(now), now, RateLimit(5, 3))
        if windows == 64:
            assert bucket.free(now) == 3
        now += 20.0
        overrun(bucket, now)
        ends = now + windows * WINDOW
        bucket.settle(bucket.send(ends - 0.1), ends - 0.1, RateLimit(5, 4))
        assert bucket.free(ends - 0.1) == 3
        bucket.settle(bucket.send(ends), ends, RateLimit(5, 3))
        assert bucket.free(ends) == 3
        now = ends


def test_one_429_after_that_time_shows_it_again() -> None:
    """Even if our own requests do not explain it; and nothing left after a served request disproves it."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(5, 5))
    bucket.settle(bucket.send(46.0), 46.0, RateLimit(5, 1))
    refused(bucket, 46.0, RateLimit(5, 0), 1.0)
    for at in (48.0, 685.0):
        bucket.settle(bucket.send(at), at, RateLimit(5, 4))
        assert bucket.free(at) == 3
    bucket.settle(bucket.send(685.0), 685.0, RateLimit(5, 0))
    bucket.settle(bucket.send(686.0), 686.0, RateLimit(5, 4))
    assert bucket.free(686.0) == 4


def test_429s_that_others_explain_do_not_show_it() -> None:
    """Fewer of ours were sent than the limit allows."""
    bucket, now = new_bucket(), 100.0
    for _ in range(5):
        overrun(bucket, now, (3, 1))
        now += 30.0
    bucket.settle(bucket.send(now), now, RateLimit(5, 3))
    assert bucket.free(now) == 3


# 429s


@pytest.mark.parametrize(
    ("random", "windows"), [(0.0, [0, 0, 1, 1, 1]), (0.5, [0, 1, 2, 2, 2]), (1.0, [0, 1, 2, 2, 2])]
)
def test_many_429s_in_a_row_keep_the_bucket_away(random: float, windows: list[int]) -> None:
    """More than three, for up to two whole windows longer than the server asks: others' windows begin with its own."""
    bucket, now, waits = Bucket(WINDOW, random=lambda: random), 5.0, list[float]()
    for _ in range(8):
        refused(bucket, now, RateLimit(5, 0), 1.0)
        waits.append(bucket.blocked_until - now)
        now = bucket.blocked_until
    assert waits == pytest.approx([1.0, 1.0, 1.0, *(1.0 + WINDOW * more for more in windows)])


def test_many_429s_without_a_limit_are_obeyed_alone() -> None:
    """Nothing says that a budget is used up."""
    bucket, now = new_bucket(), 5.0
    for _ in range(8):
        refused(bucket, now, None, 1.0)
        assert bucket.blocked_until - now == pytest.approx(1.0)
        now = bucket.blocked_until


def test_requests_refused_together_are_one_429_in_a_row() -> None:
    """So the wait is not doubled by each of them; a served request ends the row."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    for ticket in [bucket.send(5.2) for _ in range(4)]:
        bucket.settle(ticket, 5.3, RateLimit(10, 0), denied=True)
        assert bucket.blocked_until == pytest.approx(6.3)
    assert bucket.denials == 4
    refused(bucket, 7.0, RateLimit(10, 0))
    assert bucket.blocked_until == pytest.approx(9.0)
    answered(bucket, 9.0, 10, 9)
    refused(bucket, 9.5, RateLimit(10, 0))
    assert bucket.blocked_until == pytest.approx(10.5)


@pytest.mark.parametrize(("random", "times"), [(0.0, 0.75), (1.0, 1.25)])
def test_a_wait_that_no_server_said_is_jittered(random: float, times: float) -> None:
    """So several clients do not come back together."""
    bucket = Bucket(WINDOW, random=lambda: random)
    refused(bucket, 5.0, RateLimit(10, 0))
    assert bucket.blocked_until == pytest.approx(5.0 + times)


# Limits that headers do not tell


@pytest.mark.parametrize(("retry_after", "rate"), [(0.2, 4.0), (1.0, 4.0), (3.0, 7 / 3), (9.0, 7 / 9), (60.0, 0.7)])
def test_a_hidden_limit_is_learnt_from_what_was_served_before_the_429(retry_after: float, rate: float) -> None:
    """In as many seconds as the server asks to wait, at least one and at most a window."""
    bucket = new_bucket()
    for number in range(3):
        bucket.settle(bucket.send(5.0 + number / 10), 5.0 + number / 10, RateLimit(1000, 900))
    refused(bucket, 5.3, RateLimit(1000, 900), retry_after)
    for number in range(4):
        bucket.settle(bucket.send(6.6 + number / 10), 6.6 + number / 10, RateLimit(1000, 900))
    refused(bucket, 7.0, RateLimit(1000, 900), retry_after)
    assert bucket.ready_at(7.0) == pytest.approx(7.0 + retry_after)
    assert gap(bucket, 7.0 + retry_after) == pytest.approx(1 / (0.9 * rate), rel=0.01)


@pytest.mark.parametrize(("at", "learnt"), [(45.2, True), (45.4, False)])
def test_two_429s_that_are_four_windows_apart_show_no_hidden_limit(at: float, *, learnt: bool) -> None:
    """The second one is the first of the next two."""
    bucket = new_bucket()
    for now in (5.0, at - 0.1):
        bucket.settle(bucket.send(now), now, RateLimit(1000, 900))
        refused(bucket, min(now + 0.3, at), RateLimit(1000, 900), 1.0)
    assert (gap(bucket, 47.0) > 0.0) is learnt


def test_a_hidden_limit_stays_when_another_scope_is_told() -> None:
    """And when its own headers go on to say that much is left; only served requests end it."""
    bucket = new_bucket()
    for now in (5.0, 7.0):
        bucket.settle(bucket.send(now), now, RateLimit(1000, 900))
        refused(bucket, now + 0.1, RateLimit(1000, 900), 1.0)
    bucket.settle(bucket.send(9.0), 9.0, RateLimit(1000, 900))
    bucket.settle(bucket.send(9.1), 9.1, None, elsewhere=True)
    assert gap(bucket, 10.0) > 0.1


@pytest.mark.parametrize("snapshot", [None, RateLimit(1000, 900)])
def test_a_rate_learnt_without_headers_ends_with_headers(snapshot: RateLimit | None) -> None:
    """They are of this scope or of another one."""
    bucket = new_bucket()
    for _ in range(30):
        bucket.settle(bucket.send(5.0), 5.0, None)
    refused(bucket, 5.0, None, 1.0)
    bucket.settle(bucket.send(7.0), 7.0, None)
    assert bucket.ready_at(7.0) == 7.0
    bucket.settle(bucket.send(8.0), 8.0, snapshot, elsewhere=True)
    assert gap(bucket, 9.0) == 0.0


@pytest.mark.parametrize(("limit", "rate"), [(50, 4.5), (1, 0.09), (0, 0.09)])
def test_headers_that_end_leave_their_limit_as_a_rate(limit: int, rate: float) -> None:
    """After eight answers without them, nine tenths of it in a window; the next headers end it."""
    bucket = new_bucket()
    answered(bucket, 5.0, limit, 0)
    for number in range(8):
        assert not bucket.blind
        bucket.settle(bucket.send(50.0), 50.0, None, lost=not number)
    assert not bucket.blind
    bucket.settle(bucket.send(50.0), 50.0, None)
    assert bucket.blind
    now, times = 100.0, list[float]()
    for _ in range(12):
        now = bucket.ready_at(now)
        bucket.send(now)
        times.append(now)
    assert times[-1] - times[-2] == pytest.approx(1 / rate)
    answered(bucket, now, 50, 49)
    assert not bucket.blind


def test_a_bucket_that_learns_nothing_is_not_paced() -> None:
    """The other one of the request is."""
    bucket = Bucket(WINDOW, learns=False)
    for _ in range(3):
        for _ in range(20):
            bucket.settle(bucket.send(5.0), 5.0, None)
        refused(bucket, 5.0, None, 1.0)
    bucket.settle(bucket.send(7.0), 7.0, None)
    assert gap(bucket, 9.0) == 0.0


def test_as_many_as_were_served_may_be_in_flight_while_no_answer_says_anything() -> None:
    """But one at a time after a 429, until one is served."""
    bucket = Bucket(WINDOW, learns=False)

    def allowed(now: float) -> int:
        tickets = burst(bucket, now)
        for ticket in tickets:
            bucket.settle(ticket, now, None, lost=True)
        return len(tickets)

    for _ in range(20):
        bucket.settle(bucket.send(5.0), 5.0, None)
    assert allowed(5.0) == 35
    refused(bucket, 6.0, None, 1.0)
    assert (allowed(6.0), allowed(7.0)) == (0, 1)
    bucket.settle(bucket.send(7.0), 7.0, None)
    assert allowed(7.0) == 36


# Windows


@pytest.mark.parametrize(
    ("limit", "asked", "longer"),
    [(5, 14.0, False), (5, 14.1, True), (50, 11.0, False), (50, 11.1, True), (50, 60.0, True), (50, 60.1, False)],
)
def test_a_retry_after_that_the_window_explains_shows_no_longer_one(limit: int, asked: float, *, longer: bool) -> None:
    """A weighted counter asks for a window and twice the share of one request; what is cut shows nothing."""
    bucket, now = new_bucket(60.0), 5.0
    for _ in range(2):
        answered(bucket, now, limit, limit - 1)
        refused(bucket, now + 0.1, RateLimit(limit, 0), asked)
        now = max(bucket.asked_until, bucket.blocked_until)
    assert (bucket.window > WINDOW) is longer


@pytest.mark.parametrize(("second", "window"), [(31.0, 50.0), (50.0, 50.0), (70.0, 70.0)])
def test_the_longer_of_two_shown_windows_is_used(second: float, window: float) -> None:
    """A request that was refused long after the first one waits for less."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(1, 0))
    refused(bucket, 5.0, RateLimit(1, 0), 50.0)
    bucket.settle(bucket.send(60.0), 60.0, RateLimit(1, 0))
    refused(bucket, 60.0, RateLimit(1, 0), second)
    assert bucket.window == pytest.approx(window)


@pytest.mark.parametrize(("at", "longer"), [(204.9, True), (205.1, False)])
def test_what_one_429_showed_is_forgotten_after_four_such_windows(at: float, *, longer: bool) -> None:
    """Then the next one is the first again."""
    bucket = new_bucket()
    for now in (5.0, at):
        bucket.settle(bucket.send(now), now, RateLimit(1, 0))
        refused(bucket, now, RateLimit(1, 0), 50.0)
    assert (bucket.window > WINDOW) is longer


def test_a_window_that_headers_say_is_not_made_longer() -> None:
    """Whatever 429s ask for."""
    bucket, now = new_bucket(), 5.0
    for _ in range(3):
        bucket.settle(bucket.send(now), now, RateLimit(1, 0, None, 10.0))
        refused(bucket, now, RateLimit(1, 0, None, 10.0), 50.0)
        now += 60.0
    assert bucket.window == 10.0


def test_a_429_counts_in_the_window_that_is_used_up() -> None:
    """The second has nothing left: the requests wait for it, and the ten seconds keep what they have."""
    bucket = new_bucket(60.0)
    second = RateLimit(5, 4, None, 1.0)
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(50, 40, None, 10.0, (second,)))
    refused(bucket, 5.1, RateLimit(50, 39, None, 10.0, (second._replace(remaining=0),)), 86_400.0)
    assert bucket.denials == 0
    assert bucket.ready_at(5.1) == pytest.approx(65.1)
    bucket.settle(bucket.send(66.0), 66.0, RateLimit(50, 49, None, 10.0, (second,)))
    assert bucket.free(66.0) == 49
    for _ in range(4):
        assert bucket.ready_at(66.0) == 66.0
        bucket.send(66.0)
    assert bucket.ready_at(66.0) > 66.0


@pytest.mark.parametrize("ends", ["cancelled", "lost", "answered"])
def test_a_request_that_was_sent_before_a_second_window_was_told_has_no_booking_there(ends: str) -> None:
    """However it ends, it changes nothing in it."""
    bucket, second = new_bucket(), RateLimit(3, 2, None, 5.0)
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(50, 40, None, 10.0))
    before = bucket.send(5.0)
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(50, 38, None, 10.0, (second,)))
    if ends == "cancelled":
        bucket.cancel(before, 5.1)
    else:
        lost = ends == "lost"
        bucket.settle(before, 5.1, None if lost else RateLimit(50, 38, None, 10.0, (second,)), lost=lost)
    assert bucket.in_flight == 0
    for _ in range(2):
        assert bucket.ready_at(5.2) == 5.2
        bucket.send(5.2)
    assert bucket.ready_at(5.2) > 5.2


def test_a_429_of_the_longer_window_leaves_the_shorter_one() -> None:
    """It blocks the scope all the same."""
    bucket = new_bucket()
    second = RateLimit(5, 4, None, 1.0)
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(50, 1, None, 10.0, (second,)))
    refused(bucket, 5.1, RateLimit(50, 0, None, 10.0, (second._replace(remaining=3),)), 7.0)
    assert bucket.denials == 1
    assert bucket.blocked_until == pytest.approx(12.1)
    bucket.settle(bucket.send(12.2), 12.2, RateLimit(50, 49, None, 10.0, (second,)))
    assert bucket.free(12.2) == 49
    for _ in range(4):
        assert bucket.ready_at(12.2) == 12.2
        bucket.send(12.2)


# Clocks


def test_with_others_the_first_of_our_own_must_be_forgotten() -> None:
    """Nothing is left after three requests of ten: the others hold the rest."""
    bucket = new_bucket()
    for number, left in enumerate((8, 4, 0)):
        bucket.settle(bucket.send(5.0 + number), 5.0 + number, RateLimit(10, left))
    assert bucket.ready_at(7.0) == pytest.approx(15.0, abs=0.4)
    assert bucket.ready_at(7.0) >= 15.0


@pytest.mark.parametrize(("reset", "later", "due"), [(3.0, None, 8.0), (3.0, 4.0, 9.5), (None, 3.0, 8.5)])
def test_the_reset_of_the_newest_request_counts(reset: float | None, later: float | None, due: float) -> None:
    """Of two that said that nothing is left."""
    bucket = new_bucket()
    bucket.settle(bucket.send(4.0), 4.0, RateLimit(2, 1))
    first, second = bucket.send(4.5), bucket.send(4.6)
    bucket.settle(second, 5.0 if later is None else 5.5, RateLimit(2, 0, reset if later is None else later))
    bucket.settle(first, 5.6, RateLimit(2, 0, 1.0))
    assert bucket.ready_at(5.6) == pytest.approx(due)


@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_a_wrong_reset_is_not_believed_for_twice_as_long_each_time(wrong: int) -> None:
    """Four windows at first."""
    bucket, now = new_bucket(), 5.0
    for number in range(wrong):
        bucket.settle(bucket.send(now), now, RateLimit(2, 0, 1.0))
        refused(bucket, now + 1.0, RateLimit(2, 0, 1.0), 1.0)
        ends = now + 1.0 + 4 * WINDOW * 2**number
        bucket.settle(bucket.send(ends - 0.1), ends - 0.1, RateLimit(2, 0, 1.0))
        assert bucket.ready_at(ends - 0.1) > ends + 5.0
        now = ends
    bucket.settle(bucket.send(now), now, RateLimit(2, 0, 1.0))
    assert bucket.ready_at(now) == pytest.approx(now + 1.0)
    assert math.isfinite(now)


@pytest.mark.parametrize("start", [5.0, 5.2, 5.7, 6.2, 6.4, 6.7])
def test_a_request_is_forgotten_after_exactly_a_window(start: float) -> None:
    """Whatever the rounding of the clock: when nothing was left, the first one no longer counted."""
    bucket = new_bucket()
    for at, left in ((0.0, 5), (1.0, 4), (10.0, 0)):
        bucket.settle(bucket.send(start + at), start + at, RateLimit(20, left))
    yielded = 0.3 * 2 / 20  # the share of the budget: two of the requests still counted
    assert bucket.ready_at(start + 10.0) == pytest.approx(start + 1.0 + WINDOW + yielded)


@pytest.mark.parametrize(("limit", "times"), [(10, 0), (11, 6)])
def test_the_last_of_a_refill_waits_to_tell_two_weighted_counters_apart(limit: int, times: int) -> None:
    """For 0.8 s after the look, six times in all while both fit; up to a limit of ten it makes no difference."""
    bucket, now, waits = drained(limit), 100.0, list[bool]()
    for _ in range(9):
        look = bucket.ready_at(now)
        bucket.settle(bucket.send(look), look, RateLimit(limit, 5))
        tickets = burst(bucket, look)
        waits.append(len(tickets) == 4)
        assert len(tickets) == 5 or bucket.ready_at(look) == pytest.approx(look + 0.8)
        now = look + 1.0
        for ticket in tickets:
            bucket.settle(ticket, now, RateLimit(limit, 0))
    assert waits == [True] * times + [False] * (9 - times)


# Other clients


@pytest.mark.parametrize("own", [0, 24, 49])
@pytest.mark.parametrize(("denials", "patience"), [(1, 0.1), (2, 0.2)])
def test_a_client_with_little_of_the_budget_is_hardly_late(own: int, denials: int, patience: float) -> None:
    """Patience, and 3 % of a window to yield, both by its share."""
    bucket, now = new_bucket(), 5.0
    for number in range(own):
        bucket.settle(bucket.send(4.0), 4.0, RateLimit(50, 49 - number))
    for _ in range(denials):
        refused(bucket, now, RateLimit(50, 0), 1.0)
        now = bucket.blocked_until
    share = (own + denials) / 50
    if share < 1.0:
        assert bucket.ready_at(now) == pytest.approx(now + (patience + 0.3) * share)
    elif denials == 1:
        assert bucket.ready_at(now) == pytest.approx(now + patience + 0.3)
    else:  # its own requests explain the 429s: the first of them must be forgotten
        assert bucket.ready_at(now) > 14.0


def test_with_patience_a_part_of_what_is_left_is_in_flight() -> None:
    """A quarter after three 429s in a row; each answer lets one more go, and so does a tenth of a window."""
    bucket, now = new_bucket(), 5.0
    for _ in range(3):
        refused(bucket, now, RateLimit(50, 0), 1.0)
        now = bucket.blocked_until
    bucket.settle(bucket.send(now), now, RateLimit(50, 40))
    tickets = burst(bucket, now)
    assert len(tickets) == 11
    assert bucket.ready_at(now + 0.5) == now + 1.0
    bucket.settle(tickets[0], now + 0.5, RateLimit(50, 39))
    assert bucket.ready_at(now + 0.5) == now + 0.5


def test_with_much_patience_one_is_in_flight() -> None:
    """However little 15 % of what is left would be; a tenth of a window later the next one goes."""
    bucket, now = new_bucket(), 5.0
    for _ in range(6):
        refused(bucket, now, RateLimit(50, 0), 1.0)
        now = bucket.blocked_until
    bucket.settle(bucket.send(now), now, RateLimit(50, 3))
    assert len(burst(bucket, now)) == 1
    assert bucket.ready_at(now) == now + 1.0


def gaps(limit: int, used: int, windows: int) -> list[int]:
    """In which windows the requests of a client that sends so many in each paused for long."""
    bucket, window, found = new_bucket(), make_window("aligned", limit), list[int]()
    for number in range(windows):
        now = began = number * WINDOW + 3.7
        for _ in range(used):
            went = max(now, bucket.ready_at(now))
            if now > began and went - now > 0.5:
                found.append(number)
            ticket = bucket.send(went)
            window.take(went)
            now = went + 0.01
            bucket.settle(ticket, now, RateLimit(limit, window.free(went)))
    return found


def test_half_of_a_used_up_budget_waits_now_and_then() -> None:
    """Once in six windows, without knowing of others; a client that does not use it up leaves enough."""
    assert gaps(10, 10, 20) == [7, 13, 19]
    assert gaps(10, 9, 20) == []


def compete(clients: int, window: ServerWindow, until: float, seed: int = 1) -> tuple[list[int], list[int]]:
    """Have clients that do not know of each other send as much as they may; return what was served, and refused."""
    rng = random.Random(seed)
    buckets = [Bucket(WINDOW, random=rng.random) for _ in range(clients)]
    served, denied, events = [0] * clients, [0] * clients, [(3.7 + which / 10, which) for which in range(clients)]
    while (event := min(events))[0] < until:
        now, which = event
        bucket = buckets[which]
        if (due := bucket.ready_at(now)) <= now:
            ticket, allowed, due = bucket.send(now), window.free(now) > 0, now + 0.01
            (window.take if allowed else window.deny)(now)
            wait = None if allowed else float(math.ceil(window.retry_after(now)))
            snapshot = RateLimit(window.limit, window.free(now))
            bucket.settle(ticket, due, snapshot, denied=not allowed, retry_after=wait)
            served[which] += allowed
            denied[which] += not allowed
        events[which] = due, which
    return served, denied


@pytest.mark.parametrize("kind", ["aligned", "first-request", "sliding-log", "sliding-counter", "token-bucket"])
def test_two_clients_share_a_budget(kind: WindowKind) -> None:
    """They use it up, for few 429s, and neither has less than a third of it."""
    served, denied = compete(2, make_window(kind, 50), 603.7)
    assert sum(served) >= 0.93 * 50 * 60
    assert sum(denied) <= 0.04 * sum(served)
    assert min(served) >= 0.36 * sum(served)


@pytest.mark.parametrize(("kind", "seed"), [("aligned", 9), ("aligned", 11), ("first-request", 9), ("sliding-log", 13)])
def test_four_clients_share_a_budget(kind: WindowKind, seed: int) -> None:
    """None starves: who was refused often comes back when a budget is new, not in the middle of a window."""
    served, _ = compete(4, make_window(kind, 50), 603.7, seed)
    assert sum(served) >= 0.93 * 50 * 60
    assert min(served) >= sum(served) / 8


# Limits that become small


def saturate(bucket: Bucket, window: ServerWindow, now: float, until: float) -> tuple[float, int, int]:
    """Send one request after another as soon as each may go; return the time, and how many were served and refused."""
    served = denied = 0
    while now < until:
        ticket, allowed = bucket.send(now), window.free(now) > 0
        (window.take if allowed else window.deny)(now)
        wait, snapshot = None if allowed else window.retry_after(now), RateLimit(window.limit, window.free(now))
        bucket.settle(ticket, now + 0.02, snapshot, denied=not allowed, retry_after=wait)
        served, denied = served + allowed, denied + (not allowed)
        now = max(now + 0.02, bucket.ready_at(now + 0.02))
    return now, served, denied


@pytest.mark.parametrize(
    ("kind", "limit", "until", "most"), [("sliding-counter", 20, 103.7, 1), ("sliding-log", 5, 12.0, 0)]
)
@pytest.mark.parametrize("small", [1, 2])
def test_what_was_learnt_of_a_larger_limit_holds_for_a_small_one(
    kind: WindowKind, limit: int, until: float, most: int, small: int
) -> None:
    """A weighted counter is not tried again; but few answers tell nothing."""
    bucket, window = new_bucket(), make_window(kind, limit)
    now, *_ = saturate(bucket, window, 3.7, until)
    window.limit = small
    _, served, denied = saturate(bucket, window, now, now + 600.0)
    assert denied <= most
    assert served >= (29 if most else 58) * small


def test_a_longer_window_is_believed_for_twice_as_long_each_time() -> None:
    """Two of these windows, then four, then eight."""
    bucket, now = new_bucket(), 5.0
    for windows in (0, 2, 4, 8):
        bucket.settle(bucket.send(now), now, RateLimit(1, 0))
        refused(bucket, now, RateLimit(1, 0), 50.0)
        if windows:
            assert bucket.window == 50.0
            bucket.settle(bucket.send(now + 51.0), now + 51.0, RateLimit(1, 0))
            bucket.ready_at(now + 50.0 * windows - 1.0)
            assert bucket.window == 50.0
            bucket.ready_at(now + 50.0 * windows)
            assert bucket.window == WINDOW
        now += 50.0 * max(windows, 2) + 1.0


@pytest.mark.parametrize(("at", "pace"), [(14.9, 10.0 / 28.0), (15.1, 0.0)])
def test_a_429_without_headers_sets_a_pace_at_once(at: float, pace: float) -> None:
    """Nine tenths of what was served in the window before it, and one more for the next that is served."""
    bucket = new_bucket()
    for _ in range(30):
        bucket.settle(bucket.send(5.0), 5.0, None)
    refused(bucket, at, None, 1.0)
    bucket.settle(bucket.send(17.0), 17.0, None)
    assert gap(bucket, 17.0) == pytest.approx(pace)


def test_after_a_failed_trial_the_weighted_counter_is_waited_for() -> None:
    """However soon the server asks to come back: a second try would fail as well."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(1, 0))
    trial = bucket.ready_at(5.0)
    assert trial == pytest.approx(15.0)
    refused(bucket, trial, RateLimit(1, 0), 1.0)
    due = bucket.ready_at(16.0)
    assert due > 24.0
    bucket.settle(bucket.send(due), due, RateLimit(1, 0))
    assert bucket.ready_at(due) > due + 14.0


def test_trials_that_fail_are_made_less_and_less_often() -> None:
    """After 360 windows, then after 720 and 1440."""
    bucket, now = new_bucket(), 5.0

    def is_trial(now: float) -> bool:
        bucket.settle(bucket.send(now), now, RateLimit(1, 0))
        return bucket.ready_at(now) < now + 1.2 * WINDOW

    assert is_trial(now)
    for windows in (360, 720, 1440):
        now += WINDOW
        refused(bucket, now, RateLimit(1, 0), 10.0)
        assert not is_trial(now + (windows - 1) * WINDOW)
        now += (windows + 1) * WINDOW
        assert is_trial(now)


def test_answers_at_almost_the_same_time_are_forgotten_with_the_last_of_them() -> None:
    """They share a step of a 2048th of a window; a limit of a million takes no more memory than that."""
    history = EventHistory(2048.0, late=True)
    for now in (100.0, 100.9, 101.1):
        history.add(now)
    assert [history.reached(count) for count in (1, 2, 3)] == [100.9, 100.9, 101.1]
