"""How long a walk takes with latencies of every kind, in virtual time, compared with the ideal."""

import asyncio
import heapq
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import attrs
import pytest

from alohub_async.errors import APIConnectionError
from alohub_async.pagination import FetchedPage, Pager
from tests.pagination.server import Server, no_total

PAGES = 200


@attrs.define(kw_only=True)
class Late(Server):
    """A server that takes a time for each request, drawn in the order of the requests.

    Attributes:
        seconds: Of each request.
        in_flight: Requests that it works on.
        most: The largest number of them at one moment.
    """

    seconds: Iterator[float]
    in_flight: int = 0
    most: int = 0

    async def fetch(self, page: int, size: int) -> FetchedPage[Any]:
        """Answer after a while."""
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(next(self.seconds))
            return await Server.fetch(self, page, size)
        finally:
            self.in_flight -= 1


def even(seed: int) -> list[float]:
    """25 to 75 ms each."""
    rng = random.Random(seed)
    return [rng.uniform(0.025, 0.075) for _ in range(PAGES)]


def heavy(seed: int) -> list[float]:
    """Most take about 40 ms, one of 20 ten times as long."""
    rng = random.Random(seed)
    return [rng.uniform(0.025, 0.05) * (10 if rng.random() < 0.05 else 1) for _ in range(PAGES)]


def ideal(seconds: list[float], workers: int) -> float:
    """How long workers take that are never idle once the first page told the total."""
    free = [seconds[0]] * workers
    for each in seconds[1:]:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def ideal_in_order(seconds: list[float], workers: int) -> float:
    """The same if a page may only be requested once the page that is twice as many before it was delivered."""
    free = [seconds[0]] * workers
    delivered = [seconds[0]]
    for number, each in enumerate(seconds[1:], 1):
        requested = max(heapq.heappop(free), delivered[max(0, number - 2 * workers)])
        heapq.heappush(free, requested + each)
        delivered.append(max(delivered[-1], requested + each))
    return delivered[-1]


async def _took(server: Late, prefetch: int, *, pause: float = 0.0) -> float:
    started = asyncio.get_running_loop().time()
    got: list[int] = []
    async for page in server.pager(prefetch=prefetch).pages():
        got += page.items
        await asyncio.sleep(pause)
    assert got == [*server.records]
    assert server.most <= prefetch
    return asyncio.get_running_loop().time() - started


@pytest.mark.looptime
@pytest.mark.parametrize("prefetch", [4, 8, 16])
@pytest.mark.parametrize("seed", range(5))
async def test_in_order_a_walk_takes_hardly_longer_than_in_any_order(prefetch: int, seed: int) -> None:
    """One slow page does not idle the other requests."""
    server = Late(records=range(PAGES * 10 - 5), seconds=iter(even(seed)))
    assert await _took(server, prefetch) <= 1.06 * ideal(even(seed), prefetch)


@pytest.mark.looptime
@pytest.mark.parametrize("prefetch", [4, 8, 16])
async def test_very_slow_pages_cost_little_more(prefetch: int) -> None:
    """No walk in order that holds as few pages could be faster, although some take ten times as long as others."""
    took = [await _took(Late(records=range(PAGES * 10 - 5), seconds=iter(heavy(seed))), prefetch) for seed in range(5)]
    assert sum(took) <= 1.001 * sum(ideal_in_order(heavy(seed), prefetch) for seed in range(5))


@pytest.mark.looptime
async def test_requests_go_on_while_the_consumer_works() -> None:
    """A consumer that is busy for a while after each page delays nothing as long as it keeps up."""
    server = Late(records=range(PAGES * 10 - 5), seconds=iter(even(1)))
    assert await _took(server, 4, pause=0.01) <= 1.06 * ideal(even(1), 4)


@pytest.mark.looptime
@pytest.mark.parametrize("prefetch", [1, 4])
async def test_twice_as_many_pages_as_in_flight_are_held(prefetch: int) -> None:
    """While the first of them is missing, or nobody takes them, the fetching stops there."""
    slow = Late(records=range(1000), seconds=iter([0.05, 1000.0, *[0.05] * 100]))
    pager = slow.pager(prefetch=prefetch)
    taking = asyncio.ensure_future(pager.collect())
    await asyncio.sleep(500)
    assert len(slow.fetched) == 1 + (0 if prefetch == 1 else 2 * prefetch - 1)
    await taking

    unused = Late(records=range(1000), seconds=iter([0.05] * 100))
    pager = unused.pager(prefetch=prefetch)
    await anext(pager)
    await asyncio.sleep(500)
    assert sorted(page for page, _ in unused.fetched) == [*range(1 + 2 * prefetch)]
    await pager.aclose()


@pytest.mark.looptime
async def test_nothing_is_requested_beyond_the_end() -> None:
    """With a total none of the requests is, though pages come in any order; without one it is one page at a time."""
    for records in (95, 100):
        server = Late(records=range(records), seconds=iter(even(3)))
        await _took(server, 16)
        assert sorted(page for page, _ in server.fetched) == [*range(records // 10 + 1)]
    server = Late(records=range(95), seconds=iter(even(3)), total=no_total)
    await _took(server, 16)
    assert (server.most, len(server.fetched)) == (1, 11)


@pytest.mark.looptime
async def test_a_failed_page_is_raised_in_its_place() -> None:
    """Pages behind it go on meanwhile, and are not fetched again."""
    server = Late(records=range(95), seconds=iter([0.05, 0.5, *[0.05] * 20]), fails=frozenset({3}))
    pager = server.pager(prefetch=4)
    got: list[int] = []
    with pytest.raises(APIConnectionError):
        await _into(pager, got)
    assert got == [*range(40)]
    got += await pager.collect()
    assert got == [*range(95)]
    assert sorted(page for page, _ in server.fetched) == sorted([*range(10), 4])


async def _into(pager: Pager[Any], got: list[Any]) -> None:
    async for item in pager:
        got.append(item)  # noqa: PERF401  (a comprehension would lose them at an error)


@pytest.mark.looptime
@pytest.mark.parametrize("seed", range(20))
async def test_a_list_that_moves_is_walked_as_before(seed: int) -> None:
    """Whatever the latencies, no record comes twice, and the pager says that the list moved."""
    rng = random.Random(seed)
    server = Late(records=[*range(300)], seconds=(rng.uniform(0.01, 0.2) for _ in count()))
    pager = server.pager(prefetch=rng.choice([1, 2, 5, 9]))
    got: list[int] = []
    async for page in pager.pages():
        got += page.items
        if page.number == 3:
            server.records = [-1, *server.records]
    assert len({*got}) == len(got)
    assert pager.drift.moved
    assert not pager.complete
