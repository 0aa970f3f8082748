"""The arithmetic of a walk, in order and out of order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.errors import APIResponseError
from alohub_async.pagination.progress import PageProgress


def test_walk_gives_up_after_a_million_pages() -> None:
    """The walk over a server that never stops sending pages ends with an error; the position does not change."""
    progress = PageProgress(size=1, base=999_999, received=999_999)
    assert progress.arrive(999_999, ["last"], None)
    with pytest.raises(APIResponseError, match="not ended after 1000000 pages"):
        progress.arrive(1_000_000, ["one more"], None)
    assert (progress.base, progress.received) == (1_000_000, 1_000_000)


def test_walk_that_resumed_late_gives_up_at_once_on_an_empty_page() -> None:
    """Beyond the last page that any list has, one page without a record is enough."""
    progress = PageProgress(size=1, base=1_000_000, received=5)
    with pytest.raises(APIResponseError, match="giving up"):
        progress.arrive(1_000_000, [], 10**9)


def test_position_does_not_change_by_an_error() -> None:
    """Ten more empty pages are tried after the error; a page with records resets the count."""
    progress = PageProgress(size=10, base=1, received=10)
    for _ in range(2):
        for _ in range(9):
            assert not progress.arrive(progress.base, [], 10_000)
        number = progress.base
        with pytest.raises(APIResponseError):
            progress.arrive(number, [], 10_000)
        assert (progress.base, progress.received, progress.stopped_by) == (number, 10, None)
    assert progress.arrive(progress.base, [*range(10)], 10_000)
    assert progress.received == 20


def test_pages_out_of_order_end_the_walk_only_without_a_gap() -> None:
    """As many records as the total are not enough while a page between them is missing."""
    progress = PageProgress(size=2)
    for number, total in ((0, 7), (3, 7), (2, 6)):
        assert progress.arrive(number, [number * 2, number * 2 + 1][: 7 - number * 2], total)
        assert progress.stopped_by is None
    assert [*progress.missing(5)] == [1]
    assert progress.arrive(1, [2, 3], 7)
    assert progress.stopped_by == "total"


def test_gap_beyond_the_end_is_none() -> None:
    """After a list shrank, pages that do not exist any more are not missing."""
    progress = PageProgress(size=2)
    progress.arrive(0, [0, 1], 12)
    progress.arrive(1, [2, 3], 12)
    progress.arrive(4, [8, 9], 12)
    assert progress.stopped_by is None
    progress.arrive(5, [], 4)
    assert progress.stopped_by is not None


@given(st.integers(0, 12), st.frozensets(st.integers(0, 15)), st.integers(1, 4), st.integers(0, 60))
def test_pages_left_are_those_that_are_missing(base: int, beyond: frozenset[int], size: int, total: int) -> None:
    """The iterator, the check of one page and the number agree."""
    progress = PageProgress(size=size, base=base, beyond=frozenset(number for number in beyond if number > base))
    missing = [*progress.missing(total)]
    assert missing == [number for number in range(80) if progress.is_missing(number, total)]
    assert progress.pages_left(total) == len(missing)
