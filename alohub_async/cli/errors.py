"""Failures as one line and an exit code."""

import enum
import os
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol, Self, runtime_checkable

import typer

from alohub_async import errors
from alohub_async.cli.output import OutputClosedError, message_line
from alohub_async.secret import redacted
from alohub_async.tenant import Tenant


class ExitCode(enum.IntEnum):
    """How the command ended."""

    meaning: str

    OK = 0, "success"
    FAILED = 1, "the API, the network or the output failed"
    USAGE = 2, "wrong usage, or the input was refused"
    INCOMPLETE = 3, "not provably complete: the list ended early or changed"
    DENIED = 4, "no API key, a wrong key, or a key without the scope"
    NOT_FOUND = 5, "queue not found"
    TIMED_OUT = 6, "timed out: rate limit, timeout or deadline"
    NOT_INSTALLED = 7, "the extra 'cli' is not installed"
    CONFLICT = 8, "the queue has other values than expected"
    INTERRUPTED = 130, "interrupted (Ctrl-C)"
    OUTPUT_CLOSED = 141, "the reader closed the output (| head)"

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a code with what `--help` says of it."""
        self = int.__new__(cls, code)
        self._value_, self.meaning = code, meaning
        return self


_CODES: Final[tuple[tuple[ExitCode, tuple[type[errors.AlohubError], ...]], ...]] = (
    (ExitCode.USAGE, (errors.ConfigurationError, errors.InvalidArgumentError, errors.BadRequestError)),
    (ExitCode.DENIED, (errors.AuthenticationError, errors.PermissionDeniedError)),
    (ExitCode.NOT_FOUND, (errors.NotFoundError,)),
    (ExitCode.CONFLICT, (errors.ConflictError,)),
    (ExitCode.TIMED_OUT, (errors.RateLimitError, errors.RateLimitWaitError, errors.APITimeoutError)),
)

_HINTS: Final[tuple[tuple[type[errors.AlohubError], str], ...]] = (
    (errors.AuthenticationError, "; is {variable} the key of this tenant and this environment?"),
    (errors.PermissionDeniedError, "; ask for a key with the scope 'queue'"),
    (errors.NotFoundError, "; check the id, the tenant and the address"),
)

# Arguments that the SDK's messages name, and the options, or the settings in a file of tenants, that stand for them.
_ALLOW_HTTP: Final = "Endpoint(…, allow_http=True)"
_OPTIONS: Final[dict[str, str]] = {
    _ALLOW_HTTP: "--allow-http",
    "restart=True": "--restart",
    "ssl must": "--ca-file must",
    "AlohubClient(…, ssl=FILE), or trust_env=True with": "--ca-file FILE, or",
    "max_retries must": "--retries must",
    **{
        f"{name.replace('-', '_')} must": f"--{name} must"
        for name in ("page-size", "max-passes", "music-on-hold", "max-wait", "deadline", "prefetch")
    },
    "queue_id must": "ID must",
    ", or None;": ";",
}
_SETTINGS: Final = {**_OPTIONS, _ALLOW_HTTP: "allow_http = true"}
KEY_VARIABLE: Final = "ALOHUB_API_KEY"
_MAX_USAGE_ERROR: Final = 200  # characters


class CommandError(Exception):
    """A failure that the command itself detected, with its exit code."""

    def __init__(self, message: str, code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


@runtime_checkable
class _UsageError(Protocol):
    """Typer's usage errors. Depending on its version they come from click or from a copy of click."""

    exit_code: int

    def format_message(self) -> str: ...


def describe(error: Exception, *, tenant: Tenant | None = None) -> tuple[int, str]:
    """The exit code and message of an error, of a tenant of a file: one line, empty if all is said."""
    if isinstance(error, _UsageError):
        return error.exit_code, _usage_line(error)
    if isinstance(error, CommandError):
        return error.code, message_line(error)
    if isinstance(error, errors.AlohubError):
        code = next((code for code, kinds in _CODES if isinstance(error, kinds)), ExitCode.FAILED)
        if tenant and tenant.api_key_env and not os.environ.get(tenant.api_key_env):
            code = ExitCode.DENIED
        variable = KEY_VARIABLE if tenant is None else tenant.api_key_env or tenant.key_provider
        hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), "").format(variable=variable)
        if error.maybe_written:
            hint += "; the update may be done all the same: look with alohub queues get"
        message = str(error) if tenant is None else str(error).removeprefix(f"tenant {tenant.name!r}: ")
        for argument, option in (_OPTIONS if tenant is None else _SETTINGS).items():
            message = message.replace(argument, option)
        return code, message_line(message) + hint
    if isinstance(error, OSError):
        return ExitCode.FAILED, message_line(error.strerror or error)
    message = f"this is a bug in alohub: {type(error).__name__}: {error}"
    return ExitCode.FAILED, message_line(message) + " (--verbose shows a traceback)"


@contextmanager
def one_failure_code() -> Generator[None]:
    """Exit with 2 after every failure but Ctrl-C, as diff(1) does; the messages are those of other commands."""
    try:
        yield
    except (OutputClosedError, typer.Exit, typer.Abort):
        raise
    except Exception as error:
        code, line = describe(error)
        interrupted = int(ExitCode.INTERRUPTED)
        raise CommandError(line, interrupted if code == interrupted else ExitCode.USAGE) from error


def print_traceback_of_bug(error: BaseException) -> None:
    """Write the traceback of an error to stderr, unless a user, a network or a server can cause it."""
    if isinstance(error, CommandError) and error.__cause__ is not None:
        error = error.__cause__
    if not isinstance(error, _UsageError | CommandError | errors.AlohubError | OSError | KeyboardInterrupt):
        sys.stderr.write(redacted("".join(traceback.format_exception(error))))


def _usage_line(error: _UsageError) -> str:
    message = message_line(error.format_message()).replace("Value error, ", "").replace("Input should be", "it must be")
    cause: Any = getattr(error, "__cause__", None)  # by Pydantic, in newer versions of Typer
    found: Any = cause.errors() if hasattr(cause, "errors") else ()
    if found and (given := f"{found[0]['input']!r:.60}") not in message:
        message = message_line(f"{message}; {given} was given")
    if len(message) > _MAX_USAGE_ERROR:  # some versions of Typer repeat the whole argument
        message = f"{message[:_MAX_USAGE_ERROR]}…"
    context: Any = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None)
    if not message or not command:
        return message
    if message.startswith("No such option") and hasattr(context.command, "commands"):
        message += "; options stand after the whole command, such as alohub queues list --quiet"
    see = " See" if message.endswith("?") else "; see"  # "?" ends a suggestion
    return f"{message.removesuffix('.')}{see} {command} --help"
