"""gidgethub: `getiter`, which follows the `Link` header."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from gidgethub.aiohttp import GitHubAPI

from benchmarks.speed.contestant import Walk


@asynccontextmanager
async def opened(url: str, size: int) -> AsyncGenerator[Walk]:
    """A session and its API."""
    async with aiohttp.ClientSession() as session:
        api = GitHubAPI(session, "speed", oauth_token="sk_live_speed", base_url=url)  # noqa: S106  (no secret)

        async def walk() -> int:
            count = 0
            async for _ in api.getiter(f"/v1/queues/inbound?page=0&size={size}", iterable_key="data"):
                count += 1
            return count

        yield walk
