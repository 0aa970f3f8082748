"""Reports as self-contained HTML pages. They need the extra `audit` (Jinja2)."""

import base64
import hashlib
import importlib.util
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

from alohub_async._version import __version__
from alohub_async.audit.junit import legal
from alohub_async.audit.report import AuditReport, tally
from alohub_async.audit.rules import WIRE_NAMES, AuditedQueue, Severity
from alohub_async.errors import ConfigurationError
from alohub_async.models import QueueStrategy
from alohub_async.plurals import counted

_SEVERITIES: Final = {severity.label: severity for severity in sorted(Severity, reverse=True)}
_TONES: Final = {"failed": "error", **dict(zip(_SEVERITIES, _SEVERITIES, strict=True))}


def html_page(report: AuditReport) -> str:
    """The report as an HTML page without external resources; its Content Security Policy forbids any request.

    Raises:
        ConfigurationError: Jinja2 is not installed.
    """
    groups = report.by_rule()
    by_rule = Counter(finding.rule for finding in report.findings)
    by_strategy = Counter(_shown(queue, "strategy") or "none" for queue in report.audited.queues)
    return _render(
        "page.html",
        cards=[*_cards(report.counts()), ("", counted(len(report.audited.queues), "queue"))],
        charts={
            "Findings by rule": _bars(by_rule, {rule.id: rule.severity.label for rule, _ in groups}),
            "Queues by strategy": _bars(by_strategy, {}),
        },
        report=report,
        whose=report.tenant or report.tenant_id,
        rule_count=counted(len(report.rules), "rule"),
        by_rule=groups,
        found=Counter(finding.queue_id for finding in report.findings),
    )


def tenants_page(
    results: Mapping[str, Mapping[str, Any] | str], *, started: datetime, links: Mapping[str, str] | None = None
) -> str:
    """The audits of several tenants as one HTML page, like that of `html_page`; those that failed come first.

    Args:
        results: By the tenants' names, the record of each report (see `AuditReport.as_record`), or why there is none.
        started: The start of the audits, with a time zone.
        links: The URLs of pages of single tenants, by their names.

    Raises:
        ConfigurationError: Jinja2 is not installed.
    """
    records = [result for result in results.values() if not isinstance(result, str)]
    by_rule = Counter(finding["rule"] for record in records for finding in record["findings"])
    severities = {rule["id"]: rule["severity"] for record in records for rule in record["rules"]}
    total = {severity: sum(record["counts"][label] for record in records) for label, severity in _SEVERITIES.items()}
    failed = len(results) - len(records)
    return _render(
        "tenants.html",
        cards=[
            ("error" if failed else "", f"{failed:,} failed"),
            *_cards(total),
            ("", counted(sum(record["queues"] for record in records), "queue")),
        ],
        charts={
            "Findings by rule": _bars(by_rule, severities),
            "Tenants by worst finding": _bars(Counter(map(_worst, results.values())), _TONES),
        },
        title=counted(len(results), "tenant"),
        source=f"{started:%Y-%m-%d %H:%M %Z} · alohub-async {__version__}",
        failed=counted(failed, "tenant") if failed else "",
        results=sorted(results.items(), key=lambda item: _order(item[1])),
        severities=_SEVERITIES,
        links=links or {},
    )


def _cards(counts: Mapping[Severity, int]) -> list[tuple[str, str]]:
    return [(severity.label if counts[severity] else "", text) for severity, text in tally(counts)]


def _worst(result: Mapping[str, Any] | str) -> str:
    if isinstance(result, str):
        return "failed"
    return next((label for label in _SEVERITIES if result["counts"][label]), "none")


def _order(result: Mapping[str, Any] | str) -> list[int]:
    """Orders tenants that failed before others, and those by their findings."""
    return [] if isinstance(result, str) else [-result["counts"][label] for label in _SEVERITIES]


def _render(template: str, **values: Any) -> str:
    check_html()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("alohub_async.audit", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = cast("Any", _shown)
    style, script = (environment.get_template(name).render() for name in ("page.css", "page.js"))
    sources = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    return legal(environment.get_template(template).render(policy=policy, **values))


def check_html() -> None:
    """Raise `ConfigurationError` if `html_page` cannot be used, as Jinja2 is not installed."""
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigurationError("the HTML page needs jinja2; run: pip install 'alohub-async[audit]'")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _bars(counts: Counter[str], css_classes: dict[str, str]) -> list[tuple[str, str, int, float]]:
    """The CSS class, the label, the count and the length in percent of each bar, longest first."""
    longest = max(counts.values(), default=1)
    bars = sorted(counts.items(), key=lambda bar: (-bar[1], bar[0]))
    return [(css_classes.get(label, ""), label, count, round(100 * count / longest, 2)) for label, count in bars]


def _shown(audited: AuditedQueue, name: str) -> str:
    """The value of an attribute as the page shows it."""
    value = getattr(audited.queue, name)
    if value is None:
        raw = audited.queue.extra.get(WIRE_NAMES[name])
        return "" if raw is None else f"{raw} (?)"  # the value the API sent, which does not fit its documented type
    if isinstance(value, QueueStrategy):
        return value.name if value.is_known else f"{int(value)} (?)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
