"""What an edit does, apart from doing it: what differs, what conflicts, what was not taken."""

from typing import Any

import attrs

from alohub_async.errors import ConflictError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.models import InboundQueue, InboundQueueUpdate
from alohub_async.unset import UNSET


@attrs.frozen(kw_only=True)
class Edit:
    """What came of an edit.

    Attributes:
        id: The queue's id.
        before: The queue as it was read first.
        after: The queue as it was read back; or, if it was not (`verify=False`, `dry_run`, nothing to change), as it
            should be.
        changed: Names of the fields that differed from what was wanted.
        sent: Whether an update was sent.
        not_taken: Names of those that still differed when read back: the server said yes and did not do it.
    """

    id: int
    before: InboundQueue
    after: InboundQueue
    changed: tuple[str, ...]
    sent: bool
    not_taken: tuple[str, ...] = ()


def wanted_values(changes: object) -> dict[str, Any]:
    """The fields that are set, by name; they have the same names on `InboundQueue`.

    Raises:
        InvalidArgumentError: No field is set, or it is no `InboundQueueUpdate`.
    """
    if not isinstance(changes, InboundQueueUpdate):
        raise InvalidArgumentTypeError(f"changes must be an InboundQueueUpdate; {type(changes).__name__} was given")
    values = attrs.asdict(changes, recurse=False)
    wanted = {name: value for name, value in values.items() if value is not UNSET}
    if not wanted:
        raise InvalidArgumentError(f"nothing to change: give at least one of {', '.join(values)}")
    return wanted


def check_expected(queue_id: int, expect: object) -> InboundQueue | None:
    """Return `expect` if it can be a snapshot of that queue, or None.

    Raises:
        InvalidArgumentError: It is another queue, or none.
    """
    if expect is None:
        return None
    if not isinstance(expect, InboundQueue):
        raise InvalidArgumentTypeError(f"expect must be an InboundQueue or None; {type(expect).__name__} was given")
    if expect.id != queue_id:
        raise InvalidArgumentError(f"expect must be a snapshot of queue {queue_id}; one of {expect.id} was given")
    return expect


def differing(queue: InboundQueue, wanted: dict[str, Any]) -> dict[str, Any]:
    """Those of the wanted values that the queue does not have."""
    return {name: value for name, value in wanted.items() if getattr(queue, name) != value}


def refuse_conflict(queue: InboundQueue, expect: InboundQueue | None, wanted: dict[str, Any]) -> None:
    """Raise if a field that would be written is not as expected.

    Raises:
        ConflictError: Somebody else has changed it.
    """
    if expect is None:
        return
    pairs = {name: (getattr(expect, name), getattr(queue, name)) for name in wanted}
    differences = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differences:
        told = "; ".join(f"{name} is {found!r}, not {expected!r}" for name, (expected, found) in differences.items())
        raise ConflictError(
            f"queue {queue.id} is not as expected: {told}; nothing was written", differences=differences
        )
