"""From a record of the API to `InboundQueue`: matching values are read, others are never coerced."""

import json
from typing import Any

import attrs
import pytest
from cattrs import BaseValidationError
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import AlohubClient
from alohub_async.codec.converter import FieldError, converter_for
from alohub_async.models import InboundQueue, QueueStrategy
from tests.strategies import any_text, json_values
from tests.support import RawServer, http
from tests.twins import pickled

RECORD: dict[str, Any] = {
    "callinId": 1001226,
    "callinName": "Hàng đợi",
    "strategy": 1,
    "musicinQueue": "waiting.wav",
    "timeWait": "120",
    "agentSelector": None,
    "nguongRanhRoi": None,
    "callinNumber": None,
}
ATTRIBUTES = {
    "callinId": "id",
    "callinName": "name",
    "strategy": "strategy",
    "musicinQueue": "music_on_hold",
    "timeWait": "max_wait",
    "agentSelector": "agent_selector",
    "nguongRanhRoi": "announce_position",
    "callinNumber": "number",
}
NEVER_NULL = {"callinId", "callinName"}


def _lenient(record: dict[str, Any]) -> InboundQueue:
    return converter_for(strict=False).structure(record, InboundQueue)


def _strict(record: dict[str, Any]) -> InboundQueue:
    return converter_for(strict=True).structure(record, InboundQueue)


def test_documented_record_becomes_a_queue() -> None:
    """The vendor's example is read in both modes without unknown fields."""
    queue = InboundQueue(
        id=1001226, name="Hàng đợi", strategy=QueueStrategy.NORMAL, music_on_hold="waiting.wav", max_wait=120
    )
    assert _lenient(RECORD) == queue
    assert _strict(RECORD) == queue


def test_every_field_has_its_wire_name() -> None:
    """The names are those of the vendor's page."""
    wires = {field.metadata["wire"]: field.name for field in attrs.fields(InboundQueue) if field.name != "extra"}
    assert wires == ATTRIBUTES


FITS: list[tuple[str, Any, object]] = [
    ("callinId", 1, 1),
    ("callinId", "1001226", 1001226),
    ("callinId", 2**63, 2**63),
    ("callinName", "", ""),
    ("callinName", "123", "123"),
    ("strategy", 2, QueueStrategy.VIP),
    ("strategy", "99", QueueStrategy.LOCKED),
    ("strategy", 7, QueueStrategy(7)),
    ("strategy", 0, QueueStrategy(0)),
    ("strategy", -1, QueueStrategy(-1)),
    ("musicinQueue", "nhạc.wav", "nhạc.wav"),
    ("timeWait", "120", 120),
    ("timeWait", "0", 0),
    ("timeWait", "0060", 60),
    ("timeWait", 120, 120),
    ("timeWait", 0, 0),
    ("timeWait", "9" * 18, int("9" * 18)),
    ("agentSelector", "ring-all", "ring-all"),
    ("nguongRanhRoi", "0", False),
    ("nguongRanhRoi", "1", True),
    ("nguongRanhRoi", 0, False),
    ("nguongRanhRoi", 1, True),
    ("nguongRanhRoi", False, False),
    ("nguongRanhRoi", True, True),
    ("callinNumber", "0084123", "0084123"),
    ("callinNumber", "", ""),
]


@pytest.mark.parametrize(("wire", "raw", "value"), FITS)
def test_valid_value_is_read(wire: str, raw: Any, value: object) -> None:
    """The documented form and likely variants are read in both modes."""
    for structure in (_lenient, _strict):
        queue = structure({**RECORD, wire: raw})
        taken = getattr(queue, ATTRIBUTES[wire])
        assert (taken, type(taken)) == (value, type(value))
        assert not queue.extra


NO_NUMBER: list[Any] = [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1.0",
    "1e2",
    "1_0",
    "0x1",
    "٣",
    "²",
    "1" * 20,
    1.0,
    True,
    False,
    [],
    [1],
    {},
]
UNFIT: dict[str, list[Any]] = {
    "callinId": [*NO_NUMBER, None, 0, -7, "0"],
    "callinName": [None, 7, True, 1.5, [], {}, ["x"]],
    "strategy": [*NO_NUMBER, "VIP"],
    "timeWait": [*NO_NUMBER, -1],
    "musicinQueue": [7, False, [], {}],
    "agentSelector": [7, True, [], {}],
    "callinNumber": [84123, 84123.0, True, [], {}],
    "nguongRanhRoi": ["", "2", "true", "on", " 1", "01", 2, -1, 0.5, [], [0], {}],
}
MISFITS = [(wire, raw) for wire, values in UNFIT.items() for raw in values]


@pytest.mark.parametrize(("wire", "raw"), MISFITS)
def test_invalid_value_is_kept_raw(wire: str, raw: Any) -> None:
    """The attribute is None, the raw value is in `extra`, and all other attributes are unaffected."""
    queue = _lenient({**RECORD, wire: raw})
    expected = attrs.asdict(_lenient(RECORD), recurse=False)
    expected |= {ATTRIBUTES[wire]: None, "extra": {wire: raw}}
    assert attrs.asdict(queue, recurse=False) == expected
    assert queue.extra[wire] is raw


@pytest.mark.parametrize(("wire", "raw"), MISFITS)
def test_invalid_value_raises_in_strict_mode(wire: str, raw: Any) -> None:
    """The error names the field and has the value; it pickles."""
    with pytest.raises(FieldError) as caught:
        _strict({**RECORD, wire: raw})
    for error in (caught.value, pickled(caught.value)):
        assert error.field == wire
        assert error.value == raw
        assert type(error.value) is type(raw)


@pytest.mark.parametrize("wire", sorted(ATTRIBUTES.keys() - NEVER_NULL))
@pytest.mark.parametrize("change", [{}, None], ids=["missing", "null"])
def test_nullable_field_may_be_null_or_missing(wire: str, change: dict[str, Any] | None) -> None:
    """Both mean None in both modes, and add nothing to `extra`."""
    record = {name: value for name, value in RECORD.items() if name != wire}
    record |= {wire: None} if change is None else change
    for structure in (_lenient, _strict):
        queue = structure(record)
        assert getattr(queue, ATTRIBUTES[wire]) is None
        assert not queue.extra


@pytest.mark.parametrize("wire", sorted(NEVER_NULL))
def test_missing_id_or_name_does_not_fail_the_page(wire: str) -> None:
    """It is None without an entry in `extra`; strict mode raises an error that names it."""
    record = {name: value for name, value in RECORD.items() if name != wire}
    queue = _lenient(record)
    assert getattr(queue, ATTRIBUTES[wire]) is None
    assert not queue.extra
    with pytest.raises(FieldError) as caught:
        _strict(record)
    assert (caught.value.field, caught.value.value) == (wire, None)


def test_null_id_differs_from_a_missing_one() -> None:
    """The null is kept in `extra`."""
    assert _lenient({**RECORD, "callinId": None}).extra == {"callinId": None}


def test_unknown_fields_are_kept_unchanged() -> None:
    """They are kept by wire name, even if named like an attribute; strict mode accepts them."""
    unknown: dict[str, Any] = {"newField": [1, {"a": None}], "id": 5, "extra": {"x": 1}, "max_wait": "soon", "": 0}
    for structure in (_lenient, _strict):
        queue = structure({**RECORD, **unknown})
        assert queue.extra == unknown
        assert all(queue.extra[name] is value for name, value in unknown.items())
        assert (queue.id, queue.max_wait) == (1001226, 120)


def test_structuring_does_not_modify_the_record() -> None:
    """The payload can be used again."""
    record = {**RECORD, "timeWait": "soon", "new": 1}
    before = dict(record)
    assert _lenient(record).extra == {"timeWait": "soon", "new": 1}
    assert record == before


def test_converters_are_made_once_and_apart() -> None:
    """The lenient and the strict converter are cached separately."""
    assert converter_for(strict=False) is converter_for(strict=False)
    assert converter_for(strict=True) is not converter_for(strict=False)


def _means(wire: str, raw: Any, value: Any) -> bool:
    """Whether an attribute has the meaning of the raw value."""
    if wire in {"callinName", "musicinQueue", "agentSelector", "callinNumber"}:
        return type(raw) is type(value) is str and value == raw
    if wire == "nguongRanhRoi":
        return type(value) is bool and raw in ({"1", 1} if value else {"0", 0})
    spelled = type(raw) is str and raw.isascii() and raw.isdigit() and int(raw) == value
    least = {"callinId": 1, "timeWait": 0}.get(wire, value)
    return (spelled or (type(raw) is int and raw == value)) and value >= least


any_record = st.fixed_dictionaries({}, optional=dict.fromkeys(ATTRIBUTES, json_values)).flatmap(
    lambda known: st.dictionaries(any_text, json_values, max_size=3).map(lambda unknown: {**unknown, **known})
)


@given(any_record)
def test_no_record_raises_or_is_misread(record: dict[str, Any]) -> None:
    """Each attribute means its raw value, or is None with the raw value in `extra`; nothing is lost or invented."""
    queue = _lenient(record)
    kept = dict(queue.extra)
    for wire, name in ATTRIBUTES.items():
        value = getattr(queue, name)
        if value is not None:
            assert wire not in kept
            assert _means(wire, record[wire], value)
        elif wire in record and (record[wire] is not None or wire in NEVER_NULL):
            assert kept.pop(wire) is record[wire]
    unknown = {name: value for name, value in record.items() if name not in ATTRIBUTES}
    assert kept == unknown
    assert all(kept[name] is value for name, value in unknown.items())
    assert pickled(queue) == queue
    assert hash(queue) == hash(pickled(queue))


@given(any_record)
def test_strict_raises_just_where_lenient_keeps_a_raw_value(record: dict[str, Any]) -> None:
    """It also raises for a missing id or name; otherwise both modes agree."""
    lenient = _lenient(record)
    unfit = {wire for wire in ATTRIBUTES if wire in lenient.extra} | (NEVER_NULL - record.keys())
    try:
        strict = _strict(record)
    except FieldError as error:
        assert error.field in unfit  # noqa: PT017  (either outcome can be right)
    else:
        assert not unfit
        assert strict == lenient


@given(any_record)
def test_record_can_be_rebuilt(record: dict[str, Any]) -> None:
    """The attributes' raw forms and `extra` together are the whole record, so a copy of a list is lossless."""
    queue = _lenient(json.loads(json.dumps(record)))
    again = dict(queue.extra)
    for wire, name in ATTRIBUTES.items():
        value = getattr(queue, name)
        if wire not in again and wire in record:
            again[wire] = int(value) if isinstance(value, bool | QueueStrategy) else value
    assert _lenient(again) == queue


# Models of the user


@attrs.frozen
class _Agent:
    """A record of an endpoint that the SDK does not cover."""

    code: int = attrs.field(metadata={"wire": "agentCode"})
    nick: str | None = None
    tags: list[int] = attrs.field(factory=list[int])
    level: int = 3
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any])


def test_users_model_with_extra_is_read_like_ours() -> None:
    """Wire names come from the metadata or the attribute names, digit strings are read, and unknown fields are kept."""
    structure = converter_for(strict=False).structure
    agent = structure({"agentCode": "7", "nick": "An", "tags": ["1", 2], "level": 5, "new": 1}, _Agent)
    assert agent == _Agent(7, "An", [1, 2], 5, {"new": 1})


def test_invalid_value_in_a_users_model_does_not_raise() -> None:
    """A list with an invalid element is kept raw as a whole."""
    structure = converter_for(strict=False).structure
    agent = structure({"agentCode": "x", "tags": [1, "many"], "level": 5}, _Agent)
    assert agent.extra == {"agentCode": "x", "tags": [1, "many"]}
    assert attrs.astuple(agent)[:4] == (None, None, None, 5)
    with pytest.raises(FieldError, match="tags"):
        converter_for(strict=True).structure({"agentCode": 1, "tags": [1, "many"], "level": 5}, _Agent)


def test_users_model_keeps_its_defaults() -> None:
    """A missing field has the default of the model."""
    agent = converter_for(strict=True).structure({"agentCode": 7}, _Agent)
    assert agent == _Agent(7)


@attrs.frozen
class _Call:
    """A record without `extra`: an invalid value raises."""

    call: int = attrs.field(metadata={"wire": "callId"})
    strategy: QueueStrategy | None = None


def test_users_model_without_extra_is_read_by_its_wire_names() -> None:
    """The same readers are used, and unknown fields are dropped."""
    structure = converter_for(strict=False).structure
    assert structure({"callId": "7", "strategy": "8", "new": 1}, _Call) == _Call(7, QueueStrategy(8))
    assert structure({"callId": 7}, _Call) == _Call(7)
    with pytest.raises(BaseValidationError):
        structure({"callId": "x"}, _Call)


@attrs.frozen
class _Postponed:
    """A record whose annotations are strings, as `from __future__ import annotations` makes them."""

    code: "int"
    nick: "str | None" = None
    _hidden: "int" = 0
    length: "int" = attrs.field(init=False, default=-1)
    extra: "dict[str, Any]" = attrs.field(factory=dict[str, Any])


def test_users_model_may_postpone_its_annotations() -> None:
    """String annotations, private names and attributes outside of the constructor are supported."""
    record = {"code": "7", "nick": 5, "_hidden": "3", "length": 9}
    read = converter_for(strict=False).structure(record, _Postponed)
    assert attrs.astuple(read) == (7, None, 3, -1, {"nick": 5, "length": 9})


@pytest.mark.parametrize("queue_id", ["9" * 19, 9_999_999_999_999_999_999])
async def test_listed_id_can_be_got_however_long(queue_id: str | int) -> None:
    """An id of 19 digits is read as `get_inbound` takes it, as a number or as digits."""
    found = converter_for(strict=True).structure({"callinId": queue_id, "callinName": "x"}, InboundQueue)
    async with (
        RawServer(lambda _: [http({"callinId": queue_id, "callinName": "x"})]) as server,
        AlohubClient("sk_live_x", endpoint=server.url) as client,
    ):
        assert (await client.queues.get_inbound(found.id)).id == found.id == int(queue_id)
