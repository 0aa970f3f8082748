"""Lists that move while they are walked: which records are returned, which signs are noticed, what is repaired."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from alohub_async.errors import AlohubError, APIConnectionError, PageDriftError
from alohub_async.pagination import Drift, FetchedPage, Pager, PageToken, WalkingSource
from alohub_async.pagination.repair import RepairingSource
from tests.pagination.server import LISTED, Server, beginning

Move = Callable[[list[int]], None]


@attrs.define(kw_only=True)
class Moving(Server):
    """A server whose list moves.

    Attributes:
        moves: Changes of the list before a fetch is answered, by the number of the fetch.
    """

    moves: dict[int, Move] = attrs.field(factory=dict[int, Move])

    async def fetch(self, page: int, size: int) -> FetchedPage[Any]:
        """Move, then answer."""
        move = self.moves.get(len(self.fetched))
        if move is not None:
            records = [*self.records]
            move(records)
            self.records = records
        return await Server.fetch(self, page, size)

    def repairing(self, *, page_size: int = 10, prefetch: int = 0, max_passes: int = 5) -> Pager[Any]:
        """Make a pager that repairs."""
        start = attrs.evolve(beginning(page_size), repair=True)
        return Pager(RepairingSource(self.fetch, start, prefetch=prefetch, max_passes=max_passes))


def _remove(record: int) -> Move:
    return lambda records: records.remove(record)


def _insert(index: int, record: int) -> Move:
    return lambda records: records.insert(index, record)


# Detect


async def test_quiet_list_shows_no_drift() -> None:
    """One total, no duplicates: nothing moved, and the walk is complete."""
    pager = Server(records=range(25)).pager(prefetch=3)
    await pager.collect()
    assert pager.drift == Drift(totals=(25,), passes=1)
    assert not pager.drift.moved
    assert pager.complete


async def test_record_that_comes_again_is_left_out_and_counted() -> None:
    """A record that is added in front pushes another one onto the next page."""
    server = Moving(records=range(25), moves={1: _insert(0, 99)})
    pager = server.pager()
    assert await pager.collect() == [*range(25)]
    assert pager.drift == Drift(duplicates=1, totals=(25, 26), passes=1)
    assert not pager.complete


async def test_record_is_known_however_many_pages_lie_between() -> None:
    """A record that moves to the end of the list is not returned again."""

    def to_the_end(records: list[int]) -> None:
        records.append(records.pop(0))

    server = Moving(records=range(25), moves={2: to_the_end})
    pager = server.pager()
    got = await pager.collect()
    assert len(got) == len({*got})
    assert pager.drift.duplicates == 1


async def test_removal_is_noticed_by_the_total(caplog: pytest.LogCaptureFixture) -> None:
    """A record that slid onto a page that was fetched already is missing; the drift and the log warn of that."""
    server = Moving(records=range(25), moves={1: _remove(0)})
    pager = server.pager()
    with caplog.at_level(logging.WARNING, "alohub_async"):
        assert await pager.collect() == [*range(10), *range(11, 25)]
    assert pager.drift.totals == (25, 24)
    assert not pager.complete
    assert ["moved while it was walked" in message for message in caplog.messages] == [True]


async def test_drift_is_noticed_across_a_token() -> None:
    """The token has the earlier total."""
    server = Moving(records=range(25))
    pager = server.pager()
    assert [await anext(pager) for _ in range(10)] == [*range(10)]
    server.records = range(1, 25)
    again = server.pager(token=pager.token)
    await again.collect()
    assert again.drift.totals == (25, 24)


async def test_page_that_comes_again_is_counted_too() -> None:
    """A page of records added in front, and as many removed at the end: the total stays, but each one is noticed."""

    def push(records: list[int]) -> None:
        records[:] = [*range(100, 110), *records[:-10]]

    pager = Moving(records=range(30), moves={1: push}).pager()
    assert await pager.collect() == [*range(20)]
    assert (pager.drift.duplicates, pager.drift.totals, pager.complete) == (10, (30,), False)
    strict = Pager(WalkingSource(Moving(records=range(30), moves={1: push}).fetch, beginning(10)), strict=True)
    with pytest.raises(PageDriftError):
        await strict.collect()


# Raise


async def test_drift_raises_with_the_token_and_the_walk_can_continue() -> None:
    """The records before come first, the error has the signs, and both ways of continuing bring the rest."""
    for resumed in (False, True):
        server = Moving(records=range(25), moves={1: _insert(0, 99)})
        pager = Pager(WalkingSource(server.fetch, beginning(10)), strict=True)
        assert [await anext(pager) for _ in range(10)] == [*range(10)]
        with pytest.raises(PageDriftError, match="moved while it was walked") as caught:
            await anext(pager)
        assert (caught.value.duplicates, caught.value.totals) == (1, (25, 26))
        token = caught.value.resume_token
        assert token == pager.token
        if resumed:
            pager = Pager(WalkingSource(server.fetch, PageToken.decode(token, listed=LISTED)), strict=True)
        assert await pager.collect() == [*([9] if resumed else []), *range(10, 25)]


async def test_drift_on_the_last_empty_page_raises_too() -> None:
    """A total that changes on a page without records is a sign, too."""
    server = Moving(records=range(20), hidden=frozenset({15}), moves={2: _remove(0)})
    pager = Pager(WalkingSource(server.fetch, beginning(10)), strict=True)
    with pytest.raises(PageDriftError):
        await pager.collect()
    assert await pager.collect() == []


# Repair


async def test_quiet_list_is_walked_twice() -> None:
    """The second pass proves the list whole; records come by id."""
    server = Moving(records=[*reversed(range(25))])
    pager = server.repairing(prefetch=4)
    assert await pager.collect() == [*range(25)]
    assert pager.drift == Drift(totals=(25,), passes=2, settled=True)
    assert pager.complete
    assert len(server.fetched) == 6


async def test_shifted_region_is_fetched_again() -> None:
    """The skipped record is found at the edge where the total changed, so two passes are enough."""
    server = Moving(records=range(35), moves={2: _remove(0)})
    pager = server.repairing()
    assert await pager.collect() == [*range(1, 35)]
    assert pager.drift == Drift(totals=(35, 34), refetched=2, passes=2, settled=True)


async def test_what_nothing_shows_is_repaired_too() -> None:
    """One removed and one added between two fetches do not change the total; the second pass finds the hole."""

    def swap(records: list[int]) -> None:
        records.remove(0)
        records.append(99)

    server = Moving(records=range(25), moves={1: swap})
    pager = server.repairing()
    assert await pager.collect() == [*range(1, 25), 99]
    assert pager.drift.settled
    assert pager.drift.passes == 3


async def test_list_that_never_holds_still_is_returned_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """After the last pass, the records seen are returned, and a warning says that some may be missing."""
    moves = {number: _insert(0, 1000 + number) for number in range(100)}
    pager = Moving(records=range(25), moves=moves).repairing(max_passes=3)
    with caplog.at_level(logging.WARNING, "alohub_async"):
        got = await pager.collect()
    assert {*range(25)} <= {*got}
    assert len(got) == len({*got})
    assert (pager.drift.passes, pager.drift.settled, pager.complete) == (3, False, False)
    assert "moved during each of 3 passes" in caplog.text


async def test_repair_returns_what_was_seen_last() -> None:
    """A record that changed between two passes is returned as the second one saw it."""
    walks = 0

    async def fetch(page: int, size: int) -> FetchedPage[str]:
        nonlocal walks
        walks += page == 0
        ids = [*range(5)][page * size : (page + 1) * size]
        return FetchedPage([f"{number} of walk {walks}" for number in ids], ids, 5)

    pager = Pager(RepairingSource(fetch, attrs.evolve(beginning(2), repair=True)))
    assert await pager.collect() == [f"{number} of walk 2" for number in range(5)]


async def test_repair_goes_on_after_errors_and_through_tokens() -> None:
    """An error has the token; a token has the last id, and the rest follows."""
    server = Moving(records=[*reversed(range(25))], fails=frozenset({1, 2, 5}))
    pager = server.repairing(page_size=4)
    got: list[int] = []
    for _ in range(60):
        try:
            record = await anext(pager, None)
        except AlohubError as error:
            start = PageToken.decode(error.resume_token, listed=LISTED)
            pager = Pager(RepairingSource(server.fetch, start)) if len(got) == 0 else pager
            continue
        if record is None:
            break
        got.append(record)
        if len(got) == 11:
            start = PageToken.decode(pager.token, listed=LISTED)
            pager = Pager(RepairingSource(server.fetch, start))
    assert got == [*range(25)]
    assert PageToken.decode(pager.token, listed=LISTED).done
    again = Pager(RepairingSource(server.fetch, PageToken.decode(pager.token, listed=LISTED)))
    assert await again.collect() == []


async def test_repair_settles_where_records_are_not_shown() -> None:
    """Two equal quiet passes are accepted if the total counts records that are not shown."""
    pager = Moving(records=range(25), hidden=frozenset({3, 17})).repairing()
    assert await pager.collect() == [record for record in range(25) if record not in {3, 17}]
    assert (pager.drift.passes, pager.drift.settled) == (2, True)


async def test_count_and_estimate_of_a_repair() -> None:
    """The total costs one page, which is kept; two passes are the least there can be."""
    server = Moving(records=range(25), fails=frozenset({0}))
    pager = server.repairing()
    with pytest.raises(APIConnectionError) as caught:
        await pager.count()
    assert caught.value.resume_token == pager.token
    assert await pager.count() == 25
    estimate = await pager.estimate()
    assert estimate is not None
    assert estimate.requests == 5
    assert await pager.collect() == [*range(25)]
    assert len(server.fetched) == 7
    assert (await pager.estimate() or estimate).requests == 0


@pytest.mark.parametrize("move", range(3, 8))
async def test_repair_misses_nothing_if_the_server_counts_the_page(move: int) -> None:
    """Removals leave a pass with as many records as the first page, which the total seems to confirm."""
    server = Moving(records=range(4), total=lambda page: 0 if page else 2, moves={1: _remove(0), move: _remove(1)})
    assert {2, 3} <= {*await server.repairing(page_size=2).collect()}


@pytest.mark.parametrize("move", range(2, 7))
async def test_repair_misses_nothing_if_a_repeated_page_refutes_the_total(move: int) -> None:
    """A page behind the total is a sign that the total is wrong, also if it looks like the one before."""
    moves = {1: _insert(0, 8), 2: _remove(8), move + 1: _insert(0, 9)}
    server = Moving(records=[0, 1], total=lambda _: 1, moves=moves)
    assert {0, 1} <= {*await server.repairing(page_size=1).collect()}


@pytest.mark.parametrize("move", range(3, 8))
async def test_repair_misses_nothing_if_a_page_of_duplicates_refutes_the_total(move: int) -> None:
    """The pass brings no more records than the total says, and the next one just as many."""
    server = Moving(records=range(3), total=lambda page: 1 if page else 3, moves={1: _insert(0, 9), move: _remove(9)})
    assert {0, 1, 2} <= {*await server.repairing(page_size=3).collect()}


async def test_repair_sorts_ids_of_any_kind_and_can_be_closed() -> None:
    """Numbers, strings, records without an id; a token resumes between any of them."""
    server = Moving(records=["b", 7, ("x",), "a", 3])
    pager = server.repairing(page_size=2, prefetch=2)
    await pager.count()
    await pager.aclose()
    assert await pager.collect() == [3, 7, "a", "b", ("x",)]
    pager = server.repairing(page_size=2)
    for returned in range(5):
        start = PageToken.decode(pager.token, listed=LISTED)
        assert await Pager(RepairingSource(server.fetch, start)).collect() == [3, 7, "a", "b", ("x",)][returned:]
        await anext(pager)
    assert pager.stopped_by == "total"


# Any change at any time


@attrs.define(eq=False)
class _Asked:
    page: int
    size: int
    answer: "asyncio.Future[bool]"


class MovingList(RuleBasedStateMachine):
    """A list is walked while records are added and removed, between any answers and failures."""

    @initialize(
        count=st.integers(0, 14),
        page_size=st.integers(1, 5),
        cap=st.none() | st.integers(1, 5),
        prefetch=st.integers(0, 4),
        kind=st.sampled_from(["ordered", "unordered", "repair"]),
        lie=st.sampled_from(["none", "none", "capped", "own count", "high", "low for a while", "not at all"]),
        habits=st.tuples(st.booleans(), st.booleans()),
    )
    def begin(
        self,
        count: int,
        page_size: int,
        cap: int | None,
        prefetch: int,
        *,
        kind: str,
        lie: str,
        habits: tuple[bool, bool],
    ) -> None:
        """Start the walk."""
        self.lie = lie
        self.absent, self.names = habits
        self.answered = 0
        self.loop = asyncio.new_event_loop()
        self.records = [*range(count)]
        self.stable = {*self.records}
        self.ever = {*self.records}
        self.lists = [{*self.records}]  # as it was at each time
        # A single page that is shorter than requested, and has its own count as total, is believed, but not as a proof.
        self.cap = None if lie in {"own count", "low for a while"} and kind != "repair" else cap
        self.moves = self.failures = 0
        self.asked: list[_Asked] = []
        self.got: list[int] = []
        self.pager: Pager[int]
        self.repairs = kind == "repair"
        if self.repairs:
            start = attrs.evolve(beginning(page_size), repair=True)
            self.pager = Pager(RepairingSource(self.fetch, start, prefetch=prefetch, max_passes=40))
        else:
            source = WalkingSource(self.fetch, beginning(page_size), prefetch=prefetch, ordered=kind == "ordered")
            self.pager = Pager(source)
        self.task = self.loop.create_task(self.walk())
        self.settle()

    async def fetch(self, page: int, size: int) -> FetchedPage[int]:
        """Wait until a rule decides the outcome; the list is read at that moment."""
        asked = _Asked(page, size, asyncio.get_running_loop().create_future())
        self.asked.append(asked)
        try:
            served = await asked.answer
        finally:
            self.asked.remove(asked)
        if not served:
            raise APIConnectionError("lost", maybe_sent=True)
        most = min(size, self.cap or size)
        found = self.records[page * most :][:most]
        if self.absent and page and not found:
            return FetchedPage([], [], None, absent=True)
        self.answered += 1
        keys = [f"{record:03}" for record in found] if self.names else found
        return FetchedPage(found, keys, self.total(len(found)))

    def total(self, shown: int) -> int | None:
        """The total that the server reports beside this number of records."""
        count = len(self.records)
        totals: dict[str, int | None] = {
            "none": count,
            "capped": min(count, 6),
            "own count": shown,
            "high": count + 3,
            "low for a while": max(0, count - 2) if self.answered < 4 else count,
            "not at all": None,
        }
        return totals[self.lie]

    async def walk(self) -> None:
        """Walk to the end, and continue after each error."""
        while True:
            try:
                async for record in self.pager:
                    self.got.append(record)
            except AlohubError:  # lost; or a repeated page looks as if the server ignored its number
                continue
            return

    def settle(self) -> None:
        """Run all tasks until they wait for an answer."""
        for _ in range(12):
            self.loop.run_until_complete(asyncio.sleep(0))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """Answer one of the fetches."""
        self._finish(data.draw(st.sampled_from(self.asked)), served=True)

    @precondition(lambda self: self.asked and self.failures < 4)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """Let one of the fetches fail."""
        self.failures += 1
        self._finish(data.draw(st.sampled_from(self.asked)), served=False)

    @rule()
    def wait(self) -> None:
        """Let time pass."""
        self.settle()

    def _finish(self, asked: _Asked, *, served: bool) -> None:
        if not asked.answer.done():
            asked.answer.set_result(served)
        self.settle()

    @precondition(lambda self: self.moves < 8)
    @rule(data=st.data())
    def insert(self, data: st.DataObject) -> None:
        """Add a record at any position; its id was never used before."""
        self.moves += 1
        record = 100 + self.moves
        self.records.insert(data.draw(st.integers(0, len(self.records))), record)
        self.ever.add(record)
        self.lists.append({*self.records})

    @precondition(lambda self: self.moves < 8 and self.records)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Remove a record."""
        self.moves += 1
        record = data.draw(st.sampled_from(self.records))
        self.records.remove(record)
        self.stable.discard(record)
        self.lists.append({*self.records})

    def teardown(self) -> None:
        """Answer the remaining fetches, and check the records."""
        if not hasattr(self, "loop"):
            return
        try:
            for _ in range(2000):
                if self.task.done():
                    break
                self._finish(self.asked[0], served=True)
            self.task.result()
            self.settle()
            assert not self.asked
            self.check()
        finally:
            self.loop.close()

    def check(self) -> None:
        """Check what each way of walking guarantees."""
        assert len(self.got) == len({*self.got})
        assert {*self.got} <= self.ever
        if self.moves == 0:
            assert sorted(self.got) == [*self.records]
            if self.lie == "none":
                assert self.pager.complete
                assert not self.pager.drift.moved
        if self.repairs:
            assert self.pager.drift.settled
            assert self.stable <= {*self.got}
            assert self.lie != "none" or {*self.got} in self.lists


MovingList.TestCase.settings = settings(max_examples=6 * settings().max_examples, stateful_step_count=40, deadline=None)
TestMovingList = MovingList.TestCase
