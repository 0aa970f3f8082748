"""Failures as one line and an exit code."""

import enum
import os
import re
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol, runtime_checkable

import typer

from alohub_async import errors
from alohub_async.cli.output import OutputClosedError, one_line


class ExitCode(enum.IntEnum):
    """How the command ended; `EXIT_CODES` has the meanings."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    DENIED = 4
    NOT_FOUND = 5
    TIMED_OUT = 6
    NOT_INSTALLED = 7
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


EXIT_CODES: Final = {
    ExitCode.OK: "success",
    ExitCode.FAILED: "the API, the network or the output failed",
    ExitCode.USAGE: "wrong usage, or the input was refused",
    ExitCode.INCOMPLETE: "not provably complete: the list ended early or changed",
    ExitCode.DENIED: "no API key, a wrong key, or a key without the scope",
    ExitCode.NOT_FOUND: "queue not found",
    ExitCode.TIMED_OUT: "timed out: rate limit, timeout or deadline",
    ExitCode.NOT_INSTALLED: "the extra 'cli' is not installed",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.OUTPUT_CLOSED: "the reader closed the output (| head)",
}

_CODES: Final[tuple[tuple[ExitCode, tuple[type[errors.AlohubError], ...]], ...]] = (
    (ExitCode.USAGE, (errors.ConfigurationError, errors.InvalidArgumentError, errors.BadRequestError)),
    (ExitCode.DENIED, (errors.AuthenticationError, errors.PermissionDeniedError)),
    (ExitCode.NOT_FOUND, (errors.NotFoundError,)),
    (ExitCode.TIMED_OUT, (errors.RateLimitError, errors.RateLimitWaitError, errors.APITimeoutError)),
)

_HINTS: Final[tuple[tuple[type[errors.AlohubError], str], ...]] = (
    (errors.AuthenticationError, "; is {variable} the key of this tenant and this environment?"),
    (errors.PermissionDeniedError, "; ask for a key with the scope 'queue'"),
)

# Arguments that the SDK's messages name, and the options that stand for them.
_OPTIONS: Final = {"Endpoint(…, allow_http=True)": "--allow-http", "restart=True": "--restart"}
KEY_VARIABLE: Final = "ALOHUB_API_KEY"

_ANY_KEY: Final = re.compile(r"\bsk_[a-z]+_\w+")  # the vendor's page: sk_live_…
_MAX_USAGE_ERROR: Final = 200  # characters
_MIN_KEY: Final = 6  # characters; to redact a shorter value would make messages unreadable


class CommandError(Exception):
    """A failure that the command itself detected, with its exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


@runtime_checkable
class _UsageError(Protocol):
    """Typer's usage errors. Depending on its version they come from click or from a copy of click."""

    exit_code: int

    def format_message(self) -> str: ...


def describe(error: Exception, *, variable: str = KEY_VARIABLE) -> tuple[int, str]:
    """The exit code and message of an error: one line without the key, which `variable` holds; empty if all is said."""
    if isinstance(error, _UsageError):
        return error.exit_code, _usage_line(error)
    if isinstance(error, CommandError):
        return error.code, redact_key(one_line(str(error)), variable)
    if isinstance(error, errors.AlohubError):
        code = next((code for code, kinds in _CODES if isinstance(error, kinds)), ExitCode.FAILED)
        hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), "").format(variable=variable)
        message = str(error)
        for argument, option in _OPTIONS.items():
            message = message.replace(argument, option)
        return code, redact_key(one_line(message), variable) + hint
    if isinstance(error, OSError):
        return ExitCode.FAILED, redact_key(one_line(error.strerror or str(error)), variable)
    message = f"this is a bug in alohub: {type(error).__name__}: {error}"
    return ExitCode.FAILED, redact_key(one_line(message), variable) + " (--verbose shows a traceback)"


@contextmanager
def one_failure_code() -> Generator[None]:
    """Exit with 2 after every failure, as diff(1) does; the message is the one that other commands would write."""
    try:
        yield
    except (OutputClosedError, typer.Exit, typer.Abort):
        raise
    except Exception as error:
        raise CommandError(describe(error)[1]) from error


def print_traceback_of_bug(error: BaseException) -> None:
    """Write the traceback of an error to stderr, unless a user, a network or a server can cause it."""
    if isinstance(error, CommandError) and error.__cause__ is not None:
        error = error.__cause__
    if not isinstance(error, _UsageError | CommandError | errors.AlohubError | OSError):
        sys.stderr.write(redact_key("".join(traceback.format_exception(error))))


def _usage_line(error: _UsageError) -> str:
    message = redact_key(one_line(error.format_message()))
    if len(message) > _MAX_USAGE_ERROR:  # some versions of Typer repeat the whole argument
        message = f"{message[:_MAX_USAGE_ERROR]}…"
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    if not message or not command:
        return message
    see = " See" if message.endswith("?") else "; see"  # "?" ends a suggestion
    return f"{message.removesuffix('.')}{see} {command} --help"


def redact_key(text: str, variable: str = KEY_VARIABLE) -> str:
    """The text without the key of the environment and without anything that looks like a key."""
    key = os.environ.get(variable, "")
    if len(key) >= _MIN_KEY:
        text = text.replace(key, "***")
    return _ANY_KEY.sub("***", text)
