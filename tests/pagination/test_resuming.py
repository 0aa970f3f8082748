"""Walks that resume, on a list that is not what it was, or whose pages lack records; and what is asked meanwhile."""

from typing import Any

import attrs
import pytest

from alohub_async.errors import InternalServerError, PageDriftError
from alohub_async.pagination import FetchedPage, Pager, PageToken, WalkingSource
from alohub_async.pagination.repair import RepairingSource
from tests.pagination.server import LISTED, Server, beginning


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
        if page == 3:
            raise InternalServerError("no such offset", status=500)
        return await server.fetch(page, size)

    server.records = range(left)
    resumed = Pager(WalkingSource(fetch, _read(pager.token)))
    if ends:
        assert await resumed.collect() == []
    else:
        with pytest.raises(InternalServerError):
            await resumed.collect()


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
    assert estimate.requests == 10 - 4
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
