"""Creates the records of a whole page at once, with a function generated from their fields.

The general path, in `converter.py`, checks each value of each record separately. It handles every possible value, but
is slow. Nearly all pages hold only documented values, so there is a fast path for them: code generated for the record
class copies the values one after the other. It validates nothing itself: a value that is not a plain string or id is
looked up in a cache of values that the general readers have already read. If anything is unexpected (a missing field,
an undocumented type, an invalid value), the fast path rejects the page, and the general path reads it from the start.

Half the time of creating a frozen record would be spent in its `__init__`, which sets each field through
`object.__setattr__`. So records are filled as instances of a subclass that is not frozen and adds no slots. Then
`__class__` is set to the record class, which Python allows between classes of the same layout.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat, starmap
from operator import attrgetter, itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from alohub_async.models import NO_FIELDS

T = TypeVar("T")

Source: TypeAlias = Literal["items", "attributes"]
"""Where a record's raw values are: items of a dict by wire name, or attributes of a type-checked object."""

_MAX_CACHED_VALUES: Final = 4096  # cached per field


class UnusualPageError(Exception):
    """The page needs the general path."""


class FieldReader(NamedTuple):
    """Reads one attribute of a record."""

    name: str  # in the constructor
    attribute: str  # its name on the object
    wire: str  # its wire name
    kind: Any  # its type, without None
    structure: Callable[[Any, Any], Any]  # converts a raw value to that type; raises if it cannot
    optional: bool  # whether its type allows None
    nullable: bool  # whether the API may send null
    has_default: bool
    minimum: int | None

    def read(self, raw: object) -> Any:
        """Return the value for a raw value; raise `ValueError` for an invalid one."""
        value = self.structure(raw, self.kind)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"below {self.minimum}")
        return value

    def is_plain(self, source: Source) -> bool:
        """Whether a raw value of the right type is the value itself; otherwise it is looked up."""
        decoded = source == "attributes" and issubclass(self.kind, enum.IntEnum)
        return decoded or self.kind is str or (self.kind is int and not self.nullable)


class _ValueCache:
    """The values that the general readers returned for raw strings, ints and None, which equal no other key."""

    def __init__(self, readers: Sequence[FieldReader], source: Source) -> None:
        self._readers = [reader for reader in readers if not reader.is_plain(source)]
        self._raw_of: list[Callable[[Any], Any]] = [
            itemgetter(reader.wire) if source == "items" else attrgetter(reader.attribute) for reader in self._readers
        ]
        # by attribute, then by raw value
        self.values: dict[str, dict[Any, Any]] = {reader.attribute: {} for reader in self._readers}

    def learn(self, raws: Sequence[Any]) -> bool:
        """Read the new values of a page; return False if one is missing or invalid."""
        for reader, raw_of in zip(self._readers, self._raw_of, strict=True):
            known = self.values[reader.attribute]
            if len(known) > _MAX_CACHED_VALUES:
                known.clear()
            try:
                for raw in {*map(raw_of, raws)} - known.keys():
                    known[raw] = None if raw is None and reader.nullable else reader.read(raw)
            except (KeyError, TypeError, ValueError):
                return False
        return True


def page_filler(cls: type[T], readers: Sequence[FieldReader], source: Source) -> Callable[[Sequence[Any]], list[T]]:
    """Return a function that creates all records of a page, or raises `UnusualPageError`.

    `cls` is a frozen, slotted attrs class whose constructor only sets its fields: those of `readers`, and `extra`. With
    the source "attributes", the raw values are assumed to be strings, ints and None, and plain values of their own
    type; the attributes have the names of the class.
    """
    code = f"""
def fill(raws, learnt=False):
    page = [*starmap(blank, repeat((), len(raws)))]
    try:
        for record, raw in zip(page, raws):
            {_joined(_assignments(readers, source))}
            record.__class__ = cls
    except KeyError as exc:  # a value that is not cached, or a missing field
        if learnt or not learn(raws):
            raise UnusualPageError from exc
        return fill(raws, learnt=True)
    except (TypeError, ValueError) as exc:
        raise UnusualPageError from exc
    return page
"""
    cache = _ValueCache(readers, source)
    scope: dict[str, Any] = {
        "UnusualPageError": UnusualPageError,
        "blank": _mutable(cls),
        "cls": cls,
        "learn": cache.learn,
        "nothing": NO_FIELDS,
        "repeat": repeat,
        "starmap": starmap,
        "wires": frozenset(reader.wire for reader in readers),
        **{f"{attribute}_of": values for attribute, values in cache.values.items()},
    }
    exec(compile(code, f"<{cls.__name__} from {source}>", "exec"), scope)  # noqa: S102  (only the field names vary)
    fill: Callable[[Sequence[Any]], list[T]] = scope["fill"]
    return fill


def _joined(lines: Iterable[str]) -> str:
    return "\n            ".join(lines)


def _assignments(readers: Sequence[FieldReader], source: Source) -> Iterator[str]:
    for reader in readers:
        value = f"raw.{reader.attribute}" if source == "attributes" else "value"
        if source == "items":
            yield f"value = raw[{reader.wire!r}]"
            yield f"if {_is_unusual(reader)}: raise UnusualPageError"
        yield f"record.{reader.attribute} = {value if reader.is_plain(source) else f'{reader.attribute}_of[{value}]'}"
    known = f"len(raw) == {len(readers)}"
    unknown = "{name: value for name, value in raw.items() if name not in wires}"
    yield "record.extra = nothing" + (f" if {known} else {unknown}" if source == "items" else "")


def _is_unusual(reader: FieldReader) -> str:
    is_plain = reader.is_plain("items")
    kinds = [reader.kind] if is_plain else [str, int]
    tests = ["value is not None"] if reader.nullable else []
    tests += [f"type(value) is not {kind.__name__}" for kind in kinds]
    test = " and ".join(tests)
    return test if reader.minimum is None or not is_plain else f"{test} or value < {reader.minimum}"


def _mutable(cls: type) -> type:
    """A subclass of `cls` whose instances are created empty and can be filled."""
    plain_methods = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(f"_Mutable{cls.__name__}", (cls,), {"__slots__": (), **plain_methods})
