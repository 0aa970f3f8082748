"""Creates the records of a whole page at once, with a function generated from their fields.

Half the time of creating a frozen record would be spent in its `__init__`, which sets each field through
`object.__setattr__`. So records are filled as instances of a subclass that is not frozen and adds no slots. Then
`__class__` is set to the record class, which Python allows between classes of the same layout.

A value that needs no more than a look is copied or looked up there and then. Any other is given to its `FieldReader`,
and costs no more than that call.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import repeat, starmap
from types import NoneType
from typing import Any, TypeVar

from alohub_async.codec.fields import MISSING, FieldReader
from alohub_async.models import NO_FIELDS

T = TypeVar("T")


def fill_items(cls: type[T], readers: Sequence[FieldReader]) -> Callable[[Sequence[Mapping[str, Any]]], list[T]]:
    """Return a function that makes the records of JSON objects."""
    unknown = "{name: value for name, value in raw.items() if name not in wires}"
    usual = [f"extra = nothing if len(raw) == {len(readers)} else {unknown}"]
    each = [f"extra = {unknown} or nothing"]
    for reader in readers:
        usual += _copy(reader, f"raw[{reader.wire!r}]")
        each += _take(reader, f"raw.get({reader.wire!r}, missing)")
    lines = ["try:", *_indented(usual), "except KeyError:", *_indented(each)]  # a record that is not usual
    return _compiled(cls, readers, lines, wires=frozenset(reader.wire for reader in readers))


def fill_attributes(
    cls: type[T], readers: Sequence[FieldReader], odd: Collection[str], unknown: Mapping[str, str]
) -> Callable[[Sequence[Any]], list[T]]:
    """Return a function that makes the records of objects with the same attributes.

    The value of an attribute is the record's, except for those in `odd`: these have raw values. `unknown` has the wire
    names of further attributes, which belong into `extra`.
    """
    lines = ["extra = nothing"]
    if unknown:
        values = [f"raw.{attribute}" for attribute in unknown]
        items = ", ".join(f"{wire!r}: raw.{attribute}" for attribute, wire in unknown.items())
        lines = [
            f"if {' is not missing and '.join(values)} is not missing: extra = {{{items}}}",
            f"elif {' is missing and '.join(values)} is missing: extra = nothing",
            f"else: extra = {{name: value for name, value in {{{items}}}.items() if value is not missing}}",
        ]
    for reader in readers:
        value = f"raw.{reader.attribute}"
        lines += _take(reader, value) if reader.attribute in odd else [f"record.{reader.attribute} = {value}"]
    return _compiled(cls, readers, lines)


def _copy(reader: FieldReader, value: str) -> Iterator[str]:
    """Set a field from its raw value; raise `KeyError` for one that is new or odd."""
    if reader.reading == "read":
        yield from _take(reader, value)
        return
    yield f"value = {value}"
    types = {reader.kind} if reader.reading == "copy" else reader.hashed - {NoneType}
    tests = ["value is not None"] if reader.nullable else []
    tests += [f"type(value) is not {kind}" for kind in sorted((kind.__name__ for kind in types), reverse=True)]
    low = "" if reader.minimum is None or reader.reading == "look up" else f" or value < {reader.minimum}"
    yield f"if {' and '.join(tests)}{low}: raise KeyError"
    yield f"record.{reader.attribute} = " + (
        "value" if reader.reading == "copy" else f"{reader.attribute}_known[value]"
    )


def _take(reader: FieldReader, value: str) -> Iterator[str]:
    """Set a field from any raw value."""
    name = reader.attribute
    yield f"value = {value}"
    if reader.reading == "look up":
        yield f"if type(value) in {name}_hashed and value in {name}_known: record.{name} = {name}_known[value]"
        yield f"else: record.{name}, extra = {name}_take(value, extra)"
    elif reader.reading == "copy":
        null = " and value is not None" if reader.nullable else ""
        low = "" if reader.minimum is None else f" or value < {reader.minimum}"
        yield f"if type(value) is not {reader.kind.__name__}{null}{low}: value, extra = {name}_take(value, extra)"
        yield f"record.{name} = value"
    else:
        yield f"record.{name}, extra = {name}_take(value, extra)"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _compiled(
    cls: type[T], readers: Sequence[FieldReader], lines: Sequence[str], **names: object
) -> Callable[[Any], list[T]]:
    joined = "\n        ".join(lines)
    code = f"""
def fill(raws):
    page = [*starmap(blank, repeat((), len(raws)))]
    for record, raw in zip(page, raws):
        {joined}
        record.extra = extra
        record.__class__ = cls
    return page
"""
    scope: dict[str, Any] = {
        "blank": _mutable(cls),
        "cls": cls,
        "missing": MISSING,
        "nothing": NO_FIELDS,
        "repeat": repeat,
        "starmap": starmap,
        **{f"{reader.attribute}_take": reader.take for reader in readers},
        **{f"{reader.attribute}_known": reader.known for reader in readers},
        **{f"{reader.attribute}_hashed": reader.hashed for reader in readers},
        **names,
    }
    exec(compile(code, f"<{cls.__name__}>", "exec"), scope)  # noqa: S102  (only the field names vary)
    fill: Callable[[Any], list[T]] = scope["fill"]
    return fill


def _mutable(cls: type) -> type:
    """A subclass of `cls` whose instances are created empty and can be filled."""
    plain_methods = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(f"_Mutable{cls.__name__}", (cls,), {"__slots__": (), **plain_methods})
