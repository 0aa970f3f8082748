"""The rules that come with the package."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

from alohub_async.audit.rules import WIRE_NAMES, AuditedList, AuditedQueue, Finding, Rule, Severity, list_rule, rule
from alohub_async.models import InboundQueue, QueueStrategy

_NUMBER_CHARACTERS: Final = re.compile(r"\+?[0-9 .()-]+")
_NOT_DIGITS: Final = re.compile(r"\D")
_LONGEST: Final = 60  # characters of a value in a message
_NAMED: Final = 3  # others that a finding names


@rule(Severity.WARNING)
def no_music_on_hold(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no music on hold."""
    if queue.lacks("music_on_hold"):
        yield queue.finding("no music on hold", field="music_on_hold")


@rule(Severity.WARNING)
def no_wait_limit(queue: AuditedQueue) -> Iterator[Finding]:
    """Nothing says how long callers may wait."""
    if queue.lacks("max_wait"):
        yield queue.finding("no longest wait is set", field="max_wait")


@rule(Severity.WARNING)
def zero_wait(queue: AuditedQueue) -> Iterator[Finding]:
    """The longest wait is 0 seconds.

    What the service makes of it is not documented: it may turn every caller away, or none.
    """
    if queue.queue.max_wait == 0:
        yield queue.finding("the longest wait is 0 s", field="max_wait")


@rule(Severity.WARNING)
def long_wait(queue: AuditedQueue, *, seconds: int = 300) -> Iterator[Finding]:
    """Callers may wait very long.

    Longer than `seconds`.
    """
    wait = queue.queue.max_wait
    if wait is not None and wait > seconds:
        yield queue.finding(f"{wait} s, more than {seconds} s", field="max_wait")


@rule(Severity.WARNING)
def locked(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue is locked for now.

    Somebody may have forgotten it.
    """
    if queue.queue.strategy is QueueStrategy.LOCKED:
        yield queue.finding("locked", field="strategy")


@rule(Severity.INFO)
def blacklist(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue's strategy is the blacklist."""
    if queue.queue.strategy is QueueStrategy.BLACKLIST:
        yield queue.finding("its strategy is the blacklist", field="strategy")


@rule(Severity.INFO)
def no_strategy(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no strategy."""
    if queue.lacks("strategy"):
        yield queue.finding("no strategy", field="strategy")


@rule(Severity.WARNING)
def unknown_strategy(queue: AuditedQueue) -> Iterator[Finding]:
    """The API does not document this strategy."""
    strategy = queue.queue.strategy
    if strategy is not None and not strategy.is_known:
        yield queue.finding(f"strategy {int(strategy)} is not documented", field="strategy")


@rule(Severity.INFO)
def position_not_announced(queue: AuditedQueue) -> Iterator[Finding]:
    """Callers are not told their position."""
    if queue.queue.announce_position is False or queue.lacks("announce_position"):
        yield queue.finding("callers are not told their position", field="announce_position")


@rule(Severity.INFO)
def no_number(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no phone number of its own."""
    if queue.lacks("number"):
        yield queue.finding("no phone number", field="number")


@rule(Severity.WARNING, needs="phonenumbers")
def invalid_number(queue: AuditedQueue) -> Iterator[Finding]:
    """The number is no Vietnamese phone number.

    Service numbers (1800, 1900) are; internal extensions and emergency numbers are not.
    """
    number = (queue.queue.number or "").strip()
    if number and not _is_vietnamese(number):
        yield queue.finding(f"{_short(number)} is no Vietnamese number", field="number")


@list_rule(Severity.ERROR)
def number_used_twice(audited: AuditedList) -> Iterator[Finding]:
    """Several queues have the same phone number.

    However it is written: with spaces, with the country's code.
    """
    yield from _shared(audited, "number", _dialled, told=lambda queue: _short(queue.number))


@list_rule(Severity.WARNING)
def name_used_twice(audited: AuditedList) -> Iterator[Finding]:
    """Several queues have the same name.

    Spaces and case make no difference.
    """
    yield from _shared(audited, "name", _spoken, told=lambda _: "name")


@rule(Severity.WARNING)
def detail_differs(queue: AuditedQueue) -> Iterator[Finding]:
    """The list and the queue's detail do not say the same."""
    if queue.detail is not None:
        for name, (listed, detail) in _differences(queue.listed, queue.detail).items():
            yield queue.finding(f"{name}: the list says {_short(listed)}, the detail {_short(detail)}", field=name)


@rule(Severity.ERROR)
def unfit_value(queue: AuditedQueue) -> Iterator[Finding]:
    """A value does not fit its documented type.

    Or the id or the name is missing or empty.
    """
    for name, wire in WIRE_NAMES.items():
        if name in {"id", "name"} and queue.lacks(name):
            yield queue.finding(f"{wire} is missing or empty", field=name)
        sources = [queue.queue] if queue.detail is None else [queue.detail, queue.listed]
        unfit = next((source.extra[wire] for source in sources if wire in source.extra), _FITS)
        if unfit is not _FITS:
            yield queue.finding(f"{wire} is {_short(unfit)}, which is no {_KINDS[name]}", field=name)


@rule(Severity.WARNING)
def gone(queue: AuditedQueue) -> Iterator[Finding]:
    """The list has the queue, and its detail says there is none."""
    if queue.gone:
        yield queue.finding("in the list, yet there is no such queue")


@rule(Severity.ERROR)
def detail_failed(queue: AuditedQueue) -> Iterator[Finding]:
    """The detail could not be had.

    So the list's record was audited.
    """
    if queue.error is not None and not queue.gone:
        yield queue.finding(f"its detail could not be had: {queue.error}")


@list_rule(Severity.ERROR)
def incomplete_list(audited: AuditedList) -> Iterator[Finding]:
    """Queues may be missing from this audit.

    The list moved, or ended early, while it was walked.
    """
    if not audited.complete:
        drift = audited.drift
        told = f"{len(audited.queues)} queues came; the server tells of {_or_unknown(audited.total)}"
        if drift.moved:
            totals = " → ".join(map(str, drift.totals))
            told += f"; the list moved meanwhile (totals {totals}, {drift.duplicates} queues came again)"
        yield Finding(told)


DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    incomplete_list,
    detail_failed,
    gone,
    unfit_value,
    detail_differs,
    number_used_twice,
    invalid_number,
    no_number,
    name_used_twice,
    no_wait_limit,
    zero_wait,
    long_wait,
    no_music_on_hold,
    position_not_announced,
    locked,
    blacklist,
    no_strategy,
    unknown_strategy,
)
"""All rules of the package; add your own behind them."""

_FITS: Final = object()
_KINDS: Final = {
    "id": "number of 1 or more",
    "name": "text",
    "strategy": "number",
    "music_on_hold": "text",
    "max_wait": "number of seconds",
    "agent_selector": "text",
    "announce_position": "0 or 1",
    "number": "text",
}


def _short(value: object) -> str:
    if isinstance(value, QueueStrategy):
        return value.name
    text = value if isinstance(value, str) and value and value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _or_unknown(total: int | None) -> str:
    return "no total" if total is None else str(total)


def _is_vietnamese(number: str) -> bool:
    import phonenumbers

    # The library would read letters as keys of a phone, and find a number inside other text.
    if not _NUMBER_CHARACTERS.fullmatch(number):
        return False
    try:
        parsed = phonenumbers.parse(number, "VN")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number_for_region(parsed, "VN")


def _dialled(number: str) -> str:
    """The number without what does not matter: spaces, the country's code, the zero before an area's."""
    digits = _NOT_DIGITS.sub("", number)
    if number.strip().startswith("+84"):
        digits = digits.removeprefix("84")
    return digits.removeprefix("0")


def _spoken(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _shared(
    audited: AuditedList, field: str, normalise: Callable[[str], str], *, told: Callable[[InboundQueue], str]
) -> Iterator[Finding]:
    """A finding for each queue whose value another one has, too."""
    by_value: dict[str, list[AuditedQueue]] = {}
    for queue in audited.queues:
        value: str | None = getattr(queue.queue, field)
        if value is not None and (key := normalise(value)):
            by_value.setdefault(key, []).append(queue)
    for sharing in by_value.values():
        for queue in sharing if len(sharing) > 1 else ():
            others = [str(other.queue.id) for other in sharing[: _NAMED + 1] if other is not queue][:_NAMED]
            unnamed = len(sharing) - 1 - len(others)
            more = f" and {unnamed} more" if unnamed else ""
            yield queue.finding(f"{told(queue.queue)} shared with {', '.join(others)}{more}", field=field)


def _differences(listed: InboundQueue, detail: InboundQueue) -> dict[str, tuple[object, object]]:
    """By attribute, or wire name of a field the SDK does not know: what the list says, and what the detail."""
    differences: dict[str, tuple[object, object]] = {}
    for name, wire in WIRE_NAMES.items():
        both = tuple(queue.extra.get(wire, getattr(queue, name)) for queue in (listed, detail))
        if both[0] != both[1]:
            differences[name] = both
    for wire in listed.extra.keys() & detail.extra.keys() - {*WIRE_NAMES.values()}:
        if listed.extra[wire] != detail.extra[wire]:
            differences[wire] = listed.extra[wire], detail.extra[wire]
    return differences
