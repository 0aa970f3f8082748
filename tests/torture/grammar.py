"""Hostile answers: bytes of a response, by name, for each call; some must fail, some must not, most may do either."""

import functools
import gzip
import json
import random
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import evolve, frozen

from tests.support import QUEUE, Step

if TYPE_CHECKING:
    from collections.abc import Callable

Call: TypeAlias = Literal["list", "get", "update", "request"]
Verdict: TypeAlias = Literal["either", "wrong", "right"]
"""What an answer is: an error of ours for sure, a result for sure, or one of both."""

_SUCCESS: Final = {"success": "1", "error_code": "SUCCESS"}
PAYLOADS: Final[Mapping[Call, Any]] = {
    "list": {**_SUCCESS, "totalRecord": 1, "data": [QUEUE]},
    "get": QUEUE,
    "update": {**_SUCCESS, "error_message": "updated"},
    "request": {**_SUCCESS, "data": QUEUE},
}
"""The right answer to each call."""

_BOMB: Final = 256 << 20
_KIB64: Final = 64 << 10


@frozen(kw_only=True)
class Hostile:
    """A response in parts.

    Attributes:
        body: As it is sent.
        status: What stands behind the version in the first line.
        version: The version in the first line.
        headers: Pairs, in order.
        length: The `Content-Length`; None for that of the body, "" for none.
        before: Bytes before the first line.
        after: Steps after the body.
        pieces: The number of bytes sent at a time; 0 sends all at once.
        verdict: What the answer is.
        once: Whether a write that is answered so must not be repeated.
    """

    body: bytes = b""
    status: bytes = b"200 OK"
    version: bytes = b"HTTP/1.1"
    headers: Sequence[tuple[bytes, bytes]] = ()
    length: bytes | None = None
    before: bytes = b""
    after: Sequence[Step] = ()
    pieces: int = 0
    verdict: Verdict = "either"
    once: bool = False

    @property
    def about_limits(self) -> bool:
        """Whether it says something about limits or times to wait."""
        names = b" ".join(name.lower() for name, _ in self.headers)
        return b"ratelimit" in names or b"retry-after" in names or self.status.startswith(b"429")

    def steps(self) -> Sequence[Step]:
        """Return what a server does."""
        length = b"%d" % len(self.body) if self.length is None else self.length
        headers = [*self.headers, *([(b"Content-Length", length)] if length else [])]
        if not any(name == b"Content-Type" for name, _ in headers):
            headers.append((b"Content-Type", b"application/json"))
        lines = [b"%s %s" % (self.version, self.status), *(b"%s: %s" % pair for pair in headers), b"", b""]
        data = self.before + b"\r\n".join(lines) + self.body
        size = self.pieces if self.pieces > 0 and len(data) < _KIB64 else len(data)
        return [*(data[start : start + size] for start in range(0, len(data), size)), *self.after]


Answers: TypeAlias = Iterable[tuple[str, Hostile]]
_SHUT: Final[Sequence[Step]] = ["close"]


def answers(call: Call) -> Mapping[str, Hostile]:
    """Return all hostile answers to a call by name."""
    right = json.dumps(PAYLOADS[call]).encode()
    families: list[Callable[[Call, bytes], Answers]] = [
        _encodings,
        _bombs,
        _lengths,
        _headers,
        _statuses,
        _texts,
        _values,
        _limits,
    ]
    return {name: hostile for family in families for name, hostile in family(call, right)}


def combined(call: Call, many: int, *, seed: int) -> Mapping[str, Hostile]:
    """Return combinations of two of them: the headers and the framing of one, the body and the status of another."""
    rng, single = random.Random(f"{call}{seed}"), answers(call)
    names = [name for name, hostile in single.items() if len(hostile.body) < _KIB64]

    def one(number: int) -> tuple[str, Hostile]:
        first, second, pieces = rng.choice(names), rng.choice(names), rng.choice([0, 0, 1, 7, 100])
        a, b = single[first], single[second]
        mixed = evolve(
            a,
            body=b.body,
            status=b.status,
            headers=[*a.headers, *b.headers],
            pieces=pieces,
            verdict="either",
            once=False,
        )
        return f"{number}: {first} + {second}", mixed

    return dict(map(one, range(many)))


def _encodings(_: Call, right: bytes) -> Answers:
    def encoded(encoding: bytes, body: bytes, verdict: Verdict = "either", *, once: bool = False) -> Hostile:
        return Hostile(body=body, headers=[(b"Content-Encoding", encoding)], verdict=verdict, once=once)

    packed, raw = gzip.compress(right), zlib.compress(right)[2:-4]
    for encoding in (b"gzip", b"GZIP", b"x-gzip"):
        yield (
            f"encoding: honest {encoding.decode()}",
            encoded(encoding, packed, "right" if encoding[0] == 103 else "either"),
        )
    yield "encoding: honest deflate", encoded(b"deflate", zlib.compress(right), "right")
    yield "encoding: raw deflate", encoded(b"deflate", raw)
    for encoding in (
        b"gzip",
        b"deflate",
        b"br",
        b"zstd",
        b"compress",
        b"snappy",
        b"identity",
        b"gzip, gzip",
        b"\xc3\xa9",
        b",",
    ):
        name = encoding.decode()
        false: Verdict = "wrong" if encoding in {b"gzip", b"br", b"zstd"} else "either"
        yield f"encoding: false {name}", encoded(encoding, right, false, once=false == "wrong")
        yield f"encoding: {name} of nothing", encoded(encoding, b"")
        yield f"encoding: random {name}", encoded(encoding, random.Random(name).randbytes(500), once=false == "wrong")
    yield "encoding: gzip cut off", encoded(b"gzip", packed[:-12], "wrong")
    yield "encoding: gzip with a wrong checksum", encoded(b"gzip", packed[:-8] + b"\x00" * 8)
    yield "encoding: gzip with more behind", encoded(b"gzip", packed + b"garbage")
    yield (
        "encoding: two members of gzip",
        encoded(b"gzip", packed[:0] + gzip.compress(right[:20]) + gzip.compress(right[20:])),
    )
    yield "encoding: gzip twice", encoded(b"gzip", gzip.compress(packed), "wrong")
    yield "encoding: gzip and gzip", encoded(b"gzip, gzip", gzip.compress(packed))
    two = [(b"Content-Encoding", b"gzip"), (b"Content-Encoding", b"identity")]
    yield "encoding: two headers", Hostile(body=packed, headers=two)


@functools.cache
def _packed_bombs() -> tuple[bytes, bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(_BOMB >> 20)) + packer.flush()
    return bomb, zlib.compress(b"0" * (_BOMB >> 1), 9)


def _bombs(_: Call, right: bytes) -> Answers:
    del right
    bomb, deflated = _packed_bombs()
    for status in (b"200 OK", b"500 Oops", b"429 Slow down", b"404 None"):
        gz = [(b"Content-Encoding", b"gzip")]
        yield (
            f"bomb: gzip {status.decode()}",
            Hostile(body=bomb, status=status, headers=gz, verdict="wrong", once=status[0] == 50),
        )
    yield (
        "bomb: deflate",
        Hostile(body=deflated, headers=[(b"Content-Encoding", b"deflate")], verdict="wrong", once=True),
    )
    again = [(b"Content-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked")]
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)
    yield "bomb: gzip in chunks", Hostile(body=chunked, headers=again, length=b"", verdict="wrong", once=True)


def _lengths(_: Call, right: bytes) -> Answers:
    size = len(right)
    for name, length in {
        "none": b"",
        "longer": b"%d" % (size + 7),
        "shorter": b"%d" % (size - 7),
        "zero": b"0",
        "negative": b"-1",
        "signed": b"+%d" % size,
        "listed": b"%d, %d" % (size, size),
        "hexadecimal": b"0x%x" % size,
        "fractional": b"%d.0" % size,
        "huge": b"1" + b"0" * 30,
        "digits": b"9" * 5000,
        "words": b"many",
        "underscored": b"1_0",
        "Arabic": "١٢".encode(),
    }.items():
        verdict: Verdict = "right" if name == "none" else "wrong" if name in {"longer", "huge", "words"} else "either"
        yield f"length: {name}", Hostile(body=right, length=length, after=_SHUT, verdict=verdict)
    for other in (b"%d" % size, b"%d" % (size - 1), b"0"):
        yield f"length: twice, {other.decode()}", Hostile(body=right, headers=[(b"Content-Length", other)], after=_SHUT)
    chunks = [(b"Transfer-Encoding", b"chunked")]
    whole = b"%x\r\n%s\r\n" % (size, right)
    chunked: Sequence[tuple[str, bytes, Verdict]] = (
        ("honest", whole + b"0\r\n\r\n", "right"),
        ("bytewise", b"".join(b"1\r\n%c\r\n" % byte for byte in right) + b"0\r\n\r\n", "right"),
        ("without an end", whole, "wrong"),
        ("of a bad size", b"xyz\r\n" + right, "wrong"),
        ("of a huge size", b"f" * 40 + b"\r\n" + right, "wrong"),
        ("of a negative size", b"-5\r\n" + right, "wrong"),
        ("with a long extension", b"%x;%s\r\n%s\r\n0\r\n\r\n" % (size, b"a" * _KIB64, right), "either"),
        ("with trailers", whole + b"0\r\nX-A: b\r\nContent-Length: 3\r\n\r\n", "either"),
        ("with endless trailers", whole + b"0\r\n" + b"X-A: b\r\n" * 20_000, "either"),
        ("shorter than said", b"%x\r\n%s\r\n0\r\n\r\n" % (size + 4, right), "either"),
        ("longer than said", b"%x\r\n%s\r\n0\r\n\r\n" % (size - 4, right), "wrong"),
        ("with bare line feeds", whole.replace(b"\r\n", b"\n") + b"0\n\n", "either"),
    )
    for name, body, told in chunked:
        yield f"chunks: {name}", Hostile(body=body, headers=chunks, length=b"", after=_SHUT, verdict=told)
    yield "chunks: and a length", Hostile(body=whole + b"0\r\n\r\n", headers=chunks, after=_SHUT)
    yield "chunks: twice", Hostile(body=whole + b"0\r\n\r\n", headers=chunks * 2, length=b"", after=_SHUT)
    yield "bytes: one at a time", Hostile(body=right, pieces=1, verdict="right")
    yield "bytes: more behind", Hostile(body=right, after=[b"more", "close"])
    yield "bytes: a second response", Hostile(body=right, after=[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
    yield "bytes: stalled in the body", Hostile(body=right[:10], length=b"%d" % size, after=[1000.0], verdict="wrong")
    drip: list[Step] = [step for byte in right[10:] for step in (bytes([byte]), 7.0)]
    yield "bytes: dripping", Hostile(body=right[:10], length=b"%d" % size, after=drip, verdict="wrong")
    endless: list[Step] = [*[b" " * (1 << 20)] * 80, "close"]
    yield "bytes: endless", Hostile(length=b"", after=endless, verdict="wrong")


def _headers(_: Call, right: bytes) -> Answers:
    odd: Mapping[str, Sequence[tuple[bytes, bytes]]] = {
        "8,000 bytes": [(b"X-A", b"a" * 8000)],
        "64 KiB": [(b"X-A", b"a" * _KIB64)],
        "a name of 64 KiB": [(b"a" * _KIB64, b"x")],
        "thousands": [(b"X-%d" % number, b"x") for number in range(5000)],
        "a space in a name": [(b"X A", b"x")],
        "no name": [(b"", b"x")],
        "folded": [(b"X-A", b"a\r\n b")],
        "a NUL": [(b"X-A", b"a\0b")],
        "a carriage return": [(b"X-A", b"a\rb")],
        "Latin-1": [(b"X-A", b"\xe9")],
        "escapes": [(b"X-Request-ID", b"\x1b[2J\x1b]0;x\x07")],
        "request id of 7 KB": [(b"X-Request-ID", b"i" * 7000)],
        "request id of C1": [(b"X-Request-ID", b"\xc2\x9b2J\xe2\x80\xae")],
        "two types": [(b"Content-Type", b"application/json"), (b"Content-Type", b"text/html")],
        "unknown charset": [(b"Content-Type", b"application/json; charset=klingon")],
        "no type": [(b"Content-Type", b"")],
        "type of a page": [(b"Content-Type", b"text/html")],
        "cookies": [(b"Set-Cookie", b"a=b; Domain=.com; Path=/")] * 50,
        "closing": [(b"Connection", b"close, keep-alive, upgrade"), (b"Upgrade", b"h2c")],
        "location": [(b"Location", b"http://127.0.0.1:1/")],
        "many of one": [(b"X-RateLimit-Limit", b"%d" % number) for number in range(100)],
        "date": [(b"Date", b"Thu, 99 Foo 99999 25:61:61 GMT")],
    }
    for name, headers in odd.items():
        for status in (b"200 OK", b"503 Down"):
            verdict: Verdict = "wrong" if status[0] == 53 else "either"
            yield (
                f"headers: {name}, {status.decode()}",
                Hostile(body=right, headers=headers, status=status, verdict=verdict),
            )


def _statuses(_: Call, right: bytes) -> Answers:
    codes = chain(
        (99,),
        (100, 101, 199),
        (201, 204, 205, 206, 226, 299),
        (300, 301, 304, 307, 308, 399),
        (402, 407, 408, 409, 413, 418, 421, 425, 426, 428, 431, 451, 499),
        (501, 505, 511, 520, 521, 522, 523, 524, 525, 529, 530, 598, 599),
        (600,),
        (999,),
    )
    for code in codes:
        verdict: Verdict = "wrong" if code >= 300 else "either"
        for name, body in {"": right, " empty": b"", " page": b"<html><h1>no</h1></html>"}.items():
            yield f"status: {code}{name}", Hostile(body=body, status=b"%d X" % code, after=_SHUT, verdict=verdict)
    for name, status in {
        "no reason": b"200",
        "four digits": b"2000 OK",
        "negative": b"-200 OK",
        "two digits": b"20 OK",
        "no number": b"OK",
        "empty": b"",
        "reason of 64 KiB": b"200 " + b"r" * _KIB64,
        "failure with a reason of 7 KB": b"500 " + b"r" * 7000,
        "failure with escapes": b"500 \x1b[31m\x07",
        "Arabic": "٢٠٠ OK".encode(),
    }.items():
        yield f"status: {name}", Hostile(body=right, status=status, after=_SHUT)
    for version in (
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"ICY",
        b"http/1.1",
        b"HTTP/1.1.1",
        b"RTSP/1.0",
    ):
        yield f"version: {version.decode()}", Hostile(body=right, version=version, after=_SHUT)
    for name, before in {
        "continued": b"HTTP/1.1 100 Continue\r\n\r\n" * 30,
        "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "switched": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "endlessly continued": b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
        "blank lines": b"\r\n" * 10,
        "a banner": b"220 smtp ready\r\n",
        "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    }.items():
        verdict = "right" if name in {"continued", "early hints"} else "either"
        yield f"before: {name}", Hostile(body=right, before=before, after=_SHUT, verdict=verdict)


_EXTREME: Final = ("1e400", "-1e400", "1E400", "1e-400", "-0")
_NO_JSON: Final = ("NaN", "Infinity", "-Infinity", "01", "+1", "0x1", "1.", ".5")


def _texts(call: Call, right: bytes) -> Answers:
    """Bodies that are odd as JSON."""
    depths = {
        f"{depth} {opening.decode()}": opening * depth for depth in (500, 5000, 200_000) for opening in (b"[", b'{"a":')
    }
    closed = {f"{depth} closed": b"[" * depth + b"]" * depth for depth in (500, 5000, 200_000)}
    inside = {f"{depth} inside": _with(right, b"[" * depth + b"]" * depth) for depth in (500, 5000, 200_000)}
    texts: Mapping[str, bytes] = {
        **{f"depth: {name}": text for name, text in {**depths, **closed, **inside}.items()},
        **{f"digits: {many}": _with(right, b"9" * many) for many in (20, 400, 5000, 1_000_000)},
        **{f"number: {number}": _with(right, number.encode()) for number in (*_EXTREME, *_NO_JSON)},
        "twice: success": right[:-1] + b', "success": "0"}',
        "twice: failure": b'{"success": "0", ' + right[1:],
        "twice: data": right[:-1] + b', "data": []}',
        "twice: id": right[:-1] + b', "callinId": 5}',
        "text: empty": b"",
        "text: blank": b" \r\n\t",
        "text: a megabyte of blanks": b" " * (1 << 20),
        "text: cut off": right[:-3],
        "text: more behind": right + b"}",
        "text: twice": right + right,
        "text: NUL": right + b"\0",
        "text: marked": b"\xef\xbb\xbf" + right,
        "text: UTF-16": right.decode().encode("utf-16"),
        "text: UTF-32": right.decode().encode("utf-32"),
        "text: Latin-1": _with(right, b'"caf\xe9"'),
        "text: a tab": _with(right, b'"a\tb"'),
        "text: a raw NUL": _with(right, b'"a\0b"'),
        "text: half a pair": _with(right, b'"\\ud800"'),
        "text: surrogate bytes": _with(right, b'"\xed\xa0\x80"'),
        "text: escapes": _with(right, b'"\\u001b[2J\\u202e\\u009b"'),
        "text: single quotes": right.replace(b'"', b"'"),
        "text: a comment": b"/* */" + right,
        "text: a prefix": b")]}',\n" + right,
        "text: a trailing comma": right[:-1] + b",}",
        "text: a word": b"OK",
        "text: a page": b"<html>" + b"<p>" * 1000,
        "text: 2 MB of a string": _with(right, b'"' + b"s" * (2 << 20) + b'"'),
        "text: 100,000 keys": b"{" + b",".join(b'"k%d": 1' % number for number in range(100_000)) + b"}",
        "text: keys of 100 KB": b'{"%s": 1}' % (b"k" * 100_000),
    }
    wrong = {"text: empty", "text: blank", "text: cut off", "text: a word", "text: a page", "twice: success"}
    for name, text in texts.items():
        verdict: Verdict = "wrong" if name in wrong and (call != "get" or not name.startswith("twice")) else "either"
        yield name, Hostile(body=text, verdict=verdict)
        if name.startswith(("text", "depth")):
            yield f"{name}, 500", Hostile(body=text, status=b"500 Oops", verdict="wrong")


def _with(right: bytes, value: bytes) -> bytes:
    """Put a value into the right answer, under a name that the SDK does not know."""
    return (
        right.replace(b'"callinName": "test"', b'"callinName": "test", "other": ' + value)
        if b"callinName" in right
        else (right[:-1] + b', "other": ' + value + b"}")
    )


def _values(call: Call, right: bytes) -> Answers:
    """Bodies that are JSON, with odd values."""
    payload = json.loads(right)
    odd: Sequence[Any] = [
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**30,
        1e308,
        "",
        " ",
        "x",
        "1",
        "01",
        "٣",
        [],
        {},
        [None],
        [[]],
        {"a": {}},
    ]
    for number, value in enumerate(odd):
        yield f"value: {number} alone", Hostile(body=json.dumps(value).encode())
        names = ["success", "error_code", "error_message"] + {
            "list": ["data", "totalRecord"],
            "get": [*QUEUE],
            "update": [],
            "request": ["data"],
        }[call]
        for name in names:
            yield f"value: {name} {number}", Hostile(body=json.dumps({**payload, name: value}).encode())
        if call == "list":
            yield f"value: record {number}", Hostile(body=json.dumps({**payload, "data": [value]}).encode())
            for name in QUEUE:
                record = {**QUEUE, name: value}
                yield f"value: data.{name} {number}", Hostile(body=json.dumps({**payload, "data": [record]}).encode())
    long = {"success": "0", "error_code": "E" * 100_000, "error_message": "m\x1b[2J\u202e\x9b" * 30_000}
    for status in (b"200 OK", b"400 Bad", b"500 Oops"):
        yield (
            f"value: long messages {status.decode()}",
            Hostile(body=json.dumps(long).encode(), status=status, verdict="wrong"),
        )
    if call == "list":
        records = [{"callinId": 10**9 + number, "callinName": "n"} for number in range(3000)]
        yield (
            "value: more records than asked",
            Hostile(body=json.dumps({**payload, "totalRecord": 1, "data": records}).encode()),
        )
        yield "value: a total of 10^9", Hostile(body=json.dumps({**payload, "totalRecord": 10**9}).encode())
        same = [dict(QUEUE)] * 100
        yield (
            "value: one record 100 times",
            Hostile(body=json.dumps({**payload, "totalRecord": 100, "data": same}).encode()),
        )


def _limits(_: Call, right: bytes) -> Answers:
    """Odd rate limits, and odd times to wait."""
    numbers = [
        b"0",
        b"1",
        b"-1",
        b"1.5",
        b"1e308",
        b"1e400",
        b"nan",
        b"inf",
        b"-inf",
        b"",
        b"x",
        b"9" * 400,
        "٣".encode(),
    ]
    numbers += [
        b"86400",
        b"1700000000",
        b"1700000000000",
        b"100;w=86400",
        b"100;w=0",
        b"5, 100;w=1e9",
        b"0x10",
        b"1_000",
    ]
    fields = [b"X-RateLimit-Limit-Tenant", b"X-RateLimit-Remaining-Tenant", b"X-RateLimit-Remaining-Route"]
    fields += [b"X-RateLimit-Limit", b"X-RateLimit-Remaining", b"X-RateLimit-Reset", b"RateLimit", b"RateLimit-Policy"]
    usual = dict.fromkeys(fields[:3], b"100") | {b"X-RateLimit-Limit-Route": b"50", fields[2]: b"40"}
    refusal = b'{"success": "0", "error_code": "RATE_LIMIT_EXCEEDED", "error_message": "later"}'
    for number in numbers:
        shown = number.decode()[:20]
        for name in fields:
            headers = [*{**usual, name: number}.items()]
            yield f"limits: {name.decode()} {shown}", Hostile(body=right, headers=headers)
            yield (
                f"limits: 429 {name.decode()} {shown}",
                Hostile(body=refusal, status=b"429 Slow", headers=headers, verdict="wrong"),
            )
        for status in (b"429 Slow", b"503 Down", b"200 OK"):
            waits = [(b"Retry-After", number)]
            verdict: Verdict = "either" if status[0] == 50 else "wrong"
            body = right if status[0] == 50 else refusal
            yield f"waits: {status.decode()} {shown}", Hostile(body=body, status=status, headers=waits, verdict=verdict)
    for date in (
        b"Fri, 31 Dec 9999 23:59:59 GMT",
        b"Thu, 01 Jan 1970 00:00:00 GMT",
        b"Fri, 31 Dec 99999 23:59:59 GMT",
        b"tomorrow",
    ):
        waits = [(b"Retry-After", date)]
        yield f"waits: {date.decode()}", Hostile(body=refusal, status=b"429 Slow", headers=waits, verdict="wrong")
    nothing = [(b"X-RateLimit-Limit-Tenant", b"0"), (b"X-RateLimit-Remaining-Tenant", b"0"), (b"Retry-After", b"86400")]
    yield "limits: nothing at all", Hostile(body=refusal, status=b"429 Slow", headers=nothing, verdict="wrong")
