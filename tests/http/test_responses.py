"""Responses as values: payloads and errors."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from alohub_async.config import Endpoint
from alohub_async.errors import (
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestFailedError,
)
from alohub_async.http.requests import Request, build_request
from alohub_async.http.responses import (
    ListPayload,
    Response,
    decode_response,
    read_list,
    read_record,
    read_success,
    retry_after_seconds,
)
from alohub_async.secret import Secret
from tests.routes import LIST_INBOUND
from tests.strategies import any_text, json_values
from tests.twins import pickled

KEY = "sk_live_0123456789abcdef"
GATEWAY = Endpoint.production()
DIRECT = Endpoint.direct("https://backend.example")
LIST = build_request(LIST_INBOUND, GATEWAY)


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
    """An integer, a decimal or an HTTP date in its three formats is read; anything else is ignored."""
    assert retry_after_seconds(CIMultiDict({"retry-after": text}), wall_clock=lambda: MOMENT - 30) == seconds


def test_missing_retry_after_is_none() -> None:
    """The result is None, not zero."""
    assert retry_after_seconds(CIMultiDict[str](), wall_clock=lambda: MOMENT) is None


def test_retry_after_date_counts_from_the_servers_own_clock() -> None:
    """A client whose clock is an hour off still waits for the intended time."""
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
    """For any header, the result is a finite number of seconds or None."""
    seconds = retry_after_seconds({"Retry-After": text, "Date": text}, wall_clock=lambda: 0.0)
    assert seconds is None or 0 <= seconds < float("inf")


# Answers


def _response(body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Response(status, CIMultiDict(headers or {}), raw)


def _decode(response: Response, request: Request = LIST, *, retry_after: float | None = None) -> Any:
    return decode_response(request, response, retry_after=retry_after)


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
    """The payload is returned unchanged, with or without an envelope."""
    assert _decode(_response(payload)) == payload
    assert _decode(_response(payload, 201)) == payload


@pytest.mark.parametrize("status", [204, 205])
def test_answer_without_content_is_none(status: int) -> None:
    """The payload is None without an error."""
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
    """For an empty, truncated or HTML body the error names the request, shows an excerpt and is `undecodable`."""
    with pytest.raises(APIResponseError) as caught:
        _decode(_response(body))
    error = caught.value
    assert str(error).startswith("GET /v1/queues/inbound was answered with HTTP 200 and no JSON")
    assert shown in str(error)
    assert error.undecodable
    assert error.status == 200
    assert error.body is not None
    assert error.__cause__ is None  # it would hold the whole body


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
    """The status of a gateway's response decides, even if the body reports success."""
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
    """Both names of the field, in upper or lower case, are read, under HTTP 200 too."""
    for spelled in (code, code.lower()):
        with pytest.raises(APIStatusError) as caught:
            _decode(_response({"success": "0", name: spelled}, status))
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.error_code) == (status, spelled)


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_known_code_alone_is_a_failure_under_200(code: str, kind: type[APIStatusError]) -> None:
    """Without `success`, a documented error code is a failure."""
    with pytest.raises(kind):
        _decode(_response({"error_code": code}))


@pytest.mark.parametrize("success", ["0", 0, False, None, "", "2", "true", "yes", [], {}, 1.5], ids=repr)
@pytest.mark.parametrize("code", ["0", 0, "SUCCESS", "SOMETHING_NEW", None, ""], ids=repr)
def test_success_other_than_1_under_200_is_a_failure(success: object, code: object) -> None:
    """The API reports some failures under HTTP 200, with or without an error code."""
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
        ({"message": "Không tìm thấy\nhàng đợi"}, "Không tìm thấy hàng đợi"),
        ([{"message": "a"}], None),
    ],
)
def test_message_is_read_from_every_known_field(body: object, message: str | None) -> None:
    """The vendor's field precedes those of its client and of gateways; only strings are messages."""
    with pytest.raises(NotFoundError) as caught:
        _decode(_response(body, 404))
    assert caught.value.message == message
    assert (message is None) or message in str(caught.value)


def test_status_error_has_all_details_of_the_response() -> None:
    """It has status, code, message, request id, seconds to wait, headers and the beginning of the body."""
    headers = {"Retry-After": "3", "X-Request-Id": "req-1", "Content-Type": "application/json"}
    body = {"success": "0", "error_code": "RATE_LIMIT_EXCEEDED", "error_message": "Vượt giới hạn"}
    with pytest.raises(RateLimitError) as caught:
        _decode(_response(body, 429, headers), retry_after=3.0)
    error = caught.value
    assert (
        str(error) == "GET /v1/queues/inbound failed with HTTP 429 RATE_LIMIT_EXCEEDED: Vượt giới hạn"
        " (retry after 3.00 s) (request id req-1)"
    )
    assert (error.status, error.error_code, error.message) == (429, "RATE_LIMIT_EXCEEDED", "Vượt giới hạn")
    assert (error.request_id, error.retry_after, error.headers["retry-after"]) == ("req-1", 3.0, "3")
    assert json.loads(error.body) == body
    assert vars(pickled(error)) == vars(error)


@pytest.mark.parametrize("name", ["X-Request-ID", "x-kong-request-id", "X-Correlation-Id"])
def test_request_id_is_found_in_any_case(name: str) -> None:
    """All names in use, including the gateway's, are read."""
    with pytest.raises(APIStatusError) as caught:
        _decode(_response(b"", 500, {name: "abc"}))
    assert caught.value.request_id == "abc"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_says_what_to_do(status: int) -> None:
    """Redirects are not followed; the error suggests checking the base URL."""
    with pytest.raises(APIStatusError, match=r"redirects are not followed.*check the base URL"):
        _decode(_response(b"", status, {"Location": "https://elsewhere.example"}))


def test_excerpt_is_short_and_printable() -> None:
    """An HTML page does not fill the log, and control characters do not reach a terminal."""
    body = ("<html>\x1b[31m\r\n" + "x" * 10_000).encode()
    with pytest.raises(InternalServerError) as caught:
        _decode(_response(body, 502))
    assert len(caught.value.body) <= 500
    assert caught.value.body.startswith("<html>\N{REPLACEMENT CHARACTER}[31m xxx")
    assert caught.value.body.isprintable()


# Reading payloads


TOTALS: list[tuple[Any, int]] = [
    (3, 3),
    (0, 0),
    ("3", 3),
    ("0003", 3),
    ("1" * 18, int("1" * 18)),
    (10**30, 10**30),
    (3.0, 3),
]
NO_TOTALS: list[Any] = [
    *(None, -1, "-1", "", " 3", "3.0", 3.5, -3.0, 1e300, 10**40, True, False),
    *("٣", "²", "1" * 20, [], {}, "many"),
]


@pytest.mark.parametrize(("total", "read"), [*TOTALS, *((odd, None) for odd in NO_TOTALS)])
def test_total_is_a_count_or_nothing(total: object, read: int | None) -> None:
    """A number or a string of digits is a total; an invalid one counts as missing and raises nothing."""
    assert read_list({"data": [], "totalRecord": total}, request="GET /x", is_first=True) == ListPayload([], read)


def test_total_may_be_missing() -> None:
    """A list without a total is read, whatever other fields its envelope has."""
    assert read_list({"data": [{"a": 1}]}, request="GET /x", is_first=True) == ListPayload([{"a": 1}], None)


@given(json_values)
def test_any_total_is_read_or_left_out(total: Any) -> None:
    """No total raises, and none is negative."""
    read = read_list({"data": [], "totalRecord": total}, request="GET /x", is_first=True).total
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
def test_invalid_list_is_refused(payload: object, shown: str) -> None:
    """The error names the request, the expected shape and the received one."""
    with pytest.raises(
        APIResponseError, match=rf"^GET /x was answered with JSON of an unknown shape: .*{shown}$"
    ) as caught:
        read_list(payload, request="GET /x", is_first=True)
    assert not caught.value.undecodable
    assert caught.value.status == 200


@pytest.mark.parametrize("payload", [None, {}, {"data": None, "totalRecord": 9}, {"data": {}}], ids=repr)
def test_null_or_empty_object_past_the_first_page_is_no_page(payload: object) -> None:
    """Some servers answer so behind the end of a list."""
    assert read_list(payload, request="GET /x", is_first=False) == ListPayload([], None, absent=True)


@pytest.mark.parametrize("payload", [{"message": "no"}, [], {"data": "none"}], ids=repr)
def test_anything_else_past_the_first_page_is_refused_as_well(payload: object) -> None:
    """An answer that says nothing about the page does not end a list."""
    with pytest.raises(APIResponseError):
        read_list(payload, request="GET /x", is_first=False)


RECORD = {"callinId": 7, "callinName": "test", "data": [1]}


@pytest.mark.parametrize(
    "payload",
    [RECORD, {"success": "1", "data": RECORD}, {"success": "1", "data": [RECORD]}, {"data": RECORD}],
    ids=["bare", "enveloped", "list of one", "envelope alone"],
)
def test_detail_is_read_bare_or_enveloped(payload: object) -> None:
    """The documented bare object and likely variants are read."""
    assert read_record(payload, id_field="callinId", request="GET /x") == RECORD


def test_detail_whose_id_is_null_is_a_record() -> None:
    """A null id is left to the converter."""
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
def test_invalid_detail_is_refused(payload: object) -> None:
    """Two records for one id, or a record without the id field, are refused."""
    with pytest.raises(APIResponseError, match=r"GET /x .*'callinId', bare or under 'data'"):
        read_record(payload, id_field="callinId", request="GET /x")


def test_success_envelope_is_read() -> None:
    """The response to a write is returned unchanged."""
    answer = {"success": "1", "error_message": "Inbound queue updated successfully"}
    assert read_success(answer, request="PUT /x") == answer


@pytest.mark.parametrize("payload", [None, [], "ok", {}, {"callinId": 7}], ids=repr)
def test_unconfirmed_write_is_refused(payload: object) -> None:
    """A 200 that does not confirm the write raises an error."""
    with pytest.raises(APIResponseError, match="an object with 'success'"):
        read_success(payload, request="PUT /x")


@given(json_values, st.sampled_from([200, 201, 302, 400, 404, 429, 500, 503]))
def test_any_json_answer_is_a_payload_or_our_error(payload: Any, status: int) -> None:
    """Any JSON, under any status and in any reader, raises only `AlohubError`s."""
    response = _response(json.dumps(payload).encode(), status)
    try:
        decoded = _decode(response)
    except APIStatusError:
        return
    assert 200 <= status < 300
    for read in (
        lambda: read_list(decoded, request="GET /x", is_first=True),
        lambda: read_record(decoded, id_field="callinId", request="GET /x"),
        lambda: read_success(decoded, request="GET /x"),
    ):
        try:
            read()
        except APIResponseError as error:
            assert "GET /x" in str(error)  # noqa: PT017  (either outcome is right)


# What an answer can put into a message


HOSTILE = "a\x1b[2J\x9b\u202e\u200b\u200d\ufeff\u3164\ud800\r\nb"


def _is_short_and_printable(error: APIStatusError | APIResponseError) -> bool:
    return str(error).isprintable() and len(str(error)) < 2000 and "\u3164" not in str(error)


@pytest.mark.parametrize("status", [200, 400, 404, 429, 500])
@pytest.mark.parametrize("text", [HOSTILE, "x" * 100_000, HOSTILE * 10_000])
def test_text_of_a_failure_is_short_and_printable(text: str, status: int) -> None:
    """Message, code and request id fit into one line of a log, whatever the answer put there."""
    body = {"success": "0", "error_code": text, "error_message": text}
    raw = json.dumps(body).encode()
    with pytest.raises(APIStatusError) as caught:
        _decode(Response(status, CIMultiDict({"X-Request-Id": text}), raw))
    error = caught.value
    assert _is_short_and_printable(error)
    for part in (error.message, error.error_code, error.request_id, error.body):
        assert part
        assert part.isprintable()
        assert len(part) <= 1000


@pytest.mark.parametrize("count", [1, 12, 13, 100_000])
def test_names_of_an_object_of_unknown_shape_are_few(count: int) -> None:
    """An object with very many fields, or very long ones, makes a short message."""
    payload: dict[str, Any] = {f"{number:06}{HOSTILE}{'x' * 1000}": None for number in range(count)}
    for read in (
        lambda: read_list(payload, request="GET /x", is_first=True),
        lambda: read_record(payload, id_field="callinId", request="GET /x"),
        lambda: read_success(payload, request="GET /x"),
    ):
        with pytest.raises(APIResponseError, match=r"an object with .*000000a") as caught:
            read()
        assert _is_short_and_printable(caught.value)
        assert (f"and {count - 12} more" in str(caught.value)) == (count > 12)


def test_key_at_the_cut_of_a_message_is_not_shown_in_part() -> None:
    """A text that is cut inside the key shows no beginning of it."""
    key = Secret(KEY)
    for before in range(4080, 4100):
        with pytest.raises(APIStatusError) as caught:
            _decode(_response({"message": KEY * 160 + "x" * (before % 24) + KEY * 100}, 404))
        assert "sk_live" not in str(caught.value)
        assert "sk_live" not in caught.value.body
    assert key.revealed == KEY  # in use until here
