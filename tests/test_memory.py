"""The memory that a client and its pagers keep."""

import asyncio
import weakref

import aiohttp
import pytest

from alohub_async import AlohubClient, InboundQueue, Pager, RateLimitWaitError
from alohub_async.testing import Sandbox
from tests.support import RawServer, Step, http, queue, until


@pytest.mark.parametrize("given", [False, True])
async def test_a_page_is_gone_before_the_next_one_comes(*, given: bool) -> None:
    """Without prefetching, the last page is released before the next one is requested."""

    def answer(number: int) -> list[Step]:
        page = {"success": "1", "totalRecord": "4", "data": [queue(callinId=1), queue(callinId=2)]}
        return [http(page)] if number == 1 else [60.0]  # the test ends before that

    async with (
        aiohttp.ClientSession() as session,
        RawServer(answer) as server,
        AlohubClient("key", endpoint=server.url, session=session if given else None) as client,
    ):
        walk = client.queues.list_inbound(page_size=2, prefetch=0)
        seen = [weakref.ref(await anext(walk)) for _ in range(2)]
        assert None not in [record() for record in seen]
        going_on = asyncio.ensure_future(anext(walk))
        await until(lambda: len(server.requests) == 2)
        assert [record() for record in seen] == [None, None]
        going_on.cancel()
        await asyncio.wait([going_on])


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_nothing_is_left_of_a_list_that_was_walked(sandbox: Sandbox, client: AlohubClient, prefetch: int) -> None:
    """All pages are released although the pager still exists."""
    walk = client.queues.list_inbound(page_size=10, prefetch=prefetch)
    seen = [weakref.ref(record) async for record in walk]
    assert [record() for record in seen] == [None] * len(sandbox.queues)
    assert walk.complete


async def test_a_walk_that_failed_keeps_no_page() -> None:
    """All pages are released although the pager still exists and the next request was never sent."""
    seen: list[weakref.ref[InboundQueue]] = []

    async def go_on(walk: Pager[InboundQueue]) -> None:
        async for record in walk:
            seen.append(weakref.ref(record))  # noqa: PERF401  (keeps the records before the error)

    async with Sandbox(queues=60, route_limit=3) as sandbox, sandbox.client() as client:
        walk = client.queues.list_inbound(page_size=10, prefetch=0, max_rate_limit_wait=0.5)
        with pytest.raises(RateLimitWaitError):
            await go_on(walk)
        assert [record() for record in seen] == [None] * 30
        assert not walk.complete
