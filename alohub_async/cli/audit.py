"""`alohub queues audit`: reports of the audit for people, programs and CI."""

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import quote

import attrs
import typer
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text
from typer import Option

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, one_failure_code
from alohub_async.cli.outcomes import JOBS, NEWER_THAN, SCHEDULER, again, print_results, results_of, run_job
from alohub_async.cli.output import Form, Output, one_line, print_rich, table_with_heading, write_rows, write_stderr
from alohub_async.cli.progress import show_progress
from alohub_async.client import AlohubClient
from alohub_async.files import check_folder, os_errors, replacing
from alohub_async.tenant import Tenant
from alohub_async.tenants import audit_tenants

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alohub_async.audit import AuditReport, Finding, Rule, Severity

AUDIT_EPILOG: Final = """Example: alohub queues audit --agents --html audit.html --junit audit.xml

\b
Exit codes, instead of those of the other commands:
    0  no findings of the severity of --fail-on or above
    1  findings of the severity of --fail-on or above
    2  the audit failed, for any reason; see stderr"""
_FINDINGS: Final = 1
_PROJECT: Final = Path("pyproject.toml")
_ROW: Final = ("tenant", "severity", "rule", "queue_id", "queue_name", "field", "message")
_STYLES: Final = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}
_WIDEST_NAME: Final = 32  # columns; a longer name takes several lines

_COLUMNS: Final[dict[str, Callable[[Any], str]]] = {
    "Errors": lambda record: f"{record['counts']['error']:,}",
    "Warnings": lambda record: f"{record['counts']['warning']:,}",
    "Info": lambda record: f"{record['counts']['info']:,}",
    "Queues": lambda record: f"{record['queues']:,}",
}

_fail_on = Option(metavar="SEVERITY", help="Lowest severity that exits with 1: info, warning or error.")
_details = Option("--details/--no-details", help="Get the details of each queue, or only the list.")
_agents = Option("--agents", help="Count the active agents of each queue; needs the scope agent.")
_file = partial(Option, metavar="FILE", dir_okay=False)
_config = _file(help="TOML file with settings of the rules.  [default: [tool.alohub.audit] in ./pyproject.toml]")
_folder = Option(metavar="FOLDER", help="With --tenants, also write the results and _report.json to this folder.")
_rules = Option(metavar="MODULE", help="Also run the rules of this module or file (.py); may be given several times.")


@with_access
def audit_command(
    *,
    fail_on: Annotated[Literal["info", "warning", "error"], _fail_on] = "warning",
    form: Output = "table",
    html: Annotated[Path | None, _file(help="Also write an HTML page.")] = None,
    junit: Annotated[Path | None, _file(help="Also write JUnit XML for CI.")] = None,
    details: Annotated[bool, _details] = True,
    agents: Annotated[bool, _agents] = False,
    config: Annotated[Path | None, _config] = None,
    rules: Annotated[list[str] | None, _rules] = None,
    list_rules: Annotated[bool, Option("--list-rules", help="Show the configured rules and exit.")] = False,
    folder: Annotated[Path | None, _folder] = None,
    newer_than: Annotated[timedelta | None, NEWER_THAN] = None,
    jobs: Annotated[int | None, JOBS] = None,
    scheduler: Annotated[str | None, SCHEDULER] = None,
    access: Access,
) -> None:
    """Audit all inbound queues with a set of rules.

    With --tenants, --html also writes a page for each tenant, beside the
    page of all. With --folder, the same command goes on after Ctrl-C.

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
            if path is not None:
                check_folder(path)
        outputs = _Outputs(html, junit, audit.Severity[fail_on.upper()], form)
        options: Any = {"rules": chosen, "details": details, "agents": agents, "deadline": access.deadline}
        run: Any = {"newer_than": newer_than, "concurrency": jobs}
        if access.many:
            has_findings = _audit_tenants(access, outputs, {**run, **options}, folder, scheduler)
        elif folder or newer_than or scheduler:
            raise CommandError("--folder, --newer-than and --scheduler are for --tenants")
        else:
            has_findings = _audit_one(access, outputs, options)
    if has_findings:
        raise typer.Exit(_FINDINGS)


@attrs.frozen
class _Outputs:
    """Where reports go, and the lowest severity that counts."""

    html: Path | None
    junit: Path | None
    threshold: "Severity"
    form: Form

    @property
    def pages(self) -> Path | None:
        """The folder with a page for each tenant, beside that of all; none for a device."""
        is_device = self.html is not None and self.html.exists() and not self.html.is_file()
        return None if self.html is None or is_device else self.html.with_name(f"{self.html.stem}-tenants")

    def write(self, html: Callable[[], str], junit: Callable[[], bytes]) -> None:
        """Write the files that are wanted."""
        if self.html is not None:
            _write_file(self.html, html().encode())
        if self.junit is not None:
            _write_file(self.junit, junit())


def _audit_one(access: Access, outputs: _Outputs, options: Mapping[str, Any]) -> bool:
    """Audit one tenant; whether there are findings."""
    from alohub_async import audit

    async def work(client: AlohubClient) -> "AuditReport":
        with show_progress("Auditing", client, quiet=access.quiet, details=options["details"]) as show:
            report = await audit.audit_inbound(client, on_progress=show, **options)
        return attrs.evolve(report, tenant=access.tenant)

    report = access.run(work)
    outputs.write(lambda: audit.html_page(report), lambda: audit.junit_xml(report, fail_on=outputs.threshold))
    if outputs.form == "table":
        _print_report(report)
    else:
        record = report.as_record()
        write_rows(outputs.form, _ROW[1:], record["findings"], document=record)
    return bool(report.at_least(outputs.threshold))


def _audit_tenants(
    access: Access, outputs: _Outputs, options: dict[str, Any], folder: Path | None, scheduler: str | None
) -> bool:
    """Audit the tenants of the file; whether there are findings. A failure of a tenant exits with 2."""
    from alohub_async import audit

    if options["newer_than"] and not folder:
        raise CommandError("--newer-than needs --folder, where the results are")
    pages = None if scheduler else outputs.pages  # a worker may have no such folder
    if pages is not None:

        def write_page(tenant: Tenant, report: "AuditReport") -> None:
            with os_errors(pages, doing="write"):
                pages.mkdir(exist_ok=True)
            _write_file(pages / f"{tenant.name}.html", audit.html_page(report).encode())

        options["on_report"] = write_page
    tenants = access.read_tenants().tenants
    job = partial(audit_tenants, tenants, folder, **options)
    report = run_job(access, job, scheduler=scheduler, hint=again(tenants=folder is not None))
    results = results_of(report, tenants)
    records = {entry.tenant: text if entry.result is None else entry.result for entry, _, text in results}
    found = {name: record for name, record in records.items() if not isinstance(record, str)}
    files = {name: pages / f"{name}.html" for name in found} if pages else {}
    links = {name: quote(f"{path.parent.name}/{path.name}") for name, path in files.items() if path.is_file()}
    outputs.write(
        lambda: audit.tenants_page(records, started=report.started, links=links),
        lambda: audit.tenants_junit_xml(records, fail_on=outputs.threshold),
    )
    if outputs.form == "table":
        print_results(results, _COLUMNS)
    else:
        rows = ({"tenant": name, **each} for name, record in found.items() for each in record["findings"])
        write_rows(outputs.form, _ROW, rows, document=[entry.as_record() for entry, _, _ in results])
        for name, failure in records.items():
            if isinstance(failure, str) and outputs.form != "json":
                write_stderr(f"tenant {name}: {failure}")
    if len(found) < len(results):
        raise typer.Exit(ExitCode.USAGE)
    worst = [severity.label for severity in audit.Severity if severity >= outputs.threshold]
    return any(record["counts"][label] for record in found.values() for label in worst)


def _load(sources: Iterable[str]) -> "list[Rule]":
    from alohub_async.audit.config import load_rules

    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as with python -m
    return [rule for source in sources for rule in load_rules(source)]


def _write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; write directly to a device such as /dev/stdout."""
    if path.exists() and not path.is_file():
        with os_errors(path, doing="write"):
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
