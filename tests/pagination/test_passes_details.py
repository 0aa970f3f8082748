"""Where a list shifted in a pass: the pages that may hide a record."""

from alohub_async.pagination import Drift, Passes, PassesState


def test_page_after_one_without_a_total_is_no_suspect() -> None:
    """Only two totals that differ show that the list moved between their pages."""
    passes = Passes()
    passes.add_page(0, [1, 2], None, Drift())
    passes.add_page(1, [3, 4], 9, Drift(totals=(9,)))
    passes.add_page(3, [7, 8], 8, Drift(totals=(9, 8)))
    assert passes.suspects() == []
    passes.add_page(2, [5, 6], 9, Drift(totals=(9, 8)))
    assert passes.suspects() == [2, 3]


def test_refetched_record_without_an_id_is_known_to_the_next_pass() -> None:
    """It counts like any other record."""
    passes = Passes()
    passes.add_page(0, [1, 2], 3, Drift(totals=(3,)))
    passes.add_refetched([("x",), "y"])
    assert passes.end_pass(Drift(totals=(3,)), max_passes=5)
    assert [passes.was_known(key) for key in (1, ("x",), "y", 3)] == [True, True, True, False]


def test_pass_begins_without_a_sign_of_movement() -> None:
    """What the pass before showed is noted apart."""
    passes = Passes()
    passes.add_page(0, [1, 2], 2, Drift(totals=(2,), duplicates=1))
    assert passes.end_pass(Drift(totals=(2,), duplicates=1), max_passes=5)
    assert passes.state == PassesState(number=2, moved=False, moved_before=True, totals=(2,), duplicates=1)


def test_two_totals_are_a_sign_of_movement() -> None:
    """So are records that came again; one total, or none, is not."""
    for drift, moved in (
        (Drift(), False),
        (Drift(totals=(5,)), False),
        (Drift(totals=(5, 4)), True),
        (Drift(totals=(5,), duplicates=1), True),
    ):
        passes = Passes()
        passes.add_page(0, [1, 2], 5, drift)
        assert passes.state.moved == moved


def test_first_page_can_be_a_suspect() -> None:
    """A record may have been skipped between it and the next page; before it there is none."""
    passes = Passes()
    passes.add_page(0, [1, 2], 9, Drift(totals=(9,)))
    passes.add_page(1, [3, 4], 8, Drift(totals=(9, 8)))
    assert passes.suspects() == [0, 1]
    repeating = Passes()
    repeating.add_page(0, [1, 1], None, Drift())
    assert repeating.suspects() == [0]


def test_id_that_comes_again_without_the_walk_noticing_is_a_sign_too() -> None:
    """A walk that resumed does not know the records before its token; the pass does."""
    passes = Passes()
    passes.add_page(0, [1, 2], 9, Drift(totals=(9,)))
    passes.add_page(1, [2, 3], 9, Drift(totals=(9,)))
    assert (passes.state.moved, passes.state.duplicates, passes.count) == (True, 1, 3)
