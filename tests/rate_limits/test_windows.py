"""The server's windows: what each algorithm allows, and when it allows the next request."""

import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async.testing.windows import RetryAfterStyle, ServerWindow, WindowKind, make_window, retry_after_header

KINDS: tuple[WindowKind, ...] = get_args(WindowKind)


def fill(window: ServerWindow, now: float) -> int:
    """Take all that is free, and return how much it was."""
    count = window.free(now)
    for _ in range(count):
        window.take(now)
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_an_unused_window_has_its_whole_limit_free(kind: WindowKind) -> None:
    """For every kind, at any time."""
    assert make_window(kind, 7).free(1234.5) == 7


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_taken_is_not_free(kind: WindowKind) -> None:
    """Each request served takes one, until none is left."""
    window = make_window(kind, 3)
    left: list[int] = []
    for _ in range(3):
        window.take(4.0)
        left.append(window.free(4.0))
    assert left == [2, 1, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count_denied", [False, True])
def test_a_limit_of_zero_never_allows_anything(kind: WindowKind, *, count_denied: bool) -> None:
    """There is nothing to wait for, yet `retry_after` stays a number that a header can carry."""
    window = make_window(kind, 0, count_denied=count_denied)
    window.deny(1.0)
    assert [window.free(float(now)) for now in range(0, 50, 7)] == [0] * 8
    assert window.retry_after(60.0) == 10.0


def test_an_aligned_window_begins_with_the_clock() -> None:
    """What was used counts until the next multiple of its length, and not after it."""
    window = make_window("aligned", 5)
    fill(window, 19.0)
    assert (window.free(19.9), window.retry_after(19.0), window.free(20.0)) == (0, 1.0, 5)


def test_a_first_request_window_ends_one_length_after_its_first_request() -> None:
    """Later requests do not prolong it."""
    window = make_window("first-request", 2)
    window.take(3.0)
    window.take(12.0)
    assert (window.free(12.9), window.retry_after(12.0), window.free(13.0)) == (0, 1.0, 2)


def test_a_sliding_log_forgets_each_request_by_itself() -> None:
    """One is free again exactly one window after each."""
    window = make_window("sliding-log", 2)
    window.take(3.0)
    window.take(5.0)
    assert [window.free(at) for at in (12.9, 13.0, 14.9, 15.0)] == [0, 1, 1, 2]
    assert window.retry_after(15.0) == 0.0


def test_a_sliding_counter_weighs_the_previous_window_by_what_is_in_view() -> None:
    """Of ten requests in the previous window, seven still count after three tenths of this one."""
    window = make_window("sliding-counter", 10)
    fill(window, 9.0)
    assert [window.free(at) for at in (9.9, 10.0, 10.9, 11.0, 13.0, 19.9)] == [0, 0, 0, 1, 3, 9]


def test_a_sliding_counter_serves_one_less_than_its_limit_at_a_steady_rate() -> None:
    """Only whole requests fit: this is the cost of rounding."""
    window = make_window("sliding-counter", 10)
    served = [sum(fill(window, tick / 100) for tick in range(at, at + 1000)) for at in range(0, 20_000, 1000)]
    assert set(served[3:]) == {9}


def test_whole_seconds_weigh_the_previous_window_in_steps() -> None:
    """Of ten requests in the previous window, what counts falls by one when a second of the clock is over."""
    window = make_window("kong-seconds", 10)
    fill(window, 9.0)
    assert window.retry_after(10.25) == 0.75
    assert [window.free(at) for at in (10.0, 10.99, 11.0, 11.99, 12.0, 19.99, 20.0)] == [0, 0, 1, 1, 2, 9, 10]


def test_whole_seconds_serve_a_tenth_less_in_ten_seconds() -> None:
    """In the last second of a window, a tenth of the one before still counts: L / 1.1 on average."""
    window = make_window("kong-seconds", 200)
    served = [sum(fill(window, tick / 10) for tick in range(at, at + 100)) for at in range(0, 4000, 100)]
    assert sum(served[4:]) / len(served[4:]) == pytest.approx(200 / 1.1, rel=0.01)


@pytest.mark.parametrize(("kind", "seconds"), [("kong-seconds", 2.5), ("kong-seconds", 0.5)])
def test_whole_seconds_need_a_window_of_whole_seconds(kind: WindowKind, seconds: float) -> None:
    """Such a gateway cannot have another one."""
    with pytest.raises(ValueError, match=r"^window must be whole seconds"):
        make_window(kind, 1, seconds=seconds)


@settings(deadline=None, max_examples=150)
@given(
    limit=st.integers(1, 30),
    seconds=st.integers(1, 12),
    count_denied=st.booleans(),
    steps=st.lists(st.floats(0.0, 8.0), max_size=60),
)
def test_whole_seconds_count_as_the_library_does(
    limit: int, seconds: int, steps: list[float], *, count_denied: bool
) -> None:
    """Compared with its formulas over a plain list of requests: admission, `remaining` and `Retry-After`."""
    window = make_window("kong-seconds", limit, seconds=float(seconds), count_denied=count_denied)
    counted: list[int] = []
    now = 100.0
    for step in steps:
        now += step
        clock = math.floor(now)
        begun = clock // seconds * seconds
        counted.append(clock)
        current = sum(begun <= at for at in counted)
        previous = sum(begun - seconds <= at < begun for at in counted)
        rate = current + previous * (seconds - clock % seconds) / seconds
        if rate <= limit + 1e-9:
            assert window.free(now) > 0
            window.take(now)
            assert window.free(now) == math.floor(max(limit - rate, 0) + 1e-9)
            continue
        assert window.free(now) == 0
        window.deny(now)
        if not count_denied:
            counted.pop()
        asked = seconds - clock % seconds + (rate - limit) / limit * seconds
        assert retry_after_header([window], now, "kong") == math.ceil(asked - 1e-9)


def test_a_token_bucket_refills_evenly() -> None:
    """Five in ten seconds is one every two seconds, and never more than five."""
    window = make_window("token-bucket", 5)
    fill(window, 100.0)
    assert [window.free(at) for at in (101.9, 102.0, 104.0, 500.0)] == [0, 1, 2, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_denied_requests_count_only_if_asked(kind: WindowKind) -> None:
    """Where they count, a client that keeps sending waits longer."""
    waits: list[float] = []
    for count_denied in (False, True):
        window = make_window(kind, 4, count_denied=count_denied)
        for at in (11.0, 12.0, 13.0, 14.0):
            window.take(at)
        for _ in range(4):
            window.deny(15.0)
        waits.append(window.retry_after(15.0))
    longer = kind in {"sliding-log", "sliding-counter", "kong-seconds", "token-bucket"}
    assert (waits[1] > waits[0]) is longer


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_needs_room_in_all_windows_of_a_scope(kind: WindowKind) -> None:
    """It is counted in all of them, and each reports what is left in it alone."""
    short = make_window(kind, 3, seconds=1.0)
    window = make_window(kind, 5, also=[short])
    counts = [(window.free(40.0), window.left(40.0), short.left(40.0))]
    for _ in range(3):
        window.take(40.0)
        counts.append((window.free(40.0), window.left(40.0), short.left(40.0)))
    assert counts == [(3, 5, 3), (2, 4, 2), (1, 3, 1), (0, 2, 0)]
    wait = window.retry_after(40.0)
    assert 0 < wait == short.retry_after(40.0) <= 2.0
    assert fill(window, 42.0) in {2, 3}  # a token bucket has got another one by then
    assert window.retry_after(42.0) > short.retry_after(42.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count_denied", "left"), [(False, 9), (True, 8)])
def test_the_first_window_of_a_scope_decides_whether_denied_requests_count(
    kind: WindowKind, left: int, *, count_denied: bool
) -> None:
    """They then count in all of its windows, or in none."""
    short = make_window(kind, 9, seconds=1.0, count_denied=not count_denied)
    window = make_window(kind, 9, count_denied=count_denied, also=[short])
    window.deny(40.0)
    assert (window.left(40.0), short.left(40.0)) == (left, left)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", get_args(RetryAfterStyle))
def test_a_retry_after_is_in_whole_seconds(kind: WindowKind, style: RetryAfterStyle) -> None:
    """The right one is at least 1 and long enough; the others are wrong or missing as asked."""
    window = make_window(kind, 10)
    fill(window, 8.5)
    wait = retry_after_header([window], 9.5, style)
    if style in {"zero", "absent"}:
        assert wait == (0 if style == "zero" else None)
        return
    assert wait is not None
    assert wait >= 1
    assert window.free(9.5 + wait)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_limit_counts_at_once(kind: WindowKind) -> None:
    """Raised, more is free (a token bucket must fill first); lowered below what was used, nothing is."""
    window = make_window(kind, 10)
    for _ in range(6):
        window.take(2.0)
    window.limit = 20
    raised = window.free(2.0)
    window.limit = 5
    assert (raised, window.free(2.0)) == ((4, 4) if kind == "token-bucket" else (14, 0))


@pytest.mark.parametrize(("limit", "seconds"), [(-1, 10.0), (1, 0.0), (1, -1.0), (1, math.nan)])
def test_a_window_must_have_a_length_and_a_limit(limit: int, seconds: float) -> None:
    """Nonsense is refused when the window is made."""
    with pytest.raises(ValueError, match="must be"):
        make_window("aligned", limit, seconds=seconds)


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(KINDS),
    limit=st.integers(1, 6),
    burst=st.none() | st.integers(1, 4),
    count_denied=st.booleans(),
    steps=st.lists(st.floats(0.0, 12.0), max_size=40),
)
def test_retry_after_is_when_the_next_is_allowed(
    kind: WindowKind, limit: int, burst: int | None, steps: list[float], *, count_denied: bool
) -> None:
    """Neither sooner nor later, whatever came before, in one window or two."""
    also = [] if burst is None else [make_window(kind, burst, seconds=1.0, count_denied=count_denied)]
    window = make_window(kind, limit, count_denied=count_denied, also=also)
    now = 3.0
    for step in steps:
        now += step
        if window.free(now):
            window.take(now)
        else:
            window.deny(now)
        wait = window.retry_after(now)
        assert (wait == 0.0) == (window.free(now) > 0)
    wait = window.retry_after(now)
    if wait > 2e-6:
        assert window.free(now + wait - 1e-6) == 0
    assert window.free(now + wait + 1e-6) > 0
