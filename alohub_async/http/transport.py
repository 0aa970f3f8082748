"""One request, one transmission, one answer read to its end. The only module that knows aiohttp's client."""

import asyncio
import copy
import math
import platform
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.connector import Connection

from alohub_async._version import __version__
from alohub_async.errors import APIConnectionError, APITimeoutError, ClientClosedError, ConfigurationError
from alohub_async.http.decompression import DecodingError, Decompressor
from alohub_async.http.network import Network
from alohub_async.http.requests import Headers, Request
from alohub_async.http.responses import MAX_ERROR_BYTES, Response, Unread
from alohub_async.http.timeouts import TimeLimit, TimeLimits, Timeouts
from alohub_async.printable import printable

Session: TypeAlias = aiohttp.ClientSession
"""The one type of aiohttp that users see: a session of their own."""

USER_AGENT: Final = f"alohub-async/{__version__} Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"

_TRUST: Final = (
    "if you trust the authority that signed its certificate, name the authority's file: AlohubClient(…, ssl=FILE), or"
    " trust_env=True with the environment variable SSL_CERT_FILE"
)
_ASK_PROXY: Final = "check the address and the credentials of the proxy, and whether it allows this host"


class Call(Protocol):
    """What is sent, in one or several attempts."""

    maybe_sent: bool  # whether an attempt was written to a connection; set here, and never reset


class _ConnectionLostError(Exception):
    """A connection broke under a request that may have been sent."""


class _ProxyRefusedError(Exception):
    """A proxy refuses to connect to the server."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Client middleware: send each request once.

    aiohttp resends an idempotent request (PUT too) when a kept-alive connection turns out to be dead, perhaps after the
    server acted on it. That is the retry policy's decision. It has no switch, but only resends after its own errors.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not resend these
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _ConnectionLostError(_reason(exc)) from exc
    except aiohttp.ClientHttpProxyError as exc:
        error: Exception = _ProxyRefusedError(f"HTTP {exc.status} {printable(exc.message)}".rstrip())
    except aiohttp.ClientResponseError as exc:  # the answer is not HTTP
        error = _ConnectionLostError(printable(exc.message.partition("\n")[0].rstrip(":")))
    # Not chained to aiohttp's own error: its repr shows the headers of the request, and so the key.
    raise error


_DIRECT: Final = Network()
_LARGE: Final = 8 << 20  # bytes: no hole between blocks of other work is as large
_attempt: ContextVar[TimeLimit] = ContextVar("_attempt")
"""The time limit of the attempt that the running task is in, or was in last."""


class _Connector(aiohttp.TCPConnector):
    """Starts the read timeout of an attempt when the attempt has its connection: the request is written next."""

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        connection = await super().connect(*args, **kwargs)
        _attempt.get().alive()
        return connection


def is_ours(session: Any) -> bool:
    """Whether a session was made here, perhaps for a pool of clients: then each client has a proxy of its own."""
    return isinstance(session.connector, _Connector)


async def _closing(session: aiohttp.ClientSession, *, lent: bool) -> AsyncGenerator[None]:
    """Close the session, unless it is only lent, when this generator is closed or its loop ends.

    `asyncio.run` and its like close a loop's async generators last. Only there can the session's connections be closed:
    once the loop is gone, the garbage collector finds open sockets and warns about each.
    """
    try:
        yield
    finally:
        if not lent:
            await session.close()


class Connections:
    """The connections of one event loop, and a bounded number of slots for requests in flight.

    Before `send`, take one off `free_slots`, or call `wait_for_slot` if there is none; afterwards call `release_slot`.
    A session that is `lent` is not closed here.
    """

    def __init__(
        self, session: aiohttp.ClientSession, max_connections: int, network: Network = _DIRECT, *, lent: bool
    ) -> None:
        self.free_slots: int = max_connections
        self._released = asyncio.Semaphore(0)  # slots that go straight to a waiter
        self._waiting = 0
        self.session = session
        # The middlewares of a request replace the session's own, so a user's session keeps its own this way.
        self._middlewares = (_send_once, *getattr(session, "_middlewares", ()))
        self._foreign = not is_ours(session)
        self._network = network
        self._timeouts = Timeouts()
        connector = session.connector
        limits = () if connector is None else (connector.limit, connector.limit_per_host)
        most = min((limit or max_connections for limit in limits), default=0)
        self._may_queue = self._foreign and most < max_connections  # in the connector, for one of its connections
        self._aiohttp_timeouts = self._for_aiohttp(self._timeouts)
        self._limits = TimeLimits(asyncio.get_running_loop())
        self._closing = _closing(session, lent=lent)

    async def open(self) -> None:
        """Close everything together with the event loop, and make the C library keep large blocks.

        glibc maps and unmaps the block of each read, which takes 16 µs or more, until the program has freed a larger
        one. Whether an import frees one by chance differs from run to run.
        """
        bytes(_LARGE)
        await anext(self._closing)

    async def wait_for_slot(self) -> None:
        """Wait until another request releases its slot to this one."""
        self._waiting += 1
        try:
            await self._released.acquire()
        finally:
            self._waiting -= 1

    def release_slot(self) -> None:
        """Release the slot to the oldest waiter."""
        if self._waiting:
            self._released.release()
        else:
            self.free_slots += 1

    async def send(
        self, request: Request, headers: Headers, timeouts: Timeouts, max_bytes: int | None = None, *, call: Call
    ) -> Response:
        """Send once and read the answer. Needs a slot.

        A decompressed body of more than `max_bytes` (None for no limit) is given up if the answer is a success, and cut
        if it is a failure. Without a complete answer it raises `APIConnectionError`.
        """
        if timeouts is not self._timeouts:
            self._timeouts, self._aiohttp_timeouts = timeouts, self._for_aiohttp(timeouts)
        proxy, proxy_headers, *_ = self._network
        attempt = TimeLimit(self._limits, timeouts.total, idle=timeouts.read)
        _attempt.set(attempt)
        sent = self._foreign  # a user's connector does not report when it has a connection
        try:
            with attempt:
                response = await self.session.request(
                    request.route.method,
                    request.url,
                    headers=headers.revealed,
                    data=request.body,
                    allow_redirects=False,  # a redirect would carry the key away
                    raise_for_status=False,
                    timeout=self._aiohttp_timeouts,
                    middlewares=self._middlewares,
                    proxy=proxy,
                    proxy_headers=proxy_headers and proxy_headers.revealed,
                    auto_decompress=False,  # that decompresses whole chunks, to any size
                )
                # Read to its end, or broken off, a response returns its connection by itself.
                body, unread = await _read(response, attempt, max_bytes)
                return Response(response.status, response.headers.copy(), body, unread)
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, _ProxyRefusedError) as exc:
            sent = False
            raise _refused(request, exc) from exc
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as exc:
            sent = False
            kind = APITimeoutError if isinstance(exc, TimeoutError) else APIConnectionError
            raise kind(f"{request}: no connection to {request.url.host}: {_reason(exc)}", maybe_sent=False) from exc
        except TimeoutError as exc:
            sent = sent or attempt.is_alive
            missing = "complete answer" if sent else "connection"
            raise APITimeoutError(f"{request}: no {missing} in time ({timeouts})", maybe_sent=sent) from exc
        except (_ConnectionLostError, aiohttp.ClientError, OSError) as exc:
            raise APIConnectionError(f"{request}: the connection was lost: {_reason(exc)}", maybe_sent=True) from exc
        except ValueError as exc:  # such as a user's session with credentials of its own
            raise ConfigurationError(f"{request}: aiohttp refuses to send it: {exc}") from exc
        except RuntimeError as exc:
            if self.session.closed:
                raise ClientClosedError("this client, or the session it was given, was closed meanwhile") from exc
            raise
        finally:
            if sent or attempt.is_alive:
                call.maybe_sent = True

    def _for_aiohttp(self, timeouts: Timeouts) -> aiohttp.ClientTimeout:
        """The timeouts that aiohttp enforces; in a user's session also `read`, since its connector is not ours.

        aiohttp's `connect` counts the name lookup, but also waiting for a connection of the connector.
        """
        connect, read = None if self._may_queue else timeouts.connect, timeouts.read if self._foreign else None
        return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=timeouts.connect, sock_read=read)

    async def aclose(self) -> None:
        """Close everything, in its own event loop or after that is closed."""
        self._limits.close()
        await self._closing.aclose()


_LEFT: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, list[Connections]]] = WeakKeyDictionary()
"""Connections of clients closed from another loop, kept here since a loop holds its async generators weakly."""


class Transport:
    """Sends requests over one aiohttp session per event loop, made when first needed.

    A `session` of the user's is used instead, and never closed. Timeouts do not count the wait for a slot.
    """

    def __init__(self, *, session: aiohttp.ClientSession | None, max_connections: int, network: Network) -> None:
        self._given_session = session
        self._network = network
        self._max_connections = max_connections
        self._open: dict[asyncio.AbstractEventLoop, Connections] = {}
        self.lender: Transport | None = None  # which owns the connections
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called here or on the lender."""
        return self._closed or (self.lender is not None and self.lender.closed)

    def lend(self) -> "Transport":
        """The same connections for a copy of the client; closing the copy leaves them open."""
        lent = copy.copy(self)
        lent.lender = self
        return lent

    async def connections(self) -> Connections:
        """The connections of the running event loop; `ClientClosedError` if they are closed."""
        given = self._given_session
        if self._closed or (self.lender is not None and self.lender.closed):
            raise ClientClosedError("this client is closed; make a new AlohubClient")
        if given is not None and given.closed:
            raise ClientClosedError("the aiohttp session this client was given is closed; give it an open one")
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            await self._close([other for other in self._open if other.is_closed()])
        if loop not in self._open:  # another task may have opened them meanwhile
            # Not limited: we enforce max_connections, since waiting in the connector would count in the timeouts.
            network, lent = self._network, given is not None
            session = given or aiohttp.ClientSession(
                connector=_Connector(limit=0, ssl=network.ssl or True), cookie_jar=aiohttp.DummyCookieJar()
            )
            opened = Connections(session, self._max_connections, network, lent=lent)
            self._open[loop] = opened
            await opened.open()
        return self._open[loop]

    async def aclose(self) -> None:
        """Close the sessions made here, if they are not only lent; calling it again is harmless."""
        self._closed = True
        if self.lender is None:
            await self._close([*self._open])

    async def _close(self, loops: Sequence[asyncio.AbstractEventLoop]) -> None:
        here = asyncio.get_running_loop()
        for loop, connections in [(loop, self._open.pop(loop)) for loop in loops]:
            if loop is here or loop.is_closed():
                await connections.aclose()
            else:  # only that loop can close them, and does when it ends
                _LEFT.setdefault(loop, []).append(connections)


async def _read(
    response: aiohttp.ClientResponse, limit: TimeLimit, max_bytes: int | None
) -> tuple[bytes, Unread | None]:
    """Return the body, and why it was not read; each piece restarts the read timeout."""
    content, failed = response.content, response.status >= 300
    most = MAX_ERROR_BYTES if failed else max_bytes or math.inf
    if content.is_eof() and "Content-Encoding" not in response.headers and content.total_bytes <= most:
        return content.read_nowait(), None
    pieces: list[bytes] = []
    size = received = 0
    try:
        coding = response.headers.get("Content-Encoding", "").strip()
        decompressor = None if coding.lower() in {"", "identity"} else Decompressor(coding)
        while not content.at_eof():
            limit.alive()
            data = await content.readany()
            received += len(data)
            for piece in (data,) if decompressor is None else decompressor.pieces(data):
                pieces.append(piece)
                size += len(piece)
                if max(size, received) > most:
                    response.close()
                    if failed:
                        return b"".join(pieces)[:MAX_ERROR_BYTES], None
                    why = f"its body is longer than max_response_bytes={most}; ask for smaller pages, or raise that"
                    return b"", Unread(why, may_retry=False)
        if decompressor is not None:
            decompressor.finish()
    except DecodingError as exc:
        response.close()
        return b"", Unread(str(exc), may_retry=True)
    except BaseException:
        response.close()
        raise
    return b"".join(pieces), None


def _refused(request: Request, exc: Exception) -> APIConnectionError:
    """The error for a connection that is not secure, or that a proxy refuses."""
    by_proxy = isinstance(exc, _ProxyRefusedError)
    what, advice = ("the proxy refuses to connect", _ASK_PROXY) if by_proxy else ("no secure connection", _TRUST)
    message = f"{request}: {what} to {request.url.host}: {printable(_reason(exc))}; {advice}"
    broken = isinstance(exc.__cause__, ssl.SSLEOFError)  # not refused: the connection ended meanwhile
    return APIConnectionError(message, maybe_sent=False, permanent=not broken)


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
