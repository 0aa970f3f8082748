"""The position of a walk, as one string to store."""

import base64
import json
from collections.abc import Iterable
from typing import Any, Final

import attrs

from alohub_async.errors import InvalidArgumentError
from alohub_async.validation import refuse

_VERSION: Final = 2
MAX_PAGES: Final = 1_000_000  # no list has more; a walk over a server that never stops sending pages ends there
_EXPECTED: Final = "a string that pager.token returned"
_KINDS: Final = 2  # the highest kind of a sort key: 0 for a number, 1 for a string, 2 for a record without an id


def as_tuple(given: Iterable[Any]) -> tuple[Any, ...]:
    """Convert a list of JSON."""
    return tuple(given)


@attrs.frozen(kw_only=True, repr=False)
class PageToken:
    """The position of a walk; `encode` makes the string that users store."""

    listed: str  # a token of another list is refused
    page: int = 0  # the first page that is not done, counted from 0
    beyond: tuple[int, ...] = attrs.field(default=(), converter=as_tuple)  # pages behind it that are done, `as_runs`
    at: int = 0  # the page that `index` refers to
    index: int = 0  # of the next record in page `at`, counted from 0
    size: int  # records in a full page
    asked: int  # the same as the user requested; the server may use another size
    received: int = 0  # records in the pages that are done
    total: int | None = None  # as reported last; None if no page reported it
    done: bool = False  # whether the walk has ended
    before: str = ""  # fingerprint of the highest page that is done, to recognise a server that sends it again
    repair: bool = False  # the walk then starts anew, and leaves out the records up to `after`
    after: tuple[int, int | str] | None = attrs.field(default=None, converter=attrs.converters.optional(as_tuple))
    """With `repair`: the sort key of the record returned last; None before the first."""

    def encode(self) -> str:
        """Return a string of letters, digits, `-` and `_`."""
        text = json.dumps([_VERSION, *attrs.astuple(self, recurse=False)], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, token: object, *, listed: str) -> "PageToken":
        """Read a string that `encode` made; an `InvalidArgumentError` if it is none, or is of another list."""
        if not isinstance(token, str):
            raise refuse("token", _EXPECTED, token, wrong_type=True)
        try:
            version, *values = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            names = [field.name for field in attrs.fields(cls)]
            found = cls(**dict(zip(names, values, strict=True)))
            sound = version == _VERSION and found._is_sound()
        except (ValueError, TypeError, RecursionError):
            found, sound = None, False
        if found is None or not sound:
            raise refuse("token", _EXPECTED, token)
        if found.listed != listed:
            raise InvalidArgumentError(f"the token is of another list: {found.listed!r}, not {listed!r}")
        return found

    def _is_sound(self) -> bool:
        counts = (self.page, self.at, self.index, self.received, self.size, self.asked, *self.beyond)
        edges = (self.page, *self.beyond)  # of runs that must not touch
        rising = [low < high for low, high in zip(edges[::2], edges[1::2], strict=False)]
        rising += [low <= high for low, high in zip(self.beyond[::2], self.beyond[1::2], strict=True)]
        return (
            all(type(number) is int and number >= 0 for number in counts)
            and (self.total is None or (type(self.total) is int and self.total >= 0))
            and min(self.size, self.asked) >= 1
            and self.at >= self.page
            and max(self.beyond, default=0) < MAX_PAGES
            and all(rising)
            and (type(self.done), type(self.before), type(self.repair)) == (bool, str, bool)
            and (self.after is None or _is_sort_key(*self.after))
        )

    def pages_beyond(self) -> set[int]:
        """Return the pages that `beyond` stands for."""
        runs = zip(self.beyond[::2], self.beyond[1::2], strict=True)
        return {number for low, high in runs for number in range(low, high + 1)}


def _is_sort_key(kind: Any, key: Any) -> bool:
    return type(kind) is int and 0 <= kind <= _KINDS and type(key) is (int if kind == 0 else str)


def as_runs(numbers: set[int]) -> tuple[int, ...]:
    """Return the first and the last of each run of numbers, one after the other."""
    runs: list[int] = []
    for number in sorted(numbers):
        if runs and runs[-1] == number - 1:
            runs[-1] = number
        else:
            runs += (number, number)
    return tuple(runs)
