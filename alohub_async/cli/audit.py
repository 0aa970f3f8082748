"""`alohub queues audit`: reports of the audit for people, programs and CI."""

import enum
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer import Option

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.audit_table import print_report, print_rules
from alohub_async.cli.errors import CommandError, one_failure_code
from alohub_async.cli.output import progress, write_json
from alohub_async.client import AlohubClient
from alohub_async.files import replacing

if TYPE_CHECKING:
    from alohub_async.audit import AuditReport, Rule

AUDIT_EPILOG: Final = """Example: alohub queues audit --html audit.html --junit audit.xml

\b
Exit codes, instead of those of the other commands:
    0  no findings of the severity of --fail-on or above
    1  findings of the severity of --fail-on or above
    2  the audit failed, for any reason; see stderr"""
_FINDINGS: Final = 1
_PROJECT: Final = Path("pyproject.toml")


class Level(enum.StrEnum):
    """The labels of `Severity`, repeated so that help does not import the audit."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_fail_on = Option(metavar="SEVERITY", help="Lowest severity that exits with 1: info, warning or error.")
_details = Option("--details/--no-details", help="Get the details of each queue, or only the list.")
_file = partial(Option, metavar="FILE", dir_okay=False)
_config = _file(help="TOML file with settings of the rules.  [default: [tool.alohub.audit] in ./pyproject.toml]")
_rules = Option(
    metavar="MODULE", help="Also run the rules of this module, or of this file (.py); may be given several times."
)


@with_access
def audit_command(
    *,
    fail_on: Annotated[Level, _fail_on] = Level.WARNING,
    as_json: Annotated[bool, Option("--json", help="Output a JSON object instead of a table.")] = False,
    html: Annotated[Path | None, _file(help="Also write an HTML page.")] = None,
    junit: Annotated[Path | None, _file(help="Also write JUnit XML for CI.")] = None,
    details: Annotated[bool, _details] = True,
    config: Annotated[Path | None, _config] = None,
    rules: Annotated[list[str] | None, _rules] = None,
    list_rules: Annotated[bool, Option("--list-rules", help="Show the configured rules and exit.")] = False,
    access: Access,
) -> None:
    """Audit all inbound queues with a set of rules.

    Settings can disable a rule, or change its severity and options:
    locked = false, long-wait = { seconds = 600, severity = "error" }

    Rules of your own are functions that alohub_async.audit.rule or list_rule
    decorates. --rules runs them, too: --rules my_rules, --rules ./my_rules.py
    """
    from alohub_async import audit

    with one_failure_code():
        settings = audit.read_config(config or _PROJECT) if config or _PROJECT.is_file() else {}
        chosen = audit.configure([*audit.DEFAULT_RULES, *_load(rules or ())], settings)
        if list_rules:
            print_rules(chosen)
            return
        if html is not None:
            audit.check_html()
        for path in (html, junit):  # before the audit, as that can take many minutes
            if path is not None and not path.parent.is_dir():
                raise CommandError(f"cannot write {path}: folder {path.parent} does not exist")

        async def work(client: AlohubClient) -> "AuditReport":
            with progress("Auditing queues…") as update:
                return await audit.audit_inbound(
                    client, rules=chosen, details=details, deadline=access.deadline, progress=update
                )

        report = access.run(work)
        threshold = audit.Severity[fail_on.name]
        if html is not None:
            _write_file(html, audit.html_page(report).encode())
        if junit is not None:
            _write_file(junit, audit.junit_xml(report, fail_on=threshold))
        if as_json:
            write_json(report.as_record())
        else:
            print_report(report)
    if report.at_least(threshold):
        raise typer.Exit(_FINDINGS)


def _load(sources: Iterable[str]) -> "list[Rule]":
    from alohub_async.audit.config import load_rules

    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as with python -m
    return [rule for source in sources for rule in load_rules(source)]


def _write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; write directly to a device such as /dev/stdout."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with replacing(path) as file:
        file.write(content)
