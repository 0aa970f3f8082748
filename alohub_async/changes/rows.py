"""Changes of queues as rows, one row per queue; pure.

A row has the `id` and the fields to set, by their names in `InboundQueueUpdate`. It may also have the expected current
value of a field, such as `expect.max_wait`. In CSV, where an empty cell is no value, `null` there expects a field
that is not set.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from alohub_async.changes.diff import FieldChange, QueueDiff
from alohub_async.errors import InvalidArgumentError
from alohub_async.models import InboundQueueUpdate, QueueStrategy
from alohub_async.resources.edits import wanted_values

WRITABLE: Final = tuple(field.name for field in attrs.fields(InboundQueueUpdate))
"""The fields that can be set."""

EXPECT: Final = "expect."
COLUMNS: Final = ("id", *WRITABLE, *(EXPECT + name for name in WRITABLE))

STRATEGIES: Final = ", ".join(f"{strategy.name} ({int(strategy)})" for strategy in QueueStrategy)
"""The strategies that can be set, as messages list them."""

_MAX_ID: Final = 10**19 - 1  # as for `get_inbound`
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@attrs.frozen
class Change:
    """The wanted values of one queue.

    Attributes:
        id: The queue's id.
        update: The fields to set, at least one.
        expect: Expected current values of these fields, None for not set. A field without one may have any value. A
            field that has neither its expected nor its wanted value is a conflict.
    """

    id: int
    update: InboundQueueUpdate
    expect: Mapping[str, object] = attrs.field(factory=dict[str, object], hash=False)

    @property
    def wanted(self) -> dict[str, Any]:
        """The values to set, by field."""
        return wanted_values(self.update)


@attrs.frozen
class Row:
    """One row of a file, not checked yet: its first line, counted from 1, and its cells that are not empty."""

    line: int
    values: Mapping[str, Any]
    problems: tuple[str, ...] = ()  # of syntax; a row that has any is not checked further


@attrs.frozen
class Problem:
    """A problem of a row.

    Attributes:
        line: Of the file, counted from 1.
        message: What is wrong.
    """

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


def read_rows(rows: Iterable[Row]) -> tuple[list[Change], list[Problem]]:
    """Check all rows. Returns the changes of the valid rows and every problem of the others."""
    changes: list[Change] = []
    problems: list[Problem] = []
    lines: dict[int, int] = {}  # the first line of each id
    for row in rows:
        reader = _RowReader(row.values, [*row.problems])
        change = reader.read()
        first = row.line if reader.id is None else lines.setdefault(reader.id, row.line)
        if first != row.line:
            reader.problems.append(f"id {reader.id} is already on line {first}")
        problems += [Problem(row.line, message) for message in reader.problems]
        if change is not None and not reader.problems:
            changes.append(change)
    return changes, problems


@attrs.define
class _RowReader:
    """Reads one row and collects its problems instead of stopping at the first one."""

    values: Mapping[str, Any]
    problems: list[str]
    id: int | None = None

    def read(self) -> Change | None:
        if self.problems:
            return None
        self.id = self._collect(self._read_id, "id")
        unknown = [name for name in self.values if name not in COLUMNS]
        if unknown:
            noun = "column" if len(unknown) == 1 else "columns"
            self.problems.append(f"unknown {noun} {', '.join(unknown)}; the columns are {', '.join(COLUMNS)}")
        wanted = {name: self._collect(self._read_wanted, name) for name in WRITABLE if name in self.values}
        expect = {name: self._collect(self._read_expected, name) for name in WRITABLE if EXPECT + name in self.values}
        unused = [EXPECT + name for name in expect if name not in wanted]
        if not wanted:
            self.problems.append(f"no field to set; give at least one of {', '.join(WRITABLE)}")
        elif unused:
            self.problems.append(f"give a value to set beside {', '.join(unused)}, which is not checked without one")
        if self.problems or self.id is None:
            return None
        return Change(self.id, InboundQueueUpdate(**wanted), expect)

    def _collect(self, read: Callable[[str], Any], name: str) -> Any:
        try:
            return read(name)
        except ValueError as exc:
            self.problems.append(str(exc))
            return None

    def _read_id(self, name: str) -> Any:
        if self.values.get(name) is None:
            raise ValueError("no id")
        return _parse(name, self.values[name])

    def _read_wanted(self, name: str) -> Any:
        value = self.values[name]
        if value is None:
            raise ValueError(f"{name} cannot be null, as the API does not document what null does; leave it out")
        value = _parse(name, value)
        InboundQueueUpdate(**{name: value})  # raises if the value is not allowed
        return value

    def _read_expected(self, name: str) -> Any:
        value = self.values[EXPECT + name]
        number = _number(value)
        if name == "strategy" and number is not None:
            return QueueStrategy(number)  # also one that cannot be set
        try:
            return None if value is None else _parse(name, value)
        except ValueError as exc:
            raise ValueError(f"{EXPECT}{exc}") from exc


def parse_strategy(value: object) -> QueueStrategy | None:
    """The strategy of a name or a number; None if there is no such strategy, or it cannot be set."""
    number = _number(value)
    if number is not None:
        strategy = QueueStrategy(number)
        return strategy if strategy.is_known else None
    return QueueStrategy.__members__.get(value.strip().upper()) if isinstance(value, str) else None


def _number(value: object, *, least: float = -math.inf, most: float = math.inf) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,100}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        return None
    return value


def _parse_flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())


_PARSERS: Final[Mapping[str, tuple[Callable[[object], Any], str]]] = {
    "id": (partial(_number, least=1, most=_MAX_ID), "a queue's id, such as 1001226"),
    "music_on_hold": (lambda value: value if isinstance(value, str) else None, "a file name"),
    "max_wait": (partial(_number, least=0), "whole seconds, 0 or more"),
    "strategy": (parse_strategy, f"one of {STRATEGIES}"),
    "announce_position": (_parse_flag, "true or false"),
}
"""For each column, a function that returns None if a value is not allowed, and what is allowed."""


def _parse(name: str, value: object) -> Any:
    parse, allowed = _PARSERS[name]
    parsed = parse(value)
    if parsed is None:
        raise ValueError(f"{name} must be {allowed}; {value!r:.60} was given")
    return parsed


def changes_of(diff: QueueDiff) -> tuple[list[Change], list[str]]:
    """The changes that turn the state before into the state after. They expect the values before.

    Returns:
        The changes, and a message for each difference that they cannot cover: queues that only one state has or that
        could not be compared, and fields that cannot be set or not to that value.
    """
    changes: list[Change] = []
    skipped = [f"queue {queue.id} is only in the state after; queues cannot be added" for queue in diff.added]
    skipped += [f"queue {queue.id} is only in the state before; queues cannot be removed" for queue in diff.removed]
    skipped += [
        ("a queue without an id" if queue.reason == "no id" else f"a second queue with the id {queue.queue.id}")
        + f" in the state {queue.side} cannot be compared"
        for queue in diff.unmatched
    ]
    for changed in diff.changed:
        wanted: dict[str, Any] = {}
        for field in changed.fields:
            reason = _reason_not_settable(field)
            if reason is None:
                wanted[field.name] = field.after
            else:
                skipped.append(f"queue {changed.before.id}: {field.name} stays unchanged: {reason}")
        if wanted and changed.before.id is not None:  # without an id it would be unmatched
            expect = {name: getattr(changed.before, name) for name in wanted}
            changes.append(Change(changed.before.id, InboundQueueUpdate(**wanted), expect))
    return changes, skipped


def _reason_not_settable(field: FieldChange) -> str | None:
    """Why the field cannot be set to its value after; None if it can."""
    if field.name not in WRITABLE:
        return "it cannot be set"
    if field.after is None:
        return "it cannot be set to null"
    try:
        InboundQueueUpdate(**{field.name: field.after})
    except InvalidArgumentError as exc:
        return str(exc)
    return None
