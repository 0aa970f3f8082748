"""The keys of the records that are exported."""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from alohub_async.models import Record, wire_names

Key: TypeAlias = int | str | tuple[str]
"""Identity key of a record: its id; a string if the id is odd; a tuple if it has none (see `Passes`)."""

_ODD = "id "


def key_of(cls: type[Record], record: Mapping[str, Any]) -> Key:
    """The identity key of a record of this class, as a JSON object."""
    record_id = record["id"]
    if isinstance(record_id, int):
        return record_id
    odd = record["extra"].get(wire_names(cls)["id"])
    return f"{_ODD}{json.dumps(odd)}" if isinstance(odd, int | str) else (json.dumps(record),)


def key_to_json(key: Key) -> int | str:
    """The key as the journal stores it."""
    return key[0] if isinstance(key, tuple) else key


def key_from_json(stored: int | str) -> Key:
    """The key that the journal stored."""
    return stored if isinstance(stored, int) or stored.startswith(_ODD) else (stored,)
