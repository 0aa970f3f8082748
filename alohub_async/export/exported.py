"""What is exported: the list of a resource, its records as JSON objects, and the keys of these records."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from alohub_async.files import record_from_dict, record_to_dict, write_records
from alohub_async.models import Record, wire_names
from alohub_async.resources import Resource

RecordT = TypeVar("RecordT", bound=Record)

Key: TypeAlias = int | str | tuple[str]
"""Identity key of a record: its id; a string if the id is odd; a tuple if it has none (see `Passes`)."""

_ODD = "id "


class ExportedList(Generic[RecordT]):
    """The list of a resource, as an export needs it.

    Attributes:
        resource: The resource.
    """

    def __init__(self, resource: Resource[RecordT, Any]) -> None:
        """Send nothing yet."""
        self.resource: Resource[RecordT, Any] = resource
        self._id_field: str = wire_names(resource.spec.record)["id"]

    def to_json(self, record: RecordT) -> dict[str, Any]:
        """The JSON object of a record, by attribute; `extra` has what did not fit, by wire name."""
        return record_to_dict(record)

    def from_json(self, record: object) -> RecordT:
        """The record of a JSON object."""
        return record_from_dict(self.resource.spec.record, record)

    def write(self, path: Path, records: Iterable[RecordT]) -> None:
        """Write a file of records."""
        write_records(path, self.resource.spec.record, records)

    def key_of(self, record: Mapping[str, Any]) -> Key:
        """The identity key of a JSON object."""
        record_id = record["id"]
        if isinstance(record_id, int):
            return record_id
        odd = record["extra"].get(self._id_field)
        return f"{_ODD}{json.dumps(odd)}" if isinstance(odd, int | str) else (json.dumps(record),)

    def keyed(self, records: Iterable[RecordT]) -> Iterator[tuple[Key, RecordT]]:
        """The records, each with its identity key."""
        return ((record.id or self.key_of(self.to_json(record)), record) for record in records)


def key_to_json(key: Key) -> int | str:
    """The key as the journal stores it."""
    return key[0] if isinstance(key, tuple) else key


def key_from_json(stored: int | str) -> Key:
    """The key that the journal stored."""
    return stored if isinstance(stored, int) or stored.startswith(_ODD) else (stored,)
