"""What an error may show of an answer: never the API key, and no more than an excerpt."""

import functools
import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final
from urllib.parse import quote

_EXCERPT: Final = 500  # characters of a body that an error carries
_SECRET_MIN: Final = 4  # a shorter "key" would blot out ordinary words


def redacted(text: str, secret: str) -> str:
    """The text without the key, in whatever spelling, and without lone surrogates."""
    if len(secret) >= _SECRET_MIN:
        for spelling in _spellings(secret):
            text = text.replace(spelling, "[redacted]")
    return text.encode(errors="backslashreplace").decode()  # half a surrogate pair could not be printed


@functools.lru_cache(maxsize=4)
def _spellings(secret: str) -> Sequence[str]:
    """How an answer may repeat the key: as it is, or as JSON, HTML or a URL writes it; the longest first."""
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
    # Redacted before it is cut, so that no half of a key is left at the end.
    text = redacted(body.decode(errors="replace"), secret)[:_EXCERPT]
    return "".join(char if char.isprintable() else " " for char in text).strip()
