"""Answers at the edges: the last status of a kind, bodies that were not read, strict JSON, and what errors expect."""

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from alohub_async.config import Endpoint
from alohub_async.errors import APIResponseError, APIStatusError, InternalServerError, RateLimitError
from alohub_async.http.requests import build_request
from alohub_async.http.responses import (
    ListPayload,
    Response,
    Unread,
    decode_response,
    read_list,
    read_record,
    read_success,
    retry_after_seconds,
)
from tests.routes import LIST_INBOUND

LIST = build_request(LIST_INBOUND, Endpoint.production())


def _response(body: object, status: int = 200, unread: Unread | None = None) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, CIMultiDict(), raw, unread)


def _decode(response: Response, **options: Any) -> Any:
    return decode_response(LIST, response, retry_after=None, **options)


# Statuses


@pytest.mark.parametrize("status", [199, 300])
def test_status_beside_the_successes_is_a_failure(status: int) -> None:
    """Whatever its body says."""
    with pytest.raises(APIStatusError) as caught:
        _decode(_response({"success": "1"}, status))
    assert caught.value.status == status
    assert _decode(_response({"success": "1"}, 299)) == {"success": "1"}


@pytest.mark.parametrize("status", [300, 399])
def test_first_and_last_redirect_say_what_to_do(status: int) -> None:
    """They are no failures of the API."""
    with pytest.raises(APIStatusError, match="redirects are not followed") as caught:
        _decode(_response(b"", status))
    assert type(caught.value) is APIStatusError


@pytest.mark.parametrize("status", [400, 500])
def test_failure_without_a_message_has_none(status: int) -> None:
    """Nothing is made up."""
    with pytest.raises(APIStatusError) as caught:
        _decode(_response(b"", status))
    assert caught.value.message is None


@pytest.mark.parametrize("code", ["FAIL", "NOT_FOUND", "UNAUTHORIZED", "SOMETHING_NEW"])
def test_429_is_a_rate_limit_whatever_its_code(code: str) -> None:
    """A gateway may send it, with a code of its own."""
    with pytest.raises(RateLimitError) as caught:
        _decode(_response({"error_code": code}, 429))
    assert (caught.value.status, caught.value.error_code) == (429, code)


# Bodies


@pytest.mark.parametrize("may_retry", [True, False])
def test_body_that_was_not_read_is_an_error_with_the_reason(*, may_retry: bool) -> None:
    """It says whether another answer may be readable."""
    with pytest.raises(APIResponseError) as caught:
        _decode(_response(b"", 201, Unread("its body is too large", may_retry)))
    assert str(caught.value) == "GET /v1/queues/inbound was answered with HTTP 201, but its body is too large"
    assert (caught.value.status, caught.value.undecodable) == (201, may_retry)


def test_failure_whose_body_was_not_read_is_a_failure() -> None:
    """Its status counts."""
    with pytest.raises(InternalServerError):
        _decode(_response(b"", 503, Unread("its body is too large", may_retry=False)))


def test_fast_way_gets_the_body_and_decides_first() -> None:
    """Its result is returned, unless it has none; a failure does not reach it."""
    seen: list[bytes] = []

    def decode(body: bytes) -> object:
        seen.append(body)
        return [body] if b"fast" in body else None

    assert _decode(_response(b'"fast"'), decode=decode) == [b'"fast"']
    assert _decode(_response({"data": []}), decode=decode) == {"data": []}
    with pytest.raises(InternalServerError):
        _decode(_response(b'"fast"', 500), decode=decode)
    assert seen == [b'"fast"', b'{"data": []}']


CARELESS = b'{"success": "1", "name": "a\tb"}'


def test_careless_json_is_read_unless_strict() -> None:
    """A control character in a text is an error only for those who ask for it."""
    assert _decode(_response(CARELESS)) == {"success": "1", "name": "a\tb"}
    assert _decode(_response(CARELESS), strict=False) == {"success": "1", "name": "a\tb"}
    with pytest.raises(APIResponseError) as caught:
        _decode(_response(CARELESS), strict=True)
    assert caught.value.undecodable


def test_careless_json_of_a_failure_is_always_read() -> None:
    """Its message is of more use than its form."""
    with pytest.raises(InternalServerError) as caught:
        _decode(_response(b'{"error_message": "a\tb"}', 500), strict=True)
    assert caught.value.message == "a b"


# Shapes


def test_list_of_zero_records_may_be_null() -> None:
    """Some APIs write an empty list this way; without that total it is an error."""
    assert read_list({"data": None, "totalRecord": 0}, request="GET /x", is_first=True) == ListPayload([], 0)
    assert read_list({"totalRecord": "0"}, request="GET /x", is_first=True) == ListPayload([], 0)
    assert read_list({"data": [], "totalRecord": 0}, request="GET /x", is_first=True) == ListPayload([], 0)
    others: list[Any] = [{"data": None}, {"data": None, "totalRecord": 1}, {"data": {}, "totalRecord": 0}]
    for payload in others:
        with pytest.raises(APIResponseError):
            read_list(payload, request="GET /x", is_first=True)


def test_error_says_which_shape_was_expected() -> None:
    """In the words of the API's documentation."""
    unknown = "^GET /x was answered with JSON of an unknown shape: expected "
    with pytest.raises(APIResponseError, match=rf"{unknown}an object with a list under 'data', got null$"):
        read_list(None, request="GET /x", is_first=True)
    records: list[Any] = [{}, "x", None]
    with pytest.raises(APIResponseError, match=rf"{unknown}an object at data\[1\], got str$"):
        read_list({"data": records}, request="GET /x", is_first=True)
    with pytest.raises(APIResponseError, match=rf"{unknown}an object with 'id', bare or under 'data', got list$"):
        read_record([], id_field="id", request="GET /x")
    with pytest.raises(APIResponseError, match=rf"{unknown}an object with 'success', got int$"):
        read_success(5, request="GET /x")


# Retry-After


@pytest.mark.parametrize("unit", [1, 1000, 10**6])
def test_retry_after_may_be_a_moment_since_the_epoch(unit: int) -> None:
    """In seconds or smaller units; it is compared with the clock of the server, if the answer has it."""
    now = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT
    headers = {"Retry-After": f"{(1_445_412_480 + 30) * unit}"}
    assert retry_after_seconds(headers, wall_clock=lambda: now) == 30
    assert retry_after_seconds(headers, wall_clock=lambda: now + 100) == 0
    dated = {**headers, "Date": "Wed, 21 Oct 2015 07:28:20 GMT"}
    assert retry_after_seconds(dated, wall_clock=lambda: now + 3600) == 10
