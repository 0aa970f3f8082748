"""Walking a list once, page by page, with or without fetching ahead."""

from collections.abc import Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

from alohub_async.emitter import Emitter, whose
from alohub_async.errors import AlohubError, APIResponseError, APIStatusError
from alohub_async.pagination.cursor import PageCursor
from alohub_async.pagination.page import Drift, Enrich, Fetch, FetchedPage, LoadedPage, StopReason
from alohub_async.pagination.prefetch import Prefetcher
from alohub_async.pagination.progress import PageProgress
from alohub_async.pagination.seen_keys import KeySet, fingerprint, gaps_of
from alohub_async.pagination.token import PageToken, as_runs

T = TypeVar("T")


class WalkingSource(Generic[T]):
    """The pages of a list in one walk over it. Records that come again are marked."""

    def __init__(
        self,
        fetch: Fetch[T],
        start: PageToken,
        *,
        enrich: Enrich[T] | None = None,
        prefetch: int = 0,
        ordered: bool = True,
        prove: bool = False,
        events: Emitter | None = None,
    ) -> None:
        """Fetch nothing yet. If not `ordered`, pages are returned as they arrive; for `prove` see `progress`."""
        self.start: PageToken = start
        self._progress = PageProgress(
            size=start.size,
            base=start.page,
            beyond=frozenset(start.pages_beyond()),
            received=start.received,
            total=start.total,
            before=start.before,
            prove=prove,
        )
        self._prove = prove
        self._prefetcher = Prefetcher(fetch, self._progress, enrich=enrich, most=prefetch, ordered=ordered)
        self._fetch = fetch
        self._events = events or Emitter()
        self._enrich = enrich
        self._prefetch = prefetch
        self._ordered = ordered
        self._first: int | None = start.at  # comes first in any case: the token may point into this page
        self._seen = KeySet()
        self._duplicates = 0
        self._gone = 0

    @property
    def size(self) -> int:
        """Records in a full page, as requested or as the server caps it."""
        return self._progress.size

    @property
    def total(self) -> int | None:
        """Records in the whole list, as reported last; None if no page reported it."""
        return self._progress.total if self._progress.totals else self._prefetcher.fetches.total

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the walk ended; None while it has not."""
        return self._progress.stopped_by

    @property
    def drift(self) -> Drift:
        """The signs that the list moved."""
        progress = self._progress
        return Drift(
            duplicates=self._duplicates + progress.repeated,
            totals=tuple(progress.totals),
            gone=self._gone,
            passes=int(progress.stopped_by is not None),
        )

    @property
    def complete(self) -> bool:
        """Whether the walk has ended, with as many records as the total says, and without a sign of movement."""
        return self._progress.stopped_by is not None and not self._is_short and not self.drift.moved

    @property
    def _is_short(self) -> bool:
        progress = self._progress
        return progress.total is not None and progress.received < progress.total

    async def next(self) -> LoadedPage[T] | None:
        """Return the next page that brings new records; None at the end."""
        progress = self._progress
        while progress.stopped_by is None:
            number = progress.base if self._first is None else self._first
            try:
                if self._prefetch:
                    number, page = await self._prefetcher.take(number, or_any=self._first is None and not self._ordered)
                else:
                    page = await self._fetch(number, progress.size)
                    if self._enrich is not None:
                        self._prefetcher.fetches.total = page.total
                        page = await self._enrich(number, page)
            except (APIStatusError, APIResponseError):
                end = await self._end_instead_of(number)
                if end is None:
                    raise
                page = end
            if page.absent and progress.total is not None and number * progress.size < progress.total:
                page = FetchedPage[T]([], [], await self._total_now())
            keys, total, gaps = page.keys, page.total, gaps_of(page.keys)
            mark = fingerprint(keys, gaps)
            capped = number == 0 and await self._is_capped(keys, total)
            seen_before = mark in progress.marks
            ignored = seen_before and await self._is_ignored(number, page)
            if self._prove and seen_before and number and await self._has_shifted(number, page):
                self._duplicates += len(keys)
            is_new = progress.arrive(number, keys, total, mark=mark, capped=capped, ignored=ignored)
            self._first = None
            if is_new:
                if self._prefetch:
                    self._prefetcher.start()
                repeated = self._seen.add_all(keys, gaps)
                self._duplicates += len(repeated)
                self._gone += len(page.gone)
                return number, page, repeated
        self._prefetcher.tasks.clear()  # pages beyond the end are not needed
        return None

    async def _end_instead_of(self, number: int) -> FetchedPage[T] | None:
        """Return an empty page if a walk resumes at a page that is beyond the end now; otherwise None."""
        if not number or self._progress.marks != {self.start.before} - {""}:
            return None
        try:
            total = await self._total_now()
        except AlohubError:
            return None
        return None if total is None or number * self._progress.size < total else FetchedPage([], [], total)

    async def _total_now(self) -> int | None:
        """Read the first page again, because the list may have shrunk."""
        return (await self._fetch(0, self._progress.size)).total

    async def look(self) -> LoadedPage[T] | None:
        """Fetch one page, to know the total: it is the next one."""
        return await self.next()

    async def _is_capped(self, keys: Sequence[Hashable], total: int | None) -> bool:
        """Whether the first page is short by a cap, and no records are hidden: then the smaller size gives the same."""
        count = len(keys)
        is_short = total is not None and 0 < count < min(self._progress.size, total)
        return is_short and (await self._fetch(0, count)).keys == keys

    async def _is_ignored(self, number: int, page: FetchedPage[T]) -> bool:
        """Whether an earlier page came again because the server ignores the number: so the page before is this, too."""
        size = self._progress.size
        if number == 0 or page.total is None or page.total < (number + 1) * size:
            return False
        before = await self._fetch(number - 1, size)
        return before.keys == page.keys and before.total == page.total  # else the list has moved by one page

    async def _has_shifted(self, number: int, page: FetchedPage[T]) -> bool:
        """Whether an earlier page came again because the list moved: then the page before is another one by now."""
        return (await self._fetch(number - 1, self._progress.size)).keys != page.keys

    def refetch(self, number: int) -> Coroutine[Any, Any, FetchedPage[T]]:
        """Fetch a page once more; the position does not change."""
        return self._prefetcher.fetches.page(number, self._progress.size)

    def remaining(self, total: int) -> tuple[int, int]:
        """Return how many pages are still to be requested, and how many records they hold at most."""
        progress = self._progress
        if progress.stopped_by:
            return 0, 0
        ahead = self._prefetcher.tasks.keys()
        pages = progress.pages_left(total) - sum(progress.is_missing(number, total) for number in ahead)
        return pages, min(pages * progress.size, max(0, total - progress.received))

    def token(self, cursor: PageCursor[T], *, done: bool) -> PageToken:
        """Return the position behind the record returned last; `done` if the pager has reached the end."""
        progress, page, at, index = self._progress, cursor.page, cursor.number, cursor.index
        base, beyond, received, before = progress.base, progress.beyond, progress.received, progress.latest
        if page is not None and cursor.has_more:
            beyond = (beyond | {*range(at + 1, base)}) - {at}
            base, received, before = min(base, at), received - len(page.keys), progress.before
        elif page is not None or at < base or at in beyond:
            at, index = base, 0
        return PageToken(
            listed=self.start.listed,
            page=base,
            beyond=as_runs(beyond),
            at=at,
            index=index,
            size=progress.size,
            asked=self.start.asked,
            received=received,
            total=progress.total,
            done=done or (progress.stopped_by is not None and not cursor.has_more),
            before=before,
        )

    def log_end(self) -> None:
        """Emit an event, at the end, if the list moved, or if fewer records came than the server reports."""
        progress, drift = self._progress, self.drift
        if drift.moved or self._is_short:
            short = f"{progress.received} records of {progress.total} came, by an unexpected end: {progress.stopped_by}"
            what = f"the list moved while it was walked ({drift!s:.500})" if drift.moved else short
            emit_drift(self._events, self.start.listed, what)

    def release(self) -> None:
        """Cancel the fetches that nobody waits for; keep the pages that have arrived."""
        self._prefetcher.tasks.release()

    async def aclose(self) -> None:
        """Cancel all fetches, wait until they have ended, and drop the pages that have arrived."""
        await self._prefetcher.tasks.aclose()


def emit_drift(events: Emitter, listed: str, what: str) -> None:
    """Emit that a walk has ended, and records may be missing."""
    from alohub_async.events import DriftNoticed  # most walks notice nothing

    events(DriftNoticed(listed=listed, what=what, **whose([events])))
