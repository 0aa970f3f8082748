"""The sandbox's assertions about requests, and their messages."""

from collections.abc import AsyncIterator

import pytest

from alohub_async.testing import DropConnection, HtmlPage, Requests, Sandbox
from tests.testing.raw import LIST, Raw, open_raw

DETAIL = f"{LIST}/{{id}}"


@pytest.fixture(name="raw")
async def _raw() -> AsyncIterator[Raw]:
    async with open_raw(queues=45) as raw:
        yield raw


def _lines(caught: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    return str(caught.value).splitlines()


async def test_requests_are_a_snapshot(raw: Raw) -> None:
    """`requests` is a list: it has indexes, slices and a length. Later requests are not added to it."""
    before = raw.sandbox.requests
    for page in range(3):
        await raw.get(page=page)
    requests = raw.sandbox.requests
    assert before == []
    assert [request.page for request in requests] == [0, 1, 2]
    assert (requests[0].page, requests[-1].page, len(requests[1:])) == (0, 2, 2)


async def test_requests_are_filtered(raw: Raw) -> None:
    """A filtered list can be filtered again. The body is one of the criteria."""
    await raw.get(page=1)
    await raw.put(raw.first_id, {"strategy": 2})
    await raw.put(1, {"strategy": 2})
    updates = raw.sandbox.requests.of(method="put", json={"strategy": 2})
    assert isinstance(updates, Requests)
    assert [request.status for request in updates] == [200, 404]
    assert len(updates.of(status=404)) == 1
    assert updates.of(json={"strategy": 3}) == []


async def test_expected_requests_were_received(raw: Raw) -> None:
    """At least one request, or an exact number, matches by literal path, template and body."""
    await raw.put(raw.first_id, {"strategy": 2})
    await raw.put(1, {"strategy": 3})
    sandbox = raw.sandbox
    sandbox.assert_requested("PUT", DETAIL)
    sandbox.assert_requested("put", f"{LIST}/{raw.first_id}", times=1)
    sandbox.assert_requested("PUT", DETAIL, json={"strategy": 3}, times=1)
    sandbox.assert_requested("GET", LIST, times=0)


async def test_missing_request_fails_the_assertion(raw: Raw) -> None:
    """The message has the expected and the actual number, and a table of all requests, without keys."""
    await raw.get(page=1, size=5, token=raw.sandbox.api_key)
    await raw.put(raw.first_id, {"strategy": 2})
    with pytest.raises(AssertionError) as caught:
        raw.sandbox.assert_requested("PUT", DETAIL, times=2, json={"strategy": 2})
    assert _lines(caught) == [
        "expected 2 requests, received 1: PUT /v1/queues/inbound/{id} json={'strategy': 2}",
        "Received requests:",
        "[0]  GET  /v1/queues/inbound?page=1&size=5  200",
        '[1]  PUT  /v1/queues/inbound/1001226        200  {"strategy": 2}',
    ]
    assert raw.sandbox.api_key not in str(caught.value)


def test_missing_request_with_an_empty_log() -> None:
    """Without any request, the message says so."""
    with pytest.raises(AssertionError) as caught:
        Sandbox().assert_requested("GET", LIST)
    assert _lines(caught) == [
        "expected at least 1 request, received 0: GET /v1/queues/inbound",
        "No requests were received.",
    ]


async def test_long_tables_and_bodies_are_cut(raw: Raw) -> None:
    """The table shows the latest 20 requests and the beginning of each body."""
    for _ in range(30):
        await raw.get()
    await raw.put(raw.first_id, {"moh_file_id": "x" * 100})
    with pytest.raises(AssertionError) as caught:
        raw.sandbox.assert_requested("GET", LIST, times=31)
    _, title, cut, first, *_, last = _lines(caught)
    assert (title, cut, first[:4]) == ("Received requests:", "… 11 earlier", "[11]")
    assert last.startswith("[30]  PUT ")
    assert last.endswith('  {"moh_file_id": "' + "x" * 43 + "…")


async def test_assert_no_429() -> None:
    """`assert_no_429` fails after a limit has refused a request."""
    async with open_raw(tenant_limit=1) as raw:
        await raw.get()
        raw.sandbox.assert_no_429()
        await raw.get()
        with pytest.raises(
            AssertionError, match=r"^expected 0 requests, received 1: any request status=429\n"
        ) as caught:
            raw.sandbox.assert_no_429()
        assert _lines(caught)[-1] == "[1]  GET  /v1/queues/inbound  429"


async def test_unmet_faults_are_named(raw: Raw) -> None:
    """`assert_all_faults_met` fails while faults are left, and lists them with their requests."""
    raw.sandbox.fail(DropConnection(), method="PUT", path=DETAIL, next=2)
    raw.sandbox.fail(HtmlPage(), page=3, next=None)
    await raw.get()
    with pytest.raises(AssertionError) as caught:
        raw.sandbox.assert_all_faults_met()
    assert _lines(caught) == [
        "faults that no request has met:",
        "2 x DropConnection(processed=False) for PUT /v1/queues/inbound/{id}",
        "until healed: HtmlPage(status=502) for any request page=3",
        "Received requests:",
        "[0]  GET  /v1/queues/inbound  200",
    ]
    raw.sandbox.heal()
    raw.sandbox.assert_all_faults_met()


async def test_request_without_a_response_is_marked(raw: Raw) -> None:
    """A request whose connection was dropped has no status."""
    raw.sandbox.fail(DropConnection())
    async with raw.sandbox.client() as client:
        await client.queues.get_inbound(raw.first_id)
    with pytest.raises(AssertionError, match=r"\[0\]  GET  /v1/queues/inbound/1001226  no response\n\[1\] .*  200$"):
        raw.sandbox.assert_requested("GET", DETAIL, times=1)
