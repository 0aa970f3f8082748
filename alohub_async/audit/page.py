"""A report as one self-contained HTML page. It needs the extra `audit` (Jinja2)."""

import base64
import hashlib
import importlib.util
from collections import Counter
from typing import Any

from alohub_async.audit.junit import legal
from alohub_async.audit.report import AuditReport
from alohub_async.audit.rules import WIRE_NAMES, AuditedQueue
from alohub_async.errors import ConfigurationError
from alohub_async.models import QueueStrategy
from alohub_async.plurals import counted


def html_page(report: AuditReport) -> str:
    """The report as an HTML page without external resources; its Content Security Policy forbids any request.

    Raises:
        ConfigurationError: Jinja2 is not installed.
    """
    check_html()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("alohub_async.audit", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_legal,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (environment.get_template(name).render() for name in ("page.css", "page.js"))
    sources = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    by_rule = Counter(finding.rule for finding in report.findings)
    by_strategy = Counter(_shown(queue, "strategy") or "none" for queue in report.audited.queues)
    groups = report.by_rule()
    cards = [(severity.label, count) for severity, count in report.tally()]
    return environment.get_template("page.html").render(
        report=report,
        whose=report.tenant or report.tenant_id,
        cards=[*cards, ("", counted(len(report.audited.queues), "queue"))],
        policy=f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'",
        rule_count=counted(len(report.rules), "rule"),
        charts={
            "Findings by rule": _bars(by_rule, {rule.id: rule.severity.label for rule, _ in groups}),
            "Queues by strategy": _bars(by_strategy, {}),
        },
        by_rule=groups,
        found=Counter(finding.queue_id for finding in report.findings),
        shown=_shown,
    )


def check_html() -> None:
    """Raise `ConfigurationError` if `html_page` cannot be used, as Jinja2 is not installed."""
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigurationError("the HTML page needs jinja2; run: pip install 'alohub-async[audit]'")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _legal(value: Any) -> Any:
    """What each expression of the templates inserts: the name of a queue may have any characters."""
    return legal(value) if isinstance(value, str) else value


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
