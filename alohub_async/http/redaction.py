"""What an error may show of a response: an excerpt at most, and never the API key."""

import functools
import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final
from urllib.parse import quote

from alohub_async.printable import printable

_EXCERPT: Final = 500  # characters of a body that an error carries
_LOOKED_AT: Final = 4096  # characters of a text that are redacted to show its beginning
_SECRET_MIN: Final = 4  # a shorter "key" would also match ordinary words


def redacted(text: str, secret: str) -> str:
    """The text with every encoding of the key replaced, and lone surrogates escaped."""
    if len(secret) >= _SECRET_MIN:
        for encoded in _encodings(secret):
            text = text.replace(encoded, "[redacted]")
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate cannot be printed


@functools.lru_cache(maxsize=4)
def _encodings(secret: str) -> Sequence[str]:
    """The forms in which a response may repeat the key: plain, or encoded in JSON, HTML or a URL; longest first."""
    import html

    in_json = json.dumps(secret)[1:-1]
    forms = {secret, in_json, in_json.replace("/", "\\/"), html.escape(secret), quote(secret, safe="")}
    return sorted(forms, key=len, reverse=True)


def redacted_headers(headers: MutableMapping[str, str], secret: str) -> Mapping[str, str]:
    """The headers, each value redacted in place."""
    for name, value in list(headers.items()):
        headers[name] = redacted(value, secret)
    return headers


def shown(text: str, secret: str, most: int) -> str:
    """The beginning of a text, redacted and printable, in one line of at most `most` characters."""
    begin = text[:_LOOKED_AT]
    safe = redacted(begin, secret)
    if len(begin) < len(text) and len(secret) >= _SECRET_MIN:
        safe = _without_end(safe, secret)
    return printable(safe, most)


def _without_end(text: str, secret: str) -> str:
    """The text without a beginning of the key at its end, where it was cut."""
    for encoded in _encodings(secret):
        lengths = range(len(encoded) - 1, 0, -1)
        text = text.removesuffix(next((encoded[:n] for n in lengths if text.endswith(encoded[:n])), ""))
    return text


def excerpt_of(body: bytes, secret: str) -> str:
    """The printable beginning of a body, redacted."""
    return shown(body[: _LOOKED_AT + 1].decode(errors="replace"), secret, _EXCERPT)
