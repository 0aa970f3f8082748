"""Certificates that do not verify, and proxies that refuse: told as what they are, at once."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from alohub_async import AlohubClient, APIConnectionError, RetryPolicy
from tests.support import CALLS, FIRST, QUEUE, RawServer, http
from tests.twins import pickled

KEY: Final = "sk_live_0123456789abcdef"
SLOW: Final = RetryPolicy(max_retries=3, backoff=60, max_backoff=60)
"""A retry would be noticed: it would take longer than the test."""


@asynccontextmanager
async def _secure_server(certificate: Path) -> AsyncGenerator[tuple[int, list[bytes]]]:
    """A server with that certificate, its port and the requests that came."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http(QUEUE, headers={"Connection": "close"}))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], came


@pytest.mark.parametrize("call", CALLS)
async def test_untrusted_certificate_is_told_at_once(certificate: Path, call: str) -> None:
    """The error names the certificate and what to do, was surely not sent, and is not tried again."""
    async with _secure_server(certificate) as (port, came):
        url = f"https://localhost:{port}"
        async with AlohubClient(KEY, endpoint=url, retry=SLOW) as client, asyncio.timeout(30):
            with pytest.raises(
                APIConnectionError, match=r"no secure connection to localhost: .*SSL_CERT_FILE"
            ) as caught:
                await CALLS[call](client)
    for error in (caught.value, pickled(caught.value)):
        assert error.permanent
        assert not error.maybe_sent
        assert error.attempts == 1
    assert "certificate" in str(caught.value)
    assert not came


async def test_trusted_certificate_of_another_host_is_told(certificate: Path) -> None:
    """The name does not match: the same kind of error."""
    trusting = ssl.create_default_context(cafile=certificate)
    async with (
        _secure_server(certificate) as (port, _),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
        AlohubClient(KEY, endpoint=f"https://localhost:{port}", session=session, retry=SLOW) as right,
        AlohubClient(KEY, endpoint=f"https://127.0.0.1:{port}", session=session, retry=SLOW) as wrong,
    ):
        assert (await right.queues.get_inbound(FIRST)).id == FIRST
        with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1") as caught:
            await wrong.queues.get_inbound(FIRST)
    assert caught.value.permanent


async def test_certificate_of_another_fingerprint_is_told(certificate: Path) -> None:
    """A session that pins a certificate refuses any other."""
    pinned = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(b"\0" * 32))
    async with (
        _secure_server(certificate) as (port, came),
        aiohttp.ClientSession(connector=pinned) as session,
        AlohubClient(KEY, endpoint=f"https://localhost:{port}", session=session, retry=SLOW) as client,
    ):
        with pytest.raises(APIConnectionError, match="no secure connection") as caught:
            await client.queues.get_inbound(FIRST)
    assert caught.value.permanent
    assert not came


async def test_server_without_tls_is_told() -> None:
    """`https` to a port that speaks plain HTTP is no lost connection."""

    def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"", status=400))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AlohubClient(KEY, endpoint=url, retry=SLOW) as client:
            with pytest.raises(APIConnectionError, match=r"no secure connection to 127\.0\.0\.1") as caught:
                await client.queues.get_inbound(FIRST)
    assert caught.value.permanent
    assert not caught.value.maybe_sent


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [400, 403, 407, 502, 503])
async def test_refusal_of_a_proxy_is_told_at_once(status: int, call: str) -> None:
    """The error says that it was the proxy, with its status; nothing was sent to the API, or is tried again."""
    refusal = f"HTTP/1.1 {status} N\x9bo\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    async with (
        RawServer(lambda _: [refusal]) as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
        AlohubClient(KEY, endpoint="https://api.example", session=session, retry=SLOW) as client,
        asyncio.timeout(30),
    ):
        with pytest.raises(
            APIConnectionError, match=rf"the proxy refuses to connect to api\.example: HTTP {status}"
        ) as c:
            await CALLS[call](client)
    for error in (c.value, pickled(c.value)):
        assert error.permanent
        assert not error.maybe_sent
        assert "credentials" in str(error)
        assert str(error).isprintable()
    assert [request.method for request in proxy.requests] == ["CONNECT"]


@pytest.mark.parametrize("address", [None, "http://127.0.0.1:9"], ids=["closes", "closed"])
async def test_proxy_that_is_not_there_is_tried_again(address: str | None) -> None:
    """A connection that fails is transient, with and without a proxy."""
    once_more = RetryPolicy(max_retries=1, backoff=0)
    async with (
        RawServer(lambda _: ["close"]) as proxy,
        aiohttp.ClientSession(proxy=address or proxy.url) as session,
        AlohubClient(KEY, endpoint="https://api.example", session=session, retry=once_more) as client,
    ):
        with pytest.raises(APIConnectionError) as caught:
            await client.queues.get_inbound(FIRST)
    assert caught.value.attempts == 2
    assert not caught.value.permanent
