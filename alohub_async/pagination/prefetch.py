"""Fetching the pages of one walk, a bounded number of them ahead."""

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from alohub_async.background_tasks import BackgroundTasks
from alohub_async.pagination.page import Enrich, Fetch, FetchedPage
from alohub_async.pagination.progress import PageProgress

T = TypeVar("T")


class _LatestTotal:
    """The total of the page that arrived last. A separate object, so that running fetches do not keep the pager."""

    total: int | None = None


class Prefetcher(Generic[T]):
    """Fetches pages that are known to exist before they are needed."""

    def __init__(self, fetch: Fetch[T], progress: PageProgress, *, enrich: Enrich[T] | None, ordered: bool) -> None:
        self._ordered = ordered
        self._fetch = fetch
        self._progress = progress
        self._enrich = enrich
        self._latest = _LatestTotal()
        self.tasks: BackgroundTasks[int, FetchedPage[T]] = BackgroundTasks()  # by page

    async def take(self, number: int, *, or_any: bool) -> tuple[int, FetchedPage[T]]:
        """Wait for a page, or with `or_any` for whichever of those in flight arrives first; with its number."""
        running = self.tasks.keys()
        if or_any and running:
            number = await self.tasks.next_done()
        if number in running:
            return number, await self.tasks.take(number)
        return number, await self.fetch(number)

    def fetch(self, number: int) -> Coroutine[Any, Any, FetchedPage[T]]:
        """Fetch a page, whether it has arrived already or not."""
        return _fetch_and_enrich(self._fetch, self._enrich, number, self._progress.size, self._latest)

    def start(self, most: int) -> None:
        """Start to fetch pages that are known to exist, until `most` pages are in flight or have arrived."""
        total = self._latest.total
        if total is None or self._progress.total is None or self._progress.stopped_by is not None:
            return  # without a total it is not known that there is another page
        running = self.tasks.keys()
        room = most - len(running)
        if room > 0:
            # An empty page after the last full one must not arrive before it: some servers repeat the last one there.
            last = total // self._progress.size if self._ordered else (total - 1) // self._progress.size
            for number in self._progress.missing(total):
                if number > last:
                    return
                if number not in running:
                    self.tasks.start(number, self.fetch(number))
                    room -= 1
                    if not room:
                        return

    def requests_left(self, total: int) -> int:
        """Return how many pages of a list of `total` records are neither in memory nor in flight."""
        running = self.tasks.keys()
        return self._progress.pages_left(total) - sum(self._progress.is_missing(number, total) for number in running)


async def _fetch_and_enrich(
    fetch: Fetch[T], enrich: Enrich[T] | None, number: int, size: int, latest: _LatestTotal
) -> FetchedPage[T]:
    page = await fetch(number, size)
    if page.total is not None:
        latest.total = page.total
    return page if enrich is None else await enrich(number, page)
