"""The JSON body of an update, with the write names and wire forms of its fields."""

from typing import Any

import attrs

from alohub_async.models import RecordUpdate
from alohub_async.unset import UNSET


def update_body(changes: RecordUpdate) -> dict[str, Any]:
    """Return the fields that are set, by write name; see `RecordUpdate`."""
    body: dict[str, Any] = {}
    for field in attrs.fields(type(changes)):
        value = getattr(changes, field.name)
        if value is not UNSET:
            encode = field.metadata.get("encode")
            body[field.metadata["wire"]] = value if encode is None else encode(value)
    return body
