"""From the bytes of an answer straight to records, with the extra `speed`.

msgspec checks types while it decodes, so an answer that is exactly as documented needs no second look: it is decoded
into bare objects, and `fast_records.py` makes the records of those. Anything odd (another `success`, an undocumented
field, a value of a wrong type, a lone surrogate) is refused here as a whole and left to the plain way: decode, check
the envelope, read the list or the record, structure each record.
"""

import functools
from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from alohub_async.codec.converter import converter_for, field_readers
from alohub_async.codec.decoding import read_total
from alohub_async.codec.fast_records import FieldReader, page_filler
from alohub_async.models import Record

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=Record)

DecodedList: TypeAlias = tuple[list[T], list[int], int | None]
"""The records of a page, their ids, and the total if the answer has one."""

ListDecoder: TypeAlias = Callable[[bytes], DecodedList[T] | None]
"""Decodes the body of a successful list answer; None for one that is left to the plain way."""

RecordDecoder: TypeAlias = Callable[[bytes], T | None]
"""Decodes the body of a successful detail answer; None for one that is left to the plain way."""

_id_of: Final = attrgetter("id")


class Decoders(NamedTuple):
    """The decoders of one record class, for list answers and for detail answers."""

    list: ListDecoder[Any] | None
    record: RecordDecoder[Any] | None


def decoders(cls: type[Record]) -> Decoders:
    """The decoders of a record class whose `id` is an int, made once; None and None without the extra `speed`."""
    hashable: Any = cls  # mypy does not know that a class is
    return _make_decoders(hashable)


@functools.cache
def _make_decoders(cls: Any) -> Decoders:
    try:
        import msgspec
    except ImportError:
        return Decoders(None, None)
    readers = field_readers(cls, converter_for(strict=True))
    raw_record: Any = msgspec.defstruct(
        f"{cls.__name__}OnTheWire",
        [(reader.attribute, _type_on_the_wire(reader, msgspec.Meta)) for reader in readers],
        rename={reader.attribute: reader.wire for reader in readers},
        forbid_unknown_fields=True,  # they belong into `extra`
        gc=False,  # it holds strings and numbers alone
    )
    fields = [("success", Literal["1"]), ("data", list[raw_record])]
    ignored = [(name, Any, None) for name in ("totalRecord", "error_code", "error_message")]
    envelope: Any = msgspec.defstruct("ListOnTheWire", [*fields, *ignored], forbid_unknown_fields=True)
    read_envelope: Callable[[bytes], Any] = msgspec.json.Decoder(envelope).decode
    read_record: Callable[[bytes], Any] = msgspec.json.Decoder(raw_record).decode
    fill: Callable[[Any], list[Any]] = page_filler(cls, readers, "attributes")

    def decode_list(body: bytes) -> DecodedList[Any] | None:
        try:
            answer = read_envelope(body)
            items = fill(answer.data)
            total = answer.totalRecord
            if type(total) is not int or not 0 <= total < 1 << 63:
                total = read_total(total)
        except Exception:  # noqa: BLE001  (the plain way says what is wrong)
            return None
        return items, [*map(_id_of, items)], total

    def decode_record(body: bytes) -> Any:
        try:
            return fill((read_record(body),))[0]
        except Exception:  # noqa: BLE001  (the plain way says what is wrong)
            return None

    return Decoders(decode_list, decode_record)


def _type_on_the_wire(reader: FieldReader, meta: Any) -> Any:
    if not reader.is_plain("attributes"):
        return int | str | None
    if reader.kind is int and reader.minimum is not None:
        return Annotated[int, meta(ge=reader.minimum)]
    return reader.kind | None if reader.nullable else reader.kind
