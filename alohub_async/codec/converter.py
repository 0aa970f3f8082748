"""The one cattrs converter: wire names, digit strings, open enums, unknown fields.

The API's responses need not match the documented types. A value that can be read without guessing is accepted (`"120"`
for a number, `"0"` or `1` for a flag). Any other value is never coerced: the attribute is None, and the raw value is
kept in `extra`. If the attribute's type does not allow None, it has its default; without one, the record is refused.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_origin

import attrs

from alohub_async.codec.fields import MISSING, FieldReader, fill_items
from alohub_async.models import NO_FIELDS, Record
from alohub_async.validation import read_digits

if TYPE_CHECKING:
    from cattrs import Converter  # imported with the first converter: not every program that imports the SDK needs one


def _int(value: object, kind: type[int]) -> int:
    """A whole number, or a member of an `IntEnum`: cattrs calls this hook for subclasses of `int`, too."""
    number = read_digits(value)
    if number is not None:
        value = number
    if isinstance(value, int) and not isinstance(value, bool):
        return value if kind is int else kind(value)
    raise ValueError("not a whole number")


def _str(value: object, _: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("not a string")


def _bool(value: object, _: object) -> bool:
    if value in ("0", "1", 0, 1):  # and False and True, which equal 0 and 1
        return value in ("1", 1)
    raise ValueError("neither 0 nor 1")


def _is_record(cls: Any) -> bool:
    return isinstance(cls, type) and attrs.has(cls) and "extra" in attrs.fields_dict(cls)


def _is_page(kind: Any) -> bool:
    args = get_args(kind)
    return get_origin(kind) is list and isinstance(args[0], type) and issubclass(args[0], Record)


def field_readers(cls: type, converter: "Converter", *, strict: bool) -> list[FieldReader]:
    """Return a new reader for each attribute of `cls`, an attrs class with a field `extra`."""
    if any(isinstance(field.type, str) for field in attrs.fields(cls)):
        attrs.resolve_types(cls)
    fields = [field for field in attrs.fields(cls) if field.init and field.name != "extra"]
    return [FieldReader(field, converter.get_structure_hook, strict=strict) for field in fields]


def _record_hook(cls: Any, converter: "Converter", *, strict: bool) -> Callable[[Any, Any], Any]:
    """Return a function that structures records of `cls`, an attrs class with a field `extra`."""
    readers = field_readers(cls, converter, strict=strict)
    wires = {reader.wire for reader in readers}
    is_sdk_record = issubclass(cls, Record)

    def structure(record: Any, _: Any) -> Any:
        values: dict[str, Any] = {}
        extra: Any = {name: value for name, value in record.items() if name not in wires}
        for reader in readers:
            value, extra = reader.take(record.get(reader.wire, MISSING), extra)
            if value is not attrs.NOTHING:
                values[reader.name] = value
        return cls(**values, extra=extra if extra or not is_sdk_record else NO_FIELDS)

    return structure


def _page_hook(page: Any, converter: "Converter", *, strict: bool) -> Callable[[Any, Any], Any]:
    """Return a function that structures a list of the SDK's records, all at once."""
    cls = get_args(page)[0]
    fill: Callable[[Any], Any] = fill_items(cls, field_readers(cls, converter, strict=strict))
    return lambda records, _: fill(records)


def _model_hook(cls: type[Any], converter: "Converter") -> Callable[[Any, Any], Any]:
    """Return a function that structures records of any other attrs class by the wire names of its fields."""
    from cattrs.gen import make_dict_structure_fn, override

    fields = attrs.fields(cls)
    renamed: dict[str, Any] = {f.name: override(rename=f.metadata["wire"]) for f in fields if "wire" in f.metadata}
    return make_dict_structure_fn(cls, converter, **renamed)


@functools.cache
def converter_for(*, strict: bool) -> "Converter":
    """Return the converter; if `strict`, it raises `FieldError` instead of keeping what does not fit in `extra`."""
    from cattrs import Converter

    converter = Converter()
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(str, _str)
    converter.register_structure_hook(bool, _bool)
    converter.register_structure_hook_factory(attrs.has, _model_hook)
    converter.register_structure_hook_factory(_is_record, functools.partial(_record_hook, strict=strict))
    converter.register_structure_hook_factory(_is_page, functools.partial(_page_hook, strict=strict))
    return converter
