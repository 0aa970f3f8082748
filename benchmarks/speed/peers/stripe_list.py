"""stripe: its list object with automatic paging, over its aiohttp client."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import stripe

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """A client with a raw request to an endpoint that it does not know."""
    http_client = stripe.AIOHTTPClient()
    client = stripe.StripeClient("sk_live_speed", base_addresses={"api": url}, http_client=http_client)

    async def walk(visit: Counting) -> int:
        response = await client.raw_request_async("get", f"/v2/queues/inbound?page=0&size={which.size}")
        first = client.deserialize(response, api_mode="V2")
        return await visit.items(first.auto_paging_iter())

    try:
        yield walk
    finally:
        await http_client.close_async()
