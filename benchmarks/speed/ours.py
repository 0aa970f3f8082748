"""alohub-async as in its README: with limiter, retries and all defaults."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from alohub_async import AlohubClient
from benchmarks.speed.contestant import Walk
from benchmarks.speed.floors import looked_at


@asynccontextmanager
async def items(url: str, size: int, prefetch: int = 0) -> AsyncGenerator[Walk]:
    """Item by item; by default without prefetching, like the other contestants."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk() -> int:
            count = 0
            async for _ in client.queues.list_inbound(page_size=size, prefetch=prefetch):
                count += 1
            return count

        yield walk


@asynccontextmanager
async def ahead(url: str, size: int) -> AsyncGenerator[Walk]:
    """Item by item, with the default prefetching of four pages."""
    async with items(url, size, prefetch=4) as walk:
        yield walk


@asynccontextmanager
async def pages(url: str, size: int) -> AsyncGenerator[Walk]:
    """Page by page."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk() -> int:
            count = 0
            async for page in client.queues.list_inbound(page_size=size, prefetch=0).pages():
                count += looked_at(page.items)
                del page  # as in the other loops: no page is kept while the next one is read
            return count

        yield walk
