"""The socket in front of the service: HTTP in, HTTP out, in the caller's event loop or in a separate thread."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from aiohttp import web
from attrs import define, field
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from alohub_async.background_tasks import Caught
from alohub_async.files.records import read_json
from alohub_async.testing.contract import Answer, problem
from alohub_async.testing.request_log import RecordedRequest
from alohub_async.testing.service import Service
from alohub_async.testing.settings import latency_range
from alohub_async.validation import check_instance

_SHUTDOWN: Final = 0.05  # seconds for requests in flight when the server closes
_ROUNDS_TO_ACCEPT: Final = 3  # of the event loop, with one to spare; see `stop_listening`
_RUNS: Final = "the sandbox is already running"
_OTHER_LOOP: Final = "the sandbox belongs to the event loop of its `async with`; start and close it there"


@define(eq=False)
class Server:
    """Listens, and lets the service respond, under its lock. `entered` says whether it is in a block."""

    service: Service
    entered: bool = field(init=False, default=False)
    _runner: web.ServerRunner | None = field(init=False, default=None)
    _listening: asyncio.Server | None = field(init=False, default=None)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None)
    _home: tuple[asyncio.AbstractEventLoop, Thread] | None = field(init=False, default=None)
    _port: int = field(init=False, default=0)
    _failures: list[tuple[str, Exception]] = field(init=False, factory=list[tuple[str, Exception]])

    @property
    def url(self) -> URL | None:
        """Its URL; None if it is not listening."""
        if self._listening is None:
            return None
        host, port = self._listening.sockets[0].getsockname()[:2]
        return URL.build(scheme="http", host=host, port=port)

    def enter(self, host: str, port: int) -> None:
        """Listen in a thread with its own event loop until `leave`; raises what `start` raises."""
        if self._home is not None:
            raise RuntimeError(_RUNS)
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # it sets no loop of this thread
        # A daemon, which does not keep an aborted test run alive.
        thread = Thread(target=_run_loop, args=(runner,), name="alohub-sandbox", daemon=True)
        loop = runner.get_loop()
        thread.start()
        self._home = loop, thread
        try:
            asyncio.run_coroutine_threadsafe(self.start(host, port), loop).result()
        except BaseException:
            self._end_thread()
            raise
        self.entered = True

    def leave(self, error: BaseException | None) -> None:
        """End a block, and raise the first error of the server, or add it to that of the block."""
        if self._home is not None:
            try:
                asyncio.run_coroutine_threadsafe(self.close(), self._home[0]).result()
            finally:
                self._end_thread()
        self.entered, self._loop, self._port = False, None, 0
        self.raise_failure(error)

    def raise_failure(self, error: BaseException | None = None) -> None:
        """Raise the first error of the server, or add it to this error."""
        if not self._failures:
            return
        (request, cause), *_ = self._failures
        self._failures.clear()
        message = f"the sandbox failed to respond to {request}: {type(cause).__name__}: {cause}"
        if error is None:
            raise RuntimeError(message) from cause
        error.add_note(message)

    async def start(self, host: str, port: int) -> None:
        """Start listening in the running event loop; again at the same port."""
        if self._runner is not None:
            raise RuntimeError(_RUNS)
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise RuntimeError(_OTHER_LOOP)
        server = web.Server(self._handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        try:
            # Not by aiohttp's site, which hides the server that `stop_listening` needs.
            self._listening = await loop.create_server(server, host, port or self._port)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._loop = runner, loop
        self._port = self._listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and close all connections; no error if it is not running."""
        if self._runner is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError(_OTHER_LOOP)
        runner, listening = self._runner, self._listening
        self._runner = self._listening = None
        if runner is not None and listening is not None:
            try:
                await stop_listening(listening)
            finally:
                await runner.cleanup()
        if not self.entered:
            self._loop = None

    async def at_home(self, work: Coroutine[Any, Any, object]) -> None:
        """Run this in the thread's event loop, or in the running one if there is no thread."""
        if self._home is None:
            await work
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._home[0]))

    def _end_thread(self) -> None:
        if self._home is not None:
            (loop, thread), self._home = self._home, None
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _leg(self) -> float:
        least, most = latency_range(self.service.settings.latency)
        return self.service.rng.uniform(least / 2, most / 2)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        body = await http.read()
        await asyncio.sleep(self._leg())
        service = self.service  # a reset makes another one
        now, route = asyncio.get_running_loop().time(), service.find(http.method, http.path)
        route_name = None if route is None else str(route)
        headers = CIMultiDictProxy(CIMultiDict(http.headers))
        json: object = None
        with suppress(ValueError):  # a body is JSON only if it is declared so, as in all the vendor's examples
            json = read_json(body) if http.content_type == "application/json" else None
        answer, response, failure = problem(500), web.StreamResponse(status=500), Caught()
        with service.lock:
            tenant_id = service.tenant_of(headers)
            request = RecordedRequest(
                now, http.method, http.path, route_name, http.query, headers, json, body, tenant_id
            )
            service.log[key := object()] = request
            with failure:
                answer = check_instance("the response of a fault", service.answer(request), Answer)
        with failure:
            await asyncio.sleep(answer.delay + self._leg())
        with service.lock:
            done = service.answered(key, answer)
            with failure:
                if done is not None and service.settings.on_answer is not None:
                    service.settings.on_answer(done)
        failure.spared = (OSError,)  # the client has disconnected
        with failure:
            response = await _send(http, answer)
        if failure.error is not None:
            self._failures.append((f"{request.method} {request.path}", failure.error))
        return response


def _run_loop(runner: asyncio.Runner) -> None:
    with runner:
        runner.get_loop().run_forever()


async def stop_listening(server: asyncio.Server) -> None:
    """Close the server once each connection has its protocol; others stay open for ever (python/cpython#109564)."""
    for listening in server.sockets:
        with suppress(NotImplementedError):  # Windows' own event loop
            asyncio.get_running_loop().remove_reader(listening)
    try:
        for _ in range(_ROUNDS_TO_ACCEPT):
            await asyncio.sleep(0)
    finally:
        server.close()


async def _send(http: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    if answer.cut == "nowhere":
        headers = {**answer.headers, "Content-Type": f"{answer.content_type}; charset=utf-8"}
        response: web.StreamResponse = web.Response(status=answer.status, body=answer.body, headers=headers)
        await response.prepare(http)
        return response
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if http.transport is None or http.transport.is_closing():  # the client has disconnected
        return response
    if answer.cut == "inside":
        response.content_type = answer.content_type
        response.content_length = len(answer.body)
        await response.prepare(http)
        await response.write(answer.body[: len(answer.body) // 2])
    http.transport.close()
    return response
