"""What went wrong, as one line and an exit code."""

import enum
import os
import re
from typing import Final, Protocol, runtime_checkable

from alohub_async.cli.output import one_line
from alohub_async.errors import (
    AlohubError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RateLimitWaitError,
)


class ExitCode(enum.IntEnum):
    """How the command ended; `EXIT_CODES` has the meanings."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    DENIED = 4
    NOT_FOUND = 5
    OUT_OF_TIME = 6
    NOT_INSTALLED = 7
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


EXIT_CODES: Final = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "the API, the network or the output failed",
    ExitCode.USAGE: "wrong usage, or input that was refused",
    ExitCode.INCOMPLETE: "not provably complete: the list ended early, or moved",
    ExitCode.DENIED: "no API key, a wrong one, or one without the scope",
    ExitCode.NOT_FOUND: "no such queue",
    ExitCode.OUT_OF_TIME: "out of time: rate limit, timeout or deadline",
    ExitCode.NOT_INSTALLED: "the extra 'cli' is not installed",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.OUTPUT_CLOSED: "the reader of the output went away (| head)",
}
"""What each exit code means, as `alohub --help` tells it."""

# The first that fits counts.
_CODES: Final[tuple[tuple[type[AlohubError], ExitCode], ...]] = (
    (ConfigurationError, ExitCode.USAGE),
    (InvalidArgumentError, ExitCode.USAGE),
    (BadRequestError, ExitCode.USAGE),
    (AuthenticationError, ExitCode.DENIED),
    (PermissionDeniedError, ExitCode.DENIED),
    (NotFoundError, ExitCode.NOT_FOUND),
    (RateLimitError, ExitCode.OUT_OF_TIME),
    (RateLimitWaitError, ExitCode.OUT_OF_TIME),
    (APITimeoutError, ExitCode.OUT_OF_TIME),
)

_HINTS: Final[tuple[tuple[type[AlohubError], str], ...]] = (
    (AuthenticationError, "; is ALOHUB_API_KEY the key of this tenant and this environment?"),
    (PermissionDeniedError, "; ask for a key with the scope 'queue'"),
)

# What the SDK's messages call things, and how they are said here.
_WORDS: Final = {"Endpoint(…, allow_http=True)": "--allow-http", "restart=True": "--restart"}

_ANY_KEY: Final = re.compile(r"\bsk_[a-z]+_\w+")  # the vendor's page: sk_live_…
_LONGEST: Final = 200  # characters of an error of usage
_SHORTEST_KEY: Final = 6  # a shorter one is no key, and striking it out would spoil the message


class CommandError(Exception):
    """A failure the command itself found.

    Attributes:
        code: What to exit with.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


@runtime_checkable
class _UsageProblem(Protocol):
    """Typer's errors of usage. Some Typers have them from click, others from a copy of it, so they have no one name."""

    exit_code: int

    def format_message(self) -> str: ...


def describe(error: Exception) -> tuple[int, str]:
    """The exit code of an error, and the line that tells it: no line break, no key; empty if all was said already."""
    if isinstance(error, _UsageProblem):
        return error.exit_code, _usage_line(error)
    if isinstance(error, CommandError):
        return error.code, without_key(one_line(str(error)))
    if isinstance(error, AlohubError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)
        hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), "")
        message = str(error)
        for word, here in _WORDS.items():
            message = message.replace(word, here)
        return code, without_key(one_line(message) + hint)
    if isinstance(error, OSError):
        return ExitCode.FAILED, without_key(one_line(error.strerror or str(error)))
    told = f"this is a bug in alohub: {type(error).__name__}: {error}"
    return ExitCode.FAILED, without_key(one_line(told)) + " (--verbose shows where)"


def is_bug(error: Exception) -> bool:
    """Whether it is none of the failures a user, a network or a server brings about."""
    return not isinstance(error, _UsageProblem | CommandError | AlohubError | OSError)


def _usage_line(error: _UsageProblem) -> str:
    message = without_key(one_line(error.format_message()))
    if len(message) > _LONGEST:  # some Typers repeat what was given
        message = f"{message[:_LONGEST]}…"
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    return f"{message.removesuffix('.')}; see {command} --help" if message and command else message


def without_key(text: str) -> str:
    """The text with the key of the environment, and whatever looks like a key, struck out."""
    key = os.environ.get("ALOHUB_API_KEY", "")
    if len(key) >= _SHORTEST_KEY:
        text = text.replace(key, "***")
    return _ANY_KEY.sub("***", text)
