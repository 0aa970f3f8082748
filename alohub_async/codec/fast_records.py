"""Filling the records of a whole page at once, by a function generated from their fields.

The plain way to make a record, `converter.py`'s, looks at each value of each record by itself. That is right for every
value that can come, and slow. Nearly all pages hold nothing odd, so there is a second way for those alone: code is
generated for the class that takes the values out one after the other. It makes no judgement of its own: what is no
plain string or id is looked up in a table of values the plain readers have read before, and where anything is not as
expected (a field too few, a type nobody documented, a value that does not fit) it gives up the page, which the plain
way then takes from its beginning.

Half the time of making a frozen record would go into its `__init__`, which sets each field through
`object.__setattr__`. So records are filled as objects of a subclass that is not frozen and adds no slots, and then made
what they are by assigning `__class__`, which the language allows between classes of the same layout.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat, starmap
from operator import attrgetter, itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from alohub_async.models import NO_FIELDS

T = TypeVar("T")

Source: TypeAlias = Literal["items", "attributes"]
"""Where a record's raw values are: items of a dict by wire name, or attributes of an object whose types are checked."""

_MOST_VALUES: Final = 4096  # of one field that are remembered


class UnusualPageError(Exception):
    """The page is for the plain way."""


class FieldReader(NamedTuple):
    """How one attribute is read from a record.

    Attributes:
        name: Its name in the constructor.
        attribute: Its name on the object.
        wire: Its wire name.
        kind: Its type, without None.
        structure: Makes a value of that type of a raw one; raises if it does not fit.
        nullable: Whether it may be None.
        has_default: Whether the class has a default for it.
        minimum: The least value that makes sense; None if there is none.
    """

    name: str
    attribute: str
    wire: str
    kind: Any
    structure: Callable[[Any, Any], Any]
    nullable: bool
    has_default: bool
    minimum: int | None

    def read(self, raw: object) -> Any:
        """The value that a raw one means.

        Raises:
            ValueError: It does not fit.
        """
        value = self.structure(raw, self.kind)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"below {self.minimum}")
        return value

    def is_plain(self, source: Source) -> bool:
        """Whether a raw value of the right type is the value itself; else it is looked up."""
        decoded = source == "attributes" and issubclass(self.kind, enum.IntEnum)
        return decoded or self.kind is str or (self.kind is int and not self.nullable)


class _ReadBefore:
    """What the plain readers made of raw values: of strings, ints and None, which no other key equals.

    Attributes:
        values: By field, by raw value.
    """

    def __init__(self, readers: Sequence[FieldReader], source: Source) -> None:
        self._readers = [reader for reader in readers if not reader.is_plain(source)]
        self._raw_of: list[Callable[[Any], Any]] = [
            itemgetter(reader.wire) if source == "items" else attrgetter(reader.attribute) for reader in self._readers
        ]
        self.values: dict[str, dict[Any, Any]] = {reader.attribute: {} for reader in self._readers}

    def learn(self, raws: Sequence[Any]) -> bool:
        """Read those of a page; False if one is missing, or does not fit."""
        for reader, raw_of in zip(self._readers, self._raw_of, strict=True):
            known = self.values[reader.attribute]
            if len(known) > _MOST_VALUES:
                known.clear()
            try:
                for raw in {*map(raw_of, raws)} - known.keys():
                    known[raw] = None if raw is None and reader.nullable else reader.read(raw)
            except (KeyError, TypeError, ValueError):
                return False
        return True


def page_filler(cls: type[T], readers: Sequence[FieldReader], source: Source) -> Callable[[Sequence[Any]], list[T]]:
    """Make the function that makes all records of a page, or raises `UnusualPageError`.

    Args:
        cls: A frozen, slotted attrs class whose constructor does nothing but set its fields.
        readers: Of its fields, without `extra`.
        source: Where the raw values are. Attributes, by the class's own names, are trusted to hold only strings, ints
            and None, and what is plain as its own type.
    """
    code = f"""
def fill(raws, learnt=False):
    page = [*starmap(blank, repeat((), len(raws)))]
    try:
        for record, raw in zip(page, raws):
            {_joined(_assignments(readers, source))}
            record.__class__ = cls
    except KeyError as exc:  # a value not read before, or a field too few
        if learnt or not learn(raws):
            raise UnusualPageError from exc
        return fill(raws, learnt=True)
    except (TypeError, ValueError) as exc:
        raise UnusualPageError from exc
    return page
"""
    read_before = _ReadBefore(readers, source)
    scope: dict[str, Any] = {
        "UnusualPageError": UnusualPageError,
        "blank": _mutable(cls),
        "cls": cls,
        "learn": read_before.learn,
        "nothing": NO_FIELDS,
        "repeat": repeat,
        "starmap": starmap,
        "wires": frozenset(reader.wire for reader in readers),
        **{f"{attribute}_of": values for attribute, values in read_before.values.items()},
    }
    exec(compile(code, f"<{cls.__name__} from {source}>", "exec"), scope)  # noqa: S102  (code of our own field names)
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
    """A subclass of `cls` whose objects are made with nothing in them and can be filled."""
    as_ever = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(f"_Mutable{cls.__name__}", (cls,), {"__slots__": (), **as_ever})
