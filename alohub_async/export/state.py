"""How far an export has come, as its journal stores it."""

from typing import Any

import attrs

from alohub_async.pagination import PassesState


@attrs.frozen(kw_only=True)
class Spent:
    """What an export has cost so far, over all its runs; see `ExportReport`."""

    requests: int = 0
    denied: int = 0
    waited: float = 0.0
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class State:
    """The position of an export at a checkpoint."""

    passes: PassesState = attrs.field(factory=PassesState)
    token: str | None = None  # the position of the current pass; None at its beginning
    received: int = 0  # records that the current pass brought, duplicates included
    total: int | None = None  # the latest
    gone: int = 0  # ids that had no details, over all passes
    ended: bool = False  # whether all passes have ended
    runs: int = 0  # how often the export was started or resumed
    spent: Spent = Spent()

    def to_json(self) -> dict[str, Any]:
        """Return a flat JSON object: the attributes of the passes stand beside the others."""
        values = attrs.asdict(self)
        return {**values.pop("passes"), **values}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "State":
        """Read what `to_json` returned."""
        values = dict(saved)
        passes: Any = {field.name: values.pop(field.name) for field in attrs.fields(PassesState)}
        spent: Any = values.pop("spent")
        return cls(passes=PassesState(**passes), spent=Spent(**spent), **values)


def verdict(state: State) -> tuple[bool, str]:
    """Return whether an export that has ended is complete, and why."""
    passes = state.passes
    if passes.settled is not None:
        why = "the last pass proved that nothing is missing"
        return passes.settled, why if passes.settled else f"the list moved during each of {passes.number} passes"
    if passes.moved:
        return False, "the list moved while it was walked"
    if state.total is not None and state.received < state.total:
        records = "1 record" if state.received == 1 else f"{state.received} records"
        return False, f"the server reports {state.total} in all, but listed only {records}"
    return True, "as many records came as the server reports, and there is no sign that the list moved"
