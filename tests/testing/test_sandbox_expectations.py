"""The sandbox's assertions about requests, and their messages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from alohub_async.testing import Delay, DropConnection, HtmlPage, RecordedRequest, RequestFilter, Requests, Sandbox
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


# The end of a block


def _run(script: Callable[[Sandbox], object], **settings: Any) -> None:
    with Sandbox(queues=3, **settings) as sandbox:
        script(sandbox)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"method": "GET", "path": LIST}, "expected at least 1 request, received 0: GET /v1/queues/inbound"),
        ({"method": "PUT", "path": DETAIL, "times": 2, "json": {"strategy": 2}}, "expected 2 requests, received 0"),
    ],
)
def test_unmet_expectation_fails_the_block(expected: Any, message: str) -> None:
    """An expectation is checked at the end of the block, with a table of the requests."""
    with pytest.raises(AssertionError, match=f"^{message}(.*)\nNo requests were received"):
        _run(lambda sandbox: sandbox.expect(**expected))


def _script_faults(sandbox: Sandbox) -> None:
    sandbox.fail(DropConnection(), after=3, path=LIST)
    sandbox.fail(HtmlPage(), chance=0.5, next=None)
    sandbox.insert_queue(before_page=9)


def test_unmet_faults_fail_the_block_if_asked_for() -> None:
    """With `check_at_end`, faults and moves that have not happened fail the block; otherwise they do not."""
    _run(_script_faults)
    with pytest.raises(AssertionError) as caught:
        _run(_script_faults, check_at_end=True)
    assert _lines(caught)[1:] == [
        "1 x DropConnection(processed=False) for any /v1/queues/inbound after 3 requests",
        "until healed: HtmlPage(status=502) for any request",
        "1 x a move of the list, at a page that was not read",
    ]


async def test_met_expectations_and_faults_are_no_error() -> None:
    """A fault by chance is met by the first request that it could have happened to."""
    async with open_raw(queues=3, check_at_end=True) as raw:
        raw.sandbox.expect("GET", LIST, times=2)
        raw.sandbox.expect("PUT", DETAIL, times=0)
        raw.sandbox.fail(status=500, after=1)
        raw.sandbox.fail(HtmlPage(), chance=1e-9, next=None)
        assert raw.sandbox.unmet() is not None
        assert [(await raw.get()).status for _ in range(2)] == [200, 500]
        assert raw.sandbox.unmet() is None


def test_unmet_expectation_does_not_hide_the_error_of_the_block() -> None:
    """If the block fails itself, its error is raised."""

    def fail(sandbox: Sandbox) -> None:
        sandbox.expect("GET", LIST)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _run(fail)


def test_expectation_that_never_fails_is_refused() -> None:
    """`expect` refuses a path that no request can have."""
    with pytest.raises(ValueError, match=r"^path must be"):
        Sandbox().expect("GET", "/v1/queue/inbound", times=0)


# Log and reset


async def test_log_keeps_raw_bodies(raw: Raw) -> None:
    """The bytes are kept as they came, whether they are JSON or not; the repr does not show them."""
    for body in ('{"strategy" :\n1}', "{not json"):
        await raw.send("PUT", f"{LIST}/{raw.first_id}", body=body)
    assert [request.body for request in raw.sandbox.requests] == [b'{"strategy" :\n1}', b"{not json"]
    assert [request.json for request in raw.sandbox.requests] == [{"strategy": 1}, None]
    assert "not json" not in repr(raw.sandbox.requests)


async def test_log_has_keys_and_tenants(raw: Raw) -> None:
    """Requests are selected by key, tenant and function; no key is shown."""
    foreign = raw.sandbox.add_key(tenant_id=raw.sandbox.foreign_tenant_id)
    await raw.get()
    await raw.send("GET", LIST, headers={"X-Api-Key": foreign})
    requests = raw.sandbox.requests
    assert [request.tenant_id for request in requests] == [raw.sandbox.tenant_id, raw.sandbox.foreign_tenant_id]
    assert requests.of(api_key=foreign) == requests.of(tenant_id=raw.sandbox.foreign_tenant_id) == requests[1:]
    assert requests.of(when=lambda request: request.status == 200) == requests
    assert "sk_live_" not in repr(requests) + str(RequestFilter(api_key=foreign)) + repr(RequestFilter(api_key=foreign))


async def test_reset_puts_all_back() -> None:
    """Settings, queues, other records, keys, budgets, faults, moves, expectations and the log are as at the start."""
    given = [{"callinId": 5, "callinName": "Một", "tags": ["a"]}, {"callinId": 6}]
    async with open_raw(queues=given, tenant_limit=3, check_at_end=True) as raw:
        sandbox, key = raw.sandbox, raw.sandbox.api_key
        agents = [*sandbox.records("agents")]
        await raw.put(5, {"strategy": 2})
        tags: Any = sandbox.queues[0]["tags"]
        tags.append("b")
        sandbox.remove_queue(6)
        sandbox.records("agents").clear()
        sandbox.hide_detail(5)
        sandbox.insert_queue(before_page=1)
        sandbox.move_at_random(chance=1)
        sandbox.fail(status=500, next=None)
        sandbox.expect("DELETE", DETAIL)
        sandbox.revoke_key(sandbox.api_key)
        sandbox.route_limit, sandbox.total_style = 0, "missing"
        other = sandbox.add_key()
        sandbox.reset()
        assert (sandbox.requests, sandbox.faults_left, sandbox.moves_left, sandbox.unmet()) == ([], 0, 0, None)
        assert (sandbox.route_limit, sandbox.total_style, sandbox.api_key) == (50, "int", key)
        assert sandbox.records("agents") == agents
        reply = await raw.get()
        assert reply.json["data"] == given
        assert (reply.json["totalRecord"], reply.limits["X-RateLimit-Remaining-Tenant"]) == (2, "2")
        assert (await raw.get(f"{LIST}/5")).status == 200
        assert (await raw.send("GET", LIST, headers={"X-Api-Key": other})).status == 401


async def test_reset_repeats_what_is_random() -> None:
    """The same queues are generated, and the same headers are missing, as at the start."""
    async with open_raw(queues=9, seed=4, limit_headers_percent=50) as raw:
        found: list[Any] = []
        for _ in range(2):
            raw.sandbox.insert_queue()
            found.append([[bool((await raw.get(size=1)).limits) for _ in range(12)], [*raw.sandbox.queues]])
            raw.sandbox.reset()
        assert found[0] == found[1]


@pytest.mark.looptime
async def test_answer_to_a_request_before_a_reset_is_not_logged(raw: Raw) -> None:
    """A request that is under way at a reset ends as it began."""
    raw.sandbox.fail(Delay(5))
    waiting = asyncio.create_task(raw.get())
    await asyncio.sleep(1)
    raw.sandbox.reset()
    await raw.put(raw.first_id, {"strategy": 2})
    assert (await waiting).status == 200
    assert [request.method for request in raw.sandbox.requests] == ["PUT"]


async def test_answered_requests_can_be_watched() -> None:
    """`on_answer` is called with each request, after its status is known."""
    seen: list[int | None] = []

    def see(request: RecordedRequest) -> None:
        seen.append(request.status)

    async with open_raw(queues=3, on_answer=see) as raw:
        await raw.get()
        raw.sandbox.reset()
        await raw.get(f"{LIST}/1")
    assert seen == [200, 404]
