"""The pages of a list that is gathered in several passes, until it is proven whole."""

from collections.abc import Hashable
from functools import partial
from typing import Generic, TypeVar

import attrs

from alohub_async.emitter import Emitter
from alohub_async.pagination.cursor import PageCursor
from alohub_async.pagination.page import Drift, Enrich, Fetch, FetchedPage, LoadedPage, StopReason
from alohub_async.pagination.passes import Passes
from alohub_async.pagination.token import PageToken
from alohub_async.pagination.walking import WalkingSource, emit_drift

T = TypeVar("T")


def sort_key(key: Hashable) -> tuple[int, int | str]:
    """Return what records are sorted by: numbers, then strings, then records without an id."""
    if isinstance(key, int):
        return 0, key
    return (1, key) if isinstance(key, str) else (2, repr(key))


class RepairingSource(Generic[T]):
    """Gathers the whole list in passes (see `passes`) before it returns the first page.

    Records are returned by id (a list that moves has no order of its own), as they were seen last, without those that
    had gone when the last pass proved the list whole. A token has the last id: resuming gathers the list anew, and
    leaves out the records up to that id.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        start: PageToken,
        *,
        enrich: Enrich[T] | None = None,
        prefetch: int = 0,
        max_passes: int = 5,
        events: Emitter | None = None,
    ) -> None:
        self.start: PageToken = start
        beginning = PageToken(listed=start.listed, size=start.asked, asked=start.asked)
        walk = partial(WalkingSource[T], enrich=enrich, prefetch=prefetch, ordered=False, prove=True)
        self._new_walk = partial(walk, fetch, beginning)
        self._max_passes = max_passes
        self._events = events or Emitter()
        self._passes = Passes()
        self._walk = self._new_walk()
        self._suspects: list[int] | None = None  # pages to fetch again at the end of the pass
        self._total: int | None = None
        self._gone = 0
        self._refetched = 0
        self._records: dict[Hashable, T] = {}  # as they were seen last
        self._keys: list[Hashable] | None = None  # in the order of delivery, once the list is gathered
        self._returned = 0  # records, those of the pager's current page included

    @property
    def size(self) -> int:
        """Records in a full page, as requested: the pages are made from the gathered records."""
        return self.start.asked

    @property
    def total(self) -> int | None:
        """Records in the whole list, as reported last, in any pass; None if no page reported it."""
        return self._total

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the last pass ended; None while a pass is running."""
        return self._walk.stopped_by

    @property
    def drift(self) -> Drift:
        """The signs that the list moved, and whether the passes settled it."""
        state = self._passes.state
        return Drift(
            duplicates=state.duplicates,
            totals=state.totals,
            gone=self._gone,
            refetched=self._refetched,
            passes=self._passes.finished,
            settled=state.settled,
        )

    @property
    def complete(self) -> bool:
        """Whether the last pass proved that nothing is missing."""
        return self._passes.state.settled is True

    async def next(self) -> LoadedPage[T] | None:
        """Gather the list, then return its pages; None at the end."""
        if self._keys is None:
            await self._gather()
            keys, after = sorted(filter(self._passes.holds, self._records), key=sort_key), self.start.after
            self._keys = keys if after is None else [key for key in keys if sort_key(key) > after]
        size = self.start.asked
        number, chunk = self._returned // size, self._keys[self._returned :][:size]
        if not chunk:
            return None
        self._returned += len(chunk)
        return number, FetchedPage([self._records[key] for key in chunk], chunk, self._total), frozenset()

    async def look(self) -> None:
        """Fetch one page of the current pass, to know the total. It is not the next page."""
        if self._keys is None:
            await self._step()

    async def _gather(self) -> None:
        """Fetch until the list is proven whole, or `max_passes` are done. After an error, continue where it was."""
        passes = self._passes
        while passes.state.settled is None:
            while await self._step():
                pass
            if self._suspects is None:
                self._suspects = passes.suspects()
            while self._suspects:
                page = await self._walk.refetch(self._suspects[-1])
                self._suspects.pop()
                self._refetched += 1
                self._keep(page)
                passes.add_refetched(page.keys)
            if passes.end_pass(self._walk.drift, max_passes=self._max_passes, refuted=self._walk.total is None):
                self._walk, self._suspects = self._new_walk(), None
        if not passes.state.settled:
            what = f"the list moved during each of {passes.finished} passes"
            emit_drift(self._events, self.start.listed, what)

    async def _step(self) -> bool:
        """Fetch a page; False at the end of the pass."""
        loaded = await self._walk.next()
        self._total = self._walk.total
        if loaded is None:
            return False
        number, page, repeated = loaded
        keys = [key for index, key in enumerate(page.keys) if index not in repeated]
        self._passes.add_page(number, keys, self._total, self._walk.drift)
        self._keep(page)
        return True

    def _keep(self, page: FetchedPage[T]) -> None:
        self._gone += len(page.gone)
        for index, key in enumerate(page.keys):
            if index not in page.gone:
                self._records[key] = page.items[index]

    def remaining(self, total: int) -> tuple[int, int]:
        """Return what is left of two passes, the least there can be: pages to request, and records on them."""
        if self._keys is not None:
            return 0, 0
        pages, records = self._walk.remaining(total)
        if self._passes.finished:
            return pages, records
        return pages - (-total // self._walk.size), records + total

    def token(self, cursor: PageCursor[T], *, done: bool) -> PageToken:
        """Return the position behind the record returned last."""
        if self._keys is None:
            return attrs.evolve(self.start, done=done)
        left = 0 if cursor.page is None else len(cursor.page.keys) - cursor.index
        returned = self._returned - left
        after = sort_key(self._keys[returned - 1]) if returned else self.start.after
        return attrs.evolve(self.start, after=after, done=done or returned == len(self._keys))

    def log_end(self) -> None:
        """Log nothing: a list that was not proven whole is logged before its first record is returned."""

    def release(self) -> None:
        """Cancel the fetches that nobody waits for; keep the pages that have arrived."""
        self._walk.release()

    async def aclose(self) -> None:
        """Cancel all fetches, wait until they have ended, and drop the pages that have arrived."""
        await self._walk.aclose()
