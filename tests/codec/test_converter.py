"""From a record of the API to `InboundQueue`: what fits is taken, what does not is never bent into shape."""

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
    """The vendor's example, strict or not, without anything left over."""
    queue = InboundQueue(
        id=1001226, name="Hàng đợi", strategy=QueueStrategy.NORMAL, music_on_hold="waiting.wav", max_wait=120
    )
    assert _lenient(RECORD) == queue
    assert _strict(RECORD) == queue


def test_every_field_has_its_wire_name() -> None:
    """The names are the vendor's page's."""
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
def test_value_that_fits_is_taken(wire: str, raw: Any, value: object) -> None:
    """In its documented form and in the ones it may turn out to have, strict or not."""
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
def test_value_that_does_not_fit_is_kept_raw(wire: str, raw: Any) -> None:
    """The attribute is None, the raw value is in `extra`, and every other attribute is as ever."""
    queue = _lenient({**RECORD, wire: raw})
    expected = attrs.asdict(_lenient(RECORD), recurse=False)
    expected |= {ATTRIBUTES[wire]: None, "extra": {wire: raw}}
    assert attrs.asdict(queue, recurse=False) == expected
    assert queue.extra[wire] is raw


@pytest.mark.parametrize(("wire", "raw"), MISFITS)
def test_value_that_does_not_fit_raises_in_strict_mode(wire: str, raw: Any) -> None:
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
    """Both mean None, strict or not, and leave nothing in `extra`."""
    record = {name: value for name, value in RECORD.items() if name != wire}
    record |= {wire: None} if change is None else change
    for structure in (_lenient, _strict):
        queue = structure(record)
        assert getattr(queue, ATTRIBUTES[wire]) is None
        assert not queue.extra


@pytest.mark.parametrize("wire", sorted(NEVER_NULL))
def test_missing_id_or_name_does_not_cost_the_page(wire: str) -> None:
    """It is None, without an entry in `extra`, for nothing came; strict mode names it."""
    record = {name: value for name, value in RECORD.items() if name != wire}
    queue = _lenient(record)
    assert getattr(queue, ATTRIBUTES[wire]) is None
    assert not queue.extra
    with pytest.raises(FieldError) as caught:
        _strict(record)
    assert (caught.value.field, caught.value.value) == (wire, None)


def test_null_id_is_told_from_a_missing_one() -> None:
    """The null that came is in `extra`."""
    assert _lenient({**RECORD, "callinId": None}).extra == {"callinId": None}


def test_unknown_fields_are_kept_as_they_came() -> None:
    """By wire name, the same objects, also if they are called like our attributes; strict mode minds none of them."""
    unknown: dict[str, Any] = {"newField": [1, {"a": None}], "id": 5, "extra": {"x": 1}, "max_wait": "soon", "": 0}
    for structure in (_lenient, _strict):
        queue = structure({**RECORD, **unknown})
        assert queue.extra == unknown
        assert all(queue.extra[name] is value for name, value in unknown.items())
        assert (queue.id, queue.max_wait) == (1001226, 120)


def test_structuring_leaves_the_record_alone() -> None:
    """The payload may be used for something else."""
    record = {**RECORD, "timeWait": "soon", "new": 1}
    before = dict(record)
    assert _lenient(record).extra == {"timeWait": "soon", "new": 1}
    assert record == before


def test_converters_are_made_once_and_apart() -> None:
    """One for lenient, one for strict; neither changes the other."""
    assert converter_for(strict=False) is converter_for(strict=False)
    assert converter_for(strict=True) is not converter_for(strict=False)


def _means(wire: str, raw: Any, value: Any) -> bool:
    """Whether an attribute says what the raw value says."""
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
def test_no_record_raises_or_lies(record: dict[str, Any]) -> None:
    """Each attribute means its raw value, or is None with the raw value in `extra`; nothing is lost or made up."""
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
    """And where an id or a name is missing; else both modes agree."""
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
def test_record_can_be_put_together_again(record: dict[str, Any]) -> None:
    """From the attributes' raw forms and `extra`, so that a copy of the list loses nothing of it."""
    queue = _lenient(json.loads(json.dumps(record)))
    again = dict(queue.extra)
    for wire, name in ATTRIBUTES.items():
        value = getattr(queue, name)
        if wire not in again and wire in record:
            again[wire] = int(value) if isinstance(value, bool | QueueStrategy) else value
    assert _lenient(again) == queue


# Models of the user's own


@attrs.frozen
class _Agent:
    """A record of an endpoint the SDK does not list."""

    code: int = attrs.field(metadata={"wire": "agentCode"})
    nick: str | None = None
    tags: list[int] = attrs.field(factory=list[int])
    level: int = 3
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any])


def test_users_model_with_extra_is_read_like_ours() -> None:
    """Wire names from the metadata, else the attribute's own; digit strings; unknown fields kept."""
    structure = converter_for(strict=False).structure
    agent = structure({"agentCode": "7", "nick": "An", "tags": ["1", 2], "level": 5, "new": 1}, _Agent)
    assert agent == _Agent(7, "An", [1, 2], 5, {"new": 1})


def test_users_model_misfit_does_not_raise() -> None:
    """A list with a bad element does not fit as a whole; it is kept raw as any other value."""
    structure = converter_for(strict=False).structure
    agent = structure({"agentCode": "x", "tags": [1, "many"], "level": 5}, _Agent)
    assert agent.extra == {"agentCode": "x", "tags": [1, "many"]}
    assert attrs.astuple(agent)[:4] == (None, None, None, 5)
    with pytest.raises(FieldError, match="tags"):
        converter_for(strict=True).structure({"agentCode": 1, "tags": [1, "many"], "level": 5}, _Agent)


def test_users_model_keeps_its_defaults() -> None:
    """A field that did not come has the default the user gave it."""
    agent = converter_for(strict=True).structure({"agentCode": 7}, _Agent)
    assert agent == _Agent(7)


@attrs.frozen
class _Call:
    """A record without `extra`: what does not fit raises."""

    call: int = attrs.field(metadata={"wire": "callId"})
    strategy: QueueStrategy | None = None


def test_users_model_without_extra_is_read_by_its_wire_names() -> None:
    """With the same readers; unknown fields are dropped, for there is no place for them."""
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
    """String annotations, private names and attributes outside of the constructor are understood."""
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
