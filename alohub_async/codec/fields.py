"""Reads the fields of records: one by one, or of a whole page at once with a function generated from them.

Half the time of creating a frozen record would be spent in its `__init__`, which sets each field through
`object.__setattr__`. So the records of a page are filled as instances of a subclass that is not frozen and adds no
slots. Then `__class__` is set to the record class, which Python allows between classes of the same layout.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from types import NoneType
from typing import Any, Final, TypeVar, cast, get_args

import attrs

from alohub_async.models import NO_FIELDS

T = TypeVar("T")

MISSING: Final[Any] = object()
"""The raw value of a field that a record does not have."""

UNFIT: Final[Any] = object()
"""What is remembered of a raw value that does not fit."""

MOST_VALUES: Final = 4096
"""Values remembered per field; more, and large ones, are read each time they come."""

_LARGE: Final = 128  # bytes
_EXACT: Final = 1 << 53  # from here on, and below 0, a float is not read as the number that it is equal to
_FACTORY: Final[Any] = attrs.Factory
_UNFIT: Final = (ValueError, TypeError, KeyError, ExceptionGroup)


class FieldError(ValueError):
    """A value does not match its documented type: the wire name of the field, and the raw value."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(field, value)
        self.field = field
        self.value = value


class FieldReader:
    """Reads one field of a record."""

    def __init__(self, field: "attrs.Attribute[Any]", hook_for: Callable[[Any], Any], *, strict: bool) -> None:
        """`hook_for` returns what converts a raw value to a type. With `strict`, one that does not fit is an error."""
        kinds = [kind for kind in get_args(field.type) if kind is not NoneType]
        self.optional: bool = NoneType in get_args(field.type)  # whether its type allows None
        self.kind: Any = kinds[0] if self.optional else field.type  # without None
        self.name: str = field.alias or field.name  # in the constructor
        self.attribute: str = field.name
        self.wire: str = field.metadata.get("wire", field.name)
        self.minimum: int | None = field.metadata.get("minimum")
        self.nullable: bool = self.optional and not field.metadata.get("required", False)  # whether the API sends null
        self._default: Any = field.default
        self._has_default = field.default is not attrs.NOTHING
        self._must_fit = strict or not (self.optional or self._has_default)
        # Whether a raw value of another type is not even tried.
        self.only_str: bool = self.kind is str and self.optional and not self._must_fit
        self._structure = hook_for(self.kind)
        # Whether a raw value of the right type is the value itself.
        self.copied: bool = self.kind is str or (self.kind is int and not self.nullable)
        # Raw values of these types are remembered. Equal ones mean the same, but True and False are only flags.
        self.hashed: frozenset[type] = frozenset()
        self.known: dict[Any, Any] = {}  # their values, or `UNFIT`
        if not self.copied and isinstance(self.kind, type) and issubclass(self.kind, int):
            self.hashed = frozenset({str, int, NoneType} | ({bool} if self.kind is bool else set()))
            self.known |= {None: None} if self.nullable else {}
            for raw in (0, 1, "0", "1"):
                with suppress(*_UNFIT):
                    self.known[raw] = self._read(raw)

    @property
    def default(self) -> Any:
        """The default of the class; `NOTHING` if there is none, or only the constructor can make it."""
        if not isinstance(self._default, _FACTORY):
            return self._default
        return attrs.NOTHING if self._default.takes_self else self._default.factory()

    def _read(self, raw: object) -> Any:
        value = self._structure(raw, self.kind)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"below {self.minimum}")
        if self.attribute == "id" and self.kind is int and isinstance(raw, str) and str(value) != raw:
            raise ValueError("not as it is written")  # "01" and "1" are two ids
        return value

    def _find(self, raw: Any, *, remember: bool) -> Any:
        if self.only_str and not isinstance(raw, str):
            return UNFIT
        try:
            value = self._read(raw)
        except _UNFIT as exc:
            if self._must_fit:
                raise FieldError(self.wire, None if raw is MISSING else raw) from exc
            value = UNFIT
        if remember and (self.optional if value is UNFIT else 0 <= value < _EXACT):
            self.known[raw] = value
        return value

    def take(self, raw: Any, extra: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        """Return the value for a raw value, and `extra`, with it if it does not fit; a `FieldError` if it must."""
        if raw is MISSING and self._has_default:
            return self.default, extra
        if self.nullable and (raw is None or raw is MISSING):
            return None, extra
        hashed = raw.__class__ in self.hashed and raw.__sizeof__() < _LARGE
        value = self.known.get(raw, MISSING) if hashed else MISSING
        if value is MISSING:
            value = self._find(raw, remember=hashed and len(self.known) < MOST_VALUES)
        if value is not UNFIT:
            return value, extra
        if raw is not MISSING:
            extra = {self.wire: raw, **extra}
        return None if self.optional else self.default, extra


def fill_items(cls: type[T], readers: Sequence[FieldReader]) -> Callable[[Sequence[Mapping[str, Any]]], list[T]]:
    """Return a function that makes the records of JSON objects."""
    # Where null and a missing field mean the same, null is read in fewer steps.
    absent = {reader.wire: None if reader.nullable and reader.default is None else MISSING for reader in readers}
    lines = ["extra = nothing", f"if len(raw) != {len(absent)}:"]
    lines += ["    extra = {}", "    for name in raw:", "        if name not in wires: extra[name] = raw[name]"]
    for reader in readers:
        lines += _take(reader, f"raw[{reader.wire!r}]")
    fill = _compiled(cls, readers, lines, wires=frozenset(absent))

    def fill_page(records: Sequence[Mapping[str, Any]]) -> list[T]:
        try:
            return fill(records)
        except KeyError:  # a record lacks a field
            return fill([{**absent, **record} for record in records])

    return fill_page


def fill_attributes(
    cls: type[T], readers: Sequence[FieldReader], odd: Collection[str], unknown: Mapping[str, str]
) -> Callable[[Sequence[Any]], list[T]]:
    """Return a function that makes the records of objects with the same attributes.

    Those in `odd` have raw values. `unknown` has the wire names of further attributes, which belong into `extra`.
    """
    lines = ["extra = nothing"]
    if unknown:
        named = {f"{wire!r}": f"raw.{attribute}" for attribute, wire in unknown.items()}
        lines = [
            f"if {' is not missing and '.join(named.values())} is not missing:",
            f"    extra = {{{', '.join(map(': '.join, named.items()))}}}",
            f"elif {' is missing and '.join(named.values())} is missing: extra = nothing",
            "else:",
            "    extra = {}",
            *(f"    if {value} is not missing: extra[{name}] = {value}" for name, value in named.items()),
        ]
    for reader in readers:
        value = f"raw.{reader.attribute}"
        lines += _take(reader, value) if reader.attribute in odd else [f"record.{reader.attribute} = {value}"]
    return _compiled(cls, readers, lines)


def _take(reader: FieldReader, value: str) -> Iterator[str]:
    """Code that sets a field from its raw value; one that is neither plain nor known costs a call."""
    name, kind = reader.attribute, reader.kind
    unfit = f"record.{name}, extra = None, {{{reader.wire!r}: value, **extra}}"
    yield f"value = {value}"
    if reader.hashed:
        key = "value" if kind is bool else "missing if value is True or value is False else value"
        yield f"try: found = {name}_known[{key}]"
        yield f"except (KeyError, TypeError): record.{name}, extra = {name}_take(value, extra)"
        yield "else:"
        yield f"    if found is unfit: {unfit}"
        yield f"    else: record.{name} = found"
        return
    null = " or value is None" if reader.nullable else ""
    least = "" if reader.minimum is None else f" and value >= {reader.minimum}"
    yield f"if {f'type(value) is {kind.__name__}{least}{null}' if reader.copied else False}: record.{name} = value"
    if reader.only_str:
        yield f"elif value is not missing: {unfit}"
    if reader.copied and kind is int and reader.minimum in {None, 0, 1}:
        digits = "value.isdecimal() and value.isascii() and value[0] != '0' and len(value) < 19"
        yield f"elif type(value) is str and {digits}: record.{name} = int(value)"
    yield f"else: record.{name}, extra = {name}_take(value, extra)"


def _compiled(
    cls: type[T], readers: Sequence[FieldReader], lines: Sequence[str], **names: object
) -> Callable[[Any], list[T]]:
    joined = "\n        ".join(lines)
    code = f"""
from itertools import repeat, starmap

def fill(raws):
    page = [*starmap(blank, repeat((), len(raws)))]
    for record, raw in zip(page, raws):
        {joined}
        record.extra = extra
        record.__class__ = cls
    return page
"""
    plain_methods = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    blank = type(f"_Mutable{cls.__name__}", (cls,), {"__slots__": (), **plain_methods})
    names |= {"blank": blank, "cls": cls, "missing": MISSING, "unfit": UNFIT, "nothing": NO_FIELDS}
    for reader in readers:
        names |= {f"{reader.attribute}_{what}": getattr(reader, what) for what in ("take", "known")}
    exec(compile(code, f"<{cls.__name__}>", "exec"), names)  # noqa: S102  (only the field names vary)
    return cast("Callable[[Any], list[T]]", names["fill"])
