"""A queue as a JSON object, and as a row of typed columns; both say all that the queue does."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import attrs

from alohub_async.models import InboundQueue, QueueStrategy

_FIELDS: Final = [field for field in attrs.fields(InboundQueue) if field.name != "extra"]
NAMES: Final = tuple(field.name for field in attrs.fields(InboundQueue))
_WIRE: Final[dict[str, str]] = {field.name: field.metadata["wire"] for field in _FIELDS}
_LEAST: Final[dict[str, int | None]] = {field.name: field.metadata.get("minimum") for field in _FIELDS}
KINDS: Final[dict[str, type]] = {
    "id": int,
    "name": str,
    "strategy": int,
    "music_on_hold": str,
    "max_wait": int,
    "agent_selector": str,
    "announce_position": bool,
    "number": str,
}
_BITS: Final = {"id": 63, "max_wait": 63, "strategy": 31}  # of the columns, without the sign
_SAID: Final = {int: "a whole number", str: "a string", bool: "true or false"}


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON with its letters as they are, and a line feed behind it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not is_text(text):  # half a surrogate pair is JSON, but no UTF-8
        text = json.dumps(value, indent=indent)
    return text + "\n"


def is_text(text: str) -> bool:
    """Whether UTF-8 can say it: half a surrogate pair it cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def queue_record(queue: InboundQueue) -> dict[str, Any]:
    """The queue as JSON has it: by attribute, with `extra`."""
    return {
        "id": queue.id,
        "name": queue.name,
        "strategy": None if queue.strategy is None else int(queue.strategy),
        "music_on_hold": queue.music_on_hold,
        "max_wait": queue.max_wait,
        "agent_selector": queue.agent_selector,
        "announce_position": queue.announce_position,
        "number": queue.number,
        "extra": dict(queue.extra),
    }


def queue_of(record: object) -> InboundQueue:
    """The queue of a JSON object that `queue_record` made; attributes that may be null may be missing.

    Raises:
        ValueError: It is no such object; says why.
    """
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  (bad data, not a caller's mistake)
    values = cast("dict[str, Any]", record)
    unknown = values.keys() - {*NAMES}
    if unknown:
        raise ValueError(f"unknown column {min(map(repr, unknown))}")
    for name in ("id", "name"):
        if name not in values:
            raise ValueError(f"column {name!r} is missing")
    for name, kind in KINDS.items():
        value = values.get(name)
        if value is not None and type(value) is not kind:
            raise ValueError(f"{name} must be {_SAID[kind]} or null; {value!r:.100} was found")
    extra = values.get("extra", {})
    if not isinstance(extra, dict):
        raise ValueError(f"extra must be a JSON object; {extra!r:.100} was found")  # noqa: TRY004  (as above)
    strategy = values.get("strategy")
    known = QueueStrategy(strategy) if strategy is not None else None
    return InboundQueue(**{**values, "strategy": cast("Any", known)})


# A column holds numbers of 64 bits (strategies: of 32) and text that UTF-8 can say. A value beyond that is null there
# and goes into `extra` under its wire name. It comes back by that: a value of the right kind and range is never in
# `extra` otherwise, for it would be in its attribute.


def row_of(queue: InboundQueue) -> dict[str, Any]:
    """The queue as a row: `extra` as JSON, and every value one that its column can hold.

    Raises:
        ValueError: `extra` has a value of that name already, which no answer of the API brings about.
    """
    row = queue_record(queue)
    extra: dict[str, Any] = row["extra"]
    for name, kind in KINDS.items():
        value = row[name]
        if value is None or kind is bool:
            continue
        fits = is_text(value) if kind is str else -(1 << _BITS[name]) <= value < 1 << _BITS[name]
        if not fits:
            if _WIRE[name] in extra:
                raise ValueError(f"{name} is beyond its column, and extra has {_WIRE[name]!r} already")
            row[name], extra[_WIRE[name]] = None, value
    row["extra"] = json_text(extra).rstrip("\n") if extra else "{}"
    return row


def queue_of_row(row: Mapping[str, Any]) -> InboundQueue:
    """The queue of a row that `row_of` made.

    Raises:
        ValueError: It is no such row; says why.
    """
    text = row.get("extra")
    try:
        extra: Any = {} if text is None or text == "{}" else json.loads(text)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"extra must be a JSON object; {text!r:.100} was found") from exc
    record: dict[str, Any] = {**row, "extra": extra}
    if isinstance(extra, dict):
        _put_back(record, cast("dict[str, Any]", extra))
    return queue_of(record)


def _put_back(row: dict[str, Any], extra: dict[str, Any]) -> None:
    """Move the values that were beyond their columns from `extra` into the row."""
    for name, kind in KINDS.items():
        value: Any = extra.get(_WIRE[name])
        moved = row.get(name) is None and isinstance(value, int | str) and type(value) is kind and kind is not bool
        least = _LEAST[name]
        if moved and (least is None or not isinstance(value, int) or value >= least):
            row[name] = value
            del extra[_WIRE[name]]
