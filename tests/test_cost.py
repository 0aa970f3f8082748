"""What a walk costs in function calls, of Python and of C: a measure that no noise of the machine changes.

A fresh interpreter walks a sandbox in this one, with rate limit, retries and all on, and counts its own calls.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import attrs
import pytest

from alohub_async.testing import Sandbox

PAGES: Final = 12
SMALL: Final = 20
LARGE: Final = 220

CLIENT: Final = """
import asyncio, cProfile, itertools, json, pstats, sys
url, key, small, large, pages, speed = json.loads(sys.argv[1])
if not speed:
    sys.modules["msgspec"] = None
import aiohttp, yarl
from alohub_async import AlohubClient

async def calls(steps, count):
    profile = cProfile.Profile()
    profile.enable()
    async for _ in steps:
        count -= 1
        if not count:
            break
    profile.disable()
    return pstats.Stats(profile).total_calls

async def of_client(size):
    async with AlohubClient(key, endpoint=url) as client:
        walk = client.queues.list_inbound(page_size=size, prefetch=0)
        for _ in range(2 * size):
            await anext(walk)
        return await calls(walk, (pages - 2) * size) / (pages - 2)

async def of_aiohttp(size):
    # As plain as can be, but for the same pages, with the timeouts and the headers that the client has.
    queues = yarl.URL(f"{url}/v1/queues/inbound")
    timeout = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=30)
    headers = {"Accept": "application/json", "User-Agent": "x", "X-Api-Key": key}

    async def answers(session):
        for page in itertools.count():
            target = queues.with_query(f"page={page}&size={size}")
            async with session.get(target, headers=headers, timeout=timeout) as response:
                yield await response.read()

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        steps = answers(session)
        await anext(steps)
        return await calls(steps, pages) / pages

async def least(of, size):
    return min([await of(size) for _ in range(5)])  # an answer may come in pieces, which costs some calls

async def main():
    print(json.dumps([await least(of_client, small), await least(of_client, large), await least(of_aiohttp, small)]))

asyncio.run(main())
"""


@attrs.frozen
class Cost:
    """Calls of one request by itself, of each record, and of aiohttp alone for the same request."""

    request: float
    record: float
    aiohttp: float


def _cost(*, speed: bool) -> Cost:
    with Sandbox(queues=PAGES * LARGE, tenant_limit=100_000, route_limit=100_000) as sandbox:
        told = json.dumps([str(sandbox.url), sandbox.api_key, SMALL, LARGE, PAGES, speed])
        done = subprocess.run(  # noqa: S603  (our own interpreter and code)
            [sys.executable, "-c", CLIENT, told],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent.parent,
        )
    assert done.returncode == 0, done.stderr
    small, large, aiohttp = json.loads(done.stdout)
    record = (large - small) / (LARGE - SMALL)
    return Cost(small - SMALL * record, record, aiohttp)


@pytest.mark.parametrize(("speed", "record", "above"), [(True, 1.1, 30), (False, 2.2, 60)], ids=["speed", "plain"])
def test_a_walk_costs_few_calls(speed: bool, record: float, above: float) -> None:  # noqa: FBT001
    """A call a record with the extra `speed`, two without; a request needs a bounded few above aiohttp's own."""
    cost = _cost(speed=speed)
    assert cost.record <= record
    assert cost.request <= cost.aiohttp + above
