"""From a route that lists to a `Pager`: the one place where fetching, structuring and the deadline of a walk meet."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, get_args
from urllib.parse import urlencode

import attrs

from alohub_async.codec.fast_lists import ListDecoder
from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError, NotFoundError
from alohub_async.http.requestor import Requestor
from alohub_async.http.requests import PageRequests, build_request
from alohub_async.http.responses import read_list
from alohub_async.options import CallOptions, Deadline
from alohub_async.pagination import Consistency, Estimate, FetchedPage, Pager, PageToken, WalkingSource, check_page_size
from alohub_async.routes import Route
from alohub_async.validation import check_count

if TYPE_CHECKING:
    from alohub_async.codec.fast_lists import DecodedList

T = TypeVar("T")

Json: TypeAlias = dict[str, Any] | list[Any] | str | float | bool | None

DEFAULT_PAGE_SIZE: Final = 100
"""Records a page when neither the caller nor a token says. The API's own default is 20 (the vendor's page)."""

DEFAULT_PREFETCH: Final = 4
DEFAULT_MAX_PASSES: Final = 5
_MAX_PREFETCH: Final = 100
_MAX_PASSES: Final = 100
_DETAILS_AT_ONCE: Final = 16


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WalkOptions:
    """How a list is walked; see `Queues.list_inbound`."""

    page_size: int | None
    token: str | None
    prefetch: int
    ordered: bool
    consistency: Consistency
    max_passes: int

    def __attrs_post_init__(self) -> None:
        if self.page_size is not None:
            check_page_size(self.page_size)
        check_count("prefetch", self.prefetch, least=0, most=_MAX_PREFETCH)
        check_count("max_passes", self.max_passes, least=2, most=_MAX_PASSES)
        if not isinstance(self.ordered, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentTypeError(f"ordered must be True or False; {self.ordered!r} was given")
        if self.consistency not in get_args(Consistency):
            raise InvalidArgumentError(
                f"consistency must be one of {get_args(Consistency)}; {self.consistency!r} was given"
            )

    def start(self, listed: str) -> PageToken:
        """Where the walk over this list begins."""
        repair = self.consistency == "repair"
        if self.token is None:
            size = self.page_size or DEFAULT_PAGE_SIZE
            return PageToken(listed=listed, size=size, asked=size, repair=repair)
        start = PageToken.decode(self.token, listed=listed)
        if self.page_size not in {None, start.asked}:
            raise InvalidArgumentError(
                f"the token is of a walk with page_size={start.asked}; leave page_size={self.page_size} out,"
                " or start anew"
            )
        if start.repair != repair:
            was = 'consistency="repair"' if start.repair else 'a consistency other than "repair"'
            raise InvalidArgumentError(f"the token is of a walk with {was}; go on with the same, or start anew")
        return start


class _Details(Generic[T]):
    """Looks up the detail of each record of a page, a bounded few at a time; what was found survives a failure."""

    def __init__(self, look_up: Callable[[int, CallOptions], Awaitable[T]], budget: Deadline) -> None:
        self._look_up = look_up
        self._budget = budget
        self._places = asyncio.Semaphore(_DETAILS_AT_ONCE)
        self._found: dict[int, dict[int, T | None]] = {}  # by page and id; None if it is gone

    async def enrich(self, number: int, page: FetchedPage[T]) -> FetchedPage[T]:
        found = self._found.setdefault(number, {})
        missing = dict.fromkeys(key for key in page.keys if isinstance(key, int) and key not in found)
        tasks = [asyncio.ensure_future(self._find(found, queue_id)) for queue_id in missing]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        self._found.pop(number, None)
        items = [
            found.get(key) or item if isinstance(key, int) else item
            for key, item in zip(page.keys, page.items, strict=True)
        ]
        gone = frozenset(index for index, key in enumerate(page.keys) if isinstance(key, int) and found[key] is None)
        return FetchedPage(items, page.keys, page.total, gone)

    async def _find(self, found: dict[int, T | None], queue_id: int) -> None:
        async with self._places:
            try:
                found[queue_id] = await self._look_up(queue_id, self._budget.next_call())
            except NotFoundError:
                found[queue_id] = None


def make_pager(
    requestor: Requestor,
    route: Route,
    structure: Callable[[Sequence[Any], int], list[T]],
    walk: WalkOptions,
    options: CallOptions,
    *,
    path: str | None = None,
    params: Mapping[str, str | int] | None = None,
    key: str | None,
    decode: ListDecoder[T] | None = None,
    detail: tuple[Route, Callable[[int, CallOptions], Awaitable[T]]] | None = None,
) -> Pager[T]:
    """Make the pager of a list; nothing is sent yet.

    Args:
        requestor: Sends.
        route: The list's route.
        structure: Makes the records of a page, given its number.
        walk: How the list is walked.
        options: Of each page; the deadline is that of the whole walk, from its first request.
        path: The literal path, if the route does not name it.
        params: The query, apart from `page` and `size`.
        key: Wire name of the field by which a record is known; None if there is none.
        decode: Makes a page of an answer's bytes, where it can; else `structure` does, by and by.
        detail: Looks up what is handed out instead of a listed record, by its id; and on which route.

    Raises:
        InvalidArgumentError: An argument outside of what is said above.
    """
    query = dict(params or {})
    if reserved := {"page", "size"} & query.keys():
        raise InvalidArgumentError(
            f"params must not hold {sorted(reserved)}: the pager sets them; use page_size or token"
        )
    # Bad input is refused here, not at the first step.
    ask_for = PageRequests(build_request(route, requestor.config.endpoint, path=path, params=query))
    listed = f"{route.method} {path or route.template}?{urlencode(sorted(query.items()))}".rstrip("?")
    start = walk.start(listed)
    budget = Deadline(options, what=listed)
    enrich = None if detail is None else _Details(detail[1], budget).enrich
    meanwhile = (ask_for.prepare,)

    async def fetch(page: int, size: int) -> FetchedPage[T]:
        request = ask_for(page, size)
        now = options if options.deadline is None else budget.next_call()
        payload: DecodedList[T] | Json = await requestor.load(request, now, decode, meanwhile)
        if isinstance(payload, tuple):
            return FetchedPage(*payload)
        found = read_list(payload, request=request)
        return FetchedPage(structure(found.items, page), _keys(found.items, key), found.total)

    def forecast(pages: int, records: int) -> Estimate:
        limiter = requestor.limiter
        if detail is None:
            return Estimate(pages, limiter.forecast(route, pages))
        seconds = max(limiter.forecast(route, pages), limiter.forecast(detail[0], records))
        return Estimate(pages + records, seconds)

    if walk.consistency == "repair":
        from alohub_async.pagination.repair import RepairingSource

        gathered = RepairingSource(fetch, start, enrich=enrich, prefetch=walk.prefetch, max_passes=walk.max_passes)
        return Pager(gathered, forecast=forecast)
    pages = WalkingSource(fetch, start, enrich=enrich, prefetch=walk.prefetch, ordered=walk.ordered)
    return Pager(pages, strict=walk.consistency == "raise", forecast=forecast)


def _keys(records: Sequence[Mapping[str, Any]], key: str | None) -> list[Hashable]:
    """What each record of a page is known by."""
    if key is not None:
        try:
            keys: list[Hashable] = [record[key] for record in records]
        except KeyError:
            keys = []
        if {*map(type, keys)} == {int}:
            return keys
    return [_known_by(record, key) for record in records]


def _known_by(record: Mapping[str, Any], key: str | None) -> Hashable:
    value = record.get(key) if key is not None else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    return (repr(record),)  # a record without an id is known by all it says, and never taken for another


_LONGEST_NUMBER: Final = 19  # digits
