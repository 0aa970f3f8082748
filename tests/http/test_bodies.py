"""Bodies of any length and coding over sockets: what is read of them, and what is said about the rest."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from alohub_async import AlohubClient, APIResponseError, APIStatusError, NotFoundError, RateLimitError, RetryPolicy
from alohub_async.http.responses import MAX_ERROR_BYTES
from tests.support import CALLS, FIRST, QUEUE, RawServer, http, until

if TYPE_CHECKING:
    from tests.support import Step

KEY: Final = "sk_live_0123456789abcdef"
TWICE_MORE: Final = RetryPolicy(max_retries=2, backoff=0)
GZIP_OF_GZIP: Final = 16 + zlib.MAX_WBITS
LIST_BODY: Final = json.dumps({"success": "1", "totalRecord": 1, "data": [QUEUE]}).encode()
ANSWERS: Final = {
    "list": LIST_BODY,
    "paginate": LIST_BODY,
    "request": LIST_BODY,
    "get": json.dumps(QUEUE).encode(),
    "update": b'{"success": "1"}',
}


def _raw_deflate(data: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(data) + compress.flush()


def _br(data: bytes) -> bytes:
    return bytes(pytest.importorskip("brotli").compress(data, quality=1))


def _zstd(data: bytes) -> bytes:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return bytes(pytest.importorskip(name).compress(data))


CODINGS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "two members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without header": (" deflate ", _raw_deflate),
    "br": ("br", _br),
    "zstd": ("zstd", _zstd),
    "identity": ("identity", bytes),
    "empty": ("", bytes),
}


def _client(server: RawServer, **options: Any) -> AlohubClient:
    keywords: dict[str, Any] = {"retry": TWICE_MORE, **options}
    return AlohubClient(KEY, endpoint=server.url, **keywords)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", CODINGS)
async def test_every_coding_is_undone(name: str, call: str) -> None:
    """The answer is the same in each coding, for each call."""
    coding, encode = CODINGS[name]
    answer = http(encode(ANSWERS[call]), headers={"Content-Encoding": coding})
    async with RawServer(lambda _: [answer]) as server, _client(server) as client:
        await CALLS[call](client)
    assert len(server.requests) == 1


OLD_BROTLI: Final = """
import sys, types
sys.modules["brotlicffi"] = None
sys.modules["brotli"] = types.SimpleNamespace(Decompressor=object)
from alohub_async.http.decompression import accept_encoding
print(accept_encoding()["Accept-Encoding"])
"""


async def test_only_what_can_be_decoded_is_accepted() -> None:
    """A Brotli that cannot limit its output is not offered to servers, although aiohttp would."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OLD_BROTLI, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    output, _ = await running.communicate()
    assert output.decode().strip().split(", ")[:2] == ["gzip", "deflate"]
    assert "br" not in output.decode()


@pytest.mark.parametrize("pause", [0, 0.01])
async def test_compressed_body_may_come_byte_by_byte(pause: float) -> None:
    """The pieces are joined, wherever they are cut."""
    answer = http(gzip.compress(ANSWERS["get"]), headers={"Content-Encoding": "gzip"})
    steps: list[Step] = [
        step for at in range(len(answer)) for step in (answer[at : at + 1], pause if at % 40 == 0 else 0)
    ]
    async with RawServer(lambda _: steps) as server, _client(server) as client:
        assert (await client.queues.get_inbound(FIRST)).id == FIRST


def _over(size: int) -> bytes:
    return b'{"success": "1", "data": "' + b" " * size + b'"}'


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", CODINGS)
async def test_long_body_is_an_error_that_is_not_repeated(name: str, call: str) -> None:
    """The decompressed bytes count, in each coding and for each call; the error names the option."""
    coding, encode = CODINGS[name]
    answer = http(encode(_over(1_000_000)), headers={"Content-Encoding": coding})
    async with RawServer(lambda _: [answer]) as server, _client(server, max_response_bytes=500_000) as client:
        with pytest.raises(APIResponseError, match="max_response_bytes=500000") as caught:
            await CALLS[call](client)
        assert not caught.value.undecodable
        assert len(server.requests) == 1


@pytest.mark.parametrize("cut", [None, -50])
async def test_body_of_just_the_most_bytes_is_read(cut: int | None) -> None:
    """The limit itself is allowed, whether the body came at once or in two parts."""
    answer = http(LIST_BODY)
    steps: list[Step] = [answer] if cut is None else [answer[:cut], 0.02, answer[cut:]]
    async with RawServer(lambda _: steps) as server:
        async with _client(server, max_response_bytes=len(LIST_BODY)) as client:
            assert await client.queues.list_inbound().collect()
        async with _client(server, max_response_bytes=len(LIST_BODY) - 1) as client:
            with pytest.raises(APIResponseError, match="max_response_bytes"):
                await client.queues.list_inbound().collect()


async def test_body_without_end_is_given_up() -> None:
    """A body that is sent on and on, chunk by chunk, ends at the limit."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    async with (
        RawServer(lambda _: [head, *[chunk] * 1000]) as server,
        _client(server, max_response_bytes=1 << 20) as client,
    ):
        with pytest.raises(APIResponseError, match="max_response_bytes"):
            await client.queues.get_inbound(FIRST)
        await until(lambda: server.connected == 0)  # the rest is not waited for


async def test_empty_members_without_end_are_given_up() -> None:
    """A coding that is applied to very many empty parts costs little."""
    answer = http(gzip.compress(b"") * 100_000, headers={"Content-Encoding": "gzip"})
    async with RawServer(lambda _: [answer]) as server, _client(server) as client:
        with pytest.raises(APIResponseError, match="more than 1000 parts"):
            await client.queues.update_inbound(FIRST, max_wait=1)


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize(("status", "kind"), [(404, NotFoundError), (429, RateLimitError), (418, APIStatusError)])
async def test_long_body_of_a_failure_is_cut(name: str, status: int, kind: type[APIStatusError]) -> None:
    """Its status decides, and its beginning is shown."""
    coding, encode = CODINGS[name]
    body = encode(b"<html>" + b"x" * 1_000_000 + os.urandom(1_000_000))
    answer = http(body, status=status, headers={"Content-Encoding": coding, "X-Request-Id": "r1"})
    once = RetryPolicy(max_retries=0)
    async with RawServer(lambda _: [answer]) as server, _client(server, retry=once, max_response_bytes=None) as client:
        with pytest.raises(kind) as caught:
            await client.queues.get_inbound(FIRST)
    assert caught.value.body.startswith("<html>xxx")
    assert len(caught.value.body) <= 500
    assert caught.value.request_id == "r1"


async def test_code_of_a_short_failure_is_read_in_any_coding() -> None:
    """A failure's JSON is decompressed like that of a success."""
    body = gzip.compress(b'{"success": "0", "error_code": "NOT_FOUND", "error_message": "x"}')
    answer = http(body, status=400, headers={"Content-Encoding": "gzip"})
    async with RawServer(lambda _: [answer]) as server, _client(server) as client:
        with pytest.raises(NotFoundError):
            await client.queues.get_inbound(FIRST)


async def test_no_part_of_a_key_is_left_where_a_body_is_cut() -> None:
    """A body of nothing but keys is cut inside a key; no beginning of it is shown."""
    key = "sk_live_" + "k" * 700
    answer = http(key.encode() * 100, status=418)
    async with RawServer(lambda _: [answer]) as server, AlohubClient(key, endpoint=server.url) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.queues.get_inbound(FIRST)
    assert caught.value.body.startswith("[redacted]")
    assert "sk_" not in caught.value.body
    assert len(key) * 100 > MAX_ERROR_BYTES


UNREADABLE: Final = {
    "unknown": ("snappy", b"{}"),
    "several": ("gzip, gzip", gzip.compress(gzip.compress(LIST_BODY))),
    "long name": ("x" * 5000, LIST_BODY),
    "plain as gzip": ("gzip", LIST_BODY),
    "plain as deflate": ("deflate", LIST_BODY),
    "broken gzip": ("gzip", gzip.compress(LIST_BODY)[:20] + b"\0" * 40),
    "gzip and more": ("gzip", gzip.compress(LIST_BODY) + b"more"),
    "plain as br": ("br", LIST_BODY),
    "plain as zstd": ("zstd", LIST_BODY),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("call", CALLS)
async def test_unreadable_coding_is_a_wrong_answer(name: str, call: str) -> None:
    """The error names the header; a read is tried again, a write is not."""
    coding, body = UNREADABLE[name]
    answer = http(body, headers={"Content-Encoding": coding})
    async with RawServer(lambda _: [answer]) as server, _client(server) as client:
        with pytest.raises(APIResponseError, match=r"HTTP 200, but its? .*Content-Encoding") as caught:
            await CALLS[call](client)
        assert len(str(caught.value)) < 400
        assert len(server.requests) == (1 if call == "update" else 3)


@pytest.mark.parametrize("name", UNREADABLE)
async def test_unreadable_body_of_a_failure_leaves_its_status(name: str) -> None:
    """A 404 is a 404, in whatever coding."""
    coding, body = UNREADABLE[name]
    answer = http(body, status=404, headers={"Content-Encoding": coding})
    async with RawServer(lambda _: [answer]) as server, _client(server) as client:
        with pytest.raises(NotFoundError):
            await client.queues.get_inbound(FIRST)


BOMB: Final = """
import asyncio, json, pathlib, re, sys, time
from alohub_async import AlohubClient, AlohubError, RetryPolicy

async def main(url):
    async with AlohubClient("sk_live_0123456789abcdef", endpoint=url, retry=RetryPolicy(max_retries=0)) as client:
        began = time.process_time()
        try:
            await client.queues.list_inbound().collect()
        except AlohubError as error:
            shown = f"{type(error).__name__}: {error}"
        seconds = time.process_time() - began
    status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss has the parent's memory as well
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024  # MiB
    print(json.dumps([shown, seconds, peak]))

asyncio.run(main(sys.argv[1]))
"""


def _bomb() -> bytes:
    """1 MiB of gzip, 1 GiB without; its end, which nobody reads, is missing."""
    compress, blanks = zlib.compressobj(9, wbits=GZIP_OF_GZIP), b" " * (1 << 20)
    first, again = (compress.compress(blanks) + compress.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 1023


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
@pytest.mark.parametrize(
    ("status", "shown"), [(200, "APIResponseError"), (500, "InternalServerError"), (429, "RateLimitError")]
)
async def test_gzip_bomb_takes_little_memory_and_time(status: int, shown: str) -> None:
    """A MiB that becomes a GiB, as a list and as a failure, ends in an error within 150 MB and 2 s."""
    answer = http(_bomb(), status=status, headers={"Content-Encoding": "gzip"})
    async with RawServer(lambda _: [answer]) as server:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BOMB, server.url, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        output, _ = await running.communicate()
    error, seconds, peak = json.loads(output)
    assert error.startswith(shown)
    assert peak < 150
    assert seconds < 2
