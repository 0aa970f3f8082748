"""slack_sdk: `api_call`, and `async for` over its response, which follows the cursor."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """A client with our session; without one it opens a new connection for each request."""
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient("sk_live_speed", base_url=f"{url}/v1/", session=session)

        async def walk(visit: Counting) -> int:
            count = 0
            response = await client.api_call("queues/inbound", http_verb="GET", params={"size": which.size})
            async for page in response:
                count += visit.page(page["data"])
            return count

        yield walk
