"""A gateway in front of the sandbox that fails in one way at one request, and logs every transmission."""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Literal, Self, TypeAlias, get_args

from attrs import define, field
from yarl import URL

from alohub_async.testing.server import stop_listening

Way: TypeAlias = Literal[
    "refused",
    "reset before it is done",
    "reset after it is done",
    "reset after the headers",
    "reset in the body",
    "closed after it is done",
    "closed in the body",
    "stalled",
    "stalled in the body",
    "done late",
    "garbage",
    "429 burst",
    "503 burst",
    "session closed",
    "no name",
    "no name in a given session",
    "storm",
]
"""How a request fails.

`done late`: the server acts when the client has given up. `no name`: the lookup hangs. `storm`: many fail, each in
another way.
"""

_ALONE: Final = frozenset({"refused", "session closed", "no name", "no name in a given session", "storm"})
_STORM: Final[Sequence[Way]] = tuple(way for way in get_args(Way) if way not in _ALONE)

_BURST: Final = 5
_STORMY: Final = 0.4  # the share of requests that fail in a storm
_LATE: Final = 100.0  # seconds: longer than any time limit of an attempt
_DOWN: Final = 1.0  # seconds without listening
_DOES_NOTHING: Final = frozenset({"reset before it is done", "garbage", "429 burst", "503 burst"})
_GARBAGE: Final = b"\x00\xff\xfe\r\n\r\n{]SSH-2.0-\r\n"


@define(eq=False)
class Transmission:
    """A request that came.

    Attributes:
        method: Its method.
        path: Its path, without the query.
        way: How it failed; None if it was answered.
        acted: Whether the server acted on it.
    """

    method: str
    path: str
    way: Way | None = None
    acted: bool = False


@define(eq=False)
class Gateway:
    """Forwards to the sandbox, except for some requests.

    Attributes:
        upstream: Where the sandbox is.
        way: How requests fail; None if none does.
        first: The number of the first request that fails, from 1; of a storm, the seed.
        close_session: Closes the client's session.
        log: The requests that came.
    """

    upstream: URL
    way: Way | None = None
    first: int = 1
    close_session: Callable[[], Awaitable[object]] | None = None
    log: list[Transmission] = field(init=False, factory=list[Transmission])
    _rng: random.Random = field(init=False, factory=random.Random)
    _port: int = field(init=False, default=0)
    _server: asyncio.Server | None = field(init=False, default=None)
    _handlers: "set[asyncio.Task[None]]" = field(init=False, factory=set["asyncio.Task[None]"])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._rng.seed(self.first)
        await self._listen()
        if self.way == "refused" and self.first == 1:
            await self._stop()
            self._spawn(self._listen_again())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def heal(self) -> None:
        """Fail no longer."""
        self.way = None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            lambda reader, writer: self._spawn(self._serve(reader, writer)), "127.0.0.1", self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _listen_again(self) -> None:
        await asyncio.sleep(_DOWN)
        await self._listen()

    async def _stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await stop_listening(server)

    def _spawn(self, work: "Awaitable[None]") -> None:
        handler = asyncio.ensure_future(work)
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            try:
                while await self._answer(reader, writer):
                    pass
            finally:
                writer.close()
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False if the connection is to be closed."""
        raw = await _read_message(reader)
        method, target, _ = raw.split(b"\r\n", 1)[0].decode().split(" ")
        transmission = Transmission(method, target.partition("?")[0], self._way_of(len(self.log) + 1))
        self.log.append(transmission)
        if transmission.way is not None:
            await self._spoil(transmission, raw, writer)
            return False
        if self.way == "refused" and len(self.log) == self.first - 1:
            await self._stop()
            self._spawn(self._listen_again())
        answer = await self._forward(transmission, raw)
        once = self.way == "refused"  # so that the next request needs a connection
        writer.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if once else answer)
        await writer.drain()
        return not once

    def _way_of(self, number: int) -> Way | None:
        way = self.way
        if way is None or way in {"refused", "no name", "no name in a given session"}:
            return None
        if way == "storm":
            return self._rng.choice(_STORM) if self._rng.random() < _STORMY else None
        burst = _BURST if way in {"429 burst", "503 burst"} else 1
        return way if self.first <= number < self.first + burst else None

    async def _forward(self, transmission: Transmission, raw: bytes) -> bytes:
        assert self.upstream.host is not None
        reader, writer = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        try:
            writer.write(raw)
            transmission.acted = True
            return await _read_message(reader)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _spoil(self, transmission: Transmission, raw: bytes, writer: asyncio.StreamWriter) -> None:
        way = transmission.way
        if way == "done late":
            await asyncio.sleep(_LATE)
        answer = b"" if way in _DOES_NOTHING else await self._forward(transmission, raw)
        headers, body = answer.find(b"\r\n\r\n") + 4, answer.rfind(b"}") - 10
        if way == "session closed":
            assert self.close_session is not None
            await self.close_session()
        elif way == "garbage":
            writer.write(_GARBAGE)
        elif way in {"429 burst", "503 burst"}:
            writer.write(_refusal(way[:3]))
        elif way == "reset after the headers":
            writer.write(answer[:headers])
        elif way in {"reset in the body", "closed in the body", "stalled in the body"}:
            writer.write(answer[:body])
        await writer.drain()
        if way in {"stalled", "stalled in the body"}:
            await asyncio.Event().wait()
        if way is not None and way.startswith("reset"):
            await _settle()
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def _refusal(status: str) -> bytes:
    code = "RATE_LIMIT_EXCEEDED" if status == "429" else "FAIL"
    body = f'{{"success": "0", "error_code": "{code}", "error_message": "later"}}'.encode()
    head = f"HTTP/1.1 {status} Refused\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
    return f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _settle() -> None:
    """Let the client read what was sent."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """Read a request or a response that has its length in a header."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:-2])
    return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))
