"""The rules of the package."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Final

from alohub_async.audit.rules import WIRE_NAMES, AuditedList, AuditedQueue, Finding, Rule, Severity, list_rule, rule
from alohub_async.errors import PermissionDeniedError
from alohub_async.models import InboundQueue, QueueStrategy
from alohub_async.plurals import counted
from alohub_async.resources.edits import looks, told_apart

_NUMBER_CHARACTERS: Final = re.compile(r"\+?[0-9\s.()-]+")
_USUAL_NUMBER: Final = re.compile("0([1-9][0-9]{7,9})")
_MAX_VALUE: Final = 60  # characters of a value in a message
_MAX_IDS: Final = 3  # ids of other queues in a message
_WIRES: Final = frozenset(WIRE_NAMES.values())
_VALUES_OF: Final = attrgetter(*WIRE_NAMES)
_KINDS: Final = {
    "id": "a number of 1 or more",
    "strategy": "a number",
    "max_wait": "a number of seconds",
    "announce_position": "0 or 1",
}


@list_rule(Severity.ERROR)
def incomplete_list(audited: AuditedList) -> Iterator[Finding]:
    """Queues may be missing from this audit."""
    if not audited.complete:
        drift = audited.drift
        total = "no total" if audited.total is None else f"a total of {audited.total:,}"
        message = f"received {counted(len(audited.queues), 'queue')}; the server reports {total}"
        if drift.moved:
            totals = " → ".join(map(str, drift.totals))
            message += f"; the list changed during the walk (totals {totals}, {counted(drift.duplicates, 'duplicate')})"
        yield Finding(message)


@rule(Severity.ERROR)
def detail_failed(queue: AuditedQueue) -> Iterator[Finding]:
    """The details of the queue could not be retrieved.

    The record of the list was audited instead.
    """
    if queue.error is not None and not queue.gone:
        yield queue.finding(f"getting the details failed: {queue.error}")


@rule(Severity.WARNING)
def gone(queue: AuditedQueue) -> Iterator[Finding]:
    """The list has the queue, but the API has no details."""
    if queue.gone:
        yield queue.finding("in the list, but not found when its details were requested")


@rule(Severity.ERROR)
def unfit_value(queue: AuditedQueue) -> Iterator[Finding]:
    """A value does not match its documented type.

    The rule also finds a missing or empty id or name.
    """
    lacking = [name for name in ("id", "name") if queue.lacks(name)]
    unfit = {**queue.listed.extra, **queue.queue.extra}
    for name, wire in WIRE_NAMES.items() if lacking or unfit else ():
        if name in lacking:
            yield queue.finding(f"{wire} is missing or empty", field=name)
        if wire in unfit:
            yield queue.finding(f"{wire} is {_short(unfit[wire])}, which is not {_KINDS.get(name, 'text')}", field=name)


@rule(Severity.WARNING)
def detail_differs(queue: AuditedQueue) -> Iterator[Finding]:
    """The list and the details of the queue differ."""
    if queue.detail is None or queue.detail == queue.listed:
        return
    details = _values(queue.detail)
    for name, listed in _values(queue.listed).items():
        if details.get(name, listed) != listed:
            one, other = told_apart(listed, details[name], show=_short)
            yield queue.finding(f"{name} is {one} in the list, {other} in the details", field=name)


@list_rule(Severity.ERROR)
def number_used_twice(audited: AuditedList) -> Iterator[Finding]:
    """Several queues have the same phone number.

    The format of a phone number makes no difference, such as spaces or the country code, if the extra `audit` is
    installed. Anything else is compared as it is written.
    """
    yield from _shared(audited, "number", lambda number: _e164(looks(number)) or looks(number))


@rule(Severity.WARNING, needs="phonenumbers")
def invalid_number(queue: AuditedQueue) -> Iterator[Finding]:
    """The number is not a valid Vietnamese phone number.

    Service numbers (1800, 1900) are valid; internal extensions and emergency numbers are not.
    """
    number = queue.queue.number or ""
    if number.strip() and not (_e164(number.strip()) or "").startswith("+84"):
        yield queue.finding(f"{_short(number.strip())} is not a Vietnamese number", field="number")


@rule(Severity.INFO)
def no_number(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no phone number."""
    if queue.lacks("number"):
        yield queue.finding("no phone number", field="number")


@list_rule(Severity.WARNING)
def name_used_twice(audited: AuditedList) -> Iterator[Finding]:
    """Several queues have the same name.

    Spaces and case make no difference.
    """
    yield from _shared(audited, "name", lambda name: looks(name).casefold())


@rule(Severity.WARNING)
def no_wait_limit(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no maximum wait."""
    if queue.lacks("max_wait"):
        yield queue.finding("no maximum wait is set", field="max_wait")


@rule(Severity.WARNING)
def zero_wait(queue: AuditedQueue) -> Iterator[Finding]:
    """The maximum wait is 0 seconds.

    The API does not document what 0 does: the service may reject every caller or none.
    """
    if queue.queue.max_wait == 0:
        yield queue.finding("maximum wait 0 s", field="max_wait")


@rule(Severity.WARNING)
def long_wait(queue: AuditedQueue, *, seconds: int = 300) -> Iterator[Finding]:
    """The maximum wait is very long."""
    wait = queue.queue.max_wait
    if wait is not None and wait > seconds:
        yield queue.finding(f"maximum wait {wait} s, above {seconds} s", field="max_wait")


@rule(Severity.WARNING)
def no_music_on_hold(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no music on hold."""
    if queue.lacks("music_on_hold"):
        yield queue.finding("no music on hold", field="music_on_hold")


@rule(Severity.INFO)
def position_not_announced(queue: AuditedQueue) -> Iterator[Finding]:
    """Callers do not hear their position in the queue."""
    if queue.queue.announce_position is False or queue.lacks("announce_position"):
        yield queue.finding("the position is not announced", field="announce_position")


@rule(Severity.WARNING)
def locked(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue is locked."""
    if queue.queue.strategy is QueueStrategy.LOCKED:
        yield queue.finding("the queue is locked", field="strategy")


@rule(Severity.INFO)
def blacklist(queue: AuditedQueue) -> Iterator[Finding]:
    """The strategy of the queue is BLACKLIST."""
    if queue.queue.strategy is QueueStrategy.BLACKLIST:
        yield queue.finding("the strategy is BLACKLIST", field="strategy")


@rule(Severity.INFO)
def no_strategy(queue: AuditedQueue) -> Iterator[Finding]:
    """The queue has no strategy."""
    if queue.lacks("strategy"):
        yield queue.finding("no strategy is set", field="strategy")


@rule(Severity.WARNING)
def unknown_strategy(queue: AuditedQueue) -> Iterator[Finding]:
    """The API does not document the strategy."""
    strategy = queue.queue.strategy
    if strategy is not None and not strategy.is_known:
        yield queue.finding(f"strategy {int(strategy)} is not documented", field="strategy")


@rule(Severity.WARNING)
def no_agents(queue: AuditedQueue) -> Iterator[Finding]:
    """No active agent serves the queue.

    It runs if agents are counted: with agents=True, or --agents.
    """
    if queue.agents == 0:
        yield queue.finding("no active agent")


@list_rule(Severity.WARNING)
def agents_not_counted(audited: AuditedList) -> Iterator[Finding]:
    """The active agents of queues could not be counted.

    It runs if agents are counted: with agents=True, or --agents.
    """
    if errors := audited.agents_errors:
        denied = isinstance(errors[0], PermissionDeniedError)
        whose, advice = ("all queues", "; ask for a key with the scope 'agent'") if denied else ("", "")
        yield Finding(f"counting the agents of {whose or counted(len(errors), 'queue')} failed: {errors[0]}{advice}")


OF_AGENTS: Final = frozenset({no_agents.id, agents_not_counted.id})
"""The rules that need the number of agents."""

DEFAULT_RULES: Final[tuple[Rule, ...]] = tuple(each for each in globals().values() if isinstance(each, Rule))
"""All rules of the package, in the order of reports, which is the order of their definitions."""


def _short(value: object) -> str:
    if isinstance(value, QueueStrategy):
        return value.name
    text = value if isinstance(value, str) and value and value.isprintable() else repr(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


@lru_cache(maxsize=65_536)
def _e164(number: str) -> str | None:
    """The number in the form `+84912345678` if it is valid, or None; without a country code, it is Vietnamese."""
    if importlib.util.find_spec("phonenumbers") is None or not _NUMBER_CHARACTERS.fullmatch(number):
        return None  # the library would convert letters to digits, and would find a number inside other text
    import phonenumbers

    if usual := _USUAL_NUMBER.fullmatch(number):
        parsed = phonenumbers.PhoneNumber(84, int(usual[1]))  # what `parse` returns after four times the time
    else:
        try:
            parsed = phonenumbers.parse(number, "VN")
        except phonenumbers.NumberParseException:
            return None
    valid = phonenumbers.is_valid_number(parsed)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if valid else None


def _shared(audited: AuditedList, field: str, normalise: Callable[[str], str]) -> Iterator[Finding]:
    """A finding for each queue whose value another queue has, too."""
    first_with: dict[str, AuditedQueue] = {}
    all_with: dict[str, list[AuditedQueue]] = {}  # if several have it: many lists are work for the garbage collector
    for queue in audited.queues:
        value: str | None = getattr(queue.queue, field)
        if value is not None and (key := normalise(value)):
            first = first_with.setdefault(key, queue)
            if first is not queue:
                all_with.setdefault(key, [first]).append(queue)
    for sharing in filter(None, map(all_with.get, first_with)):
        ids = [str(queue.queue.id) for queue in sharing[: _MAX_IDS + 1]]
        others = [_others([*ids[:index], *ids[index + 1 :]], len(sharing) - 1) for index in range(len(ids))]
        for index, queue in enumerate(sharing):
            what = "the name" if field == "name" else _short(getattr(queue.queue, field))
            # From the fourth on, the first three are named.
            yield queue.finding(f"{what} is shared with {others[min(index, _MAX_IDS)]}", field=field)


def _others(ids: list[str], count: int) -> str:
    noun = "queues" if len(ids) > 1 else "queue"
    more = f" and {count - len(ids)} more" if count > len(ids) else ""
    return f"{noun} {', '.join(ids)}{more}"


def _values(record: InboundQueue) -> dict[str, object]:
    """The values as the API sent them, by attribute, or by wire name for a field the SDK does not know."""
    values = dict[str, object](zip(WIRE_NAMES, _VALUES_OF(record), strict=True))
    values |= {name: record.extra[wire] for name, wire in WIRE_NAMES.items() if wire in record.extra}
    return values | {wire: value for wire, value in record.extra.items() if wire not in _WIRES}
