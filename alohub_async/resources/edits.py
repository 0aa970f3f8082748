"""What an edit does, apart from sending it: what differs, what conflicts, whether it was done. Plans use the same."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from alohub_async.errors import ConflictError, InvalidArgumentError
from alohub_async.models import Record, RecordUpdate
from alohub_async.unset import UNSET
from alohub_async.validation import check_instance

RecordT = TypeVar("RecordT", bound=Record)


@attrs.frozen(kw_only=True)
class Edit(Generic[RecordT]):
    """The result of an edit.

    Attributes:
        id: The record's id.
        before: The record as it was read first.
        after: The record as it was read back; or, if it was not (`verify=False`, `dry_run`, nothing to change), as it
            should be.
        changed: Names of the fields that differed from the wanted values.
        sent: Whether an update was sent.
        not_taken: Names of those fields that still differed when read back: the server accepted the update and did not
            apply it.
    """

    id: int
    before: RecordT
    after: RecordT
    changed: tuple[str, ...]
    sent: bool
    not_taken: tuple[str, ...] = ()


def wanted_values(changes: RecordUpdate) -> dict[str, Any]:
    """The fields of an update that are set, by name; the record has the same names."""
    return {name: value for name, value in attrs.asdict(changes, recurse=False).items() if value is not UNSET}


def require_changes(changes: Any, kind: type[RecordUpdate]) -> dict[str, Any]:
    """The fields that are set, at least one.

    Raises:
        InvalidArgumentError: No field is set, or it is not an update of this kind.
    """
    wanted = wanted_values(check_instance("changes", changes, kind))
    if not wanted:
        names = ", ".join(field.name for field in attrs.fields(kind))
        raise InvalidArgumentError(f"nothing to change: give at least one of {names}")
    return wanted


def check_expected(record_id: int, expect: Any, kind: type[RecordT]) -> RecordT | None:
    """Return `expect` if it can be a snapshot of that record, or None.

    Raises:
        InvalidArgumentError: It is a snapshot of another record, or not a record.
    """
    if expect is None:
        return None
    snapshot = check_instance("expect", expect, kind)
    if snapshot.id != record_id:
        raise InvalidArgumentError(f"expect must be a snapshot of {record_id}; one of {snapshot.id} was given")
    return snapshot


def differing(record: object, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted values that the record does not have."""
    return {name: value for name, value in wanted.items() if getattr(record, name) != value}


def conflict(what: str, found: object, expected: Mapping[str, Any]) -> ConflictError | None:
    """The error if a field is not as expected, else None.

    Args:
        what: The record in words, such as `"queue 5"`.
        found: The record as it is.
        expected: The values that it should have, by field. Only fields that would be written are looked at.
    """
    differences = {name: (value, getattr(found, name)) for name, value in expected.items()}
    differences = {name: pair for name, pair in differences.items() if pair[0] != pair[1]}
    if not differences:
        return None
    said = "; ".join(f"{name} is {now!r:.200}, not {then!r:.200}" for name, (then, now) in differences.items())
    return ConflictError(f"{what} is not as expected: {said}; nothing was written", differences=differences)


async def look_whether_done(read: Callable[[], Awaitable[RecordT]], wanted: Mapping[str, Any]) -> RecordT | None:
    """Read a record after an update that may or may not have been done; return it if it has the wanted values.

    Args:
        read: Reads it; its errors are raised as they are.
        wanted: The values that were sent, by field.
    """
    record = await read()
    return None if differing(record, wanted) else record
