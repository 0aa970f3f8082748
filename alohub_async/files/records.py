"""Records as JSON objects and as rows of typed columns. Both hold everything that the record holds."""

import enum
import functools
import json
import math
import types
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast, get_args

import attrs

from alohub_async.errors import InvalidArgumentError
from alohub_async.models import InboundQueue, Record, wire_names

RecordT = TypeVar("RecordT", bound=Record)

_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # `json.dumps` would make one for each value
_KIND_NAMES: Final = {int: "a whole number", str: "a string", bool: "true or false"}


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON with letters as they are, and a line feed; an `InvalidArgumentError` if JSON cannot express the value."""
    try:
        form = _JSON if indent is None else json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent)
        text = form.encode(value)
        if not is_text(text):  # a lone surrogate is JSON, but not UTF-8
            text = json.dumps(value, indent=indent)
    except (ValueError, TypeError, RecursionError) as exc:
        raise InvalidArgumentError(f"JSON cannot express the value: {exc}") from exc
    return text + "\n"


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text:.40} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"duplicate key {name!r:.60}")
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_number, parse_float=_finite)


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text without duplicate keys and numbers that are not finite; else a ValueError."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"{exc.msg}, at character {exc.pos + 1}") from exc
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def is_text(text: str) -> bool:
    """Whether UTF-8 can encode it: a lone surrogate cannot be encoded."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class Columns(Generic[RecordT]):
    """The columns of a record class, by attribute; `extra` is the last.

    A column holds numbers of 64 bits (enums: of 32) and text that UTF-8 can encode. A value beyond that is null there
    and goes into `extra` under its wire name. It is read back from there: a value of the right kind and range is never
    in `extra` otherwise, for it would be in its attribute. `kinds` has `int`, `str` or `bool` for each column but
    `extra`, and `required` the columns without a default.
    """

    def __init__(self, cls: type[RecordT]) -> None:
        fields = [field for field in attrs.fields(cls) if field.name != "extra"]
        types_of = {field.name: _without_none(field.type) for field in fields}
        for name, kind in types_of.items():
            if not issubclass(kind, int | str):
                raise TypeError(f"{cls.__name__}.{name} must be an int, str, bool or IntEnum, or None")
        self.names: tuple[str, ...] = (*types_of, "extra")
        enums = {name: kind for name, kind in types_of.items() if issubclass(kind, enum.IntEnum)}
        self.enums: dict[str, type[enum.IntEnum]] = enums
        self.kinds: dict[str, type] = {name: int if name in self.enums else kind for name, kind in types_of.items()}
        self.required: tuple[str, ...] = tuple(field.name for field in fields if field.default is attrs.NOTHING)
        self._cls = cls
        self._wire = wire_names(cls)
        self._least: dict[str, int | None] = {field.name: field.metadata.get("minimum") for field in fields}
        # What needs no `checked` if it has this type, and from which number on one is beyond its column.
        self._exact = {name: kind if self._least[name] is None else None for name, kind in types_of.items()}
        numbers = {name: 1 << (31 if name in enums else 63) for name, kind in self.kinds.items() if kind is int}
        self._beyond = {name: numbers.get(name, 0) for name, kind in self.kinds.items() if kind is not bool}
        self._known = frozenset(self.names)
        self._values_of = attrgetter(*self.names)

    def to_dict(self, record: RecordT) -> dict[str, Any]:
        """The record as JSON has it: by attribute, with `extra`."""
        found: dict[str, Any] = dict(zip(self.names, self._values_of(record), strict=True))
        for name in self.enums:
            if found[name] is not None:
                found[name] = int(found[name])
        found["extra"] = dict(found["extra"])
        return found

    def from_dict(self, record: object) -> RecordT:
        """The record of a JSON object that `to_dict` made, without some that have a default; else a ValueError."""
        return self._cls(**self._checked_values(record))

    def renewed(self, record: object) -> dict[str, Any]:
        """A JSON object that `to_dict` made, perhaps of an earlier version of the class, as one of this class."""
        values = self._checked_values(record)
        return values if tuple(values) == self.names else self.to_dict(self._cls(**values))

    def _checked_values(self, record: object) -> dict[str, Any]:
        if type(record) is not dict:
            raise ValueError("not a JSON object")
        values: dict[str, Any] = {**record}
        if not values.keys() <= self._known:
            raise ValueError(f"unknown column {min(map(repr, values.keys() - self._known))}")
        for name in self.required:
            if name not in values:
                raise ValueError(f"column {name!r} is missing")
        extra = values.get("extra", {})
        if type(extra) is not dict:
            raise ValueError(f"extra must be a JSON object; {extra!r:.100} was found")
        for name, kind in self._exact.items():
            value = values.get(name)
            if value is not None and type(value) is not kind:
                values[name] = self.checked(name, value)
        return values

    def checked(self, name: str, value: object) -> Any:
        """A value of a column other than `extra`, an enum by its number or its name; else a ValueError."""
        if value is None:
            return None
        kind, member_of, least = self.kinds[name], self.enums.get(name), self._least[name]
        found: Any = value
        if type(value) is not kind:
            if member_of is not None and isinstance(value, str):
                found = member_of.__members__.get(value.strip().upper(), value)
            elif kind is int and isinstance(value, float) and value.is_integer():  # pandas makes them
                found = int(value)
            if not isinstance(found, kind) or isinstance(found, bool):
                members = f", one of {', '.join(member_of.__members__)}," if member_of is not None else ""
                raise ValueError(f"{name} must be {_KIND_NAMES[kind]}{members} or null; {value!r:.100} was found")
        if least is not None and found < least:
            raise ValueError(f"{name} must be {least} or more; {value!r:.100} was found")
        return found if member_of is None else member_of(found)

    def to_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make a JSON object of `to_dict` a row: `extra` is text, and every value one that its column can hold."""
        extra: dict[str, Any] = row["extra"]
        for name, beyond in self._beyond.items():
            value = row[name]
            if value is not None and not (-beyond <= value < beyond if beyond else is_text(value)):
                wire = self._wire[name]
                if wire in extra:
                    raise InvalidArgumentError(f"{name} is beyond its column, and extra has {wire!r} already")
                row[name], extra[wire] = None, value
        row["extra"] = json_text(extra).rstrip("\n") if extra else "{}"
        return row

    def from_row(self, row: Mapping[str, Any]) -> RecordT:
        """The record of a row that `to_row` made; a ValueError says why it is none."""
        text = row.get("extra")
        try:
            extra: Any = {} if text is None or text == "{}" else read_json(text)
        except (ValueError, TypeError) as exc:
            raise ValueError(f"extra must be a JSON object; {text!r:.100} was found") from exc
        record: dict[str, Any] = {**row, "extra": extra}
        if extra and isinstance(extra, dict):
            self._put_back(record, cast("dict[str, Any]", extra))
        return self.from_dict(record)

    def _put_back(self, row: dict[str, Any], extra: dict[str, Any]) -> None:
        """Move the values that were beyond their columns from `extra` into the row."""
        for name, kind in self.kinds.items():
            value: Any = extra.get(self._wire[name])
            if row.get(name) is None and type(value) is kind and kind is not bool:
                with suppress(ValueError):  # below the least value, or not of a closed enum
                    row[name] = self.checked(name, value)
                    del extra[self._wire[name]]


_columns: Final[Any] = functools.cache(Columns)


def columns_of(cls: type[RecordT]) -> Columns[RecordT]:
    """The columns of a record class, read once."""
    return cast("Columns[RecordT]", _columns(cls))


def record_to_dict(record: Record) -> dict[str, Any]:
    """The record as JSON has it: by attribute, with `extra`."""
    return columns_of(type(record)).to_dict(record)


def record_from_dict(cls: type[RecordT], record: object) -> RecordT:
    """The record of a JSON object of `record_to_dict`; what has a default may be missing. Else a ValueError."""
    return columns_of(cls).from_dict(record)


def queue_record(queue: InboundQueue) -> dict[str, Any]:
    """The queue as JSON has it; see `record_to_dict`."""
    return record_to_dict(queue)


def _without_none(annotation: Any) -> Any:
    return next((arg for arg in get_args(annotation) if arg is not types.NoneType), annotation)
