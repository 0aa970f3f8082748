"""CPU time that limiter and retries add to a request.

`costs.py` runs it as `python -m benchmarks.speed.added URL PAGES CORE ROUNDS`.

Alternates in one process between `request` of the client and the bare transport, which builds the same URL and decodes
the same JSON. Prints the difference of each round, in microseconds of CPU time per request, as a JSON list.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from alohub_async import AlohubClient, Endpoint, Route, Timeouts
from alohub_async.http.network import network_of
from alohub_async.http.requests import build_request
from alohub_async.http.transport import USER_AGENT, Transport
from alohub_async.secret import Secret

LIST: Final = Route("GET", "/v1/queues/inbound")


class _Bare:
    """A call of which only the transmission is measured."""

    maybe_sent: bool = False


async def _cpu(request: Callable[[int], Awaitable[object]], pages: int) -> float:
    """Microseconds of CPU time per request."""
    gc.collect()
    started = time.process_time()
    for page in range(pages):
        await request(page)
    return (time.process_time() - started) / pages * 1e6


async def _differences(url: str, pages: int, rounds: int) -> list[float]:
    endpoint, timeouts = Endpoint(url), Timeouts()
    network = network_of(endpoint.base_url, proxy=None, trust_env=False, ssl=None)
    transport = Transport(session=None, max_connections=100, network=network)
    fields = {"Accept": "application/json", "User-Agent": USER_AGENT, "X-Api-Key": "sk_live_speed"}
    headers = Secret[Mapping[str, str]](fields)

    async with AlohubClient("sk_live_speed", endpoint=endpoint) as client:

        async def whole(page: int) -> object:
            return await client.request("GET", LIST.template, params={"page": page, "size": 1})

        async def bare(page: int) -> object:
            request = build_request(LIST, endpoint, params={"page": page, "size": 1})
            connections = await transport.connections()
            response = await connections.send(request, headers, timeouts, call=_Bare())
            return msgspec.json.decode(response.body)

        await _cpu(whole, pages)
        await _cpu(bare, pages)
        differences: list[float] = []
        for number in range(rounds):
            took = {way: await _cpu(way, pages) for way in ((whole, bare) if number % 2 else (bare, whole))}
            differences.append(took[whole] - took[bare])
    await transport.aclose()
    return differences


def main() -> None:
    """Measure and print."""
    url, pages, core, rounds = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    print(json.dumps(asyncio.run(_differences(url, int(pages), int(rounds)))))


if __name__ == "__main__":
    main()
