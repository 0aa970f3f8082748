"""No error shows the API key."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from alohub_async.config import Endpoint
from alohub_async.errors import APIResponseError, APIStatusError, InternalServerError, NotFoundError
from alohub_async.http.requests import Request, build_request
from alohub_async.http.responses import Response, decode_response
from tests.routes import LIST_INBOUND
from tests.twins import pickled

KEY = "sk_live_0123456789abcdef"
GATEWAY = Endpoint.production()
DIRECT = Endpoint.direct("https://backend.example")
LIST = build_request(LIST_INBOUND, GATEWAY)


def _response(body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Response(status, CIMultiDict(headers or {}), raw)


def _decode(response: Response, request: Request = LIST, *, key: str = KEY, retry_after: float | None = None) -> Any:
    return decode_response(request, response, secret=key, retry_after=retry_after)


def _shown(error: APIStatusError | APIResponseError) -> str:
    """Return everything that an error can show, including its attributes and its pickle."""
    return "".join([str(error), repr(error), repr(vars(error)), repr(vars(pickled(error)))])


@pytest.mark.parametrize("status", [200, 401, 500])
def test_key_is_redacted_wherever_a_response_echoes_it(status: int) -> None:
    """The key is redacted in message, code, request id, headers and body."""
    body = {"success": "0", "error_code": f"BAD_{KEY}", "error_message": f"the key {KEY} is wrong", "data": [KEY, KEY]}
    headers = {"X-Echo": f"key={KEY}", "X-Request-Id": f"{KEY}-1"}
    with pytest.raises(APIStatusError) as caught:
        _decode(_response(body, status, headers))
    error = caught.value
    assert KEY not in _shown(error)
    assert error.message == "the key [redacted] is wrong"
    assert error.request_id == "[redacted]-1"
    assert error.headers["x-echo"] == "key=[redacted]"


def test_key_is_redacted_in_a_body_that_is_not_json() -> None:
    """The excerpt of a response error is redacted as well."""
    with pytest.raises(APIResponseError) as caught:
        _decode(_response(f"<p>{KEY}</p>".encode()))
    assert KEY not in _shown(caught.value)
    assert "[redacted]" in str(caught.value)


def test_key_that_is_too_short_is_not_redacted() -> None:
    """A "key" of three letters may be part of ordinary words, which stay readable."""
    with pytest.raises(NotFoundError, match="no such queue"):
        _decode(_response({"message": "no such queue"}, 404), key="que")


def test_key_in_the_path_or_query_is_redacted() -> None:
    """A key passed as a parameter by mistake does not appear in the log."""
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
def test_no_part_of_the_key_is_left_where_the_excerpt_ends(key: str, filler: str, repeats: int, start: int) -> None:
    """The excerpt contains no part of the key, however often and wherever the body has it."""
    body = "-" * start + (key + filler) * repeats
    with pytest.raises(InternalServerError) as caught:
        _decode(_response(body.encode(), 500), key=key)
    assert not set("KLM") & set(caught.value.body)
