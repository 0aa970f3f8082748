"""The bucket: what it allows, when it looks again, and that it neither exceeds a server's limit nor gets stuck."""

import math
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.counts import Ticket
from alohub_async.rate_limits.status import RateLimit
from alohub_async.testing.windows import ServerWindow, WindowKind, make_window

WINDOW = 10.0


def new_bucket(max_block: float = math.inf) -> Bucket:
    """A bucket whose waits are not jittered."""
    return Bucket(WINDOW, max_block)


def answered(bucket: Bucket, now: float, limit: int, remaining: int, *, reset: float | None = None) -> None:
    """Send one request now, and settle it 0.1 s later."""
    bucket.settle(bucket.send(now), now + 0.1, RateLimit(limit, remaining, reset))


def drained(limit: int, now: float = 100.0) -> Bucket:
    """A bucket whose requests were sent and answered one after another, in five seconds, until nothing was left."""
    bucket = new_bucket()
    for number in range(limit):
        answered(bucket, now - 5.0 * (limit - number) / limit, limit, limit - number - 1)
    return bucket


# What is known, and what is not


def test_one_goes_first_while_nothing_is_known() -> None:
    """The others wait for its answer."""
    bucket = new_bucket()
    assert (bucket.ready_at(5.0), bucket.limit, bucket.free(5.0)) == (5.0, None, None)
    bucket.send(5.0)
    assert bucket.ready_at(5.1) == math.inf


def test_the_first_answer_allows_the_rest() -> None:
    """As many as it says remain, at once."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 7)
    assert (bucket.limit, bucket.free(5.1), bucket.ready_at(5.1)) == (10, 7, 5.1)


def test_a_scope_without_headers_is_not_limited() -> None:
    """Its first answer says something of another scope only: from then on it is always ready."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.1, None, elsewhere=True)
    for _ in range(1000):
        bucket.send(5.1)
    assert (bucket.ready_at(5.1), bucket.limit, bucket.free(5.1), bucket.in_flight) == (5.1, None, None, 1000)


def test_a_lost_request_says_nothing_about_headers() -> None:
    """After it, one goes first again."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.1, None, lost=True)
    assert bucket.ready_at(5.1) == 5.1
    bucket.send(5.1)
    assert bucket.ready_at(5.2) == math.inf


def test_headers_that_appear_later_count() -> None:
    """A scope taken for unlimited is limited from the first answer that says so."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.1, None)
    answered(bucket, 6.0, 3, 0)
    assert bucket.ready_at(6.1) > 7.0


@pytest.mark.parametrize("window", [0.0, -1.0, math.nan, math.inf])
def test_a_window_must_be_a_number_of_seconds(window: float) -> None:
    """Nonsense is refused when the bucket is made."""
    with pytest.raises(ValueError, match="window must be"):
        Bucket(window)


# Counts


def test_a_send_is_booked_before_its_answer() -> None:
    """What is in flight is not free."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 2)
    bucket.send(5.1)
    assert bucket.free(5.1) == 1
    bucket.send(5.1)
    assert bucket.free(5.1) == 0


def test_an_answer_that_overtook_others_does_not_free_what_they_take() -> None:
    """Three were sent, and the last is answered first: it may have been counted before the other two."""
    bucket = new_bucket()
    answered(bucket, 5.0, 4, 3)
    tickets = [bucket.send(5.1) for _ in range(3)]
    bucket.settle(tickets[2], 5.2, RateLimit(4, 2))
    assert bucket.free(5.2) == 0


def test_a_refill_that_an_answer_shows_counts_at_once() -> None:
    """Nine remain although the credit was one: a new window has begun."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 1)
    answered(bucket, 6.0, 10, 9)
    assert bucket.free(6.1) == 9


def test_what_others_spend_is_not_free() -> None:
    """An answer with less left than the credit lowers it."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    answered(bucket, 5.1, 10, 3)
    assert bucket.free(5.2) == 3


def test_an_answer_from_before_the_refill_is_ignored() -> None:
    """Its request was sent before the refill was seen: its count may be the old window's."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 3)
    early, late = bucket.send(5.1), bucket.send(5.1)
    bucket.settle(late, 5.3, RateLimit(10, 9))
    bucket.settle(early, 5.4, RateLimit(10, 2))
    assert bucket.free(5.4) == 8


@pytest.mark.parametrize(("limit", "remaining", "free"), [(20, 15, 15), (5, 3, 3), (5, 0, 0)])
def test_a_limit_that_changes_is_followed_at_once(limit: int, remaining: int, free: int) -> None:
    """Up and down, with the first answer that says so."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    answered(bucket, 5.1, limit, remaining)
    assert (bucket.limit, bucket.free(5.2)) == (limit, free)


def test_an_overtaken_answer_does_not_bring_the_old_limit_back() -> None:
    """The request sent last says what the limit is."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    early, late = bucket.send(5.1), bucket.send(5.1)
    bucket.settle(late, 5.2, RateLimit(30, 25))
    bucket.settle(early, 5.3, RateLimit(10, 8))
    assert bucket.limit == 30


@pytest.mark.parametrize(("remaining", "free"), [(99, 4), (-3, 0)])
def test_a_remaining_out_of_range_is_cut(remaining: int, free: int) -> None:
    """More than the limit is the limit, which leaves out the request itself; less than nothing is nothing."""
    bucket = new_bucket()
    answered(bucket, 5.0, 5, remaining)
    assert bucket.free(5.1) == free


def test_a_count_older_than_a_window_is_not_trusted() -> None:
    """Others may have spent it: one goes first, and the next with its answer, or a tenth of a window later."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    assert bucket.ready_at(60.0) == 60.0
    first = bucket.send(60.0)
    assert bucket.ready_at(60.0) == 61.0
    bucket.settle(first, 60.1, RateLimit(10, 9))
    assert bucket.free(60.1) == 9


# Clocks


def test_the_next_is_due_a_window_after_the_answer_and_a_bit() -> None:
    """The bit is for a weighted counter: with the worst phase it allows one a fifth of a window later."""
    bucket = new_bucket()
    answered(bucket, 5.0, 5, 4)
    tickets = [bucket.send(5.1) for _ in range(4)]
    for left, ticket in enumerate(tickets):
        bucket.settle(ticket, 5.2, RateLimit(5, left))
    assert 15.1 + WINDOW / 5 <= bucket.ready_at(5.2) < 15.1 + WINDOW / 5 + 0.2


def test_only_one_goes_when_it_is_due() -> None:
    """Its answer says how many may follow."""
    bucket = drained(10)
    due = bucket.ready_at(100.0)
    probe = bucket.send(due)
    assert bucket.ready_at(due) > due
    bucket.settle(probe, due + 0.1, RateLimit(10, 9))
    assert bucket.free(due + 0.1) == 9


def test_the_bucket_does_not_wait_for_slow_answers_for_ever() -> None:
    """After a tenth of a window, and with requests forgotten, the next may look."""
    bucket = drained(5)
    due = bucket.ready_at(100.0)
    bucket.send(due)
    assert due < bucket.ready_at(due) < due + 3.0


def test_everything_in_flight_waits_for_an_answer() -> None:
    """The server may count each of them at any later time."""
    bucket = new_bucket()
    answered(bucket, 5.0, 3, 2)
    bucket.settle(bucket.send(5.1), 5.2, RateLimit(3, 3))
    for _ in range(3):
        bucket.send(5.2)
    assert bucket.ready_at(99.0) == math.inf


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_an_idle_bucket_is_never_stuck(limit: int) -> None:
    """With nothing left and nothing in flight, it looks again within three windows."""
    bucket = drained(limit, 200.0)
    due = bucket.ready_at(200.0)
    assert 200.0 < due <= 200.0 + 3 * WINDOW
    assert bucket.ready_at(due) == due


def test_a_limit_of_zero_is_looked_at_once_a_window() -> None:
    """It may change."""
    bucket = new_bucket()
    for _ in range(5):
        due = bucket.ready_at(5.0)
        bucket.settle(bucket.send(due), due + 0.1, RateLimit(0, 0), denied=True, retry_after=WINDOW)
        assert due + WINDOW <= bucket.ready_at(due + 0.1) <= due + 2 * WINDOW
    answered(bucket, bucket.ready_at(5.0), 5, 4)
    assert bucket.limit == 5


def test_a_reset_shortens_the_wait() -> None:
    """The server's word comes before the clocks."""
    bucket = new_bucket()
    answered(bucket, 5.0, 1, 0, reset=2.0)
    assert bucket.ready_at(5.1) == 7.1


def test_a_reset_that_was_wrong_is_not_trusted_soon_again() -> None:
    """Otherwise a server that always says 0 would get a stream of requests."""
    bucket = new_bucket()
    answered(bucket, 5.0, 1, 0, reset=0.0)
    ticket = bucket.send(bucket.ready_at(5.1))
    bucket.settle(ticket, 5.2, RateLimit(1, 0, 0.0), denied=True, retry_after=9.0)
    answered(bucket, bucket.ready_at(5.2), 1, 0, reset=0.0)
    assert bucket.ready_at(15.0) > 23.0
    answered(bucket, 60.0, 1, 0, reset=2.0)
    assert bucket.ready_at(60.1) == pytest.approx(62.1, abs=0.5)


def test_a_denial_for_another_reason_leaves_the_reset() -> None:
    """A 429 proves a reset wrong only if there was one."""
    bucket = new_bucket()
    answered(bucket, 5.0, 5, 4)
    bucket.settle(bucket.send(5.2), 5.3, RateLimit(5, 0), denied=True, retry_after=1.0)
    answered(bucket, 10.0, 5, 0, reset=2.0)
    assert bucket.ready_at(10.1) < 13.0


@pytest.mark.parametrize("asked", [60.001, 86_400.0, 1_790_000_000.0, 1e308, math.inf])
def test_what_a_retry_after_blocks_is_bounded(asked: float) -> None:
    """One request goes after the bound; refused again, the next one goes a bound later; served, all go."""
    bucket = new_bucket(60.0)
    answered(bucket, 5.0, 10, 9)
    now = 6.0
    for _ in range(3):
        probe = bucket.send(now)
        bucket.settle(probe, now, RateLimit(10, 0), denied=True, retry_after=asked)
        assert (bucket.blocked_until, bucket.asked_until) == (now + 60.0, now + asked)
        now = bucket.ready_at(now)
        assert 60.0 <= now - probe[1] <= 60.0
    probe = bucket.send(now)
    assert bucket.ready_at(now + 50.0) == math.inf  # one alone, however long it takes
    bucket.settle(probe, now + 50.0, RateLimit(10, 9))
    assert (bucket.free(now + 50.0), bucket.asked_until) == (9, -math.inf)


@pytest.mark.parametrize("limit", [None, RateLimit(10, 0)])
def test_a_lost_probe_is_followed_by_another(limit: RateLimit | None) -> None:
    """Its answer will not come."""
    bucket = new_bucket(60.0)
    bucket.settle(bucket.send(5.0), 5.0, limit, denied=True, retry_after=1e308)
    probe = bucket.send(65.0)
    assert bucket.ready_at(66.0) == math.inf
    bucket.settle(probe, 70.0, None, lost=True)
    assert bucket.ready_at(70.0) <= 71.0
    bucket.send(71.0)
    assert bucket.ready_at(72.0) == math.inf


def test_answers_to_older_requests_do_not_end_the_probing() -> None:
    """They were sent before the server refused: only an answer that comes after the block counts."""
    bucket = new_bucket(5.0)
    answered(bucket, 5.0, 50, 49)
    denied, other, lost = (bucket.send(5.2) for _ in range(3))
    bucket.settle(denied, 5.3, RateLimit(50, 0), denied=True, retry_after=86_400.0)
    bucket.settle(other, 5.4, RateLimit(50, 40))
    bucket.settle(lost, 5.5, None, lost=True)
    assert bucket.ready_at(5.5) == 10.3
    bucket.send(10.3)
    assert bucket.ready_at(10.4) == math.inf


def test_a_reset_of_the_past_is_forgotten() -> None:
    """It said when the budget would be full again; since then it has been used again."""
    bucket = new_bucket()
    answered(bucket, 5.0, 2, 0, reset=2.0)
    answered(bucket, 7.1, 2, 1)
    bucket.settle(bucket.send(7.2), 7.3, None, lost=True)
    assert bucket.ready_at(7.3) > 14.0


def test_a_clock_that_goes_back_stands_still() -> None:
    """Nothing is booked or forgotten twice."""
    bucket = new_bucket()
    ticket = bucket.send(5.0)
    bucket.settle(ticket, 4.0, RateLimit(1, 0))
    assert bucket.ready_at(3.0) >= 5.0 + WINDOW


# Denials


def test_retry_after_blocks() -> None:
    """Until it is over nothing goes, whatever other answers say."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    denied, other = bucket.send(5.1), bucket.send(5.1)
    bucket.settle(denied, 5.2, RateLimit(10, 0), denied=True, retry_after=4.0)
    bucket.settle(other, 5.3, RateLimit(10, 5))
    assert (bucket.ready_at(5.3), bucket.free(5.3), bucket.blocked_until, bucket.denials) == (9.2, 0, 9.2, 1)


def test_a_denial_without_retry_after_backs_off() -> None:
    """A tenth of a window at first, twice as long with each in a row; one window, and two more, at most."""
    bucket = new_bucket()
    now, waits = 5.0, list[float]()
    for _ in range(6):
        bucket.settle(bucket.send(now), now, RateLimit(10, 0), denied=True)
        waits.append(bucket.blocked_until - now)
        now = bucket.blocked_until
    assert waits == pytest.approx([1.0, 2.0, 4.0, 8.0, 20.0, 30.0])


def test_a_denial_does_not_show_that_there_are_no_headers() -> None:
    """A 429 may come from a proxy: after it one goes first."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.1, None, denied=True, retry_after=2.0)
    assert bucket.ready_at(5.1) == 7.1
    bucket.send(7.1)
    assert bucket.ready_at(7.2) == math.inf


def test_without_any_headers_as_many_are_in_flight_as_were_served() -> None:
    """Sixteen at least: so the first burst does not end in as many 429s as requests wait."""
    bucket = new_bucket()
    for most in (16, 17, 18):
        bucket.settle(bucket.send(5.0), 5.1, None)
        tickets = list[Ticket]()
        while bucket.ready_at(5.1) == 5.1:
            tickets.append(bucket.send(5.1))
        assert len(tickets) == most
        for ticket in tickets:
            bucket.settle(ticket, 5.1, None, lost=True)


def test_a_429_without_headers_teaches_a_rate() -> None:
    """Ten were served in the window before it; confirmed by a second one, the next are paced a little below that."""
    bucket = new_bucket()
    for number in range(10):
        bucket.settle(bucket.send(5.0 + number), 5.1 + number, None)
    bucket.settle(bucket.send(15.0), 15.0, None, denied=True, retry_after=1.0)
    bucket.settle(bucket.send(16.0), 16.0, None, denied=True, retry_after=1.0)
    now, sent = 17.0, 0
    while now < 37.0:
        bucket.settle(bucket.send(now), now, None)
        sent += 1
        now = bucket.ready_at(now)
    assert 17 <= sent <= 20


def test_a_limit_hidden_from_the_headers_is_learnt_and_forgotten() -> None:
    """The second 429 that says that something is left confirms it; long without another, there is none."""
    bucket = new_bucket()
    now = 5.0
    for _ in range(2):
        for _ in range(3):
            answered(bucket, now, 1000, 900)
        bucket.settle(bucket.send(now + 0.2), now + 0.2, RateLimit(1000, 900), denied=True, retry_after=1.0)
        now += 1.3
    bucket.send(now)
    assert now < bucket.ready_at(now + 0.01) < now + 1.0
    for _ in range(3000):
        now = bucket.ready_at(now)
        answered(bucket, now, 1000, 900)
    bucket.send(now)
    assert bucket.ready_at(now) == now


def test_a_remaining_that_leaves_out_the_request_itself() -> None:
    """All that the limit allows remain after a request: one less is used."""
    bucket = new_bucket()
    for left in (5, 4, 3, 2, 1):
        assert bucket.ready_at(5.0) == 5.0
        answered(bucket, 5.0, 5, left)
    assert bucket.ready_at(5.1) > 14.0


def test_a_request_that_was_not_sent_is_free_again_in_both_windows() -> None:
    """Taken back twice, or with another bucket's ticket, it counts once."""
    bucket = new_bucket()
    second = RateLimit(10, 9, None, 1.0)
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(50, 40, None, 10.0, (second,)))
    ticket, stranger = bucket.send(5.0), new_bucket().send(5.0)
    for each in (ticket, ticket, (ticket[0], *stranger[1:])):
        bucket.cancel(each, 5.0)
    assert (bucket.in_flight, bucket.free(5.0)) == (0, 40)
    for _ in range(9):
        assert bucket.ready_at(5.0) == 5.0
        bucket.send(5.0)
    assert bucket.ready_at(5.0) > 5.0


def test_a_window_that_the_server_says_is_used() -> None:
    """At once; another one when it is said twice in a row."""
    bucket = new_bucket()
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(10, 9, None, 60.0))
    assert bucket.window == 60.0
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(10, 8, None, 1.0))
    assert bucket.window == 60.0
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(10, 8, None, 1.0))
    assert bucket.window == 1.0


def test_a_scope_with_two_windows_needs_both() -> None:
    """Ten a second, and fifty per 10 s; after eight answers without the shorter one, it is gone."""
    bucket = new_bucket()
    second = RateLimit(10, 0, None, 1.0)
    bucket.settle(bucket.send(5.0), 5.0, RateLimit(50, 40, None, 10.0, (second,)))
    assert 6.0 <= bucket.ready_at(5.0) < 8.0
    for number in range(9):
        bucket.settle(bucket.send(9.0 + number), 9.0 + number, RateLimit(50, 40, None, 10.0))
    assert bucket.free(18.0) == 40


@pytest.mark.parametrize("retry_after", [0.0, -5.0, None])
def test_a_retry_after_of_nothing_backs_off(retry_after: float | None) -> None:
    """It would be followed by a stream of requests."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    bucket.settle(bucket.send(6.0), 6.0, RateLimit(10, 0), denied=True, retry_after=retry_after)
    assert bucket.ready_at(6.0) > 6.9


def test_patience_grows_with_denials_and_shrinks_with_successes() -> None:
    """Repeated 429s delay the next look beyond `Retry-After`; served requests undo that."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    now, late = 6.0, list[float]()
    for _ in range(5):
        bucket.settle(bucket.send(now), now, RateLimit(10, 0), denied=True, retry_after=1.0)
        denied_at, now = now, bucket.ready_at(bucket.blocked_until)
        late.append(now - denied_at - 1.0)
    assert late[-1] > max(1.0, late[0])
    for _ in range(400):
        answered(bucket, now, 10, 9)
    bucket.settle(bucket.send(now + 1), now + 1, RateLimit(10, 0), denied=True, retry_after=1.0)
    assert bucket.ready_at(bucket.blocked_until) - bucket.blocked_until < 0.5


def denied(bucket: Bucket, now: float, retry_after: float) -> None:
    """Have one request refused now, by a limit of 1 with nothing left."""
    bucket.settle(bucket.send(now), now, RateLimit(1, 0), denied=True, retry_after=retry_after)


def test_two_long_retry_afters_show_a_longer_window() -> None:
    """A request answered at 5 is forgotten at 65, if the server asks for 50 more seconds at 15, and so again later."""
    bucket = new_bucket()
    answered(bucket, 5.0, 1, 0)
    denied(bucket, 15.1, 50.0)
    assert bucket.window == WINDOW
    assert bucket.ready_at(15.1) == pytest.approx(65.1, abs=0.2)
    answered(bucket, 65.4, 1, 0)
    denied(bucket, 75.6, 50.0)
    assert bucket.window == pytest.approx(60.0, abs=0.2)


@pytest.mark.parametrize("count", [1, 16])
def test_odd_retry_afters_at_once_leave_the_window(count: int) -> None:
    """All requests in flight may get the same wrong answer: they confirm nothing."""
    bucket = new_bucket()
    answered(bucket, 5.0, 20, 19)
    for ticket in [bucket.send(5.2) for _ in range(count)]:
        bucket.settle(ticket, 5.3, RateLimit(20, 0), denied=True, retry_after=50.0)
    assert bucket.window == WINDOW
    assert bucket.ready_at(5.3) == pytest.approx(55.4, abs=0.5)
    answered(bucket, 56.0, 20, 19)
    assert bucket.free(56.2) == 19


def test_a_longer_window_is_given_up_unless_it_is_shown_again() -> None:
    """Two odd answers cost two windows of the length that they showed; then the given one is tried again."""
    bucket = new_bucket()
    for start in (5.0, 65.4):
        answered(bucket, start, 1, 0)
        denied(bucket, start + 10.1, 50.0)
    learnt = bucket.window
    assert learnt == pytest.approx(60.0, abs=0.2)
    now = 65.4 + 60.2
    until = now + 2 * learnt
    while now < until:
        answered(bucket, now, 1, 0)
        now = bucket.ready_at(now + 0.1)
    answered(bucket, now, 1, 0)
    assert bucket.ready_at(now + 0.1) < now + 2.1 * WINDOW
    assert bucket.window == WINDOW


def test_a_longer_window_that_is_right_costs_fewer_and_fewer_429s() -> None:
    """Each time it is shown again, it is used for twice as long: an hour of windows of 60 s costs eight 429s."""
    window, bucket, now, refused = make_window("aligned", 5, seconds=60.0), new_bucket(), 7.0, list[float]()
    while now < 3600.0:
        ticket, is_refused = bucket.send(now), not window.free(now)
        if is_refused:
            refused.append(now)
        else:
            window.take(now)
        snapshot = RateLimit(5, window.free(now))
        wait = math.ceil(window.retry_after(now)) if is_refused else None
        bucket.settle(ticket, now + 0.05, snapshot, denied=is_refused, retry_after=wait)
        now = max(now + 0.05, bucket.ready_at(now + 0.05))
    assert len(refused) <= 8
    assert sum(at < 1800 for at in refused) > len(refused) / 2


@pytest.mark.parametrize("snapshot", [None, RateLimit(10, 3)])
def test_a_long_retry_after_for_another_reason_leaves_the_window(snapshot: RateLimit | None) -> None:
    """It is obeyed; but only an answer that reports nothing left is about this budget."""
    bucket = new_bucket()
    answered(bucket, 5.0, 10, 9)
    bucket.settle(bucket.send(6.0), 6.0, snapshot, denied=True, retry_after=600.0)
    assert (bucket.window, bucket.ready_at(6.0)) == (WINDOW, 606.0)


def saturate(bucket: Bucket, window: ServerWindow, until: float) -> tuple[int, int]:
    """Send one request after another, as soon as the bucket allows; return how many were served, and refused."""
    now, served, refused = 3.7, 0, 0
    while now < until:
        ticket, allowed = bucket.send(now), window.free(now) > 0
        if allowed:
            window.take(now)
        else:
            window.deny(now)
        wait = None if allowed else float(math.ceil(window.retry_after(now)))
        snapshot = RateLimit(window.limit, window.free(now))
        bucket.settle(ticket, now + 0.02, snapshot, denied=not allowed, retry_after=wait)
        served, refused = served + allowed, refused + (not allowed)
        now = max(now + 0.02, bucket.ready_at(now + 0.02))
    return served, refused


@pytest.mark.parametrize("kind", ["aligned", "sliding-log", "token-bucket"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_small_limit_is_used_up(kind: WindowKind, limit: int) -> None:
    """It is not taken for a weighted counter's, which would allow half of it."""
    served, refused = saturate(new_bucket(), make_window(kind, limit), 603.7)
    assert served >= 57 * limit
    assert refused == 0


@pytest.mark.parametrize("count_denied", [False, True])
@pytest.mark.parametrize("kind", ["sliding-counter", "kong-seconds"])
@pytest.mark.parametrize(("limit", "least", "trials"), [(1, 28, 1), (2, 56, 0), (3, 110, 0)])
def test_a_small_weighted_limit_costs_one_429(
    kind: WindowKind, limit: int, least: int, trials: int, *, count_denied: bool
) -> None:
    """The trial of a limit of 1, which is not made again soon; the answers show a larger one."""
    served, refused = saturate(new_bucket(), make_window(kind, limit, count_denied=count_denied), 603.7)
    assert (served >= least, refused) == (True, trials)


@pytest.mark.parametrize("limit", [5, 20, 50])
def test_a_clock_of_whole_seconds_is_never_overrun(limit: int) -> None:
    """The weighted counter of Kong: no 429, and as many requests as it allows, but for the first windows."""
    served, refused = saturate(new_bucket(), make_window("kong-seconds", limit), 603.7)
    assert refused == 0
    assert served >= 57 * (limit - max(1, limit // 10))


def test_many_429s_in_a_row_are_left_alone_for_longer() -> None:
    """Two clients that come back at each `Retry-After` would lock themselves out where refused requests count."""
    window, buckets, served = make_window("sliding-counter", 5, count_denied=True), [new_bucket(), new_bucket()], [0, 0]
    events = [(3.7, 0), (3.8, 1)]
    while (event := min(events))[0] < 603.7:
        now, which = event
        ticket, allowed = buckets[which].send(now), window.free(now) > 0
        wait = None if allowed else float(math.ceil(window.retry_after(now)))
        window.take(now)
        served[which] += allowed
        snapshot = RateLimit(5, window.free(now))
        buckets[which].settle(ticket, now + 0.02, snapshot, denied=not allowed, retry_after=wait)
        events[which] = max(now + 0.02, buckets[which].ready_at(now + 0.02)), which
    assert min(served) > 20


@pytest.mark.parametrize("lost", [False, True])
def test_answers_without_headers_cost_little(*, lost: bool) -> None:
    """Each tenth answer is lost, or says nothing: the budget is used all the same."""
    bucket, window, now, served = new_bucket(), make_window("aligned", 50), 3.7, 0
    while now < 303.7:
        ticket = bucket.send(now)
        assert window.free(now)
        window.take(now)
        served += 1
        snapshot = None if not served % 10 else RateLimit(50, window.free(now))
        bucket.settle(ticket, now + 0.02, snapshot, lost=lost and snapshot is None)
        now = max(now + 0.02, bucket.ready_at(now + 0.02))
    assert served >= 28 * 50


# Tickets


def test_a_ticket_counts_once() -> None:
    """Settled twice, or another bucket's, it is ignored."""
    bucket, other = new_bucket(), new_bucket()
    answered(bucket, 5.0, 10, 5)
    ticket = bucket.send(5.1)
    bucket.settle(ticket, 5.2, RateLimit(10, 4))
    bucket.settle(ticket, 5.3, RateLimit(10, 0), denied=True, retry_after=99.0)
    bucket.settle(other.send(5.3), 5.4, RateLimit(10, 0), denied=True, retry_after=99.0)
    assert (bucket.in_flight, bucket.free(5.4), bucket.denials) == (0, 4, 0)


def test_a_lost_request_keeps_its_booking() -> None:
    """The server may have counted it; a window later it is forgotten, as any other."""
    bucket = new_bucket()
    answered(bucket, 5.0, 2, 1)
    bucket.settle(bucket.send(5.1), 5.2, None, lost=True)
    assert bucket.in_flight == 0
    assert 15.1 <= bucket.ready_at(5.2) < 26.0


def test_a_limit_of_a_million_takes_little_room() -> None:
    """A window full of requests takes a few thousand numbers."""
    bucket = new_bucket()
    answered(bucket, 5.0, 1_000_000, 999_999)
    for number in range(100_000):
        bucket.settle(bucket.send(6.0 + number / 1e4), 6.0 + number / 1e4, RateLimit(1_000_000, 999_998 - number))
    assert len(pickle.dumps(attrs.astuple(bucket, recurse=False))) < 100_000


# Any interleaving against any server


@attrs.define
class Flight:
    """A request in flight: its ticket, and what the server said once it has arrived."""

    ticket: Ticket
    answer: RateLimit | None = None


class BucketAgainstServer(RuleBasedStateMachine):
    """One bucket, one server, nobody else; requests arrive, are answered and are lost in any order, at any time."""

    kind: WindowKind
    least: int = 1  # limit

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.bucket = new_bucket(60.0)
        self.window: ServerWindow = make_window(self.kind, 1)
        self.flights: list[Flight] = []

    @initialize(limit=st.integers(1, 8), start=st.floats(0.0, 30.0))
    def begin(self, limit: int, start: float) -> None:
        """Choose the server's limit, and the time of its clock."""
        self.window.limit = max(limit, self.least)
        self.now = start

    @rule(seconds=st.one_of(st.floats(0.0, 0.5), st.floats(0.0, 25.0)))
    def time_passes(self, seconds: float) -> None:
        """A little, or a lot."""
        self.now += seconds

    @rule(count=st.integers(1, 10))
    def send(self, count: int) -> None:
        """Send as many as may go."""
        for _ in range(count):
            if self.bucket.ready_at(self.now) <= self.now:
                self.flights.append(Flight(self.bucket.send(self.now)))

    @rule(after=st.floats(0.0, 0.3))
    def send_when_ready(self, after: float) -> None:
        """Sleep until it is due, and send, as the scheduler does."""
        if (due := self.bucket.ready_at(self.now)) < math.inf:
            self.now = max(self.now, due) + after
            self.send(1)

    def arrive(self, flight: Flight) -> None:
        """The server counts it: there must be room."""
        assert self.window.free(self.now) > 0, "a 429, though nobody else spends"
        self.window.take(self.now)
        flight.answer = RateLimit(self.window.limit, self.window.free(self.now))

    @precondition(lambda self: any(flight.answer is None for flight in self.flights))
    @rule(data=st.data())
    def one_arrives(self, data: st.DataObject) -> None:
        """At the server, in any order."""
        self.arrive(data.draw(st.sampled_from([flight for flight in self.flights if flight.answer is None])))

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def one_is_answered(self, data: st.DataObject) -> None:
        """In any order."""
        flight = data.draw(st.sampled_from(self.flights))
        if flight.answer is None:
            self.arrive(flight)
        self.flights.remove(flight)
        self.bucket.settle(flight.ticket, self.now, flight.answer)

    @precondition(lambda self: self.flights)
    @rule(legs=st.lists(st.floats(0.001, 0.1), min_size=1, max_size=4), data=st.data())
    def all_are_answered(self, legs: list[float], data: st.DataObject) -> None:
        """The usual case: they arrive in some order, and their answers in another."""
        for number, flight in enumerate(data.draw(st.permutations(self.flights))):
            self.now += legs[number % len(legs)]
            if flight.answer is None:
                self.arrive(flight)
        while self.flights:
            self.now += legs[0]
            flight = self.flights.pop()
            self.bucket.settle(flight.ticket, self.now, flight.answer)

    @precondition(lambda self: self.flights and self.bucket.limit is not None)
    @rule(data=st.data(), served=st.booleans())
    def one_is_lost(self, data: st.DataObject, *, served: bool) -> None:
        """Cancelled or failed, before or after the server counted it, once something is known."""
        flight = data.draw(st.sampled_from(self.flights))
        if served and flight.answer is None:
            self.arrive(flight)
        self.flights.remove(flight)
        self.bucket.settle(flight.ticket, self.now, None, lost=True)

    @precondition(lambda self: any(flight.answer is None for flight in self.flights))
    @rule(data=st.data())
    def one_is_never_sent(self, data: st.DataObject) -> None:
        """Cancelled after its booking."""
        flight = data.draw(st.sampled_from([flight for flight in self.flights if flight.answer is None]))
        self.flights.remove(flight)
        self.bucket.cancel(flight.ticket, self.now)

    @rule(more=st.integers(1, 5))
    def the_limit_is_raised(self, more: int) -> None:
        """At once, at the server; the bucket learns it from an answer."""
        self.window.limit += more

    @invariant()
    def it_counts_what_is_in_flight(self) -> None:
        """Neither more nor less."""
        assert self.bucket.in_flight == len(self.flights)

    @invariant()
    def ready_until_agrees_with_ready_at(self) -> None:
        """The shortcut allows nothing that the full question would not."""
        until = self.bucket.ready_until
        if self.now <= until:
            self.bucket.ready_until = -math.inf
            assert self.bucket.ready_at(self.now) == self.now
            self.bucket.ready_until = until

    @invariant()
    def it_is_never_stuck(self) -> None:
        """With nothing in flight, the next may go soon, and still may at that time."""
        if not self.flights:
            due = self.bucket.ready_at(self.now)
            assert due <= self.now + 4 * WINDOW
            assert self.bucket.ready_at(due) <= due


def machine(kind: WindowKind, least: int = 1) -> Any:
    """The test case for one kind of window; smaller limits than `least` have a test of their own."""
    namespace = {"kind": kind, "least": least}
    against: type[BucketAgainstServer] = type(f"Against {kind}", (BucketAgainstServer,), namespace)
    case = against.TestCase
    case.settings = settings(
        max_examples=40,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    return case


TestAgainstAligned = machine("aligned")
TestAgainstFirstRequest = machine("first-request")
TestAgainstSlidingLog = machine("sliding-log")
TestAgainstSlidingCounter = machine("sliding-counter", least=3)
TestAgainstKongSeconds = machine("kong-seconds", least=3)
TestAgainstTokenBucket = machine("token-bucket")


class BucketAmongStrangers(BucketAgainstServer):
    """The same with 429s: others spend, the limit changes, answers are invalid. It must never be stuck."""

    kind = "sliding-log"

    def arrive(self, flight: Flight) -> None:
        """The server counts it if there is room."""
        if self.window.free(self.now) > 0:
            self.window.take(self.now)
        flight.answer = RateLimit(self.window.limit, self.window.free(self.now))

    @rule(count=st.integers(1, 5))
    def others_spend(self, count: int) -> None:
        """All that is left, or some of it."""
        for _ in range(min(count, self.window.free(self.now))):
            self.window.take(self.now)

    @rule(limit=st.integers(0, 8))
    def the_limit_is_set(self, limit: int) -> None:
        """Up or down."""
        self.window.limit = limit

    @precondition(lambda self: self.flights)
    @rule(
        data=st.data(),
        retry_after=st.one_of(st.none(), st.floats(0.0, 30.0), st.floats(0.0, 1e308)),
        snapshot=st.one_of(
            st.none(),
            st.builds(
                RateLimit,
                limit=st.integers(0, 9),
                remaining=st.integers(-3, 12),
                reset=st.just(0.0),
                window=st.none() | st.floats(0.5, 60.0),
                also=st.just(()),
            ),
        ),
    )
    def one_is_denied(self, data: st.DataObject, retry_after: float | None, snapshot: RateLimit | None) -> None:
        """With any values that a server or a proxy may send."""
        flight = data.draw(st.sampled_from(self.flights))
        self.flights.remove(flight)
        self.bucket.settle(flight.ticket, self.now, snapshot, denied=True, retry_after=retry_after)

    @invariant()
    def it_is_never_stuck(self) -> None:
        """With nothing in flight there is a time to look again; a few `Retry-After` may delay it."""
        if not self.flights:
            due = self.bucket.ready_at(self.now)
            assert due <= self.now + 4 * 120.0  # no 429 shows a window of more than twice the longest block
            for _ in range(3):
                assert due < math.inf
                due = self.bucket.ready_at(due)
            assert self.bucket.ready_at(due) <= due


TestAmongStrangers: Any = BucketAmongStrangers.TestCase
TestAmongStrangers.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


def test_a_booking_that_was_not_sent_gives_its_credit_back() -> None:
    """As often as it happens, and once for each ticket."""
    bucket = Bucket(WINDOW)
    bucket.settle(bucket.send(0.0), 0.1, RateLimit(5, 3))
    for _ in range(20):
        tickets = [bucket.send(0.2) for _ in range(3)]
        assert bucket.free(0.2) == 0
        for ticket in tickets * 2:
            bucket.cancel(ticket, 0.3)
        assert (bucket.free(0.3), bucket.in_flight) == (3, 0)
