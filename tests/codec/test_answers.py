"""The fast lane returns the same records as the plain way, however odd an answer is, or leaves it to the plain way."""

import copy
import cProfile
import gc
import importlib.util
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from alohub_async.codec import answers
from alohub_async.codec.answers import MOST_LESSONS, MOST_NAMES, DecodedList, FastLane, decoders
from alohub_async.codec.converter import converter_for
from alohub_async.codec.decoding import identity_keys
from alohub_async.codec.fields import MOST_VALUES, FieldError
from alohub_async.errors import AlohubError
from alohub_async.http.requests import Request
from alohub_async.http.responses import Response, decode_response, read_list, read_record
from alohub_async.models import InboundQueue, QueueStrategy, Record
from tests.routes import LIST_INBOUND
from tests.strategies import any_text, json_scalars, json_values
from tests.support import QUEUE, queue
from tests.twins import pickled

REQUEST: Final = Request(LIST_INBOUND, URL("https://x.example/v1/queues/inbound"))
LONG: Final = 10**17


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its fields in order, possibly with duplicates."""


def _says(items: Iterable[Record]) -> list[Any]:
    """Return all values of the records with their types, since `1`, `True` and `1.0` are equal.

    The names in `extra` are sorted: an object has no order.
    """
    said: list[Any] = []
    for item in items:
        values = attrs.asdict(item, recurse=False)
        extra = values.pop("extra")
        said.append((type(item), type(extra), repr(values), repr(sorted(extra.items()))))
    return said


def _decoder() -> Callable[[bytes], DecodedList[InboundQueue] | None]:
    decode = decoders(InboundQueue, strict=False).list
    assert decode is not None, "the extra `speed` is not installed"
    return decode


def _read_plainly(body: bytes, *, strict: bool) -> DecodedList[InboundQueue]:
    """Return the records of a list answer, their identity keys and its total, read the plain way."""
    payload = decode_response(REQUEST, Response(200, CIMultiDict(), body), retry_after=None, strict=strict)
    found = read_list(payload, request="GET /x", is_first=True)
    return _structured(found.items, strict=strict), identity_keys(found.items, "callinId"), found.total


def _structured(records: Sequence[Any], *, strict: bool) -> list[InboundQueue]:
    """Structure each record separately: the general path."""
    converter = converter_for(strict=strict)
    return [converter.structure(record, InboundQueue) for record in records]


# Strategies for bodies


def _mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any] = json_scalars) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda number: usual if number else odd | json_values)


digits = st.integers(0, 700).map(str)
names = st.text(max_size=8)
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "callinId": _mostly(st.integers(1, LONG)),
    "callinName": _mostly(names),
    "strategy": _mostly(st.sampled_from([1, 2, 3, 4, 99, None]), st.integers(-3, 200) | digits),
    "musicinQueue": _mostly(names | st.none()),
    "timeWait": _mostly(digits | st.none(), st.integers(-1, 700)),
    "agentSelector": _mostly(st.none() | names),
    "nguongRanhRoi": _mostly(st.sampled_from([None, "0", "1", 0, 1]), st.booleans()),
    "callinNumber": _mostly(st.none() | digits),
}


@st.composite
def objects(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]], unknown: st.SearchStrategy[str]) -> Pairs:
    """Draw an object with these fields; sometimes one is missing, unknown or duplicated."""
    pairs = Pairs((name, draw(values)) for name, values in fields.items())
    match draw(st.integers(0, 29)):
        case 0:
            del pairs[draw(st.integers(0, len(pairs) - 1))]
        case 1:
            pairs.insert(draw(st.integers(0, len(pairs))), (draw(unknown), draw(json_values)))
        case 2:
            name = draw(st.sampled_from([*fields]))
            pairs.insert(draw(st.integers(0, len(pairs))), (name, draw(fields[name] | json_values)))
        case 3:
            pairs = Pairs(draw(st.permutations(pairs)))
        case _:
            pass
    return pairs


records = objects(FIELDS, any_text | st.sampled_from(["id", "extra", "max_wait", "callinid", "__class__"]))
pages = st.lists(records, max_size=4)


def _text(value: Any, **style: Any) -> str:
    """Encode a value as JSON."""
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {_text(each, **style)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(each, **style) for each in cast("list[Any]", value)) + "]"  # type: ignore[redundant-cast]
    return json.dumps(value, **style)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw the body of a list response: as documented, unusual, or broken."""
    codes = st.sampled_from(["SUCCESS", "success", "FAIL", "0", 0, None, ""])
    envelope = draw(
        objects(
            {
                "success": _mostly(st.just("1"), st.sampled_from([1, True, "0", 0, None, "true", 1.0])),
                "error_code": _mostly(st.just("SUCCESS"), codes),
                "totalRecord": _mostly(
                    st.integers(0, 9) | digits, st.sampled_from([-1, 1.0, "1" * 20, "٣", None, True])
                ),
                "data": _mostly(pages, st.lists(records | json_scalars, max_size=3)),
            },
            st.sampled_from(["errorCode", "error_message", "errorMessage", "message", "page", ""]) | any_text,
        )
    )
    text = _text(envelope, ensure_ascii=draw(st.booleans()))
    body = text.encode(errors="surrogatepass")
    match draw(st.integers(0, 9)):
        case 0:
            at = draw(st.integers(0, len(body)))
            junk = draw(
                st.binary(max_size=3) | st.sampled_from([b"NaN", b"1e5", b".0", b"\\ud800", b"\xff", b"null", b'"'])
            )
            body = body[:at] + junk + body[at + draw(st.integers(0, 3)) :]
        case 1:
            encoding = draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
            body = text.encode(encoding, errors="surrogatepass" if encoding != "utf-8-sig" else "replace")
        case _:
            pass
    return body


def _body(*found: object, **envelope: object) -> bytes:
    return json.dumps(
        {"success": "1", "error_code": "SUCCESS", "totalRecord": len(found), "data": found, **envelope}
    ).encode()


# The fast lane


def _odd(**changes: Any) -> st.SearchStrategy[Pairs]:
    """Records of which some fields are of another kind."""
    return objects(FIELDS | changes, any_text)


def _envelope(page: Any) -> bytes:
    return _text(
        Pairs([("success", "1"), ("totalRecord", len(page)), ("data", page), ("page", 0)]), ensure_ascii=False
    ).encode(errors="surrogatepass")


hostile = st.one_of(
    bodies(),
    st.lists(_odd(callinId=st.integers(1, 99).map(str)), max_size=4).map(_envelope),
    st.lists(_odd(callinId=st.sampled_from([1.0, 1001226.0, 2**53, 1.5, "01", "1", True, None])), max_size=4).map(
        _envelope
    ),
    st.lists(_odd(nguongRanhRoi=json_values, timeWait=json_scalars), max_size=4).map(_envelope),
    st.lists(_odd(strategy=st.integers(-3, 9) | st.integers() | digits), max_size=4).map(_envelope),
    st.lists(_odd(createdAt=json_values, **{"Ngày tạo": any_text, "id": json_scalars}), max_size=4).map(_envelope),
    st.lists(_odd().map(lambda pairs: Pairs(pairs[::2])), max_size=4).map(_envelope),
)


ODD_IDS: Final[tuple[Any, ...]] = (1, None, "07", 0, "0", 1.5, "x", True, [])


@given(st.lists(hostile, min_size=1, max_size=5), st.booleans())
@example([_body(queue(), queue(callinId=2, timeWait=None, strategy=7))], False)
@example([_body(queue(callinId=2**64))], False)
@example([_body(queue(callinId=-(2**64)))], False)
@example([_body(queue(callinId=1.0))], False)
@example([_body(queue(callinId="7")), _body(queue(callinId="07"))], False)
@example([_body(*(queue(callinId=raw) for raw in ODD_IDS), {})], False)
@example([_body(queue(strategy=True))], False)
@example([_body(queue(strategy=2**70)), _body(queue(strategy=2**70, new=1))], False)
@example([_body(queue(timeWait="0060", nguongRanhRoi="1"))], True)
@example([_body(queue(timeWait=" 60"))], True)
@example([_body(queue(timeWait="1" * 5000))], False)
@example([_body(queue(timeWait=99999999999999999999999, nguongRanhRoi=1.0))], False)
@example([_body(queue(nguongRanhRoi=value)) for value in (True, 1, 1.0, "1", [1])], False)
@example([_body(queue(agentSelector=[], callinNumber={"a": None}))], False)
@example([_body(queue(callinName=None)), _body(queue())], False)
@example([_body({"callinId": 1}), _body({"callinId": 1, "callinName": "x", "new": 1})], False)
@example([_body(queue(a=1)), _body(queue(b=1)), _body(queue(a=1, b=2)), _body(queue())], True)
@example([_body(queue(**{"with space": 1, 'with "': 1, "\t": 2}))], False)
@example([_body(queue(), totalRecord=10**30)], False)
@example([_body(queue(), totalRecord="12")], False)
@example([_body(queue(), success=True)], False)
@example([_body(queue(), success="0", page=1), _body(queue(), page=1)], False)
@example([_body(queue(), error_code="FAIL")], False)
@example([json.dumps({"data": [queue()], "errorCode": "FAIL"}).encode()], False)
@example([_body(queue(), data=None), _body(queue())], False)
@example([_body(queue(), callinId=7)], False)
@example([_body(queue()) + b"x"], False)
@example([_body(queue(), 5), _body(queue(), None), _body(queue())], False)
@example([_body(queue(callinName="x")).replace(b'"x"', b'"\xff"')], False)
@example([_body(queue(callinName="x")).replace(b'"x"', b'"\\ud800"')], False)
@example([_body(queue(callinName="x")).replace(b'"x"', b'"\\ud83d\\ude00"')], False)
@example([_body(queue(callinName="x")).replace(b'"x"', b'"a\tb"')], False)
@example([_body(queue(callinName="x")).replace(b'"strategy": 1', b'"strategy": 1, "strategy": 2')], False)
@example([_body(queue(strategy=5)).replace(b": 5", b": NaN")], False)
@example([_body(queue(new=5)).replace(b": 5", b": 1e400")], False)
@example([_body(queue(strategy=5)).replace(b": 5", b": 5e0")], False)
def test_answers_in_a_row_are_read_as_the_plain_way_reads_them(answers: list[bytes], strict: bool) -> None:  # noqa: FBT001
    """Records, types, `extra`, ids and total are the same, whatever was learnt from the answers before."""
    lane = FastLane(InboundQueue, strict=strict)
    for body in answers + answers:
        page = lane.list(body)
        if page is None:
            continue  # left to the plain way
        items, keys, total = _read_plainly(body, strict=strict)
        assert _says(page[0]) == _says(items)
        assert (page[1], [*map(type, page[1])]) == (keys, [*map(type, keys)])
        assert (page[2], type(page[2])) == (total, type(total))


def _read_record_plainly(body: bytes, *, strict: bool) -> InboundQueue:
    payload = decode_response(REQUEST, Response(200, CIMultiDict(), body), retry_after=None, strict=strict)
    found = read_record(payload, id_field="callinId", request="GET /x")
    return _structured([found], strict=strict)[0]


details = st.one_of(
    records.map(_text),
    _odd(callinId=json_scalars, timeWait=json_values, createdAt=json_values).map(_text),
    records.map(lambda record: _text(Pairs([("success", "1"), ("data", record), ("page", 1)]))),
    records.map(lambda record: _text(Pairs([("data", [record])]))),
    bodies().map(lambda body: body.decode(errors="surrogateescape")),
)


@given(st.lists(details, min_size=1, max_size=4), st.booleans())
@example([json.dumps(queue())], True)
@example([json.dumps(queue(extra=1))], False)
@example([json.dumps({"callinId": 1, "callinName": "x"})], False)
@example([json.dumps({"callinName": "x", "data": queue()})], False)
@example([json.dumps({"data": queue(callinId=None)}), json.dumps({"data": [queue()]})], False)
@example([json.dumps({"data": [queue(), queue()]}), json.dumps({"data": []})], False)
@example([json.dumps({**queue(), "success": "0", "error_code": "FAIL"}), json.dumps(queue())], False)
@example([json.dumps({"success": "0", "data": queue()})], False)
@example([json.dumps({**queue(), "data": queue(callinId=2)})], False)
@example([json.dumps({"data": {**queue(), "data": queue(callinId=2)}})], False)
@example([json.dumps({"data": queue()}), json.dumps({**queue(), "new": 1}), json.dumps({"data": queue()})], False)
def test_details_in_a_row_are_read_as_the_plain_way_reads_them(answers: list[str], strict: bool) -> None:  # noqa: FBT001
    """Bare, and enveloped as an object or a list of one."""
    lane = FastLane(InboundQueue, strict=strict)
    for text in answers + answers:
        body = text.encode(errors="surrogateescape")
        record = lane.record(body)
        if record is not None:
            assert _says([record]) == _says([_read_record_plainly(body, strict=strict)])


KINDS: Final[dict[str, dict[str, Any]]] = {
    "as documented": {},
    "digits as numbers": {"timeWait": 60, "nguongRanhRoi": 1},
    "number as digits": {"callinId": "7"},
    "id as a float": {"callinId": 1001226.0},
    "id with a zero before it": {"callinId": "01"},
    "id below 1": {"callinId": 0},
    "no id": {"callinId": None},
    "flag as true": {"nguongRanhRoi": True},
    "new strategy": {"strategy": 42},
    "strategy as digits": {"strategy": "42"},
    "undocumented field": {"createdAt": "2026-03-10"},
    "undocumented fields": {"Ngày tạo": [1, {"a": None}], "id": 5, "extra": None, "": True},
    "value that does not fit": {"nguongRanhRoi": "15"},
    "value below the least": {"timeWait": -1},
    "values of other types": {"callinNumber": 84123, "musicinQueue": [], "agentSelector": {"a": 1.5}},
    "name is null": {"callinName": None},
    "huge numbers": {"strategy": 2**70, "timeWait": 2**63},
    "all null": dict.fromkeys(QUEUE) | {"callinId": 1, "callinName": ""},
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_odd_page_is_decoded_at_once(changes: dict[str, Any]) -> None:
    """From the first answer on, and each odd thing is learnt once."""
    lane = FastLane(InboundQueue, strict=False)
    body = _body(queue(), {**queue(), **changes}, queue(callinId=3))
    for _ in range(5):
        page = lane.list(body)
        assert page is not None
        items, keys, _ = _read_plainly(body, strict=False)
        assert (_says(page[0]), page[1]) == (_says(items), keys)
        assert lane.lessons <= len(changes)


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", ["bare", "object", "list of one"])
def test_odd_detail_is_decoded_at_once(changes: dict[str, Any], shape: str) -> None:
    """Whether bare, or enveloped as an object or a list of one."""
    lane = FastLane(InboundQueue, strict=False)
    record = {**queue(), **changes}
    answer = {"bare": record, "object": {"success": "1", "data": record}, "list of one": {"data": [record], "new": 1}}
    body = json.dumps(answer[shape]).encode()
    for _ in range(3):
        read = lane.record(body)
        assert read is not None
        assert _says([read]) == _says([_read_record_plainly(body, strict=False)])
    assert lane.lessons <= len(changes) + 1


ENVELOPES: Final = {
    "no records": _body(),
    "no total": json.dumps({"success": "1", "data": [queue()]}).encode(),
    "no success": json.dumps({"data": [queue()]}).encode(),
    "success as a number": _body(queue(), success=1),
    "undocumented name": _body(queue(), page=0, took=0.5),
    "with a message": _body(queue(), error_message="ok"),
    "fields missing": _body({"callinId": 1}, {"callinId": 2, "callinName": "x", "new": 1}),
    "escaped": _body(queue(callinName="Hàng đợi 😀")),
    "not escaped": json.dumps({"success": "1", "data": [queue(callinName="Hàng đợi")]}, ensure_ascii=False).encode(),
}


@pytest.mark.parametrize("body", ENVELOPES.values(), ids=ENVELOPES)
def test_odd_envelope_is_decoded_at_once(body: bytes) -> None:
    """An undocumented name, a missing one, a flag of another type."""
    page = FastLane(InboundQueue, strict=False).list(body)
    assert page is not None
    items, keys, total = _read_plainly(body, strict=False)
    assert (_says(page[0]), *page[1:]) == (_says(items), keys, total)


LEFT: Final = {
    "no object": _body(queue(), 7),
    "failure": _body(queue(), success="0"),
    "failure by its code": json.dumps({"data": [queue()], "error_code": "FAIL"}).encode(),
    "half a surrogate": _body(queue(callinName="\ud800")),
    "name that needs escapes": _body(queue(**{'a"b': 1})),
    "not JSON": b"<html>",
    "empty": b"",
}


@pytest.mark.parametrize("body", LEFT.values(), ids=LEFT)
def test_broken_answer_is_left_to_the_plain_way(body: bytes) -> None:
    """It says what is wrong; the next answer is decoded at once again."""
    lane = FastLane(InboundQueue, strict=False)
    for _ in range(3):
        assert lane.list(body) is None
        assert lane.list(_body(queue())) is not None


def test_strict_lane_leaves_a_value_that_does_not_fit() -> None:
    """The plain way says where it is. What else is odd is learnt as well."""
    lane = FastLane(InboundQueue, strict=True)
    for _ in range(3):
        assert lane.list(_body(queue(timeWait="soon"))) is None
        assert lane.record(json.dumps(queue(timeWait="soon")).encode()) is None
        page = lane.list(_body(queue(new=1, timeWait=1.0)))
        assert page is None or page[0][0].extra == {"new": 1}
    page = lane.list(_body(queue(new=1, strategy=7)))
    assert page is None or page[0][0].strategy == 7


def test_names_that_are_always_new_settle() -> None:
    """They are left to the plain way, in bounded time and memory; what was learnt before is still known."""
    lane = FastLane(InboundQueue, strict=False)
    for number in range(300):
        body = _body(queue(**{f"new {number}": number}))
        page = lane.list(body)
        assert page is None or _says(page[0]) == _says(_read_plainly(body, strict=False)[0])
    assert lane.lessons <= MOST_LESSONS
    assert len(lane.names) <= MOST_NAMES
    known = lane.list(_body(queue(**{"new 0": 1})))
    assert known is not None
    assert known[0][0].extra == {"new 0": 1}


def test_many_names_of_one_page_settle() -> None:
    """So many are left to the plain way, and a page as documented is still decoded at once."""
    lane = FastLane(InboundQueue, strict=False)
    for _ in range(3):
        assert lane.list(_body(*(queue(**{f"new {number}": 1}) for number in range(2 * MOST_NAMES)))) is None
    assert len(lane.names) == lane.lessons == MOST_NAMES
    assert lane.list(_body(queue())) is not None


def test_new_values_settle() -> None:
    """Ten thousand values of a field are read right, and few of them make the tables anew."""
    lane = FastLane(InboundQueue, strict=False)
    for first in range(0, 3 * MOST_VALUES, 100):
        page = lane.list(_body(*(queue(timeWait=str(first + n), strategy=first + n) for n in range(100))))
        assert page is not None
        assert [item.max_wait for item in page[0]] == [*range(first, first + 100)]
        assert [item.strategy for item in page[0]] == [*range(first, first + 100)]
    assert lane.lessons <= 12


def test_details_teach_new_values() -> None:
    """Values that come often cost no call of ours, also in a program that gets single records only."""
    lane = FastLane(InboundQueue, strict=False)
    details = [json.dumps(queue(timeWait=str(number % 20))).encode() for number in range(400)]
    for detail in details:
        assert lane.record(detail) is not None
    profile = cProfile.Profile()
    profile.enable()
    assert lane.record(details[-1]) is not None
    profile.disable()
    assert "FastLane._tables" not in {getattr(entry.code, "co_qualname", "")[:16] for entry in profile.getstats()}


def test_large_values_are_not_remembered() -> None:
    """A server that sends rubbish does not fill the memory."""
    lane = FastLane(InboundQueue, strict=False)
    assert lane.list(_body(queue(timeWait="soon", new=1))) is not None
    bodies_of_rubbish = [_body(queue(timeWait=str(n) * 100_000, **{str(n) * 100_000: 1})) for n in range(1, 30)]
    tracemalloc.start()
    try:
        for body in bodies_of_rubbish:
            lane.list(body)
            converter_for(strict=False).structure(json.loads(body)["data"], list[InboundQueue])
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_new_strategy_is_made_once() -> None:
    """Its records share one object."""
    lane = FastLane(InboundQueue, strict=False)
    pages = [lane.list(_body(queue(strategy=42), queue(strategy=42))) for _ in range(2)]
    assert len({id(item.strategy) for page in pages if page is not None for item in page[0]}) == 1


def test_threads_may_share_a_lane() -> None:
    """One learns while others decode."""
    lane = FastLane(InboundQueue, strict=False)
    found = [_body(queue(callinId=n + 1, nguongRanhRoi=["1", "15", True][n % 3], **{f"new{n}": n})) for n in range(20)]
    expected = [_says(_read_plainly(body, strict=False)[0]) for body in found]

    def decode(shift: int) -> None:
        for n in range(100):
            page = lane.list(found[(n + shift) % len(found)])
            assert page is None or _says(page[0]) == expected[(n + shift) % len(found)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode, range(4)))


@attrs.frozen
class Thing(Record):
    """A record with fields of kinds that queues have not."""

    id: int = attrs.field(metadata={"wire": "thingId"})
    code: int = 7
    level: int | None = attrs.field(default=None, metadata={"minimum": 2})
    tags: list[str] = attrs.field(factory=list[str])
    mode: QueueStrategy = QueueStrategy.VIP
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


THINGS: Final[list[dict[str, Any]]] = [
    {"thingId": 1},
    {"thingId": "2", "code": "8", "level": "2", "tags": ["a"], "mode": 1},
    {"thingId": 3, "code": None, "level": 1, "tags": None, "mode": None, "new": 1},
    {"thingId": 4, "code": 2.5, "level": 5, "tags": ["a", 1], "mode": "x"},
]


def test_other_record_classes_are_read_alike() -> None:
    """Fields with defaults, lists and least values: from bytes, from a list, and one by one."""
    converter = converter_for(strict=False)
    expected = [converter.structure(thing, Thing) for thing in THINGS]
    assert [thing.tags for thing in expected] == [[], ["a"], [], []]
    assert [thing.code for thing in expected] == [7, 8, 7, 7]
    assert _says(converter.structure(THINGS, list[Thing])) == _says(expected)
    lane = FastLane(Thing, strict=False)
    for _ in range(3):
        page = lane.list(_body(*THINGS))
        assert page is not None
        assert _says(page[0]) == _says(expected)
        assert page[0][0].tags is not page[0][2].tags


@attrs.frozen
class Draft(Record):
    """A record that may have no id."""

    id: int | None = attrs.field(default=None, metadata={"wire": "draftId"})
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


def test_records_that_may_have_no_id_are_distinguished() -> None:
    """Their keys are the records themselves, in the first answer as well."""
    drafts: list[dict[str, Any]] = [{"draftId": None}, {"draftId": 4}, {}]
    page = FastLane(Draft, strict=False).list(_body(*drafts))
    assert page is not None
    assert page[1] == identity_keys(drafts, "draftId")


def test_only_success_is_decoded_at_once() -> None:
    """A page under an error status is an error, and a response without content has no page."""
    body = _body(queue(), queue(callinId=2))
    for status in (200, 201):
        response = Response(status, CIMultiDict(), body)
        read = decode_response(REQUEST, response, retry_after=None, decode=_decoder())
        assert isinstance(read, tuple)
    for status in (301, 401, 404, 429, 500):
        response = Response(status, CIMultiDict(), body)
        with pytest.raises(AlohubError):
            decode_response(REQUEST, response, retry_after=None, decode=_decoder())
    response = Response(204, CIMultiDict(), body)
    assert decode_response(REQUEST, response, retry_after=None, decode=_decoder()) is None


def test_without_speed_there_is_no_decoder() -> None:
    """Of a second copy of the module, which looks for msgspec in vain."""
    spec = importlib.util.find_spec(answers.__name__)
    assert spec is not None
    assert spec.loader is not None
    second = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        spec.loader.exec_module(second)
        assert second.decoders(InboundQueue, strict=False) == (None, None)


# The hook for lists of records


@given(pages.map(lambda page: [dict(pairs) for pairs in page]), st.booleans())
@example([queue(), queue(strategy=True), queue(strategy=1)], False)
@example([queue(timeWait=1), queue(timeWait=True), queue(timeWait=1.0)], False)
@example([queue(nguongRanhRoi=1.0), queue(nguongRanhRoi=1), queue(nguongRanhRoi=True)], True)
@example([queue(strategy=-1), queue(strategy=-1), queue(strategy=-1.0)], False)
@example([queue(strategy=2**53), queue(strategy=2**53), queue(strategy=2.0**53)], False)
@example([queue(nguongRanhRoi=raw) for raw in (2, 2.0, 2, "2", "2", None, 0, False, 0.0)], False)
@example([queue(callinId=True)], True)
@example([queue(new=[1])], True)
@example([queue(new=1), {"callinId": 1}, {"callinId": 2, "callinName": "x", "new": None}], False)
@example([queue(agentSelector=[])], True)
def test_records_of_a_list_are_those_of_each_by_itself(found: list[dict[str, Any]], strict: bool) -> None:  # noqa: FBT001
    """This holds for consecutive values that are equal but of different types, and for errors."""
    structure = converter_for(strict=strict).structure
    try:
        expected = _structured(found, strict=strict)
    except FieldError as error:
        with pytest.raises(FieldError) as caught:
            structure(found, list[InboundQueue])
        assert (caught.value.field, caught.value.value) == (error.field, error.value)  # noqa: PT017
        assert type(caught.value.value) is type(error.value)  # noqa: PT017
    else:
        assert _says(structure(found, list[InboundQueue])) == _says(expected)


CHANGES: Final[dict[str, tuple[Any, ...]]] = {
    "__setitem__": ("a", 1),
    "__delitem__": ("a",),
    "__ior__": ({"a": 1},),
    "update": ({"a": 1},),
    "setdefault": ("a", 1),
    "pop": ("a", None),
    "popitem": (),
    "clear": (),
}


def _without_extra() -> list[InboundQueue]:
    """Return records without unknown fields, created by each path."""
    page = _decoder()(_body(queue()))
    assert page is not None
    converter = converter_for(strict=False)
    return [
        converter.structure(queue(), InboundQueue),
        *converter.structure([queue()], list[InboundQueue]),
        *page[0],
    ]


@pytest.mark.parametrize(("name", "arguments"), CHANGES.items(), ids=CHANGES)
def test_empty_extra_is_immutable(name: str, arguments: tuple[Any, ...]) -> None:
    """Records without unknown fields share one empty `extra`, which cannot be modified."""
    for item in _without_extra():
        with pytest.raises(TypeError, match="cannot be changed"):
            getattr(item.extra, name)(*arguments)
        assert item.extra == {}


def test_empty_extra_is_a_dict_like_any_other() -> None:
    """It compares, prints, copies, pickles and encodes like one; a copy can be modified."""
    for item in _without_extra():
        assert (item.extra, repr(item.extra), json.dumps(item.extra)) == ({}, "{}", "{}")
        for other in (
            copy.copy(item.extra),
            copy.deepcopy(item).extra,
            pickled(item).extra,
            attrs.asdict(item)["extra"],
        ):
            assert type(other) is dict
            assert other == {}
        assert pickled(item) == item == copy.deepcopy(item)


def test_records_of_a_list_are_frozen() -> None:
    """Records of every path are instances of the frozen class itself."""
    page = _decoder()(_body(queue()))
    assert page is not None
    for item in (*converter_for(strict=False).structure([queue()], list[InboundQueue]), *page[0]):
        assert type(item) is InboundQueue
        assert item.strategy is QueueStrategy.NORMAL
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            item.id = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_more_values_than_the_cache_holds_are_read() -> None:
    """A full cache is cleared, and all values are still read."""
    found = [queue(callinId=number, timeWait=str(number)) for number in range(1, 10_000)]
    items = converter_for(strict=False).structure(found, list[InboundQueue])
    assert [item.max_wait for item in items] == [*range(1, 10_000)]


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize(
    "record",
    [
        queue(),
        queue(createdAt="2026-03-10"),
        queue(nguongRanhRoi="15", strategy=42),
        queue(callinName=None, callinNumber=84123),
        {name: value for name, value in QUEUE.items() if value is not None},
    ],
    ids=["documented", "undocumented field", "values that do not fit", "no strings", "nulls left out"],
)
def test_records_of_a_list_cost_no_calls(record: dict[str, Any]) -> None:
    """Without the extra `speed`, too, whatever is odd about each of them."""
    structure = converter_for(strict=False).structure
    structure([record], list[InboundQueue])
    profile = cProfile.Profile()
    profile.enable()
    items = structure([record] * 500, list[InboundQueue])
    profile.disable()
    assert _says(items) == _says(_structured([record] * 500, strict=False))
    assert sum(entry.callcount for entry in profile.getstats() if "len" not in str(entry.code)) < 50
