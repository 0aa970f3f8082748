"""The differences between two states of a tenant's queues; pure."""

import enum
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import attrs

from alohub_async.files import queue_record
from alohub_async.models import InboundQueue

Side: TypeAlias = Literal["before", "after"]  # the state
_COMPARED: Final = tuple(field.name for field in attrs.fields(InboundQueue) if field.name not in {"id", "extra"})


class AbsentType(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return self.name


ABSENT: Final = AbsentType.ABSENT
"""The value of an `extra` field that one of the two states does not have. It is not the same as null."""


@attrs.frozen
class FieldChange:
    """One field that differs: its name is the attribute of `InboundQueue`, or `extra.` and the wire name.

    A value before or after is `ABSENT` if there is none, which only happens in `extra`.
    """

    name: str
    before: Any
    after: Any


@attrs.frozen
class QueueChange:
    """A queue that both states have with different values, in at least one field."""

    before: InboundQueue
    after: InboundQueue
    fields: tuple[FieldChange, ...]


@attrs.frozen
class Unmatched:
    """A queue of one side that could not be compared and that the other side does not have in the same form.

    The reason is `"id again"` if an earlier queue of that side has the same id and was compared.
    """

    side: Side
    queue: InboundQueue
    reason: Literal["no id", "id again"]


@attrs.frozen
class QueueDiff:
    """The differences between two states. Queues are matched by id.

    Attributes:
        added: Queues that only the state after has, in its order.
        removed: Queues that only the state before has, in its order.
        changed: Queues that differ, in the order of the state before.
        unmatched: Queues that could not be compared.
        unchanged: The number of queues that are equal in both states.
    """

    added: tuple[InboundQueue, ...]
    removed: tuple[InboundQueue, ...]
    changed: tuple[QueueChange, ...]
    unmatched: tuple[Unmatched, ...]
    unchanged: int

    @property
    def is_empty(self) -> bool:
        """Whether there are no differences."""
        return not (self.added or self.removed or self.changed or self.unmatched)


def diff_queues(before: Iterable[InboundQueue], after: Iterable[InboundQueue], *, extra: bool = True) -> QueueDiff:
    """Compare two states of the queues, field by field.

    Fields that the SDK does not know (`extra`) are compared by wire name, as JSON: `1` and `true` differ. They are only
    comparable if both states come from the same call, list or detail; `extra=False` leaves them out. The queues, in any
    order, are held in memory.
    """
    old, unmatched_before = _by_id(before, "before")
    new, unmatched_after = _by_id(after, "after")
    both = [(queue, new[queue_id]) for queue_id, queue in old.items() if queue_id in new]
    changed = [QueueChange(was, now, fields) for was, now in both if (fields := _changes(was, now, extra=extra))]
    return QueueDiff(
        added=tuple(queue for queue_id, queue in new.items() if queue_id not in old),
        removed=tuple(queue for queue_id, queue in old.items() if queue_id not in new),
        changed=tuple(changed),
        unmatched=(
            *_without(unmatched_before, unmatched_after, extra=extra),
            *_without(unmatched_after, unmatched_before, extra=extra),
        ),
        unchanged=len(both) - len(changed),
    )


def _by_id(queues: Iterable[InboundQueue], side: Side) -> tuple[dict[int, InboundQueue], list[Unmatched]]:
    matched: dict[int, InboundQueue] = {}
    unmatched: list[Unmatched] = []
    for queue in queues:
        queue_id = queue.id
        if queue_id is None:
            unmatched.append(Unmatched(side, queue, "no id"))
        elif matched.setdefault(queue_id, queue) is not queue:
            unmatched.append(Unmatched(side, queue, "id again"))
    return matched, unmatched


def _without(unmatched: list[Unmatched], others: list[Unmatched], *, extra: bool) -> list[Unmatched]:
    """The unmatched queues less those that the other state has in the same form, each as often as it occurs there."""

    def text_of(each: Unmatched) -> str:
        record = queue_record(each.queue)
        return _as_json(record if extra else {**record, "extra": None})

    in_others = Counter(map(text_of, others))
    remaining: list[Unmatched] = []
    for queue in unmatched:
        text = text_of(queue)
        in_others[text] -= 1
        if in_others[text] < 0:
            remaining.append(queue)
    return remaining


def _changes(before: InboundQueue, after: InboundQueue, *, extra: bool) -> tuple[FieldChange, ...]:
    known = (FieldChange(name, getattr(before, name), getattr(after, name)) for name in _COMPARED)
    fields = [field for field in known if field.before != field.after]
    for name in dict.fromkeys([*before.extra, *after.extra] if extra else ()):
        was, now = before.extra.get(name, ABSENT), after.extra.get(name, ABSENT)
        if _as_json(was) != _as_json(now):
            fields.append(FieldChange(f"extra.{name}", was, now))
    return tuple(fields)


def _as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=repr)
