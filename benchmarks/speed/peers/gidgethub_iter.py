"""gidgethub: `getiter`, which follows the `Link` header."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from gidgethub.aiohttp import GitHubAPI

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """A session and its API."""
    async with aiohttp.ClientSession() as session:
        api = GitHubAPI(session, "speed", oauth_token="sk_live_speed", base_url=url)  # noqa: S106  (no secret)

        async def walk(visit: Counting) -> int:
            first = f"/v1/queues/inbound?page=0&size={which.size}"
            return await visit.items(api.getiter(first, iterable_key="data"))

        yield walk
