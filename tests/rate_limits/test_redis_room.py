"""How many requests a bucket allows at once."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async.rate_limits.bucket import MANY, Bucket
from alohub_async.rate_limits.status import RateLimit


def snapshot(limit: int, left: int, also: tuple[RateLimit, ...]) -> RateLimit:
    """What an answer says."""
    return RateLimit(limit, min(limit, left), None, None, also)


SNAPSHOTS = st.builds(
    snapshot, st.integers(0, 30), st.integers(0, 30), st.sampled_from([(), (RateLimit(5, 3, None, 1.0),)])
)
STEPS = st.tuples(
    st.sampled_from(["send", "send", "settle", "deny", "lose", "look"]),
    st.sampled_from([0.0, 0.01, 0.5, 3.0, 11.0]),
    st.one_of(st.none(), SNAPSHOTS),
)


@settings(max_examples=60)
@given(steps=st.lists(STEPS, max_size=30), learns=st.booleans())
def test_what_has_room_is_ready(steps: list[tuple[str, float, RateLimit | None]], *, learns: bool) -> None:
    """Each request of the room may go, one after another."""
    bucket, now, tickets = Bucket(10.0, learns=learns), 100.0, list[tuple[int, float, int]]()
    for what, later, said in steps:
        now += later
        if what == "send":
            tickets.append(bucket.send(now))
        elif what == "look":
            bucket.ready_at(now)
        elif tickets:
            ticket, denied = tickets.pop(), what == "deny"
            bucket.settle(ticket, now, said, denied=denied, retry_after=1.0 if denied else None, lost=what == "lose")
        trial = copy.deepcopy(bucket)
        assert bool(trial.room(now)) == (trial.ready_at(now) == now)
        for _ in range(min(trial.room(now), 20)):
            assert trial.ready_at(now) == now
            trial.send(now)


def test_all_that_is_left_may_go_at_once() -> None:
    """Then there is no room; without a limit there is room for many."""
    bucket = Bucket(10.0)
    assert bucket.room(5.0) == 1
    bucket.settle(bucket.send(5.0), 5.1, RateLimit(10, 7))
    assert bucket.room(5.1) == 7
    for _ in range(7):
        bucket.send(5.1)
    assert bucket.room(5.1) == 0
    unlimited = Bucket(10.0)
    unlimited.settle(unlimited.send(5.0), 5.1, None, elsewhere=True)
    assert unlimited.room(5.1) == pytest.approx(MANY)
