"""The `alohub` command line: its commands, and the mapping of every outcome to an exit code."""

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from alohub_async._version import __version__
from alohub_async.cli import queues
from alohub_async.cli.apply import APPLY_EPILOG, apply_command
from alohub_async.cli.audit import AUDIT_EPILOG, audit_command
from alohub_async.cli.diff import DIFF_EPILOG, diff_command
from alohub_async.cli.doctor import DOCTOR_EPILOG, doctor_command
from alohub_async.cli.errors import KEY_VARIABLE, ExitCode, describe, print_traceback_of_bug
from alohub_async.cli.export import EXPORT_EPILOG, export_command
from alohub_async.cli.guide import guide_command
from alohub_async.cli.output import OutputClosedError, write, write_stderr
from alohub_async.cli.rollback import ROLLBACK_EPILOG, rollback_command
from alohub_async.cli.sandbox import SANDBOX_EPILOG, sandbox_command
from alohub_async.cli.streams import discard, usable_streams
from alohub_async.secret import Secret

# "\b" keeps the line breaks of a paragraph.
_ENVIRONMENT: Final = """\b
Environment:
  ALOHUB_API_KEY    API key; not an option, as other users could see it
  ALOHUB_TENANT_ID  tenant id, if the gateway needs one beside the key
  ALOHUB_BASE_URL   base URL of the API
  ALOHUB_ENV        production or development; unused with a base URL
  ALOHUB_TENANTS    file of tenants, for --tenant"""
_EXIT_CODES: Final = "\n".join(f"  {code:>3}  {code.meaning}" for code in ExitCode)
_OF_CHECKS: Final = "  diff and audit: 0 nothing found, 1 something found, 2 failed for any reason"

app: typer.Typer = typer.Typer(
    name="alohub",
    help="Manage the inbound queues of an Alohub call centre.",
    epilog=f"Example: alohub queues list --sandbox\n\n{_ENVIRONMENT}\n\n\b\nExit codes:\n{_EXIT_CODES}\n{_OF_CHECKS}",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help fits more text into 80 columns
    pretty_exceptions_enable=False,
)
queues.app.command("diff", epilog=DIFF_EPILOG)(diff_command)
queues.app.command("apply", epilog=APPLY_EPILOG)(apply_command)
queues.app.command("rollback", epilog=ROLLBACK_EPILOG)(rollback_command)
queues.app.command("audit", epilog=AUDIT_EPILOG)(audit_command)
queues.app.command("export", epilog=EXPORT_EPILOG)(export_command)
app.add_typer(queues.app, name="queues")
app.command("doctor", epilog=DOCTOR_EPILOG)(doctor_command)
app.command("guide", epilog="Example: alohub guide tutorial")(guide_command)
app.command("sandbox", epilog=SANDBOX_EPILOG)(sandbox_command)


def _print_version(*, value: bool) -> None:
    if value:
        write(f"alohub {__version__}\n")
        raise typer.Exit


_version_option = typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")


@app.callback(invoke_without_command=True)
def _options(context: typer.Context, *, _version: Annotated[bool, _version_option] = False) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


@cache
def _command() -> Any:
    """The command, made once: Typer works on it for 20 ms."""
    return get_command(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default the one of the process, and return its exit code; see `ExitCode`."""
    _key = Secret(os.environ.get(KEY_VARIABLE, ""))  # as long as it is here, no message shows it
    words = list(sys.argv[1:] if arguments is None else arguments)
    with usable_streams():
        try:
            code: Any = _command().main(words, prog_name="alohub", standalone_mode=False)
            sys.stdout.flush()
        except (OutputClosedError, BrokenPipeError):
            discard(sys.stdout)
            return ExitCode.OUTPUT_CLOSED
        except (KeyboardInterrupt, typer.Abort):
            return ExitCode.INTERRUPTED
        except Exception as error:  # noqa: BLE001 (the last handler: also a bug is one line for the user)
            if isinstance(error, OSError):
                discard(sys.stdout)  # it may be the stream that failed
            code, line = describe(error)
            if {"--verbose", "-v", "-vv"} & {*words}:
                print_traceback_of_bug(error)
            if line:
                write_stderr(line)
        return int(code or ExitCode.OK)
