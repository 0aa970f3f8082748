"""`Pager`, the user's view of a walk: records, pages, tokens, and the signs that a list moves.

A pager is a class, not an async generator. After a failed page it keeps its position, and the next `async for` tries
that page again. A generator would be finished: its next `anext` would end quietly, with the rest of the list missing.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from alohub_async import pagination  # imports the source of repairs when it is first used
from alohub_async.background_tasks import DroppableIterator
from alohub_async.errors import AlohubError, PageDriftError
from alohub_async.pagination.cursor import PageCursor
from alohub_async.pagination.page import Drift, Estimate, Forecast, Page, StopReason
from alohub_async.pagination.walking import WalkingSource
from alohub_async.plurals import counted

T = TypeVar("T")


def _refuse(what: str) -> Callable[[object], NoReturn]:
    def refuse(_: object) -> NoReturn:
        raise TypeError(f"cannot {what}")

    return refuse


class Pager(AsyncIterable[T]):
    """Walks a list: `async for` iterates over its records, `pages()` over its pages.

    No request is sent before the first step. A pager is one walk: after `break` or an error, the next step continues
    at the same position (a page that failed is tried again). Once exhausted, a pager stays exhausted. Pages are fetched
    ahead only while a loop over the pager runs: leaving the loop, in any way, cancels the requests in flight.
    """

    def __init__(
        self,
        source: "WalkingSource[T] | pagination.RepairingSource[T]",
        *,
        strict: bool = False,
        forecast: Forecast | None = None,
    ) -> None:
        """Created by `list_inbound` and `paginate`; with `strict`, the first sign that the list moved is an error."""
        self._source = source
        self._strict = strict
        self._forecast = forecast  # None if there are no limits
        self._cursor = PageCursor[T](source.start.at, source.start.index)
        self._signs = 0  # of movement, those that were raised already
        self._exhausted = source.start.done
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        if not hasattr(self, "_lock"):
            return "<Pager>"  # only half made
        cursor, total = self._cursor, self.total
        at = "at the end" if self._exhausted else f"at record {cursor.index} of page {cursor.number}"
        whole = "" if total is None else f"; {counted(total, 'record')} in all"
        started = whole or self._exhausted or cursor.number or cursor.index
        return f"<Pager of {self._source.start.listed}: {f'{at}{whole}' if started else 'not started'}>"

    if not TYPE_CHECKING:  # type checkers refuse these by themselves
        __await__ = _refuse("await a pager; write `async for record in pager`, or `await pager.collect()`")
        __iter__ = _refuse("iterate over a pager without `async`; write `async for record in pager`")
        __len__ = _refuse("take the length of a pager, which has to ask the server; write `await pager.count()`")

        def __bool__(self) -> bool:  # otherwise by its length
            return True

    # The position

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the walk ended; None while it has not."""
        return self._source.stopped_by

    @property
    def total(self) -> int | None:
        """Records in the whole list, as reported last; None before the first page, or if the server does not say."""
        return self._source.total

    @property
    def drift(self) -> Drift:
        """The signs that the list moved during this walk."""
        return self._source.drift

    @property
    def complete(self) -> bool:
        """Whether the walk has ended with the whole list, as far as is known.

        That is: as many records came as the server reports, if it does, and there is no sign that the list moved; or,
        with `consistency="repair"`, the last pass proved it.
        """
        return self._source.complete

    @property
    def token(self) -> str:
        """The position of this walk, as a string; `list_inbound(token=…)` resumes there.

        It points behind the record returned last. So store it after you have processed that record, not before.
        """
        return self._source.token(self._cursor, done=self._exhausted).encode()

    # Ways to walk

    def __aiter__(self) -> AsyncIterator[T]:
        return _Records(self, self._cursor, self._load)

    async def __anext__(self) -> T:
        while True:
            for item in self._cursor.rest:
                return item
            if not await self._load():
                raise StopAsyncIteration

    def pages(self) -> AsyncIterator[Page[T]]:
        """Iterate over the rest of the walk by page, beginning with the rest of the current page, if there is any."""
        return DroppableIterator(self._next_page, self.release)

    async def collect(self) -> list[T]:
        """Return the rest of the walk as a list."""
        items: list[T] = []
        async for page in self.pages():
            items += page.items
        return items

    async def first(self) -> T | None:
        """Return the next record, or None if there is none. `async for` continues behind it."""
        async for item in self:
            return item
        return None

    async def count(self) -> int | None:
        """Return the number of records in the whole list, as reported last; None if the server does not say.

        If no page has reported it so far, a page is fetched. The walk uses that page afterwards.
        """
        if self.total is None and self._cursor.page is None and not self._exhausted:
            await self._load(look=True)
            self.release()
        return self.total

    async def estimate(self) -> Estimate | None:
        """Return what the rest of the walk costs; None if the server does not report the length of the list.

        If no page has reported it so far, a page is fetched, as by `count`.
        """
        total = await self.count()
        if total is None:
            return None
        pages, records = (0, 0) if self._exhausted else self._source.remaining(total)
        return self._forecast(pages, records) if self._forecast else Estimate(pages, 0.0)

    async def next_page(self) -> Page[T] | None:
        """Return the rest of the current page, or the next page with new records, or None at the end."""
        while True:
            items = tuple(self._cursor.rest)
            if items:
                return Page(items, self._cursor.number, self._source.size, self.total)
            if not await self._load():
                return None

    async def _next_page(self) -> Page[T]:
        page = await self.next_page()
        if page is None:
            raise StopAsyncIteration
        return page

    # Between two steps

    def release(self) -> None:
        """Cancel the pages in flight that nobody waits for; keep those that have arrived.

        Leaving a loop over the pager does this. The walk can be continued afterwards.
        """
        self._source.release()

    async def aclose(self) -> None:
        """Cancel the pages in flight, wait until they have ended, and drop those that have arrived.

        The walk can be continued afterwards: the pages are fetched again.
        """
        await self._source.aclose()

    async def _load(self, *, look: bool = False) -> bool:
        """Load the next page, or with `look` any, to know the total; False at the end. Errors keep the position."""
        source, cursor = self._source, self._cursor
        await self._lock.acquire()
        try:
            if not cursor.unload():
                return True  # another task loaded a page while this one waited for the lock
            if self._exhausted:
                return False
            loaded = await (source.look() if look else source.next())
            if loaded is not None:
                cursor.load(*loaded)
            if self._strict:
                self._raise_if_moved()
            if loaded is None and not look:
                self._exhausted = True
                source.log_end()
        except BaseException as error:
            self.release()
            if isinstance(error, AlohubError):
                error.resume_token = self.token
            raise
        else:
            return loaded is not None
        finally:
            self._lock.release()

    def _raise_if_moved(self) -> None:
        """Raise an error if there are more signs of movement than before."""
        drift = self.drift
        signs = drift.duplicates + drift.gone + max(0, len(drift.totals) - 1)
        if signs == self._signs:
            return
        self._signs = signs
        message = (
            f"the list {self._source.start.listed} moved while it was walked ({drift!s:.500}); records may be missing:"
            ' walk it again, or with consistency="repair"; the token continues nevertheless'
        )
        raise PageDriftError(message, duplicates=drift.duplicates, totals=drift.totals)


class _Records(AsyncIterator[T]):
    """Iterator over the records, which cancels prefetching when it is dropped."""

    __slots__ = ("_cursor", "_load", "_pager")

    def __init__(self, pager: Pager[T], cursor: PageCursor[T], load: Callable[[], Awaitable[bool]]) -> None:
        self._pager, self._cursor, self._load = pager, cursor, load

    async def __anext__(self) -> T:  # the same as the pager's, copied: this saves a call for each record
        while True:
            for item in self._cursor.rest:
                return item
            if not await self._load():
                raise StopAsyncIteration

    def __del__(self) -> None:
        self._pager.release()
