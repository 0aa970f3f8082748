"""Text from outside, made fit for a message, a log line or a terminal."""

import json
from typing import Final

_BLANK: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u2800\u3164\uffa0"
"""Letters and marks that show nothing; `str.isprintable` knows all other characters that do not."""


def printable(text: str, most: int = 500) -> str:
    """The text in one line of at most `most` characters; what cannot be seen is shown as `�`."""
    cut = len(text) > most
    text = " ".join(text[:most].split())
    if not text.isascii() or not text.isprintable():
        text = "".join(char if is_visible(char) else "�" for char in text)
    return f"{text[: most - 1]}…" if cut else text


def escaped(text: str) -> str:
    r"""JSON with `\uXXXX` for each character in its strings that cannot be seen."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if is_visible(char) or char == "\n" else _escape(char) for char in text)


def is_visible(char: str) -> bool:
    """Whether a character shows something, or is a plain space."""
    return char.isprintable() and char not in _BLANK


def _escape(char: str) -> str:
    quoted = json.dumps(char)[1:-1]  # as two surrogates, if it needs them
    return quoted if len(quoted) > 1 else f"\\u{ord(char):04x}"
