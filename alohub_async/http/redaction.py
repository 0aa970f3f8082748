"""What an error may show of a response: an excerpt at most, and never the API key."""

import functools
import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final
from urllib.parse import quote

_EXCERPT: Final = 500  # characters of a body that an error carries
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


def excerpt_of(body: bytes, secret: str) -> str:
    """The printable beginning of a body, redacted."""
    # Redacted before it is truncated, so that no part of a key remains at the end.
    text = redacted(body.decode(errors="replace"), secret)[:_EXCERPT]
    return "".join(char if char.isprintable() else " " for char in text).strip()
