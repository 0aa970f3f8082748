"""The socket in front of the service: HTTP in, HTTP out, in the caller's event loop or in a thread of its own."""

import asyncio
import json
import random
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Final

from aiohttp import web
from attrs import define, field
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from alohub_async.testing.contract import Answer
from alohub_async.testing.request_log import RecordedRequest
from alohub_async.testing.service import Service
from alohub_async.testing.settings import latency_range

# Seconds a request in flight gets when the server closes.
_SHUTDOWN: Final = 0.05
_ROUNDS_TO_ACCEPT: Final = 3  # of the event loop, and one to spare; see `stop_listening`
_RUNS: Final = "the sandbox is already running"


@define(eq=False)
class Server:
    """Listens, and lets the service answer the requests.

    Attributes:
        service: Used under its lock, so that other threads may use it, too.
        rng: Draws the latency.
    """

    service: Service
    rng: random.Random
    _runner: web.ServerRunner | None = field(init=False, default=None)
    _listening: asyncio.Server | None = field(init=False, default=None)
    _closed: asyncio.Event = field(init=False, factory=asyncio.Event)
    _thread: Thread | None = field(init=False, default=None)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None)

    @property
    def url(self) -> URL | None:
        """Where it listens; None when it does not."""
        if self._listening is None:
            return None
        host, port = self._listening.sockets[0].getsockname()[:2]
        return URL.build(scheme="http", host=host, port=port)

    async def start(self, host: str, port: int) -> None:
        """Begin to listen."""
        if self._runner is not None:
            raise RuntimeError(_RUNS)
        server = web.Server(self._handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        try:
            # aiohttp would hide what it listens with, see `stop_listening`.
            self._listening = await asyncio.get_running_loop().create_server(server, host, port)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._closed = runner, asyncio.Event()

    async def close(self) -> None:
        """Stop listening and close all connections; no error when it does not run."""
        runner, listening = self._runner, self._listening
        self._runner = self._listening = None
        if runner is not None and listening is not None:
            try:
                await stop_listening(listening)
            finally:
                await runner.cleanup()
        self._closed.set()

    async def wait_closed(self) -> None:
        """Wait until somebody closes it, and close it when cancelled."""
        try:
            await self._closed.wait()
        finally:
            await self.close()

    @property
    def in_thread(self) -> bool:
        """Whether it runs in a thread of its own."""
        return self._thread is not None

    def start_thread(self, host: str, port: int) -> None:
        """Listen in a thread with an event loop of its own, until `stop_thread`; raises what `start` raises."""
        if self._thread is not None:
            raise RuntimeError(_RUNS)
        started: Future[asyncio.AbstractEventLoop] = Future()
        # A daemon, so that a test run that dies is not kept alive.
        thread = Thread(target=self._run, args=(host, port, started), name="alohub-sandbox", daemon=True)
        thread.start()
        try:
            self._loop = started.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread

    def stop_thread(self) -> None:
        """Close it there and wait for the thread's end; no error when there is none."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._closed.set)
            thread.join()

    def _run(self, host: str, port: int, started: "Future[asyncio.AbstractEventLoop]") -> None:
        async def serve() -> None:
            await self.start(host, port)
            started.set_result(asyncio.get_running_loop())
            await self.wait_closed()

        try:
            asyncio.run(serve())
        except BaseException as exc:
            if started.done():
                raise
            started.set_exception(exc)

    def _leg(self) -> float:
        least, most = latency_range(self.service.settings.latency)
        return self.rng.uniform(least / 2, most / 2)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        body = await http.read()
        await _pause(self._leg())
        request = _record(self.service, http, body, at=asyncio.get_running_loop().time())
        with self.service.lock:
            number = self.service.log.arrived(request)
            answer = self.service.answer(request)
        await _pause(answer.delay + self._leg())
        with self.service.lock:
            self.service.log.answered(number, answer)
        return await _send(http, answer)


async def stop_listening(server: asyncio.Server) -> None:
    """Close it so that no connection is lost track of.

    asyncio takes some rounds of the event loop from when it accepts a connection until the protocol knows of it. If the
    server is closed in between, the connection is open for ever (python/cpython#109564).
    """
    for listening in server.sockets:
        with suppress(NotImplementedError):  # of Windows' own event loop
            asyncio.get_running_loop().remove_reader(listening)
    try:
        for _ in range(_ROUNDS_TO_ACCEPT):
            await asyncio.sleep(0)
    finally:
        server.close()


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _record(service: Service, http: web.BaseRequest, body: bytes, *, at: float) -> RecordedRequest:
    """What arrived; a body counts as JSON only when it is declared as such (as all the vendor's examples do)."""
    target = service.find(http.method, http.path)
    try:
        payload = json.loads(body) if http.content_type == "application/json" else None
    except ValueError:
        payload = None
    return RecordedRequest(
        at=at,
        method=http.method,
        path=http.path,
        route=None if target is None else str(target.route),
        query={name: http.query[name] for name in http.query},
        headers=CIMultiDictProxy(CIMultiDict(http.headers)),
        json=payload,
    )


async def _send(http: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send the answer, or as much of it as its cut lets through."""
    if answer.cut == "nowhere":
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers,
            content_type=answer.content_type,
            charset="utf-8",
        )
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if http.transport is None or http.transport.is_closing():  # the client hung up
        return response
    if answer.cut == "inside":
        response.content_type = answer.content_type
        response.content_length = len(answer.body)
        await response.prepare(http)
        await response.write(answer.body[: len(answer.body) // 2])
    http.transport.close()
    return response
