"""The JSON body of an update, in the write names and forms of its fields."""

from typing import Any

import attrs

from alohub_async.models import RecordUpdate
from alohub_async.unset import UNSET


def update_body(changes: RecordUpdate) -> dict[str, Any]:
    """The fields that are set, by wire name.

    A field's metadata has its write name (`wire`) and, if the value is not sent as it is, how it is written (`encode`).
    """
    body: dict[str, Any] = {}
    for field in attrs.fields(type(changes)):
        value = getattr(changes, field.name)
        if value is not UNSET:
            encode = field.metadata.get("encode")
            body[field.metadata["wire"]] = value if encode is None else encode(value)
    return body
