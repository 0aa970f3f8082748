"""Tokens: how short they are, and those of lists without records."""

import pytest

from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.pagination.token import MAX_PAGES, PageToken, as_runs
from tests.pagination.server import Server


def test_pages_are_stored_as_runs() -> None:
    """The first and the last of each, so that a token stays short."""
    assert as_runs(set()) == ()
    assert as_runs({7}) == (7, 7)
    assert as_runs({6, 4, 9, 5, 11, 12}) == (4, 6, 9, 9, 11, 12)


async def test_token_of_an_empty_list_is_one() -> None:
    """A total of 0 is a total."""
    server = Server(records=[])
    pager = server.pager()
    assert await pager.collect() == []
    again = server.pager(token=pager.token)
    assert (await again.collect(), again.total) == ([], 0)


async def test_token_behind_a_page_is_short() -> None:
    """It recognises that page by a few characters."""
    pager = Server(records=range(10**6, 10**6 + 25)).pager()
    for _ in range(12):
        await anext(pager)
    assert len(pager.token) < 150


@pytest.mark.parametrize("given", [7, None, b"x"], ids=repr)
def test_error_shows_what_was_given_in_place_of_a_token(given: object) -> None:
    """So the mistake can be found."""
    with pytest.raises(InvalidArgumentTypeError, match=f"; {given!r} was given$"):
        PageToken.decode(given, listed="GET /x")


def test_token_beyond_the_last_page_of_any_list_is_refused() -> None:
    """The message shows it."""
    last = PageToken(listed="GET /x", size=1, asked=1, beyond=(MAX_PAGES - 1, MAX_PAGES - 1)).encode()
    assert PageToken.decode(last, listed="GET /x").pages_beyond() == {MAX_PAGES - 1}
    token = PageToken(listed="GET /x", size=1, asked=1, beyond=(MAX_PAGES, MAX_PAGES)).encode()
    with pytest.raises(InvalidArgumentError, match=f"; '{token}' was given$"):
        PageToken.decode(token, listed="GET /x")
