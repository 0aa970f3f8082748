"""The `alohub` command line: its commands, and the one place where it ends."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from alohub_async._version import __version__
from alohub_async.cli import queues
from alohub_async.cli.audit import EXIT_CODES as AUDIT_EXIT_CODES
from alohub_async.cli.audit import audit_command
from alohub_async.cli.changes import APPLY_EPILOG, DIFF_EPILOG, apply_command, diff_command
from alohub_async.cli.errors import EXIT_CODES, ExitCode, describe, is_bug, without_key
from alohub_async.cli.export import export_command
from alohub_async.cli.output import OutputClosedError, complain, write
from alohub_async.cli.sandbox import sandbox_command

# "\b" keeps the lines of a paragraph as they are.
_ENVIRONMENT: Final = """\b
Environment:
  ALOHUB_API_KEY    the key; never an option, for others could see it
  ALOHUB_TENANT_ID  the tenant; the gateway may know it by the key
  ALOHUB_BASE_URL   where the API is
  ALOHUB_ENV        production or development, if there is no base URL"""
_EXIT_CODES: Final = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())

app: typer.Typer = typer.Typer(
    name="alohub",
    help="The Alohub call centre API on the command line.",
    epilog=f"Example: alohub queues list --sandbox\n\n{_ENVIRONMENT}\n\n\b\nExit codes:\n{_EXIT_CODES}",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help says more in 80 columns than panels do
    pretty_exceptions_enable=False,
)
queues.app.command("diff", epilog=DIFF_EPILOG)(diff_command)
queues.app.command("apply", epilog=APPLY_EPILOG)(apply_command)
queues.app.command(
    "audit", epilog=f"Example: alohub queues audit --html audit.html --junit audit.xml\n\n{AUDIT_EXIT_CODES}"
)(audit_command)
queues.app.command("export", epilog="Example: alohub queues export queues.parquet")(export_command)
app.add_typer(queues.app, name="queues")
app.command("sandbox", epilog="Example: alohub sandbox --port 8080 --queues 1000 --tenant-limit 20")(sandbox_command)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (Typer's callbacks get the option's value)
    if wanted:
        write(f"alohub {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; see `EXIT_CODES`.

    Args:
        arguments: Without the command's name; those of the process if None.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter the terminal's encoding lacks is no reason to fail
    try:
        code: Any = get_command(app).main(given, prog_name="alohub", standalone_mode=False)
        sys.stdout.flush()
    except (OutputClosedError, BrokenPipeError):
        _drop_stdout()
        return ExitCode.OUTPUT_CLOSED
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 (whatever it is, the user gets one line)
        if isinstance(error, OSError):
            _drop_stdout()  # it may be the one that failed
        code, line = describe(error)
        if is_bug(error) and ("--verbose" in given or "-v" in given):
            sys.stderr.write(without_key(traceback.format_exc()))
        if line:
            complain(line)
    return int(code or ExitCode.OK)


def _drop_stdout() -> None:
    """Let what is still buffered go nowhere, or Python would complain about it when it ends."""
    with suppress(OSError, ValueError):
        stdout = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout)
        os.close(nowhere)
