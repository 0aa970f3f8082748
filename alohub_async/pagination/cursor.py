"""The page at hand, and how much of it was handed out."""

from operator import length_hint
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from alohub_async.pagination.page import FetchedPage

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_NOTHING: "Iterator[Any]" = iter(())


class PageCursor(Generic[T]):
    """Hands out the records of one page after the other.

    Attributes:
        number: Of the page; or of the one to come, if there is none.
        page: The page; None before the first, and between two.
        rest: Those of its records that are still to be handed out. Taking one hands it out: how many were is known by
            how many are left, so that a record costs no more than a step of this iterator.
    """

    def __init__(self, number: int, index: int) -> None:
        """No page yet.

        Args:
            number: Of the page to come.
            index: Of the record in it that comes first.
        """
        self.number: int = number
        self.page: FetchedPage[T] | None = None
        self.rest: Iterator[T] = _NOTHING
        self._first = index
        self._indexes: list[int] | None = None  # of all that `rest` had, if that is not the rest of the page

    def put(self, number: int, page: FetchedPage[T], skipped: frozenset[int]) -> None:
        """Have this page at hand, without those indexes; from its beginning, unless it is the one that was to come."""
        first = self._first if number == self.number else 0
        self.number, self.page, self._first = number, page, first
        items = page.items
        if skipped:
            self._indexes = [index for index in range(first, len(items)) if index not in skipped]
            self.rest = iter([items[index] for index in self._indexes])
        else:
            self._indexes = None
            self.rest = iter(items[first:] if first else items)

    def drop(self, number: int) -> FetchedPage[T] | None:
        """Let go of the page, and return it; that one is to come."""
        page = self.page
        self.number, self.page, self.rest = number, None, _NOTHING
        self._first, self._indexes = 0, None
        return page

    @property
    def has_more(self) -> bool:
        """Whether there is a page, and records of it are left."""
        return length_hint(self.rest) > 0

    @property
    def index(self) -> int:
        """Of the record behind the one that was handed out last; without a page, of the first one to come."""
        if self.page is None:
            return self._first
        left = length_hint(self.rest)
        if self._indexes is None:
            return len(self.page.items) - left
        handed = len(self._indexes) - left
        return self._indexes[handed - 1] + 1 if handed else self._first
