"""Looking up the records of a list: one pipeline over all pages, in order, within its bounds."""

import asyncio
import heapq
import random
from typing import Any

import pytest

from alohub_async import InternalServerError, RetryPolicy
from alohub_async.testing import Delay, Sandbox, Status
from tests.support import LIST

AT_ONCE = 16


def _free(queues: int, latency: Any, seed: int = 0) -> Sandbox:
    return Sandbox(queues=queues, latency=latency, tenant_limit=None, route_limit=None, seed=seed)


def _ideal(pages: int, lookups: int, prefetch: int, seed: int) -> float:
    """How long it takes if no request waits for another one, once the first page has come."""
    rng = random.Random(seed)

    def busy(count: int, workers: int) -> float:
        free = [0.0] * workers
        for _ in range(count):
            took = rng.uniform(0.0125, 0.0375) + rng.uniform(0.0125, 0.0375)
            heapq.heappush(free, heapq.heappop(free) + took)
        return max(free)

    return 0.05 + max(busy(pages - 1, prefetch), busy(lookups, AT_ONCE))


@pytest.mark.looptime
@pytest.mark.parametrize(("prefetch", "size"), [(4, 20), (4, 100), (8, 10), (16, 10)])
async def test_look_ups_are_never_idle(prefetch: int, size: int) -> None:
    """Neither a page, nor a slow look-up, nor the end of a page's look-ups idles the others."""
    took = best = 0.0
    for seed in range(2):
        async with _free(500, (0.025, 0.075), seed) as sandbox, sandbox.client() as client:
            started = asyncio.get_running_loop().time()
            found = await client.queues.list_inbound(details=True, prefetch=prefetch, page_size=size).collect()
            took += asyncio.get_running_loop().time() - started
            best += _ideal(500 // size, 500, prefetch, seed)
            assert [queue.id for queue in found] == [queue["callinId"] for queue in sandbox.queues]
    assert took <= 1.06 * best


@pytest.mark.looptime
async def test_the_next_pages_are_requested_before_the_first_is_looked_up() -> None:
    """Also the first page's look-ups do not hold up the pages behind it."""
    async with _free(200, 1.0) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(details=True, prefetch=2, page_size=50)
        walk = asyncio.ensure_future(anext(pager))
        await asyncio.sleep(1.9)
        assert {request.page for request in sandbox.requests} == {0, 1, 2, None}
        await walk
        await pager.aclose()


@pytest.mark.looptime
async def test_a_slow_look_up_holds_up_few_pages() -> None:
    """The look-ups behind it go on; at most twice as many pages as may be in flight are held meanwhile, and no more."""
    async with _free(400, 0.1) as sandbox, sandbox.client() as client:
        sandbox.fail(Delay(20), path=f"{LIST}/{sandbox.queues[14]['callinId']}")
        walk = asyncio.ensure_future(client.queues.list_inbound(details=True, prefetch=2, page_size=10).collect())
        await asyncio.sleep(15)
        assert sorted(request.page for request in sandbox.requests if request.page is not None) == [*range(5)]
        assert len(sandbox.requests) == 5 + 50
        assert [queue.id for queue in await walk] == [queue["callinId"] for queue in sandbox.queues]


@pytest.mark.looptime
async def test_the_page_that_is_due_is_looked_up_first() -> None:
    """Although pages behind it have come before it, and wait for their look-ups."""
    async with _free(400, 0.1) as sandbox, sandbox.client() as client:
        sandbox.fail(Delay(0.35), page=1)
        await client.queues.list_inbound(details=True, prefetch=3, page_size=20).collect()
        lookups = [int(request.path.rpartition("/")[2]) for request in sandbox.requests if request.page is None]
        places = [lookups.index(int(str(queue["callinId"]))) for queue in sandbox.queues]
        arrived = sandbox.requests.of(page=1)[0].at + 0.05 + 0.35
        before = sum(request.page is None and request.at < arrived for request in sandbox.requests)
        assert max(places[20:40]) <= before + 20 + 2 * AT_ONCE


@pytest.mark.looptime
async def test_a_walk_that_fails_at_the_first_page_keeps_none_that_came_before_it() -> None:
    """The list is as it is when the first page is requested again: the proof of `repair` relies on that."""
    async with _free(40, 0.1) as sandbox, sandbox.client(retry=RetryPolicy(max_retries=1)) as client:
        sandbox.fail(Status(500, retry_after="5"), path=f"{LIST}/{sandbox.queues[0]['callinId']}", next=2)
        pager = client.queues.list_inbound(details=True, prefetch=2, page_size=10, consistency="repair")
        with pytest.raises(InternalServerError):
            await pager.collect()
        await asyncio.sleep(1)  # requests in flight have arrived
        asked = len(sandbox.requests)
        assert {1, 2, 3} <= {request.page for request in sandbox.requests}
        assert len(await pager.collect()) == 40
        again = [request.page for request in sandbox.requests[asked:] if request.page is not None]
        assert sorted(again) == sorted([*range(5), *range(5)])
        assert again[0] == 0


@pytest.mark.looptime
async def test_a_list_of_large_pages_takes_few_tasks() -> None:
    """Look-ups that wait for their turn are no tasks."""
    async with _free(800, 0.1) as sandbox, sandbox.client() as client:
        before = len(asyncio.all_tasks())
        walk = asyncio.ensure_future(client.queues.list_inbound(details=True, prefetch=2, page_size=200).collect())
        most = 0
        while not walk.done():
            await asyncio.sleep(0.05)
            most = max(most, len(asyncio.all_tasks()) - before)
        # Of each page held, its own and its look-ups' tasks; and one for each connection of the sandbox.
        assert most <= 1 + 5 * (1 + AT_ONCE) + AT_ONCE + 2
        assert len(walk.result()) == 800
