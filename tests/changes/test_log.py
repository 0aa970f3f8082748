"""What a log of changes restores."""

from hypothesis import given
from hypothesis import strategies as st

from alohub_async.changes import FieldChange
from alohub_async.changes.log import restored

EDITS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["done", "unknown", "not done"])), min_size=1)


@given(EDITS)
def test_the_first_value_is_restored(edits: list[tuple[int, str]]) -> None:
    """Whatever was written, and whether or not an edit without a result was made."""
    value, logged = 0, list[tuple[FieldChange, bool]]()
    for wanted, result in edits:
        if wanted != value:
            logged.append((FieldChange("max_wait", value, wanted), result == "done"))
            value = value if result == "not done" else wanted
    if logged:
        found = restored(value, logged)
        assert found.after == 0
        assert value in {found.before, 0}


@given(EDITS)
def test_the_value_of_somebody_else_is_expected_by_no_edit(edits: list[tuple[int, str]]) -> None:
    """So the queue is a conflict."""
    logged = [(FieldChange("max_wait", 0, wanted), result == "done") for wanted, result in edits]
    assert restored(9, logged).before != 9
