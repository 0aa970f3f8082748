"""Tokens: they are read back as they were, and nothing else is accepted."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.pagination import MAX_PAGE_SIZE, PageToken
from alohub_async.pagination.token import as_runs
from tests.pagination.server import LISTED
from tests.strategies import any_text, json_values


def _token_fields(token: str) -> list[Any]:
    fields: list[Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return fields


@given(
    listed=any_text.filter(lambda text: text.isprintable()),
    page=st.integers(0, 10**6),
    ahead=st.integers(0, 10**4),
    beyond=st.sets(st.integers(1, 40)),
    index=st.integers(0, 10**4),
    size=st.integers(1, MAX_PAGE_SIZE),
    asked=st.integers(1, MAX_PAGE_SIZE),
    received=st.integers(0, 10**9),
    total=st.none() | st.integers(0, 10**9),
    done=st.booleans(),
    before=st.text("0123456789abcdef", max_size=16),
    repair=st.booleans(),
    after=st.none() | st.tuples(st.just(0), st.integers()) | st.tuples(st.just(1), st.text("abc")),
)
def test_token_comes_back_as_it_was(*, page: int, ahead: int, beyond: set[int], **fields: Any) -> None:
    """Whatever the position is."""
    behind = {page + number for number in beyond if page + number < 10**6}
    token = PageToken(page=page, at=page + ahead, beyond=as_runs(behind), **fields)
    again = PageToken.decode(token.encode(), listed=fields["listed"])
    assert again == token
    assert again.pages_beyond() == behind


def _forged(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


SOUND = (2, LISTED, 2, [4, 5, 9, 9], 2, 3, 10, 50, 20, 99, False, "00ff", False, None)
NO_COUNTS: list[Any] = [-1, 1.0, "1", True, []]


def _with(at: int, wrong: Any) -> str:
    return _forged(*SOUND[:at], wrong, *SOUND[at + 1 :])


FORGERIES = [
    *("", "x", "====", "not a token", "đ", "\ud800", "\0", "MTIz", base64.urlsafe_b64encode(b"\xff\xfe").decode()),
    *(
        base64.urlsafe_b64encode(body).decode()
        for body in (b"null", b"{}", b"[]", b'"text"', b"[1]", b"1", b"[" * 100_000)
    ),
    _forged(*SOUND[:-1]),
    _forged(*SOUND, 1),
    _forged(1, *SOUND[1:]),
    *(_with(at, wrong) for at in (2, 4, 5, 8) for wrong in [None, *NO_COUNTS]),
    *(_with(at, wrong) for at in (6, 7) for wrong in [0, None, *NO_COUNTS]),
    *(_with(9, wrong) for wrong in NO_COUNTS),
    *(_with(3, wrong) for wrong in ([4], [4, 3], [2, 3], [5, 6, 6, 7], [4, 10**9], ["4", "5"], [4.0, 5.0], None, 4)),
    *(_with(at, wrong) for at in (10, 12) for wrong in (0, 1, None, "False")),
    *(_with(11, wrong) for wrong in (0, None, True)),
    *(_with(13, wrong) for wrong in (0, "x", [], [1], [0, 1, 2], ["0", 1], [0, None], [0, [1]], [0, "x"], [1, 5])),
]


@pytest.mark.parametrize("token", FORGERIES, ids=lambda token: ascii(token[:16]))
def test_what_is_no_token_is_refused(token: str) -> None:
    """Garbage, tokens of another version and forged tokens are refused; the message says what is allowed."""
    assert PageToken.decode(_forged(*SOUND), listed=LISTED).beyond == (4, 5, 9, 9)
    with pytest.raises(InvalidArgumentError, match=r"token must be a string that pager\.token returned"):
        PageToken.decode(token, listed=LISTED)


@pytest.mark.parametrize("token", [None, 7, b"token", ["token"]])
def test_token_of_another_type_is_refused(token: object) -> None:
    """Bytes and numbers are not tokens."""
    with pytest.raises(InvalidArgumentTypeError, match="token must be a string"):
        PageToken.decode(token, listed=LISTED)


@pytest.mark.parametrize("listed", ["GET /v1/queues/outbound", LISTED + "?a=1", "", None, 5])
def test_token_of_another_list_is_refused(listed: object) -> None:
    """The message names both lists."""
    token = _forged(2, listed, *SOUND[2:])
    with pytest.raises(InvalidArgumentError, match="token is of another list") as caught:
        PageToken.decode(token, listed=LISTED)
    assert repr(listed) in str(caught.value)
    assert repr(LISTED) in str(caught.value)


@given(any_text | st.text("AQIDMSwx_-=", max_size=40) | json_values.map(_forged))
def test_no_string_breaks_the_reading_of_tokens(token: str) -> None:
    """Any string is either a token or refused with `InvalidArgumentError`."""
    try:
        PageToken.decode(token, listed=LISTED)
    except InvalidArgumentError:
        return
    assert _token_fields(token)[1] == LISTED
