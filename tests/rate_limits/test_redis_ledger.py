"""The log as each process replays it: what is divided, what expires, and what is not understood."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async.rate_limits.ledger import ANSWERED, CANCELLED, LOST, VERSION, Replica

ROUTE = "r"


class Log:
    """Entries as the script writes them."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, str]]] = []
        self.now, self.booked = 100_000, 0

    def write(self, process: str, *, later: int = 0, book: int = 0, **said: Any) -> None:
        """Write an entry so many milliseconds later."""
        self.now += later
        grant = f"{ROUTE}:{book}:{self.booked}:{self.booked}" if book else ""
        self.booked += book
        message = json.dumps({"v": VERSION, "w": 1.0, **said}) if said else ""
        self.entries.append((f"{self.now}-{len(self.entries)}", {"p": process, "x": "0", "g": grant, "m": message}))


def new_replica(log: Log | None = None, *, bulk_leaves: float = 0.2) -> Replica:
    """A replica that has read the log."""
    replica = Replica(window=10.0, max_block=60.0, lease=5.0, bulk_leaves=bulk_leaves)
    for entry, fields in log.entries if log else ():
        replica.replay(entry, fields)
    return replica


def answer(number: int, limit: int, left: int, *, blame: int = 0, how: int = ANSWERED) -> list[Any]:
    """How a booking ended, as it is written."""
    snapshot: list[Any] | None = None if how != ANSWERED else [limit, left, None, None, []]
    return [number, 0.0, how, blame, snapshot, None, 1.0 if blame else None]


def known(limit: int, left: int) -> Log:
    """A log in which one request was answered."""
    log = Log()
    log.write("a", book=1)
    log.write("a", later=10, s=[answer(0, limit, left)])
    return log


STEPS = st.tuples(
    st.sampled_from("abc"), st.integers(0, 3000), st.sampled_from(["book", "answer", "lose", "cancel", "wait"])
)


@settings(max_examples=30)
@given(steps=st.lists(STEPS, max_size=25), split=st.integers(0, 25))
def test_all_processes_know_the_same(steps: list[tuple[str, int, str]], split: int) -> None:
    """Two replicas of the same log agree, and one can go if there is room."""
    log, numbers = Log(), dict[str, list[int]]()
    for name, later, what in steps:
        mine = numbers.setdefault(name, [])
        if what == "book":
            mine.append(log.booked)
            log.write(name, later=later, book=1)
        elif what == "wait":
            log.write(name, later=later, q={ROUTE: [0, 2, 1]})
        elif mine:
            how = {"answer": ANSWERED, "lose": LOST, "cancel": CANCELLED}[what]
            log.write(name, later=later, s=[answer(mine.pop(), 10, 5, how=how)])
    first, second = new_replica(log), Replica(window=10.0, max_block=60.0, lease=5.0, bulk_leaves=0.2)
    for entry, fields in log.entries:
        second.replay(entry, fields)
        if len(log.entries) > split:
            second.expire(second.time)
    now = log.now / 1000
    assert first.tenant.bucket.room(now) == second.tenant.bucket.room(now)
    room = first.tenant.bucket.room(now)
    wanted = [
        sum(n for _, n, _ in replica.allot(name, {}, now)[1]) for name in "abc" for replica in (new_replica(log),)
    ]
    waiting = sum(sum(sum(n) for n in each.waiting.values()) for each in first.processes.values())
    assert min(room, waiting, 1) <= sum(wanted) <= room


def test_what_is_free_goes_to_those_who_had_least() -> None:
    """The process that had nothing gets as much as the other one had, before that gets more."""
    log = known(20, 10)
    for name in "ab":
        log.write(name, q={ROUTE: [0, 20, 0]})
    log.write("a", book=4)
    parts = {name: new_replica(log).allot(name, {}, log.now / 1000)[1][0][1] for name in "ab"}
    assert parts == {"a": 1, "b": 5}  # a had one before


def test_interactive_requests_of_others_go_first() -> None:
    """Three are left; the one who waits with a person gets its two."""
    log = known(20, 3)
    log.write("a", q={ROUTE: [0, 20, 0]})
    log.write("b", q={ROUTE: [2, 0, 0]})
    log.write("b", book=0, w=1.0)
    parts = {name: new_replica(log).allot(name, {}, log.now / 1000)[1][0][1] for name in "ab"}
    assert parts == {"a": 1, "b": 2}


@pytest.mark.parametrize(("left", "bulk"), [(19, 14), (3, 0)])
def test_bulk_requests_leave_a_share_to_those_of_others(left: int, bulk: int) -> None:
    """A fourth of the limit, as the setting says, while others wait for that much."""
    log = known(20, left)
    log.write("a", q={ROUTE: [0, 0, 40]})
    log.write("b", q={ROUTE: [0, 40, 0]})
    replica = new_replica(log, bulk_leaves=0.25)
    assert sum(n for _, n, _ in replica.allot("a", {}, log.now / 1000)[1]) == bulk


def test_a_process_is_dead_after_a_lease_of_its_own() -> None:
    """It may have another one than who reads the log: as long as it lives, so do its requests."""
    log = known(10, 9)
    log.write("b", book=1, l=20.0)
    log.write("c", book=1, l=1.0)
    log.write("a", later=6000, w=1.0)
    replica = new_replica(log)
    assert {*replica.processes} == {"a", "b"}
    assert replica.tenant.bucket.in_flight == 1


@pytest.mark.parametrize("weight", [float("nan"), -1.0, 0.0])
def test_a_weight_that_is_none_is_the_least_one(weight: float) -> None:
    """Whatever another program writes, the division goes on."""
    log = known(10, 9)
    log.write("b", w=weight, q={ROUTE: [0, 1, 0]})
    replica = new_replica(log)
    assert 0.0 < replica.share("b") < 0.001
    assert replica.allot("b", {}, log.now / 1000)[1]


def test_nothing_is_left_for_long_to_a_process_that_does_not_come() -> None:
    """After a twentieth of a window, the others get what it does not take; when it writes again, it is back."""
    log = known(20, 1)
    for name in "ab":
        log.write(name, q={ROUTE: [0, 5, 0]})
    replica, now = new_replica(log), log.now / 1000
    assert replica.allot("a", {}, now)[1] == []
    assert replica.allot("a", {}, now + 0.49)[1] == []
    assert replica.comes_until() == pytest.approx(now + 0.5)
    assert replica.allot("a", {}, now + 0.51)[1][0][1] == 1
    log.write("b", w=1.0)
    replica.replay(*log.entries[-1])
    assert replica.allot("a", {}, now + 0.52)[1] == []


def test_leases_in_advance_come_from_what_nobody_waits_for() -> None:
    """The half of that which is one's part, at most."""
    log = known(40, 30)
    log.write("b", q={ROUTE: [0, 10, 0]})
    assert new_replica(log).allot("a", {ROUTE: 100}, log.now / 1000)[1] == [(ROUTE, 10, 31)]
    assert new_replica(log).allot("a", {ROUTE: 3}, log.now / 1000)[1] == [(ROUTE, 3, 31)]


def test_the_requests_of_a_dead_process_are_lost_after_its_lease() -> None:
    """They are not in flight any more, and what it waited for is not left to it."""
    log = known(10, 9)
    log.write("b", book=3, q={ROUTE: [0, 20, 0]})
    replica = new_replica(log)
    log.write("a", later=4000, w=1.0)
    replica.replay(*log.entries[-1])
    assert replica.tenant.bucket.in_flight == 3
    log.write("a", later=1500, w=1.0)
    replica.replay(*log.entries[-1])
    assert replica.tenant.bucket.in_flight == 0
    assert [*replica.processes] == ["a"]


@pytest.mark.parametrize(
    "message",
    [
        '{"v": 2, "s": "?"}',
        "no JSON",
        "[]",
        '{"v": 1, "w": 1, "s": [[1]]}',
        '{"v": 1, "w": 1, "q": {"r": 3}}',
        '{"w": 2}',
        "7",
    ],
)
def test_what_is_not_understood_is_skipped(message: str, caplog: pytest.LogCaptureFixture) -> None:
    """With one warning; the bookings of the entry count all the same."""
    log = known(10, 9)
    for _ in range(2):
        log.write("new", book=1)
        log.entries[-1][1]["m"] = message
    with caplog.at_level(logging.WARNING):
        replica = new_replica(log)
    assert replica.tenant.bucket.in_flight == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_entries_that_were_lost_before_they_were_read_are_noticed() -> None:
    """A process was idle, and the log was trimmed meanwhile."""
    log = known(10, 9)
    replica = new_replica(log)
    log.booked += 5
    log.write("a", later=60_000, book=1)
    replica.replay(*log.entries[-1])
    assert replica.incomplete


def test_bookings_whose_entries_were_lost_are_noticed() -> None:
    """The store counts more than the log tells, although what is left of the log has none."""
    log = known(10, 9)
    replica = new_replica(log)
    log.write("b", later=60_000, w=1.0)
    replica.replay(*log.entries[-1])
    replica.count([], [1])
    assert not replica.incomplete
    replica.count([], [6])
    assert replica.incomplete


def test_a_process_without_others_has_the_whole_budget() -> None:
    """Otherwise its share is by weight."""
    replica = new_replica()
    assert replica.share("a") == 1.0
    replica.process("b").weight = 3.0
    replica.process("a")
    assert replica.share("a") == 0.25


def test_the_budgets_of_a_thousand_routes_are_kept() -> None:
    """Of those that are idle, the oldest are forgotten."""
    log = known(10, 9)
    log.write("a", book=1)
    replica = new_replica(log)
    for number in range(1100):
        replica.route(str(number))
    assert len(replica.routes) == 1000
    assert ROUTE in replica.routes
