"""What is exported: a list of the API, its records as JSON objects, and the keys of these records."""

import json
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import attrs

from alohub_async.pagination import Pager
from alohub_async.resources.bulk import Outcome


class HasId(attrs.AttrsInstance, Protocol):
    """An attrs class of records. The field `id` has its wire name; it is None or 0 in a record without an id."""

    @property
    def id(self) -> int:
        """Its id."""
        ...


RecordT = TypeVar("RecordT", bound=HasId)

Key: TypeAlias = int | str | tuple[str]
"""Identity key of a record: its id; a string if the id is odd; a tuple if it has none (see `Passes`)."""

_ODD = "id "


@attrs.frozen(kw_only=True, eq=False)
class ExportedList(Generic[RecordT]):
    """A list that can be exported.

    Attributes:
        record_class: Class of the records. Their JSON objects have the attributes of the class as names; `extra` holds
            what did not fit, by wire name.
        list_records: Returns the pager of the list; takes the keywords of `list_inbound`.
        get_many: Looks up the details of many records by id; takes the keywords of `get_many_inbound`.
        to_json: Makes the JSON object of a record.
        from_json: Makes the record of a JSON object.
        write: Writes a file of records.
    """

    record_class: type[RecordT]
    list_records: Callable[..., Pager[RecordT]]
    get_many: Callable[..., AsyncIterable[Outcome[RecordT]]]
    to_json: Callable[[RecordT], dict[str, Any]]
    from_json: Callable[[object], RecordT]
    write: Callable[[Path, Iterable[RecordT]], None]

    def key_of(self, record: Mapping[str, Any]) -> Key:
        """Return the identity key of a JSON object."""
        record_id = record["id"]
        if isinstance(record_id, int):
            return record_id
        odd = record["extra"].get(self._id_field)
        return f"{_ODD}{odd}" if isinstance(odd, int | str) else (json.dumps(record),)

    @property
    def _id_field(self) -> str:
        name: str = attrs.fields_dict(self.record_class)["id"].metadata["wire"]
        return name

    def keyed(self, records: Iterable[RecordT]) -> Iterator[tuple[Key, RecordT]]:
        """Iterate over records, each with its identity key."""
        return ((record.id or self.key_of(self.to_json(record)), record) for record in records)


def key_to_json(key: Key) -> int | str:
    """Return a key as the journal stores it."""
    return key[0] if isinstance(key, tuple) else key


def key_from_json(stored: int | str) -> Key:
    """Return the key that the journal stored."""
    return stored if isinstance(stored, int) or stored.startswith(_ODD) else (stored,)
