"""From a list's declaration to a `Pager`: where requests, decoding, details and the deadline of a walk meet."""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from heapq import heappop, heappush
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs
from yarl import URL

from alohub_async import pagination  # imports the source of repairs when it is first used
from alohub_async.background_tasks import wait_until_done
from alohub_async.codec.answers import ListDecoder
from alohub_async.codec.decoding import identity_keys
from alohub_async.errors import InvalidArgumentError, NotFoundError
from alohub_async.http.requestor import Requestor
from alohub_async.http.requests import Request, build_request, encode_json, query_of
from alohub_async.http.responses import read_list
from alohub_async.options import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PAGE_SIZE,
    CallOptions,
    Deadline,
    ListingOptions,
    WalkOptions,
)
from alohub_async.pagination import Estimate, FetchedPage, Pager, PageToken, WalkingSource
from alohub_async.resources.records import StructurePage
from alohub_async.routes import Route

T = TypeVar("T")

LookUp: TypeAlias = Callable[[int, CallOptions], Awaitable[tuple[T | None, int]]]
"""Gets one record by its id, or None if the listed one is to stay, and the transmissions it took."""


_USUAL: Final = ListingOptions()


@attrs.frozen(eq=False, repr=False)
class Listing(Generic[T]):
    """Where the pages of a list are from.

    `decode` decodes an answer's bytes, where it can; otherwise `structure` makes the records. `detail` looks up each
    record by its id, on its route, `at_once` of them, to be yielded instead. `prove` is that of `WalkingSource`.
    """

    route: Route
    structure: StructurePage[T]
    path: str | None = attrs.field(default=None, kw_only=True)  # the literal one, if the route does not name it
    asked: ListingOptions = attrs.field(default=_USUAL, kw_only=True)
    key: str | None = attrs.field(default=None, kw_only=True)  # wire name of the field that identifies a record
    decode: ListDecoder[Any] | None = attrs.field(default=None, kw_only=True)
    detail: tuple[Route, LookUp[T]] | None = attrs.field(default=None, kw_only=True)
    at_once: int = attrs.field(default=DEFAULT_CONCURRENCY, kw_only=True)
    prove: bool = attrs.field(default=False, kw_only=True)

    @property
    def listed(self) -> str:
        """The list in words: a token of another list is refused."""
        asked = self.asked
        query = query_of(dict(sorted(asked.params.items())))
        listed = f"{self.route.method} {self.path or self.route.template}?{query}".rstrip("?")
        form = [asked.json, asked.first_page, asked.page_name, asked.size_name]
        if form == [{}, 0, "page", "size"]:
            return listed
        return f"{listed} {hashlib.blake2b(json.dumps(form, sort_keys=True).encode(), digest_size=8).hexdigest()}"


def make_pager(requestor: Requestor, source: Listing[T], given: Mapping[str, Any], *also: str) -> Pager[T]:
    """Make the pager of a list from the keywords of a call; nothing is sent yet. For `also`, see `CallOptions.of`."""
    walk = WalkOptions.of(given, *also)
    # Bad input is refused here, not at the first step.
    asked = source.asked
    url = build_request(source.route, requestor.options.endpoint, path=source.path, params=asked.params).url
    has_query, first = bool(asked.params), asked.first_page
    body = None if asked.method == "GET" else encode_json(asked.json)[:-1] + (b"," if asked.json else b"")
    start = _start(walk, source.listed)
    options = CallOptions(**walk.keywords())
    deadline = Deadline(options, what=source.listed)
    has_deadline = isinstance(walk.deadline, float | int)
    route, detail, decode = source.route, source.detail, source.decode
    enrich = None if detail is None else _Details(detail[1], deadline, source.at_once).enrich

    async def fetch(page: int, size: int) -> FetchedPage[T]:
        if body is None:
            query = f"{asked.page_name}={page + first}&{asked.size_name}={size}"
            # yarl would re-quote the values of a query that is there already.
            request = Request(route, URL(f"{url}&{query}", encoded=True) if has_query else url.with_query(query))
        else:
            sizes = f'"{asked.page_name}":{page + first},"{asked.size_name}":{size}}}'
            request = Request(route, url, body + sizes.encode(), reads=True)
        try:
            call = await requestor.send(request, deadline.next_call() if has_deadline else options, decode)
        except NotFoundError:
            if not page:
                raise
            return FetchedPage([], [], None, absent=True)
        if call.payload.__class__ is tuple:  # decoded from the bytes
            return FetchedPage(*call.payload)
        return call.decoded(_page_of, source, page, call.payload, request)

    def forecast(pages: int, records: int) -> Estimate:
        limiter = requestor.limiter
        seconds = limiter.forecast(route, pages)
        if detail is None:
            return Estimate(pages, seconds)
        return Estimate(pages + records, max(seconds, limiter.forecast(detail[0], records)))

    chosen: dict[str, Any] = {"enrich": enrich, "prefetch": walk.prefetch, "events": requestor.events}
    if walk.consistency == "repair":
        repairing = pagination.RepairingSource(fetch, start, max_passes=walk.max_passes, **chosen)
        return Pager(repairing, forecast=forecast)
    once = WalkingSource(fetch, start, ordered=walk.ordered, prove=source.prove, **chosen)
    return Pager(once, strict=walk.consistency == "raise", forecast=forecast)


def _page_of(source: Listing[T], page: int, payload: object, request: Request) -> FetchedPage[T]:
    found = read_list(payload, request=request, is_first=not page)
    keys = identity_keys(found.items, source.key)
    return FetchedPage(source.structure(found.items, page), keys, found.total, absent=found.absent)


def _start(walk: WalkOptions, listed: str) -> PageToken:
    """Where the walk over this list begins."""
    repair = walk.consistency == "repair"
    if walk.token is None:
        size = walk.page_size or DEFAULT_PAGE_SIZE
        return PageToken(listed=listed, size=size, asked=size, repair=repair)
    start = PageToken.decode(walk.token, listed=listed)
    if walk.page_size not in {None, start.asked}:
        asked = f"page_size={start.asked}; leave page_size={walk.page_size} out"
        raise InvalidArgumentError(f"the token is of a walk with {asked}, or start a new walk")
    if start.repair != repair:
        was = 'consistency="repair"' if start.repair else 'a consistency other than "repair"'
        raise InvalidArgumentError(f"the token is of a walk with {was}; continue with the same, or start a new walk")
    return start


class _Details(Generic[T]):
    """Looks up the records of pages, a bounded few at a time, the lowest page first. What was found survives a failure.

    The look-ups of all pages share the slots, so that none is idle while a page waits for its last look-ups.
    """

    def __init__(self, look_up: LookUp[T], deadline: Deadline, at_once: int) -> None:
        self._look_up = look_up
        self._deadline = deadline
        self._at_once = self._free = at_once
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap: by page, then by arrival
        self._arrivals = itertools.count()
        self._found: dict[int, dict[Hashable, T | None]] = {}  # by page and id; None if it is gone

    async def enrich(self, number: int, page: FetchedPage[T]) -> FetchedPage[T]:
        found = self._found.setdefault(number, {})
        missing = dict.fromkeys(key for key in page.keys if isinstance(key, int) and key not in found)
        left, count = iter(missing), min(len(missing), self._at_once)
        tasks = [asyncio.ensure_future(self._find(number, found, left)) for _ in range(count)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await wait_until_done(tasks)
        self._found.pop(number, None)
        items = [found.get(key) or item for key, item in zip(page.keys, page.items, strict=True)]
        gone = frozenset(index for index, key in enumerate(page.keys) if found.get(key, page) is None)
        return FetchedPage(items, page.keys, page.total, gone)

    async def _find(self, number: int, found: dict[Hashable, T | None], left: Iterator[int]) -> None:
        """Look up what is left of a page, one by one, with other tasks that do the same."""
        while True:
            await self._enter(number)
            try:
                for record_id in left:
                    try:
                        record, _ = await self._look_up(record_id, self._deadline.next_call())
                        if record is not None:
                            found[record_id] = record
                    except NotFoundError:
                        found[record_id] = None
                    if self._waiting and self._waiting[0][0] < number:
                        break
                else:
                    return
            finally:
                self._leave()

    async def _enter(self, number: int) -> None:
        if self._free:
            self._free -= 1
            return
        slot = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (number, next(self._arrivals), slot))
        try:
            await slot
        except asyncio.CancelledError:
            if not slot.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            *_, slot = heappop(self._waiting)
            if not slot.done():
                slot.set_result(None)
                return
        self._free += 1
