"""`Pager`, what users see of a walk: records, pages, tokens, and what is known of a list that moves.

A pager is a class, not an async generator, so that a failed page leaves it where it was and the next `async for` tries
that page again; a generator would be dead, and its next `anext` would end quietly with the rest of the list missing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias, TypeVar

from alohub_async.errors import AlohubError, PageDriftError
from alohub_async.pagination.cursor import PageCursor
from alohub_async.pagination.page import Arrival, Drift, Enrich, Estimate, Fetch, Page, StopReason
from alohub_async.pagination.prefetch import Prefetcher
from alohub_async.pagination.progress import PageProgress
from alohub_async.pagination.seen_keys import KeySet
from alohub_async.pagination.token import PageToken, as_runs

T = TypeVar("T")

Forecast: TypeAlias = Callable[[int, int], Estimate]
"""What so many pages, of so many records together, take."""

_logger = logging.getLogger("alohub_async")


class Pager(AsyncIterator[T]):
    """Walks a list: `async for` over its records, `pages()` over its pages.

    Nothing is sent before the first step. A pager is one walk: after `break` or an error, going on goes on where it was
    (a page that failed is tried again), and once exhausted it stays exhausted. Pages are fetched ahead only as long as
    a loop over the pager runs: leaving it, in whatever way, cancels what is under way.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        start: PageToken,
        *,
        enrich: Enrich[T] | None = None,
        prefetch: int = 0,
        ordered: bool = True,
        strict: bool = False,
        forecast: Forecast | None = None,
        let_go: Callable[[object], object] | None = None,
    ) -> None:
        """Made by `list_inbound` and `paginate`.

        Args:
            fetch: Fetches a page.
            start: Where to start.
            enrich: Completes a page; None if it is complete.
            prefetch: Most pages under way or in memory; 0 fetches each when it is asked for.
            ordered: Whether pages come in order, or as they arrive.
            strict: Whether to raise when the list is seen to move.
            forecast: Says what pages take; None knows of no limits.
            let_go: Given each page that is done, to free its memory when there is time; None frees it at once.
        """
        self._start = start
        walk = PageProgress(
            size=start.size,
            base=start.page,
            beyond=frozenset(start.pages_beyond()),
            received=start.received,
            total=start.total,
            before=start.before,
        )
        self._stream = Prefetcher(fetch, walk, enrich=enrich, prefetch=prefetch, ordered=ordered, first=start.at)
        self._strict = strict
        self._forecast: Forecast = forecast or _without_limits
        self._let_go = let_go
        self._hand = PageCursor[T](start.at, start.index)
        self._seen = KeySet()
        self._duplicates = 0
        self._gone = 0
        self._exhausted = start.done
        self._lock = asyncio.Lock()

    # Where it stands

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the walk ended; None while it has not."""
        return self._stream.walk.stopped_by

    @property
    def total(self) -> int | None:
        """Records in the whole list, as last told; None before any page told it, or if the server does not."""
        return self._stream.walk.total

    @property
    def drift(self) -> Drift:
        """What this walk has noticed of the list moving under it."""
        walk = self._stream.walk
        return Drift(
            duplicates=self._duplicates + walk.repeated,
            totals=tuple(walk.totals),
            gone=self._gone,
            passes=int(walk.stopped_by is not None),
        )

    @property
    def complete(self) -> bool:
        """Whether the walk has ended with the whole list, as far as can be told.

        That is: as many records came as the server tells of (or it tells nothing), and nothing was seen to move; with
        `consistency="repair"`, that the last walk proved it.
        """
        walk = self._stream.walk
        short = walk.total is not None and walk.received < walk.total
        return walk.stopped_by is not None and not short and not self.drift.moved

    @property
    def token(self) -> str:
        """Where this walk stands, as a string; `list_inbound(token=…)` goes on there.

        It points behind the record handed out last. So store it when you are done with that record, not before.
        """
        return self._make_token().encode()

    def _make_token(self) -> PageToken:
        walk, page, at, index = self._stream.walk, self._hand.page, self._hand.number, self._hand.index
        base, beyond, received, before = walk.base, {*walk.beyond}, walk.received, walk.latest
        if page is not None and self._hand.has_more:
            beyond = (beyond | {*range(at + 1, base)}) - {at}
            base, received, before = min(base, at), received - len(page.keys), walk.before
        elif page is not None or at < base or at in beyond:
            at, index = base, 0
        return PageToken(
            listed=self._start.listed,
            page=base,
            beyond=as_runs(beyond),
            at=at,
            index=index,
            size=walk.size,
            asked=self._start.asked,
            received=received,
            total=walk.total,
            done=self._exhausted or (walk.stopped_by is not None and not self._hand.has_more),
            before="" if beyond else before,
        )

    # Ways to walk

    def __aiter__(self) -> AsyncIterator[T]:  # noqa: PYI034  (another one, whose end is the loop's)
        return _Records(self, self._hand, self._load)

    async def __anext__(self) -> T:
        while True:
            for item in self._hand.rest:
                return item
            if not await self._load():
                raise StopAsyncIteration

    def pages(self) -> AsyncIterator[Page[T]]:
        """The rest of the walk, page by page; the first is what is left of the page at hand, if any is."""
        return _Pages(self)

    async def collect(self) -> list[T]:
        """The rest of the walk as a list."""
        items: list[T] = []
        async for page in self.pages():
            items += page.items
        return items

    async def first(self) -> T | None:
        """The next record, or None if there is none. It is handed out: `async for` goes on behind it."""
        async for item in self:
            return item
        return None

    async def count(self) -> int | None:
        """Records in the whole list, as the server last told; None if it does not tell.

        Fetches the next page if no page told so far; that page is kept for the walk.
        """
        if self.total is None and self._hand.page is None and not self._exhausted:
            await self._load()
            self.release()
        return self.total

    async def estimate(self) -> Estimate | None:
        """What the rest of the walk takes; None if the server does not tell how long the list is.

        Fetches the next page if no page told so far, as `count` does.
        """
        total = await self.count()
        if total is None:
            return None
        walk = self._stream.walk
        pages = 0 if self._exhausted or walk.stopped_by else self._stream.requests_left(total)
        return self._forecast(pages, min(pages * walk.size, max(0, total - walk.received)))

    async def next_page(self) -> Page[T] | None:
        """What is left of the page at hand, or the next page with anything on it, or None at the end."""
        while True:
            items = tuple(self._hand.rest)
            if items:
                return Page(items, self._hand.number, self._stream.walk.size, self.total)
            if not await self._load():
                return None

    # Between two steps

    def release(self) -> None:
        """Cancel what is fetched ahead, unless somebody waits for it; what came already is kept.

        Leaving a loop over the pager does this. Going on afterwards is fine.
        """
        self._stream.release()

    async def aclose(self) -> None:
        """Cancel what is fetched ahead, wait until it is gone, and let go of the pages that came.

        Going on afterwards is fine: they are fetched again.
        """
        await self._stream.aclose()

    async def _load(self) -> bool:
        """Have the next page at hand; False at the end. What was reached changes only after success."""
        hand = self._hand
        await self._lock.acquire()
        try:
            if hand.has_more:
                return True  # another task fetched it while this one waited for the lock
            if self._exhausted:
                return False
            if hand.page is not None:  # at most so many pages are in memory, and this one is done
                done = hand.drop(self._stream.walk.base)
                if self._let_go is not None and self._stream.walk.stopped_by is None:
                    self._let_go(done)
                del done
            noticed = self._noticed() if self._strict else 0
            arrived = await self._stream.next()
            if arrived is not None:
                self._take(arrived)
            if self._strict:
                self._raise_if_more(noticed)
            if arrived is None:
                self._finish()
        except BaseException as error:
            self._failed(error)
            raise
        else:
            return arrived is not None
        finally:
            self._lock.release()

    def _take(self, arrived: Arrival[T]) -> None:
        """Have this page at hand."""
        number, page, gaps = arrived
        skipped = self._seen.add_all(page.keys, gaps)
        if skipped or page.gone:
            self._duplicates += len(skipped)
            self._gone += len(page.gone)
            skipped |= page.gone
        self._hand.put(number, page, skipped)

    def _failed(self, error: BaseException) -> None:
        """Let go of what is ahead, and tell where to go on."""
        self.release()
        if isinstance(error, AlohubError):
            error.resume_token = self.token

    def _noticed(self) -> int:
        """How often the list was seen to move."""
        walk = self._stream.walk
        return self._duplicates + self._gone + walk.repeated + max(0, len(walk.totals) - 1)

    def _raise_if_more(self, noticed: int) -> None:
        """Raise if the list was seen to move more often than that."""
        if self._noticed() == noticed:
            return
        drift = self.drift
        raise PageDriftError(
            f"the list {self._start.listed} moved while it was walked ({drift}); records may be missing: walk it again,"
            ' or with consistency="repair"; the token goes on all the same',
            duplicates=drift.duplicates,
            totals=drift.totals,
        )

    def _finish(self) -> None:
        self._exhausted = True
        walk, drift = self._stream.walk, self.drift
        if drift.moved:
            _logger.warning(
                "the list %s moved while it was walked (%s); records may be missing", self._start.listed, drift
            )
        elif walk.total is not None and walk.received < walk.total:
            _logger.warning(
                "the walk over %s ended with %d records of %d, by an unexpected end: %s",
                self._start.listed,
                walk.received,
                walk.total,
                walk.stopped_by,
            )


def _without_limits(pages: int, _: int) -> Estimate:
    return Estimate(pages, 0.0)


class _Records(AsyncIterator[T]):
    """A loop over the records. It is there as long as the loop is, so when it goes, nothing is wanted any more."""

    __slots__ = ("_hand", "_load", "_pager")

    def __init__(self, pager: Pager[T], hand: PageCursor[T], load: Callable[[], Awaitable[bool]]) -> None:
        self._pager = pager
        self._hand = hand
        self._load = load

    def __aiter__(self) -> "_Records[T]":
        return self

    async def __anext__(self) -> T:  # the pager's own once more, which saves a call for every record
        while True:
            for item in self._hand.rest:
                return item
            if not await self._load():
                raise StopAsyncIteration

    def __del__(self) -> None:
        self._pager.release()


class _Pages(AsyncIterator[Page[T]]):
    """A loop over the pages, likewise."""

    def __init__(self, pager: Pager[T]) -> None:
        self._pager = pager

    def __aiter__(self) -> "_Pages[T]":
        return self

    async def __anext__(self) -> Page[T]:
        page = await self._pager.next_page()
        if page is None:
            raise StopAsyncIteration
        return page

    def __del__(self) -> None:
        self._pager.release()
