"""Walking a list: order, end, failures, resuming, and servers with paging habits of their own."""

import asyncio
import json
import logging
import re
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
)
from alohub_async.options import WalkOptions
from alohub_async.pagination import MAX_PAGE_SIZE, FetchedPage, Page, Pager, PageToken, WalkingSource
from tests.pagination.server import LISTED, CapStyle, Server, Total, beginning, no_total


async def _walk(pager: Pager[Any], got: list[Any]) -> None:
    """Walk to the end, or to an error; the records are in `got` in both cases."""
    async for item in pager:
        got.append(item)  # noqa: PERF401  (a comprehension would lose them at an error)


# A whole walk


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25])
@pytest.mark.parametrize("total", [None, no_total], ids=["total", "no total"])
async def test_list_comes_whole_and_in_order(count: int, total: Total | None) -> None:
    """Every record once, whether the last page is full, short or empty."""
    server = Server(records=range(count), total=total)
    pager = server.pager()
    assert [item async for item in pager] == [*range(count)]
    assert pager.stopped_by == ("total" if count and total is None else "empty page")


async def test_nothing_is_fetched_before_the_first_step() -> None:
    """Making a pager, its iterators and its token costs no request."""
    server = Server(records=range(25))
    pager = server.pager()
    pager.pages()
    aiter(pager)
    assert pager.token
    assert (pager.total, pager.stopped_by) == (None, None)
    assert server.fetched == []


async def test_pager_says_where_it_stands() -> None:
    """Before, within and behind the walk; also one that is only half made, as a traceback shows it."""
    server = Server(records=range(25))
    pager = server.pager()
    assert repr(pager) == f"<Pager of {LISTED}: not started>"
    async for item in pager:
        if item == 12:
            break
    assert repr(pager) == f"<Pager of {LISTED}: at record 3 of page 1; 25 records in all>"
    resumed = server.pager(token=pager.token)
    assert repr(resumed) == f"<Pager of {LISTED}: at record 3 of page 1; 25 records in all>"
    await pager.collect()
    assert repr(pager) == f"<Pager of {LISTED}: at the end; 25 records in all>"
    kind: Any = Pager
    assert repr(kind.__new__(kind)) == "<Pager>"


@pytest.mark.parametrize(
    ("use", "instead"),
    [
        (len, "await pager.count()"),
        (list, "async for record in pager"),
        (asyncio.gather, "await pager.collect()"),
    ],
    ids=["len", "for", "await"],
)
async def test_wrong_use_of_a_pager_shows_the_right_one(use: Callable[[Any], Any], instead: str) -> None:
    """What lists, plain iterators and coroutines can do, a pager cannot."""
    server = Server(records=range(25))
    with pytest.raises(TypeError, match=f"{re.escape(instead)}`"):
        await use(server.pager())
    assert bool(server.pager())
    assert not server.fetched


async def test_no_page_is_fetched_without_need() -> None:
    """As many requests as pages, none before its page is needed, none beyond the total."""
    server = Server(records=range(25))
    pager = server.pager()
    assert [await anext(pager) for _ in range(10)] == [*range(10)]
    assert server.fetched == [(0, 10)]
    assert await pager.collect() == [*range(10, 25)]
    assert server.fetched == [(0, 10), (1, 10), (2, 10)]


async def test_exhausted_pager_stays_exhausted() -> None:
    """Every method reports the end, without a request, even after the list grew."""
    server = Server(records=[*range(5)])
    pager = server.pager()
    assert await pager.collect() == [*range(5)]
    server.records = range(50)
    for _ in range(2):
        assert [item async for item in pager] == []
        assert [page async for page in pager.pages()] == []
        assert await pager.first() is None
        assert await anext(pager, "none") == "none"
        assert await pager.collect() == []
    assert await pager.count() == 5
    assert server.fetched == [(0, 10)]


# How servers cap, stretch and ignore


@pytest.mark.parametrize("style", ["rebase", "truncate"])
@pytest.mark.parametrize("total", [None, no_total], ids=["total", "no total"])
@pytest.mark.parametrize("cap", [1, 3, 9, 10])
async def test_capped_size_loses_nothing(cap: int, total: Total | None, style: CapStyle) -> None:
    """A server that returns fewer records than requested is followed, whichever size it counts its pages in."""
    server = Server(records=range(25), total=total, cap=cap, cap_style=style)
    assert await server.pager().collect() == [*range(25)]
    assert {size for page, size in server.fetched if page > 0} == {cap}


@pytest.mark.parametrize("size", [1, 7, 25, 30])
@pytest.mark.parametrize("total", [None, no_total], ids=["total", "no total"])
async def test_size_of_the_servers_own_loses_nothing(size: int, total: Total | None) -> None:
    """A server with a fixed page size, smaller or larger than requested, is followed."""
    server = Server(records=range(25), total=total, ignores_size=size)
    assert await server.pager().collect() == [*range(25)]


@pytest.mark.parametrize("total", [None, no_total], ids=["total", "no total"])
async def test_pages_past_the_end_that_repeat_the_last_are_not_delivered(
    total: Total | None,
) -> None:
    """A server that answers beyond the end with the last page causes no endless loop and no duplicate."""
    for count in (1, 10, 25, 30, 50):
        server = Server(records=range(count), total=total, clamps=True)
        pager = server.pager()
        assert await pager.collect() == [*range(count)]
        assert pager.stopped_by == ("total" if total is None else "repeated page")


async def test_server_that_ignores_the_page_is_found_out() -> None:
    """The first page is delivered once; the rest is an error, whose message has all numbers."""
    server = Server(records=range(25), ignores_page=True)
    pager = server.pager()
    got: list[int] = []
    with pytest.raises(
        APIResponseError, match=r"page 1 repeats an earlier page, although 10 records came and the server reports 25"
    ):
        await _walk(pager, got)
    assert got == [*range(10)]


async def test_server_that_ignores_the_page_and_tells_no_total_ends() -> None:
    """There is no total that says that there is more."""
    pager = Server(records=range(25), ignores_page=True, total=no_total).pager()
    assert await pager.collect() == [*range(10)]
    assert pager.stopped_by == "repeated page"


@pytest.mark.parametrize("resumed", [False, True], ids=["same pager", "token"])
async def test_repeated_page_is_known_after_an_error_too(*, resumed: bool) -> None:
    """Continuing after the error, with this pager or its token, raises the same error; no page comes again."""
    server = Server(records=range(25), ignores_page=True)
    pager = server.pager()
    got: list[int] = []
    for _ in range(3):
        with pytest.raises(APIResponseError) as caught:
            await _walk(pager, got)
        if resumed:
            pager = server.pager(token=caught.value.resume_token)
    assert got == [*range(10)]


async def test_last_page_is_not_delivered_again_through_its_token() -> None:
    """If a server repeats its last page and reports no total, a walk that resumes behind that page recognises it."""
    server = Server(records=range(25), total=no_total, clamps=True)
    pager = server.pager()
    assert [await anext(pager) for _ in range(25)] == [*range(25)]
    again = server.pager(token=pager.token)
    assert await again.collect() == []
    assert again.stopped_by == "repeated page"


async def test_keys_that_hash_alike_are_not_one() -> None:
    """-1 and -2 have the same hash in Python; as pages of one record they are still two different pages."""
    assert await Server(records=[-1, -2, 5]).pager(page_size=1).collect() == [-1, -2, 5]


# Short and empty pages


async def test_short_and_empty_pages_are_no_end_while_the_total_says_more() -> None:
    """Records that the key must not see leave holes; the walk continues behind them."""
    hidden = frozenset([*range(10, 50), 55, 63, 64, *range(90, 95)])
    server = Server(records=range(95), hidden=hidden)
    pager = server.pager()
    assert await pager.collect() == [record for record in range(95) if record not in hidden]
    assert len(server.fetched) == 11
    assert pager.stopped_by == "empty page"


async def test_short_first_page_is_asked_for_again_to_tell_a_cap_from_a_hole() -> None:
    """A capped server returns the same page for the smaller size; one that hides records does not."""
    capped = Server(records=range(25), cap=10)
    assert await capped.pager(page_size=20).collect() == [*range(25)]
    assert capped.fetched == [(0, 20), (0, 10), (1, 10), (2, 10)]
    holed = Server(records=range(25), hidden=frozenset({3}))
    assert await holed.pager(page_size=10).collect() == [*range(3), *range(4, 25)]
    assert holed.fetched == [(0, 10), (0, 9), (1, 10), (2, 10), (3, 10)]


async def test_total_is_believed_on_an_empty_page_behind_it() -> None:
    """A page beyond the end has no records that contradict its total."""
    server = Server(records=range(25), hidden=frozenset({24}))
    pager = server.pager()
    assert len(await pager.collect()) == 24
    assert (pager.total, pager.stopped_by) == (25, "empty page")


async def test_walk_that_ends_short_of_the_total_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Fewer records than the server reports are logged as a warning, once, with both numbers."""
    server = Server(records=range(20), hidden=frozenset({15}))
    pager = server.pager()
    with caplog.at_level(logging.WARNING, "alohub_async"):
        await pager.collect()
        await pager.collect()
    assert len(caplog.messages) == 1
    assert "19 records of 20 came" in caplog.messages[0]


async def test_empty_first_page_is_no_end_either() -> None:
    """Not while the total says that there is more."""
    server = Server(records=range(25), hidden=frozenset(range(10)))
    assert await server.pager().collect() == [*range(10, 25)]


async def test_nine_empty_pages_in_a_row_are_walked_over() -> None:
    """Without recursion, and with the token behind them."""
    server = Server(records=range(110), hidden=frozenset(range(10, 100)))
    pager = server.pager()
    assert await pager.collect() == [*range(10), *range(100, 110)]


async def test_empty_pages_without_end_are_given_up() -> None:
    """An absurdly large total causes no endless loop: ten pages without a record are an error."""
    server = Server(records=range(25), total=lambda _: 10**30)
    pager = server.pager()
    got: list[int] = []
    with pytest.raises(APIResponseError, match=r"is empty, although 25 records came and the server reports 10{30}"):
        await _walk(pager, got)
    assert got == [*range(25)]
    assert len(server.fetched) == 13


async def test_total_that_runs_away_is_given_up() -> None:
    """A server that raises its total with each page, but sends no records, does not keep the walk going."""
    pager = Server(records=range(25), total=lambda page: 11 + page * 10).pager()
    got: list[int] = []
    with pytest.raises(APIResponseError, match="is empty, although 25 records came"):
        await _walk(pager, got)
    assert got == [*range(25)]


async def test_clamped_pages_under_an_absurd_total_are_given_up() -> None:
    """The same last page again and again does not count as more records."""
    server = Server(records=range(25), total=lambda _: 10**6, clamps=True)
    pager = server.pager()
    assert [await anext(pager) for _ in range(25)] == [*range(25)]
    with pytest.raises(APIResponseError, match="repeats an earlier page"):
        await anext(pager)


# Totals


ODD_TOTALS: dict[str, Total] = {
    "first page only": lambda page: 25 if page == 0 else None,
    "not on the first": lambda page: None if page == 0 else 25,
    "last page only": lambda page: 25 if page == 2 else None,
    "wavers": lambda page: 25 - page if page < 2 else 25,
    "grows": lambda page: 11 + page * 10 if page < 2 else 25,
    "too small": lambda _: 3,
    "zero": lambda _: 0,
    "page number": lambda page: page,
    "every other nonsense": lambda page: 25 if page % 2 else 1,
    "a little too large": lambda _: 27,
    "too large at first": lambda page: 1000 if page == 0 else 25,
}


@pytest.mark.parametrize("total", ODD_TOTALS.values(), ids=ODD_TOTALS)
@pytest.mark.parametrize("clamps", [False, True], ids=["ends", "clamps"])
async def test_odd_totals_lose_nothing_and_repeat_nothing(total: Total, *, clamps: bool) -> None:
    """Whether it is missing, changing, too small or a little too large: the walk delivers the list."""
    server = Server(records=range(25), total=total, clamps=clamps)
    assert await server.pager().collect() == [*range(25)]
    assert len(server.fetched) <= 5


LOW_TOTALS: dict[str, tuple[int, int, int | None, Total]] = {
    "capped at a page's end": (250, 50, None, lambda _: 100),
    "capped within a page": (61, 20, None, lambda _: 60),
    "capped, and the end with it": (250, 50, None, lambda _: 200),
    "the page's own count": (250, 50, None, lambda page: len(range(250)[page * 50 :][:50])),
    "the page's own count, short at the end": (61, 20, None, lambda page: len(range(61)[page * 20 :][:20])),
    "the own count of a capped page": (250, 100, 20, lambda page: len(range(250)[page * 20 :][:20])),
    "too low for a while": (250, 50, None, lambda page: 50 if page == 0 else 250),
    "one too low": (101, 50, None, lambda _: 100),
}


@pytest.mark.parametrize(("count", "size", "cap", "total"), LOW_TOTALS.values(), ids=LOW_TOTALS)
@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("ordered", [True, False])
async def test_total_that_is_too_low_ends_no_walk(
    count: int, size: int, cap: int | None, total: Total, prefetch: int, *, ordered: bool
) -> None:
    """A full page that reaches the total is followed by one more request; the true list comes whole."""
    server = Server(records=range(count), cap=cap, total=total)
    pager = server.pager(page_size=size, prefetch=prefetch, ordered=ordered)
    assert sorted(await pager.collect()) == [*range(count)]
    assert pager.total in {None, count}
    assert pager.drift.duplicates == 0


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (7, 1), (20, 1 + 1), (25, 1), (50, 2), (99, 2), (100, 3)])
@pytest.mark.parametrize("absent", [False, True], ids=["empty page", "no such page"])
async def test_true_total_costs_a_request_only_after_a_full_page(count: int, requests: int, *, absent: bool) -> None:
    """A last page that is shorter than the others needs none; a first page of 20 may be capped by the server."""
    server = Server(records=range(count), absent=absent)
    pager = server.pager(page_size=50, prefetch=3)
    assert await pager.collect() == [*range(count)]
    assert len(server.fetched) == requests
    assert (pager.complete, pager.total, pager.drift.moved) == (True, count, False)


@pytest.mark.parametrize("prefetch", [0, 5])
async def test_page_that_does_not_exist_any_more_is_the_end_of_a_list_that_shrank(prefetch: int) -> None:
    """The first page is read again, and its total tells where the list ends now; that is a sign of movement."""
    server = Server(records=range(1000), absent=True)
    pager = server.pager(prefetch=prefetch)
    await anext(pager)
    server.records = range(5)
    again = server.pager(token=pager.token, prefetch=prefetch)
    for walk in (pager, again):
        assert await walk.collect() == [*range(1, 10 if walk is pager else 5)]
    assert (pager.drift.totals, pager.complete) == ((1000, 5), False)


async def test_walk_resumes_at_a_page_that_fails_for_good_if_the_list_ends_before() -> None:
    """The first page is read again; if the page must still be there, its own error is raised."""
    shrunk = False

    async def fetch(page: int, size: int) -> FetchedPage[int]:
        if page == 3:
            raise InternalServerError("no such offset", status=500)
        records = [*range(25 if shrunk else 60)][page * size :][:size]
        return FetchedPage(records, records, 25 if shrunk else 60)

    pager = Pager(WalkingSource(fetch, beginning(10)))
    got: list[int] = []
    with pytest.raises(InternalServerError) as caught:
        await _walk(pager, got)
    assert got == [*range(30)]
    start = PageToken.decode(caught.value.resume_token, listed=LISTED)
    with pytest.raises(InternalServerError):
        await Pager(WalkingSource(fetch, start)).collect()
    shrunk = True
    resumed = Pager(WalkingSource(fetch, start))
    assert await resumed.collect() == []
    assert (resumed.complete, resumed.drift.totals) == (False, (60, 25))


async def test_list_that_grows_is_walked_to_its_new_end() -> None:
    """The latest total counts."""
    server = Server(records=[*range(20)])
    pager = server.pager()
    assert [await anext(pager) for _ in range(15)] == [*range(15)]
    server.records = range(33)
    assert pager.total == 20
    assert await server.pager(token=pager.token).collect() == [*range(15, 33)]


async def test_list_that_shrinks_ends_without_fuss() -> None:
    """The walk does not insist on records that were removed."""
    server = Server(records=[*range(30)])
    pager = server.pager()
    assert [await anext(pager) for _ in range(10)] == [*range(10)]
    server.records = range(12)
    assert await pager.collect() == [10, 11]
    assert pager.total == 12


@pytest.mark.parametrize("by_page", [False, True], ids=["by record", "by page"])
@pytest.mark.parametrize("pushed", [1, 7, 10])
async def test_records_pushed_onto_the_next_page_come_once(pushed: int, *, by_page: bool) -> None:
    """Records added in front move the last ones of a page onto the next, where they are known by their keys.

    If they are a whole page, the page before comes again, and the walk makes sure that the server heeds its number.
    """
    server = Server(records=[*range(30)])
    pager = server.pager()
    assert [await anext(pager) for _ in range(10)] == [*range(10)]
    server.records = [*range(-pushed, 0), *range(25)]
    server.total = lambda page: 25 + pushed if page < 3 else None
    got = await pager.collect() if by_page else [item async for item in pager]
    assert got == [*range(10, 25)]


@pytest.mark.parametrize("by_page", [False, True], ids=["by record", "by page"])
async def test_page_that_brings_nothing_new_is_walked_over(*, by_page: bool) -> None:
    """A page with only records of the page before, but not that page itself, is skipped and does not end the walk."""
    answers = {0: [0, 1, 2], 1: [2, 1], 2: [3, 4]}

    async def fetch(page: int, _size: int) -> FetchedPage[int]:
        found = answers.get(page, [])
        return FetchedPage(found, found, 8)

    pager: Pager[int] = Pager(WalkingSource(fetch, beginning(3)))
    if by_page:
        assert [page.items async for page in pager.pages()] == [(0, 1, 2), (3, 4)]
    else:
        assert [item async for item in pager] == [0, 1, 2, 3, 4]


async def test_overlapping_last_page_brings_only_what_is_new() -> None:
    """Some servers fill the last page with records of the one before."""

    async def fetch(page: int, size: int) -> FetchedPage[int]:
        start = min(page * size, 25 - size)
        found = [*range(25)][start : start + size]
        return FetchedPage(found, found, 25)

    pager = Pager(WalkingSource(fetch, beginning(10)))
    pages = [page async for page in pager.pages()]
    assert [page.items for page in pages] == [(*range(10),), (*range(10, 20),), (*range(20, 25),)]


async def test_records_without_keys_of_their_own_are_never_left_out() -> None:
    """Two different records may look the same, so a record that looks like one of the page before is returned."""
    server = Server(records=[("a",), ("b",), ("b",), ("c",), ("c",), ("c",)])
    assert await server.pager(page_size=2).collect() == server.records


# Pages, first, count, collect


async def test_pages_have_their_place() -> None:
    """Items, number, size and total of each page."""
    pager = Server(records=range(25)).pager()
    assert [page async for page in pager.pages()] == [
        Page(tuple(range(10)), 0, 10, 25),
        Page(tuple(range(10, 20)), 1, 10, 25),
        Page(tuple(range(20, 25)), 2, 10, 25),
    ]


async def test_pages_cannot_be_changed_and_stay_as_they_were() -> None:
    """Pages that are kept do not turn into the latest one."""
    pages = [page async for page in Server(records=range(25)).pager().pages()]
    field = "items"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(pages[0], field, ())
    assert isinstance(pages[0].items, tuple)
    assert [len(page.items) for page in pages] == [10, 10, 5]
    assert len({*pages}) == 3


async def test_size_of_a_page_is_what_the_server_makes_of_it() -> None:
    """The size of a capped page is the cap; a page without a total has None."""
    pages = [page async for page in Server(records=range(7), cap=3, total=no_total).pager().pages()]
    assert [(page.number, page.size, page.total) for page in pages] == [(0, 3, None), (1, 3, None), (2, 3, None)]


async def test_ways_of_walking_mix() -> None:
    """`first`, `async for`, `pages` and `collect` continue where the one before stopped."""
    pager = Server(records=range(25)).pager()
    assert await pager.first() == 0
    async for item in pager:
        if item == 3:
            break
    assert await anext(pager) == 4
    async for page in pager.pages():
        assert page == Page(tuple(range(5, 10)), 0, 10, 25)
        break
    assert await pager.first() == 10
    assert await pager.collect() == [*range(11, 25)]


async def test_first_of_an_empty_list_is_none() -> None:
    """An empty list is not an error."""
    assert await Server(records=[]).pager().first() is None


async def test_count_is_the_total_and_keeps_its_page() -> None:
    """It costs one request, whose page the walk then delivers; asking again costs nothing."""
    server = Server(records=range(25))
    pager = server.pager()
    assert await pager.count() == 25
    assert await pager.count() == 25
    assert server.fetched == [(0, 10)]
    token = pager.token
    assert await pager.collect() == [*range(25)]
    assert len(server.fetched) == 3
    assert await server.pager(token=token).collect() == [*range(25)]


@pytest.mark.parametrize(("total", "counted"), [(no_total, None), (None, 0)], ids=["no total", "empty"])
async def test_count_of_an_unknown_total_and_of_an_empty_list(total: Total | None, counted: int | None) -> None:
    """None if the server reports no total; 0 for an empty list."""
    server = Server(records=[], total=total)
    pager = server.pager()
    assert await pager.count() == counted
    assert await pager.count() == counted
    assert len(server.fetched) == 1


async def test_count_that_fails_leaves_the_walk_where_it_was() -> None:
    """Its error has the token, too, and the walk starts at the beginning."""
    pager = Server(records=range(25), fails=frozenset({0})).pager()
    with pytest.raises(APIConnectionError) as caught:
        await pager.count()
    assert caught.value.resume_token == pager.token
    assert await pager.collect() == [*range(25)]


# Failures and cancellation


async def test_error_has_the_token_and_the_pager_goes_on() -> None:
    """After a failed page, the next `async for` on the same pager tries that page again."""
    server = Server(records=range(25), fails=frozenset({1, 2}))
    pager = server.pager()
    got: list[int] = []
    for _ in range(2):
        with pytest.raises(APIConnectionError) as caught:
            await _walk(pager, got)
        assert got == [*range(10)]
        assert caught.value.resume_token == pager.token
        assert await Server(records=range(25)).pager(token=caught.value.resume_token).collect() == [*range(10, 25)]
    assert [item async for item in pager] == [*range(10, 25)]
    assert server.fetched == [(0, 10), (1, 10), (1, 10), (1, 10), (2, 10)]


STEPS: dict[str, Callable[[Pager[Any]], Awaitable[object]]] = {
    "anext": lambda pager: anext(pager),  # noqa: PLW0108  (as it is, anext has no one type)
    "first": lambda pager: pager.first(),
    "collect": lambda pager: pager.collect(),
    "pages": lambda pager: anext(pager.pages()),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_every_way_of_walking_raises_with_the_token(step: Callable[[Pager[Any]], Awaitable[object]]) -> None:
    """Whatever method was called, the error has the token to resume with."""
    pager = Server(records=range(25), fails=frozenset({1})).pager()
    async for page in pager.pages():
        assert page.number == 0
        break
    with pytest.raises(APIConnectionError) as caught:
        await step(pager)
    assert caught.value.resume_token == pager.token
    assert await pager.collect() == [*range(10, 25)]


async def test_failed_first_page_resumes_at_the_beginning() -> None:
    """The token of an error before the first record covers the whole list."""
    server = Server(records=range(25), fails=frozenset({0}))
    with pytest.raises(APIConnectionError) as caught:
        await server.pager().collect()
    assert await server.pager(token=caught.value.resume_token).collect() == [*range(25)]


async def test_foreign_error_leaves_the_walk_where_it_was() -> None:
    """This holds for an exception of other code, too, such as that of a key provider."""
    server = Server(records=range(25))

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        if page == 1 and not server.fails:
            server.fails = frozenset({99})
            raise LookupError("the vault is closed")
        return await server.fetch(page, size)

    pager: Pager[int] = Pager(WalkingSource(fetch, beginning(10)))
    assert [await anext(pager) for _ in range(10)] == [*range(10)]
    with pytest.raises(LookupError):
        await anext(pager)
    assert await pager.collect() == [*range(10, 25)]


async def test_cancelled_fetch_loses_nothing() -> None:
    """Cancelling a task while a page is in flight does not change the position."""
    server = Server(records=range(25))
    arrived, release = asyncio.Event(), asyncio.Event()

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        if page == 1:
            arrived.set()
            await release.wait()
        return await server.fetch(page, size)

    pager: Pager[int] = Pager(WalkingSource(fetch, beginning(10)))
    got: list[int] = []

    task = asyncio.create_task(_walk(pager, got))
    await arrived.wait()
    token = pager.token
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pager.token == token
    release.set()
    assert await server.pager(token=token).collect() == [*range(10, 25)]
    await _walk(pager, got)
    assert got == [*range(25)]


async def test_cancelled_waiter_does_not_hold_the_others_up() -> None:
    """Of several tasks on one pager, a cancelled one loses no records, whether it fetches or waits."""
    server = Server(records=range(25), pauses=[3])
    pager = server.pager()

    async def take() -> list[int]:
        return [item async for item in pager]

    tasks = [asyncio.create_task(take()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False, True, False]
    taken = [item for result in results if not isinstance(result, BaseException) for item in result]
    assert sorted(taken) == [*range(25)]


@pytest.mark.parametrize("fails", [frozenset[int](), frozenset({0}), frozenset({1, 3})], ids=str)
async def test_tasks_that_share_a_pager_share_its_records(fails: frozenset[int]) -> None:
    """Each record goes to one task, each page is fetched once, and an error goes to one task alone."""
    server = Server(records=range(95), pauses=[2], fails=fails)
    pager = server.pager()
    errors: list[AlohubError] = []

    async def take() -> list[int]:
        taken: list[int] = []
        while True:
            try:
                taken.append(await anext(pager))
            except AlohubError as error:
                errors.append(error)
            except StopAsyncIteration:
                return taken
            await asyncio.sleep(0)

    shares = await asyncio.gather(*(take() for _ in range(5)))
    assert sorted(item for share in shares for item in share) == [*range(95)]
    assert all(share == sorted(share) for share in shares)
    assert len(server.fetched) == 10 + len(fails)
    assert len(errors) == len(fails)


@pytest.mark.parametrize("by_page", [False, True], ids=["by record", "by page"])
async def test_only_one_page_is_in_memory(*, by_page: bool) -> None:
    """When a page is requested, the one before has been dropped already."""
    server = Server(records=range(55))
    pages: list[weakref.ref[FetchedPage[Any]]] = []
    alive: list[int] = []

    async def fetch(page: int, size: int) -> FetchedPage[Any]:
        alive.append(sum(ref() is not None for ref in pages))
        fetched = await server.fetch(page, size)
        pages.append(weakref.ref(fetched))
        return fetched

    pager: Pager[int] = Pager(WalkingSource(fetch, beginning(10)))
    if by_page:
        async for _ in pager.pages():
            pass
    else:
        async for _ in pager:
            pass
    assert alive == [0] * 6
    assert [ref() for ref in pages] == [None] * 6


# Tokens


async def test_token_is_readable_at_any_moment_and_exact() -> None:
    """Before the first record, after each, and after the last; and reading it changes nothing."""
    server = Server(records=range(25))
    pager = server.pager()
    for count in range(26):
        token = pager.token
        assert token == pager.token
        assert await server.pager(token=token).collect() == [*range(count, 25)]
        assert await anext(pager, None) == (count if count < 25 else None)
    assert await server.pager(token=pager.token).collect() == []


async def test_token_of_a_finished_walk_fetches_nothing() -> None:
    """It points at the end, whether or not the pager has reported the end already."""
    server = Server(records=range(25))
    pager = server.pager()
    assert [await anext(pager) for _ in range(25)] == [*range(25)]
    before = pager.token
    assert await pager.collect() == []
    for token in (before, pager.token):
        fetched = len(server.fetched)
        resumed = server.pager(token=token)
        assert await resumed.collect() == []
        assert await resumed.count() == 25
        assert await server.pager(token=resumed.token).collect() == []
        assert len(server.fetched) == fetched


async def test_token_is_small_and_safe_everywhere() -> None:
    """Letters, digits, `-` and `_`: nothing that JSON, a URL or a shell would change."""
    pager = Server(records=range(25)).pager()
    await pager.first()
    token = pager.token
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()
    assert json.loads(json.dumps({"token": token})) == {"token": token}
    assert len(token) < 150


async def test_token_keeps_the_size_the_server_makes_of_it() -> None:
    """A walk over a capped list continues in capped pages, in either style."""
    for style in ("rebase", "truncate"):
        server = Server(records=range(25), cap=4, cap_style=style)
        pager = server.pager()
        assert [await anext(pager) for _ in range(6)] == [*range(6)]
        again = server.pager(token=pager.token, page_size=10)
        assert await again.collect() == [*range(6, 25)]


async def test_list_that_changed_under_a_token_makes_no_trouble() -> None:
    """Fewer records on the token's page than were returned from it: the walk continues behind that page."""
    server = Server(records=[*range(25)])
    pager = server.pager()
    assert [await anext(pager) for _ in range(18)] == [*range(18)]
    server.records = range(14)
    assert await server.pager(token=pager.token).collect() == []


# Everything at once


@attrs.frozen
class Journey:
    """A list, a server, and the events of a walk: after each break, the same pager or its token continues."""

    server: Server
    page_size: int
    resumes: Sequence[bool]
    stops: frozenset[int]
    by_page: Sequence[bool]
    prefetch: int
    ordered: bool

    def pager(self, token: str | None = None) -> Pager[Any]:
        """Make the pager, at the beginning or from a token."""
        return self.server.pager(page_size=self.page_size, token=token, prefetch=self.prefetch, ordered=self.ordered)


@st.composite
def _journeys(draw: st.DrawFn, *, hides: bool = False) -> Journey:
    count = draw(st.integers(0, 40))
    records = draw(st.permutations(range(-3, count - 3)))
    page_size = draw(st.integers(1, 12))
    pauses = draw(st.lists(st.integers(0, 4), min_size=1, max_size=7))
    server = Server(records=records, pauses=pauses, fails=draw(st.frozensets(st.integers(0, 25), max_size=10)))
    if hides:
        server.hidden = draw(st.frozensets(st.sampled_from(records))) if records else frozenset()
    else:
        totals: list[Total | None] = [None, no_total, lambda page: count if page % 2 else None, lambda _: count + 1]
        server.clamps = draw(st.booleans())
        server.total = draw(st.sampled_from(totals[:3] if server.clamps else totals))
        server.cap = draw(st.none() | st.integers(1, 12))
        server.cap_style = draw(st.sampled_from(["rebase", "truncate"]))
    return Journey(
        server=server,
        page_size=page_size,
        resumes=draw(st.lists(st.booleans(), min_size=1, max_size=8)),
        stops=draw(st.frozensets(st.integers(1, 40), max_size=10)),
        by_page=draw(st.lists(st.booleans(), min_size=1, max_size=6)),
        prefetch=draw(st.integers(0, 5)),
        ordered=draw(st.booleans()),
    )


async def _travel(journey: Journey) -> list[Any]:
    """Walk to the end; break after some counts of records and at every error, and continue as the journey says."""
    pager = journey.pager()
    got: list[Any] = []
    for leg in range(200):
        token = None
        try:
            if journey.by_page[leg % len(journey.by_page)]:
                page = await anext(pager.pages(), None)
                if page is None:
                    return got
                got += page.items
            else:
                async for item in pager:
                    got.append(item)
                    if len(got) in journey.stops:
                        break
                else:
                    return got
        except AlohubError as error:
            token = error.resume_token
            assert token == pager.token
        if journey.resumes[leg % len(journey.resumes)]:
            token = json.loads(json.dumps(token or pager.token))
            pager = journey.pager(token)
    pytest.fail("the walk does not end")


def _check(journey: Journey, got: list[Any], expected: list[Any]) -> None:
    assert (got if journey.ordered else sorted(got)) == (expected if journey.ordered else sorted(expected))


@settings(max_examples=4 * settings().max_examples)
@given(_journeys())
def test_nothing_is_lost_and_nothing_comes_twice(journey: Journey) -> None:
    """For any list, size, cap, total, failures and breaks, the parts of the walk together are the list."""
    _check(journey, asyncio.run(_travel(journey)), [*journey.server.records])


@settings(max_examples=2 * settings().max_examples)
@given(_journeys(hides=True))
def test_holes_lose_nothing_and_repeat_nothing(journey: Journey) -> None:
    """The same for a server that hides records."""
    visible = [record for record in journey.server.records if record not in journey.server.hidden]
    _check(journey, asyncio.run(_travel(journey)), visible)


# Arguments


@pytest.mark.parametrize("size", [1, 100, MAX_PAGE_SIZE])
def test_page_size_in_range_is_taken(size: int) -> None:
    """From 1 record to our own limit."""
    assert WalkOptions(page_size=size).page_size == size


@pytest.mark.parametrize("size", [0, -1, MAX_PAGE_SIZE + 1])
def test_page_size_out_of_range_is_refused(size: int) -> None:
    """The message has the range and what was given."""
    with pytest.raises(
        InvalidArgumentError, match=rf"page_size must be an int from 1 to {MAX_PAGE_SIZE}, or None; {size} was given"
    ):
        WalkOptions.of({"page_size": size})


@pytest.mark.parametrize("size", [True, 10.0, "10", []], ids=repr)
def test_page_size_of_another_type_is_refused(size: object) -> None:
    """A string of digits is not an int, and neither is True."""
    with pytest.raises(InvalidArgumentTypeError, match="page_size must be an int"):
        WalkOptions.of({"page_size": size})


async def test_status_error_while_walking_keeps_what_it_is() -> None:
    """The token is added to the error, which is not wrapped."""
    original = InternalServerError(status=502)

    async def fetch(_page: int, _size: int) -> FetchedPage[int]:
        raise original

    pager: Pager[int] = Pager(WalkingSource(fetch, beginning(10)))
    with pytest.raises(InternalServerError) as caught:
        await anext(pager)
    assert caught.value is original
    assert original.resume_token == pager.token
