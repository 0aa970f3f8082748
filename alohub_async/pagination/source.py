"""Where a pager gets its pages from: the interface that walking and repairing have in common."""

from typing import Protocol, TypeAlias, TypeVar

from alohub_async.pagination.cursor import PageCursor
from alohub_async.pagination.page import Drift, FetchedPage, StopReason
from alohub_async.pagination.token import PageToken

T = TypeVar("T")

LoadedPage: TypeAlias = tuple[int, FetchedPage[T], frozenset[int]]
"""A page with its number, and the indexes of its records that came before."""


class PageSource(Protocol[T]):
    """Delivers the pages of one list to a pager, which calls `next` and `look` one at a time.

    An error or a cancellation does not change the position: the next call tries the same page again.
    """

    @property
    def start(self) -> PageToken:
        """Where the walk started."""
        ...

    @property
    def size(self) -> int:
        """Records in a full page."""
        ...

    @property
    def total(self) -> int | None:
        """Records in the whole list, as reported last; None if no page reported it."""
        ...

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the walk ended; None while it has not."""
        ...

    @property
    def drift(self) -> Drift:
        """The signs that the list moved."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the walk has ended with the whole list, as far as is known."""
        ...

    async def next(self) -> LoadedPage[T] | None:
        """Return the next page that brings new records; None at the end."""
        ...

    async def look(self) -> LoadedPage[T] | None:
        """Fetch one page, to know the total. Return it if it is the next page; None otherwise."""
        ...

    def remaining(self, total: int) -> tuple[int, int]:
        """Return how many pages of `total` records are still to be requested, and how many records they hold."""
        ...

    def token(self, cursor: PageCursor[T], *, done: bool) -> PageToken:
        """Return the position behind the record returned last; `done` if the pager has reached the end."""
        ...

    def log_end(self) -> None:
        """Log if records may be missing. The pager calls this once, at the end."""
        ...

    def release(self) -> None:
        """Cancel the fetches that nobody waits for; keep the pages that have arrived."""
        ...

    async def aclose(self) -> None:
        """Cancel all fetches, wait until they have ended, and drop the pages that have arrived."""
        ...
