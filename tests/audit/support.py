"""Audited queues from wire records, and reports of them."""

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
"""What the vendor's example lacks to be without a finding."""


def record(**changes: object) -> dict[str, object]:
    """A queue without a finding, with other values, by wire name."""
    return queue(**{**SOUND, **changes})


def model(wire: Mapping[str, object]) -> InboundQueue:
    """What the SDK makes of it."""
    made: InboundQueue = converter_for(strict=False).structure(dict(wire), InboundQueue)
    return made


def audited(
    listed: Mapping[str, object], detail: Mapping[str, object] | None = None, error: AlohubError | None = None
) -> AuditedQueue:
    """A queue as listed, and in detail."""
    return AuditedQueue(model(listed), None if detail is None else model(detail), error)


def report_of(*queues: AuditedQueue, rules: Iterable[Rule] = DEFAULT_RULES, **known: Any) -> AuditReport:
    """A report of these queues."""
    return make_report(AuditedList(queues=queues, **known), rules, started=STARTED)


def found(*queues: AuditedQueue, **known: Any) -> list[Finding]:
    """The findings alone."""
    return [*report_of(*queues, **known).findings]
