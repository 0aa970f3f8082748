"""The parts that a set of keys is made of: gaps, fingerprints, and pages that repeat themselves."""

import cProfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.pagination.seen_keys import KeySet, fingerprint, gaps_of

KEYS = st.lists(st.integers(-5, 300) | st.integers(-(2**70), 2**70)) | st.lists(st.integers() | st.text() | st.none())


@pytest.mark.parametrize(
    ("keys", "gaps"),
    [
        ([5], [0]),
        ([5, 6, 9, 264], [0, 1, 3, 255]),
        ([-3, -2, 1], [0, 1, 3]),
        ([2**80, 2**80 + 7], [0, 7]),
        ([], []),
        ([5, 5], []),
        ([5, 6, 6], []),
        ([6, 5], []),
        ([5, 261], []),
        (["a", "b"], []),
        ([5, None], []),
    ],
)
def test_gaps_are_those_of_a_page_that_rises_slowly(keys: list[Any], gaps: list[int]) -> None:
    """Each number is 1 to 255 above the one before; of any other page there are none."""
    assert [*gaps_of(keys)] == gaps


@given(KEYS)
def test_fingerprint_is_the_same_with_gaps_that_are_known(keys: list[Any]) -> None:
    """They only save work."""
    assert fingerprint(keys, gaps_of(keys)) == fingerprint(keys)


@pytest.mark.parametrize("keys", [[5, 5], [5, 6, 6], ["a", "b", "a"], [7, "a", 7]], ids=str)
def test_record_that_comes_twice_on_one_page_is_reported(keys: list[Any]) -> None:
    """The second time only, whether or not the set had keys before."""
    twice = {index for index, key in enumerate(keys) if key in keys[:index]}
    assert KeySet().add_all(keys) == twice
    others = KeySet()
    others.add_all([1, 2, "z"])
    assert others.add_all([*keys, 2]) == {*twice, len(keys)}


@pytest.mark.parametrize("step", [1, 255, 256, 310, 5000])
def test_pages_far_from_each_other_are_kept_apart(step: int) -> None:
    """From below zero to above it, whatever lies between two pages."""
    keys = KeySet()
    pages = [[-600 + index * step] for index in range(5)]
    for page in pages:
        assert keys.add_all(page) == frozenset()
    assert [number for number in range(-700, 25_000) if number in keys] == [page[0] for page in pages]


def test_numbers_that_fall_within_a_page_are_known_to_the_next() -> None:
    """A page that begins behind the last number of the page before may still repeat a higher one."""
    keys = KeySet()
    assert keys.add_all(["a", 9, 3]) == frozenset()
    assert keys.add_all([5, 9]) == {1}
    assert keys.add_all([6, 7, 10]) == frozenset()
    assert keys.add_all([10, 11]) == {0}


@pytest.mark.parametrize("key", [0, -1, 7, "", "x"], ids=repr)
def test_set_with_any_key_is_not_empty(key: int | str) -> None:
    """Also with zero, or an empty text."""
    keys = KeySet()
    assert not keys
    keys.add_all([key])
    assert keys
    assert len(keys) == 1


def test_counting_takes_no_longer_with_more_keys() -> None:
    """An export asks for the number after each detail, also if no two ids are near each other."""
    keys = KeySet()
    for first in range(0, 10**9, 10**6):
        keys.add_all([first, first + 10**5])
    assert len(keys) == 2000
    with cProfile.Profile() as profile:
        assert len(keys) == 2000
    assert sum(entry.callcount for entry in profile.getstats()) < 10
