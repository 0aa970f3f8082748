"""What is exported: the list of a resource, and the keys of its records."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from alohub_async.files import record_from_dict, record_to_dict
from alohub_async.models import Record, wire_names
from alohub_async.resources import Resource

RecordT = TypeVar("RecordT", bound=Record)

Key: TypeAlias = int | str | tuple[str]
"""Identity key of a record: its id; a string if the id is odd; a tuple if it has none (see `Passes`)."""

_ODD = "id "


@attrs.frozen
class ExportedList(Generic[RecordT]):
    """The list of a resource, as an export needs it."""

    resource: Resource[RecordT, Any]

    def from_json(self, record: object) -> RecordT:
        """The record of a JSON object."""
        return record_from_dict(self.resource.spec.record, record)

    def key_of(self, record: Mapping[str, Any]) -> Key:
        """The identity key of a JSON object."""
        record_id = record["id"]
        if isinstance(record_id, int):
            return record_id
        odd = record["extra"].get(wire_names(self.resource.spec.record)["id"])
        return f"{_ODD}{json.dumps(odd)}" if isinstance(odd, int | str) else (json.dumps(record),)

    def keyed(self, records: Iterable[RecordT]) -> Iterator[tuple[Key, RecordT]]:
        """The records, each with its identity key."""
        return ((record.id or self.key_of(record_to_dict(record)), record) for record in records)


def key_to_json(key: Key) -> int | str:
    """The key as the journal stores it."""
    return key[0] if isinstance(key, tuple) else key


def key_from_json(stored: int | str) -> Key:
    """The key that the journal stored."""
    return stored if isinstance(stored, int) or stored.startswith(_ODD) else (stored,)
