"""Fetching the pages of one walk, a few of them ahead."""

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from alohub_async.lookahead import Lookahead
from alohub_async.pagination.keys import fingerprint
from alohub_async.pagination.records import Fetch, FetchedPage, Fill
from alohub_async.pagination.walk import Walk

T = TypeVar("T")


class _Latest:
    """The total that the page told that came last; not the pager's, so that what is under way does not hold it."""

    def __init__(self) -> None:
        self.total: int | None = None


class PageStream(Generic[T]):
    """The pages of a walk, as they are wanted.

    Attributes:
        walk: What came.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        walk: Walk,
        *,
        fill: Fill[T] | None = None,
        prefetch: int,
        ordered: bool,
        first: int = 0,
    ) -> None:
        """Fetch nothing yet.

        Args:
            fetch: Fetches a page.
            walk: Where to begin.
            fill: Completes a page; None if it is complete.
            prefetch: Most pages under way or in memory, the one at hand included (but one ahead of it in any case); 0
                fetches each when it is asked for.
            ordered: Whether pages come in order, or as they arrive.
            first: The page that comes first, whatever the order; one that the walk misses.
        """
        self.walk: Walk = walk
        self._fetch = fetch
        self._fill = fill
        self._prefetch = prefetch
        self._ordered = ordered
        self._first: int | None = first
        self._latest = _Latest()
        self._ahead: Lookahead[int, FetchedPage[T]] = Lookahead()

    async def next(self) -> tuple[int, FetchedPage[T]] | None:
        """The next page with anything new on it, and its number; None at the end. An error leaves all as it was."""
        walk = self.walk
        while walk.stopped_by is None:
            number, page = await self._take()
            keys, total = page.keys, page.total
            mark = fingerprint(keys)
            # Short because of a cap, or because records are not shown? With a cap, asking for less changes nothing.
            capped = walk.looks_capped(number, len(keys), total) and (await self._fetch(0, len(keys))).keys == keys
            ignored = walk.looks_ignored(number, mark, total) and await self._is_ignored(number, page)
            fresh = walk.arrive(number, keys, total, mark=mark, capped=capped, ignored=ignored)
            self._first = None
            if fresh:
                self._start(max(1, self._prefetch - 1))
                return number, page
        self._ahead.clear()  # what was fetched past the end is not wanted any more
        return None

    async def _is_ignored(self, number: int, page: FetchedPage[T]) -> bool:
        """Whether the page before is just this one, now too: then it is not the list that moved."""
        before = await self._fetch(number - 1, self.walk.size)
        return before.keys == page.keys and before.total == page.total

    async def _take(self) -> tuple[int, FetchedPage[T]]:
        self._start(self._prefetch)
        if self._first is not None:
            number = self._first
        elif self._prefetch and not self._ordered and len(self._ahead):
            number = await self._ahead.next_done()
        else:
            number = self.walk.base
        if self._prefetch and number in self._ahead:
            return number, await self._ahead.take(number)
        return number, await self.fetch(number)

    def fetch(self, number: int) -> Coroutine[Any, Any, FetchedPage[T]]:
        """Fetch a page, whether it came already or not."""
        return _fetch_and_fill(self._fetch, self._fill, number, self.walk.size, self._latest)

    def _start(self, most: int) -> None:
        """Start to fetch pages that are known to be there, until so many are under way or wait to be taken."""
        total = self._latest.total
        if not self._prefetch or total is None or self.walk.total is None or self.walk.stopped_by is not None:
            return
        for number in self.walk.missing(total):
            if number not in self._ahead:
                if len(self._ahead) >= most:
                    return
                self._ahead.start(number, self.fetch(number))

    def requests_left(self, total: int) -> int:
        """How many pages of a list of so many records are neither there nor under way."""
        return sum(number not in self._ahead for number in self.walk.missing(total))

    def release(self) -> None:
        """Cancel what is under way, unless somebody waits for it; pages that came are kept."""
        self._ahead.release()

    async def aclose(self) -> None:
        """Cancel what is under way, and let go of pages that came."""
        await self._ahead.aclose()


async def _fetch_and_fill(
    fetch: Fetch[T], fill: Fill[T] | None, number: int, size: int, latest: _Latest
) -> FetchedPage[T]:
    page = await fetch(number, size)
    if page.total is not None:
        latest.total = page.total
    return page if fill is None else await fill(number, page)
