"""The report of an audit on a terminal: the counts, then the findings, most severe first."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from alohub_async.cli.output import one_line, print_rich

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alohub_async.audit import AuditReport, Finding, Rule

_STYLES: Final = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}
_WIDEST_NAME: Final = 32  # columns; a longer name takes several lines


def print_report(report: "AuditReport") -> None:
    """Write the report."""
    headline = Text(report.headline())
    for severity, count in report.tally():
        if report.counts()[severity]:
            headline.highlight_words([count], style=_STYLES[severity.label])
    parts: list[RenderableType] = [headline]
    id_width = max((len(_id_of(finding)) for finding in report.findings), default=0)
    name_width = max((cell_len(_name_of(finding)) for finding in report.findings), default=0)
    for rule, found in report.by_rule():
        parts += [Text(), _heading(rule, len(found)), _findings(found, id_width, min(name_width, _WIDEST_NAME))]
    if not report.complete:
        parts += [Text(), Text("Not provably complete: queues or details may be missing.", style="bold")]
    print_rich(Group(*parts))


def print_rules(rules: Iterable["Rule"]) -> None:
    """Write the rules with their severities, options and summaries."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Severity", no_wrap=True)
    table.add_column("Rule", no_wrap=True)
    table.add_column("Summary", overflow="fold")
    for rule in rules:
        options = "".join(f" ({name} = {value!r})" for name, value in rule.options.items())
        severity = Text(rule.severity.label, style=_STYLES[rule.severity.label])
        table.add_row(severity, Text(rule.id), Text(one_line(rule.summary + options)))
    print_rich(table)


def _heading(rule: "Rule", count: int) -> Text:
    line = Text(f"{rule.severity.label} ", style=_STYLES[rule.severity.label])
    line.append(f"{one_line(rule.summary)} ", style="bold default")
    return line.append(f"({rule.id}: {count})", style="not bold default")


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
