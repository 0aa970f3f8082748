"""Comparing two states of the queues."""

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import InboundQueue, QueueStrategy
from alohub_async.changes import ABSENT, FieldChange, Unmatched, diff_queues
from tests.strategies import any_text, json_values

NO_ID: Any = None

queues: st.SearchStrategy[InboundQueue] = st.builds(
    InboundQueue,
    id=st.integers(1, 5) | st.none(),
    name=any_text,
    strategy=st.none() | st.integers(1, 200).map(QueueStrategy),
    max_wait=st.none() | st.integers(0, 3),
    announce_position=st.none() | st.booleans(),
    extra=st.dictionaries(any_text, json_values, max_size=2),
)


def test_different_fields_have_both_values() -> None:
    """Queues are matched by id, in any order."""
    one, two, three = (InboundQueue(number, f"q{number}") for number in (1, 2, 3))
    changed = attrs.evolve(one, max_wait=60, strategy=QueueStrategy.VIP)
    diff = diff_queues([one, two], [three, changed])
    assert (diff.added, diff.removed, diff.unmatched, diff.unchanged) == ((three,), (two,), (), 0)
    [change] = diff.changed
    assert (change.before, change.after) == (one, changed)
    assert change.fields == (
        FieldChange("strategy", None, QueueStrategy.VIP),
        FieldChange("max_wait", None, 60),
    )


def test_unknown_fields_are_compared_by_wire_name() -> None:
    """They are compared as JSON: true is not 1, and null is not a missing field."""
    before = InboundQueue(1, "q", extra={"a": 1, "b": None, "c": {"x": 1, "y": 2}, "same": [1.5]})
    after = InboundQueue(1, "q", extra={"a": True, "c": {"y": 2, "x": 1}, "same": [1.5], "màu": "đỏ"})
    [change] = diff_queues([before], [after]).changed
    assert change.fields == (
        FieldChange("extra.a", 1, True),
        FieldChange("extra.b", None, ABSENT),
        FieldChange("extra.màu", ABSENT, "đỏ"),
    )
    assert repr(change.fields[1].after) == "ABSENT"


def test_queues_without_an_id_or_with_a_duplicate_id() -> None:
    """The first queue of an id is compared; the others are reported unless the other state has them, too."""
    no_id, duplicate = InboundQueue(NO_ID, "x", extra={"callinId": "?"}), InboundQueue(1, "second")
    first = InboundQueue(1, "first")
    diff = diff_queues([first, duplicate, no_id, no_id], [no_id, first])
    assert diff.unmatched == (Unmatched("before", duplicate, "id again"), Unmatched("before", no_id, "no id"))
    assert (diff.added, diff.removed, diff.changed, diff.unchanged) == ((), (), (), 1)
    assert not diff.is_empty


@given(st.lists(queues, max_size=8))
def test_equal_states(state: list[InboundQueue]) -> None:
    """Any state has no differences to itself."""
    assert diff_queues(state, state).is_empty


@given(st.lists(queues, max_size=8), st.lists(queues, max_size=8))
def test_no_queue_is_lost(before: list[InboundQueue], after: list[InboundQueue]) -> None:
    """Each queue is compared, added, removed or unmatched; the reverse diff has the same queues."""
    diff = diff_queues(before, after)
    ids_before = {queue.id for queue in before} - {None}
    ids_after = {queue.id for queue in after} - {None}
    assert {queue.id for queue in diff.added} == ids_after - ids_before
    assert {queue.id for queue in diff.removed} == ids_before - ids_after
    assert len(diff.changed) + diff.unchanged == len(ids_before & ids_after)
    back = diff_queues(after, before)
    assert (back.added, back.removed) == (diff.removed, diff.added)
    assert {(c.before.id, len(c.fields)) for c in back.changed} == {(c.before.id, len(c.fields)) for c in diff.changed}
    assert len(back.unmatched) == len(diff.unmatched)
