"""The fast paths to the records of a page return the same as the general path, or leave the page to it."""

import copy
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from alohub_async.codec import fast_answers
from alohub_async.codec.converter import FieldError, converter_for
from alohub_async.codec.fast_answers import DecodedList, decoders
from alohub_async.errors import AlohubError
from alohub_async.http.requests import Request
from alohub_async.http.responses import Response, decode_response, read_list, read_record
from alohub_async.models import InboundQueue, QueueStrategy
from tests.routes import LIST_INBOUND
from tests.strategies import any_text, json_scalars, json_values
from tests.support import QUEUE, queue
from tests.twins import pickled

REQUEST: Final = Request(LIST_INBOUND, URL("https://x.example/v1/queues/inbound"))
LONG: Final = 10**17


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its fields in order, possibly with duplicates."""


def _says(items: Sequence[InboundQueue]) -> list[Any]:
    """Return all values of the records with their types, since `1`, `True` and `1.0` are equal."""
    return [
        (type(item), [(type(value), value) for value in attrs.astuple(item, recurse=False)], repr(item))
        for item in items
    ]


def _decoder() -> Callable[[bytes], DecodedList[InboundQueue] | None]:
    decode = decoders(InboundQueue).list
    assert decode is not None, "the extra `speed` is not installed"
    return decode


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


# The decoder of the extra `speed`


@given(bodies())
@example(_body(queue(), queue(callinId=2, timeWait=None, strategy=7)))
@example(_body(queue(callinId=2**64)))
@example(_body(queue(callinId=-(2**64))))
@example(_body(queue(callinId=1.0)))
@example(_body(queue(strategy=True)))
@example(_body(queue(timeWait="0060", nguongRanhRoi="1")))
@example(_body(queue(timeWait=" 60")))
@example(_body(queue(timeWait="1" * 5000)))
@example(_body(queue(), totalRecord=10**30))
@example(_body(queue(), totalRecord="12"))
@example(_body(queue(), success=True))
@example(_body(queue(), error_code="FAIL"))
@example(_body(queue(), data=None))
@example(_body(queue()) + b"x")
@example(_body(queue(callinName="x")).replace(b'"x"', b'"\xff"'))
@example(_body(queue(callinName="x")).replace(b'"x"', b'"\\ud800"'))
@example(_body(queue(callinName="x")).replace(b'"x"', b'"\\ud83d\\ude00"'))
@example(_body(queue(callinName="x")).replace(b'"x"', b'"a\nb"'))
@example(_body(queue(callinName="x")).replace(b'"strategy": 1', b'"strategy": 1, "strategy": 2'))
@example(_body(queue(strategy=5)).replace(b": 5", b": NaN"))
@example(_body(queue(strategy=5)).replace(b": 5", b": 5e0"))
def test_page_from_bytes_is_the_plain_page(body: bytes) -> None:
    """A page from the fast path equals that of the general path, in both modes.

    Records, types, `extra`, ids and total are the same, and the general path raises no error for it.
    """
    page = _decoder()(body)
    if page is None:
        return  # left to the general path
    payload = decode_response(REQUEST, Response(200, CIMultiDict(), body), retry_after=None)
    found = read_list(payload, request="GET /x", is_first=True)
    for strict in (False, True):
        assert _says(page[0]) == _says(_structured(found.items, strict=strict))
    ids = [record["callinId"] for record in found.items]
    assert (list(page[1]), {*map(type, page[1])}) == (ids, {*map(type, ids)})
    assert ids == [item.id for item in page[0]]
    assert (page[2], type(page[2])) == (found.total, type(found.total))


@given(records.map(_text) | bodies().map(lambda body: body.decode(errors="surrogateescape")))
@example(json.dumps(queue()))
@example(json.dumps(queue(extra=1)))
@example(json.dumps({"callinId": 1, "callinName": "x"}))
@example(json.dumps({"data": queue()}))
@example(json.dumps({**queue(), "success": "0", "error_code": "FAIL"}))
def test_record_from_bytes_is_the_plain_record(text: str) -> None:
    """A detail that is decoded at once is the record that the plain way makes, strict or not."""
    decode = decoders(InboundQueue).record
    assert decode is not None
    body = text.encode(errors="surrogateescape")
    record = decode(body)
    if record is None:
        return  # the plain way reads it
    payload = decode_response(REQUEST, Response(200, CIMultiDict(), body), retry_after=None)
    found = read_record(payload, id_field="callinId", request="GET /x")
    for strict in (False, True):
        assert _says([record]) == _says(_structured([found], strict=strict))


def test_documented_detail_is_decoded_at_once() -> None:
    """The usual answer takes the short way."""
    decode = decoders(InboundQueue).record
    assert decode is not None
    assert decode(json.dumps(queue()).encode()) == _structured([queue()], strict=True)[0]


USUAL: Final = {
    "as documented": _body(queue(), queue(callinId=2)),
    "no records": _body(),
    "no total": json.dumps({"success": "1", "data": [queue()]}).encode(),
    "numbers for strings": _body(queue(timeWait=60, nguongRanhRoi=1)),
    "a new strategy": _body(queue(strategy=42)),
    "escaped": _body(queue(callinName="Hàng đợi 😀")),
    "not escaped": json.dumps({"success": "1", "data": [queue(callinName="Hàng đợi")]}, ensure_ascii=False).encode(),
    "all null": _body({**dict.fromkeys(QUEUE), "callinId": 1, "callinName": ""}),
    "with a message": _body(queue(), error_message="ok"),
}


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_usual_pages_are_decoded_at_once(body: bytes) -> None:
    """The fast path handles the usual pages, which nearly all pages are."""
    assert _decoder()(body) is not None


UNUSUAL: Final = {
    "unknown field": _body(queue(new=1)),
    "field missing": _body({name: value for name, value in queue().items() if name != "timeWait"}),
    "value that does not fit": _body(queue(timeWait="soon")),
    "no id": _body(queue(callinId=None)),
    "id below 1": _body(queue(callinId=0)),
    "failure": _body(queue(), success="0"),
    "no success": json.dumps({"data": [queue()]}).encode(),
    "half a surrogate": _body(queue(callinName="\ud800")),
    "not JSON": b"<html>",
    "empty": b"",
}


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_pages_are_left_to_the_general_path(body: bytes) -> None:
    """The general path raises the error or keeps the invalid value."""
    assert _decoder()(body) is None


def test_only_success_is_decoded_at_once() -> None:
    """A page under an error status is an error, and a response without content has no page."""
    body = USUAL["as documented"]
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
    spec = importlib.util.find_spec(fast_answers.__name__)
    assert spec is not None
    assert spec.loader is not None
    second = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        spec.loader.exec_module(second)
        assert second.decoders(InboundQueue) == (None, None)


# The hook for lists of records


@given(pages.map(lambda page: [dict(pairs) for pairs in page]), st.booleans())
@example([queue(), queue(strategy=True), queue(strategy=1)], False)
@example([queue(timeWait=1), queue(timeWait=True), queue(timeWait=1.0)], False)
@example([queue(nguongRanhRoi=1.0), queue(nguongRanhRoi=1), queue(nguongRanhRoi=True)], True)
@example([queue(callinId=True)], True)
@example([queue(new=[1])], True)
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
