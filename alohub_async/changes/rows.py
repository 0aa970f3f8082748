"""What is to be changed, a queue a row; pure.

A row has the `id`, the fields to set, by their names in `InboundQueueUpdate`, and perhaps what a field is expected to
be still: `expect.max_wait` and so on. In a file of CSV, where an empty cell says nothing, `null` in one of those
expects a field that is not set.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from alohub_async.changes.diff import FieldChange, QueueDiff
from alohub_async.errors import InvalidArgumentError
from alohub_async.models import InboundQueueUpdate, QueueStrategy
from alohub_async.unset import UNSET

WRITABLE: Final = tuple(field.name for field in attrs.fields(InboundQueueUpdate))
"""The fields that can be set."""

EXPECT: Final = "expect."
COLUMNS: Final = ("id", *WRITABLE, *(EXPECT + name for name in WRITABLE))

_LONGEST_ID: Final = 19  # digits, as for `get_inbound`
_STRATEGIES: Final = {strategy.name: strategy for strategy in QueueStrategy}
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@attrs.frozen
class Change:
    """What one queue should be.

    Attributes:
        id: The queue's id.
        update: The fields to set, at least one.
        expect: Of those fields, what they are expected to be until then, None for not set; a field that is not named is
            whatever it is. A field that is found otherwise, and is not as wanted already, is a conflict.
    """

    id: int
    update: InboundQueueUpdate
    expect: Mapping[str, object] = attrs.field(factory=dict[str, object], hash=False)

    @property
    def wanted(self) -> dict[str, Any]:
        """The fields that are set, by name."""
        values = attrs.asdict(self.update, recurse=False)
        return {name: value for name, value in values.items() if value is not UNSET}


@attrs.frozen
class Row:
    """One row of a file, as it came.

    Attributes:
        line: Where it begins, counted from 1.
        values: By column; what says nothing is left out.
        problems: What was wrong with it before it could be looked at.
    """

    line: int
    values: Mapping[str, Any]
    problems: tuple[str, ...] = ()


@attrs.frozen
class Problem:
    """What is wrong with a row.

    Attributes:
        line: Of the file, counted from 1.
        message: What is wrong.
    """

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


def read_rows(rows: Iterable[Row]) -> tuple[list[Change], list[Problem]]:
    """Check all rows: the changes of those that are right, and every problem of those that are not."""
    changes: list[Change] = []
    problems: list[Problem] = []
    lines: dict[int, int] = {}
    for row in rows:
        reader = _RowReader(row.values, [*row.problems])
        change = reader.read()
        first = row.line if reader.id is None else lines.setdefault(reader.id, row.line)
        if first != row.line:
            reader.problems.append(f"id {reader.id} is on line {first} already")
        problems += [Problem(row.line, message) for message in reader.problems]
        if change is not None and not reader.problems:
            changes.append(change)
    return changes, problems


@attrs.define
class _RowReader:
    """Reads one row, and keeps every problem instead of stopping at the first."""

    values: Mapping[str, Any]
    problems: list[str]
    id: int | None = None

    def read(self) -> Change | None:
        if self.problems:
            return None
        self.id = self._note(self._read_id, "id")
        unknown = [name for name in self.values if name not in COLUMNS]
        if unknown:
            self.problems.append(f"unknown column {_list(unknown)}; there are {_list(COLUMNS)}")
        wanted = {name: self._note(self._read_wanted, name) for name in WRITABLE if name in self.values}
        expect = {name: self._note(self._read_expected, name) for name in WRITABLE if EXPECT + name in self.values}
        lonely = [EXPECT + name for name in expect if name not in wanted]
        if not wanted:
            self.problems.append(f"no field to set; give at least one of {_list(WRITABLE)}")
        elif lonely:
            self.problems.append(f"{_list(lonely)} without the field itself, which would not be looked at")
        if self.problems or self.id is None:
            return None
        return Change(self.id, InboundQueueUpdate(**wanted), expect)

    def _note(self, read: Callable[[str], Any], name: str) -> Any:
        try:
            return read(name)
        except ValueError as exc:
            self.problems.append(str(exc))
            return None

    def _read_id(self, name: str) -> int:
        value = self.values.get(name)
        number = _number(value)
        if value is None:
            raise ValueError("no id")
        if number is None or number < 1 or len(str(number)) > _LONGEST_ID:
            raise ValueError(f"id must be a queue's id, such as 1001226; {value!r:.60} was given")
        return number

    def _read_wanted(self, name: str) -> Any:
        value = self.values[name]
        if value is None:
            raise ValueError(f"{name} cannot be null: what the API does with it is not known; leave it out")
        value = _READERS[name](value)
        InboundQueueUpdate(**{name: value})  # which checks it
        return value

    def _read_expected(self, name: str) -> Any:
        value = self.values[EXPECT + name]
        number = _number(value)
        if name == "strategy" and number is not None:
            return QueueStrategy(number)  # one that cannot be set can be found all the same
        try:
            return None if value is None else _READERS[name](value)
        except ValueError as exc:
            raise ValueError(f"{EXPECT}{exc}") from exc


def _list(names: Iterable[object]) -> str:
    return ", ".join(f"{name}" for name in names)


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,100}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_wait(value: object) -> int:
    number = _number(value)
    if number is None or number < 0:
        raise ValueError(f"max_wait must be whole seconds, 0 or more; {value!r:.60} was given")
    return number


def _read_strategy(value: object) -> QueueStrategy:
    number = _number(value)
    if number is not None:
        strategy = QueueStrategy(number)
        if strategy.is_known:
            return strategy
    elif isinstance(value, str) and value.strip().upper() in _STRATEGIES:
        return _STRATEGIES[value.strip().upper()]
    allowed = _list(f"{strategy.name} ({int(strategy)})" for strategy in QueueStrategy)
    raise ValueError(f"strategy must be one of {allowed}; {value!r:.60} was given")


def _read_flag(value: object) -> bool:
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ValueError(f"announce_position must be true or false; {value!r:.60} was given")
    return flag


def _read_file_name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"music_on_hold must be a file name; {value!r:.60} was given")  # noqa: TRY004  (bad data)
    return value


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "music_on_hold": _read_file_name,
    "max_wait": _read_wait,
    "strategy": _read_strategy,
    "announce_position": _read_flag,
}


def changes_of(diff: QueueDiff) -> tuple[list[Change], list[str]]:
    """What turns the state before into the state after, as far as it can be written, expecting the state before.

    Returns:
        The changes, and a line for each difference they leave: queues that are only on one side or cannot be compared,
        fields that cannot be set, or not to that value.
    """
    changes: list[Change] = []
    left = [f"queue {queue.id} is only after: queues cannot be added" for queue in diff.added]
    left += [f"queue {queue.id} is only before: queues cannot be removed" for queue in diff.removed]
    left += [f"a queue {each.side} cannot be compared ({each.reason}, {each.queue.id})" for each in diff.unmatched]
    for changed in diff.changed:
        wanted: dict[str, Any] = {}
        for field in changed.fields:
            why = _why_not(field)
            if why is None:
                wanted[field.name] = field.after
            else:
                left.append(f"queue {changed.before.id}: {field.name} stays as it is: {why}")
        if wanted:
            expect = {name: getattr(changed.before, name) for name in wanted}
            changes.append(Change(changed.before.id, InboundQueueUpdate(**wanted), expect))
    return changes, left


def _why_not(field: FieldChange) -> str | None:
    """Why the field cannot be set to what it is after; None if it can."""
    if field.name not in WRITABLE:
        return "it cannot be set"
    if field.after is None:
        return "it cannot be set to null"
    try:
        InboundQueueUpdate(**{field.name: field.after})
    except InvalidArgumentError as exc:
        return str(exc)
    return None
