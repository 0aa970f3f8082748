"""What came of an audit, and the audit of what was gathered. Pure."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs

from alohub_async.audit.rules import AuditedList, Finding, Rule, Severity


@attrs.frozen(kw_only=True)
class AuditReport:
    """What came of an audit.

    Attributes:
        audited: The queues, and what is known of the walk that brought them.
        rules: Those that ran, as configured.
        findings: The worst first; then by rule, in the order of `rules`.
        started: When it began, with its time zone.
    """

    audited: AuditedList
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    started: datetime

    @property
    def complete(self) -> bool:
        """Whether the walk brought the whole list, and each detail that was asked for came, as far as can be told."""
        return self.audited.complete and all(queue.error is None or queue.gone for queue in self.audited.queues)

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings that are so bad or worse."""
        return tuple(finding for finding in self.findings if finding.severity >= severity)

    def of_rule(self, rule: Rule) -> tuple[Finding, ...]:
        """The findings of a rule."""
        return tuple(finding for finding in self.findings if finding.rule == rule.id)

    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity, the worst first."""
        counted = Counter(finding.severity for finding in self.findings)
        return {severity: counted[severity] for severity in sorted(Severity, reverse=True)}

    def tally(self) -> list[tuple[Severity, str]]:
        """The counts in words, such as `"2 errors"`, the worst first."""
        return [(severity, _counted(number, severity.label)) for severity, number in self.counts().items()]

    def headline(self) -> str:
        """One line that sums it up, such as `"250 queues audited: 2 errors, 30 warnings, 0 info"`."""
        return f"{_counted(len(self.audited.queues), 'queue')} audited: {', '.join(told for _, told in self.tally())}"

    def as_record(self) -> dict[str, Any]:
        """What JSON has of it."""
        audited = self.audited
        return {
            "started": self.started.isoformat(),
            "queues": len(audited.queues),
            "complete": self.complete,
            "details": audited.details,
            "total": audited.total,
            "drift": attrs.asdict(audited.drift),
            "counts": {severity.label: number for severity, number in self.counts().items()},
            "rules": [
                {"id": rule.id, "severity": rule.severity.label, "summary": rule.summary, "options": dict(rule.options)}
                for rule in self.rules
            ],
            "findings": [
                {
                    "severity": finding.severity.label,
                    "rule": finding.rule,
                    "queue_id": finding.queue_id,
                    "queue_name": finding.queue_name,
                    "field": finding.field,
                    "message": finding.message,
                }
                for finding in self.findings
            ],
        }


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 or what == 'info' else 's'}"


def make_report(audited: AuditedList, rules: Iterable[Rule], *, started: datetime) -> AuditReport:
    """Run the rules.

    Args:
        audited: What was gathered.
        rules: As configured.
        started: When gathering began, with its time zone.
    """
    ran = tuple(rules)
    found = [finding for rule in ran for finding in rule.check(audited)]
    found.sort(key=lambda finding: -finding.severity)  # stable: the order of the rules stays
    return AuditReport(audited=audited, rules=ran, findings=tuple(found), started=started)
