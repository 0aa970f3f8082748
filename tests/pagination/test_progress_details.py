"""The arithmetic of a walk: what refutes a total, what is counted, and what its errors say."""

import pytest

from alohub_async.errors import APIResponseError
from alohub_async.pagination.progress import PageProgress
from alohub_async.pagination.seen_keys import fingerprint
from tests.pagination.server import Server


@pytest.mark.parametrize(
    ("count", "total", "believed"), [(25, 24, False), (25, 25, True), (10, 9, False), (3, 2, False)]
)
def test_first_page_refutes_a_total_by_its_records(count: int, total: int, *, believed: bool) -> None:
    """It begins at the first record, whatever its size is."""
    progress = PageProgress(size=10)
    assert progress.arrive(0, [*range(count)], total)
    assert progress.total == (total if believed else None)


@pytest.mark.parametrize(("count", "total", "believed"), [(10, 19, False), (10, 20, True), (12, 21, True)])
def test_later_page_refutes_a_total_only_in_its_own_size(count: int, total: int, *, believed: bool) -> None:
    """Of a page that is longer than the others it is not known where it begins."""
    progress = PageProgress(size=10)
    assert progress.arrive(0, [*range(10)], 100)
    assert progress.arrive(1, [*range(10, 10 + count)], total)
    assert progress.total == (total if believed else None)


def test_records_of_all_repeated_pages_are_counted() -> None:
    """Each page that came again where another one was due adds its records."""
    progress = PageProgress(size=2)
    assert progress.arrive(0, [1, 2], 9)
    assert progress.arrive(1, [3, 4], 9)
    assert not progress.arrive(2, [1, 2], 9)
    assert not progress.arrive(3, [3, 4], 9)
    assert (progress.repeated, progress.received) == (4, 4)


@pytest.mark.parametrize(("received", "records"), [(1, "1 record came"), (2, "2 records came")])
def test_error_says_how_many_records_came(received: int, records: str) -> None:
    """The list cannot be walked by pages; its answers had a success status."""
    progress = PageProgress(size=2)
    assert progress.arrive(0, [*range(received)], 100)
    with pytest.raises(APIResponseError, match=rf"^page 1 repeats an earlier page, although {records} and") as caught:
        progress.arrive(1, [*range(received)], 100, ignored=True)
    assert caught.value.status == 200


def test_pages_that_came_out_of_order_are_not_missing_any_more() -> None:
    """When the first of them comes, the walk stands behind all."""
    progress = PageProgress(size=2)
    for number in (0, 2, 3, 5, 1):
        assert progress.arrive(number, [2 * number, 2 * number + 1], 17)
    assert (progress.base, progress.beyond) == (4, {5})
    assert [*progress.missing(17)] == [4, 6, 7, 8]
    assert progress.pages_left(17) == 4


@pytest.mark.parametrize("prove", [None, False, True])
def test_single_short_page_is_the_whole_list_unless_that_is_to_be_proven(*, prove: bool | None) -> None:
    """Its own count as total is believed, but is no proof; without a word, nothing is to be proven."""
    progress = PageProgress(size=10) if prove is None else PageProgress(size=10, prove=prove)
    assert progress.arrive(0, [*range(7)], 7)
    assert progress.stopped_by == (None if prove else "total")


@pytest.mark.parametrize(("last", "stopped"), [(8, "total"), (9, None)])
def test_last_page_is_measured_by_the_first_one(last: int, stopped: str | None) -> None:
    """One that is as short as the first may have more behind it, on a server that does not fill its pages."""
    progress = PageProgress(size=10)
    assert progress.arrive(0, [*range(9)], 21 + last)
    assert progress.arrive(1, [*range(10, 22)], 21 + last)
    assert progress.arrive(2, [*range(22, 22 + last)], 21 + last)
    assert progress.stopped_by == stopped


def test_highest_page_that_came_early_tells_whether_the_list_goes_on() -> None:
    """A shorter page before it says nothing about the end, also if the walk resumed between them."""
    progress = PageProgress(size=10, base=1, beyond=frozenset({2}), received=20, total=29)
    assert progress.arrive(1, [*range(10, 19)], 29)
    assert progress.stopped_by is None
    assert not progress.arrive(3, [], 29)
    assert progress.stopped_by == "total"


def test_empty_page_ends_no_walk_that_has_a_gap() -> None:
    """The page between those that came is still to be fetched."""
    progress = PageProgress(size=2)
    assert progress.arrive(0, [0, 1], 5)
    assert progress.arrive(2, [4], 5)
    assert not progress.arrive(3, [], 5)
    assert progress.stopped_by is None
    assert [*progress.missing(5)] == [1]
    assert progress.arrive(1, [2, 3], 5)
    assert progress.received == 5


@pytest.mark.parametrize(
    ("count", "ends"), [(19, True), (20, False), (21, True), (50, False), (51, True), (99, True), (100, False)]
)
def test_single_page_is_the_end_unless_its_length_looks_like_a_cap(count: int, *, ends: bool) -> None:
    """Caps are the documented default and multiples of 50; the size that was asked for may be full, too."""
    progress = PageProgress(size=100)
    assert progress.arrive(0, [*range(count)], count)
    assert progress.stopped_by == ("total" if ends else None)


async def test_nine_empty_pages_up_to_the_total_are_the_end() -> None:
    """The page behind the total is no page that is missing."""
    server = Server(records=range(100), hidden=frozenset(range(10, 100)))
    assert await server.pager().collect() == [*range(10)]
    assert len(server.fetched) == 11


@pytest.mark.parametrize(("total", "left"), [(9, 1), (10, 1), (11, 1), (14, 1), (15, 2)])
def test_page_that_would_confirm_the_total_is_not_left_if_it_came(total: int, left: int) -> None:
    """Pages of five; the first and the third one came."""
    progress = PageProgress(size=5, base=1, beyond=frozenset({2}), received=10)
    assert (progress.pages_left(total), len([*progress.missing(total)])) == (left, left)


def test_highest_page_is_the_one_that_a_resumed_walk_recognises() -> None:
    """Not the one that came last."""
    progress = PageProgress(size=2)
    for number in (0, 2, 1):
        assert progress.arrive(number, [f"a{number}", f"b{number}"], 9)
    assert progress.latest == fingerprint(["a2", "b2"])


def test_zero_on_an_empty_page_is_no_total_where_none_was_known() -> None:
    """Records came before, so it says nothing."""
    progress = PageProgress(size=1)
    assert progress.arrive(0, ["a"], None)
    assert not progress.arrive(1, [], 0)
    assert (progress.total, progress.totals, progress.stopped_by) == (None, [], "empty page")


def test_error_of_a_list_without_end_has_the_status_of_its_answers() -> None:
    """They were successes."""
    with pytest.raises(APIResponseError) as caught:
        PageProgress(size=1, base=10**6).arrive(10**6, ["one more"], None)
    assert caught.value.status == 200
