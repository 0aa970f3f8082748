"""One request, one transmission, one answer read to its end. The only room that knows aiohttp's client."""

import asyncio
import copy
import platform
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.connector import Connection

from alohub_async._version import __version__
from alohub_async.errors import APIConnectionError, APITimeoutError, ClientClosedError, ConfigurationError
from alohub_async.http.requests import Request
from alohub_async.http.responses import Response
from alohub_async.http.timeouts import TimeLimit, TimeLimits, Timeouts

Session: TypeAlias = aiohttp.ClientSession
"""The one type of aiohttp that users see: a session of their own."""

Meanwhile: TypeAlias = tuple[Callable[[], object], ...]
"""Work that may wait until a request has been written; it raises nothing, and may be done once more or not at all."""

_LARGE_BLOCK: Final = 1 << 20  # bytes: more than asyncio reads at once, and than most answers

USER_AGENT: Final = f"alohub-async/{__version__} Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"


class _ConnectionLost(Exception):  # noqa: N818  (a signal between two functions of this module)
    """A connection broke under a request that may have been sent."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Client middleware: let each request out once.

    aiohttp resends an idempotent request (PUT too) by itself when a kept-alive connection turns out to be dead, which
    may be after the server acted on it. That is the retry policy's decision. aiohttp has no switch for it, but it only
    resends after errors of its own.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not resend these
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _ConnectionLost(_said(exc)) from exc
    except aiohttp.ClientResponseError as exc:  # what came is no HTTP, or a proxy refused
        said = exc.message.partition("\n")[0].rstrip(":")
    # Not chained to aiohttp's own error: its repr shows the headers of the request, and so the key.
    raise _ConnectionLost(said)


class _Attempt(TimeLimit):
    """One transmission and its time limit.

    Attributes:
        meanwhile: What is still to be done while the server works on it.
    """

    __slots__ = ("meanwhile",)
    meanwhile: Meanwhile


_attempt: ContextVar[_Attempt] = ContextVar("_attempt")
"""The attempt that the running task is in, or was in last."""


class _Connector(aiohttp.TCPConnector):
    """Has the read timeout of an attempt begin when it has its connection."""

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        connection = await super().connect(*args, **kwargs)
        _attempt.get().alive()
        return connection


class _Request(aiohttp.ClientRequest):
    """Has other work done when it is written: the server is busy with it now."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        response = await super().send(conn)
        for work in _attempt.get().meanwhile:
            work()
        return response


async def _closing(session: aiohttp.ClientSession, *, lent: bool) -> AsyncGenerator[None]:
    """Closes the session, unless it is only lent, when this is closed or its loop ends.

    Whoever runs a loop closes its async generators last (`asyncio.run` does), and what the session has open can be
    closed there only: once the loop is gone, its sockets are left to the garbage collector, which warns of each.
    """
    try:
        yield
    finally:
        if not lent:
            await session.close()


class Connections:
    """What one event loop has open, and sends over.

    Attributes:
        free: How many requests more may be under way. Take one off before sending, or `wait` if there is none; and
            `leave` afterwards.
    """

    def __init__(self, session: aiohttp.ClientSession, max_connections: int, *, lent: bool) -> None:
        """Keep a session.

        Args:
            session: Of the running event loop.
            max_connections: Most requests under way.
            lent: Whether the session is not to be closed here.
        """
        _keep_large_blocks()
        self.free: int = max_connections
        self._places = asyncio.Semaphore(0)  # those that are handed on to who waits
        self._waiting = 0
        self._session = session
        # Those of a single request replace the session's, so a given session's own are named again.
        self._middlewares = (_send_once, *getattr(session, "_middlewares", ()))
        self._lent = lent
        self._timeouts = Timeouts()
        self._aiohttp_timeouts = _for_aiohttp(self._timeouts, lent=lent)
        self._limits = TimeLimits(asyncio.get_running_loop())
        self._closing = _closing(session, lent=lent)

    async def open(self) -> None:
        """Have all that is open closed with the event loop."""
        await anext(self._closing)

    async def wait(self) -> None:
        """Wait until another request leaves its place to this one."""
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Leave a place, to whoever has waited longest."""
        if self._waiting:
            self._places.release()
        else:
            self.free += 1

    async def send(
        self, request: Request, headers: Mapping[str, str], timeouts: Timeouts, meanwhile: Meanwhile = ()
    ) -> Response:
        """Send once and read the answer; to be called with a place, see `free`.

        Args:
            request: What to send.
            headers: All of its headers that are not aiohttp's own business.
            timeouts: Of this attempt.
            meanwhile: What to do while the server works on the request; before that in a session that is only lent.

        Raises:
            ClientClosedError: The session is closed.
            APITimeoutError: No complete answer within `timeouts`.
            APIConnectionError: No complete answer.
        """
        if timeouts is not self._timeouts:
            self._timeouts, self._aiohttp_timeouts = timeouts, _for_aiohttp(timeouts, lent=self._lent)
        attempt = _Attempt(self._limits, timeouts.total, idle=timeouts.read)
        attempt.meanwhile = meanwhile
        _attempt.set(attempt)
        try:
            with attempt:
                if self._lent:  # its requests are not of our kind
                    for work in meanwhile:
                        work()
                response = await self._session.request(
                    request.route.method,
                    request.url,
                    headers=headers,
                    data=request.body,
                    allow_redirects=False,  # a redirect would carry the key off
                    raise_for_status=False,
                    timeout=self._aiohttp_timeouts,
                    middlewares=self._middlewares,
                )
                # Read to its end, or broken off, it gives its connection back by itself.
                body = await (response.read() if response.content.is_eof() else _read_in_pieces(response, attempt))
                return Response(response.status, response.headers.copy(), body)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as exc:
            kind = APITimeoutError if isinstance(exc, TimeoutError) else APIConnectionError
            raise kind(f"{request}: no connection to {request.url.host}: {_said(exc)}", maybe_sent=False) from exc
        except TimeoutError as exc:
            raise APITimeoutError(f"{request}: no complete answer in time ({timeouts})", maybe_sent=True) from exc
        except (_ConnectionLost, aiohttp.ClientError, OSError) as exc:
            raise APIConnectionError(f"{request}: the connection was lost: {_said(exc)}", maybe_sent=True) from exc
        except ValueError as exc:  # such as a given session with credentials of its own
            raise ConfigurationError(f"{request}: aiohttp refuses to send it: {exc}") from exc
        except RuntimeError as exc:
            if self._session.closed:
                raise ClientClosedError("this client, or the session it was given, was closed meanwhile") from exc
            raise
        finally:
            attempt.meanwhile = ()  # the task's context holds the attempt until its next one

    async def aclose(self) -> None:
        """Close all of it, in its own event loop or once that is closed."""
        self._limits.close()
        await self._closing.aclose()


def _keep_large_blocks() -> None:
    """Have the memory of large blocks kept, not asked for again and again.

    asyncio reads into a new block of 256 KiB each time. The C library of Linux has the system map a block of that size,
    and unmaps it when it is freed: three system calls and a fault for each page, 40 µs a request. But when the first
    such block is freed it learns to keep those of up to its size, and at most twice as much in all. Elsewhere, this
    does nothing.
    """
    bytes(_LARGE_BLOCK)


_LEFT: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, list[Connections]]] = WeakKeyDictionary()
"""What a loop has open of clients that were closed from another loop: kept, since loops hold generators weakly."""


class Transport:
    """Sends requests over one aiohttp session per event loop, made when first needed.

    Attributes:
        lender: Whose connections these are, if they are only lent.
    """

    def __init__(self, *, session: aiohttp.ClientSession | None, max_connections: int) -> None:
        """Make a transport.

        Args:
            session: Used instead of own ones, and never closed.
            max_connections: Most requests under way at once; further ones wait, outside of their timeouts.

        Raises:
            ConfigurationError: `max_connections` is no int of 1 or more, or `session` no session.
        """
        _check(session, max_connections)
        self._given_session = session
        self._max_connections = max_connections
        self._open: dict[asyncio.AbstractEventLoop, Connections] = {}
        self.lender: Transport | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called, here or where the connections were lent from."""
        return self._closed or (self.lender is not None and self.lender.closed)

    def lend(self) -> "Transport":
        """The same connections for a copy of the client: closing it leaves them open."""
        lent = copy.copy(self)
        lent.lender = self
        return lent

    async def connections(self) -> Connections:
        """Those of the running event loop.

        Raises:
            ClientClosedError: See `require_open`.
        """
        if self._closed or self.lender is not None or self._given_session is not None:
            self.require_open()
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            await self._close([other for other in self._open if other.is_closed()])
        if loop not in self._open:  # another task may have been here while this one closed others
            lent = self._given_session is not None
            opened = Connections(self._given_session or _new_session(), self._max_connections, lent=lent)
            self._open[loop] = opened
            await opened.open()
        return self._open[loop]

    def require_open(self) -> None:
        """Check that requests can be sent.

        Raises:
            ClientClosedError: The transport, or the session it was given, is closed.
        """
        if self._closed or (self.lender is not None and self.lender.closed):
            raise ClientClosedError("this client is closed; make a new AlohubClient")
        if self._given_session is not None and self._given_session.closed:
            raise ClientClosedError("the aiohttp session this client was given is closed; give it an open one")

    async def aclose(self) -> None:
        """Close the sessions made here, if they are not just lent; again is harmless."""
        self._closed = True
        if self.lender is None:
            await self._close([*self._open])

    async def _close(self, loops: Sequence[asyncio.AbstractEventLoop]) -> None:
        here = asyncio.get_running_loop()
        for loop, connections in [(loop, self._open.pop(loop)) for loop in loops]:
            if loop is here or loop.is_closed():
                await connections.aclose()
            else:  # a loop must close what it has open itself, and does when it ends
                _LEFT.setdefault(loop, []).append(connections)


async def _read_in_pieces(response: aiohttp.ClientResponse, limit: TimeLimit) -> bytes:
    """Read an answer that is not all there yet; each piece is a sign of life."""
    pieces: list[bytes] = []
    try:
        while not response.content.is_eof():
            limit.alive()
            pieces.append(await response.content.readany())
    except BaseException:
        response.close()
        raise
    return b"".join([*pieces, await response.read()])


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # max_connections is kept by us: waiting in the connector would run into the timeouts.
        connector=_Connector(limit=0),
        request_class=_Request,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _for_aiohttp(timeouts: Timeouts, *, lent: bool) -> aiohttp.ClientTimeout:
    """What is left to aiohttp: in a session that is only lent, also the read timeout, as its connector is not ours."""
    read = timeouts.read if lent else None
    return aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=read)


def _check(session: Any, max_connections: Any) -> None:
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(f"session must be an aiohttp.ClientSession; {type(session).__name__} was given")
    if isinstance(max_connections, bool) or not isinstance(max_connections, int) or max_connections < 1:
        raise ConfigurationError(f"max_connections must be an int of 1 or more; {max_connections!r} was given")


def _said(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
