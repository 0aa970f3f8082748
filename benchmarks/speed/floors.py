"""Loops with aiohttp alone, as a careful user would write them: lower bounds for the cost of a client."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.speed.contestant import Walk


def looked_at(records: Sequence[Any]) -> int:
    """Visit each record. A separate function, so that no page is kept while the next one is read."""
    count = 0
    for _ in records:
        count += 1
    return count


@asynccontextmanager
async def looping(
    url: str, size: int, read: Callable[[aiohttp.ClientResponse], Awaitable[tuple[int, int]]]
) -> AsyncGenerator[Walk]:
    """A loop until the total is reached; `read` returns the number of records on a page, and the total."""
    headers = {"X-Api-Key": "sk_live_speed"}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def walk() -> int:
            count = page = 0
            total = 1
            while count < total:
                async with session.get(f"{url}/v1/queues/inbound", params={"page": page, "size": size}) as response:
                    found, total = await read(response)
                count += found
                page += 1
            return count

        yield walk


@asynccontextmanager
async def read_bytes(url: str, size: int) -> AsyncGenerator[Walk]:
    """Bodies are read and discarded; the number of pages is in the name of the list."""
    total = int(url.rpartition("-")[2].partition("x")[0]) * size

    async def read(response: aiohttp.ClientResponse) -> tuple[int, int]:
        await response.read()
        return size, total

    async with looping(url, size, read) as walk:
        yield walk


@asynccontextmanager
async def json_dicts(url: str, size: int) -> AsyncGenerator[Walk]:
    """`await response.json()`, as in the documentation of aiohttp."""

    def consume(answer: dict[str, Any]) -> tuple[int, int]:
        return looked_at(answer["data"]), answer["totalRecord"]

    async def read(response: aiohttp.ClientResponse) -> tuple[int, int]:
        return consume(await response.json())

    async with looping(url, size, read) as walk:
        yield walk
