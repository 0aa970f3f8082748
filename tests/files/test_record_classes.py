"""Files of a record class other than a queue."""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from alohub_async.files import read_records, record_from_dict, record_to_dict, write_records
from alohub_async.models import OpenIntEnum, Record


class Shift(OpenIntEnum):
    """An open enum."""

    DAY = 1
    NIGHT = 2


class Level(enum.IntEnum):
    """A closed enum."""

    LOW = 1


@attrs.frozen
class Agent(Record):
    """A record with a field of each kind."""

    id: int = attrs.field(metadata={"wire": "agentId", "minimum": 1})
    shift: Shift = attrs.field(metadata={"wire": "ca"})
    level: Level | None = attrs.field(default=None, metadata={"wire": "lvl"})
    active: bool | None = attrs.field(default=None, metadata={"wire": "isActive"})
    name: str | None = attrs.field(default=None, metadata={"wire": "fullName"})
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


AGENTS = [
    Agent(id=1, shift=Shift.NIGHT, level=Level.LOW, active=False, name="=1"),
    Agent(id=2**70, shift=Shift(77), name="", extra={"lvl": 7, "new": [1]}),
    Agent(id=3, shift=Shift(2**40), name="\ud800"),
]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_records_of_any_class_are_read_back(tmp_path: Path, ending: str) -> None:
    """Unknown enum numbers, large numbers and text that UTF-8 cannot encode survive."""
    path = tmp_path / f"agents.{ending}"
    write_records(path, Agent, AGENTS)
    read = [*read_records(path, Agent)]
    assert read == AGENTS
    assert [*map(repr, read)] == [*map(repr, AGENTS)]


def test_a_record_is_a_json_object() -> None:
    """The keys are the attributes, and enums are plain numbers."""
    written = record_to_dict(AGENTS[0])
    assert written == {"id": 1, "shift": 2, "level": 1, "active": False, "name": "=1", "extra": {}}
    assert type(written["shift"]) is int
    assert record_from_dict(Agent, {"id": 1, "shift": 2}) == Agent(id=1, shift=Shift.NIGHT)
    with pytest.raises(ValueError, match="column 'shift' is missing"):
        record_from_dict(Agent, {"id": 1})


def test_a_field_that_no_column_can_hold_is_an_error(tmp_path: Path) -> None:
    """The error names the field."""

    @attrs.frozen
    class Odd(Record):
        share: float = 0.0
        extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)

    with pytest.raises(TypeError, match=r"Odd\.share must be an int, str, bool or IntEnum"):
        write_records(tmp_path / "odd.csv", Odd, [])
