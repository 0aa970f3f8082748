"""Decodes JSON, with the same result with and without the extra `speed`, and reads totals and identity keys."""

import functools
import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from alohub_async.validation import read_digits

_MOST_TOTAL: Final = 10**36  # more digits make no sense, but would make messages long


@functools.cache
def _fast_decode() -> Callable[[bytes], Any] | None:
    with suppress(ImportError):
        import msgspec

        return cast("Callable[[bytes], Any]", msgspec.json.decode)
    return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.20} is beyond the largest number")
    return number


# `json.loads` would create a decoder for each call.
_STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_LENIENT: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, strict=False)


def decode_json(body: bytes, *, strict: bool = False) -> Any:
    """Decode JSON; the result does not depend on whether the extra `speed` is installed.

    Raise `ValueError` if the body is not JSON, has a number that is not finite, or is nested too deeply. If `strict`,
    also refuse control characters in strings, and bytes that are not UTF-8. Otherwise such a string is read; a byte of
    another encoding becomes `�`.
    """
    fast = _fast_decode()
    if fast is not None:
        try:
            return fast(body)
        except Exception:  # noqa: BLE001, S110  (the standard library decides about what msgspec rejects)
            pass
    encoding = json.detect_encoding(body)
    try:
        text = body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError as exc:
        if strict:
            raise ValueError(f"not {encoding} at byte {exc.start}") from None  # the error itself has the whole body
        text = body.decode(encoding, "replace")
    try:
        return (_STRICT if strict else _LENIENT).decode(text)
    except json.JSONDecodeError as exc:
        raise ValueError(f"{exc.msg} at character {exc.pos}") from None  # the error itself has the whole text
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def read_total(value: object) -> int | None:
    """The total that a `totalRecord` reports; None if it makes no sense."""
    if type(value) is int:
        return value if 0 <= value < _MOST_TOTAL else None
    return read_digits(value)


def identity_keys(records: Sequence[Mapping[Any, Any]], key: str | None) -> list[Hashable]:
    """Identity key of each record of a page; `key` is the wire name of the id."""
    try:
        keys: list[Hashable] = [record[key] for record in records]
    except KeyError:
        keys = []
    return keys if {*map(type, keys)} == {int} else [identity_of(record, key) for record in records]


def identity_of(record: Mapping[Any, Any], key: str | None) -> Hashable:
    """Identity key of a record: its id as a number or a string, or else the whole record, which is then unique."""
    value = record.get(key)
    number = read_digits(value)
    if number is not None and (not isinstance(value, str) or str(number) == value):  # "01" and "1" are two ids
        return number
    return value if isinstance(value, int | str) and not isinstance(value, bool) else (repr(record),)
