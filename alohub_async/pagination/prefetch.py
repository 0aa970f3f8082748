"""Fetching the pages of one walk, a few of them ahead."""

from collections.abc import Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

from alohub_async.background_tasks import BackgroundTasks
from alohub_async.pagination.page import Arrival, Enrich, Fetch, FetchedPage
from alohub_async.pagination.progress import PageProgress
from alohub_async.pagination.seen_keys import fingerprint, gaps_of

T = TypeVar("T")


class _Latest:
    """The total that the page told that came last; not the pager's, so that what is under way does not hold it."""

    def __init__(self) -> None:
        self.total: int | None = None


class Prefetcher(Generic[T]):
    """The pages of a walk, as they are wanted.

    Attributes:
        walk: What came.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        walk: PageProgress,
        *,
        enrich: Enrich[T] | None = None,
        prefetch: int,
        ordered: bool,
        first: int = 0,
    ) -> None:
        """Fetch nothing yet.

        Args:
            fetch: Fetches a page.
            walk: Where to begin.
            enrich: Completes a page; None if it is complete.
            prefetch: Most pages under way or in memory, the one at hand included (but one ahead of it in any case); 0
                fetches each when it is asked for.
            ordered: Whether pages come in order, or as they arrive.
            first: The page that comes first, whatever the order; one that the walk misses.
        """
        self.walk: PageProgress = walk
        self._fetch = fetch
        self._fill = enrich
        self._prefetch = prefetch
        self._beside = max(1, prefetch - 1)  # as many, next to a page at hand
        self._ordered = ordered
        self._first: int | None = first
        self._latest = _Latest()
        self._ahead: BackgroundTasks[int, FetchedPage[T]] = BackgroundTasks()

    async def next(self) -> Arrival[T] | None:
        """The next page with anything new on it; None at the end. An error leaves all as it was."""
        walk = self.walk
        while walk.stopped_by is None:
            number = walk.base if self._first is None else self._first
            if self._prefetch:
                number, page = await self._take(number)
            else:  # as `fetch` does, without a coroutine of its own
                page = await self._fetch(number, walk.size)
                if self._fill is not None:
                    page = await self._fill(number, page)
            keys, total, gaps = page.keys, page.total, gaps_of(page.keys)
            mark = fingerprint(keys, gaps)
            capped = number == 0 and await self._is_capped(keys, total)
            ignored = mark in walk.marks and await self._is_ignored(number, page)
            fresh = walk.arrive(number, keys, total, mark=mark, capped=capped, ignored=ignored)
            self._first = None
            if fresh:
                if self._prefetch:
                    self._start(self._beside)
                return number, page, gaps
        self._ahead.clear()  # what was fetched past the end is not wanted any more
        return None

    async def _is_capped(self, keys: Sequence[Hashable], total: int | None) -> bool:
        """Whether the first page is short because of a cap, and not because records are not shown.

        With a cap, asking for less changes nothing.
        """
        count = len(keys)
        return self.walk.looks_capped(count, total) and (await self._fetch(0, count)).keys == keys

    async def _is_ignored(self, number: int, page: FetchedPage[T]) -> bool:
        """Whether the page before is just this one, now too: then it is not the list that moved."""
        if not self.walk.looks_ignored(number, page.total):
            return False
        before = await self._fetch(number - 1, self.walk.size)
        return before.keys == page.keys and before.total == page.total

    async def _take(self, number: int) -> tuple[int, FetchedPage[T]]:
        """This page, fetched ahead or not; or, if they come as they arrive, any that was."""
        self._start(self._prefetch)
        ahead = self._ahead.keys()
        if ahead and self._first is None and not self._ordered:
            number = await self._ahead.next_done()
        if number in ahead:
            return number, await self._ahead.take(number)
        return number, await self.fetch(number)

    def fetch(self, number: int) -> Coroutine[Any, Any, FetchedPage[T]]:
        """Fetch a page, whether it came already or not."""
        return _fetch_and_fill(self._fetch, self._fill, number, self.walk.size, self._latest)

    def _start(self, most: int) -> None:
        """Start to fetch pages that are known to be there, until so many are under way or wait to be taken."""
        total = self._latest.total
        if total is None or self.walk.total is None or self.walk.stopped_by is not None:
            return
        ahead = self._ahead.keys()
        room = most - len(ahead)
        for number in self.walk.missing(total) if room > 0 else ():
            if number not in ahead:
                self._ahead.start(number, self.fetch(number))
                room -= 1
                if not room:
                    return

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
    fetch: Fetch[T], enrich: Enrich[T] | None, number: int, size: int, latest: _Latest
) -> FetchedPage[T]:
    page = await fetch(number, size)
    if page.total is not None:
        latest.total = page.total
    return page if enrich is None else await enrich(number, page)
