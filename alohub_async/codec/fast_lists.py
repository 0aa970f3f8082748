"""From the bytes of a list's answer straight to its page of records, with the extra `speed`.

msgspec checks types while it decodes, so an answer that is just as documented needs no second look: it is decoded into
bare objects, and `filling.py` makes the records of those. All that is in any way odd (another `success`, a field nobody
documents, a value of a wrong type, half a surrogate) is refused here as a whole, and left to the plain way: decode,
check the envelope, read the list, structure each record.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, cast

from alohub_async.codec.converter import converter_for, field_readers
from alohub_async.codec.decoding import read_total
from alohub_async.codec.fast_records import FieldReader, page_filler
from alohub_async.models import Record

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=Record)

DecodedList: TypeAlias = tuple[list[T], list[int], int | None]
"""The records of a page, their ids, and the total if the answer has one."""

ListDecoder: TypeAlias = Callable[[bytes], DecodedList[T] | None]
"""Decodes the body of an answer that succeeded; None for one that is left to the plain way."""


def list_decoder(cls: type[RecordT]) -> ListDecoder[RecordT] | None:
    """The decoder of lists of such records, made once; None without the extra `speed`.

    Args:
        cls: One of our own records. It is known by its `id`, an int that is never null.
    """
    hashable: Any = cls  # which mypy does not believe of a class
    return _make_decoder(hashable)


@functools.cache
def _make_decoder(cls: Any) -> ListDecoder[Any] | None:
    try:
        import msgspec
    except ImportError:
        return None
    readers = field_readers(cls, converter_for(strict=True))
    raw_record = msgspec.defstruct(
        f"{cls.__name__}OnTheWire",
        [(reader.attribute, _type_on_the_wire(reader)) for reader in readers],
        rename={reader.attribute: reader.wire for reader in readers},
        forbid_unknown_fields=True,  # they belong into `extra`
        gc=False,  # it holds strings and numbers alone
    )
    fields = [("success", Literal["1"]), ("data", list[raw_record])]  # type: ignore[valid-type]
    ignored = [(name, Any, None) for name in ("totalRecord", "error_code", "error_message")]
    envelope = msgspec.defstruct("ListOnTheWire", [*fields, *ignored], forbid_unknown_fields=True)
    decode = cast("Callable[[bytes], Any]", msgspec.json.Decoder(envelope).decode)
    fill: Callable[[Any], list[Any]] = page_filler(cls, readers, "attributes")

    def decode_list(body: bytes) -> DecodedList[Any] | None:
        try:
            answer = decode(body)
            items = fill(answer.data)
            keys = [item.id for item in items]
            total = answer.totalRecord
            if type(total) is not int or total < 0:
                total = read_total(total)
        except Exception:  # noqa: BLE001  (whatever is wrong with it, the plain way says so)
            return None
        return items, keys, total

    return decode_list


def _type_on_the_wire(reader: FieldReader) -> Any:
    import msgspec

    if not reader.is_plain("attributes"):
        return int | str | None
    if reader.kind is int and reader.minimum is not None:
        return Annotated[int, msgspec.Meta(ge=reader.minimum)]
    return reader.kind | None if reader.nullable else reader.kind
