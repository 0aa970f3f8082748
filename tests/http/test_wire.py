"""What goes over the wire and what comes back: requests, answers, errors, and the key that no error shows."""

import importlib.util
import json
import posixpath
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from alohub_async.codec.decoding import decode_json
from alohub_async.config import ApiKey, ClientConfig, Endpoint
from alohub_async.errors import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestFailedError,
)
from alohub_async.http.requests import PageRequests, Request, build_request, check_path, request_headers
from alohub_async.http.responses import (
    ListPayload,
    Response,
    decode_response,
    read_list,
    read_record,
    read_success,
    retry_after_seconds,
)
from alohub_async.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND, Route
from tests.strategies import any_text, json_values
from tests.twins import pickled

KEY = "sk_live_0123456789abcdef"
GATEWAY = Endpoint.production()
DIRECT = Endpoint.direct("https://backend.example")
LIST = build_request(LIST_INBOUND, GATEWAY)


# Routes


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("get", "/v1/queues/inbound", LIST_INBOUND),
        ("GET", "/v1/queues/inbound/1001226", GET_INBOUND),
        ("PUT", "/v1/queues/inbound/7", UPDATE_INBOUND),
        ("POST", "/v1/calls/12/legs/3", Route("POST", "/v1/calls/{id}/legs/{id}")),
        ("GET", "/v1/x12", Route("GET", "/v1/x12")),
    ],
)
def test_route_of_a_path_takes_digits_for_ids(method: str, path: str, route: Route) -> None:
    """A path given by hand shares the budget of the route the SDK lists."""
    assert Route.of(method, path) == route
    assert str(route) == f"{route.method} {route.template}"


# Requests


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (GATEWAY, "https://xapi.alohub.vn/v1/queues/inbound?page=0&size=20"),
        (DIRECT, "https://backend.example/api/v1/queues/inbound?page=0&size=20"),
        (
            Endpoint("https://proxy.example:8443/a%2Fb/"),
            "https://proxy.example:8443/a%2Fb/v1/queues/inbound?page=0&size=20",
        ),
    ],
    ids=["gateway", "backend", "proxy"],
)
def test_url_is_base_route_and_query(endpoint: Endpoint, url: str) -> None:
    """Each way of access puts its own base before the route's path."""
    request = build_request(LIST_INBOUND, endpoint, params={"page": 0, "size": 20})
    assert str(request.url) == url
    assert request.route is LIST_INBOUND
    assert request.body is None
    assert str(request) == f"GET {URL(url).raw_path_qs}"


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        (1001226, "1001226"),
        ("x/y", "x%2Fy"),
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2e", "%252e"),
        ("đ", "%C4%91"),
        ("a\nb", "a%0Ab"),
    ],
)
def test_path_value_is_one_quoted_segment(value: object, segment: str) -> None:
    """Whatever a value holds, it stays a single segment and reaches the server as it was."""
    request = build_request(GET_INBOUND, DIRECT, path_values={"id": value})
    assert str(request.url) == f"https://backend.example/api/v1/queues/inbound/{segment}"


@pytest.mark.parametrize("value", ["..", ".", "", "../../admin", "a/../b", "a\\..\\b", "..\\", "\ud800"], ids=ascii)
def test_path_value_that_could_climb_is_refused(value: str) -> None:
    """A server that decodes before it routes would leave the base path; nothing is sent there."""
    with pytest.raises(InvalidArgumentError):
        build_request(GET_INBOUND, DIRECT, path_values={"id": value})


def _resolved(url: URL) -> str:
    """The path a server gets to that decodes first, takes a backslash for a slash and resolves dots."""
    return posixpath.normpath(unquote(url.raw_path).replace("\\", "/"))


@given(any_text)
def test_no_path_value_leaves_its_place(value: str) -> None:
    """Any string is refused or reaches the server whole, as the last of the same number of segments."""
    try:
        url = build_request(GET_INBOUND, DIRECT, path_values={"id": value}).url
    except InvalidArgumentError:
        return
    *before, last = url.raw_path.split("/")
    assert before == ["", "api", "v1", "queues", "inbound"]
    assert unquote(last) == value
    assert URL(str(url)).path == url.path
    assert url.host == "backend.example"
    assert not url.query_string
    assert not url.fragment


PATH_PIECES = [
    "/",
    "/",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "%25",
    "%",
    "a",
    "v1",
    "?",
    "#",
    " ",
    "@",
    ":",
    "é",
    "//",
]


@given(st.lists(st.sampled_from(PATH_PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces)) | any_text)
@example("/v1/x%2f..%2f..%2f..%2fadmin")
@example("/v1/%2e%2E/%2e%2e/admin")
@example("/v1/..%5c..%5cadmin")
@example("/%aa")
def test_no_given_path_leaves_the_base(path: str) -> None:
    """Any path is refused or stays below the base URL, also on a server that decodes before it resolves dots."""
    try:
        check_path(path)
    except InvalidArgumentError:
        return
    url = build_request(Route.of("GET", path), DIRECT, path=path).url
    assert url.host == "backend.example"
    assert url.raw_path.startswith("/api/")
    assert f"{_resolved(url)}/".startswith("/api/")
    assert URL(str(url)).path == url.path
    assert url.raw_query_string == ""


@pytest.mark.parametrize("path", ["/v1/queues/inbound", "/v1/a%20b", "/v1/a:b@c", "/v1/…", "/v1/a%2Fb", "/a..b/.c/d."])
def test_ordinary_path_is_taken(path: str) -> None:
    """Escapes, colons, letters of any script and dots within a name are fine."""
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v1",
        "/",
        "/v1/",
        "//evil.example/v1",
        "/v1//x",
        "/v1?x=1",
        "/v1#x",
        "/v1/a b",
        "/v1/..",
        "/v1\\..",
        "/v1/\n",
        "/v1/%aa",
        "https://evil.example/",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """The message shows what a path looks like and what was given."""
    with pytest.raises(InvalidArgumentError, match="path must look like '/v1/queues/inbound'") as caught:
        check_path(path)
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("path", [None, 7, b"/v1", ["/v1"]])
def test_path_of_another_type_is_refused(path: object) -> None:
    """The message has the type."""
    with pytest.raises(InvalidArgumentTypeError, match=f"path must be a string; {type(path).__name__} was given"):
        check_path(path)


def test_query_values_are_quoted_and_arrive_as_given() -> None:
    """Separators, spaces and Vietnamese in a query value do not make a second parameter."""
    params: dict[str, str | int] = {"name": "Hàng đợi & co=1?#/+%", "size": 5, "empty": ""}
    url = build_request(LIST_INBOUND, GATEWAY, params=params).url
    assert dict(url.query) == {name: str(value) for name, value in params.items()}


@pytest.mark.parametrize("value", [True, None, 1.5, ["a"], b"a"], ids=repr)
def test_query_value_of_another_type_is_refused(value: Any) -> None:
    """True would be sent as "True"; the message names the parameter."""
    with pytest.raises(InvalidArgumentTypeError, match=r"params\['flag'\] must be a string or an int"):
        build_request(LIST_INBOUND, GATEWAY, params={"flag": value})


@pytest.mark.parametrize("params", [{"q": "\ud800"}, {"\ud800": 1}], ids=ascii)
def test_query_that_utf8_cannot_say_is_refused(params: Mapping[str, str | int]) -> None:
    """A lone surrogate is our error too, not one of the codec."""
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        build_request(LIST_INBOUND, GATEWAY, params=params)


@given(st.dictionaries(any_text, any_text | st.integers(), min_size=1, max_size=3))
def test_any_query_arrives_or_is_refused(params: dict[str, str | int]) -> None:
    """No name or value breaks out of the query."""
    try:
        request = build_request(LIST_INBOUND, GATEWAY, params=params)
    except InvalidArgumentError:
        return
    assert dict(request.url.query) == {name: str(value) for name, value in params.items()}
    assert request.url.raw_path == "/v1/queues/inbound"
    assert not request.url.fragment


@given(
    st.dictionaries(st.sampled_from("abc"), any_text, max_size=2),
    st.lists(st.none() | st.tuples(st.integers(0, 4), st.integers(1, 2)), max_size=12),
)
def test_pages_are_asked_for_alike_prepared_or_not(params: dict[str, str], steps: list[tuple[int, int] | None]) -> None:
    """In whatever order, and whenever (None) the next one is prepared."""
    try:
        request = build_request(LIST_INBOUND, GATEWAY, params=params)
    except InvalidArgumentError:
        return
    ask_for = PageRequests(request)
    for step in steps:
        if step is None:
            ask_for.prepare()
            continue
        page, size = step
        asked = ask_for(page, size)
        assert asked.url.raw_query_string.endswith(f"page={page}&size={size}")
        assert dict(asked.url.query) == {**params, "page": str(page), "size": str(size)}
        assert (asked.route, asked.body, asked.url.path) == (LIST_INBOUND, None, request.url.path)


def test_body_is_compact_utf8_json() -> None:
    """Vietnamese goes out as UTF-8, and an empty object is a body."""
    body = build_request(
        UPDATE_INBOUND, GATEWAY, path_values={"id": 7}, json={"moh_file_id": "nhạc.wav", "strategy": 2}
    ).body
    assert body == '{"moh_file_id":"nhạc.wav","strategy":2}'.encode()
    assert build_request(UPDATE_INBOUND, GATEWAY, path_values={"id": 7}, json={}).body == b"{}"


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), {1, 2}, object(), b"x", {"a": "\ud800"}, {(1, 2): 3}, _nested(100_000)],
    ids=lambda value: type(value).__name__,
)
def test_body_that_json_cannot_say_is_refused(value: object) -> None:
    """NaN is not JSON; no exception of the encoder reaches the user."""
    with pytest.raises(InvalidArgumentError, match="json must be what JSON can say"):
        build_request(UPDATE_INBOUND, GATEWAY, path_values={"id": 7}, json=value)


# Headers of a request


def _config(endpoint: Endpoint, *, tenant_id: str | None = "20260310", api_key: ApiKey = KEY) -> ClientConfig:
    return ClientConfig(api_key=api_key, tenant_id=tenant_id, endpoint=endpoint, user_agent="tests/1.0")


@pytest.mark.parametrize(
    ("endpoint", "key_headers", "tenant"),
    [
        (Endpoint.production(), {"X-Api-Key"}, True),
        (Endpoint.development(), {"X-Api-Key"}, True),
        (DIRECT, {"Authorization"}, False),
        (Endpoint("https://h", key_header="authorization"), {"Authorization"}, True),
        (Endpoint("https://h", key_header="both", send_tenant=False), {"X-Api-Key", "Authorization"}, False),
    ],
)
def test_each_way_of_access_has_its_headers(endpoint: Endpoint, key_headers: set[str], *, tenant: bool) -> None:
    """The bare key is in the headers of that way and no other, the tenant where the endpoint sends it."""
    headers = request_headers(LIST, _config(endpoint), KEY)
    expected = dict.fromkeys(key_headers, KEY) | ({"X-Tenant-ID": "20260310"} if tenant else {})
    assert headers == {"Accept": "application/json", "User-Agent": "tests/1.0", **expected}


def test_tenant_header_needs_a_tenant() -> None:
    """The gateway adds it by itself if the client has none."""
    assert "X-Tenant-ID" not in request_headers(LIST, _config(GATEWAY, tenant_id=None), KEY)


def test_content_type_goes_with_a_body() -> None:
    """A request without a body does not claim to have one."""
    request = build_request(UPDATE_INBOUND, GATEWAY, path_values={"id": 7}, json={})
    assert request_headers(request, _config(GATEWAY), KEY)["Content-Type"] == "application/json"
    assert "Content-Type" not in request_headers(LIST, _config(GATEWAY), KEY)


@pytest.mark.parametrize("key", ["", "a\r\nX-Evil: 1", "khóa", None, 7], ids=repr)
def test_provided_key_is_checked_each_time(key: Any) -> None:
    """A key provider can return anything; it is refused before it gets into a header."""
    with pytest.raises(ConfigurationError, match="api_key must be"):
        request_headers(LIST, _config(GATEWAY, api_key=lambda: KEY), key)


def test_request_and_its_text_never_hold_the_key() -> None:
    """The key is in the headers alone, which are made for each attempt."""
    request = build_request(UPDATE_INBOUND, DIRECT, path_values={"id": 7}, json={"strategy": 2})
    assert KEY not in f"{request!r}{request}"
    assert str(request) == "PUT /api/v1/queues/inbound/7"


# Retry-After

MOMENT = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("4.75", 4.75),
        (".5", 0.5),
        ("86400", 86400.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 30.0),
        ("Wed Oct 21 07:28:00 2015", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 30.0),
        ("Wed, 21 Oct 2015 14:28:00 +0700", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1" * 400, None),
        ("1e400", None),
        ("7 seconds", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_every_form(text: str, seconds: float | None) -> None:
    """Integer, decimal or HTTP date in any of its three spellings; nonsense says nothing."""
    assert retry_after_seconds(CIMultiDict({"retry-after": text}), wall_clock=lambda: MOMENT - 30) == seconds


def test_retry_after_missing_says_nothing() -> None:
    """None, not zero."""
    assert retry_after_seconds(CIMultiDict[str](), wall_clock=lambda: MOMENT) is None


def test_retry_after_date_counts_from_the_servers_own_clock() -> None:
    """A client whose clock is an hour off waits as long as the server meant."""
    headers = CIMultiDict({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "Wed, 21 Oct 2015 07:27:55 GMT"})
    assert retry_after_seconds(headers, wall_clock=lambda: MOMENT + 3600) == 5.0
    headers["Date"] = "yesterday"
    assert retry_after_seconds(headers, wall_clock=lambda: MOMENT - 9) == 9.0


DATE_PIECES = [
    "Mon",
    ",",
    "1",
    "Jan",
    "2020",
    "99999999999999999999",
    "00:00:00",
    ":",
    "GMT",
    "+9999",
    "-0000",
    " ",
    "60",
    "(",
    ".",
]


@given(st.lists(st.sampled_from(DATE_PIECES), max_size=9).map(" ".join) | any_text)
@example("Mon, 01 Jan 2020 99999999999999999999:00:00 GMT")
def test_no_retry_after_raises(text: str) -> None:
    """Whatever the headers say, the result is a finite number of seconds, or None."""
    seconds = retry_after_seconds({"Retry-After": text, "Date": text}, wall_clock=lambda: 0.0)
    assert seconds is None or 0 <= seconds < float("inf")


# decode_json


def _decoder_without_msgspec() -> Callable[[bytes], Any]:
    """`decode_json` as it is where the extra `speed` is not installed: of a second copy of the module."""
    spec = importlib.util.find_spec("alohub_async.codec.decoding")
    assert spec is not None
    assert spec.loader is not None
    wire = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        spec.loader.exec_module(wire)
        decode: Callable[[bytes], Any] = wire.decode_json
        assert decode(b"[1]") == [1]  # it looks for msgspec now, and never again
    return decode


decode_json_slowly = _decoder_without_msgspec()


def _outcome(decode: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return f"= {decode(body)!r}"  # repr tells 1 from 1.0 and True, 0.0 from -0.0, and finds NaN equal to itself
    except ValueError:
        return "refused"


def test_speed_is_installed_here() -> None:
    """Else the comparisons of the two decoders would compare one with itself."""
    assert importlib.util.find_spec("msgspec") is not None


ODD_BODIES = [
    *(
        b"",
        b" ",
        b"null",
        b"true",
        b"0",
        b"-0",
        b"-0.0",
        b"1e5",
        b"1E400",
        b"-1e400",
        b"1e-400",
        b"2.5e-324",
        b"9007199254740993.0",
    ),
    *(b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"1" * 300, b"1" * 4300, b"1" * 4301),
    *(
        b"1" * 400 + b".0",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"--1",
        b"1e",
        b"0x10",
        b"1_0",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"[NaN]",
    ),
    *(
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'"\\ude00\\ud83d"',
        b'"\\ud83d\\ude00"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\xc0\x80"',
    ),
    *(
        b'"\x01"',
        b'"\x00"',
        b'"\n"',
        b'"\x7f"',
        b'"\\u0000"',
        b'"\\x41"',
        b'"\\u12"',
        b'"abc',
        b"'a'",
        b'"\xe2\x80\xa8"',
    ),
    *(
        b"\xef\xbb\xbf[1]",
        b"\xef\xbb\xbf",
        "[1]".encode("utf-16"),
        '{"é": 1}'.encode("utf-16-le"),
        '["đ"]'.encode("utf-32"),
        b"1\x00",
    ),
    *(
        b"[1,]",
        b"{,}",
        b'{"a":1,}',
        b"[1 2]",
        b'{"a":1,"a":2}',
        b"{1:2}",
        b"[1]x",
        b"[1]\x00",
        b"\x0c1",
        b"\xa01",
        b"// x\n1",
        b"[",
        b"]",
    ),
    *(b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300, b"[" * 100_000 + b"]" * 100_000, b"[" * 100_000),
    *(b"<html></html>", b"\xff\xfe", b"\x1f\x8b"),
]


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: ascii(body[:24]))
def test_odd_body_decodes_alike_with_and_without_speed(body: bytes) -> None:
    """Numbers beyond 64 bits, lone surrogates, byte order marks, other encodings, NaN, deep nesting: one result."""
    assert _outcome(decode_json, body) == _outcome(decode_json_slowly, body)


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_any_json_decodes_alike_with_and_without_speed(value: Any, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001  (Hypothesis gives it)
    """What JSON can say comes back as it was, escaped or not, by either decoder."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    body = text.encode("utf-8", "surrogatepass")
    assert _outcome(decode_json, body) == _outcome(decode_json_slowly, body) == f"= {value!r}"


JSON_PIECES = [
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\\ude00",
        b"\\n",
        b" ",
        b"\n",
        b"\t",
        b"\x00",
        b"\x1f",
    ),
    *(
        b"0",
        b"1",
        b"-",
        b"+",
        b".",
        b"e",
        b"E",
        b"99999999999999999999",
        b"true",
        b"false",
        b"null",
        b"NaN",
        b"Infinity",
        b"a",
    ),
    *(b"\xef\xbb\xbf", b"\xc3\xa9", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b'"a":', b'"a"'),
]


@given(st.lists(st.sampled_from(JSON_PIECES), max_size=12).map(b"".join) | st.binary(max_size=24))
def test_any_bytes_decode_alike_with_and_without_speed(body: bytes) -> None:
    """What is no JSON is refused by both, what is almost JSON is taken by both or neither."""
    assert _outcome(decode_json, body) == _outcome(decode_json_slowly, body)


# Answers


def _response(body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Response(status, CIMultiDict(headers or {}), raw)


def _decode(response: Response, request: Request = LIST, *, key: str = KEY, retry_after: float | None = None) -> Any:
    return decode_response(request, response, secret=key, retry_after=retry_after)


ENVELOPE = {"success": "1", "error_code": "SUCCESS", "totalRecord": 1, "data": [{"callinId": 7}]}


@pytest.mark.parametrize(
    "payload",
    [
        ENVELOPE,
        {"success": 1, "data": []},
        {"success": True, "data": []},
        {"success": "1", "error_code": "SUCCESS", "error_message": "Inbound queue updated successfully"},
        {"callinId": 7, "callinName": "test", "strategy": 1},
        {"data": [], "error_code": "SUCCESS"},
        {"data": [], "error_code": "success"},
        {"data": [], "error_code": None},
        [],
        [1, 2],
        None,
        "text",
        0,
        {},
    ],
    ids=repr,
)
def test_success_returns_the_payload_as_it_came(payload: object) -> None:
    """Envelope or bare, whatever the JSON is."""
    assert _decode(_response(payload)) == payload
    assert _decode(_response(payload, 201)) == payload


@pytest.mark.parametrize("status", [204, 205])
def test_answer_without_content_is_none(status: int) -> None:
    """There is no JSON to expect."""
    assert _decode(_response(b"", status)) is None


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", "an empty body"),
        (b"  \n", "an empty body"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b'{"success": "1", "da', '{"success": "1", "da'),
        (b"\xff\xfe\x00", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_success_without_json_is_a_response_error(body: bytes, shown: str) -> None:
    """Empty, cut short or HTML: the error says what was asked and shows what came; another try may mend it."""
    with pytest.raises(APIResponseError) as caught:
        _decode(_response(body))
    error = caught.value
    assert str(error).startswith("GET /v1/queues/inbound was answered with HTTP 200 and no JSON")
    assert shown in str(error)
    assert error.undecodable
    assert error.status == 200
    assert error.body is not None
    assert isinstance(error.__cause__, ValueError)


STATUSES: list[tuple[int, type[APIStatusError]]] = [
    (301, APIStatusError),
    (304, APIStatusError),
    (400, BadRequestError),
    (401, AuthenticationError),
    (402, APIStatusError),
    (403, PermissionDeniedError),
    (404, NotFoundError),
    (409, APIStatusError),
    (418, APIStatusError),
    (429, RateLimitError),
    (499, APIStatusError),
    (500, InternalServerError),
    (501, InternalServerError),
    (502, InternalServerError),
    (503, InternalServerError),
    (504, InternalServerError),
    (599, InternalServerError),
]
FOREIGN_BODIES = [
    b"",
    b"<html>",
    b'{"message": "x"}',
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"success": "1"}',
    b'{"error_code": 5}',
]


@pytest.mark.parametrize("body", FOREIGN_BODIES)
@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_status_decides_the_class_where_no_code_is_known(status: int, kind: type[APIStatusError], body: bytes) -> None:
    """Whatever stands in front of the backend answers, its status counts, even under a body that claims success."""
    with pytest.raises(APIStatusError) as caught:
        _decode(_response(body, status))
    assert type(caught.value) is kind
    assert caught.value.status == status


CODES: list[tuple[str, type[APIStatusError]]] = [
    ("INVALID_INPUT", BadRequestError),
    ("UNAUTHORIZED", AuthenticationError),
    ("INSUFFICIENT_SCOPE", PermissionDeniedError),
    ("NOT_FOUND", NotFoundError),
    ("RATE_LIMIT_EXCEEDED", RateLimitError),
    ("FAIL", InternalServerError),
]


@pytest.mark.parametrize("status", [200, 201, 400, 404, 418, 500, 503])
@pytest.mark.parametrize("name", ["error_code", "errorCode"])
@pytest.mark.parametrize(("code", "kind"), CODES)
def test_known_code_decides_the_class_under_any_status(
    code: str, kind: type[APIStatusError], name: str, status: int
) -> None:
    """In either spelling of the field, in any case, under HTTP 200 too."""
    for spelled in (code, code.lower()):
        with pytest.raises(APIStatusError) as caught:
            _decode(_response({"success": "0", name: spelled}, status))
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.error_code) == (status, spelled)


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_known_code_alone_is_a_failure_under_200(code: str, kind: type[APIStatusError]) -> None:
    """Without `success`, a code of the documented failures is one."""
    with pytest.raises(kind):
        _decode(_response({"error_code": code}))


@pytest.mark.parametrize("success", ["0", 0, False, None, "", "2", "true", "yes", [], {}, 1.5], ids=repr)
@pytest.mark.parametrize("code", ["0", 0, "SUCCESS", "SOMETHING_NEW", None, ""], ids=repr)
def test_success_other_than_1_under_200_is_a_failure(success: object, code: object) -> None:
    """The API reports failures under HTTP 200, with a code that may say nothing."""
    with pytest.raises(RequestFailedError) as caught:
        _decode(_response({"success": success, "error_code": code, "error_message": "Lỗi hệ thống"}))
    error = caught.value
    assert type(error) is RequestFailedError
    assert error.message == "Lỗi hệ thống"
    assert error.error_code == (None if code in (None, "") else str(code))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error_message": "a", "message": "b"}, "a"),
        ({"errorMessage": "a", "error": "b"}, "a"),
        ({"message": "No API key found in request"}, "No API key found in request"),
        ({"error": "bad"}, "bad"),
        ({"error_message": "", "message": "b"}, "b"),
        ({"error_message": None, "errorMessage": 5, "message": ["x"], "error": {"code": 1}}, None),
        ({"message": "Không tìm thấy\nhàng đợi"}, "Không tìm thấy\nhàng đợi"),
        ([{"message": "a"}], None),
    ],
)
def test_message_is_found_in_every_spelling(body: object, message: str | None) -> None:
    """The vendor's own field first, then those of its client and of gateways; text alone is a message."""
    with pytest.raises(NotFoundError) as caught:
        _decode(_response(body, 404))
    assert caught.value.message == message
    assert (message is None) or message in str(caught.value)


def test_status_error_has_all_that_came() -> None:
    """Status, code, message, request id, seconds to wait, headers and the beginning of the body."""
    headers = {"Retry-After": "3", "X-Request-Id": "req-1", "Content-Type": "application/json"}
    body = {"success": "0", "error_code": "RATE_LIMIT_EXCEEDED", "error_message": "Vượt giới hạn"}
    with pytest.raises(RateLimitError) as caught:
        _decode(_response(body, 429, headers), retry_after=3.0)
    error = caught.value
    assert (
        str(error)
        == "GET /v1/queues/inbound failed with HTTP 429 RATE_LIMIT_EXCEEDED: Vượt giới hạn (request id req-1)"
    )
    assert (error.status, error.error_code, error.message) == (429, "RATE_LIMIT_EXCEEDED", "Vượt giới hạn")
    assert (error.request_id, error.retry_after, error.headers["retry-after"]) == ("req-1", 3.0, "3")
    assert json.loads(error.body) == body
    assert vars(pickled(error)) == vars(error)


@pytest.mark.parametrize("name", ["X-Request-ID", "x-kong-request-id", "X-Correlation-Id"])
def test_request_id_is_found_in_any_case(name: str) -> None:
    """Under the names in use, the gateway's among them."""
    with pytest.raises(APIStatusError) as caught:
        _decode(_response(b"", 500, {name: "abc"}))
    assert caught.value.request_id == "abc"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_says_what_to_do(status: int) -> None:
    """Redirects are not followed; the error tells to check the base URL."""
    with pytest.raises(APIStatusError, match=r"redirects are not followed.*check the base URL"):
        _decode(_response(b"", status, {"Location": "https://elsewhere.example"}))


def test_excerpt_is_short_and_printable() -> None:
    """A page of HTML does not fill the log, and control characters do not reach a terminal."""
    body = ("<html>\x1b[31m\r\n" + "x" * 10_000).encode()
    with pytest.raises(InternalServerError) as caught:
        _decode(_response(body, 502))
    assert len(caught.value.body) <= 500
    assert caught.value.body.startswith("<html> [31m  xxx")
    assert caught.value.body.isprintable()


# The key is in no error


def _shown(error: APIStatusError | APIResponseError) -> str:
    """All that an error can show, its attributes and its pickle included."""
    return "".join([str(error), repr(error), repr(vars(error)), repr(vars(pickled(error)))])


@pytest.mark.parametrize("status", [200, 401, 500])
def test_key_is_struck_out_wherever_an_answer_echoes_it(status: int) -> None:
    """In message, code, request id, headers and body."""
    body = {"success": "0", "error_code": f"BAD_{KEY}", "error_message": f"the key {KEY} is wrong", "data": [KEY, KEY]}
    headers = {"X-Echo": f"key={KEY}", "X-Request-Id": f"{KEY}-1"}
    with pytest.raises(APIStatusError) as caught:
        _decode(_response(body, status, headers))
    error = caught.value
    assert KEY not in _shown(error)
    assert error.message == "the key [redacted] is wrong"
    assert error.request_id == "[redacted]-1"
    assert error.headers["x-echo"] == "key=[redacted]"


def test_key_is_struck_out_of_a_body_that_is_no_json() -> None:
    """The excerpt of a response error is redacted as well."""
    with pytest.raises(APIResponseError) as caught:
        _decode(_response(f"<p>{KEY}</p>".encode()))
    assert KEY not in _shown(caught.value)
    assert "[redacted]" in str(caught.value)


def test_key_too_short_to_be_one_blots_out_nothing() -> None:
    """A "key" of three letters would stand in ordinary words, and hides nothing."""
    with pytest.raises(NotFoundError, match="no such queue"):
        _decode(_response({"message": "no such queue"}, 404), key="que")


def test_key_in_the_path_or_query_is_struck_out() -> None:
    """Whoever puts the key into a parameter does not read it in the log."""
    request = build_request(LIST_INBOUND, GATEWAY, params={"api_key": KEY})
    with pytest.raises(NotFoundError) as caught:
        _decode(_response(b"", 404), request)
    assert KEY not in _shown(caught.value)
    with pytest.raises(APIResponseError) as caught_too:
        _decode(_response(b"<html>"), request)
    assert KEY not in _shown(caught_too.value)


@given(
    key=st.text("KLM", min_size=4, max_size=120),
    filler=st.text("xyz", max_size=30),
    repeats=st.integers(1, 60),
    start=st.integers(0, 520),
)
@example(key="KLM" * 40, filler="", repeats=60, start=0)
def test_no_piece_of_the_key_is_left_at_the_cut(key: str, filler: str, repeats: int, start: int) -> None:
    """However often and wherever a body has the key, the excerpt holds nothing of it."""
    body = "-" * start + (key + filler) * repeats
    with pytest.raises(InternalServerError) as caught:
        _decode(_response(body.encode(), 500), key=key)
    assert not set("KLM") & set(caught.value.body)


# Reading payloads


TOTALS: list[tuple[Any, int]] = [(3, 3), (0, 0), ("3", 3), ("0003", 3), ("1" * 18, int("1" * 18)), (10**30, 10**30)]
NO_TOTALS: list[Any] = [None, -1, "-1", "", " 3", "3.0", 3.0, True, False, "٣", "²", "1" * 19, [], {}, "many"]


@pytest.mark.parametrize(("total", "read"), [*TOTALS, *((odd, None) for odd in NO_TOTALS)], ids=repr)
def test_total_is_a_count_or_nothing(total: object, read: int | None) -> None:
    """A number or a string of digits is a total; what makes no sense counts as missing, and costs no page."""
    assert read_list({"data": [], "totalRecord": total}, request="GET /x") == ListPayload([], read)


def test_total_may_be_missing() -> None:
    """The envelope's other fields do not matter."""
    assert read_list({"data": [{"a": 1}]}, request="GET /x") == ListPayload([{"a": 1}], None)


@given(json_values)
def test_any_total_is_read_or_left_out(total: Any) -> None:
    """No total raises, and none is negative."""
    read = read_list({"data": [], "totalRecord": total}, request="GET /x").total
    assert read is None or (type(read) is int and read >= 0)


NO_LISTS: list[tuple[Any, str]] = [
    (None, "null"),
    ([], "list"),
    ("x", "str"),
    ({}, r"an object with \[\]"),
    ({"data": None, "totalRecord": 1}, r"an object with \['data', 'totalRecord'\]"),
    ({"data": {"a": 1}}, r"an object with \['data'\]"),
    ({"data": [{}, None]}, "null"),
    ({"data": [{}, "x"]}, "str"),
]


@pytest.mark.parametrize(("payload", "shown"), NO_LISTS)
def test_what_is_no_list_is_refused(payload: object, shown: str) -> None:
    """The error says what was asked, what a list looks like, and what came instead."""
    with pytest.raises(
        APIResponseError, match=rf"^GET /x was answered with JSON of an unknown shape: .*{shown}$"
    ) as caught:
        read_list(payload, request="GET /x")
    assert not caught.value.undecodable
    assert caught.value.status == 200


RECORD = {"callinId": 7, "callinName": "test", "data": [1]}


@pytest.mark.parametrize(
    "payload",
    [RECORD, {"success": "1", "data": RECORD}, {"success": "1", "data": [RECORD]}, {"data": RECORD}],
    ids=["bare", "enveloped", "list of one", "envelope alone"],
)
def test_detail_is_read_bare_or_enveloped(payload: object) -> None:
    """The documented bare object, and what it may turn out to be."""
    assert read_record(payload, id_field="callinId", request="GET /x") == RECORD


def test_detail_whose_id_is_null_is_a_record() -> None:
    """The converter decides about the value."""
    assert read_record({"callinId": None}, id_field="callinId", request="GET /x") == {"callinId": None}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "x",
        {},
        [RECORD],
        {"data": None},
        {"data": []},
        {"data": [RECORD, RECORD]},
        {"data": {"x": 1}},
        {"data": {"data": RECORD}},
    ],
    ids=repr,
)
def test_what_is_no_detail_is_refused(payload: object) -> None:
    """Two records for one id are no answer, nor is a record of something else."""
    with pytest.raises(APIResponseError, match=r"GET /x .*'callinId', bare or under 'data'"):
        read_record(payload, id_field="callinId", request="GET /x")


def test_success_envelope_is_read() -> None:
    """The answer to a write is returned as it came."""
    answer = {"success": "1", "error_message": "Inbound queue updated successfully"}
    assert read_success(answer, request="PUT /x") == answer


@pytest.mark.parametrize("payload", [None, [], "ok", {}, {"callinId": 7}], ids=repr)
def test_write_that_nobody_confirmed_is_refused(payload: object) -> None:
    """A 200 that does not say it was done does not count as done."""
    with pytest.raises(APIResponseError, match="an object with 'success'"):
        read_success(payload, request="PUT /x")


@given(json_values, st.sampled_from([200, 201, 302, 400, 404, 429, 500, 503]))
def test_any_json_answer_is_a_payload_or_our_error(payload: Any, status: int) -> None:
    """No JSON, under any status and in any reader, raises anything but an error of the tree."""
    response = _response(json.dumps(payload).encode(), status)
    try:
        decoded = _decode(response)
    except APIStatusError:
        return
    assert 200 <= status < 300
    for read in (
        lambda: read_list(decoded, request="GET /x"),
        lambda: read_record(decoded, id_field="callinId", request="GET /x"),
        lambda: read_success(decoded, request="GET /x"),
    ):
        try:
            read()
        except APIResponseError as error:
            assert "GET /x" in str(error)  # noqa: PT017  (either outcome is right)
