"""The current page of a pager, and the position in it."""

from collections.abc import Iterator
from operator import length_hint
from typing import Any, Generic, TypeVar

from alohub_async.pagination.page import FetchedPage

T = TypeVar("T")

_NOTHING: Iterator[Any] = iter(())


class PageCursor(Generic[T]):
    """Iterates over the records of one page after the other.

    The records of `page` that are still to be returned are in `rest`; its `length_hint` saves counting each record.
    """

    def __init__(self, number: int, index: int) -> None:
        self.number: int = number  # of the page loaded last; before the first page: where to start
        self.page: FetchedPage[T] | None = None  # also between two pages
        self.rest: Iterator[T] = _NOTHING
        self._first = index
        self._indexes: list[int] | None = None  # of the records in `rest`, if records of the page were left out

    def load(self, number: int, page: FetchedPage[T], repeated: frozenset[int]) -> None:
        """Make a page the current one, without repeated and gone records; the very first starts at the given index."""
        first = self._first if number == self.number else 0
        self.number, self.page, self._first = number, page, first
        items = page.items
        if repeated or page.gone:
            left_out = repeated | page.gone
            self._indexes = [index for index in range(first, len(items)) if index not in left_out]
            self.rest = iter([items[index] for index in self._indexes])
        else:
            self._indexes = None
            self.rest = iter(items[first:] if first else items)

    def unload(self) -> bool:
        """Drop the current page; False, and nothing is dropped, if records of it are left."""
        if length_hint(self.rest):
            return False
        if self.page is not None:
            self.page, self.rest, self._first, self._indexes = None, _NOTHING, 0, None
        return True

    @property
    def has_more(self) -> bool:
        """Whether there is a page, and records of it are left."""
        return length_hint(self.rest) > 0

    @property
    def index(self) -> int:
        """Index behind the record returned last; without a page, the index to start at."""
        if self.page is None:
            return self._first
        left = length_hint(self.rest)
        if self._indexes is None:
            return len(self.page.items) - left
        returned = len(self._indexes) - left
        return self._indexes[returned - 1] + 1 if returned else self._first
