"""Walking a list again until it is proven whole, although it moves.

Pages are counted by position, so a record that is added or removed while a list is walked shifts all behind it: one may
be passed over, or come twice. No way of fetching such pages shows it for certain within one walk.

What proves a walk whole: it brought as many different ids as the list had when the walk began, and every one of them
was known before it began. For then each of them was in the list at that moment (an id is not given twice, so what was
there before and after was there in between), and there were no more. Where the total is not told, or counts records
that are not shown, two walks that saw nothing move and brought the same ids must do.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import attrs

from alohub_async.pagination.page import Drift, Enrich, Estimate, Fetch, FetchedPage
from alohub_async.pagination.pager import Forecast, Pager
from alohub_async.pagination.passes import settle
from alohub_async.pagination.prefetch import Prefetcher
from alohub_async.pagination.progress import PageProgress
from alohub_async.pagination.token import PageToken

T = TypeVar("T")

SortKey = tuple[int, int | str]

_logger = logging.getLogger("alohub_async")


def sort_key(key: Hashable) -> SortKey:
    """By id: numbers, then strings, then records without one."""
    if isinstance(key, int):
        return 0, key
    return (1, key) if isinstance(key, str) else (2, repr(key))


@attrs.define
class _Pass:
    """What one walk over the list brought."""

    ids: set[Hashable] = attrs.field(factory=set[Hashable])
    duplicates: int = 0
    totals: dict[int, int] = attrs.field(factory=dict[int, int])  # by page
    shifted: set[int] = attrs.field(factory=set[int])  # pages that brought duplicates

    @property
    def moved(self) -> bool:
        return self.duplicates > 0 or len({*self.totals.values()}) > 1

    def suspects(self) -> list[int]:
        """Pages at whose edges the list was seen to shift: what was passed over is on one of them."""
        edges = [
            number for number, total in self.totals.items() if number and self.totals.get(number - 1, total) != total
        ]
        pages = {*self.shifted, *edges}
        return sorted({number for page in pages for number in (page - 1, page) if number >= 0})


class _Gathering(Generic[T]):
    """Gathers a whole list, in as many walks as it takes; goes on after an error where it was.

    Attributes:
        records: What was last seen of each record, by its key.
        drift: What was noticed.
        total: The latest total.
        stream: The walk at hand.
    """

    def __init__(self, new_stream: Callable[[], Prefetcher[T]], *, max_passes: int, listed: str) -> None:
        self.records: dict[Hashable, T] = {}
        self.drift: Drift = Drift()
        self.total: int | None = None
        self.stream: Prefetcher[T] = new_stream()
        self._new_stream = new_stream
        self._max_passes = max_passes
        self._listed = listed
        self._known: set[Hashable] = set()  # before the pass at hand
        self._before: _Pass | None = None
        self._now = _Pass()
        self._suspects: list[int] | None = None  # pages to fetch again at the end of the pass

    async def gather(self) -> None:
        """Fetch until the list is proven whole, or was walked often enough."""
        while self.drift.settled is None:
            while await self.step():
                pass
            await self._refetch()
            self._conclude()

    async def step(self) -> bool:
        """Fetch a page; False at the end of the pass."""
        arrived = await self.stream.next()
        self.total = self.stream.walk.total
        if arrived is None:
            return False
        number, page, _ = arrived
        now = self._now
        duplicates = sum(key in now.ids for key in page.keys if isinstance(key, int | str))
        if duplicates:
            now.duplicates += duplicates
            now.shifted.add(number)
        now.ids.update(page.keys)
        totals = self.drift.totals
        if page.total is not None:
            now.totals[number] = page.total
            totals = totals if totals[-1:] == (page.total,) else (*totals, page.total)
        self.drift = attrs.evolve(self.drift, totals=totals, duplicates=self.drift.duplicates + duplicates)
        self._keep(page)
        return True

    def _keep(self, page: FetchedPage[T]) -> None:
        for index, key in enumerate(page.keys):
            if index in page.gone:
                self.drift = attrs.evolve(self.drift, gone=self.drift.gone + 1)
            else:
                self.records[key] = page.items[index]

    async def _refetch(self) -> None:
        """Fetch the pages again at whose edges the list was seen to shift: it saves a whole walk."""
        if self._suspects is None:
            self._suspects = self._now.suspects()
        while self._suspects:
            self._keep(await self.stream.fetch(self._suspects[-1]))
            self._suspects.pop()
            self.drift = attrs.evolve(self.drift, refetched=self.drift.refetched + 1)

    def _conclude(self) -> None:
        now, before = self._now, self._before
        repeated = self.stream.walk.repeated
        now.duplicates += repeated
        passes = self.drift.passes + 1
        settled = settle(
            different=len(now.ids),
            first_total=self.stream.walk.first_total,
            all_known=now.ids <= self._known,
            agreed=before is not None and now.ids == before.ids and not now.moved and not before.moved,
            passes=passes,
            max_passes=self._max_passes,
        )
        duplicates = self.drift.duplicates + repeated
        self.drift = attrs.evolve(self.drift, passes=passes, settled=settled, duplicates=duplicates)
        if settled is None:
            self._before, self._now, self._known = now, _Pass(), {*self._known, *now.ids, *self.records}
            self.stream, self._suspects = self._new_stream(), None
        elif not settled:
            _logger.warning(
                "%s moved during each of %d walks: what was seen is handed out, and may not be all",
                self._listed,
                passes,
            )


class RepairingPager(Pager[T]):
    """A pager that gathers the whole list before it hands out the first record, and walks it until it is whole.

    Records are handed out by id (a list that moves has no order of its own), as they were seen last. A token says which
    id was last: going on gathers anew, and leaves out what is not behind it.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        start: PageToken,
        *,
        enrich: Enrich[T] | None = None,
        prefetch: int = 0,
        max_passes: int = 5,
        forecast: Forecast | None = None,
    ) -> None:
        """As for `Pager`.

        Args:
            fetch: Fetches a page.
            start: Where to start.
            enrich: Completes a page; None if it is complete.
            prefetch: Most pages under way at once.
            max_passes: Most walks over the list.
            forecast: Says what pages take.
        """
        super().__init__(fetch, start, forecast=forecast)

        def new_stream() -> Prefetcher[T]:
            return Prefetcher(fetch, PageProgress(size=start.asked), enrich=enrich, prefetch=prefetch, ordered=False)

        self._gathering = _Gathering(new_stream, max_passes=max_passes, listed=start.listed)
        self._stream = self._gathering.stream
        self._keys: list[Hashable] | None = None  # in the order in which they are handed out
        self._after = start.after
        self._pages_out = 0  # and at hand

    @property
    def total(self) -> int | None:
        """Records in the whole list, as last told; None before the first page, or if the server does not tell."""
        return self._gathering.total

    @property
    def drift(self) -> Drift:
        """What was noticed of the list moving, and whether the walks settled it."""
        return self._gathering.drift

    @property
    def complete(self) -> bool:
        """Whether the last walk proved that nothing is missing."""
        return self.drift.settled is True

    def _make_token(self) -> PageToken:
        after = self._after
        if self._hand.page is not None and self._hand.index:
            after = sort_key(self._hand.page.keys[self._hand.index - 1])
        start = self._start
        return attrs.evolve(start, after=after, done=self._exhausted or (self._is_last() and not self._hand.has_more))

    def _is_last(self) -> bool:
        return self._keys is not None and self._pages_out * self._start.asked >= len(self._keys)

    async def count(self) -> int | None:
        """Records in the whole list, as the server last told; None if it does not tell.

        Fetches the first page if no page told so far.
        """
        if self.total is None and self._keys is None and not self._exhausted:
            await self._alone(self._gathering.step)
            self.release()
        return self.total

    async def estimate(self) -> Estimate | None:
        """What is left of two walks, the least there can be; None if the server does not tell how long the list is."""
        total = await self.count()
        if total is None:
            return None
        walk = self._stream.walk
        pages = 0 if self._keys is not None or walk.stopped_by else self._stream.requests_left(total)
        again = -(-total // walk.size) if self._keys is None and self.drift.passes == 0 else 0
        return self._forecast(pages + again, min(pages * walk.size, total) + (total if again else 0))

    async def _load(self) -> bool:
        return await self._alone(self._load_next)

    async def _alone(self, work: Callable[[], Awaitable[bool]]) -> bool:
        """Do it as `Pager._load` loads, alone."""
        async with self._lock:
            try:
                return await work()
            except BaseException as error:
                self._failed(error)
                raise

    async def _load_next(self) -> bool:
        if self._hand.has_more:
            return True  # another task fetched it
        if self._exhausted:
            return False
        gathered = self._gathering
        if self._keys is None:
            try:
                await gathered.gather()
            finally:
                self._stream = gathered.stream
            keys: list[Hashable] = sorted(gathered.records, key=sort_key)
            after = self._after
            self._keys = keys if after is None else [key for key in keys if sort_key(key) > after]
        if self._hand.page is not None:
            self._after = sort_key(self._hand.page.keys[-1])
        size, number = self._start.asked, self._pages_out
        chunk = self._keys[number * size : (number + 1) * size]
        if chunk:
            page = FetchedPage([gathered.records[key] for key in chunk], chunk, self.total)
            self._hand.put(number, page, frozenset())
            self._pages_out += 1
        else:
            self._hand.drop(number)
        self._exhausted = not chunk
        return not self._exhausted
