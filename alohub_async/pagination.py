"""Walking a list page by page: what was handed out, what comes next, when it ends.

`Walk` is the arithmetic and has no await; `Pager` adds the fetching. A pager is a class, not an async generator, so
that a failed page leaves it where it was and the next `async for` tries that page again; a generator would be dead, and
its next `anext` would end quietly with the rest of the list missing.

When does a list end? The API tells a total on each page, so the walk goes on until that many records came, as the
latest page tells it. A short or an empty page is no end: the server may cap the page size, and may leave out what the
key must not see. Only where the total says nothing more, or there is none, does an empty page end the walk, or one that
was there before (some servers answer past the end with the last page again).
"""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

import attrs

from alohub_async.errors import AlohubError, APIResponseError, InvalidArgumentError, InvalidArgumentTypeError

T = TypeVar("T")

StopReason: TypeAlias = Literal["total", "empty page", "repeated page"]
"""Why a walk ended: as many records came as the total says; or a page was empty, or was there before, and the total
said
nothing more or was never told."""

MAX_PAGE_SIZE: Final = 10_000
"""Ours, against typing errors: the API does not tell its own, and a server that caps the size is handled."""

_logger = logging.getLogger("alohub_async")

_MAX_BARREN_PAGES: Final = 10  # pages in a row without a new record, while the total says more
_MAX_PAGES: Final = 1_000_000  # a server that never stops sending pages


@attrs.frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Its records, without those that the page before held already.
        number: Counted from 0, in pages of `size`.
        size: Records a full page has: as asked, or as the server caps it.
        total: Records in the whole list as this page, or the last one that did, tells it; None if none did.
    """

    items: tuple[T, ...]
    number: int
    size: int
    total: int | None


@attrs.frozen
class FetchedPage(Generic[T]):
    """What a fetch brings.

    Attributes:
        items: The records of the page.
        keys: What each of them is known by.
        total: The total, if the answer tells it.
    """

    items: Sequence[T]
    keys: Sequence[Hashable]
    total: int | None


Fetch: TypeAlias = Callable[[int, int], Awaitable[FetchedPage[T]]]
"""Fetches a page by its number, counted from 0, and size. Its errors leave the walk where it was."""


@attrs.frozen(kw_only=True)
class PageToken:
    """Where a walk stands; `encode` makes the string that users keep.

    Attributes:
        listed: What is listed; a token of another list is refused.
        page: The page of the next record, counted from 0.
        index: The next record's place in that page, counted from 0.
        size: Records a page.
        asked: Records a page as the user asked; the server may have made another size of it.
        received: Records in the pages before `page`.
        done: Whether the walk has ended.
        before: Fingerprint of the page before `page`, so that going on knows a server that sends it again; "" if none.
    """

    listed: str
    page: int
    index: int
    size: int
    asked: int
    received: int
    done: bool
    before: str

    def encode(self) -> str:
        """One string of letters, digits, `-` and `_`."""
        text = json.dumps([1, *attrs.astuple(self)], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, token: object, *, listed: str) -> "PageToken":
        """Read what `encode` made.

        Raises:
            InvalidArgumentError: It is no token, or one of another list.
        """
        if not isinstance(token, str):
            raise InvalidArgumentTypeError(f"token must be a string that pager.token gave; {token!r} was given")
        try:
            version, *values = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            names = [field.name for field in attrs.fields(cls)]
            found = cls(**dict(zip(names, values, strict=True)))
            numbers = (found.page, found.index, found.received, found.size - 1, found.asked - 1)
            sound = (
                version == 1
                and all(type(n) is int and n >= 0 for n in numbers)
                and (type(found.size), type(found.asked)) == (int, int)
                and (type(found.done), type(found.before)) == (bool, str)
            )
        except (ValueError, TypeError, RecursionError):
            sound = False
            found = None
        if found is None or not sound:
            raise InvalidArgumentError(f"token must be a string that pager.token gave; {token!r} was given")
        if found.listed != listed:
            raise InvalidArgumentError(f"the token is of another list: {found.listed!r}, not {listed!r}")
        return found


def _fingerprint(keys: Sequence[Hashable]) -> str:
    # Of their spelling: hash() takes -1 and -2 for one, and is another in the next process, where a token may go on.
    return hashlib.blake2b(repr(tuple(keys)).encode(), digest_size=8).hexdigest()


class Walk:
    """The arithmetic of a walk: which page is next, and whether there is one.

    Attributes:
        number: The page that is fetched next, or being handed out.
        size: Records a page.
        received: Records of all pages that came, before any is left out as a duplicate.
        total: The latest total; None if unknown.
        stopped_by: Why the walk ended; None while it has not.
        latest: Fingerprint of the last page that brought something; "" if none did.
        before: Fingerprint of the one before that.
    """

    def __init__(self, *, number: int, size: int, received: int, before: str = "") -> None:
        self.number: int = number
        self.size: int = size
        self.received: int = received
        self.total: int | None = None
        self.stopped_by: StopReason | None = None
        self.latest: str = before
        self.before: str = ""
        self._barren = 0
        self._seen: set[str] = {before} - {""}

    def looks_capped(self, count: int, total: int | None) -> bool:
        """Whether a page is the first, and short, while the total says more: the server may cap the size.

        Args:
            count: Its records.
            total: The total it tells.
        """
        return self.number == 0 and 0 < count < self.size and total is not None and count < total

    def arrive(self, keys: Sequence[Hashable], total: int | None, *, capped: bool = False) -> bool:
        """Take account of page `number`; False if it brings nothing new.

        Args:
            keys: What its records are known by.
            total: The total it tells.
            capped: Whether the server was found to cap the size.

        Raises:
            APIResponseError: The server cannot be walked: it repeats a page where another must be, or promises more and
                more. The walk stays where it was.
        """
        count = len(keys)
        start = self.number * self.size
        if total is not None:
            # A total below what the very same page holds is not a total: go on until a page is empty.
            self.total = None if count and total < start + count <= start + self.size else total
        fingerprint = _fingerprint(keys)
        repeated = count > 0 and fingerprint in self._seen
        if count == 0 or repeated:
            self._arrive_barren(repeated=repeated)
            return False
        if self.number == 0 and (capped or count > self.size or self.total is None):
            # The first page tells what the server makes of the size. Asking for just that from now on gives the same
            # pages whether the server counts them in its own size or in ours.
            self.size = count
        self._seen.add(fingerprint)
        self.before, self.latest = self.latest, fingerprint
        self._barren = 0
        self.received += count
        if self.total is not None and self.received >= self.total:
            self.stopped_by = "total"
        return True

    def _arrive_barren(self, *, repeated: bool) -> None:
        total, what = self.total, "repeats an earlier page" if repeated else "is empty"
        if total is None or self.number * self.size >= total:
            self.stopped_by = "repeated page" if repeated else "empty page"
            return
        self._barren += 1
        whole = (self.number + 1) * self.size <= total
        if (repeated and whole) or self._barren >= _MAX_BARREN_PAGES or self.number >= _MAX_PAGES:
            self._barren = 0
            raise APIResponseError(
                f"page {self.number} {what}, although {self.received} records came and the server tells of {total};"
                " the rest of the list cannot be had this way",
                status=200,
            )

    def advance(self) -> None:
        """Go to the next page.

        Raises:
            APIResponseError: There have been more pages than any list has.
        """
        if self.number + 1 >= _MAX_PAGES:
            raise APIResponseError(f"the list has not ended after {_MAX_PAGES} pages; giving up", status=200)
        self.number += 1


class Pager(AsyncIterator[T]):
    """Walks a list: `async for` over its records, `pages()` over its pages.

    Nothing is sent before the first step. A pager is one walk: after `break` or an error, going on goes on where it was
    (a page that failed is tried again), and once exhausted it stays exhausted.
    """

    def __init__(
        self,
        fetch: Fetch[T],
        *,
        listed: str,
        page_size: int,
        unique: bool,
        token: PageToken | None = None,
    ) -> None:
        """Made by `list_inbound` and `paginate`.

        Args:
            fetch: Fetches a page.
            listed: What is listed, for the token.
            page_size: Records a page.
            unique: Whether no two records have one key, so that a key of the page before means a record seen already.
            token: Where to start; overrules `page_size`.
        """
        self._fetch = fetch
        self._listed = listed
        self._asked = token.asked if token else page_size
        self._unique = unique
        self._walk = Walk(
            number=token.page if token else 0,
            size=token.size if token else page_size,
            received=token.received if token else 0,
            before=token.before if token else "",
        )
        self._index = token.index if token else 0  # of the next record in the page at hand, or in the page to come
        self._page: FetchedPage[T] | None = None  # the page at hand
        self._before: frozenset[Hashable] = frozenset()  # keys of the page before it
        self._exhausted = token is not None and token.done
        self._lock = asyncio.Lock()

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the walk ended; None while it has not."""
        return self._walk.stopped_by

    @property
    def total(self) -> int | None:
        """Records in the whole list, as last told; None before the first page, or if the server does not tell."""
        return self._walk.total

    @property
    def token(self) -> str:
        """Where this walk stands, as a string; `list_inbound(token=…)` goes on there.

        It points behind the record handed out last. So store it when you are done with that record, not before.
        """
        walk, page = self._walk, self._page
        number, index, received, done, before = walk.number, self._index, walk.received, self._exhausted, walk.latest
        if page is not None and index < len(page.items):
            received, before = received - len(page.items), walk.before
        elif page is not None:
            number, index, done = number + 1, 0, walk.stopped_by is not None
        token = PageToken(
            listed=self._listed,
            page=number,
            index=index,
            size=walk.size,
            asked=self._asked,
            received=received,
            done=done,
            before=before,
        )
        return token.encode()

    def __aiter__(self) -> "Pager[T]":
        return self

    async def __anext__(self) -> T:
        while True:
            page = self._page
            if page is not None and (index := self._index) < len(page.items):
                self._index = index + 1
                if not self._before or page.keys[index] not in self._before:
                    return page.items[index]
                continue
            page = None  # only one page at a time is in memory, so not this one while the next is fetched
            if not await self._load():
                raise StopAsyncIteration

    def pages(self) -> AsyncIterator[Page[T]]:
        """The rest of the walk, page by page; the first is what is left of the page at hand, if any is."""
        return _Pages(self)

    async def collect(self) -> list[T]:
        """The rest of the walk as a list."""
        return [item async for page in self.pages() for item in page.items]

    async def first(self) -> T | None:
        """The next record, or None if there is none. It is handed out: `async for` goes on behind it."""
        return await anext(self, None)

    async def count(self) -> int | None:
        """Records in the whole list, as the server last told; None if it does not tell.

        Fetches the next page if no page told so far; that page is kept for the walk.
        """
        if self.total is None and self._page is None and not self._exhausted:
            await self._load()
        return self.total

    async def next_page(self) -> Page[T] | None:
        """What is left of the page at hand, or the next page with anything on it, or None at the end."""
        while True:
            page = self._page
            if page is not None and self._index < len(page.items):
                rest = range(self._index, len(page.items))
                self._index = len(page.items)
                fresh = tuple(page.items[i] for i in rest if page.keys[i] not in self._before)
                if fresh:
                    return Page(fresh, self._walk.number, self._walk.size, self._walk.total)
                continue
            page = None  # as in __anext__
            if not await self._load():
                return None

    async def _load(self) -> bool:
        """Fetch the next page; False at the end. What was reached changes only after success."""
        async with self._lock:
            if self._page is not None and self._index < len(self._page.items):
                return True  # another task fetched it while this one waited for the lock
            try:
                return await self._load_next()
            except AlohubError as error:
                error.resume_token = self.token
                raise

    async def _load_next(self) -> bool:
        walk, page = self._walk, self._page
        if page is not None and walk.stopped_by is None:
            walk.advance()
            if self._unique:
                self._before = frozenset(page.keys)
            self._page, self._index = None, 0
            page = None  # only one page at a time is in memory
        while not self._exhausted and walk.stopped_by is None:
            fetched = await self._fetch(walk.number, walk.size)
            count = len(fetched.keys)
            # Short because of a cap, or because records are not shown? With a cap, asking for less changes nothing.
            capped = walk.looks_capped(count, fetched.total) and (await self._fetch(0, count)).keys == fetched.keys
            if walk.arrive(fetched.keys, fetched.total, capped=capped):
                self._page = fetched
                return True
            if walk.stopped_by is None:
                walk.advance()
                self._index = 0
        self._finish()
        return False

    def _finish(self) -> None:
        if self._exhausted:
            return
        self._exhausted = True
        self._page = None
        walk = self._walk
        if walk.total is not None and walk.received < walk.total:
            _logger.warning(
                "the walk over %s ended with %d records of %d, by an unexpected end: %s",
                self._listed,
                walk.received,
                walk.total,
                walk.stopped_by,
            )


class _Pages(AsyncIterator[Page[T]]):
    def __init__(self, pager: Pager[T]) -> None:
        self._pager = pager

    def __aiter__(self) -> "_Pages[T]":
        return self

    async def __anext__(self) -> Page[T]:
        page = await self._pager.next_page()
        if page is None:
            raise StopAsyncIteration
        return page


def check_page_size(page_size: Any) -> int:
    """Return `page_size` if it can be one.

    Raises:
        InvalidArgumentError: It is no int from 1 to `MAX_PAGE_SIZE`.
    """
    if isinstance(page_size, bool) or not isinstance(page_size, int):
        raise InvalidArgumentTypeError(f"page_size must be an int; {page_size!r} was given")
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgumentError(f"page_size must be from 1 to {MAX_PAGE_SIZE}; {page_size!r} was given")
    return page_size
