"""Text from outside is made fit for one line of a message."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.printable import escaped, printable
from tests.strategies import any_text

UNSEEN = (
    "\x00\x1b\x7f\x80\x9b\u00ad\u034f\u061c\u200b\u200c\u200d\u200e"
    "\u202a\u202e\u2060\u2066\u2069\u2800\u3164\ufeff\U000e0041\ud800"
)


@pytest.mark.parametrize("char", UNSEEN, ids=ascii)
def test_what_cannot_be_seen_is_replaced_or_escaped(char: str) -> None:
    """Controls, direction overrides, zero-width characters, fillers and lone surrogates."""
    assert printable(f"a{char}b") == "a\N{REPLACEMENT CHARACTER}b"
    text = json.dumps([f"a{char}b"], ensure_ascii=False, indent=2)
    assert char not in escaped(text)
    assert json.loads(escaped(text)) == [f"a{char}b"]


@pytest.mark.parametrize("text", ["", "Hỗ trợ", "Ho\u0302\u0303 tro\u031b\u0323", "❤\ufe0f 🇻🇳", "日本", "a b"])
def test_ordinary_text_stays(text: str) -> None:
    """Letters, marks and emoji of every language are left as they are."""
    assert printable(text) == text
    assert escaped(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)


@given(any_text, st.integers(1, 40))
def test_any_text_fits(text: str, most: int) -> None:
    """One line, not too long, and nothing in it that controls a terminal."""
    line = printable(text, most)
    assert len(line) <= most
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.dictionaries(any_text, any_text))
def test_any_json_is_escaped_without_loss(value: dict[str, str]) -> None:
    """The same value is read back, and UTF-8 can hold the text."""
    text = escaped(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    assert json.loads(text.encode()) == value
    assert text.replace("\n", "").isprintable()
