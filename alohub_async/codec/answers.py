"""From the bytes of an answer straight to records, with the extra `speed`.

msgspec checks types while it decodes, so a value of the documented type needs no second look. What else comes is
learnt: an undocumented name becomes a field whose value goes to `extra`, and a field that had a value of another type
is read value by value from then on. So an answer as it came before is decoded at once, however odd it is. What cannot
be learnt (a lone surrogate, names that are always new, a record without an id) is left to the plain way: decode, check
the envelope, read the list or the record, make the records of the objects.

A field such as `timeWait` ("120", or 120) has tables of the values read so far. msgspec looks raw values up in the
table of an enum, `_value2member_map_`, and asks `_missing_` for others. Ours returns values of the field.
"""

import enum
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar, Union

from alohub_async.codec.converter import converter_for, field_readers
from alohub_async.codec.decoding import read_total
from alohub_async.codec.fields import MISSING, FieldReader
from alohub_async.codec.filling import fill_attributes
from alohub_async.models import NO_FIELDS, Record

T = TypeVar("T")

DecodedList: TypeAlias = tuple[list[T], list[int], int | None]
"""The records of a page, their ids, and the total if the answer has one."""

ListDecoder: TypeAlias = Callable[[bytes], DecodedList[T] | None]
"""Decodes the body of a successful list answer; None for one that is left to the plain way."""

RecordDecoder: TypeAlias = Callable[[bytes], T | None]
"""Decodes the body of a successful detail answer; None for one that is left to the plain way."""

MOST_LESSONS: Final = 32
"""How often a decoder is made anew for what it has learnt: an API that never settles is left to the plain way."""

MOST_NAMES: Final = 32
"""Undocumented names of a record or an envelope that are learnt; an answer with more is left to the plain way."""

_LONGEST_PAUSE: Final = 63  # answers, after lessons that taught nothing
_OUTCOME: Final = ("success", "error_code", "errorCode")
_ENVELOPE: Final = (*_OUTCOME, "error_message", "totalRecord")


class Decoders(NamedTuple):
    """The decoders of one record class, for list answers and for detail answers."""

    list: ListDecoder[Any] | None
    record: RecordDecoder[Any] | None


def decoders(cls: type[Record], *, strict: bool) -> Decoders:
    """The decoders of a record class, made once; None and None without the extra `speed`."""
    hashable: Any = cls  # mypy does not know that a class is
    lane = _lane(hashable, strict=strict)
    return Decoders(None, None) if lane is None else Decoders(lane.list, lane.record)


@functools.cache
def _lane(cls: Any, *, strict: bool) -> "FastLane | None":
    try:
        return FastLane(cls, strict=strict)
    except ImportError:
        return None


class _Plan(NamedTuple):
    """What is made of the things learnt; replaced as a whole, since several threads may decode."""

    list_in: Callable[[bytes], Any]
    one_in: Callable[[bytes], Any]
    bare_in: Callable[[bytes], Any]
    fill: Callable[[Any], list[Any]]


class FastLane:
    """What is known about the answers with records of one class, and the functions made of that.

    Attributes:
        lessons: How often it has learnt, at most `MOST_LESSONS`.
        names: Undocumented names of records that it has learnt, in the order in which they came.
    """

    def __init__(self, cls: type[Record], *, strict: bool) -> None:
        """Know what is documented. With `strict`, an answer with a value that does not fit is left to the plain way."""
        import msgspec

        self._cls = cls
        self._readers = readers = field_readers(cls, converter_for(strict=strict), strict=strict)
        self._msgspec: Any = msgspec
        self._id = next(reader.wire for reader in readers if reader.attribute == "id")
        self._odd = set[str]()  # attributes of fields whose values are read one by one
        self.names: dict[str, None] = {}
        self._envelope_names: dict[str, None] = dict.fromkeys(_ENVELOPE)
        for reader in readers:
            for raw in (0, 1, "0", "1"):
                if reader.reading == "look up" and reader.fits(raw):
                    reader.take(raw, NO_FIELDS)
            if not reader.known.keys() - {None} and reader.reading != "copy":
                self._odd.add(reader.attribute)  # msgspec takes no empty tables
        self._misses = 0  # values that were not in the tables
        self._enough = 256  # of them, to make the tables anew
        self.lessons: int = 0
        self._pause = self._waiting = 0  # answers to let pass before the next lesson
        self._enveloped = False  # whether the last detail was
        self._plan = self._make()

    def list(self, body: bytes) -> DecodedList[Any] | None:
        """Decode a list answer."""
        plan = self._plan
        try:
            answer = plan.list_in(body)
            if answer.success != "1":
                _check_success(answer)
            items = plan.fill(answer.data)
            keys = [item.id for item in items]
            if None in keys:
                return None  # a record without an id is known by its text
            total = answer.totalRecord
            if type(total) is not int or not 0 <= total < 1 << 63:
                total = read_total(total)
        except Exception:  # noqa: BLE001  (the plain way says what is wrong)
            return self.list(body) if self._learn(body) else None
        if self._misses > self._enough:
            self._enough = 2 * self._misses
            self._lesson()
        return items, keys, total

    def record(self, body: bytes) -> Any:
        """Decode a detail answer: bare, or enveloped as an object or a list of one."""
        plan, enveloped = self._plan, self._enveloped
        try:
            try:
                raw = plan.one_in(body) if enveloped else plan.bare_in(body)
            except self._msgspec.DecodeError:
                enveloped = not enveloped
                raw = plan.one_in(body) if enveloped else plan.bare_in(body)
            if enveloped:
                _check_success(raw)
                [raw] = _as_list(raw.data)
            self._enveloped = enveloped
            return None if raw.id is MISSING else plan.fill((raw,))[0]
        except Exception:  # noqa: BLE001  (the plain way says what is wrong)
            return self.record(body) if self._learn(body) else None

    # Learning

    def _learn(self, body: bytes) -> bool:
        """Learn from an answer that was not decoded; return whether to try again."""
        if self._waiting:
            self._waiting -= 1
            return False
        with suppress(Exception):
            if self._study(self._msgspec.json.decode(body)) and self._lesson():
                self._pause = 0
                return True
        self._pause = self._waiting = min(2 * self._pause + 1, _LONGEST_PAUSE)
        return False

    def _study(self, payload: Mapping[str, Any]) -> bool:
        """Note the names and the odd values of an answer; return whether there are new ones."""
        before = len(self.names) + len(self._envelope_names) + len(self._odd)
        found: Any = payload
        if self._id not in payload:
            self._note(self._envelope_names, (name for name in payload if name != "data"))
            found = payload["data"]
        records = _as_list(found)
        wires = {reader.wire for reader in self._readers}.union(_OUTCOME)
        self._note(self.names, (name for record in records for name in record if name not in wires))
        for reader in self._readers:
            came = (record.get(reader.wire, MISSING) for record in records)
            if reader.attribute not in self._odd and not all(map(reader.fits, came)):
                self._odd.add(reader.attribute)
        return len(self.names) + len(self._envelope_names) + len(self._odd) > before

    def _note(self, known: dict[str, None], names: Iterable[str]) -> None:
        new = dict.fromkeys(names)
        encode = self._msgspec.json.encode
        if len(known | new) <= MOST_NAMES and all(encode(name) == f'"{name}"'.encode() for name in new):
            known.update(new)  # msgspec takes no names that need escapes

    def _lesson(self) -> bool:
        if self.lessons == MOST_LESSONS:
            return False
        self.lessons += 1
        self._plan = self._make()
        return True

    # What is made of it

    def _make(self) -> _Plan:
        defstruct, decoder = self._msgspec.defstruct, self._msgspec.json.Decoder
        closed = {"forbid_unknown_fields": True, "gc": False, "kw_only": True}  # what is decoded has no cycles
        unknown = {f"unknown_{index}": name for index, name in enumerate(self.names)}
        wires = {reader.attribute: reader.wire for reader in self._readers} | unknown
        fields = [*map(self._field, self._readers), *((attribute, Any, MISSING) for attribute in unknown)]
        raw: Any = defstruct(f"{self._cls.__name__}OnTheWire", fields, rename=wires, **closed)

        outcome = {name: name for name in _ENVELOPE}
        outcome |= {f"unknown_{index}": name for index, name in enumerate(self._envelope_names) if name not in outcome}
        around = [(attribute, Any, MISSING) for attribute in outcome]
        many = defstruct("ListOnTheWire", [("data", list[raw]), *around], rename=outcome, **closed)
        one = defstruct("RecordOnTheWire", [("data", raw | list[raw]), *around], rename=outcome, **closed)

        fill = fill_attributes(self._cls, self._readers, self._odd, unknown)
        return _Plan(decoder(many).decode, decoder(one).decode, decoder(raw).decode, fill)

    def _field(self, reader: FieldReader) -> tuple[Any, ...]:
        if reader.attribute in self._odd:
            return reader.attribute, Any, MISSING
        kinds: list[Any] = [reader.kind]
        if reader.reading == "look up":
            kinds = [*self._tables(reader)]
        elif reader.minimum is not None:
            kinds = [Annotated[reader.kind, self._msgspec.Meta(ge=reader.minimum)]]
        union: Any = Union
        kind = union[(*kinds, None) if reader.nullable else tuple(kinds)]
        return (reader.attribute, kind, None) if reader.may_be_missing else (reader.attribute, kind)

    def _tables(self, reader: FieldReader) -> Iterator[Any]:
        """Types that msgspec decodes to the values of a field."""
        known = reader.known

        def read(raw: Any) -> Any:
            self._misses += 1
            if raw in known:
                return known[raw]
            value, extra = reader.take(raw, NO_FIELDS)
            if extra:
                raise ValueError("does not fit")
            return value

        numbers = {raw: value for raw, value in known.items() if type(raw) is int and -(1 << 63) <= raw < 1 << 63}
        for values in ({raw: value for raw, value in known.items() if type(raw) is str}, numbers):
            names: dict[str, Any] = {"_value2member_map_": values, "_missing_": read, "_member_map_": {}}
            if values:
                yield type.__new__(enum.EnumMeta, reader.attribute, (), names)
        if reader.kind is bool:
            yield bool


def _as_list(data: Any) -> Any:
    """The records of an envelope, which may hold a single one."""
    return data if type(data) is list else [data]


def _check_success(answer: Any) -> None:
    if answer.success is MISSING:
        code = answer.error_code
        is_success = code == "SUCCESS" or (code is MISSING and answer.errorCode is MISSING)
    else:
        is_success = answer.success in ("1", 1)  # and True, which equals 1
    if not is_success:
        raise ValueError("no success")
