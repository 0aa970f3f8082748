"""What an error may show of a response: an excerpt at most. `alohub_async.secret` strikes the key out of it."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from alohub_async.errors import AlohubError
from alohub_async.secret import redacted

P = ParamSpec("P")
T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=BaseException)

_READ: Final = 8192  # bytes of a body that are looked at
_EXCERPT: Final = 500  # characters of a body that an error carries


def excerpt_of(body: bytes) -> str:
    """The printable beginning of a body, redacted."""
    # Redacted before it is truncated, so that no part of a key remains at the end.
    text = redacted(body[:_READ].decode(errors="replace"), cut=len(body) > _READ)
    return "".join(char if char.isprintable() else " " for char in text[:_EXCERPT]).strip()


def bare(error: ErrorT) -> ErrorT:
    """The error without what may hold headers and bodies: the frames it passed, and causes that are not ours."""
    cause = error.__cause__
    error.__cause__ = bare(cause) if isinstance(cause, AlohubError) else None
    error.__context__ = None
    return error.with_traceback(None)


def decoded(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function reads out of a payload. Its errors leave without frames: these hold the payload."""
    try:
        return read(*args, **kwargs)
    except AlohubError as error:
        del args, kwargs
        failed = bare(error)
    raise failed
