"""Which requests a walk sends, and what it says that they will be."""

import asyncio
from typing import Any

import attrs
import pytest

from alohub_async.errors import APIResponseError
from alohub_async.pagination import Estimate, FetchedPage, Pager, PageToken, WalkingSource
from alohub_async.pagination.repair import RepairingSource
from tests.pagination.server import LISTED, Server, beginning


async def test_walk_fetches_nothing_ahead_unless_told() -> None:
    """The second page waits until the first one is used up."""
    server = Server(records=range(25))
    pager = Pager(WalkingSource(server.fetch, beginning(10)))
    await anext(pager)
    await asyncio.sleep(0)
    assert server.fetched == [(0, 10)]


async def test_page_that_repeats_the_last_one_at_the_end_costs_one_request() -> None:
    """By the total there need not be another page, so no request finds out why it came again."""
    server = Server(records=range(20), clamps=True)
    assert await server.pager().collect() == [*range(20)]
    assert server.fetched == [(0, 10), (1, 10), (2, 10)]


async def test_forecast_is_asked_for_the_pages_and_records_that_are_left() -> None:
    """Both shrink during the walk, and are nothing at its end."""
    asked: list[tuple[int, int]] = []

    def forecast(pages: int, records: int) -> Estimate:
        asked.append((pages, records))
        return Estimate(pages, float(records))

    pager = Pager(WalkingSource(Server(records=range(95)).fetch, beginning(10)), forecast=forecast)
    assert await pager.estimate() == Estimate(9, 85.0)
    for _ in range(11):
        await anext(pager)
    assert await pager.estimate() == Estimate(8, 75.0)
    await pager.collect()
    assert await pager.estimate() == Estimate(0, 0.0)
    assert asked == [(9, 85), (8, 75), (0, 0)]


async def test_forecast_of_a_repair_counts_two_passes() -> None:
    """The rest of the first pass and the whole second one; then what is left of the second."""
    server = Server(records=range(25))
    start = attrs.evolve(beginning(10), repair=True)
    pager = Pager(RepairingSource(server.fetch, start), forecast=Estimate)
    assert await pager.estimate() == Estimate(2 + 3, 15 + 25)
    assert await anext(pager) == 0
    assert await pager.estimate() == Estimate(0, 0)


# Repair


def _repairing(server: Server, *, page_size: int = 10, prefetch: int = 0) -> Pager[Any]:
    start = attrs.evolve(beginning(page_size), repair=True)
    return Pager(RepairingSource(server.fetch, start, prefetch=prefetch))


@pytest.mark.parametrize("prefetch", [0, 4])
async def test_repair_fetches_ahead_if_told(prefetch: int) -> None:
    """As many pages as allowed are in flight at the same time."""
    server = Server(records=range(95), pauses=[3])
    running = most = 0

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await server.fetch(page, size)
        finally:
            running -= 1

    start = attrs.evolve(beginning(10), repair=True)
    pager = Pager(RepairingSource(fetch, start, prefetch=prefetch))
    assert await pager.collect() == [*range(95)]
    assert most == max(1, prefetch)


async def test_repair_looks_behind_a_single_short_page() -> None:
    """A server may cap its pages, and report the length of the page as the total: no proof that this is all."""
    server = Server(records=range(25), cap=7, total=lambda page: len(range(25)[page * 7 :][:7]))
    pager = _repairing(server)
    assert await pager.collect() == [*range(25)]
    assert pager.complete


async def test_repair_sorts_texts_as_texts() -> None:
    """Whatever quotes they have."""
    ids = ["b", "it's", 'a "b"', "a", "z"]
    assert await _repairing(Server(records=ids)).collect() == sorted(ids)


async def test_repair_fetches_nothing_ahead_unless_told() -> None:
    """Its first page alone tells the total."""
    server = Server(records=range(25))
    pager = Pager(RepairingSource(server.fetch, attrs.evolve(beginning(10), repair=True)))
    assert await pager.count() == 25
    await asyncio.sleep(0)
    assert server.fetched == [(0, 10)]


async def test_pages_of_a_repair_are_counted_in_whole_numbers() -> None:
    """Like those of any walk."""
    numbers = [page.number async for page in _repairing(Server(records=range(25))).pages()]
    assert [repr(number) for number in numbers] == ["0", "1", "2"]


async def test_walk_is_in_order_unless_told() -> None:
    """Whichever page arrives first."""
    server = Server(records=range(95), pauses=[0, 9, 7, 5, 3, 1])
    assert await Pager(WalkingSource(server.fetch, beginning(10), prefetch=6)).collect() == [*range(95)]


async def test_page_before_tells_whether_the_server_ignores_the_number() -> None:
    """It is asked for once more."""
    server = Server(records=range(25), ignores_page=True)
    with pytest.raises(APIResponseError):
        await server.pager().collect()
    assert server.fetched == [(0, 10), (1, 10), (0, 10)]


async def test_forecast_of_the_page_that_confirms_the_total_has_no_records() -> None:
    """It is one request."""
    server = Server(records=range(20))
    pager = Pager(WalkingSource(server.fetch, beginning(10)), forecast=Estimate)
    assert [await anext(pager) for _ in range(20)] == [*range(20)]
    assert await pager.estimate() == Estimate(1, 0)


async def test_server_that_ignores_the_page_is_found_out_on_the_last_full_page() -> None:
    """By the total it must be another page, so it does not end the walk quietly."""
    with pytest.raises(APIResponseError, match="repeats an earlier page"):
        await Server(records=range(20), ignores_page=True).pager().collect()


async def test_nothing_is_left_to_request_within_the_last_page() -> None:
    """The walk has ended, although its records have not."""
    pager = Server(records=range(25)).pager()
    assert [await anext(pager) for _ in range(21)] == [*range(21)]
    assert await pager.estimate() == Estimate(0, 0.0)


async def test_repair_whose_records_were_all_returned_is_done() -> None:
    """Resuming it costs no request."""
    pager = _repairing(Server(records=range(5)))
    assert [await anext(pager) for _ in range(5)] == [*range(5)]
    server = Server(records=range(5))
    start = PageToken.decode(pager.token, listed=LISTED)
    assert await Pager(RepairingSource(server.fetch, start)).collect() == []
    assert server.fetched == []
