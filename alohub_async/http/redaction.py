"""What an error may show of a response: an excerpt at most. `alohub_async.secret` strikes the key out of it."""

from typing import Final, TypeVar

from alohub_async.errors import AlohubError
from alohub_async.printable import printable
from alohub_async.secret import redacted

ErrorT = TypeVar("ErrorT", bound=BaseException)

_READ: Final = 8192  # bytes of a body that are looked at
_EXCERPT: Final = 500  # characters of a body that an error carries


def shown(text: str, most: int) -> str:
    """The beginning of a text, redacted and printable, in one line of at most `most` characters."""
    # Redacted before it is truncated, so that no part of a key remains at the end.
    return printable(redacted(text[:_READ], cut=len(text) > _READ), most)


def excerpt_of(body: bytes) -> str:
    """The printable beginning of a body, redacted."""
    return shown(body[: _READ + 1].decode(errors="replace"), _EXCERPT)


def bare(error: ErrorT) -> ErrorT:
    """The error without what may hold headers and bodies: the frames it passed, and causes that are not ours."""
    cause = error.__cause__
    error.__cause__ = bare(cause) if isinstance(cause, AlohubError) else None
    error.__context__ = None
    return error.with_traceback(None)
