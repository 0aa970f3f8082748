"""The arithmetic of a walk, in order and out of order."""

import pytest

from alohub_async.errors import APIResponseError
from alohub_async.pagination.progress import PageProgress


def test_walk_gives_up_after_a_million_pages() -> None:
    """A server that never stops sending pages is stopped, and the walk stays where it was."""
    walk = PageProgress(size=1, base=999_999, received=999_999)
    assert walk.arrive(999_999, ["last"], None)
    with pytest.raises(APIResponseError, match="not ended after 1000000 pages"):
        walk.arrive(1_000_000, ["one more"], None)
    assert (walk.base, walk.received) == (1_000_000, 1_000_000)


def test_walk_that_resumed_late_gives_up_at_once_on_an_empty_page() -> None:
    """Past the last page any list has, one page without a record is enough."""
    walk = PageProgress(size=1, base=1_000_000, received=5)
    with pytest.raises(APIResponseError, match="giving up"):
        walk.arrive(1_000_000, [], 10**9)


def test_walk_that_raised_stays_where_it_was() -> None:
    """Ten more empty pages are tried after the error, and records end the count."""
    walk = PageProgress(size=10, base=1, received=10)
    for _ in range(2):
        for _ in range(9):
            assert not walk.arrive(walk.base, [], 10_000)
        number = walk.base
        with pytest.raises(APIResponseError):
            walk.arrive(number, [], 10_000)
        assert (walk.base, walk.received, walk.stopped_by) == (number, 10, None)
    assert walk.arrive(walk.base, [*range(10)], 10_000)
    assert walk.received == 20


def test_pages_out_of_order_end_the_walk_only_without_a_gap() -> None:
    """As many records as the total says are not enough while a page between them is missing."""
    walk = PageProgress(size=2)
    for number, total in ((0, 8), (3, 8), (2, 5)):
        assert walk.arrive(number, [number * 2, number * 2 + 1], total)
        assert walk.stopped_by is None
    assert [*walk.missing(5)] == [1]
    assert walk.arrive(1, [2, 3], 8)
    assert walk.stopped_by == "total"


def test_gap_behind_the_end_is_none() -> None:
    """Where a list shrank, the pages that are no longer there are not missed."""
    walk = PageProgress(size=2)
    walk.arrive(0, [0, 1], 12)
    walk.arrive(1, [2, 3], 12)
    walk.arrive(4, [8, 9], 12)
    assert walk.stopped_by is None
    walk.arrive(5, [], 4)
    assert walk.stopped_by is not None
