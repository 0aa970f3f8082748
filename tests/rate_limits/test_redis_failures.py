"""A store that stops, is slow, or loses its data; and processes that die."""

import asyncio
import logging
import math
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from alohub_async import RateLimiterUnavailableError, RedisRateLimiter
from alohub_async.emitter import Emitter
from alohub_async.rate_limits.redis import WhenUnavailable
from tests.rate_limits.fleet import WINDOW, Fleet, Gateway, keep_busy, new_server, store_client


class Proxy:
    """Stands before the store; it can be slow, deaf or closed."""

    def __init__(self, target: str) -> None:
        self.host, _, port = target.removeprefix("redis://").partition(":")
        self.target_port = int(port)
        self.delay = 0.0  # seconds
        self.deaf = False
        self.answers: float = math.inf  # of the store, until it is deaf
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, port: int = 0) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and end those that are open."""
        self._server.close()
        for writer in self._writers:
            writer.close()

    @property
    def url(self) -> str:
        """Its own."""
        return f"redis://127.0.0.1:{self.port}"

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(self.host, self.target_port)
        self._writers += [writer, downstream]

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    await asyncio.sleep(self.delay)
                    if sink is writer:
                        self.answers -= 1
                        self.deaf = self.deaf or self.answers < 0
                    if not self.deaf:
                        sink.write(data)
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, downstream), pump(upstream, writer))


@pytest.fixture(name="proxy")
async def _proxy(store_url: str) -> AsyncGenerator[Proxy]:
    proxy = Proxy(store_url)
    await proxy.open()
    yield proxy
    await proxy.close()
    await asyncio.sleep(0.01)


async def until_shared(caplog: pytest.LogCaptureFixture) -> None:
    """Wait until the limiter has its store again."""
    async with asyncio.timeout(30):
        while True:
            if any(record.levelname == "INFO" for record in caplog.records):
                return
            await asyncio.sleep(0.02)


async def go_on(gateway: Gateway, limiters: Sequence[RedisRateLimiter]) -> None:
    """Make calls that take several windows, however fast the machine is; few are refused."""
    async with asyncio.timeout(30):
        await asyncio.gather(*(gateway.call(limiter) for limiter in limiters for _ in range(25)))
    assert gateway.denied <= 6


async def test_without_the_store_each_process_goes_on_with_its_share(
    fleet: Fleet, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning says so, and one line when the budget is shared again; calls never stop."""
    caplog.set_level(logging.INFO)
    gateway = Gateway("sliding-log", 20)
    limiters = [await fleet.process(url=proxy.url, store_timeout=0.3) for _ in range(2)]
    calls = [asyncio.create_task(keep_busy(gateway, limiter, 4.0)) for limiter in limiters]
    await asyncio.sleep(0.8)
    await proxy.close()
    await asyncio.sleep(1.2)
    await proxy.open(proxy.port)
    served = await asyncio.gather(*calls)
    assert sum(served) > 40  # of 160
    assert gateway.denied < 30
    lines: list[str] = []
    async with asyncio.timeout(30):
        while len(lines) < 4:  # each comes back at a moment of its own
            await asyncio.sleep(0.05)
            told = [each for each in caplog.records if "the store of the shared rate limit" in each.message]
            lines = sorted(record.levelname for record in told)
    assert lines == ["INFO"] * 2 + ["WARNING"] * 2
    assert "share=0.5" in caplog.text


async def test_a_store_that_never_was_there_stops_nothing(fleet: Fleet, proxy: Proxy) -> None:
    """Requests go by the buckets of the process alone."""
    await proxy.close()
    gateway = Gateway("sliding-log", 5)
    limiter = await fleet.process(url=proxy.url)
    async with asyncio.timeout(30):
        for _ in range(8):
            await gateway.call(limiter)
    assert gateway.denied == 0


async def test_events_of_the_store_are_of_no_call(fleet: Fleet, proxy: Proxy) -> None:
    """The task that is behind them goes on when the call that began it is over, so it has not its context variables."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    heard = list[tuple[str, str]]()
    emitter = Emitter((lambda event: heard.append((type(event).__name__, user.get())),))
    await proxy.close()
    limiter = await fleet.process(url=proxy.url)
    limiter.emitters.add(emitter)
    user.set("An")
    await Gateway("sliding-log", 5).call(limiter)
    assert heard == [("SharedStoreLost", "nobody")]


async def test_a_deaf_store_holds_a_request_no_longer_than_its_timeout(fleet: Fleet, proxy: Proxy) -> None:
    """Then it is as if it were gone."""
    proxy.deaf = True
    gateway = Gateway("sliding-log", 5)
    limiter = await fleet.process(url=proxy.url, store_timeout=0.1)
    async with asyncio.timeout(30):
        await gateway.call(limiter)


@asynccontextmanager
async def odd_store(reply: bytes) -> AsyncGenerator[str]:
    """The URL of something that gives the same answer to all commands, but those that begin a connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [
                (await reader.readexactly(int((await reader.readline())[1:]) + 2))[:-2] for _ in range(int(line[1:]))
            ]
            writer.write({b"CLIENT": b"+OK\r\n", b"HELLO": b"*0\r\n"}.get(words[0], reply))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"-NOSCRIPT no matching script\r\n",
        b"-MOVED 3999 127.0.0.1:1\r\n",
        b"-OOM command not allowed\r\n",
        b":5\r\n",
        b"*0\r\n",
        b"*5\r\n$1\r\n\xff\r\n$1\r\n0\r\n:5\r\n*1\r\n:0\r\n*0\r\n",
        b"*5\r\n$1\r\nx\r\n$1\r\n0\r\n:5\r\n*1\r\n:0\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\ng\r\n$3\r\nodd\r\n",
    ],
    ids=["no script", "moved", "no memory", "a number", "nothing", "no text", "an odd entry"],
)
@pytest.mark.parametrize("mode", ["local", "fail"])
async def test_whatever_the_store_answers_no_request_hangs(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, reply: bytes, mode: WhenUnavailable
) -> None:
    """An answer that is none is as if the store were gone; one line says so."""
    async with odd_store(reply) as url, asyncio.timeout(5.0):
        limiter = await fleet.process(url=url, when_unavailable=mode)
        outcomes = await asyncio.gather(*[Gateway("sliding-log", 5).call(limiter)], return_exceptions=True)
        await limiter.aclose()
    assert outcomes == [True] if mode == "local" else isinstance(outcomes[0], RateLimiterUnavailableError)
    assert [each.levelname for each in caplog.records] == ["WARNING"]


async def test_a_redis_client_that_cannot_be_used_is_a_store_that_is_gone(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever error it raises, no request hangs or gets it."""
    async with (
        store_client(store_url, credential_provider=5) as redis,
        RedisRateLimiter(redis, tenant="t", window=WINDOW) as limiter,
        asyncio.timeout(5.0),
    ):
        assert await Gateway("sliding-log", 5).call(limiter)
    assert [each.levelname for each in caplog.records] == ["WARNING"]


async def test_without_the_store_requests_fail_if_they_should(
    fleet: Fleet, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that wait, and all later ones at once, until the store is there again."""
    caplog.set_level(logging.INFO)
    await proxy.close()
    gateway = Gateway("sliding-log", 5)
    limiter = await fleet.process(url=proxy.url, when_unavailable="fail", store_timeout=0.3)
    results = await asyncio.gather(*(gateway.call(limiter) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [RateLimiterUnavailableError] * 3
    with pytest.raises(RateLimiterUnavailableError, match="check that Redis runs"):
        await gateway.call(limiter)
    await proxy.open(proxy.port)
    await until_shared(caplog)
    assert await gateway.call(limiter)


async def test_a_limiter_that_was_closed_without_its_store_opens_again(fleet: Fleet, proxy: Proxy) -> None:
    """It does not refuse the first request because the store was gone before."""
    await proxy.close()
    gateway = Gateway("sliding-log", 5)
    limiter = await fleet.process(url=proxy.url, when_unavailable="fail", store_timeout=0.3)
    with pytest.raises(RateLimiterUnavailableError):
        await gateway.call(limiter)
    await limiter.aclose()
    await proxy.open(proxy.port)
    assert await gateway.call(limiter)


async def test_a_slow_store_costs_little(fleet: Fleet, proxy: Proxy) -> None:
    """With 20 ms for each answer, most of the budget is used."""
    gateway = Gateway("sliding-log", 20, seconds=1.0)
    proxy.delay = 0.01
    limiters = [await fleet.process(url=proxy.url, window=1.0) for _ in range(2)]
    served = await asyncio.gather(*(keep_busy(gateway, limiter, 2.5) for limiter in limiters))
    assert gateway.denied == 0
    assert sum(served) >= 40


@pytest.mark.parametrize("lost", ["log", "booked", "*"])
async def test_what_was_sent_counts_when_the_store_has_lost_data(fleet: Fleet, lost: str) -> None:
    """All of it, or one of its keys, which it has evicted: few requests are refused, and both processes go on."""
    gateway = Gateway("sliding-log", 20)
    limiters = [await fleet.process() for _ in range(2)]
    calls = [asyncio.create_task(keep_busy(gateway, limiter, 2.2)) for limiter in limiters]
    for _ in range(2):
        await asyncio.sleep(0.7)
        await fleet.store.delete(*await fleet.store.keys(f"*:{lost}"))
    served = await asyncio.gather(*calls)
    assert gateway.denied <= 15  # it would be 40 if nothing counted
    assert min(served) > 15  # of 50


@pytest.mark.parametrize("lost", ["log", "booked", "*"])
async def test_what_was_sent_is_written_to_a_log_that_the_same_process_begins(fleet: Fleet, lost: str) -> None:
    """It has begun the lost one, too; so the others know of all requests of the window."""
    gateway = Gateway("sliding-log", 20, seconds=30.0)
    limiter = await fleet.process(window=30.0)
    await gateway.call(limiter)
    [log, booked] = sorted(await fleet.store.keys(), key=lambda key: not key.endswith(b":log"))
    for sent in (2, 3):
        await asyncio.sleep(0.1)
        await fleet.store.delete(*await fleet.store.keys(f"*:{lost}"))
        await gateway.call(limiter)
        async with asyncio.timeout(30):
            while True:
                told = [grant for _, fields in await fleet.store.xrange(log) for grant in fields[b"g"].split()]
                if sum(int(grant.split(b":")[1]) for grant in told) == sent:
                    break
                await asyncio.sleep(0.02)
        assert await fleet.store.hget(booked, "t") == b"%d" % sent


@pytest.mark.parametrize("lost", ["log", "booked", "*"])
async def test_a_store_that_has_lost_data_is_there(fleet: Fleet, lost: str) -> None:
    """So no request fails, also if they should without the store."""
    gateway = Gateway("sliding-log", 20)
    limiter = await fleet.process(when_unavailable="fail")
    for _ in range(2):
        await gateway.call(limiter)
        await fleet.store.delete(*await fleet.store.keys(f"*:{lost}"))
    assert gateway.denied == 0


async def test_a_store_whose_clock_is_behind_that_of_the_one_before_goes_on(fleet: Fleet) -> None:
    """It is the replica of one that has failed: its log has entries from what is the future to it."""
    gateway = Gateway("sliding-log", 20)
    limiters = [await fleet.process(lease=0.5) for _ in range(2)]
    calls = [asyncio.create_task(keep_busy(gateway, limiter, 1.2)) for limiter in limiters]
    await asyncio.sleep(0.6)
    [log] = await fleet.store.keys("*:log")
    await fleet.store.xadd(log, {"p": "other"}, id=f"{int(time.time()) + 3600}000-0")
    await go_on(gateway, limiters)
    await asyncio.gather(*calls)


async def test_a_store_that_has_lost_its_last_entries_goes_on(fleet: Fleet) -> None:
    """It is a replica that was late, or begins with an old file; to it, what was read is in the future."""
    gateway = Gateway("sliding-log", 20)
    limiters = [await fleet.process(lease=0.5) for _ in range(2)]
    calls = [asyncio.create_task(keep_busy(gateway, limiter, 1.5)) for limiter in limiters]
    await asyncio.sleep(0.6)
    early = {key: await fleet.store.dump(key) for key in await fleet.store.keys()}
    await fleet.store.xadd(*await fleet.store.keys("*:log"), {"p": "other"}, id=f"{int(time.time()) + 3600}000-0")
    await asyncio.sleep(0.4)
    for key, value in early.items():
        await fleet.store.restore(key, 0, value, replace=True)
    await go_on(gateway, limiters)
    await asyncio.gather(*calls)


async def test_a_store_that_goes_while_the_log_is_read_leaves_the_last_share(
    fleet: Fleet, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that had to read the log anew, and could not, does not use the budget of all."""
    gateway = Gateway("sliding-log", 20)
    busy, idle = await fleet.process(), await fleet.process(url=proxy.url, store_timeout=0.1)
    await gateway.call(idle)
    await keep_busy(gateway, busy, 0.8)
    await asyncio.sleep(WINDOW)
    [log] = [key for key in await fleet.store.keys() if key.endswith(b":log")]
    await fleet.store.xtrim(log, maxlen=3, approximate=False)
    proxy.answers = 2  # the one that shows that entries are missing, and the log's name
    await gateway.call(idle)
    assert "share=0.5" in caplog.text


async def test_a_log_that_was_trimmed_is_read_anew(fleet: Fleet) -> None:
    """A process that was idle meanwhile goes on."""
    gateway = Gateway("sliding-log", 20)
    busy, idle = await fleet.process(), await fleet.process()
    await gateway.call(idle)
    await keep_busy(gateway, busy, 0.8)
    await asyncio.sleep(WINDOW)  # what the log has lost counts no more
    [log] = [key for key in await fleet.store.keys() if key.endswith(b":log")]
    await fleet.store.xtrim(log, maxlen=3, approximate=False)
    async with asyncio.timeout(30):
        for _ in range(3):
            await gateway.call(idle)
    assert gateway.denied == 0


async def test_a_process_that_may_not_wait_for_entries_looks_now_and_then(fleet: Fleet, store_url: str) -> None:
    """A user of the store without the command for that is enough."""
    await fleet.store.execute_command("ACL", "SETUSER", "small", "on", ">word", "~*", "+@all", "-xread")
    gateway = Gateway("sliding-log", 10)
    url = store_url.replace("redis://", "redis://small:word@")
    limiters = [await fleet.process(url=url) for _ in range(2)]
    served = await asyncio.gather(*(keep_busy(gateway, limiter, 1.5) for limiter in limiters))
    assert gateway.denied == 0
    assert sum(served) >= 12


@asynccontextmanager
async def other_process(url: str, seconds: float = 60.0) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A process that has entered four permits and holds them."""
    code = f"""
import asyncio
from contextlib import AsyncExitStack
from alohub_async import RedisRateLimiter, Route
async def main():
    limiter = RedisRateLimiter.from_url({url!r}, tenant="t", window=0.5, lease=1.0)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(limiter.acquire(Route.of("GET", "/v1/things")))
        print("held", flush=True)
        await asyncio.sleep({seconds})
    await limiter.acquire(Route.of("GET", "/v1/things")).__aenter__()
    await limiter.aclose()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    yield process
    await process.communicate()


async def test_the_permits_of_a_killed_process_come_back(fleet: Fleet) -> None:
    """After its lease, although it wrote nothing any more."""
    gateway = Gateway("sliding-log", 4)
    limiter = await fleet.process(lease=1.0)
    await gateway.call(limiter)
    async with other_process(fleet.url) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # the other one holds all that is left, and is alive
                await gateway.call(limiter)
        process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(30):
            for _ in range(4):
                await gateway.call(limiter)
    assert gateway.denied == 0


async def test_a_process_that_was_stopped_for_longer_than_its_lease_goes_on(fleet: Fleet) -> None:
    """What it had was lost meanwhile; what it says of that later changes nothing, and it may send again."""
    gateway = Gateway("sliding-log", 4)
    limiter = await fleet.process(lease=1.0)
    await gateway.call(limiter)
    async with other_process(fleet.url, seconds=0.5) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30):
            for _ in range(4):
                await gateway.call(limiter)
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
            for _ in range(8):
                await gateway.call(limiter)
    assert gateway.denied == 0


async def test_the_store_may_start_again_without_its_data(caplog: pytest.LogCaptureFixture) -> None:
    """A real server is stopped, and another one started in its place."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # another server of this kind would not choose its port
        port = free.getsockname()[1]
    first = new_server(port=port)
    first.start()
    caplog.set_level(logging.INFO)
    gateway = Gateway("sliding-log", 10)
    limiter = RedisRateLimiter.from_url(first.connection_url, tenant="t", window=0.5, store_timeout=0.3)
    async with limiter:
        await gateway.call(limiter)
        await asyncio.to_thread(first.stop)
        async with asyncio.timeout(30):
            await gateway.call(limiter)
        with new_server(port=port):
            await until_shared(caplog)
            await gateway.call(limiter)
    assert gateway.denied == 0
