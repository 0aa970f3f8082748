"""The records: an open set of strategies, and what an update refuses."""

import copy
import json
import pickle
from collections.abc import Mapping
from datetime import timedelta
from enum import IntEnum
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.codec.converter import converter_for
from alohub_async.config import Endpoint
from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.http.requests import build_request
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy, Record, UpdateResult
from alohub_async.unset import UNSET, UnsetType
from tests.routes import LIST_INBOUND
from tests.twins import pickled

KNOWN = {"NORMAL": 1, "VIP": 2, "BLACKLIST": 3, "DIVERT": 4, "LOCKED": 99}
unknown_numbers = st.integers().filter(lambda number: number not in KNOWN.values())


class _Theirs(IntEnum):
    """An enum of the user's own, whose members are ints like any other."""

    VIP = 2
    BRAND_NEW = 7


# QueueStrategy


def test_strategies_are_the_documented_ones() -> None:
    """Names and numbers are those of the vendor's page; unknown numbers do not become members."""
    assert QueueStrategy(7) == 7
    assert {strategy.name: int(strategy) for strategy in QueueStrategy} == KNOWN
    assert all(strategy.is_known for strategy in QueueStrategy)


@given(unknown_numbers)
def test_unknown_strategy_survives(number: int) -> None:
    """A number the SDK does not know is a strategy equal to it, hashed, printed and written as it."""
    strategy = QueueStrategy(number)
    assert isinstance(strategy, QueueStrategy)
    assert strategy == number
    assert hash(strategy) == hash(number)
    assert {number: "here"}[strategy] == "here"
    assert strategy.value == number
    assert type(strategy.value) is int
    assert strategy.name == f"UNKNOWN_{number}"
    assert json.dumps(strategy) == f"{strategy:d}" == str(number)
    assert repr(strategy) == f"<QueueStrategy.UNKNOWN_{number}: {number}>"
    assert not strategy.is_known
    assert QueueStrategy(number) == strategy


@given(unknown_numbers, st.sampled_from(range(pickle.HIGHEST_PROTOCOL + 1)))
def test_unknown_strategy_pickles_and_copies(number: int, protocol: int) -> None:
    """A pickle of any protocol and both kinds of copy keep its type, value and name."""
    strategy = QueueStrategy(number)
    for twin in (pickled(strategy, protocol), copy.copy(strategy), copy.deepcopy(strategy)):
        assert type(twin) is QueueStrategy
        assert (twin, twin.name, twin.value) == (strategy, strategy.name, number)


@pytest.mark.parametrize("strategy", [*QueueStrategy, QueueStrategy(7)])
def test_strategy_pickles_by_its_number(strategy: QueueStrategy) -> None:
    """Not by its name, as the first releases of Python 3.11 do by themselves: an unknown one could not be found."""
    assert strategy.__reduce_ex__(pickle.HIGHEST_PROTOCOL) == (QueueStrategy, (int(strategy),))


def test_known_strategy_pickles_and_copies_as_itself() -> None:
    """`is` works for documented members, wherever they come from."""
    for twin in (pickled(QueueStrategy.VIP), copy.deepcopy(QueueStrategy.VIP), QueueStrategy(2)):
        assert twin is QueueStrategy.VIP


@pytest.mark.parametrize(("strategy", "name"), [(QueueStrategy.VIP, "VIP"), (QueueStrategy(7), "UNKNOWN_7")])
def test_strategy_as_text_is_its_name(strategy: QueueStrategy, name: str) -> None:
    """In logs and templates; as a query value it is still its number."""
    assert str(strategy) == f"{strategy}" == name
    request = build_request(LIST_INBOUND, Endpoint.production(), params={"strategy": strategy})
    assert request.url.query["strategy"] == str(int(strategy))


def test_number_of_another_enum_is_just_a_number() -> None:
    """An int of a user's own type is converted to a plain number."""
    strategy = QueueStrategy(_Theirs.BRAND_NEW)
    assert (strategy.name, type(strategy.value)) == ("UNKNOWN_7", int)
    assert QueueStrategy(_Theirs.VIP) is QueueStrategy.VIP


@pytest.mark.parametrize("value", ["1", "VIP", None, 1.5, b"1", [], object()], ids=lambda value: type(value).__name__)
def test_non_number_is_not_a_strategy(value: Any) -> None:
    """The open set accepts only numbers."""
    with pytest.raises(ValueError, match="is not a valid QueueStrategy"):
        QueueStrategy(value)


# UNSET


def test_unset_is_one_and_falsy() -> None:
    """`is UNSET` works after a pickle and copies, too."""
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    assert pickled(UNSET) is UNSET
    assert copy.copy(UNSET) is copy.deepcopy(UNSET) is UNSET
    assert [*UnsetType] == [UNSET]


# InboundQueue and UpdateResult

QUEUE = InboundQueue(
    id=1001226,
    name="Hàng đợi chăm sóc khách hàng",
    strategy=QueueStrategy(7),
    music_on_hold="waiting.wav",
    max_wait=120,
    agent_selector="ring-all",
    announce_position=True,
    number="0084123",
    extra={"timeWait": "soon", "newField": [1, {"a": None}]},
)
WIRE = {
    "callinId": 7,
    "callinName": "x",
    "strategy": 2,
    "musicinQueue": None,
    "timeWait": 60,
    "agentSelector": None,
    "nguongRanhRoi": "0",
    "callinNumber": "0084",
}
RESULT = UpdateResult(id=7, message="Cập nhật thành công", attempts=2)


def test_only_id_and_name_are_needed() -> None:
    """Everything else is nullable in the API, and None or empty if not given."""
    queue = InboundQueue(id=7, name="test")
    assert attrs.astuple(queue) == (7, "test", None, None, None, None, None, None, {})
    assert queue.extra is not InboundQueue(id=7, name="test").extra


def test_record_as_a_dict_is_json() -> None:
    """By attribute, with `extra`; numbers instead of enums."""
    as_dict = QUEUE.to_dict()
    assert json.loads(json.dumps(as_dict)) == as_dict
    assert InboundQueue(**as_dict) == QUEUE
    assert type(as_dict["strategy"]) is int
    assert [*as_dict] == [field.name for field in attrs.fields(InboundQueue)]
    as_dict["extra"]["new"] = 1
    assert "new" not in QUEUE.extra
    assert InboundQueue(id=7, name="x").to_dict()["extra"] == {}


@pytest.mark.parametrize("strict", [False, True])
def test_record_as_a_dict_of_the_wire_is_read_as_the_same(*, strict: bool) -> None:
    """By wire name, with the fields of `extra` beside the others, and raw values where the type did not fit."""
    read = converter_for(strict=False).structure({**WIRE, "timeWait": "soon", "new": [1]}, InboundQueue)
    as_dict = read.to_dict(wire=True)
    assert as_dict == {**WIRE, "timeWait": "soon", "nguongRanhRoi": False, "new": [1]}
    assert json.loads(json.dumps(as_dict)) == as_dict
    fitting = {**as_dict, "timeWait": 5}
    assert converter_for(strict=strict).structure(fitting, InboundQueue).to_dict(wire=True) == fitting


def test_record_of_another_class_becomes_a_dict() -> None:
    """By its own wire names; a field without one has its own name."""

    @attrs.frozen
    class Team(Record):
        id: int | None = attrs.field(metadata={"wire": "teamId"})
        members: list[int] = attrs.field(factory=list[int])
        extra: dict[str, Any] = attrs.field(factory=dict[str, Any])

    team = converter_for(strict=False).structure({"teamId": "7", "members": ["1"], "new": 1}, Team)
    assert team.to_dict() == {"id": 7, "members": [1], "extra": {"new": 1}}
    assert team.to_dict(wire=True) == {"teamId": 7, "members": [1], "new": 1}


@pytest.mark.parametrize(
    "record", [QUEUE, RESULT, InboundQueueUpdate(max_wait=3)], ids=lambda record: type(record).__name__
)
def test_records_pickle_copy_and_hash(record: Any) -> None:
    """They go through process pools and into sets, an unknown strategy and `extra` with them."""
    for twin in (pickled(record), copy.copy(record), copy.deepcopy(record)):
        assert twin == record
        assert hash(twin) == hash(record)
        assert repr(twin) == repr(record)
    assert len({record, pickled(record)}) == 1


@pytest.mark.parametrize("record", [QUEUE, RESULT, InboundQueueUpdate()], ids=lambda record: type(record).__name__)
def test_records_are_slotted_and_frozen(record: Any) -> None:
    """No attribute can be set or made up, not even by a misspelling."""
    assert not hasattr(record, "__dict__")
    fields: dict[str, Any] = attrs.asdict(record)
    for name in (*fields, "misspelt"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(record, name, 1)


def test_queues_that_differ_only_in_extra_are_not_equal() -> None:
    """A change in a field the SDK does not know is a change."""
    changed = attrs.evolve(QUEUE, extra={})
    assert changed != QUEUE
    assert hash(changed) == hash(QUEUE)


def test_extra_is_a_mapping() -> None:
    """It reads like the JSON object it came from."""
    assert isinstance(QUEUE.extra, Mapping)
    assert QUEUE.extra["newField"] == [1, {"a": None}]


# InboundQueueUpdate


def test_update_changes_nothing_by_default() -> None:
    """Each field is UNSET until it is given."""
    assert set(attrs.astuple(InboundQueueUpdate())) == {UNSET}
    assert InboundQueueUpdate(strategy=UNSET, max_wait=UNSET) == InboundQueueUpdate()


def test_update_takes_keywords_alone() -> None:
    """Positional arguments are refused."""
    make: Any = InboundQueueUpdate
    with pytest.raises(TypeError):
        make("waiting.wav")


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(InboundQueueUpdate)])
def test_none_is_never_accepted(name: str) -> None:
    """The effect of null in the API is not known, so None is refused."""
    changes: dict[str, Any] = {name: None}
    with pytest.raises(InvalidArgumentTypeError, match=rf"{name} must be .*None was given"):
        InboundQueueUpdate(**changes)


@pytest.mark.parametrize(
    ("given_wait", "seconds"),
    [
        (0, 0),
        (180, 180),
        (timedelta(minutes=3), 180),
        (timedelta(0), 0),
        (timedelta(milliseconds=2000), 2),
        (timedelta.max - timedelta(microseconds=999999), 86399999999999),
        (_Theirs.BRAND_NEW, 7),
    ],
)
def test_max_wait_becomes_whole_seconds(given_wait: int | timedelta, seconds: int) -> None:
    """Seconds or a timedelta, the update holds a plain int."""
    update = InboundQueueUpdate(max_wait=given_wait)
    assert update.max_wait == seconds
    assert type(update.max_wait) is int


@pytest.mark.parametrize(
    "value",
    [
        -1,
        timedelta(seconds=-1),
        timedelta(milliseconds=1500),
        timedelta(microseconds=1),
        timedelta(days=-1, microseconds=1),
    ],
)
def test_negative_or_fractional_wait_is_refused(value: int | timedelta) -> None:
    """Nothing is rounded: the message shows the given value."""
    with pytest.raises(InvalidArgumentError, match=r"max_wait must be (0|whole) seconds.*was given"):
        InboundQueueUpdate(max_wait=value)


@pytest.mark.parametrize("value", [True, False, 3.0, "180", [], b"1"], ids=repr)
def test_wait_of_another_type_is_refused(value: Any) -> None:
    """True is not a number of seconds, and "180" is only the wire form."""
    with pytest.raises(InvalidArgumentTypeError, match="max_wait must be an int"):
        InboundQueueUpdate(max_wait=value)


@pytest.mark.parametrize("strategy", [*QueueStrategy, *KNOWN.values(), _Theirs.VIP])
def test_known_strategy_is_accepted_by_member_or_number(strategy: int) -> None:
    """The update holds the member."""
    taken = InboundQueueUpdate(strategy=strategy).strategy
    assert isinstance(taken, QueueStrategy)
    assert taken == strategy


@pytest.mark.parametrize("strategy", [0, 5, 98, 100, -1, QueueStrategy(7)])
def test_strategy_outside_the_set_cannot_be_written(strategy: int) -> None:
    """An unknown strategy that a list returned is not written back by mistake; the message has the allowed numbers."""
    with pytest.raises(InvalidArgumentError, match=r"strategy must be one of \[1, 2, 3, 4, 99\].*was given"):
        InboundQueueUpdate(strategy=strategy)


@pytest.mark.parametrize("value", [True, False, 2.0, "2", "VIP", [], b"2"], ids=repr)
def test_strategy_of_another_type_is_refused(value: Any) -> None:
    """True equals 1 but is not a strategy."""
    with pytest.raises(InvalidArgumentTypeError, match="strategy must be a QueueStrategy"):
        InboundQueueUpdate(strategy=value)


@pytest.mark.parametrize("value", [0, 1, "0", "1", "true", 1.0, []], ids=repr)
def test_announce_position_is_a_bool_and_nothing_else(value: Any) -> None:
    """The wire's "0" would be truthy, so it is refused."""
    with pytest.raises(InvalidArgumentTypeError, match="announce_position must be True or False"):
        InboundQueueUpdate(announce_position=value)


@pytest.mark.parametrize("name", ["waiting.wav", "nhạc chờ.wav", "a..b", "...", "a b", "file", ".hidden", "Đ" * 200])
def test_plain_file_name_is_kept_unchanged(name: str) -> None:
    """Vietnamese letters, spaces and dots are allowed; nothing is stripped."""
    assert InboundQueueUpdate(music_on_hold=name).music_on_hold == name


CONTROLS = ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u200b", "\ud800", "\ufeff"]


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "\u3000", ".", ".."),
        *("a/b", "/etc/passwd", "../x.wav", "a\\b", "C:\\x.wav", "x/", "\\\\host\\x"),
        *(f"wait{control}ing.wav" for control in CONTROLS),
    ],
    ids=ascii,
)
def test_file_name_with_a_path_or_control_characters_is_refused(name: str) -> None:
    """Also characters that end a line or turn the reading direction; the message shows a valid name."""
    with pytest.raises(InvalidArgumentError, match=r"plain file name such as 'waiting.wav'"):
        InboundQueueUpdate(music_on_hold=name)


@pytest.mark.parametrize("value", [7, b"waiting.wav", ["waiting.wav"], True], ids=repr)
def test_file_name_of_another_type_is_refused(value: Any) -> None:
    """A path object or bytes have no unambiguous wire form."""
    with pytest.raises(InvalidArgumentTypeError, match="music_on_hold must be a file name"):
        InboundQueueUpdate(music_on_hold=value)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "music_on_hold": st.from_regex(r"[\w. ]{0,8}\w", fullmatch=True),
            "max_wait": st.integers(0, 10**6) | st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
            "strategy": st.sampled_from(QueueStrategy),
            "announce_position": st.booleans(),
        },
    )
)
def test_evolving_an_update_checks_again_and_changes_nothing_else(fields: dict[str, Any]) -> None:
    """`attrs.evolve` keeps the other fields, and the converters accept their own results."""
    update = InboundQueueUpdate(**fields)
    assert attrs.evolve(update) == update
    with pytest.raises(InvalidArgumentError):
        attrs.evolve(update, max_wait=-1)
