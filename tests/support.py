"""Helpers of the tests over sockets: responses of any kind, and a raw TCP server."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Literal, Self, TypeAlias

from attrs import define, field, frozen
from multidict import CIMultiDict

from alohub_async import AlohubClient, InboundQueue
from alohub_async.testing import Answer, Fault, Stage
from alohub_async.testing.server import stop_listening

LIST: Final = "/v1/queues/inbound"
FIRST: Final = 1_001_226
"""The id of a sandbox's first queue."""

CALLS: Final[Mapping[str, Callable[[AlohubClient], Coroutine[Any, Any, object]]]] = {
    "list": lambda client: client.queues.list_inbound().collect(),
    "get": lambda client: client.queues.get_inbound(FIRST),
    "update": lambda client: client.queues.update_inbound(FIRST, max_wait=1),
    "request": lambda client: client.request("GET", LIST),
    "paginate": lambda client: client.paginate(LIST).collect(),
}
"""Every kind of call of a client, by name."""

QUEUE: Final[Mapping[str, object]] = {
    "callinId": 1001226,
    "callinName": "test",
    "strategy": 1,
    "musicinQueue": "waiting.wav",
    "timeWait": "120",
    "agentSelector": None,
    "nguongRanhRoi": None,
    "callinNumber": None,
}
"""The record of the vendor's page."""


def queue(**changes: object) -> dict[str, object]:
    """The record of the vendor's page with other values, by wire name."""
    return {**QUEUE, **changes}


def id_of(queue: InboundQueue) -> int:
    """The id of a queue that has one."""
    assert queue.id is not None
    return queue.id


@frozen
class Reply(Fault):
    """Any response, sent before the service handles the request.

    Attributes:
        body: Its body.
        status: Its HTTP status.
        content_type: Its media type.
        headers: Other headers.
    """

    body: bytes = b""
    status: int = field(default=200, kw_only=True)
    content_type: str = field(default="application/json", kw_only=True)
    headers: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)

    @property
    def stage(self) -> Stage:
        """`front`."""
        return "front"

    def spoil(self, answer: Answer) -> Answer:
        """Return this response instead of the service's."""
        del answer
        return Answer(self.status, self.body, self.content_type, self.headers)


def json_reply(payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a fault with a JSON response."""
    return Reply(json.dumps(payload).encode(), status=status, headers=headers or {})


@frozen
class RawRequest:
    """A request as received on a socket.

    Attributes:
        method: The method.
        target: The request target, usually path and query.
        headers: By name in any case.
        body: Its body, of the length of `Content-Length`.
        connection: The number of its connection, from 1.
    """

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    connection: int


Step: TypeAlias = bytes | float | Literal["close"]
"""A step of a `RawServer`: bytes to send, seconds to wait, or closing the connection."""


def http(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a complete HTTP response. A body that is not bytes is encoded as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


@define(eq=False)
class RawServer:
    """A TCP server on 127.0.0.1 that answers each request with configured steps.

    Attributes:
        answer: Returns the steps for a request by its number, from 1.
        requests: The received requests, one for each transmission.
        connections: Number of connections made.
        connected: Number of open connections.
    """

    answer: Callable[[int], Sequence[Step]]
    requests: list[RawRequest] = field(init=False, factory=list[RawRequest])
    connections: int = field(init=False, default=0)
    connected: int = field(init=False, default=0)
    _server: asyncio.Server | None = field(init=False, default=None)
    _handlers: set[asyncio.Task[None]] = field(init=False, factory=set[asyncio.Task[None]])

    @property
    def url(self) -> str:
        """Its URL."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._start, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected += 1
        connection = self.connections
        try:
            while True:
                self.requests.append(await _read_request(reader, connection))
                for step in self.answer(len(self.requests)):
                    if step == "close":
                        return
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await asyncio.sleep(float(step))
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has disconnected
        finally:
            self.connected -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> RawRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = CIMultiDict[str]()
    for line in head[1:-2]:
        name, _, value = line.partition(": ")
        headers.add(name, value)
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return RawRequest(method, target, headers, body, connection)


async def until(condition: Callable[[], bool]) -> None:
    """Run the event loop until the condition is true."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (the condition has no event)
            await asyncio.sleep(0.001)


@contextmanager
def deaf_socket() -> Generator[str]:
    """Yield a URL whose connections are never accepted: the backlog of its socket is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for connection in waiting:
            connection.close()


@asynccontextmanager
async def deaf_endpoint() -> AsyncGenerator[str]:
    """Yield the URL of a `deaf_socket`, as an async context manager."""
    with deaf_socket() as url:
        yield url
