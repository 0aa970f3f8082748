"""alohub-async as in its README: with limiter, retries and all defaults."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from alohub_async import AlohubClient
from benchmarks.speed.contestant import Walk
from benchmarks.speed.floors import TASKS, get_each
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


@asynccontextmanager
async def items(url: str, which: List, prefetch: int = 0) -> AsyncGenerator[Walk]:
    """Item by item; by default without prefetching, like the other contestants."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk(visit: Counting) -> int:
            return await visit.items(client.queues.list_inbound(page_size=which.size, prefetch=prefetch))

        yield walk


@asynccontextmanager
async def ahead(url: str, which: List) -> AsyncGenerator[Walk]:
    """Item by item, with the default prefetching of four pages."""
    async with items(url, which, prefetch=4) as walk:
        yield walk


@asynccontextmanager
async def pages(url: str, which: List) -> AsyncGenerator[Walk]:
    """Page by page."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk(visit: Counting) -> int:
            count = 0
            async for page in client.queues.list_inbound(page_size=which.size, prefetch=0).pages():
                count += visit.page(page.items)
                del page  # as in the other loops: no page is kept while the next one is read
            return count

        yield walk


@asynccontextmanager
async def gets(url: str, which: List) -> AsyncGenerator[Walk]:
    """Single gets in tasks of the caller."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk(visit: Counting) -> int:
            return await get_each(which.ids, client.queues.get_inbound, visit)

        yield walk


@asynccontextmanager
async def many(url: str, which: List) -> AsyncGenerator[Walk]:
    """Gets by `get_many_inbound`."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk(visit: Counting) -> int:
            count = 0
            async for outcome in client.queues.get_many_inbound(which.ids, concurrency=TASKS):
                count += visit.page((outcome.unwrap(),))
            return count

        yield walk
