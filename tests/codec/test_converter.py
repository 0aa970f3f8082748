"""From a record of the API to `InboundQueue`: matching values are read, others are never coerced."""

import json
from typing import Any, get_type_hints

import attrs
import pytest
from cattrs import BaseValidationError
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import AlohubClient, APIResponseError, InvalidArgumentTypeError
from alohub_async.codec.answers import Decoders
from alohub_async.codec.converter import converter_for
from alohub_async.codec.fields import FieldError
from alohub_async.models import InboundQueue, QueueStrategy
from tests.strategies import any_text, json_values
from tests.support import RawServer, http, id_of, queue
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
    ("timeWait", 120.0, 120),
    ("callinId", 1001226.0, 1001226),
    ("callinId", 9007199254740991.0, 9007199254740991),
    ("strategy", 2.0, QueueStrategy.VIP),
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
    1.5,
    -1.0,
    9007199254740992.0,
    1e300,
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
    return (spelled or (type(raw) in {int, float} and raw == value)) and value >= least


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


def test_invalid_value_in_a_users_model_leaves_the_default() -> None:
    """A list with an invalid element is kept raw as a whole; the attribute is what its type says."""
    structure = converter_for(strict=False).structure
    agent = structure({"agentCode": 7, "nick": 1, "tags": [1, "many"], "level": None}, _Agent)
    assert agent == _Agent(7, None, [], 3, {"nick": 1, "tags": [1, "many"], "level": None})
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
        assert (await client.queues.get_inbound(id_of(found))).id == found.id == int(queue_id)


# What the types say


def _types_of(cls: type) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(cls).items() if name != "extra"}


@given(any_record)
def test_every_attribute_is_what_its_type_says(record: dict[str, Any]) -> None:
    """Whatever came: None only where the annotation allows it."""
    queue = _lenient(record)
    for name, hint in _types_of(InboundQueue).items():
        assert isinstance(getattr(queue, name), hint)


@attrs.frozen
class Team:
    """A user's own record, whose id is never None."""

    id: int = attrs.field(metadata={"wire": "teamId"})
    name: str | None = attrs.field(default=None, metadata={"wire": "teamName"})
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any])


@pytest.mark.parametrize("record", [{}, {"teamId": None}, {"teamId": "x"}, {"teamId": 1.5}])
async def test_record_that_its_class_does_not_allow_is_refused(record: dict[str, Any]) -> None:
    """In both modes; a value that may be None is kept in `extra` as ever."""
    for strict in (False, True):
        with pytest.raises(FieldError):
            converter_for(strict=strict).structure(record, Team)
    assert converter_for(strict=False).structure({"teamId": 7, "teamName": 5}, Team) == Team(7, None, {"teamName": 5})
    answer = http({"data": [{"teamId": 1}, record], "totalRecord": 2})
    async with RawServer(lambda _: [answer]) as server, AlohubClient("sk_live_x", endpoint=server.url) as client:
        with pytest.raises(APIResponseError, match="page 0, index 1: the record does not fit Team"):
            await client.paginate("/v1/teams", model=Team).collect()


async def test_queue_without_an_id_can_neither_be_got_nor_updated() -> None:
    """It is listed, with its raw id, and refused before anything is sent."""
    answer = http({"success": "1", "totalRecord": 1, "data": [queue(callinId="x")]})
    async with RawServer(lambda _: [answer]) as server, AlohubClient("sk_live_x", endpoint=server.url) as client:
        [found] = await client.queues.list_inbound().collect()
        assert (found.id, found.extra) == (None, {"callinId": "x"})
        missing: Any = found.id
        for call in (client.queues.get_inbound(missing), client.queues.update_inbound(missing, max_wait=1)):
            with pytest.raises(InvalidArgumentTypeError, match="queue_id must be an int"):
                await call
    assert len(server.requests) == 1


def _no_decoders(_: type, *, strict: bool) -> Decoders:
    del strict
    return Decoders(None, None)


@pytest.mark.parametrize("speed", [True, False])
async def test_whole_float_is_the_same_queue_everywhere(monkeypatch: pytest.MonkeyPatch, *, speed: bool) -> None:
    """`1001226.0` is the id 1001226 to lists, duplicates and totals, with and without the extra `speed`."""
    if not speed:
        monkeypatch.setattr("alohub_async.resources.resource.decoders", _no_decoders)
    pages = [[queue(callinId=1.0), queue(callinId=2)], [queue(callinId=2.0), queue(callinId="3")]]
    answers = [http({"success": "1", "totalRecord": 4.0, "data": page}) for page in [*pages, []]]
    async with (
        RawServer(lambda n: [answers[min(n, 3) - 1]]) as server,
        AlohubClient("sk_live_x", endpoint=server.url) as client,
    ):
        pager = client.queues.list_inbound(page_size=2, prefetch=0)
        assert await pager.count() == 4
        assert [found.id async for found in pager] == [1, 2, 3]
        assert pager.drift.duplicates == 1
