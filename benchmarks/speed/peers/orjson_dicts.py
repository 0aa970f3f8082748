"""A loop with aiohttp and orjson: the floor that all contestants are compared with."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from benchmarks.speed.contestant import Walk
from benchmarks.speed.floors import get_each, looping, opened_session
from benchmarks.speed.lists import LIST_PATH, List
from benchmarks.speed.visits import Counting


def _consume(body: bytes, visit: Counting) -> tuple[int, int]:
    answer = orjson.loads(body)
    return visit.page(answer["data"]), answer["totalRecord"]


async def _read(response: aiohttp.ClientResponse, visit: Counting) -> tuple[int, int]:
    return _consume(await response.read(), visit)


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """Dicts."""
    async with looping(url, which.size, _read) as walk:
        yield walk


@asynccontextmanager
async def keeping(url: str, which: List) -> AsyncGenerator[Walk]:
    """The same loop; the C library keeps large blocks of memory."""
    bytes(1 << 20)
    async with opened(url, which) as walk:
        yield walk


@asynccontextmanager
async def gets(url: str, which: List) -> AsyncGenerator[Walk]:
    """Single gets into dicts."""
    async with opened_session() as session:

        async def get(record_id: int) -> dict[str, Any]:
            async with session.get(f"{url}{LIST_PATH}/{record_id}") as response:
                return orjson.loads(await response.read())

        async def walk(visit: Counting) -> int:
            return await get_each(which.ids, get, visit)

        yield walk
