"""Every check of a type or a range, in one place.

A check returns the value it was given, or raises an error with the argument, what was given and what is allowed:
`InvalidArgumentError` for the arguments of a call, `ConfigurationError` for what a client is made of.
"""

import math
import re
import reprlib
import sys
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar, cast

from alohub_async.errors import ConfigurationError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.secret import redacted
from alohub_async.unset import UnsetType

T = TypeVar("T")

MAX_DIGITS: Final = 19
"""Digits of the longest whole number that is read: those of the largest 64-bit numbers."""

_READ, _SHOWN = 8192, 200  # characters of a value that are looked at, and shown
_ANY: Final = reprlib.Repr()
_ANY.maxother = sys.maxsize  # not cut here: the end of a key could remain
_EXACT: Final = 2**53  # from here on, a float may stand for several whole numbers

Error: TypeAlias = type[ConfigurationError | InvalidArgumentError]
Validator: TypeAlias = Callable[[object, Any, Any], None]
"""What attrs calls with the instance, the attribute and the value."""


def as_given(value: object) -> str:
    """The value for a message: redacted, not too long, and whatever its own `repr` does."""
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return "a number of far more digits"  # Python may refuse to make text of it
    text = _ANY.repr_instance(value, 0)
    text = redacted(text[:_READ], cut=len(text) > _READ)  # first, so that no part of a key remains at the end
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def refuse(
    name: str, allowed: str, value: object, *, wrong_type: bool = False, error: Error = InvalidArgumentError
) -> ConfigurationError | InvalidArgumentError:
    """The error for a value that is not allowed."""
    if wrong_type and error is InvalidArgumentError:
        error = InvalidArgumentTypeError
    return error(f"{name} must be {allowed}; {as_given(value)} was given")


def check_seconds(
    name: str, value: Any, *, zero: bool = False, optional: bool = False, error: Error = InvalidArgumentError
) -> float | None:
    """Return a finite number of seconds above 0, with `zero` also 0, with `optional` also None."""
    if value is None and optional:
        return None
    allowed = f"a number of seconds{', 0 or more' if zero else ' above 0'}{', or None' if optional else ''}"
    number = check_number(name, value, allowed=allowed, error=error)
    if number < 0 or (number == 0 and not zero):
        raise refuse(name, allowed, value, error=error)
    return number


def check_number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    allowed: str = "a number",
    error: Error = InvalidArgumentError,
) -> float:
    """Return a finite number above another one; `allowed` describes it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    with suppress(OverflowError):  # an int that no float can hold
        if is_number and math.isfinite(value) and value > above:
            return cast("float", value)
    raise refuse(name, allowed, value, wrong_type=not is_number, error=error)


def check_count(
    name: str,
    value: Any,
    *,
    least: int | None,
    most: int | None = None,
    optional: bool = False,
    error: Error = InvalidArgumentError,
) -> int | None:
    """Return an int from `least` to `most`, both included and None for no end; with `optional` also None."""
    if value is None and optional:
        return None
    allowed = "an int"
    if least is not None:
        allowed = f"an int of {least} or more" if most is None else f"an int from {least} to {most}"
    allowed += ", or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(name, allowed, value, wrong_type=True, error=error)
    if (least is not None and value < least) or (most is not None and value > most):
        raise refuse(name, allowed, value, error=error)
    return value


def check_id(name: str, value: Any) -> int:
    """Return an id: an int of 1 or more, of at most 19 digits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(name, "an int, such as 1001226", value, wrong_type=True)
    if not 1 <= value < 10**MAX_DIGITS:
        raise refuse(name, f"1 or more, of at most {MAX_DIGITS} digits", value)
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice for a name that is not known."""
    import difflib

    known = [*known]
    found = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {found[0]!r}?" if found else f"choose from {', '.join(known)}"


def check_names(given: Iterable[str], names: Collection[str], also: Iterable[str] = ()) -> None:
    """Check the names of keywords; those in `also` are suggested as well."""
    for name in given:
        if name not in names:
            advice = nearest(name, sorted({*names, *also}))
            raise InvalidArgumentTypeError(f"there is no option {name!r}; {advice}")


def check_iterable(name: str, value: Any) -> None:
    """Check that a value can be iterated over, plainly or asynchronously, and is not text."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable | AsyncIterable):
        raise refuse(name, "an iterable or an async iterable", value, wrong_type=True)


def read_digits(value: object) -> int | None:
    """The whole number that a string of at most 19 ASCII digits, or a float such as `3.0`, means; None for others."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and 0 <= value < _EXACT else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        return int(value)
    return None


def check_share(name: str, value: Any, *, ends: bool = False, error: Error = InvalidArgumentError) -> float:
    """Return a number above 0 and below 1; with `ends` also 0 or 1."""
    allowed = "a number from 0 to 1" if ends else "a number above 0 and below 1"
    number = check_number(name, value, allowed=allowed, error=error)
    if not (0 < number < 1 or (ends and number in {0, 1})):
        raise refuse(name, allowed, value, error=error)
    return number


def check_text(
    name: str, value: Any, *, pattern: str, allowed: str, optional: bool = False, error: Error = InvalidArgumentError
) -> str | None:
    """Return a string that the pattern matches; `allowed` describes it."""
    if value is None and optional:
        return None
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise refuse(name, allowed, value, wrong_type=not isinstance(value, str), error=error)
    return value


def check_flag(name: str, value: Any, *, error: Error = InvalidArgumentError) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise refuse(name, "True or False", value, wrong_type=True, error=error)
    return value


def check_choice(name: str, value: T, allowed: Sequence[T], *, error: Error = InvalidArgumentError) -> T:
    """Return one of the allowed values."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in allowed:  # arrays do not compare
        raise refuse(name, f"one of {tuple(allowed)}", value, error=error)
    return value


def check_instance(name: str, value: Any, kind: type[T], *, error: Error = InvalidArgumentError) -> T:
    """Return an object of a class. The object itself is not shown: it may hold a secret."""
    if not isinstance(value, kind):
        if error is InvalidArgumentError:
            error = InvalidArgumentTypeError
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise error(f"{name} must be {article} {kind.__name__}; {type(value).__name__} was given")
    return value


def validator(check: Callable[..., object], **arguments: Any) -> Validator:
    """Make an attrs validator of a check above, with these arguments. `UNSET`, which means no value, is allowed."""

    def validate(_: object, attribute: Any, value: Any) -> None:
        if not isinstance(value, UnsetType):
            check(attribute.name, value, **arguments)

    return validate
