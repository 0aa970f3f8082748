"""The report of an audit, and running the rules. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

import attrs

from alohub_async._version import __version__
from alohub_async.audit.rules import AuditedList, Finding, Rule, Severity
from alohub_async.plurals import counted


@attrs.frozen(kw_only=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        audited: The queues, and the state of the walk over the list.
        rules: The rules that ran, as configured.
        findings: The findings, most severe first, then in the order of `rules`.
        started: The start of the audit, with a time zone.
        tenant: The tenant's name in a file of tenants, if any.
        tenant_id: The tenant, as given to the client; None if the key alone says it.
        address: The base URL of the API; None if it is not known.
        sdk_version: The version of this package.
    """

    audited: AuditedList
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    started: datetime
    tenant: str | None = None
    tenant_id: str | None = None
    address: str | None = None
    sdk_version: str = __version__

    @property
    def complete(self) -> bool:
        """Whether the list is complete as far as is known, and every requested detail arrived or was not found."""
        return self.audited.complete and all(queue.error is None or queue.gone for queue in self.audited.queues)

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of this severity or above."""
        return tuple(finding for finding in self.findings if finding.severity >= severity)

    def by_rule(self) -> list[tuple[Rule, tuple[Finding, ...]]]:
        """The rules with findings, each with the severity of its most severe one, and the findings."""
        found = [(rule, tuple(each for each in self.findings if each.rule == rule.id)) for rule in self.rules]
        groups = [(attrs.evolve(rule, severity=findings[0].severity), findings) for rule, findings in found if findings]
        return sorted(groups, key=lambda group: -group[0].severity)

    def counts(self) -> dict[Severity, int]:
        """The number of findings of each severity, most severe first."""
        counts = Counter(finding.severity for finding in self.findings)
        return {severity: counts[severity] for severity in sorted(Severity, reverse=True)}

    def tally(self) -> list[tuple[Severity, str]]:
        """The counts as text, such as `"2 errors"`, most severe first."""
        return tally(self.counts())

    def headline(self) -> str:
        """A summary in one line, such as `"250 queues audited: 2 errors, 30 warnings, 0 info"`."""
        return f"{counted(len(self.audited.queues), 'queue')} audited: {', '.join(text for _, text in self.tally())}"

    def source(self) -> str:
        """Whose report it is, in one line: the tenant, the address, the time and the version of this package."""
        tenant = self.tenant or self.tenant_id
        parts = (
            tenant and f"tenant {tenant}",
            self.address,
            f"{self.started:%Y-%m-%d %H:%M %Z}",
            f"alohub-async {self.sdk_version}",
        )
        return " · ".join(part for part in parts if part)

    def as_record(self) -> dict[str, Any]:
        """The report as a JSON object."""
        audited = self.audited
        return {
            "tenant": self.tenant,
            "tenant_id": self.tenant_id,
            "address": self.address,
            "sdk_version": self.sdk_version,
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
            "findings": [{**attrs.asdict(finding), "severity": finding.severity.label} for finding in self.findings],
        }


def tally(counts: Mapping[Severity, int]) -> list[tuple[Severity, str]]:
    """The counts as text, such as `"2 errors"`."""
    plurals = {Severity.INFO: "info"}
    return [(severity, counted(number, severity.label, plurals.get(severity))) for severity, number in counts.items()]


def make_report(
    audited: AuditedList,
    rules: Iterable[Rule],
    *,
    started: datetime,
    tenant_id: str | None = None,
    address: str | None = None,
) -> AuditReport:
    """Run the rules, as configured, on these queues; for the others, see `AuditReport`."""
    rules = tuple(rules)
    findings = [finding for rule in rules for finding in rule.check(audited)]
    findings.sort(key=attrgetter("severity"), reverse=True)  # stable: keeps the order of the rules
    return AuditReport(
        audited=audited, rules=rules, findings=tuple(findings), started=started, tenant_id=tenant_id, address=address
    )
