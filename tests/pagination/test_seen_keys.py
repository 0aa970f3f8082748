"""Which records were seen: exact for any keys."""

import struct
from collections.abc import Hashable, Sequence
from itertools import accumulate, cycle, islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alohub_async.pagination.seen_keys import KeySet, fingerprint

NEAR = st.integers(-5, 60)
FAR = st.integers(-(10**20), 10**20) | st.integers(2000, 2100)
RISING = st.lists(st.sampled_from([1, 1, 1, 2, 17, 254, 255, 256, 5000]), max_size=12).flatmap(
    lambda gaps: st.integers(-300, 300).map(lambda first: [*accumulate(gaps, initial=first)])
)
KEYS: list[st.SearchStrategy[Any]] = [
    NEAR,
    FAR,
    NEAR | st.text("ab", max_size=2) | st.tuples(st.text("ab", max_size=1)),
]
IDS = NEAR | FAR | st.text("ab", max_size=2)
PAGES = st.lists(RISING | st.sampled_from(KEYS).flatmap(lambda keys: st.lists(keys, max_size=12)), max_size=12)


def _plain_result(seen: set[Any], keys: Sequence[Any]) -> frozenset[int]:
    repeated: set[int] = set()
    for index, key in enumerate(keys):
        if key in seen and not isinstance(key, tuple):
            repeated.add(index)
        seen.add(key)
    return frozenset(repeated)


@given(PAGES)
def test_set_of_keys_is_exact(pages: list[list[Any]]) -> None:
    """It reports what a plain set would; a record without an id is always new."""
    keys, seen = KeySet(), set[Any]()
    for page in pages:
        assert keys.add_all(page) == _plain_result(seen, page)


def test_a_page_of_close_numbers_is_exact_at_the_edges() -> None:
    """Around the ends of a word, below zero, and if one page fills the gaps of another."""
    keys = KeySet()
    for page in ([2046, 2047, 2048, 2049], [-1, 0, 1], [*range(2, 2046)], [*range(2050, 9000, 2)]):
        assert keys.add_all(page) == frozenset()
    assert keys.add_all([*range(2051, 9000, 2)]) == frozenset()
    assert keys.add_all([*range(-1, 9000)]) == frozenset(range(9001))
    assert keys.add_all([9000, 8999, 9000, 9001]) == {1, 2}


@pytest.mark.parametrize("gaps", [[1], [1, 3, 255, 2, 1, 1], [1, 2, 256, 1, 1]], ids=str)
def test_a_long_list_by_id_is_exact(gaps: list[int]) -> None:
    """Also if, after many pages, records come again, or skipped records come."""
    ids = [*accumulate(islice(cycle(gaps), 29_999), initial=10**6)]
    skipped = sorted({*range(ids[0], ids[-1])} - {*ids})
    skipped = skipped[:: len(skipped) // 20_000 + 1]
    for size in (1, 7, 1000):
        keys = KeySet()
        for at in range(0, len(ids), size):
            assert keys.add_all(ids[at : at + size]) == frozenset()
        assert keys.add_all([ids[-1], ids[-1] + 1]) == {0}
        assert keys.add_all([ids[0] - 1, ids[0], ids[0] + 1]) == {1, 2}
        for at in range(0, len(ids) - 1000, 5000):
            assert keys.add_all(ids[at : at + 1000]) == frozenset(range(1000))
        assert not any(key in keys for key in skipped)
        assert len(keys) == 30_002


@given(PAGES, PAGES)
def test_sets_that_grow_while_they_are_looked_at(before: list[list[Any]], after: list[list[Any]]) -> None:
    """Lookups do not change the set, in between and after adding another set."""
    keys, other, seen = KeySet(), KeySet(), set[Any]()
    for page in before:
        keys.add_all(page)
        other.add_all(page)
        _plain_result(seen, page)
        assert keys <= other
        assert all(key in keys for key in page if not isinstance(key, tuple))
    both = KeySet()
    both.update(other)
    for page in after:
        assert keys.add_all(page) == both.add_all(page) == _plain_result(seen, page)
    assert len(keys) == len(both) == len([key for key in seen if not isinstance(key, tuple)])


PAGE = RISING | st.lists(FAR | NEAR | st.text(max_size=3))


@given(PAGE, PAGE)
@example([*struct.unpack("2Q", b"('abcdefghijk',)")], ["abcdefghijk"])  # ids whose bytes read like a string
def test_fingerprints_of_different_pages_differ(one: list[Hashable], other: list[Hashable]) -> None:
    """And those of equal ones do not."""
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert fingerprint(one) == fingerprint(tuple(one))


@given(st.lists(IDS, max_size=40), st.lists(IDS, max_size=40))
def test_sets_of_keys(some: list[int | str], others: list[int | str]) -> None:
    """Membership, size, subsets and unions are those of sets."""
    left, right = KeySet(), KeySet()
    left.add_all(some)
    right.add_all(others)
    assert len(left) == len({*some})
    assert all((key in left) == (key in {*some}) for key in [*some, *others])
    assert (left <= right) == ({*some} <= {*others})
    left.update(right)
    assert len(left) == len({*some, *others})
    assert right <= left
