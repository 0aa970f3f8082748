"""What an edit does, apart from sending it: what differs, what conflicts, whether it was done. Plans use the same."""

import enum
import json
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, Self, TypeVar

import attrs

from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    ConflictError,
    InternalServerError,
    InvalidArgumentError,
)
from alohub_async.models import Record, RecordUpdate, wire_names
from alohub_async.unset import UNSET
from alohub_async.validation import check_instance

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=Record)

OPEN_ERRORS: Final = (APIConnectionError, APIResponseError, InternalServerError)
"""Errors of an update that leave open whether it was taken, or may be later; unless it was not sent."""


@attrs.frozen(kw_only=True)
class Edit(Generic[RecordT]):
    """The result of an edit.

    Attributes:
        id: The record's id.
        before: The record as it was read first.
        after: The record as read back; if it was not (`verify=False`, `dry_run`, nothing to change), as it should be.
        changed: Names of the fields that differed from the wanted values.
        sent: Whether an update was sent.
        not_taken: Names of those that still differed when read back: the server accepted and did not apply the update.
    """

    id: int
    before: RecordT
    after: RecordT
    changed: tuple[str, ...]
    sent: bool
    not_taken: tuple[str, ...] = ()


def wanted_values(changes: RecordUpdate) -> dict[str, Any]:
    """The fields of an update that are set, by name; the record has the same names."""
    return {name: value for name, value in attrs.asdict(changes, recurse=False).items() if value is not UNSET}


def require_changes(changes: Any, kind: type[RecordUpdate]) -> dict[str, Any]:
    """The fields that are set; an error if there is none, or if it is not an update of this kind."""
    wanted = wanted_values(check_instance("changes", changes, kind))
    if not wanted:
        names = ", ".join(field.name for field in attrs.fields(kind))
        raise InvalidArgumentError(f"nothing to change: give at least one of {names}")
    return wanted


def check_expected(record_id: int, expect: Any, kind: type[RecordT]) -> RecordT | None:
    """Return `expect`, a snapshot of that record or None; an error if it is one of another record, or no record."""
    if expect is None:
        return None
    snapshot = check_instance("expect", expect, kind)
    if snapshot.id != record_id:
        raise InvalidArgumentError(f"expect must be a snapshot of {record_id}; one of {snapshot.id} was given")
    return snapshot


def differing(record: object, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted values that the record does not have."""
    return {name: value for name, value in wanted.items() if getattr(record, name) != value}


def value_of(record: Record, name: str) -> Any:
    """The value of a field; the one that the API sent if that does not fit the field's type."""
    value = getattr(record, name)
    extra: Mapping[str, Any] | None = getattr(record, "extra", None)
    return extra.get(wire_names(type(record))[name]) if value is None and extra else value


_TWINS: Final = str.maketrans(
    "\u00d0\u0189\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0443"
    "\u0445\u0456\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7\u03bf\u2010\u2011\u2013",
    "\u0110\u0110ABEKMHOPCTXaeopcyxiABEHIKMNOPTXo---",
    "\u034f\u115f\u1160\u2800\u3164\ufe0e\ufe0f",
)
"""Letters that look like others (Icelandic, Cyrillic, Greek), hyphens, and invisible letters and marks."""

_BEFORE, _SHOWN = 20, 60  # characters of a long text before the first difference, and in all


def looks(text: str) -> str:
    """What a reader sees: without invisible characters, the form of Unicode, and the number of spaces."""
    folded = unicodedata.normalize("NFKC", text).translate(_TWINS)
    if not folded.isprintable():
        folded = "".join(char for char in folded if char.isspace() or unicodedata.category(char)[0] != "C")
    return " ".join(folded.split())


def told_apart(one: object, other: object, show: Callable[[object], str]) -> tuple[str, str]:
    """Both values as `show` has them; if those look the same, with escapes for what a reader does not see."""
    shown, others = show(one), show(other)
    if isinstance(one, str) and isinstance(other, str):
        if one != other and (looks(one) == looks(other) or looks(shown) == looks(others)):
            pairs = enumerate(zip(one, other, strict=False))
            same = next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
            begin = max(0, same - _BEFORE)
            return _escaped(one, begin), _escaped(other, begin)
    elif one != other and looks(shown) == looks(others):
        return _as_json(one), _as_json(other)
    return shown, others


def _as_json(value: object) -> str:
    return _escaped(value) if isinstance(value, str) else json.dumps(value, default=repr)


def _escaped(text: str, begin: int = 0) -> str:
    part = text[begin : begin + _SHOWN]
    seen = "".join(char if _is_plain(char) else char.encode("unicode_escape").decode() for char in part)
    return f"{'…' if begin else ''}'{seen}'{'…' if begin + _SHOWN < len(text) else ''}"


def _is_plain(char: str) -> bool:
    return char == " " or (unicodedata.category(char)[0] not in "CMZ" and looks(char) == char)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, enum.Enum) else f"{value!r:.200}"


def conflict(what: str, found: Record, expected: Mapping[str, Any]) -> ConflictError | None:
    """The error if the record, `what` in words, has not the `expected` values of fields that would be written."""
    differences = {name: (value, value_of(found, name)) for name, value in expected.items()}
    differences = {name: pair for name, pair in differences.items() if pair[0] != pair[1]}
    if not differences:
        return None
    shown = {name: told_apart(*pair, show=_shown) for name, pair in differences.items()}
    said = "; ".join(f"{name} is {now}, not {then}" for name, (then, now) in shown.items())
    return ConflictError(f"{what} is not as expected: {said}; nothing was written", differences=differences)


@attrs.define(eq=False, repr=False)
class EditLog:
    """What the requests of an edit have sent. It marks the errors of its block, which is the whole edit."""

    attempts: int = 0  # of all requests
    maybe_sent: bool = False  # whether an update may have reached the server
    maybe_written: bool = False  # whether one may have been taken, or may be later

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, AlohubError):
            for name, value in attrs.asdict(self).items():
                setattr(error, name, value)

    async def read(self, call: Awaitable[tuple[T, int]]) -> T:
        """Add a request that reads, and return its result."""
        try:
            result, attempts = await call
        except AlohubError as error:
            self.attempts += error.attempts
            raise
        self.attempts += attempts
        return result

    async def update(self, call: Awaitable[tuple[object, int]]) -> None:
        """Add an update."""
        maybe_written, self.maybe_written = self.maybe_written, True
        try:
            await self.read(call)
        except AlohubError as error:
            self.maybe_sent = self.maybe_sent or error.maybe_sent
            is_open = isinstance(error, OPEN_ERRORS) and (error.maybe_sent or not isinstance(error, APIConnectionError))
            self.maybe_written = maybe_written or is_open
            raise
        self.maybe_sent = True
