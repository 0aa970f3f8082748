"""A loop with aiohttp that decodes into msgspec structs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from benchmarks.speed.contestant import Walk
from benchmarks.speed.floors import looping
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


class _Queue(msgspec.Struct):
    id: int = msgspec.field(name="callinId")
    name: str = msgspec.field(name="callinName")
    strategy: int | None = None
    music_on_hold: str | None = msgspec.field(name="musicinQueue", default=None)
    max_wait: int | str | None = msgspec.field(name="timeWait", default=None)
    agent_selector: str | None = msgspec.field(name="agentSelector", default=None)
    announce_position: str | None = msgspec.field(name="nguongRanhRoi", default=None)
    number: str | None = msgspec.field(name="callinNumber", default=None)


class _Page(msgspec.Struct):
    data: list[_Queue]
    total: int = msgspec.field(name="totalRecord")


_DECODER = msgspec.json.Decoder(_Page)


def _consume(body: bytes, visit: Counting) -> tuple[int, int]:
    page = _DECODER.decode(body)
    return visit.page(page.data), page.total


async def _read(response: aiohttp.ClientResponse, visit: Counting) -> tuple[int, int]:
    return _consume(await response.read(), visit)


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """Structs."""
    async with looping(url, which.size, _read) as walk:
        yield walk
