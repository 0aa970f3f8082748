"""What a journal stores of an export, and what an export that has ended says of itself."""

import json

import pytest

from alohub_async.export.state import Spent, State, verdict
from alohub_async.pagination import PassesState

POSITION = "MTIz"
PROVEN = "the last pass proved that nothing is missing"
WHOLE = "as many records came as the server reports, and there is no sign that the list moved"


@pytest.mark.parametrize(
    "state",
    [
        State(),
        State(token=POSITION, received=7, total=9, gone=1, ended=True, runs=3),
        State(
            passes=PassesState(number=4, first_total=9, moved=True, moved_before=False, totals=(9, 8), duplicates=2),
            spent=Spent(requests=11, denied=2, waited=0.5, seconds=8.25),
        ),
        State(passes=PassesState(settled=True)),
    ],
)
def test_state_comes_back_as_it_was(state: State) -> None:
    """Through JSON, in which the passes stand beside the rest."""
    saved = json.loads(json.dumps(state.to_json()))
    assert State.from_json(saved) == state
    assert "passes" not in saved
    assert (saved["number"], saved["runs"]) == (state.passes.number, state.runs)


def test_reading_a_state_leaves_what_was_stored() -> None:
    """It can be read again."""
    saved = State(runs=2).to_json()
    assert State.from_json(saved) == State.from_json(saved) == State(runs=2)


@pytest.mark.parametrize("missing", ["number", "spent", "settled"])
def test_state_of_another_version_is_refused(missing: str) -> None:
    """A part that is missing, or one too many."""
    saved = State().to_json()
    with pytest.raises(KeyError, match=missing):
        State.from_json({name: value for name, value in saved.items() if name != missing})
    with pytest.raises(TypeError):
        State.from_json({**saved, "other": 1})


@pytest.mark.parametrize(
    ("state", "complete", "why"),
    [
        (State(passes=PassesState(settled=True, moved=True), received=1, total=5), True, PROVEN),
        (State(passes=PassesState(settled=False, number=3)), False, "the list moved during each of 3 passes"),
        (State(passes=PassesState(moved=True), received=5, total=5), False, "the list moved while it was walked"),
        (State(received=5, total=5), True, WHOLE),
        (State(received=6, total=5), True, WHOLE),
        (State(received=0, total=0), True, WHOLE),
        (State(received=5), True, WHOLE),
        (State(received=4, total=5), False, "the server reports 5 in all, but listed only 4 records"),
        (State(received=1, total=5), False, "the server reports 5 in all, but listed only 1 record"),
        (State(received=0, total=5), False, "the server reports 5 in all, but listed only 0 records"),
    ],
)
def test_verdict(state: State, why: str, *, complete: bool) -> None:
    """The proof comes first, then signs of movement, then the numbers."""
    assert verdict(state) == (complete, why)
