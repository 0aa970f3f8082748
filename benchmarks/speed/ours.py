"""alohub-async as its README shows it: limiter, retries and all that is on by default."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from alohub_async import AlohubClient
from benchmarks.speed.contestant import Walk
from benchmarks.speed.floors import looked_at


@asynccontextmanager
async def items(url: str, size: int, prefetch: int = 0) -> AsyncGenerator[Walk]:
    """Item by item; pages one by one, as everybody else fetches them, if not told otherwise."""
    async with AlohubClient("sk_live_speed", endpoint=url) as client:

        async def walk() -> int:
            count = 0
            async for _ in client.queues.list_inbound(page_size=size, prefetch=prefetch):
                count += 1
            return count

        yield walk


@asynccontextmanager
async def ahead(url: str, size: int) -> AsyncGenerator[Walk]:
    """Item by item, four pages ahead: the default."""
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
                del page  # as in the loops that are compared with it: none is kept while the next one comes
            return count

        yield walk
