"""From the bytes of an answer straight to records, with the extra `speed`.

msgspec checks types while it decodes, so a value of the documented type needs no second look. What else comes is
learnt from its errors: an undocumented name becomes a field whose value goes to `extra`, and a field that had a value
of another type is read value by value from then on. What cannot be learnt (a lone surrogate, names that are always new)
is left to the plain way: decode, check the envelope, make the records of the objects.

msgspec finds the member of an enum in a table, `_value2member_map_`, or else asks `_missing_`. So a field such as
`timeWait` ("120", or 120) has a class that looks like an enum, and whose table has the values read so far.
"""

import enum
import functools
import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar, Union, cast

from alohub_async.codec.converter import converter_for, field_readers
from alohub_async.codec.decoding import decode_json, identity_of, read_total
from alohub_async.codec.fields import MISSING, UNFIT, FieldReader, fill_attributes
from alohub_async.models import NO_FIELDS, Record, wire_names

T = TypeVar("T")

DecodedList: TypeAlias = tuple[list[T], list[Hashable], int | None]
"""The records of a page, their identity keys, and the total if the answer has one."""

ListDecoder: TypeAlias = Callable[[bytes], DecodedList[T] | None]
"""Decodes the body of a successful list answer; None for one that is left to the plain way."""

MOST_LESSONS: Final = 64
"""How often decoders are made anew for what was learnt. What comes after that is left to the plain way."""

MOST_NAMES: Final = 32
"""Undocumented names that are learnt, of records and of envelopes; likewise."""

_ENVELOPE: Final = ("success", "error_code", "errorCode", "error_message", "totalRecord")
# msgspec takes no name that needs escapes.
_UNKNOWN: Final = re.compile(r'Object contains unknown field `([^"\\\0-\37]{,100}?)`( - at `.*`)?')


class Decoders(NamedTuple):
    """The decoders of one record class, for list answers and for detail answers."""

    list: ListDecoder[Any] | None
    record: Callable[[bytes], Any] | None


def _decoders(cls: type[Record], *, strict: bool) -> Decoders:
    with suppress(ImportError):
        lane = FastLane(cls, strict=strict)
        return Decoders(lane.list, lane.record)
    return Decoders(None, None)


decoders: Callable[..., Decoders] = functools.cache(_decoders)
"""Returns the decoders of a record class, strict or not; None and None without the extra `speed`."""


class FastLane:
    """What is known about the answers with records of one class, and the functions made of that."""

    def __init__(self, cls: type[Record], *, strict: bool) -> None:
        """Know what is documented. With `strict`, an answer with a value that does not fit is left to the plain way."""
        import msgspec

        self._cls = cls
        self._id = wire_names(cls)["id"]
        self._msgspec: Any = msgspec
        self._readers = field_readers(cls, converter_for(strict=strict), strict=strict)
        # Fields whose values are read one by one; msgspec takes no empty tables.
        self._odd = {each.attribute for each in self._readers if not (each.copied or each.known.keys() - {None})}
        # Whether a record may have no id before that is learnt: the search for one takes 14 ns a record.
        self._id_may_lack = any(each.attribute == "id" and self._default(each) for each in self._readers)
        self.names: dict[str, None] = {}  # undocumented names of records
        self._around: dict[str, None] = {}  # those of envelopes
        self._misses = 0  # values that were not in the tables
        self._enough = 256  # of them, to make the tables anew
        self.lessons: int = -1  # how often it has learnt
        self._enveloped = False  # whether the last detail was
        # The decoders of lists, of details in an envelope and of bare ones, and the function that makes records of what
        # they return. Replaced as a whole, since several threads may decode.
        self._plan: tuple[Callable[[Any], Any], ...]
        self._make()

    def list(self, body: bytes) -> DecodedList[Any] | None:
        """Decode a list answer."""
        decode, _, _, fill = self._plan
        try:
            answer = decode(body)
            items = fill(answer.data)
            keys = [item.id for item in items]
            if (self._id_may_lack or "id" in self._odd) and None in keys:
                keys = [identity_of(item.extra, self._id) if item.id is None else item.id for item in items]
                if tuple in {*map(type, keys)}:
                    pairs = zip(keys, decode_json(body)["data"], strict=True)
                    keys = [identity_of(raw, self._id) if type(key) is tuple else key for key, raw in pairs]
            total = answer.totalRecord
            if type(total) is not int or not 0 <= total < 1 << 63:
                total = read_total(total)
        except Exception as error:  # noqa: BLE001  (the plain way says what is wrong)
            return self.list(body) if self._learn(str(error)) else None
        if answer.success != "1" and not _succeeded(answer):
            return None
        if self._misses > self._enough:
            self._renew()
        return items, keys, total

    def record(self, body: bytes, *, again: bool = False) -> Any:
        """Decode a detail answer: bare, or enveloped as an object or a list of one, as the last one was."""
        enveloped, (_, decode_enveloped, decode_bare, fill) = self._enveloped, self._plan
        try:
            answer = decode_enveloped(body) if enveloped else None
            data = decode_bare(body) if answer is None else answer.data
            raws: Any = data if data.__class__ is list else (data,)
            [raw], [record] = raws, fill(raws)
            if raw.id is not MISSING and (answer is None or _succeeded(answer)):
                if self._misses > self._enough:
                    self._renew()
                return record
        except Exception as error:  # noqa: BLE001  (the plain way says what is wrong)
            if self._learn(str(error), bare=not enveloped):
                return self.record(body, again=again)
        self._enveloped = not enveloped
        return None if again else self.record(body, again=True)

    def _learn(self, why: str, *, bare: bool = False) -> bool:
        """Learn from the error of an answer; return whether to try again."""
        odd = {each.attribute for each in self._readers if re.search(rf"( field `|\.){re.escape(each.wire)}`", why)}
        new: Any = odd - self._odd
        if unknown := _UNKNOWN.fullmatch(why):
            name, inside = unknown.groups()
            known = self.names if inside or bare else self._around
            reserved = ("data", *_ENVELOPE) if inside or bare else {reader.wire for reader in self._readers}
            if new := len(known) < MOST_NAMES and name not in known and name not in reserved:
                known[name] = None
        else:
            self._odd |= odd
        return bool(new) and self._make()

    def _renew(self) -> None:
        """Make the tables anew, with the values that came since."""
        self._enough = 2 * self._misses
        self._make()

    def _make(self) -> bool:
        """Make the functions anew, if there may be one more lesson; return whether there was."""
        if self.lessons == MOST_LESSONS:
            return False
        self.lessons += 1
        defstruct, decoder = self._msgspec.defstruct, self._msgspec.json.Decoder
        closed = {"forbid_unknown_fields": True, "gc": False, "kw_only": True}  # what is decoded has no cycles
        unknown = {f"unknown_{index}": name for index, name in enumerate([*self.names])}
        wires = {reader.attribute: reader.wire for reader in self._readers} | unknown
        fields = [*map(self._field, self._readers), *((attribute, Any, MISSING) for attribute in unknown)]
        raw: Any = defstruct(f"{self._cls.__name__}OnTheWire", fields, rename=wires, **closed)
        around = {f"unknown_{index}": name for index, name in enumerate([*self._around])}
        outer = [(attribute, Any, MISSING) for attribute in (*_ENVELOPE, *around)]
        many = defstruct("ListOnTheWire", [("data", list[raw]), *outer], rename=around, **closed)
        one = defstruct("RecordOnTheWire", [("data", raw | list[raw]), *outer], rename=around, **closed)
        fill = fill_attributes(self._cls, self._readers, self._odd, unknown)
        self._plan = decoder(many).decode, decoder(one).decode, decoder(raw).decode, fill
        return True

    def _field(self, reader: FieldReader) -> tuple[Any, ...]:
        if reader.attribute in self._odd:
            return reader.attribute, Any, MISSING
        annotated, union = cast("Any", Annotated), cast("Any", Union)
        plain = annotated[reader.kind, self._msgspec.Meta(ge=reader.minimum)]
        kinds = (*(self._tables(reader) if reader.hashed else [plain]), *([None] if reader.nullable else []))
        return reader.attribute, union[kinds], *self._default(reader)

    def _default(self, reader: FieldReader) -> tuple[None, ...]:
        return (None,) if reader.nullable or reader.default is None else ()

    def _tables(self, reader: FieldReader) -> Iterator[Any]:
        """Types that msgspec decodes to the values of a field."""

        def read(raw: Any) -> Any:
            self._misses += 1
            value, extra = (reader.known[raw], None) if raw in reader.known else reader.take(raw, NO_FIELDS)
            return None if extra or value is UNFIT else value  # None is an error

        known = [(raw, value) for raw, value in reader.known.items() if value is not UNFIT]
        for kind in (str, int):
            if values := {raw: value for raw, value in known if type(raw) is kind}:
                names = {"_value2member_map_": values, "_missing_": read, "_member_map_": {}}
                yield type.__new__(enum.EnumMeta, reader.attribute, (), names)
        if reader.kind is bool:
            yield bool


def _succeeded(answer: Any) -> bool:
    if answer.success is not MISSING:
        return answer.success in ("1", 1)  # and True, which equals 1
    return answer.error_code == "SUCCESS" or (answer.error_code is MISSING and answer.errorCode is MISSING)
