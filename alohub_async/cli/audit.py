"""`alohub queues audit`: what is odd about the queues, for people, for programs and for CI."""

import enum
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.audit_table import print_report, print_rules
from alohub_async.cli.errors import CommandError, ExitCode, describe, is_bug, without_key
from alohub_async.cli.output import OutputClosedError, progress, write
from alohub_async.client import AlohubClient
from alohub_async.files import json_text, replacing

if TYPE_CHECKING:
    from alohub_async.audit import AuditReport

EXIT_CODES: Final = """\b
Exit codes, unlike those of the other commands:
    0  no finding as bad as --fail-on
    1  there are findings as bad as --fail-on, or worse
    2  the audit could not be made, whatever the reason: stderr says it"""
_FINDINGS: Final = 1
_PROJECT: Final = Path("pyproject.toml")


class Level(enum.StrEnum):
    """The severities by their labels, here so that help need not load the audit."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@with_access
def audit_command(
    *,
    fail_on: Annotated[
        Level, typer.Option(metavar="SEVERITY", help="Exit 1 on findings so bad: info, warning, error.")
    ] = Level.WARNING,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object instead of a table.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page for browsers, too.", dir_okay=False)
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML for CI, too.", dir_okay=False)
    ] = None,
    details: Annotated[
        bool, typer.Option("--details/--no-details", help="Look each queue up, or take the list alone.")
    ] = True,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="TOML; else [tool.alohub.audit] of ./pyproject.toml."),
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="Show the rules as configured, and end.")] = False,
    access: Access,
) -> None:
    """Audit all inbound queues: compare list and details, run rules on each.

    Rules are turned off, made more or less severe and set by TOML, such as
    long-wait = { seconds = 600, severity = "error" } or locked = false.
    """
    from alohub_async import audit

    with _could_not_run(verbose=access.verbose):
        settings = _settings(config)
        if list_rules:
            print_rules(audit.configure(audit.DEFAULT_RULES, settings))
            return
        if html is not None:
            audit.check_html()
        _check_folders(html, junit)

        async def work(client: AlohubClient) -> "AuditReport":
            with progress("Auditing queues…") as tell:
                return await audit.audit_inbound(
                    client, config=settings, details=details, deadline=access.deadline, progress=tell
                )

        report = access.run(work)
        threshold = audit.Severity[fail_on.name]
        if html is not None:
            _write_file(html, audit.html_page(report).encode())
        if junit is not None:
            _write_file(junit, audit.junit_xml(report, fail_on=threshold))
        if as_json:
            write(json_text(report.as_record(), indent=2), as_utf8=True)
        else:
            print_report(report)
    if report.at_least(threshold):
        raise typer.Exit(_FINDINGS)


def _settings(path: Path | None) -> dict[str, object]:
    from alohub_async.audit import read_config

    if path is None:
        return read_config(_PROJECT) if _PROJECT.is_file() else {}
    return read_config(path)


def _check_folders(*paths: Path | None) -> None:
    """An audit can take many minutes; what cannot be written is better told before."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"cannot write {path}: there is no folder {path.parent}")


def _write_file(path: Path, content: bytes) -> None:
    """Write it whole or not at all, unless it is no plain file, such as /dev/stdout."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with replacing(path.resolve()) as file:  # what a link leads to
        file.write(content)


@contextmanager
def _could_not_run(*, verbose: bool) -> Generator[None]:
    """Make every failure exit with the one code for it; its line is that of other commands."""
    try:
        yield
    except OutputClosedError:
        raise
    except Exception as error:
        if verbose and is_bug(error):
            sys.stderr.write(without_key(traceback.format_exc()))
        raise CommandError(describe(error)[1], ExitCode.USAGE) from error
