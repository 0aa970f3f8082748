"""The report as one self-contained HTML page. It needs the extra `audit` (Jinja2)."""

import base64
import hashlib
import importlib.util
from collections import Counter
from importlib.resources import files
from typing import Any, Final

import attrs

from alohub_async.audit.junit import legal
from alohub_async.audit.report import AuditReport
from alohub_async.audit.rules import WIRE_NAMES, AuditedQueue
from alohub_async.errors import ConfigurationError
from alohub_async.models import QueueStrategy

_COLUMNS: Final = (
    ("Id", "id"),
    ("Name", ""),
    ("Strategy", ""),
    ("Max wait (s)", "number"),
    ("Music on hold", ""),
    ("Position told", ""),
    ("Phone number", ""),
    ("Findings", "number"),
)
_SHOWN: Final = ("id", "name", "strategy", "max_wait", "music_on_hold", "announce_position", "number")


@attrs.frozen
class _Bar:
    """A bar of a chart; `percent` is of the longest one."""

    label: str
    count: int
    percent: float
    kind: str = ""


def html_page(report: AuditReport) -> str:
    """The report as an HTML page that needs no other file and is forbidden to ask for one.

    Raises:
        ConfigurationError: Jinja2 is not installed.
    """
    check_html()
    import jinja2
    from markupsafe import Markup

    # Text is made legal where it goes in, for no queue's name may spoil the page.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_legal, trim_blocks=True, lstrip_blocks=True
    )
    style, script = _asset("page.css"), _asset("page.js")
    counted = Counter(finding.rule for finding in report.findings)
    by_severity = sorted(report.rules, key=lambda rule: -rule.severity)
    return environment.from_string(_asset("page.html")).render(
        report=report,
        cards=_cards(report),
        policy=(
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
            " base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),  # noqa: S704 (ours)
        script=Markup(script),  # noqa: S704 (ours)
        charts={
            "Findings by rule": _bars(counted, {rule.id: rule.severity.label for rule in by_severity}),
            "Queues by strategy": _bars(Counter(_strategy(queue) for queue in report.audited.queues), {}),
        },
        by_rule=[(rule, found) for rule in by_severity if (found := report.of_rule(rule))],
        columns=_COLUMNS,
        rows=_rows(report),
    )


def check_html() -> None:
    """Check that pages can be made.

    Raises:
        ConfigurationError: Jinja2 is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigurationError("the HTML page needs jinja2; run: pip install 'alohub-async[audit]'")


def _asset(name: str) -> str:
    return files("alohub_async.audit").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _legal(value: Any) -> Any:
    return legal(value) if type(value) is str else value  # what is Markup is ours


def _cards(report: AuditReport) -> list[tuple[str, str, str]]:
    """Kind, number and what it counts."""
    told = [(severity.label, told) for severity, told in report.tally()]
    told.append(("", report.headline().partition(" audited")[0]))
    split = [(kind, words.partition(" ")) for kind, words in told]
    return [(kind, number, what) for kind, (number, _, what) in split]


def _bars(counted: Counter[str], kinds: dict[str, str]) -> list[_Bar]:
    longest = max(counted.values(), default=1)
    return [
        _Bar(label, count, round(100 * count / longest, 2), kinds.get(label, ""))
        for label, count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    ]


def _strategy(audited: AuditedQueue) -> str:
    return _told(audited, "strategy") or "none"


def _rows(report: AuditReport) -> list[list[str]]:
    found = Counter(finding.queue_id for finding in report.findings)
    return [
        [*(_told(audited, name) for name in _SHOWN), "" if audited.lacks("id") else str(found[audited.queue.id])]
        for audited in report.audited.queues
    ]


def _told(audited: AuditedQueue, name: str) -> str:
    value = getattr(audited.queue, name)
    if value is None:
        raw = audited.queue.extra.get(WIRE_NAMES[name])
        return "" if raw is None else f"{raw} (?)"  # what came instead of what is documented
    if isinstance(value, QueueStrategy):
        return value.name if value.is_known else f"{int(value)} (?)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
