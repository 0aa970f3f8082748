"""Audited queues and reports from wire records."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from alohub_async import AlohubError, InboundQueue
from alohub_async.audit import DEFAULT_RULES, AuditedList, AuditedQueue, AuditReport, Finding, Rule, make_report
from alohub_async.codec.converter import converter_for
from tests.support import queue

STARTED = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
RULES = {rule.id: rule for rule in DEFAULT_RULES}
SOUND: dict[str, object] = {"nguongRanhRoi": "1", "callinNumber": "02438123456"}
"""Values that the example of the vendor lacks to have no findings."""


def record(**changes: object) -> dict[str, object]:
    """A wire record without findings, apart from the given values, by wire name."""
    return queue(**{**SOUND, **changes})


def model(wire: Mapping[str, object]) -> InboundQueue:
    """The queue of a wire record."""
    converted: InboundQueue = converter_for(strict=False).structure(dict(wire), InboundQueue)
    return converted


def audited(
    listed: Mapping[str, object], detail: Mapping[str, object] | None = None, error: AlohubError | None = None
) -> AuditedQueue:
    """An audited queue from its listed record and its detail."""
    return AuditedQueue(model(listed), None if detail is None else model(detail), error)


def report_of(*queues: AuditedQueue, rules: Iterable[Rule] = DEFAULT_RULES, **walk: Any) -> AuditReport:
    """A report of these queues; `walk` has other attributes of `AuditedList`."""
    return make_report(AuditedList(queues=queues, **walk), rules, started=STARTED)


def found(*queues: AuditedQueue, **walk: Any) -> list[Finding]:
    """The findings of such a report."""
    return [*report_of(*queues, **walk).findings]
