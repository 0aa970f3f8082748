"""How one field of a record is read from its raw value, and what is remembered of the values that came."""

import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

MISSING: Final[Any] = object()
"""The raw value of a field that a record does not have."""

MOST_VALUES: Final = 4096
"""Values remembered per field: more are read each time they come."""

Reading: TypeAlias = Literal["copy", "look up", "read"]
"""What is left to do for a raw value of a field.

Copy it, if it has the right type; look it up among those read before; or read each one anew.
"""


class FieldError(ValueError):
    """A value does not match its documented type: the wire name of the field, and the raw value."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(field, value)
        self.field = field
        self.value = value


@attrs.define(eq=False, kw_only=True)
class FieldReader:
    """Reads one field of a record."""

    name: str  # in the constructor
    attribute: str  # its name on the object
    wire: str  # its wire name
    kind: Any  # its type, without None
    structure: Callable[[Any, Any], Any]  # converts a raw value to that type; raises if it cannot
    optional: bool  # whether its type allows None
    nullable: bool  # whether the API may send null
    default: Callable[[], Any] | None  # of the class; returns `NOTHING` if only the constructor can make it
    minimum: int | None
    strict: bool  # whether a value that does not fit is an error
    reading: Reading = attrs.field(init=False, default="copy")
    hashed: frozenset[type] = attrs.field(init=False, default=frozenset[type]())  # raw values of these can be looked up
    known: dict[Any, Any] = attrs.field(init=False, factory=dict[Any, Any])  # values by raw value
    unfit: set[Any] = attrs.field(init=False, factory=set[Any])  # raw values that do not fit

    def __attrs_post_init__(self) -> None:
        if self.kind is str or (self.kind is int and not self.nullable):
            return
        self.reading = "read"
        if isinstance(self.kind, type) and issubclass(self.kind, int):
            # Equal values of these types mean the same: a float or, for a number, a bool would not.
            self.reading = "look up"
            self.hashed = frozenset({str, int, types.NoneType, *((bool,) if self.kind is bool else ())})
            self.known |= {None: None} if self.nullable else {}

    def read(self, raw: object) -> Any:
        """Return the value for a raw value; raise `ValueError` for an invalid one."""
        value = self.structure(raw, self.kind)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"below {self.minimum}")
        return value

    def take(self, raw: Any, extra: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        """Return the value for a raw value, and `extra`, to which a raw value that does not fit is added.

        The value is `NOTHING` if the constructor has to set the default. A `FieldError` says that the value does not
        fit and the class allows no other, or that it must fit.
        """
        if raw is MISSING and self.default is not None:
            return self.default(), extra
        if self.nullable and (raw is None or raw is MISSING):
            return None, extra
        hashed = raw.__class__ in self.hashed
        if not (hashed and raw in self.unfit):
            try:
                value = self.read(raw)
            except (ValueError, TypeError, KeyError, ExceptionGroup) as exc:
                if self.strict or not (self.optional or self.default):
                    raise FieldError(self.wire, None if raw is MISSING else raw) from exc
                if hashed and len(self.unfit) < MOST_VALUES:
                    self.unfit.add(raw)
            else:
                if hashed and len(self.known) < MOST_VALUES:
                    self.known[raw] = value
                return value, extra
        if raw is not MISSING:
            extra = {**extra, self.wire: raw}
        return None if self.optional or self.default is None else self.default(), extra

    @property
    def may_be_missing(self) -> bool:
        """Whether a missing value means None."""
        return self.nullable or (self.default is not None and self.default() is None)

    def fits(self, raw: Any) -> bool:
        """Whether a raw value has a documented type and is valid."""
        if raw is MISSING:
            return self.may_be_missing
        if raw is None:
            return self.nullable
        if raw.__class__ not in (self.hashed or {self.kind}):
            return False
        try:
            self.read(raw)
        except ValueError:
            return False
        return raw.__class__ is not int or -(1 << 63) <= raw < 1 << 63
