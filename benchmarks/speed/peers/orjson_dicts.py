"""A loop with aiohttp and orjson: the floor that all contestants are compared with."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import orjson

from benchmarks.speed.contestant import Walk
from benchmarks.speed.floors import looked_at, looping


def _consume(body: bytes) -> tuple[int, int]:
    answer = orjson.loads(body)
    return looked_at(answer["data"]), answer["totalRecord"]


async def _read(response: aiohttp.ClientResponse) -> tuple[int, int]:
    return _consume(await response.read())


@asynccontextmanager
async def opened(url: str, size: int) -> AsyncGenerator[Walk]:
    """Dicts."""
    async with looping(url, size, _read) as walk:
        yield walk


@asynccontextmanager
async def keeping(url: str, size: int) -> AsyncGenerator[Walk]:
    """The same loop; the C library keeps large blocks of memory."""
    bytes(1 << 20)
    async with opened(url, size) as walk:
        yield walk
