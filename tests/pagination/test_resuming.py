"""Walks that resume, on a list that is not what it was, or whose pages lack records; and what is asked meanwhile."""

import asyncio
import logging
from typing import Any

import attrs
import pytest

from alohub_async.errors import APIConnectionError, InternalServerError, PageDriftError
from alohub_async.pagination import FetchedPage, Pager, PageToken, WalkingSource
from alohub_async.pagination.repair import RepairingSource
from tests.pagination.server import LISTED, Server, beginning
from tests.pagination.test_prefetch import Slow
from tests.support import until


def _read(token: str) -> PageToken:
    return PageToken.decode(token, listed=LISTED)


@attrs.define(kw_only=True)
class Detailed(Server):
    """A server with details of some records.

    Attributes:
        removed: Records that are listed, but have no details any more.
    """

    removed: frozenset[Any] = frozenset()

    async def look_up(self, number: int, page: FetchedPage[Any]) -> FetchedPage[Any]:
        """Replace each record of a page by its details."""
        gone = frozenset(index for index, key in enumerate(page.keys) if key in self.removed)
        return attrs.evolve(page, items=[f"{item} on {number}" for item in page.items], gone=gone)

    def detailed(self, *, prefetch: int = 0, token: str | None = None) -> Pager[Any]:
        """Make a pager of the details."""
        start = beginning(10) if token is None else _read(token)
        return Pager(WalkingSource(self.fetch, start, enrich=self.look_up, prefetch=prefetch))


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_details_come_with_or_without_fetching_ahead(prefetch: int) -> None:
    """Each page is completed once, under its own number; a record without details is counted and left out."""
    server = Detailed(records=range(15), removed=frozenset({4}))
    pager = server.detailed(prefetch=prefetch)
    assert await pager.collect() == [f"{record} on {record // 10}" for record in range(15) if record != 4]
    assert (pager.drift.gone, pager.drift.duplicates) == (1, 0)


@pytest.mark.parametrize("returned", range(11))
async def test_page_with_a_hole_resumes_behind_the_record_returned_last(returned: int) -> None:
    """Records of the page that were returned before the token do not come again, wherever the hole is."""
    server = Detailed(records=range(15), removed=frozenset({4}))
    whole = [f"{record} on {record // 10}" for record in range(15) if record != 4]
    pager = server.detailed()
    assert [await anext(pager) for _ in range(returned)] == whole[:returned]
    again = server.detailed(token=pager.token)
    got = [await anext(again, None) for _ in range(2)]
    assert got == whole[returned:][:2]
    assert await server.detailed(token=again.token).collect() == whole[returned + 2 :]


async def test_index_of_a_token_counts_for_its_own_page_alone() -> None:
    """If the page of the token is empty now, the next one is returned from its first record on."""
    server = Server(records=range(30))
    pager = server.pager()
    assert [await anext(pager) for _ in range(15)] == [*range(15)]
    server.hidden = frozenset(range(10, 20))
    assert await server.pager(token=pager.token).collect() == [*range(20, 30)]


@pytest.mark.parametrize(("left", "ends"), [(29, True), (30, True), (31, False)])
async def test_page_that_fails_is_beyond_the_end_from_the_last_record_on(left: int, *, ends: bool) -> None:
    """Page 3 of ten records each exists only if there are more than thirty."""
    server = Server(records=range(60))
    pager = server.pager()
    assert [await anext(pager) for _ in range(30)] == [*range(30)]

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        if page >= 3:
            raise InternalServerError("no such offset", status=500)
        return await server.fetch(page, size)

    server.records = range(left)
    resumed = Pager(WalkingSource(fetch, _read(pager.token)))
    if ends:
        assert await resumed.collect() == []
        assert (resumed.total, resumed.drift.totals, resumed.complete) == (left, (60, left), False)
    else:
        with pytest.raises(InternalServerError):
            await resumed.collect()


async def test_page_that_fails_within_a_walk_is_an_error_even_if_the_list_shrank() -> None:
    """Only a walk that begins at a token may stand beyond the end without having seen it."""
    server = Server(records=range(60))
    pages: list[int] = []

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        pages.append(page)
        if page == 2:
            server.records = range(15)
            raise InternalServerError("down", status=500)
        return await server.fetch(page, size)

    pager = Pager(WalkingSource(fetch, beginning(10)))
    with pytest.raises(InternalServerError):
        await pager.collect()
    assert pages == [0, 1, 2]


async def test_finished_walk_costs_nothing_through_its_token() -> None:
    """Neither pages nor time are left."""
    pager = Server(records=range(25)).pager()
    await pager.collect()
    server = Server(records=range(25))
    estimate = await server.pager(token=pager.token).estimate()
    assert estimate is not None
    assert (estimate.requests, server.fetched) == (0, [])


async def test_estimate_leaves_out_pages_that_are_on_their_way() -> None:
    """What is in flight, or has arrived, is requested already."""
    server = Server(records=range(95))
    pager = server.pager(prefetch=4)
    await anext(pager)
    estimate = await pager.estimate()
    assert estimate is not None
    assert estimate.requests == 10 - 5  # the first page, and four in flight
    await pager.collect()
    assert len(server.fetched) == 10


async def test_empty_first_page_is_not_asked_for_again() -> None:
    """It has no size that the server could have capped it to."""
    server = Server(records=range(15), hidden=frozenset(range(10)))
    assert await server.pager().collect() == [*range(10, 15)]
    assert server.fetched == [(0, 10), (1, 10), (2, 10)]


async def test_signs_of_movement_do_not_cancel_each_other_out() -> None:
    """One record that comes again and one that is gone, on one page, are an error where none is accepted."""

    async def fetch(page: int, _size: int) -> FetchedPage[int]:
        found = [[0, 1], [1, 2]][page]
        return FetchedPage(found, found, 4, frozenset({1} if page else ()))

    pager = Pager(WalkingSource(fetch, beginning(2)), strict=True)
    assert [await anext(pager) for _ in range(2)] == [0, 1]
    with pytest.raises(PageDriftError) as caught:
        await anext(pager)
    assert caught.value.duplicates == 1


# Repair


def _repairing(server: Server, token: str | None = None) -> Pager[Any]:
    start = attrs.evolve(beginning(2), repair=True) if token is None else _read(token)
    return Pager(RepairingSource(server.fetch, start))


async def test_repaired_list_without_records_has_a_token_of_its_end() -> None:
    """Resuming there is the end, too, at no cost."""
    server = Server(records=[])
    pager = _repairing(server)
    assert await pager.collect() == []
    assert _read(pager.token).done
    asked = len(server.fetched)
    assert await _repairing(server, pager.token).collect() == []
    assert len(server.fetched) == asked


async def test_repair_resumes_where_nothing_is_left_behind_its_token() -> None:
    """All records behind the one returned last were removed: the token stays where it is."""
    server = Server(records=range(5))
    pager = _repairing(server)
    assert [await anext(pager) for _ in range(3)] == [0, 1, 2]
    server.records = range(2)
    again = _repairing(server, pager.token)
    assert await again.collect() == []
    assert _read(again.token).after == (0, 2)


async def test_repair_resumes_between_records_without_an_id() -> None:
    """They are sorted by what they look like, and a token stands behind any of them."""
    records = [("a",), ("b",), ("c",)]
    server = Server(records=records)
    for returned in range(4):
        pager = _repairing(server)
        assert [await anext(pager) for _ in range(returned)] == records[:returned]
        assert await _repairing(server, pager.token).collect() == records[returned:]


@pytest.mark.parametrize("total", [20, 21])
async def test_unordered_walk_fetches_a_last_page_of_one_record_ahead(total: int) -> None:
    """It exists for sure; the empty page behind a full one does not, and waits until it is needed."""
    server = Server(records=range(total))
    pager = server.pager(prefetch=5, ordered=False)
    await anext(pager)
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted(page for page, _ in server.fetched) == [*range(1 + (total - 1) // 10)]
    assert sorted(await pager.collect()) == [*range(1, total)]


async def test_total_of_zero_behind_the_end_says_nothing() -> None:
    """Some servers count the records of an empty page; the list did not move."""
    pager = Server(records=range(20), total=lambda page: 20 if page < 2 else 0).pager()
    assert await pager.collect() == [*range(20)]
    assert (pager.drift.totals, pager.complete, pager.total) == ((20,), True, 20)


async def test_repair_counts_records_without_details_in_all_passes() -> None:
    """They are left out of the list."""
    server = Detailed(records=range(15), removed=frozenset({4, 12}))
    start = attrs.evolve(beginning(10), repair=True)
    pager = Pager(RepairingSource(server.fetch, start, enrich=server.look_up))
    assert await pager.collect() == [f"{record} on {record // 10}" for record in range(15) if record not in {4, 12}]
    assert (pager.drift.gone, pager.drift.passes, pager.complete) == (4, 2, True)


# Out of order


async def _answer(server: Slow, page: int) -> None:
    """Answer a fetch when it is in flight, and let what follows from it happen."""
    await until(lambda: page in server.open)
    server.answer(page)
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("taken", [21, 25, 29, 30])
async def test_pages_that_came_out_of_order_do_not_come_again(taken: int) -> None:
    """The token knows them; the rest of the page it stands in comes first."""
    server = Slow(records=range(50))
    pager = server.pager(prefetch=4, ordered=False)
    got: list[int] = []

    async def take() -> None:
        async for record in pager:
            got.append(record)
            if len(got) == taken:
                return

    walk = asyncio.ensure_future(take())
    for page in (0, 3, 1):
        await _answer(server, page)
    await walk
    assert got == [*range(10), *range(30, 40), *range(10, 20)][:taken]
    plain = Server(records=range(50))
    assert await plain.pager(token=pager.token, ordered=False).collect() == [
        *([*range(10, 20)][taken - 20 :]),
        *range(20, 30),
        *range(40, 50),
    ]
    assert 3 not in {page for page, _ in plain.fetched}


async def test_page_that_came_late_leaves_out_all_that_came_before_it() -> None:
    """A token within it knows the pages behind it."""
    server = Slow(records=range(50))
    pager = server.pager(prefetch=4, ordered=False)
    taken = asyncio.ensure_future(_take(pager, 35))
    for page in (0, 2, 3, 1):
        await _answer(server, page)
    assert await taken == [*range(10), *range(20, 40), *range(10, 15)]
    plain = Server(records=range(50))
    assert await plain.pager(token=pager.token, ordered=False).collect() == [*range(15, 20), *range(40, 50)]
    assert [page for page, _ in plain.fetched] == [1, 4, 5]


async def _take(pager: Pager[Any], count: int) -> list[Any]:
    return [await anext(pager) for _ in range(count)]


@pytest.mark.parametrize("taken", [11, 15, 20])
async def test_page_that_came_early_is_finished_first(taken: int) -> None:
    """A token within page 3 goes on there, and then with the pages before it."""
    server = Slow(records=range(50))
    pager = server.pager(prefetch=4, ordered=False)
    first = asyncio.ensure_future(pager.next_page())
    await _answer(server, 0)
    assert await first is not None
    step = asyncio.ensure_future(anext(pager))
    await _answer(server, 3)
    got = [await step, *[await anext(pager) for _ in range(taken - 11)]]
    assert got == [*range(30, 20 + taken)]
    rest = [*range(20 + taken, 40), *range(10, 30), *range(40, 50)]
    assert await Server(records=range(50)).pager(token=pager.token, ordered=False).collect() == rest
    await pager.aclose()


# What a walk says


async def test_clamped_page_within_a_total_that_is_a_little_too_large_is_no_error() -> None:
    """The last page comes again, where only a part of a page can be missing: the walk ends behind it."""
    pager = Server(records=range(20), total=lambda _: 25, clamps=True).pager()
    assert await pager.collect() == [*range(20)]
    assert not pager.complete


async def test_list_of_one_record_ends_by_its_total() -> None:
    """Also if the record fills the page."""
    pager = Server(records=[7]).pager(page_size=1)
    assert await pager.collect() == [7]
    assert (pager.stopped_by, pager.complete) == ("total", True)


async def test_warnings_name_the_list_and_what_was_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """A log line is of use only with both."""
    server = Server(records=range(25))
    pager = server.pager()
    await anext(pager)
    server.records = range(1, 25)
    with caplog.at_level(logging.WARNING, "alohub_async"):
        await pager.collect()
    assert len(caplog.messages) == 1
    assert LISTED in caplog.text
    assert "totals=(25, 24)" in caplog.text


async def test_warning_of_a_repair_that_gave_up_names_the_list(caplog: pytest.LogCaptureFixture) -> None:
    """And how many passes there were."""
    server = Server(records=range(4), total=lambda page: 5 + page)
    start = attrs.evolve(beginning(2), repair=True)
    with caplog.at_level(logging.WARNING, "alohub_async"):
        await Pager(RepairingSource(server.fetch, start, max_passes=2)).collect()
    assert [
        f"listed={LISTED} " in message and "moved during each of 2 passes" in message for message in caplog.messages
    ] == [True]


@pytest.mark.parametrize("most", [None, 2, 5])
async def test_repair_gives_up_after_five_passes_unless_told(most: int | None) -> None:
    """Each pass shows that the list moved."""
    server = Server(records=range(4), total=lambda page: 5 + page)
    start = attrs.evolve(beginning(2), repair=True)
    pager = Pager(
        RepairingSource(server.fetch, start) if most is None else RepairingSource(server.fetch, start, max_passes=most)
    )
    assert await pager.collect() == [*range(4)]
    assert (pager.drift.passes, pager.complete) == (most or 5, False)


@pytest.mark.parametrize("taken", [0, 1, 10, 11, 20, 24, 25])
async def test_resumed_walk_requests_what_is_left_and_knows_that_it_is_complete(taken: int) -> None:
    """No page whose records were all returned is requested again."""
    pager = Server(records=range(25)).pager()
    assert [await anext(pager) for _ in range(taken)] == [*range(taken)]
    server = Server(records=range(25))
    again = server.pager(token=pager.token)
    assert await again.collect() == [*range(taken, 25)]
    assert [page for page, _ in server.fetched] == [*range(taken // 10, 3 if taken < 25 else 0)]
    if taken < 25:
        assert (again.complete, again.stopped_by) == (True, "total")


async def test_walk_that_brought_nothing_yet_resumes_at_a_page_beyond_the_end() -> None:
    """All pages before it were empty; the list ends before it now."""
    server = Server(records=range(20), hidden=frozenset(range(10)), fails=frozenset({1, 2}))
    pager = server.pager()
    with pytest.raises(APIConnectionError) as caught:
        await pager.collect()

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        if page:
            raise InternalServerError("no such offset", status=500)
        return await Server(records=[]).fetch(page, size)

    resumed = Pager(WalkingSource(fetch, _read(str(caught.value.resume_token))))
    assert await resumed.collect() == []
