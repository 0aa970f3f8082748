"""JSON is decoded to the same result with and without the extra `speed`."""

import importlib.util
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.codec.decoding import decode_json
from alohub_async.config import Endpoint
from alohub_async.http.requests import build_request
from tests.routes import LIST_INBOUND
from tests.strategies import json_values

KEY = "sk_live_0123456789abcdef"
GATEWAY = Endpoint.production()
DIRECT = Endpoint.direct("https://backend.example")
LIST = build_request(LIST_INBOUND, GATEWAY)


# decode_json


def _decoder_without_msgspec() -> Callable[[bytes], Any]:
    """Return `decode_json` of a second copy of the module, loaded without the extra `speed`."""
    spec = importlib.util.find_spec("alohub_async.codec.decoding")
    assert spec is not None
    assert spec.loader is not None
    wire = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        spec.loader.exec_module(wire)
        decode: Callable[[bytes], Any] = wire.decode_json
        assert decode(b"[1]") == [1]  # the module looks for msgspec once, at this call
    return decode


decode_json_slowly = _decoder_without_msgspec()


def _outcome(decode: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return f"= {decode(body)!r}"  # repr distinguishes 1, 1.0 and True, and 0.0 and -0.0
    except ValueError:
        return "refused"


def test_speed_is_installed_here() -> None:
    """Otherwise the comparisons would compare the standard decoder with itself."""
    assert importlib.util.find_spec("msgspec") is not None


ODD_BODIES = [
    *(
        b"",
        b" ",
        b"null",
        b"true",
        b"0",
        b"-0",
        b"-0.0",
        b"1e5",
        b"1E400",
        b"-1e400",
        b"1e-400",
        b"2.5e-324",
        b"9007199254740993.0",
    ),
    *(b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"1" * 300, b"1" * 4300, b"1" * 4301),
    *(
        b"1" * 400 + b".0",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"--1",
        b"1e",
        b"0x10",
        b"1_0",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"[NaN]",
    ),
    *(
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'"\\ude00\\ud83d"',
        b'"\\ud83d\\ude00"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\xc0\x80"',
    ),
    *(
        b'"\x01"',
        b'"\x00"',
        b'"\n"',
        b'"\x7f"',
        b'"\\u0000"',
        b'"\\x41"',
        b'"\\u12"',
        b'"abc',
        b"'a'",
        b'"\xe2\x80\xa8"',
    ),
    *(
        b"\xef\xbb\xbf[1]",
        b"\xef\xbb\xbf",
        "[1]".encode("utf-16"),
        '{"é": 1}'.encode("utf-16-le"),
        '["đ"]'.encode("utf-32"),
        b"1\x00",
    ),
    *(
        b"[1,]",
        b"{,}",
        b'{"a":1,}',
        b"[1 2]",
        b'{"a":1,"a":2}',
        b"{1:2}",
        b"[1]x",
        b"[1]\x00",
        b"\x0c1",
        b"\xa01",
        b"// x\n1",
        b"[",
        b"]",
    ),
    *(b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300, b"[" * 100_000 + b"]" * 100_000, b"[" * 100_000),
    *(b"<html></html>", b"\xff\xfe", b"\x1f\x8b"),
]


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: ascii(body[:24]))
def test_odd_body_decodes_alike_with_and_without_speed(body: bytes) -> None:
    """Numbers beyond 64 bits, lone surrogates, byte order marks, other encodings, NaN, deep nesting: one result."""
    assert _outcome(decode_json, body) == _outcome(decode_json_slowly, body)


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_any_json_decodes_alike_with_and_without_speed(value: Any, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001  (Hypothesis gives it)
    """Every JSON value survives a round trip with either decoder, escaped or not."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    body = text.encode("utf-8", "surrogatepass")
    assert _outcome(decode_json, body) == _outcome(decode_json_slowly, body) == f"= {value!r}"


JSON_PIECES = [
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\\ude00",
        b"\\n",
        b" ",
        b"\n",
        b"\t",
        b"\x00",
        b"\x1f",
    ),
    *(
        b"0",
        b"1",
        b"-",
        b"+",
        b".",
        b"e",
        b"E",
        b"99999999999999999999",
        b"true",
        b"false",
        b"null",
        b"NaN",
        b"Infinity",
        b"a",
    ),
    *(b"\xef\xbb\xbf", b"\xc3\xa9", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b'"a":', b'"a"'),
]


@given(st.lists(st.sampled_from(JSON_PIECES), max_size=12).map(b"".join) | st.binary(max_size=24))
def test_any_bytes_decode_alike_with_and_without_speed(body: bytes) -> None:
    """Both decoders refuse the same bodies."""
    assert _outcome(decode_json, body) == _outcome(decode_json_slowly, body)


@pytest.mark.parametrize("decode", [decode_json, decode_json_slowly], ids=["speed", "plain"])
@pytest.mark.parametrize("number", ["1e400", "-1E+999", "1" * 400 + ".0", "NaN", "Infinity", "-Infinity"])
def test_number_that_is_not_finite_is_refused(number: str, decode: Callable[[bytes], Any]) -> None:
    """It would become a word that is not JSON in every file."""
    with pytest.raises(ValueError, match=r"is not JSON|is beyond the largest number"):
        decode(f'{{"a": [{number}]}}'.encode())


@pytest.mark.parametrize("decode", [decode_json, decode_json_slowly], ids=["speed", "plain"])
@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"a\tb", "a\tb"),
        (b"a\nb\x1bc\x00", "a\nb\x1bc\x00"),
        (b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        (b"\xe9\t", "\N{REPLACEMENT CHARACTER}\t"),
        ("Hỗ trợ ".encode() + b"\xc3", "Hỗ trợ \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_damaged_string_costs_itself_alone(raw: bytes, read: str, decode: Callable[..., Any]) -> None:
    """A raw control character is kept, and a byte of another encoding is replaced; strict refuses both."""
    body = b'{"data": [{"name": "' + raw + b'"}, {"name": "x"}]}'
    assert decode(body) == {"data": [{"name": read}, {"name": "x"}]}
    with pytest.raises(ValueError, match=r"at byte|at character"):
        decode(body, strict=True)


@pytest.mark.parametrize("decode", [decode_json, decode_json_slowly], ids=["speed", "plain"])
def test_error_does_not_hold_the_body(decode: Callable[..., Any]) -> None:
    """A traceback or a log of the error shows nothing of what came."""
    for body in (b'{"key": "sk_live_secret', b'"sk_live_secret\xff"'):
        with pytest.raises(ValueError, match="at") as caught:
            decode(body, strict=True)
        assert "secret" not in repr(vars(caught.value)) + repr(caught.value.args)
        assert caught.value.__suppress_context__
