"""What limiter, retries, budget and deadline cost above the bare transport: `python -m benchmarks.overhead`.

CPU microseconds of this process for one request and its answer, a page of 20 records, read and not decoded. Every round
sends the same requests once in each way, one way after the other; printed are the medians of the rounds, and the median
of what each way costs above the one before it in the same round. The server is a few lines in a process of its own.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

import aiohttp
from yarl import URL

from alohub_async import Endpoint, RateLimiter, RetryPolicy, Timeouts
from alohub_async.calls import CallOptions
from alohub_async.config import ClientConfig
from alohub_async.requestor import Requestor
from alohub_async.retries import RetryQuota
from alohub_async.routes import LIST_INBOUND
from alohub_async.transport import Transport
from alohub_async.wire import Request, request_headers

ALLOWED: Final = 30.0  # microseconds that the loop may add to the bare transport
RECORDS: Final = 20
KEY: Final = "sk_live_benchmark"


def _answer() -> bytes:
    record = {
        "callinId": 1001226,
        "callinName": "test",
        "strategy": 1,
        "musicinQueue": "waiting.wav",
        "timeWait": "120",
    }
    body = json.dumps({"success": "1", "totalRecord": RECORDS, "data": [record] * RECORDS}).encode()
    names = ("Limit-Tenant", "Remaining-Tenant", "Limit-Route", "Remaining-Route")
    limits = "".join(f"X-RateLimit-{name}: 1000000\r\n" for name in names)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{limits}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Server(asyncio.Protocol):
    """Answers each request alike; a request of these fits one packet."""

    answer = _answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (what TCP has)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(self.answer)


def _serve(pipe: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while not pipe.poll():  # noqa: ASYNC110  (what it waits for is another process)
            await asyncio.sleep(0.1)

    asyncio.run(serve())


@contextmanager
def server() -> Generator[str]:
    """The server's URL."""
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}"
    finally:
        mine.send("stop")
        process.join()


def ways(url: str, session: aiohttp.ClientSession) -> dict[str, Callable[[], Awaitable[Any]]]:
    """How to send the request, each doing more than the one before."""
    endpoint = Endpoint(url)
    request = Request(LIST_INBOUND, URL(f"{url}/v1/queues/inbound?page=0&size={RECORDS}"))
    requestor = Requestor(
        config=ClientConfig(api_key=KEY, tenant_id=None, endpoint=endpoint, user_agent="benchmark"),
        timeouts=Timeouts(),
        retry=RetryPolicy(),
        deadline=None,
        priority="normal",
        transport=Transport(session=session, max_connections=100),
        limiter=RateLimiter(),
        quota=RetryQuota(),
    )
    headers = request_headers(request, requestor.config, KEY)

    async def aiohttp_alone() -> bytes:
        async with session.get(request.url, headers=headers) as response:
            return await response.read()

    async def bare_transport() -> bytes:
        await requestor.transport.place()
        return (await requestor.transport.send(request, headers, requestor.timeouts)).body

    async def all_but_deadline() -> Any:
        return await requestor.send(request, CallOptions(), decode=len)

    async def everything() -> Any:
        return await requestor.send(request, CallOptions(deadline=60.0), decode=len)

    return {
        "aiohttp alone": aiohttp_alone,
        "bare transport": bare_transport,
        "limiter, retries": all_but_deadline,
        "and a deadline": everything,
    }


async def measure(rounds: int, requests: int) -> dict[str, list[float]]:
    """CPU microseconds a request, by way and round; the first round of each is left out."""
    took: dict[str, list[float]] = {}
    with server() as url:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            ordered = ways(url, session)
            for _ in range(rounds + 1):
                for name, send in ordered.items():
                    begun = time.process_time()
                    for _ in range(requests):
                        await send()
                    took.setdefault(name, []).append((time.process_time() - begun) / requests * 1e6)
    return {name: each[1:] for name, each in took.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=200, help="a round, in each way")
    options = parser.parse_args()
    took = asyncio.run(measure(options.rounds, options.requests))
    before: list[float] | None = None
    print(f"{'':18} CPU us a request  above the line before")
    for name, each in took.items():
        above = "" if before is None else f"{statistics.median(a - b for a, b in zip(each, before, strict=True)):20.1f}"
        print(f"{name:18} {statistics.median(each):16.1f}  {above}")
        before = each
    added = statistics.median(a - b for a, b in zip(took["and a deadline"], took["bare transport"], strict=True))
    print(f"added to the bare transport: {added:.1f} us, allowed {ALLOWED:g}  {'ok' if added <= ALLOWED else 'MISSED'}")


if __name__ == "__main__":
    main()
