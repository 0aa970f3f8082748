"""Requests as values: routes, paths, queries, bodies, headers."""

import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from alohub_async.config import Endpoint
from alohub_async.errors import ConfigurationError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.http.requests import HeaderCache, Request, build_request, check_path
from alohub_async.routes import Route
from alohub_async.secret import Secret
from tests.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND
from tests.strategies import any_text

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
    """A literal path shares the budget of the SDK's route."""
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
    """The URL is the endpoint's base URL followed by the route's path."""
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
    """Any value stays a single segment and reaches the server unchanged."""
    request = build_request(GET_INBOUND, DIRECT, path_values={"id": value})
    assert str(request.url) == f"https://backend.example/api/v1/queues/inbound/{segment}"


@pytest.mark.parametrize("value", ["..", ".", "", "../../admin", "a/../b", "a\\..\\b", "..\\", "\ud800"], ids=ascii)
def test_path_value_with_dot_segments_is_refused(value: str) -> None:
    """A server that decodes before it routes would leave the base path, so nothing is sent."""
    with pytest.raises(InvalidArgumentError):
        build_request(GET_INBOUND, DIRECT, path_values={"id": value})


def _resolved(url: URL) -> str:
    """Return the path of a server that decodes first, treats backslashes as slashes and resolves dots."""
    return posixpath.normpath(unquote(url.raw_path).replace("\\", "/"))


@given(any_text)
def test_no_path_value_leaves_its_place(value: str) -> None:
    """Any string is refused or reaches the server unchanged, as the last of the same number of segments."""
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
def test_ordinary_path_is_accepted(path: str) -> None:
    """Escapes, colons, letters of any script and dots within a name are allowed."""
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
def test_invalid_path_is_refused(path: str) -> None:
    """The message shows a valid path and the given value."""
    with pytest.raises(InvalidArgumentError, match="path must look like '/v1/queues/inbound'") as caught:
        check_path(path)
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("path", [None, 7, b"/v1", ["/v1"]])
def test_path_of_another_type_is_refused(path: object) -> None:
    """The message names the given type."""
    with pytest.raises(InvalidArgumentTypeError, match=f"path must be a string; {type(path).__name__} was given"):
        check_path(path)


def test_query_values_are_quoted_and_arrive_as_given() -> None:
    """Separators, spaces and Vietnamese letters stay within their query value."""
    params: dict[str, str | int] = {"name": "Hàng đợi & co=1?#/+%", "size": 5, "empty": ""}
    url = build_request(LIST_INBOUND, GATEWAY, params=params).url
    assert dict(url.query) == {name: str(value) for name, value in params.items()}


@pytest.mark.parametrize("value", [True, None, 1.5, ["a"], b"a"], ids=repr)
def test_query_value_of_another_type_is_refused(value: Any) -> None:
    """True would be sent as "True"; the message names the parameter."""
    with pytest.raises(InvalidArgumentTypeError, match=r"params\['flag'\] must be a string or an int"):
        build_request(LIST_INBOUND, GATEWAY, params={"flag": value})


@pytest.mark.parametrize("params", [{"q": "\ud800"}, {"\ud800": 1}], ids=ascii)
def test_query_that_utf8_cannot_encode_is_refused(params: Mapping[str, str | int]) -> None:
    """A lone surrogate raises the SDK's error, not a `UnicodeEncodeError`."""
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        build_request(LIST_INBOUND, GATEWAY, params=params)


@given(st.dictionaries(any_text, any_text | st.integers(), min_size=1, max_size=3))
def test_any_query_arrives_or_is_refused(params: dict[str, str | int]) -> None:
    """No name or value changes other parts of the query."""
    try:
        request = build_request(LIST_INBOUND, GATEWAY, params=params)
    except InvalidArgumentError:
        return
    assert dict(request.url.query) == {name: str(value) for name, value in params.items()}
    assert request.url.raw_path == "/v1/queues/inbound"
    assert not request.url.fragment


def test_body_is_compact_utf8_json() -> None:
    """Vietnamese letters are sent as UTF-8, and an empty object is a body."""
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
def test_body_that_json_cannot_represent_is_refused(value: object) -> None:
    """NaN is not JSON; no exception of the encoder reaches the user."""
    with pytest.raises(InvalidArgumentError, match="json must be a value that JSON can represent"):
        build_request(UPDATE_INBOUND, GATEWAY, path_values={"id": 7}, json=value)


# Headers of a request


def _headers(endpoint: Endpoint, request: Request = LIST, *, tenant_id: str | None = "20260310") -> Mapping[str, str]:
    cache = HeaderCache(endpoint, tenant_id=tenant_id, user_agent="tests/1.0")
    return cache[Secret(KEY), request.body is not None].revealed


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
def test_each_endpoint_has_its_headers(endpoint: Endpoint, key_headers: set[str], *, tenant: bool) -> None:
    """The bare key is only in the endpoint's headers, and the tenant is sent if the endpoint requires it."""
    headers = _headers(endpoint)
    expected = dict.fromkeys(key_headers, KEY) | ({"X-Tenant-ID": "20260310"} if tenant else {})
    assert headers == {"Accept": "application/json", "User-Agent": "tests/1.0", **expected}


def test_tenant_header_needs_a_tenant() -> None:
    """Without a tenant id, the header is omitted, and the gateway adds it."""
    assert "X-Tenant-ID" not in _headers(GATEWAY, tenant_id=None)


def test_content_type_goes_with_a_body() -> None:
    """A request without a body has no content type."""
    request = build_request(UPDATE_INBOUND, GATEWAY, path_values={"id": 7}, json={})
    assert _headers(GATEWAY, request)["Content-Type"] == "application/json"
    assert "Content-Type" not in _headers(GATEWAY)


@pytest.mark.parametrize("key", ["", "a\r\nX-Evil: 1", "khóa", None, 7], ids=repr)
def test_provided_key_is_checked_each_time(key: Any) -> None:
    """A key provider can return anything; it is refused before it gets into a header."""
    headers = HeaderCache(GATEWAY, tenant_id=None, user_agent="tests/1.0")
    assert headers[Secret(KEY), False].revealed["X-Api-Key"] == KEY
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="api_key must be"):
            _ = headers[Secret(key), False]


def test_headers_are_kept_for_one_key_only() -> None:
    """A key that rotates leaves nothing behind."""
    headers = HeaderCache(GATEWAY, tenant_id=None, user_agent="tests/1.0")
    for key in ("sk_live_1", "sk_live_2", "sk_live_1"):
        assert headers[Secret(key), False] is headers[Secret(key), False]
        assert headers[Secret(key), True].revealed["X-Api-Key"] == key
        assert {kept for kept, _ in headers} == {Secret(key)}
    assert "sk_live" not in repr(headers)


def test_request_and_its_text_never_hold_the_key() -> None:
    """Only the headers, which are built for each attempt, contain the key."""
    request = build_request(UPDATE_INBOUND, DIRECT, path_values={"id": 7}, json={"strategy": 2})
    assert KEY not in f"{request!r}{request}"
    assert str(request) == "PUT /api/v1/queues/inbound/7"
