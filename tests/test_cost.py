"""What a walk and a single call cost in function calls: a measure that a busy machine does not change.

A fresh interpreter calls a sandbox in this one, with rate limit and retries on, and counts its own function calls, page
by page. Noise only ever adds calls (an answer that arrives in pieces, a timer that fires), so the page with the fewest
calls is the cost: to change it, noise would have to hit every page.
"""

import asyncio
import cProfile
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from alohub_async.codec.answers import FastLane
from alohub_async.models import InboundQueue
from alohub_async.rate_limits.wait_queues import WaitQueue
from alohub_async.testing import Sandbox
from tests.support import FIRST, queue

PAGES: Final = 40
SMALL: Final = 20
LARGE: Final = 220

CLIENT: Final = """
import asyncio, collections, cProfile, itertools, json, os, pstats, resource, sys
url, key, small, large, pages, speed = json.loads(sys.argv[1])
if not speed:
    sys.modules["msgspec"] = None
import aiohttp, yarl
import alohub_async
from alohub_async import AlohubClient

OURS = os.path.dirname(alohub_async.__file__) + os.sep

async def fewest_calls(steps, count):
    "Of Python's functions and C's, for so many steps; the least of all pages."
    least = []
    for _ in range(pages):
        profile = cProfile.Profile()
        left = count
        profile.enable()
        async for _ in steps:
            left -= 1
            if not left:
                break
        profile.disable()
        least.append(pstats.Stats(profile).total_calls)
    return min(least[1:])

async def of_client(size):
    async with AlohubClient(key, endpoint=url) as client:
        return await fewest_calls(aiter(client.queues.list_inbound(page_size=size, prefetch=0)), size)

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
        return await fewest_calls(answers(session), 1)

async def passed(step):
    "The modules and functions of ours that a step passes, at least."
    async def once():
        functions = set()
        def note(frame, event, arg):
            code = frame.f_code
            if event == "call" and (code.co_filename.startswith(OURS) or code.co_filename.startswith("<InboundQueue")):
                functions.add((code.co_filename, code.co_qualname))
        sys.setprofile(note)
        try:
            await step()
        finally:
            sys.setprofile(None)
        return len({name for name, _ in functions if name.startswith(OURS)}), len(functions)
    return min([await once() for _ in range(8)])

async def of_get():
    "Calls of ours in a single get, without and with those of aiohttp and asyncio."
    least = []
    async with AlohubClient(key, endpoint=url) as client:
        for _ in range(pages):
            profile = cProfile.Profile()
            profile.enable()
            await client.queues.get_inbound(1001226)
            profile.disable()
            calls = pstats.Stats(profile).stats.items()
            ours = sum(found[1] for (name, *_), found in calls if name.startswith((OURS, "<InboundQueue")))
            least.append((ours, sum(found[1] for _, found in calls)))
    return min(least)

async def page_faults():
    "Pages of memory that a single get maps anew, at least; after other work has left a hole, and filled it."
    blocks = [bytearray(1000) for _ in range(3000)]
    blocks = blocks[-1:]
    async with AlohubClient(key, endpoint=url) as client:
        await client.queues.get_inbound(1001226)
        blocks += [bytearray(1000) for _ in range(3000)]
        faults = []
        for _ in range(pages):
            await client.queues.get_inbound(1001226)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        return min(after - before for before, after in itertools.pairwise(faults))

async def hops():
    async with AlohubClient(key, endpoint=url) as client:
        steps = aiter(client.queues.list_inbound(page_size=small, prefetch=0))
        async def page():
            for _ in range(small):
                await anext(steps)
        await page()
        return [await passed(page), await passed(lambda: client.queues.get_inbound(1001226))]

async def main():
    print(json.dumps({
        "faults": await page_faults(),
        "small": await of_client(small),
        "large": await of_client(large),
        "aiohttp": await of_aiohttp(small),
        "get": await of_get(),
        "hops": await hops(),
    }))

asyncio.run(main())
"""


@attrs.frozen
class Cost:
    """What a client needs.

    Attributes:
        request: Function calls of one request, without its records.
        record: Function calls of each record.
        aiohttp: Function calls of aiohttp alone for the same request.
        page: Modules and functions of ours that a page passes.
        get: Modules and functions of ours that `get_inbound` passes.
        get_calls: Function calls of `get_inbound`: ours, and all.
        faults: Page faults of `get_inbound`.
    """

    request: float
    record: float
    aiohttp: float
    page: list[int]
    get: list[int]
    get_calls: list[int]
    faults: int


@cache  # noise only adds calls, so a second look shows nothing new
def _cost(*, speed: bool, limit: int | None) -> Cost:
    with Sandbox(queues=(PAGES + 1) * LARGE, tenant_limit=limit, route_limit=limit) as sandbox:
        arguments = json.dumps([str(sandbox.url), sandbox.api_key, SMALL, LARGE, PAGES, speed])
        done = subprocess.run(  # noqa: S603  (our own interpreter and code)
            [sys.executable, "-c", CLIENT, arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent.parent,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    record = (found["large"] - found["small"]) / (LARGE - SMALL)
    page, get = found["hops"]
    return Cost(found["small"] - SMALL * record, record, found["aiohttp"], page, get, found["get"], found["faults"])


@pytest.mark.parametrize(("speed", "record", "above"), [(True, 1.1, 15), (False, 2.2, 49)], ids=["speed", "plain"])
def test_a_walk_costs_few_calls(*, speed: bool, record: float, above: float) -> None:
    """One call per record with the extra `speed`, two without; a request needs few calls above aiohttp's own."""
    cost = _cost(speed=speed, limit=100_000)
    assert cost.record <= record
    assert cost.request <= cost.aiohttp + above


@pytest.mark.parametrize(("speed", "ours"), [(True, 41), (False, 76)], ids=["speed", "plain"])
def test_a_single_get_costs_few_calls(*, speed: bool, ours: int) -> None:
    """A coroutine counts twice, since it begins and goes on. With the extra `speed`, aiohttp alone needs more calls."""
    cost = _cost(speed=speed, limit=100_000)
    assert cost.get_calls[0] <= ours
    assert cost.get_calls[1] <= cost.aiohttp + (-16 if speed else 80)


def test_reading_an_answer_maps_no_memory() -> None:
    """The C library keeps the blocks of asyncio. Without `speed`, no import frees a larger one by chance."""
    assert _cost(speed=False, limit=100_000).faults == 0


@pytest.mark.parametrize("limit", [100_000, None], ids=["limit", "no limit"])
def test_a_request_takes_a_short_way(limit: int | None) -> None:
    """A page passes at most 14 modules and 40 functions of ours, a single `get_inbound` at most 11 and 34."""
    cost = _cost(speed=True, limit=limit)
    assert cost.page[0] <= 14
    assert cost.page[1] <= 40
    assert cost.get[0] <= 11
    assert cost.get[1] <= 34


async def test_with_budget_to_spare_few_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5,000 gets by 16 tasks, only those wait that are sent before the budget is known, and a few after a pause."""
    waited = 0
    add: Any = vars(WaitQueue)["add"]

    def count(*arguments: Any) -> None:
        nonlocal waited
        waited += 1
        add(*arguments)

    async def work() -> None:
        for _ in ids:
            await client.queues.get_inbound(FIRST)

    monkeypatch.setattr(WaitQueue, "add", count)
    ids = iter(range(5000))
    with Sandbox(queues=1, tenant_limit=1_000_000, route_limit=1_000_000) as sandbox:
        async with sandbox.client() as client:
            await asyncio.gather(*(work() for _ in range(16)))
            assert client.rate_limits.tenant.sent == 5000
    assert 0 < waited < 50


def _calls(lane: FastLane, body: bytes) -> int:
    """Function calls to decode an answer like those before it."""
    for _ in range(3):
        assert lane.list(body) is not None
    profile = cProfile.Profile()
    profile.enable()
    page = lane.list(body)
    profile.disable()
    assert page is not None
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize(
    ("odd", "calls"),
    [
        ({"createdAt": "2026-03-10"}, 0.0),
        ({"strategy": 42}, 1.0),
        ({"nguongRanhRoi": "15"}, 2.0),
        ({"timeWait": -1}, 2.0),
    ],
    ids=["undocumented field", "new strategy", "flag that does not fit", "number that does not fit"],
)
def test_an_odd_page_costs_few_calls(odd: dict[str, Any], calls: float) -> None:
    """Two calls for a value that does not fit, none for an undocumented field, and no more for the rest of the page."""
    lane = FastLane(InboundQueue, strict=False)
    documented = [queue(callinId=number) for number in range(1, LARGE + 1)]
    changed = [{**record, **odd} if number % 4 == 0 else record for number, record in enumerate(documented)]
    least, cost = (
        _calls(lane, json.dumps({"success": "1", "totalRecord": LARGE, "data": page}).encode())
        for page in (documented, changed)
    )
    assert cost <= least + calls * LARGE / 4 + 2
