"""`paginate` over lists that page otherwise: their names and numbers, and a POST that only reads."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async import AlohubClient, APIConnectionError, InvalidArgumentError, Pager, RetryPolicy
from alohub_async.testing import Delay, DropConnection, Sandbox, TruncatedBody
from tests.support import LIST, json_reply, until

CALLS = "/v1/reports/call-logs"
FORM: Mapping[str, Any] = {"method": "POST", "safe": True, "first_page": 1, "size_name": "limit", "key": "callId"}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "/v1/agents": {"key": "agentId"},
    "/v1/campaigns": {"params": {"userName": "an"}, "size_name": "limit", "key": "campaignId"},
    CALLS: FORM,
}
QUICK = RetryPolicy(backoff=0)


@attrs.frozen
class Call:
    """A record of the user's."""

    ident: int = attrs.field(metadata={"wire": "callId"})


def calls_of(client: AlohubClient, **options: Any) -> Pager[Any]:
    """Walk over the call logs."""
    chosen: dict[str, Any] = {**FORM, "page_size": 20, **options}
    return client.paginate(CALLS, **chosen)


@pytest.mark.parametrize("path", SHAPES)
@pytest.mark.parametrize("size", [7, 25, 200])
async def test_each_shape_of_the_vendors_lists_is_walked(path: str, size: int) -> None:
    """All records come, in order, with any page size; pages are counted from 0 to the user."""
    name: Any = {"/v1/agents": "agents", CALLS: "calls"}.get(path, "campaigns")
    async with Sandbox(queues=60, tenant_limit=None, route_limit=None) as sandbox, sandbox.client() as client:
        pager = client.paginate(path, page_size=size, **SHAPES[path])
        pages = [page async for page in pager.pages()]
        assert [record for page in pages for record in page.items] == sandbox.records(name)
        assert [page.number for page in pages] == [*range(len(pages))]
        assert pager.total == len(sandbox.records(name))
        assert await client.paginate(path, consistency="repair", **SHAPES[path]).collect() == sandbox.records(name)
        assert sandbox.requests.of(status=200) == sandbox.requests


async def test_body_is_sent_with_each_page_and_kept(sandbox: Sandbox, client: AlohubClient) -> None:
    """Page and size are added to the body as it was when the call was made; nothing goes into the query."""
    body = {"from": "2026-11-01", "filters": {"names": ["Hà Nội"]}}
    pager = calls_of(client, json=body, page_size=50, params={"v": 2})
    body["from"] = "later"
    await pager.collect()
    sent = [{"from": "2026-11-01", "filters": {"names": ["Hà Nội"]}, "page": page, "limit": 50} for page in (1, 2, 3)]
    assert sorted((request.json for request in sandbox.requests), key=lambda found: found["page"]) == sent
    assert {tuple(request.query.items()) for request in sandbox.requests} == {(("v", "2"),)}
    assert {request.headers["Content-Type"] for request in sandbox.requests} == {"application/json"}


async def test_safe_post_is_fetched_ahead(sandbox: Sandbox, client: AlohubClient) -> None:
    """Several pages are requested at once, as with a GET."""
    sandbox.fail(Delay(60), after=1, next=None)
    pager = calls_of(client, prefetch=4)
    await anext(pager)
    await until(lambda: len(sandbox.requests) >= 5)
    await asyncio.sleep(0.01)
    assert len(sandbox.requests) == 5
    await pager.aclose()


@pytest.mark.parametrize("fault", [DropConnection(), DropConnection(processed=True), TruncatedBody(), None])
async def test_safe_post_is_repeated_like_a_get(sandbox: Sandbox, fault: Any) -> None:
    """Even if the service may have answered; but a POST of `request` is not."""
    script: dict[str, Any] = {"status": 502} if fault is None else {}
    async with sandbox.client(retry=QUICK) as client:
        sandbox.fail(fault, path=CALLS, page=3, next=2, **script)
        assert await calls_of(client).collect() == sandbox.records("calls")
        assert len(sandbox.requests.of(page=3)) == 3
        sandbox.clear()
        sandbox.fail(DropConnection(processed=True), path=CALLS)
        with pytest.raises(APIConnectionError):
            await client.request("POST", CALLS, json={"page": 1})
        assert len(sandbox.requests) == 1


async def test_limit_of_its_route_is_kept() -> None:
    """The route is that of the POST, whatever the body says."""
    async with Sandbox(route_limit=4, window=0.3) as sandbox, sandbox.client() as client:
        assert len(await calls_of(client).collect()) == 125
        assert {*client.rate_limits.routes} == {f"POST {CALLS}"}
        sandbox.assert_no_429()


async def test_model_and_totals_work_with_a_post(client: AlohubClient) -> None:
    """Records are made of a class; `count` and `first` take one request."""
    calls = client.paginate(CALLS, model=Call, **FORM)
    assert await calls.first() == Call(1)
    assert await calls.count() == 125


# Tokens


@given(read=st.integers(0, 125), size=st.integers(1, 60), prefetch=st.integers(0, 4))
@settings(max_examples=15)
def test_walk_goes_on_from_its_token(read: int, size: int, prefetch: int) -> None:
    """Another client continues at the same record, wherever the walk stood."""

    async def walk() -> None:
        async with Sandbox(queues=1, tenant_limit=None, route_limit=None) as sandbox, sandbox.client() as client:
            pager = calls_of(client, json={"b": 1, "a": 2}, page_size=size, prefetch=prefetch)
            got = [await anext(pager) for _ in range(read)]
            async with sandbox.client() as other:
                got += await calls_of(other, json={"a": 2, "b": 1}, page_size=None, token=pager.token).collect()
            assert got == sandbox.records("calls")

    asyncio.run(walk())


@pytest.mark.parametrize(
    "other",
    [
        {"json": {"from": "b"}},
        {"json": None},
        {"first_page": 0},
        {"size_name": "size"},
        {"page_name": "p"},
        {"params": {"a": 1}},
        {"method": "GET", "json": None},
    ],
)
async def test_token_of_another_list_is_refused(client: AlohubClient, other: dict[str, Any]) -> None:
    """Another body, method or way of paging is another list; the message and the token do not show the body."""
    pager = calls_of(client, json={"from": "secret-a"})
    await pager.first()
    with pytest.raises(InvalidArgumentError, match="the token is of another list") as caught:
        calls_of(client, **{"json": {"from": "secret-a"}, **other}, token=pager.token)
    assert "secret" not in str(caught.value)


async def test_error_has_a_token_to_go_on_with(sandbox: Sandbox, client: AlohubClient) -> None:
    """A page that fails for good raises; its token continues behind the records that came."""
    sandbox.fail(status=400, path=CALLS, page=4)
    pager = calls_of(client, prefetch=0)
    got: list[Any] = []
    with pytest.raises(Exception, match="POST /v1/reports/call-logs") as caught:
        got.extend([record async for record in pager])
    token = getattr(caught.value, "resume_token", None)
    assert len(await calls_of(client, token=token).collect()) == 65


# Input


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"method": "POST"}, "safe=True is needed for a POST"),
        ({"method": "post", "safe": True}, r"method must be one of \('GET', 'POST'\); 'post'"),
        ({"method": "POST", "safe": 1}, "safe must be True or False; 1"),
        ({"method": "PUT", "safe": True}, "method must be one of"),
        ({"method": None}, "method must be one of"),
        ({"method": ["POST"]}, "method must be one of"),
        ({"json": {"a": 1}}, "json is the body of a POST"),
        ({"json": [1]}, "json must be a Mapping; list"),
        ({"json": "{}"}, "json must be a Mapping; str"),
        ({"json": b""}, "json must be a Mapping; bytes"),
        ({"json": {"a": {1}}}, "json must be a value that JSON can represent"),
        ({"json": {"a": float("nan")}}, "json must be a value that JSON can represent"),
        ({"json": {"a": "\ud800"}}, "json must be a value that JSON can represent"),
        ({"json": {"limit": 5}, "method": "POST", "safe": True, "size_name": "limit"}, "json must not hold"),
        ({"json": {"page": 5}, "method": "POST", "safe": True}, "json must not hold"),
        ({"params": {"p": 5}, "page_name": "p"}, "params must not hold"),
        ({"params": [("a", 1)]}, "params must be a Mapping"),
        ({"params": {"a": 1.5}}, "params.* must be a string or an int"),
        ({"first_page": -1}, "first_page must be an int from 0 to 1000000"),
        ({"first_page": True}, "first_page must be an int"),
        ({"first_page": "1"}, "first_page must be an int"),
        ({"page_name": ""}, "page_name must be a name"),
        ({"page_name": "a&b"}, "page_name must be a name"),
        ({"size_name": "giới hạn"}, "size_name must be a name"),
        ({"size_name": None}, "size_name must be a name"),
        ({"size_name": "page"}, "page_name and size_name must differ"),
        ({"key": 5}, "key must be a string"),
        ({"page_param": "p"}, "there is no option 'page_param'; did you mean 'page_name'"),
    ],
)
async def test_wrong_input_is_refused_before_anything_is_sent(
    sandbox: Sandbox, client: AlohubClient, given: dict[str, Any], problem: str
) -> None:
    """The error says what was given and what to do."""
    with pytest.raises(InvalidArgumentError, match=problem):
        client.paginate(LIST, **given)
    assert sandbox.requests == []


async def test_caller_keeps_its_arguments(client: AlohubClient) -> None:
    """Dicts that are given are neither changed nor shared."""
    options: dict[str, Any] = {**FORM, "json": {"a": {"b": 1}}, "params": {"v": 1}}
    before = json.dumps(options)
    pagers = [client.paginate(CALLS, **options) for _ in range(2)]
    assert [len(await pager.collect()) for pager in pagers] == [125, 125]
    assert json.dumps(options) == before


async def test_missing_first_page_of_a_post_is_an_error(sandbox: Sandbox, client: AlohubClient) -> None:
    """A 404 of a later page ends the walk, one of the first page does not."""
    sandbox.fail(status=404, path=CALLS, page=6)
    assert len(await calls_of(client, page_size=25).collect()) == 125
    sandbox.fail(status=404, path=CALLS, page=1)
    with pytest.raises(Exception, match="404"):
        await calls_of(client).collect()


async def test_server_that_answers_any_page_with_the_first_ends_the_walk(
    client: AlohubClient, sandbox: Sandbox
) -> None:
    """A list that is not paged at all comes once."""
    rows = [{"callId": number} for number in range(1, 6)]
    sandbox.fail(json_reply({"success": "1", "data": rows}), path="/v1/campaigns/7/contact-lists", next=None)
    pager = client.paginate("/v1/campaigns/7/contact-lists", key="callId")
    assert await pager.collect() == rows
