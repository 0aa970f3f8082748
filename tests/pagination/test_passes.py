"""The pass engine: what proves a list whole, what does not, and going on from a checkpoint."""

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.pagination import Drift, Passes, PassesState

PAGE_SIZE = 3


def _feed(passes: Passes, keys: list[Any], total: int | None, *, duplicates: int = 0) -> Drift:
    """Add all pages of a pass; return what its walk noticed."""
    drift = Drift(totals=() if total is None else (total,), duplicates=duplicates)
    for start in range(0, len(keys), PAGE_SIZE):
        passes.add_page(start // PAGE_SIZE, keys[start : start + PAGE_SIZE], total, drift)
    return drift


def _pass(passes: Passes, keys: list[Any], total: int | None, **noticed: int) -> bool:
    return passes.end_pass(_feed(passes, keys, total, **noticed), max_passes=5)


def test_second_pass_proves_the_list_although_it_moved() -> None:
    """As many ids as the total at its beginning, all known before: that is enough."""
    passes = Passes()
    assert _pass(passes, [1, 2, 3, 4], 4)
    assert not _pass(passes, [4, 3, 2, 1], 4, duplicates=1)
    assert passes.state == PassesState(
        number=2, first_total=4, moved=True, moved_before=False, totals=(4,), duplicates=1, settled=True
    )
    assert passes.finished == 2


def test_new_id_needs_another_pass() -> None:
    """The right number of ids does not prove anything if one of them may have been added during the pass."""
    passes = Passes()
    assert _pass(passes, [1, 2, 3], 3)
    assert _pass(passes, [1, 2, 9], 3)
    assert not _pass(passes, [1, 2, 9], 3)
    assert passes.state.settled


def test_only_the_total_at_the_beginning_counts() -> None:
    """A total that is reported after the first records says nothing about the moment when these were listed."""
    passes = Passes()
    _pass(passes, [1, 2, 3, 4], None)
    passes.add_page(0, [1, 2, 3], None, Drift())
    passes.add_page(1, [4], 4, Drift(totals=(4,), duplicates=1))
    assert passes.state.first_total is None
    assert passes.end_pass(Drift(totals=(4,), duplicates=1), max_passes=5)


def test_totals_that_a_page_refuted_prove_nothing() -> None:
    """Neither in that pass nor in a later one: a pass of as many records may miss one."""
    passes = Passes()
    passes.add_page(0, [1, 2], 2, Drift(totals=(2,)))
    passes.add_page(1, [3], None, Drift(totals=(2,)))
    assert passes.end_pass(Drift(totals=(2,)), max_passes=5)
    assert _pass(passes, [2, 3], 2)
    assert not _pass(passes, [2, 3], 2)  # two equal passes do
    assert passes.state.settled


def test_total_of_a_page_without_records_counts_if_it_came_first() -> None:
    """The walk reports it with the first page that brings records."""
    passes = Passes()
    passes.add_page(1, [1, 2], 3, Drift(totals=(2, 3)))
    assert passes.state.first_total == 2


def test_two_equal_quiet_passes_are_accepted_without_a_total() -> None:
    """But not if either of them shows a sign of movement."""
    quiet, moving = Passes(), Passes()
    assert _pass(quiet, [1, 2], None)
    assert not _pass(quiet, [2, 1], None)
    assert quiet.state.settled
    assert _pass(moving, [1, 2], None, duplicates=1)
    assert _pass(moving, [1, 2], None)
    assert not _pass(moving, [1, 2], None)
    assert moving.state.settled


def test_gives_up_after_the_last_pass() -> None:
    """It is not proven then, and there is no other pass."""
    passes = Passes()
    assert passes.end_pass(_feed(passes, [1], 2), max_passes=2)
    assert not passes.end_pass(_feed(passes, [2], 2), max_passes=2)
    assert passes.state.settled is False


def test_a_single_pass_proves_nothing() -> None:
    """It ends without a verdict."""
    passes = Passes()
    assert not passes.end_pass(_feed(passes, [1], 1), max_passes=None)
    assert passes.state.settled is None


def test_empty_list_is_proven_by_one_pass() -> None:
    """The total says that there is nothing to know."""
    passes = Passes()
    assert not passes.end_pass(Drift(totals=(0,)), max_passes=5)
    assert passes.state.settled


def test_records_without_an_id_count_but_are_no_duplicates() -> None:
    """Two that look the same are one key, and no sign of movement."""
    passes = Passes()
    assert _pass(passes, [("a",), ("a",), "a", 1], 4)
    assert passes.count == 0
    assert passes.was_known(("a",))
    passes.add_page(0, [("a",), ("a",), "a", 1], 4, Drift(totals=(4,)))
    assert (passes.came(("a",)), passes.came("a"), passes.came(1)) == (False, True, True)
    assert (passes.count, passes.state.duplicates) == (3, 0)
    assert not passes.end_pass(Drift(totals=(4,)), max_passes=5)
    assert passes.state.settled


def test_suspects_are_both_sides_of_an_edge() -> None:
    """Where the total changed, where an id came again, and where the walk left out a duplicate."""
    passes = Passes()
    passes.add_page(0, [1, 2], 20, Drift(totals=(20,)))
    passes.add_page(1, [3, 4], 20, Drift(totals=(20,)))
    assert passes.suspects() == []
    passes.add_page(2, [5, 6], 19, Drift(totals=(20, 19)))
    assert passes.suspects() == [1, 2]
    passes.add_page(5, [7], 19, Drift(totals=(20, 19), duplicates=1))
    assert passes.suspects() == [1, 2, 4, 5]
    passes.add_page(9, [7], 19, Drift(totals=(20, 19), duplicates=1))
    assert passes.suspects() == [1, 2, 4, 5, 8, 9]
    assert passes.state.duplicates == 2


def test_refetched_records_are_known_to_the_next_pass_only() -> None:
    """They came after this pass began, so they prove nothing about it."""
    passes = Passes()
    drift = _feed(passes, [1, 2], 3)
    passes.add_refetched([3])
    assert passes.end_pass(drift, max_passes=5)
    assert not _pass(passes, [1, 2, 3], 3)
    assert passes.state.settled


KEYS = st.lists(st.integers(1, 9) | st.sampled_from(["x", "y"]) | st.tuples(st.sampled_from("pq")), max_size=8)


@given(st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=6), st.integers(2, 5))
def test_restored_from_its_checkpoints_it_is_the_same(walks: list[tuple[list[Any], int | None]], most: int) -> None:
    """After every page and every pass, as an export's journal stores them."""
    live, stored = Passes(), list[tuple[list[Any], PassesState]]()
    for keys, total in walks:
        drift = Drift(totals=() if total is None else (total,))
        for start in range(0, len(keys), PAGE_SIZE):
            page = keys[start : start + PAGE_SIZE]
            live.add_page(start // PAGE_SIZE, page, total, drift)
            stored.append((page, live.state))
            restored = Passes()
            for some, state in stored:
                restored.restore(some, attrs.evolve(state))
            assert (restored.state, restored.count) == (live.state, live.count)
            assert all(restored.came(key) == live.came(key) for key in [*range(10), "x", "y", ("p",)])
            assert all(restored.was_known(key) == live.was_known(key) for key in [*range(10), "x", "y", ("p",)])
        goes_on = live.end_pass(drift, max_passes=most)
        stored.append(([], live.state))
        if not goes_on:
            return
