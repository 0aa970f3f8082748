"""What tests say of the requests that came, and what they are told when it was not so."""

from collections.abc import AsyncIterator

import pytest

from alohub_async.testing import DropConnection, HtmlPage, Requests, Sandbox
from tests.testing.raw import LIST, Raw, open_raw

DETAIL = f"{LIST}/{{id}}"


@pytest.fixture(name="raw")
async def _raw() -> AsyncIterator[Raw]:
    async with open_raw(queues=45) as raw:
        yield raw


def _told(caught: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    return str(caught.value).splitlines()


async def test_requests_are_a_list_of_that_moment(raw: Raw) -> None:
    """They index, slice, count and compare as lists do, and what comes later is not in them."""
    before = raw.sandbox.requests
    for page in range(3):
        await raw.get(page=page)
    requests = raw.sandbox.requests
    assert before == []
    assert [request.page for request in requests] == [0, 1, 2]
    assert (requests[0].page, requests[-1].page, len(requests[1:])) == (0, 2, 2)


async def test_requests_of_a_kind(raw: Raw) -> None:
    """A filter on a filter narrows it further; the body is one of the things to go by."""
    await raw.get(page=1)
    await raw.put(raw.first_id, {"strategy": 2})
    await raw.put(1, {"strategy": 2})
    updates = raw.sandbox.requests.of(method="put", json={"strategy": 2})
    assert isinstance(updates, Requests)
    assert [request.status for request in updates] == [200, 404]
    assert len(updates.of(status=404)) == 1
    assert updates.of(json={"strategy": 3}) == []


async def test_expected_requests_that_came(raw: Raw) -> None:
    """At least one, or just so many, by literal path, template and body."""
    await raw.put(raw.first_id, {"strategy": 2})
    await raw.put(1, {"strategy": 3})
    sandbox = raw.sandbox
    sandbox.assert_requested("PUT", DETAIL)
    sandbox.assert_requested("put", f"{LIST}/{raw.first_id}", times=1)
    sandbox.assert_requested("PUT", DETAIL, json={"strategy": 3}, times=1)
    sandbox.assert_requested("GET", LIST, times=0)


async def test_expected_request_that_did_not_come(raw: Raw) -> None:
    """The message says what was expected, how often it came, and shows what came instead, without a key."""
    await raw.get(page=1, size=5, token=raw.sandbox.api_key)
    await raw.put(raw.first_id, {"strategy": 2})
    with pytest.raises(AssertionError) as caught:
        raw.sandbox.assert_requested("PUT", DETAIL, times=2, json={"strategy": 2})
    assert _told(caught) == [
        "expected 2, came 1: PUT /v1/queues/inbound/{id} json={'strategy': 2}",
        "Requests that came:",
        "[0]  GET  /v1/queues/inbound?page=1&size=5  200",
        '[1]  PUT  /v1/queues/inbound/1001226        200  {"strategy": 2}',
    ]
    assert raw.sandbox.api_key not in str(caught.value)


def test_expected_request_when_none_came() -> None:
    """Then the message says so."""
    with pytest.raises(AssertionError) as caught:
        Sandbox().assert_requested("GET", LIST)
    assert _told(caught) == ["expected at least one, came 0: GET /v1/queues/inbound", "No request came."]


async def test_long_tables_and_bodies_are_cut(raw: Raw) -> None:
    """The latest twenty requests are shown, and what fits a line of a body."""
    for _ in range(30):
        await raw.get()
    await raw.put(raw.first_id, {"moh_file_id": "x" * 100})
    with pytest.raises(AssertionError) as caught:
        raw.sandbox.assert_requested("GET", LIST, times=31)
    _, title, cut, first, *_, last = _told(caught)
    assert (title, cut, first[:4]) == ("Requests that came:", "… 11 before these", "[11]")
    assert last.startswith("[30]  PUT ")
    assert last.endswith('  {"moh_file_id": "' + "x" * 43 + "…")


async def test_429_are_found() -> None:
    """`assert_no_429` fails once the limit refused somebody."""
    async with open_raw(tenant_limit=1) as raw:
        await raw.get()
        raw.sandbox.assert_no_429()
        await raw.get()
        with pytest.raises(AssertionError, match=r"^expected 0, came 1: any request status=429\n") as caught:
            raw.sandbox.assert_no_429()
        assert _told(caught)[-1] == "[1]  GET  /v1/queues/inbound  429"


async def test_faults_that_nobody_met_are_named(raw: Raw) -> None:
    """`assert_all_faults_met` fails while faults are left, and says which and for what."""
    raw.sandbox.fail(DropConnection(), method="PUT", path=DETAIL, next=2)
    raw.sandbox.fail(HtmlPage(), page=3, next=None)
    await raw.get()
    with pytest.raises(AssertionError) as caught:
        raw.sandbox.assert_all_faults_met()
    assert _told(caught) == [
        "faults that no request met:",
        "2 x DropConnection(processed=False) for PUT /v1/queues/inbound/{id}",
        "until healed: HtmlPage(status=502) for any request page=3",
        "Requests that came:",
        "[0]  GET  /v1/queues/inbound  200",
    ]
    raw.sandbox.heal()
    raw.sandbox.assert_all_faults_met()


async def test_unanswered_requests_are_shown_as_such(raw: Raw) -> None:
    """A dropped connection has no status."""
    raw.sandbox.fail(DropConnection())
    async with raw.sandbox.client() as client:
        await client.queues.get_inbound(raw.first_id)
    with pytest.raises(AssertionError, match=r"\[0\]  GET  /v1/queues/inbound/1001226  no answer\n\[1\] .*  200$"):
        raw.sandbox.assert_requested("GET", DETAIL, times=1)
