"""What differs between two states of a tenant's queues; pure."""

import enum
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias, cast

import attrs

from alohub_async.files import queue_record
from alohub_async.models import InboundQueue

Side: TypeAlias = Literal["before", "after"]
"""Which of the two states."""

_COMPARED: Final = tuple(field.name for field in attrs.fields(InboundQueue) if field.name not in {"id", "extra"})


class AbsentType(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return self.name


ABSENT: Final = AbsentType.ABSENT
"""A field of `extra` that one of the two does not have; null is another matter."""


@attrs.frozen
class FieldChange:
    """One field that differs.

    Attributes:
        name: The attribute of `InboundQueue`, or `extra.` and the wire name.
        before: Its value before; `ABSENT` if there is none, which only happens in `extra`.
        after: Its value after, likewise.
    """

    name: str
    before: Any
    after: Any


@attrs.frozen
class QueueChange:
    """A queue that is in both states and differs.

    Attributes:
        before: As it was.
        after: As it is.
        fields: What differs, at least one.
    """

    before: InboundQueue
    after: InboundQueue
    fields: tuple[FieldChange, ...]


@attrs.frozen
class Unmatched:
    """A queue that could not be compared and that the other state does not have just so.

    Attributes:
        side: Where it is.
        queue: As it is there.
        reason: `"no id"`, or `"id again"` if a queue before it on that side has its id, and was compared.
    """

    side: Side
    queue: InboundQueue
    reason: Literal["no id", "id again"]


@attrs.frozen
class QueueDiff:
    """What differs between two states; queues are the same if their ids are.

    Attributes:
        added: Queues that are only after, in their order there.
        removed: Queues that were only before, in their order there.
        changed: Queues that differ, in their order before.
        unmatched: Queues that could not be compared.
        unchanged: How many are the same in both.
    """

    added: tuple[InboundQueue, ...]
    removed: tuple[InboundQueue, ...]
    changed: tuple[QueueChange, ...]
    unmatched: tuple[Unmatched, ...]
    unchanged: int

    @property
    def is_empty(self) -> bool:
        """Whether there is no difference at all."""
        return not (self.added or self.removed or self.changed or self.unmatched)


def diff_queues(before: Iterable[InboundQueue], after: Iterable[InboundQueue]) -> QueueDiff:
    """Compare two states of the queues, field by field.

    Fields the SDK does not know (`extra`) are compared by wire name, as JSON: `1` and `true` differ. Both states must
    come from the same call to be comparable there, the list or the detail.

    Args:
        before: One state, in any order; all of it is held in memory.
        after: The other.
    """
    old, odd_before = _by_id(before, "before")
    new, odd_after = _by_id(after, "after")
    both = [(queue, new[queue_id]) for queue_id, queue in old.items() if queue_id in new]
    changed = [
        QueueChange(was, now, fields) for was, now in both if was != now or was.extra if (fields := _changes(was, now))
    ]
    return QueueDiff(
        added=tuple(queue for queue_id, queue in new.items() if queue_id not in old),
        removed=tuple(queue for queue_id, queue in old.items() if queue_id not in new),
        changed=tuple(changed),
        unmatched=(*_without(odd_before, odd_after), *_without(odd_after, odd_before)),
        unchanged=len(both) - len(changed),
    )


def _by_id(queues: Iterable[InboundQueue], side: Side) -> tuple[dict[int, InboundQueue], list[Unmatched]]:
    found: dict[int, InboundQueue] = {}
    odd: list[Unmatched] = []
    for queue in queues:
        queue_id = cast("int | None", queue.id)  # None if the API sent none, or one that is no number
        if queue_id is None:
            odd.append(Unmatched(side, queue, "no id"))
        elif found.setdefault(queue_id, queue) is not queue:
            odd.append(Unmatched(side, queue, "id again"))
    return found, odd


def _without(odd: list[Unmatched], others: list[Unmatched]) -> list[Unmatched]:
    """Those that the other side does not have too, as often."""
    there = Counter(_as_json(queue_record(each.queue)) for each in others)
    left: list[Unmatched] = []
    for each in odd:
        text = _as_json(queue_record(each.queue))
        if there[text]:
            there[text] -= 1
        else:
            left.append(each)
    return left


def _changes(before: InboundQueue, after: InboundQueue) -> tuple[FieldChange, ...]:
    known = (FieldChange(name, getattr(before, name), getattr(after, name)) for name in _COMPARED)
    unknown = (
        FieldChange(f"extra.{name}", before.extra.get(name, ABSENT), after.extra.get(name, ABSENT))
        for name in dict.fromkeys([*before.extra, *after.extra])
    )
    return (
        *(each for each in known if each.before != each.after),
        *(each for each in unknown if _as_json(each.before) != _as_json(each.after)),
    )


def _as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=repr)
