"""Decodes JSON, with the same result with and without the extra `speed`, and the totals of the API."""

import functools
import json
from collections.abc import Callable
from typing import Any, Final, cast

from alohub_async.validation import read_digits


@functools.cache
def _fast_decode() -> Callable[[bytes], Any] | None:
    """Return the decoder of the extra `speed`, if it is installed."""
    try:
        import msgspec
    except ImportError:
        return None
    return cast("Callable[[bytes], Any]", msgspec.json.decode)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)  # `json.loads` would create one for each call


def decode_json(body: bytes) -> Any:
    """Decode JSON; the result does not depend on whether the extra `speed` is installed.

    Raises:
        ValueError: The body is not JSON, or is nested too deeply.
    """
    fast = _fast_decode()
    if fast is not None:
        try:
            return fast(body)
        except Exception:  # noqa: BLE001, S110  (the standard library decides about what msgspec rejects)
            pass
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def read_total(value: object) -> int | None:
    """The total that a `totalRecord` reports; None if it makes no sense."""
    if type(value) is int and value >= 0:
        return value
    return read_digits(value)
