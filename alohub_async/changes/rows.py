"""Changes of queues as rows, one row per queue; pure.

A row has the `id` and the fields to set, by their names in `InboundQueueUpdate`. It may also have the expected current
value of a field, such as `expect.max_wait`; in CSV, where an empty cell is no value, `null` expects it not to be set.

The row of a whole queue, as exports have it, has other fields, too. They are expected to be as in the row, if the queue
has them. Its fields that equal their expected values were not edited, so they are not set.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, cast

import attrs

from alohub_async.changes.diff import FieldChange, QueueDiff
from alohub_async.errors import InvalidArgumentError
from alohub_async.files.delimited import EXPECT, Row, from_cell
from alohub_async.files.records import columns_of
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy
from alohub_async.resources.edits import require_changes, value_of, wanted_values
from alohub_async.validation import check_id, check_instance, nearest

WRITABLE: Final = tuple(field.name for field in attrs.fields(InboundQueueUpdate))
STRATEGIES: Final = ", ".join(f"{strategy.name} ({int(strategy)})" for strategy in QueueStrategy)  # for messages
_QUEUE: Final = columns_of(InboundQueue)
_FIELDS: Final = {name: _QUEUE.kinds[name] for name in WRITABLE}
_EXPECTED: Final = {EXPECT + name: kind for name, kind in _FIELDS.items()}
_READ_ONLY: Final = tuple(name for name in _QUEUE.kinds if name not in {"id", *WRITABLE})
_CHECKED: Final = (*WRITABLE, *_READ_ONLY)
COLUMNS: Final[dict[str, type]] = {"id": int, **_FIELDS, **_EXPECTED, **_QUEUE.kinds, "extra": str}
"""The kind of the values in each column."""


@attrs.frozen
class Change:
    """The wanted values of the queue with that id.

    Attributes:
        update: The fields to set, at least one.
        expect: Expected current values of these fields, None for not set. A field without one may have any value. A
            field that has neither its expected nor its wanted value is a conflict, and so is a queue that has other
            values of fields that cannot be set, or another value than one that cannot be set.

    Raises:
        InvalidArgumentError: A value is not allowed, an expectation is about a field that is not set but could be, or
            there is neither a field to set nor one that cannot be set.
    """

    id: int
    update: InboundQueueUpdate
    expect: Mapping[str, object] = attrs.field(factory=dict[str, object], hash=False)

    def __attrs_post_init__(self) -> None:
        check_id("id", self.id)
        expect: Mapping[Any, Any] = check_instance("expect", self.expect, cast("type[Mapping[Any, Any]]", Mapping))
        fixed = {name for name, value in expect.items() if _is_fixed(name, value)}
        if not (fixed or any(name in _READ_ONLY for name in expect)):
            require_changes(self.update, InboundQueueUpdate)
        wanted = wanted_values(check_instance("update", self.update, InboundQueueUpdate))
        if problems := _unchecked([name for name in expect if name not in fixed], wanted):
            raise InvalidArgumentError("; ".join(problems))
        checked = {name: _expected(name, value) for name, value in expect.items()}
        object.__setattr__(self, "expect", checked)

    @property
    def wanted(self) -> dict[str, Any]:
        """The values to set, by field."""
        return wanted_values(self.update)


def _unchecked(expect: Iterable[Any], wanted: Iterable[str]) -> list[str]:
    """Why expectations of these fields would not be looked at."""
    unknown = {name: nearest(str(name).removeprefix(EXPECT), WRITABLE) for name in expect if name not in _CHECKED}
    unset = [name for name in expect if name in WRITABLE and name not in wanted]
    problems = [f"no field {name!r:.60} to expect; {advice}" for name, advice in unknown.items()]
    return problems + [f"the expected {name} is not checked unless it is set, too" for name in unset]


def _expected(name: str, value: Any) -> Any:
    if isinstance(value, timedelta) and name == "max_wait":
        return InboundQueueUpdate(max_wait=value).max_wait
    try:
        return _QUEUE.checked(name, value)
    except ValueError as exc:
        raise InvalidArgumentError(f"{EXPECT}{exc}") from exc


@attrs.frozen
class Problem:
    """What is wrong with a row, and the line of the file, counted from 1."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


def read_rows(rows: Iterable[Row]) -> tuple[list[Change], list[Problem]]:
    """Check all rows. Returns the changes of the valid rows and every problem of the others."""
    changes: list[Change] = []
    problems: list[Problem] = []
    lines: dict[Any, int] = {}  # the first line of each id
    for row in rows:
        change, messages = (None, [*row.problems]) if row.problems else _read_row(row.values)
        queue_id = row.values.get("id")
        if type(queue_id) in {int, float} and lines.setdefault(queue_id, row.line) != row.line:
            messages.append(f"id {queue_id} is already on line {lines[queue_id]}")
        problems += [Problem(row.line, message) for message in messages]
        if change is not None and not messages:
            changes.append(change)
    return changes, problems


def _read_row(values: Mapping[str, Any]) -> tuple[Change | None, list[str]]:
    """The change of a row, or else all its problems."""
    problems = [f"unknown column {name!r:.60}; {nearest(name, COLUMNS)}" for name in values if name not in COLUMNS]
    whole = any(name in values for name in (*_READ_ONLY, "extra"))
    wanted = [name for name in WRITABLE if name in values and not (whole and values[name] is None)]
    expect = [name for name in WRITABLE if EXPECT + name in values]
    if whole:
        emptied = [name for name in expect if name not in wanted and values[EXPECT + name] is not None]
        problems += [f"{name} is empty, which changes nothing; put its value back" for name in emptied]
        unedited = {name for name in expect if name not in wanted or values[name] == values[EXPECT + name]}
        wanted, expect = ([name for name in names if name not in unedited] for names in (wanted, expect))
    elif not wanted:
        problems.append(f"no field to set; give at least one of {', '.join(WRITABLE)}")
    else:
        problems += _unchecked(expect, wanted)

    def collect(read: Callable[[str, Any], Any], name: str, value: Any) -> Any:
        try:
            return read(name, value)
        except ValueError as exc:
            problems.append(str(exc))
            return None

    fixed = [*_READ_ONLY]
    if whole:
        fixed += [name for name in wanted if name not in expect and _is_fixed(name, values[name])]
        wanted = [name for name in wanted if name not in fixed]
    queue_id: Any = collect(_id, "id", values.get("id"))
    fields = {name: collect(_wanted, name, values[name]) for name in wanted}
    expected = {name: collect(_expected, name, values[EXPECT + name]) for name in expect}
    others = {name: collect(_QUEUE.checked, name, values[name]) for name in fixed if values.get(name) is not None}
    if problems:
        return None, problems
    if whole and not (fields or others):
        return None, ["nothing to compare or to set"]
    return Change(queue_id, InboundQueueUpdate(**fields), {**expected, **others}), []


def _is_fixed(name: str, value: Any) -> bool:
    """Whether a queue can have this value of a field that can be set, but no update can set it."""
    try:
        found = _QUEUE.checked(name, value) if name in WRITABLE else None
    except ValueError:
        return False
    return found is not None and reason_not_settable(FieldChange(name, None, found)) is not None


def _id(name: str, value: Any) -> int:
    if value is None:
        raise ValueError("no id")
    return check_id(name, _QUEUE.checked(name, value))


def _wanted(name: str, value: Any) -> Any:
    if value is None:
        raise ValueError(f"{name} cannot be null, as the API does not document what null does; leave it out")
    value = _QUEUE.checked(name, value)
    InboundQueueUpdate(**{name: value})  # raises if the value is not allowed
    return value


def parse_strategy(text: str) -> QueueStrategy | None:
    """The strategy of a name or a number; None if there is no such strategy, or it cannot be set."""
    try:
        strategy: QueueStrategy = _QUEUE.checked("strategy", from_cell(text, int))
    except ValueError:
        return None
    return strategy if strategy.is_known else None


def changes_of(diff: QueueDiff) -> tuple[list[Change], list[str]]:
    """The changes that turn the state before into the state after. They expect the values before.

    With them come messages for all other differences: queues of one state alone or not compared, fields not settable.
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
            if reason := reason_not_settable(field):
                skipped.append(f"queue {changed.before.id}: {field.name} stays unchanged: {reason}")
            else:
                wanted[field.name] = field.after
        if wanted and changed.before.id is not None:  # without an id it would be unmatched
            # A value that does not fit its type cannot be expected.
            before = {name: getattr(changed.before, name) for name in wanted}
            expect = {name: value for name, value in before.items() if value_of(changed.before, name) == value}
            changes.append(Change(changed.before.id, InboundQueueUpdate(**wanted), expect))
    return changes, skipped


def reason_not_settable(field: FieldChange) -> str | None:
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
