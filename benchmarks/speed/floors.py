"""Loops with aiohttp alone, as a careful user would write them: lower bounds for the cost of a client."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import LIST_PATH, List
from benchmarks.speed.visits import Counting

TASKS: Final = 16
"""Gets at once."""


def opened_session() -> aiohttp.ClientSession:
    """A session without cookies."""
    return aiohttp.ClientSession(headers={"X-Api-Key": "sk_live_speed"}, cookie_jar=aiohttp.DummyCookieJar())


@asynccontextmanager
async def looping(
    url: str, size: int, read: Callable[[aiohttp.ClientResponse, Counting], Awaitable[tuple[int, int]]]
) -> AsyncGenerator[Walk]:
    """A loop until the total is reached; `read` returns the number of records on a page, and the total."""
    async with opened_session() as session:

        async def walk(visit: Counting) -> int:
            count = page = 0
            total = 1
            while count < total:
                async with session.get(f"{url}{LIST_PATH}", params={"page": page, "size": size}) as response:
                    found, total = await read(response, visit)
                count += found
                page += 1
            return count

        yield walk


async def get_each(ids: Iterable[int], get: Callable[[int], Awaitable[object]], visit: Counting) -> int:
    """Get each record with `get`, in `TASKS` tasks. Returns their number."""
    waiting = iter(ids)

    async def work() -> int:
        count = 0
        for record_id in waiting:
            count += visit.page((await get(record_id),))
        return count

    return sum(await asyncio.gather(*(work() for _ in range(TASKS))))


@asynccontextmanager
async def read_bytes(url: str, which: List) -> AsyncGenerator[Walk]:
    """Bodies are read and discarded; the list says how many records there are."""
    async with opened_session() as session:

        async def walk(_: Counting) -> int:
            for page in range(which.pages):
                async with session.get(f"{url}{LIST_PATH}", params={"page": page, "size": which.size}) as response:
                    await response.read()
            return which.records

        yield walk


@asynccontextmanager
async def json_dicts(url: str, which: List) -> AsyncGenerator[Walk]:
    """`await response.json()`, as in the documentation of aiohttp."""

    def consume(answer: dict[str, Any], visit: Counting) -> tuple[int, int]:
        return visit.page(answer["data"]), answer["totalRecord"]

    async def read(response: aiohttp.ClientResponse, visit: Counting) -> tuple[int, int]:
        return consume(await response.json(), visit)

    async with looping(url, which.size, read) as walk:
        yield walk
