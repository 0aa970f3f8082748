"""`alohub queues audit`: reports of the audit for people, programs and CI."""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import attrs
import typer
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text
from typer import Option

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, one_failure_code
from alohub_async.cli.output import one_line, print_rich, progress, table_with_heading, write_json
from alohub_async.client import AlohubClient
from alohub_async.files import replacing

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alohub_async.audit import AuditReport, Finding, Rule

AUDIT_EPILOG: Final = """Example: alohub queues audit --html audit.html --junit audit.xml

\b
Exit codes, instead of those of the other commands:
    0  no findings of the severity of --fail-on or above
    1  findings of the severity of --fail-on or above
    2  the audit failed, for any reason; see stderr"""
_FINDINGS: Final = 1
_PROJECT: Final = Path("pyproject.toml")
_STYLES: Final = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}
_WIDEST_NAME: Final = 32  # columns; a longer name takes several lines

_fail_on = Option(metavar="SEVERITY", help="Lowest severity that exits with 1: info, warning or error.")
_details = Option("--details/--no-details", help="Get the details of each queue, or only the list.")
_file = partial(Option, metavar="FILE", dir_okay=False)
_config = _file(help="TOML file with settings of the rules.  [default: [tool.alohub.audit] in ./pyproject.toml]")
_rules = Option(metavar="MODULE", help="Also run the rules of this module or file (.py); may be given several times.")


@with_access
def audit_command(
    *,
    fail_on: Annotated[Literal["info", "warning", "error"], _fail_on] = "warning",
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
            _print_rules(chosen)
            return
        if html is not None:
            audit.check_html()
        for path in (html, junit):  # before the audit, as that can take many minutes
            if path is not None and not path.parent.is_dir():
                raise CommandError(f"cannot write {path}: folder {path.parent} does not exist")

        run = partial(audit.audit_inbound, rules=chosen, details=details, deadline=access.deadline)

        async def work(client: AlohubClient) -> "AuditReport":
            with progress("Auditing queues…") as update:
                report = await run(client, on_progress=lambda now: update(now.done, now.total))
            return attrs.evolve(report, tenant=access.tenant)

        report = access.run(work)
        threshold = audit.Severity[fail_on.upper()]
        if html is not None:
            _write_file(html, audit.html_page(report).encode())
        if junit is not None:
            _write_file(junit, audit.junit_xml(report, fail_on=threshold))
        if as_json:
            write_json(report.as_record())
        else:
            _print_report(report)
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


def _print_report(report: "AuditReport") -> None:
    """Write the counts, then the findings, most severe first."""
    headline = Text(report.headline())
    for severity, count in report.tally():
        if report.counts()[severity]:
            headline.highlight_words([count], style=_STYLES[severity.label])
    parts: list[RenderableType] = [headline, Text(one_line(report.source()))]
    id_width = max((len(_id_of(finding)) for finding in report.findings), default=0)
    name_width = max((cell_len(_name_of(finding)) for finding in report.findings), default=0)
    for rule, found in report.by_rule():
        heading = Text(f"{rule.severity.label} ", style=_STYLES[rule.severity.label])
        heading.append(f"{one_line(rule.summary)} ", style="bold default")
        heading.append(f"({rule.id}: {len(found)})", style="not bold default")
        parts += [Text(), heading, _findings(found, id_width, min(name_width, _WIDEST_NAME))]
    if not report.complete:
        parts += [Text(), Text("Not provably complete: queues or details may be missing.", style="bold")]
    print_rich(Group(*parts))


def _print_rules(rules: Iterable["Rule"]) -> None:
    table = table_with_heading(["Severity", "Rule", "Summary"], right=(), folded={"Summary"})
    for rule in rules:
        options = "".join(f" ({name} = {value!r})" for name, value in rule.options.items())
        severity = Text(rule.severity.label, style=_STYLES[rule.severity.label])
        table.add_row(severity, Text(rule.id), Text(one_line(rule.summary + options)))
    print_rich(table)


def _findings(findings: Iterable["Finding"], id_width: int, name_width: int) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(min_width=id_width, max_width=id_width, justify="right", no_wrap=True)
    table.add_column(min_width=name_width, max_width=name_width, overflow="fold")
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(Text(_id_of(finding)), Text(_name_of(finding)), Text(one_line(finding.message)))
    return table


def _id_of(finding: "Finding") -> str:
    return "-" if finding.queue_id is None else str(finding.queue_id)


def _name_of(finding: "Finding") -> str:
    return one_line(finding.queue_name or "")
