"""Fetching the pages of one walk, a bounded number of them ahead.

Beside the page at hand there are at most `prefetch` pages in flight, and twice as many in flight or in memory. So one
slow page does not idle the other requests at once. A page whose records are looked up is in memory.
"""

from typing import Generic, TypeVar
from weakref import ref

import attrs

from alohub_async.background_tasks import BackgroundTasks
from alohub_async.pagination.page import Enrich, Fetch, FetchedPage
from alohub_async.pagination.progress import PageProgress

T = TypeVar("T")


@attrs.define(eq=False, repr=False)
class Fetches(Generic[T]):
    """Fetches pages, and notes what came. A separate object, so that running fetches do not keep the pager."""

    owner: "ref[Prefetcher[T]]"
    fetch: Fetch[T]
    enrich: Enrich[T] | None
    arrived: set[int] = attrs.field(factory=set[int])  # the pages in memory
    total: int | None = None  # of the page that arrived last, also while its records are looked up
    begun: bool = False  # whether the first page's records are looked up, and the list goes on behind it

    async def page(self, number: int, size: int) -> FetchedPage[T]:
        """Fetch a page; then others may be fetched while its records are looked up."""
        page = await self.fetch(number, size)
        self.arrived.add(number)
        if page.total is not None:
            self.total = page.total
            if self.enrich is not None and number == 0:
                self.begun = size == len(page.keys) < page.total
        owner = self.owner()
        if owner is not None:
            owner.start()
            del owner
        return page if self.enrich is None else await self.enrich(number, page)


class Prefetcher(Generic[T]):
    """Fetches pages that are known to exist before they are needed."""

    def __init__(
        self, fetch: Fetch[T], progress: PageProgress, *, enrich: Enrich[T] | None, most: int, ordered: bool
    ) -> None:
        self._most = most  # pages in flight
        self._ordered = ordered
        self._progress = progress
        self.fetches: Fetches[T] = Fetches(ref(self), fetch, enrich)
        self._at_hand: int | None = None  # the page that was taken last; `progress` may not know it yet
        self.tasks: BackgroundTasks[int, FetchedPage[T]] = BackgroundTasks()  # by page

    async def take(self, number: int, *, or_any: bool) -> tuple[int, FetchedPage[T]]:
        """Wait for a page, or with `or_any` for whichever of those in flight arrives first; with its number."""
        self._at_hand = None
        self.start()
        running = self.tasks.keys()
        if or_any and running:
            number = await self.tasks.next_done()
        elif number not in running:
            self._start(number)
        try:
            return number, await self.tasks.take(number)
        except BaseException:
            if not self._progress.totals:  # the list begins anew, so what was listed before is not of this walk
                self.fetches.begun = False
                self.tasks.clear()
            raise
        finally:
            self._at_hand = number
            self.fetches.arrived.discard(number)

    def start(self) -> None:
        """Start to fetch pages that are known to exist, as many as may be in flight and in memory."""
        progress, fetches = self._progress, self.fetches
        begun = progress.total is not None or (fetches.begun and not progress.totals)
        if not self._most or fetches.total is None or not begun or progress.stopped_by is not None:
            return  # without a total it is not known that there is another page
        running = self.tasks.keys()
        room = min(2 * self._most - len(running), self._most - len(running - fetches.arrived))
        # An empty page after the last full one must not arrive before it: some servers repeat the last one there.
        last = fetches.total // progress.size if self._ordered else (fetches.total - 1) // progress.size
        for number in progress.missing(fetches.total):
            if number > last or room <= 0:
                return
            if number not in running and number != self._at_hand:
                self._start(number)
                room -= 1

    def _start(self, number: int) -> None:
        self.fetches.arrived.discard(number)
        self.tasks.start(number, self.fetches.page(number, self._progress.size))
