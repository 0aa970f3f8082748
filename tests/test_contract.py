"""The contract of the API, over sockets: the requests of the SDK, and its result for each response."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
import attrs
import pytest

from alohub_async import (
    AlohubClient,
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Endpoint,
    InboundQueue,
    InboundQueueUpdate,
    InternalServerError,
    InvalidArgumentError,
    KeyHeader,
    NotFoundError,
    PermissionDeniedError,
    QueueStrategy,
    RateLimitError,
    RequestFailedError,
    RetryPolicy,
    UpdateResult,
)
from alohub_async.testing import (
    BadJson,
    CapStyle,
    DetailStyle,
    EmptyBody,
    Failure,
    HeaderStyle,
    HtmlPage,
    JsonAnswer,
    Sandbox,
    Status,
    TotalStyle,
)
from tests.support import CALLS, FIRST, LIST, QUEUE, RawServer, Reply, http, id_of, json_reply, queue

ONCE = RetryPolicy(max_retries=0)
HTTP_LIBRARY_HEADERS = {"Host", "Accept-Encoding"}


def envelope(*records: object, **other: object) -> dict[str, object]:
    """The envelope of a list on the vendor's page."""
    return {"success": "1", "error_code": "SUCCESS", "totalRecord": len(records), "data": list(records), **other}


# Access


def _gateway(sandbox: Sandbox) -> Endpoint:
    return Endpoint(sandbox.url)


def _backend(sandbox: Sandbox) -> Endpoint:
    return Endpoint.direct(sandbox.url)


def _backend_with_prefix(sandbox: Sandbox) -> Endpoint:
    return Endpoint.direct(f"{sandbox.url}/api/")


@pytest.mark.parametrize(
    ("endpoint", "tenant_id", "path", "names"),
    [
        (_gateway, "20260310", LIST, {"X-Api-Key", "X-Tenant-ID"}),
        (_gateway, None, LIST, {"X-Api-Key"}),
        (_backend, "20260310", f"/api{LIST}", {"Authorization"}),
        (_backend, None, f"/api{LIST}", {"Authorization"}),
        (_backend_with_prefix, None, f"/api{LIST}", {"Authorization"}),
    ],
)
async def test_each_way_of_access_has_its_own_headers_and_path(
    sandbox: Sandbox,
    endpoint: Callable[[Sandbox], Endpoint],
    tenant_id: str | None,
    path: str,
    names: set[str],
) -> None:
    """The gateway receives `X-Api-Key` and the tenant if one is set, the backend the bare key and no tenant."""
    async with AlohubClient(sandbox.api_key, endpoint=endpoint(sandbox), tenant_id=tenant_id) as client:
        assert await client.queues.list_inbound().first() is not None
    sent = sandbox.requests[0]
    expected = {
        "X-Api-Key": sandbox.api_key,
        "Authorization": sandbox.api_key,
        "X-Tenant-ID": tenant_id,
        "Accept": "application/json",
        "User-Agent": sent.headers["User-Agent"],
    }
    names = names | {"Accept", "User-Agent"}
    assert set(sent.headers) == names | HTTP_LIBRARY_HEADERS
    assert {name: sent.headers[name] for name in names} == {name: expected[name] for name in names}
    assert sent.path == path


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(
    ("key_header", "names"),
    [
        ("x-api-key", {"X-Api-Key"}),
        ("authorization", {"Authorization"}),
        ("both", {"X-Api-Key", "Authorization"}),
    ],
)
@pytest.mark.parametrize("send_tenant", [False, True])
async def test_key_and_tenant_headers_can_be_chosen(
    sandbox: Sandbox, *, direct: bool, key_header: KeyHeader, names: set[str], send_tenant: bool
) -> None:
    """For both ways of access, either key header or both can be sent, with or without the tenant."""
    endpoint = attrs.evolve(
        _backend(sandbox) if direct else _gateway(sandbox), key_header=key_header, send_tenant=send_tenant
    )
    sandbox.fail(json_reply(QUEUE))
    async with AlohubClient("sk_live_any", endpoint=endpoint, tenant_id="20260310") as client:
        await client.queues.get_inbound(1)
    headers = sandbox.requests[0].headers
    assert {name for name in ("X-Api-Key", "Authorization") if name in headers} == names
    assert {headers[name] for name in names} == {"sk_live_any"}
    assert headers.get("X-Tenant-ID") == ("20260310" if send_tenant else None)


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        (None, "xapi.alohub.vn:443"),
        (Endpoint.production(), "xapi.alohub.vn:443"),
        (Endpoint.development(), "xapi-dev.alohub.vn:443"),
        (Endpoint.direct("https://pbx.example"), "pbx.example:443"),
    ],
)
async def test_known_endpoints_use_tls(endpoint: Endpoint | None, host: str) -> None:
    """The vendor's hosts are connected to by TLS. A proxy receives only the host name, never the key."""
    async with (
        RawServer(lambda _: [http(b"", status=403)]) as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
        AlohubClient("sk_live_secret", endpoint=endpoint, session=session, retry=ONCE) as client,
    ):
        with pytest.raises(APIConnectionError, match="Reason") as caught:
            await client.queues.get_inbound(1)
    assert [(request.method, request.target) for request in proxy.requests] == [("CONNECT", host)]
    assert "sk_live_secret" not in repr((proxy.requests, caught.value, caught.value.__cause__))


# GET list


async def test_list_sends_page_and_size(sandbox: Sandbox, client: AlohubClient) -> None:
    """A list request is a GET with `page`, from 0, and `size`. It has no other parameters and no body."""
    queues = await client.queues.list_inbound(page_size=10).collect()
    assert [(sent.method, sent.path, dict(sent.query), sent.json) for sent in sandbox.requests] == [
        ("GET", LIST, {"page": str(page), "size": "10"}, None) for page in range(3)
    ]
    assert [found.id for found in queues] == [stored["callinId"] for stored in sandbox.queues]


async def test_default_page_size_is_100(sandbox: Sandbox, client: AlohubClient) -> None:
    """The SDK's default page size is 100, and is always sent."""
    await client.queues.list_inbound().collect()
    assert dict(sandbox.requests[0].query) == {"page": "0", "size": "100"}


async def test_record_of_the_vendors_page_is_decoded(sandbox: Sandbox, client: AlohubClient) -> None:
    """The list response of the vendor's page is decoded to its queue."""
    sandbox.fail(json_reply(envelope(QUEUE)))
    assert await client.queues.list_inbound().collect() == [
        InboundQueue(
            id=1001226,
            name="test",
            strategy=QueueStrategy.NORMAL,
            music_on_hold="waiting.wav",
            max_wait=120,
            agent_selector=None,
            announce_position=None,
            number=None,
        )
    ]


@pytest.mark.parametrize(
    ("wire", "name", "raw", "value"),
    [
        ("callinId", "id", 7, 7),
        ("callinId", "id", "7", 7),
        ("callinName", "name", "Chăm sóc khách hàng", "Chăm sóc khách hàng"),
        ("strategy", "strategy", 1, QueueStrategy.NORMAL),
        ("strategy", "strategy", 2, QueueStrategy.VIP),
        ("strategy", "strategy", 3, QueueStrategy.BLACKLIST),
        ("strategy", "strategy", 4, QueueStrategy.DIVERT),
        ("strategy", "strategy", 99, QueueStrategy.LOCKED),
        ("strategy", "strategy", "2", QueueStrategy.VIP),
        ("strategy", "strategy", 7, QueueStrategy(7)),
        ("strategy", "strategy", None, None),
        ("musicinQueue", "music_on_hold", "nhạc chờ.wav", "nhạc chờ.wav"),
        ("musicinQueue", "music_on_hold", None, None),
        ("timeWait", "max_wait", "120", 120),
        ("timeWait", "max_wait", "0", 0),
        ("timeWait", "max_wait", 90, 90),
        ("timeWait", "max_wait", None, None),
        ("agentSelector", "agent_selector", "rrmemory", "rrmemory"),
        ("agentSelector", "agent_selector", None, None),
        ("nguongRanhRoi", "announce_position", "0", False),
        ("nguongRanhRoi", "announce_position", "1", True),
        ("nguongRanhRoi", "announce_position", 0, False),
        ("nguongRanhRoi", "announce_position", 1, True),
        ("nguongRanhRoi", "announce_position", None, None),
        ("callinNumber", "number", "0241234567", "0241234567"),
        ("callinNumber", "number", "0001900", "0001900"),
        ("callinNumber", "number", None, None),
    ],
)
async def test_each_field_is_decoded_from_each_form(
    sandbox: Sandbox, client: AlohubClient, *, wire: str, name: str, raw: object, value: object
) -> None:
    """Each documented form is decoded to the field's type, in list and detail, and `extra` is empty."""
    record = queue(**{wire: raw})
    sandbox.fail(json_reply(envelope(record)))
    sandbox.fail(json_reply(record))
    [listed] = await client.queues.list_inbound().collect()
    found = getattr(listed, name)
    assert (found, type(found)) == (value, type(value))
    assert listed.extra == {}
    assert await client.queues.get_inbound(7) == listed


@pytest.mark.parametrize(
    ("wire", "name", "raw"),
    [
        ("callinId", "id", None),
        ("callinId", "id", "x7"),
        ("callinId", "id", 0),
        ("callinName", "name", None),
        ("callinName", "name", 7),
        ("strategy", "strategy", "VIP"),
        ("strategy", "strategy", True),
        ("strategy", "strategy", 1.5),
        ("musicinQueue", "music_on_hold", ["waiting.wav"]),
        ("timeWait", "max_wait", "2 minutes"),
        ("timeWait", "max_wait", "-1"),
        ("timeWait", "max_wait", ""),
        ("agentSelector", "agent_selector", 3),
        ("nguongRanhRoi", "announce_position", "2"),
        ("nguongRanhRoi", "announce_position", "yes"),
        ("callinNumber", "number", 1900),
    ],
)
async def test_invalid_value_is_none_and_kept_in_extra(
    sandbox: Sandbox, client: AlohubClient, wire: str, name: str, raw: object
) -> None:
    """An invalid value is None and kept in `extra`; other records are unaffected. With `strict` it raises."""
    sandbox.fail(json_reply(envelope(QUEUE, queue(callinId=2) | {wire: raw})), next=2)
    good, bad = await client.queues.list_inbound().collect()
    assert good.name == "test"
    assert good.extra == {}
    assert getattr(bad, name) is None
    assert bad.extra == {wire: raw}
    with pytest.raises(APIResponseError, match=rf"page 0, index 1: field '{wire}'.*fit: ") as caught:
        await client.with_options(strict=True).queues.list_inbound().collect()
    assert repr(raw) in str(caught.value)


async def test_unknown_strategy_and_unknown_fields_survive(sandbox: Sandbox, client: AlohubClient) -> None:
    """An unknown strategy and unknown fields are kept, and an unknown strategy cannot be written."""
    sandbox.fail(json_reply(queue(strategy=7, colour="đỏ", nested={"a": [1, None]})), next=2)
    found = await client.queues.get_inbound(FIRST)
    assert found.strategy is not None
    assert (found.strategy.value, found.strategy.is_known) == (7, False)
    assert found.extra == {"colour": "đỏ", "nested": {"a": [1, None]}}
    assert await client.with_options(strict=True).queues.get_inbound(FIRST) == found
    with pytest.raises(InvalidArgumentError, match=r"strategy must be one of \[1, 2, 3, 4, 99\]"):
        await client.queues.update_inbound(FIRST, strategy=found.strategy)
    assert len(sandbox.requests) == 2


@pytest.mark.parametrize("total_style", ["int", "string", "missing"])
@pytest.mark.parametrize("page_size", [1, 10, 25, 100])
async def test_list_is_complete_with_each_form_of_the_total(total_style: TotalStyle, page_size: int) -> None:
    """With the total as a number, as a string or missing, each record is yielded once."""
    async with Sandbox(queues=25, total_style=total_style) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=page_size)
        ids = [found.id async for found in pager]
        assert ids == [stored["callinId"] for stored in sandbox.queues]
        assert pager.total == (None if total_style == "missing" else 25)
        assert await pager.collect() == []


@pytest.mark.parametrize("total", [None, "", "many", -3, 1.5, True, [25], {"n": 25}])
async def test_invalid_total_counts_as_missing(sandbox: Sandbox, client: AlohubClient, total: object) -> None:
    """An invalid total neither fails the walk nor ends it. An empty page ends it."""
    for page in (envelope(QUEUE), envelope(queue(callinId=2)), envelope()):
        sandbox.fail(json_reply(page | {"totalRecord": total}))
    assert [found.id async for found in client.queues.list_inbound(page_size=1)] == [1001226, 2]


@pytest.mark.parametrize("totals", [(4, 3, 3), (2, 3, 3), ("3", 3, "3"), (3, None, 3), (None, 3, 3)])
async def test_latest_total_counts(sandbox: Sandbox, client: AlohubClient, totals: tuple[object, ...]) -> None:
    """A total that grows, shrinks or is missing on some pages neither loses nor repeats a record.

    After the last full page, an empty one confirms the total.
    """
    for number, total in enumerate(totals, 1):
        sandbox.fail(json_reply(envelope(queue(callinId=number)) | {"totalRecord": total}))
    sandbox.fail(json_reply(envelope() | {"totalRecord": 3}))
    assert [found.id async for found in client.queues.list_inbound(page_size=1, prefetch=0)] == [1, 2, 3]
    assert len(sandbox.requests) == 4


@pytest.mark.parametrize("cap_style", ["rebase", "truncate"])
@pytest.mark.parametrize("cap", [1, 7, 20, 25])
@pytest.mark.parametrize("page_size", [3, 20, 21, 100])
@pytest.mark.parametrize("total_style", ["int", "missing"])
async def test_server_may_cap_the_page_size(
    cap: int, page_size: int, cap_style: CapStyle, total_style: TotalStyle
) -> None:
    """No record is lost if the server returns shorter pages than requested, whichever way it counts offsets."""
    async with (
        Sandbox(
            queues=25,
            page_size_cap=cap,
            cap_style=cap_style,
            total_style=total_style,
            tenant_limit=None,
            route_limit=None,
        ) as sandbox,
        sandbox.client() as client,
    ):
        ids = [found.id async for found in client.queues.list_inbound(page_size=page_size)]
        assert ids == [stored["callinId"] for stored in sandbox.queues]


@pytest.mark.parametrize(
    "payload",
    [
        {"success": "1", "error_code": "SUCCESS"},
        {"success": "1", "data": None},
        {"success": "1", "data": {}},
        {"success": "1", "data": [None]},
        {"success": "1", "data": [[1]]},
        [],
        None,
        "SUCCESS",
        1,
    ],
)
async def test_json_of_an_unknown_shape_is_an_error(sandbox: Sandbox, client: AlohubClient, payload: object) -> None:
    """A list or detail of an unknown shape raises `APIResponseError` without a retry."""
    sandbox.fail(json_reply(payload), next=2)
    for call in (client.queues.list_inbound().collect(), client.queues.get_inbound(1)):
        with pytest.raises(APIResponseError, match="JSON of an unknown shape"):
            await call
    assert len(sandbox.requests) == 2


# GET detail


@pytest.mark.parametrize("style", ["bare", "object", "list"])
@pytest.mark.parametrize("direct", [False, True])
async def test_detail_is_decoded_bare_and_enveloped(*, style: DetailStyle, direct: bool) -> None:
    """A bare object, an envelope with an object, and an envelope with a list of one object give the same queue."""
    async with Sandbox(queues=3, detail_style=style) as sandbox, sandbox.client(direct=direct) as client:
        listed = [found async for found in client.queues.list_inbound()]
        assert [await client.queues.get_inbound(id_of(found)) for found in listed] == listed
        sent = sandbox.requests[-1]
        assert (sent.method, dict(sent.query), sent.json) == ("GET", {}, None)
        assert sent.path == f"{'/api' if direct else ''}{LIST}/{listed[-1].id}"


@pytest.mark.parametrize("data", [[], [QUEUE, QUEUE], [1], {}, None])
async def test_detail_must_have_one_record(sandbox: Sandbox, client: AlohubClient, data: object) -> None:
    """An envelope with no record or several records is not a detail."""
    sandbox.fail(json_reply({"success": "1", "error_code": "SUCCESS", "data": data}))
    with pytest.raises(APIResponseError, match="an object with 'callinId', bare or under 'data'"):
        await client.queues.get_inbound(FIRST)


async def test_detail_of_another_tenant_is_not_found(sandbox: Sandbox, client: AlohubClient) -> None:
    """Another tenant's queue can be neither read nor updated with this key."""
    for call in (
        client.queues.get_inbound(sandbox.foreign_queue_id),
        client.queues.update_inbound(sandbox.foreign_queue_id, max_wait=1),
        client.queues.get_inbound(1),
    ):
        with pytest.raises(NotFoundError) as caught:
            await call
        assert (caught.value.status, caught.value.error_code) == (404, "NOT_FOUND")
    assert len(sandbox.requests) == 3
    other = sandbox.add_key(tenant_id=sandbox.foreign_tenant_id)
    async with sandbox.client(api_key=other, tenant_id=None) as owner:
        assert (await owner.queues.get_inbound(sandbox.foreign_queue_id)).name == "Công ty khác"


# PUT


@pytest.mark.parametrize(
    ("changes", "body", "stored"),
    [
        ({"music_on_hold": "chờ.wav"}, {"moh_file_id": "chờ.wav"}, {"musicinQueue": "chờ.wav"}),
        ({"max_wait": 180}, {"max_wait_sec": "180"}, {"timeWait": "180"}),
        ({"max_wait": 0}, {"max_wait_sec": "0"}, {"timeWait": "0"}),
        ({"max_wait": timedelta(minutes=2)}, {"max_wait_sec": "120"}, {"timeWait": "120"}),
        ({"strategy": QueueStrategy.NORMAL}, {"strategy": 1}, {"strategy": 1}),
        ({"strategy": QueueStrategy.VIP}, {"strategy": 2}, {"strategy": 2}),
        ({"strategy": QueueStrategy.BLACKLIST}, {"strategy": 3}, {"strategy": 3}),
        ({"strategy": 4}, {"strategy": 4}, {"strategy": 4}),
        ({"strategy": QueueStrategy.LOCKED}, {"strategy": 99}, {"strategy": 99}),
        ({"announce_position": True}, {"announce_position": "1"}, {"nguongRanhRoi": "1"}),
        ({"announce_position": False}, {"announce_position": "0"}, {"nguongRanhRoi": "0"}),
        (
            {"music_on_hold": "a.wav", "max_wait": 9, "strategy": 2, "announce_position": True},
            {"moh_file_id": "a.wav", "max_wait_sec": "9", "strategy": 2, "announce_position": "1"},
            {"musicinQueue": "a.wav", "timeWait": "9", "strategy": 2, "nguongRanhRoi": "1"},
        ),
    ],
)
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("as_object", [False, True])
async def test_update_has_the_write_names_and_types(
    sandbox: Sandbox,
    *,
    changes: dict[str, Any],
    body: dict[str, object],
    stored: dict[str, object],
    direct: bool,
    as_object: bool,
) -> None:
    """Each field is sent with its write name and its documented type, without other fields."""
    before = dict(sandbox.queues[0])
    async with sandbox.client(direct=direct) as client:
        if as_object:
            result = await client.queues.update_inbound(FIRST, InboundQueueUpdate(**changes))
        else:
            result = await client.queues.update_inbound(FIRST, **changes)
    assert result == UpdateResult(FIRST, "Inbound queue updated successfully", attempts=1)
    [sent] = sandbox.requests
    assert (sent.method, dict(sent.query)) == ("PUT", {})
    assert sent.path == f"{'/api' if direct else ''}{LIST}/{FIRST}"
    assert sent.json == body
    assert json.dumps(sent.json) == json.dumps(body)  # 1 is neither "1" nor True
    assert sent.headers["Content-Type"] == "application/json"
    assert sandbox.queues[0] == before | stored


async def test_update_is_utf8_json_with_its_length() -> None:
    """The body is UTF-8 JSON with `Content-Length` and without a charset in its media type."""
    async with (
        RawServer(lambda _: [http({"success": "1", "error_code": "SUCCESS"})]) as server,
        AlohubClient("sk_live_x", endpoint=server.url) as client,
    ):
        result = await client.queues.update_inbound(5, music_on_hold="nhạc.wav")
    [sent] = server.requests
    assert sent.body == '{"moh_file_id":"nhạc.wav"}'.encode()
    assert sent.headers.getall("Content-Type") == ["application/json"]
    assert sent.headers.getall("Content-Length") == [str(len(sent.body))]
    assert "Transfer-Encoding" not in sent.headers
    assert result.message is None


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"changes": InboundQueueUpdate()},
        {"changes": {"max_wait": 1}},
        {"changes": InboundQueueUpdate(max_wait=1), "max_wait": 1},
        {"max_wait": None},
        {"max_wait": -1},
        {"max_wait": 1.0},
        {"max_wait": "60"},
        {"max_wait": True},
        {"max_wait": timedelta(seconds=-1)},
        {"max_wait": timedelta(milliseconds=1500)},
        {"strategy": None},
        {"strategy": 0},
        {"strategy": 5},
        {"strategy": "VIP"},
        {"strategy": True},
        {"strategy": QueueStrategy(7)},
        {"announce_position": None},
        {"announce_position": 1},
        {"announce_position": "1"},
        {"music_on_hold": None},
        {"music_on_hold": ""},
        {"music_on_hold": " "},
        {"music_on_hold": ".."},
        {"music_on_hold": "../a.wav"},
        {"music_on_hold": "a\\b.wav"},
        {"music_on_hold": "a\nb.wav"},
        {"music_on_hold": "a\x00.wav"},
        {"music_on_hold": "a\u202e.wav"},
        {"music_on_hold": b"a.wav"},
        {"queue_id": 0, "max_wait": 1},
        {"queue_id": -1, "max_wait": 1},
        {"queue_id": True, "max_wait": 1},
        {"queue_id": "1001226", "max_wait": 1},
        {"queue_id": 1.0, "max_wait": 1},
        {"queue_id": None, "max_wait": 1},
        {"deadline": 0, "max_wait": 1},
        {"deadline": "5", "max_wait": 1},
    ],
)
async def test_invalid_update_is_refused_before_it_is_sent(
    sandbox: Sandbox, client: AlohubClient, arguments: dict[str, Any]
) -> None:
    """An invalid update raises `InvalidArgumentError`, a `ValueError`, and no request is sent."""
    changes = [arguments.pop("changes")] if "changes" in arguments else []
    with pytest.raises(InvalidArgumentError) as caught:
        await client.queues.update_inbound(arguments.pop("queue_id", FIRST), *changes, **arguments)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) > 20
    assert sandbox.requests == []


@pytest.mark.parametrize("queue_id", [0, -1, True, "1", 1.0, None, [1]])
async def test_invalid_id_is_refused_before_it_is_sent(sandbox: Sandbox, client: AlohubClient, queue_id: Any) -> None:
    """An id that is not a positive integer raises `InvalidArgumentError`, and no request is sent."""
    with pytest.raises(InvalidArgumentError, match="queue_id must be"):
        await client.queues.get_inbound(queue_id)
    assert sandbox.requests == []


# Errors

ROWS = [
    (400, "INVALID_INPUT", BadRequestError),
    (401, "UNAUTHORIZED", AuthenticationError),
    (403, "INSUFFICIENT_SCOPE", PermissionDeniedError),
    (404, "NOT_FOUND", NotFoundError),
    (429, "RATE_LIMIT_EXCEEDED", RateLimitError),
    (500, "FAIL", InternalServerError),
]


@pytest.mark.parametrize(("status", "error_code", "kind"), ROWS)
@pytest.mark.parametrize("call", CALLS)
async def test_each_error_code_has_its_class(
    sandbox: Sandbox, status: int, error_code: str, kind: type[APIStatusError], call: str
) -> None:
    """Every row of the error table raises its class, with status, code and Vietnamese message."""
    sandbox.fail(Status(status, error_message="Không được, thử lại sau", retry_after="3"))
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(APIStatusError) as caught:
            await CALLS[call](client)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.error_code) == (status, error_code)
    assert error.message == "Không được, thử lại sau"
    assert error.message in str(error)
    assert error_code in str(error)
    assert error.headers["content-type"].startswith("application/json")
    assert error_code in error.body
    assert error.retry_after == 3
    assert (error.resume_token is None) == (call not in {"list", "paginate"})


async def test_errors_of_the_service_have_their_classes(sandbox: Sandbox) -> None:
    """A wrong key, a missing scope, bad input and a used-up limit raise their classes, without scripted faults."""
    scopeless = sandbox.add_key(scopes=("calls",))
    refused: list[tuple[dict[str, Any], type[APIStatusError]]] = [
        ({"api_key": "sk_live_wrong"}, AuthenticationError),
        ({"tenant_id": "1"}, AuthenticationError),
        ({"api_key": scopeless}, PermissionDeniedError),
    ]
    for options, kind in refused:
        async with sandbox.client(**options) as client:
            with pytest.raises(kind):
                await client.queues.get_inbound(FIRST)
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(BadRequestError, match="Field không hợp lệ: nope"):
            await client.request("PUT", f"{LIST}/{FIRST}", json={"nope": 1})
        sandbox.route_limit = 0
        with pytest.raises(RateLimitError) as caught:
            await client.queues.get_inbound(FIRST)
        assert caught.value.retry_after == 10


@pytest.mark.parametrize("camel_case", [False, True])
@pytest.mark.parametrize("call", CALLS)
async def test_failure_under_http_200_is_an_error(
    sandbox: Sandbox, client: AlohubClient, *, camel_case: bool, call: str
) -> None:
    """A `success` other than "1" with HTTP 200 raises `RequestFailedError` in both spellings, without a retry."""
    sandbox.fail(Failure("0", "Thao tác thất bại", camel_case=camel_case))
    with pytest.raises(RequestFailedError) as caught:
        await CALLS[call](client)
    error = caught.value
    assert (error.status, error.error_code, error.message) == (200, "0", "Thao tác thất bại")
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("success", ["0", 0, False, "", "false", "2", None, [], {}])
async def test_only_the_string_1_is_success(sandbox: Sandbox, client: AlohubClient, success: object) -> None:
    """Any other `success` is a failure, even with data."""
    sandbox.fail(json_reply(envelope(QUEUE, success=success, error_code="0")))
    with pytest.raises(RequestFailedError):
        await client.queues.list_inbound().collect()


@pytest.mark.parametrize(("_status", "error_code", "kind"), ROWS)
@pytest.mark.parametrize("camel_case", [False, True])
async def test_known_code_selects_the_class_under_http_200(
    sandbox: Sandbox, *, _status: int, error_code: str, kind: type[APIStatusError], camel_case: bool
) -> None:
    """A documented code with HTTP 200 raises the same class as with its own status."""
    sandbox.fail(Failure(error_code, camel_case=camel_case))
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.queues.get_inbound(FIRST)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.error_code) == (200, error_code)


async def test_known_code_alone_is_a_failure(sandbox: Sandbox, client: AlohubClient) -> None:
    """A documented error code with HTTP 200 is a failure even without `success`."""
    sandbox.fail(json_reply({"errorCode": "NOT_FOUND", "errorMessage": "Không tìm thấy"}))
    with pytest.raises(NotFoundError, match="Không tìm thấy"):
        await client.queues.get_inbound(FIRST)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("page", "content_type"), [(b"<html><h1>Bad Gateway</h1></html>", "text/html"), (b"", "text/plain")]
)
async def test_gateway_error_without_json_is_a_server_error(
    sandbox: Sandbox, status: int, page: bytes, content_type: str
) -> None:
    """An HTML page or an empty body with 5xx raises `InternalServerError` with status and body."""
    sandbox.fail(Reply(page, status=status, content_type=content_type))
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.queues.get_inbound(FIRST)
    error = caught.value
    assert (error.status, error.error_code, error.message) == (status, None, None)
    assert error.body == page.decode()


async def test_html_502_is_retried(sandbox: Sandbox) -> None:
    """A 502 page of a gateway is retried, for reads and updates."""
    async with sandbox.client(retry=RetryPolicy(backoff=0)) as client:
        for call in CALLS.values():
            sandbox.clear()
            sandbox.fail(HtmlPage(502))
            await call(client)
            assert [sent.status for sent in sandbox.requests] == [502, 200]


@pytest.mark.parametrize("fault", [EmptyBody(200), HtmlPage(200), BadJson()])
async def test_http_200_without_json_is_an_error(sandbox: Sandbox, fault: EmptyBody | HtmlPage | BadJson) -> None:
    """An empty body, an HTML page or truncated JSON with HTTP 200 raises `APIResponseError` with the body."""
    sandbox.fail(fault, next=2)
    async with sandbox.client(retry=ONCE) as client:
        for call in (client.queues.get_inbound(FIRST), client.queues.update_inbound(FIRST, max_wait=1)):
            with pytest.raises(APIResponseError) as caught:
                await call
            assert caught.value.undecodable
            assert caught.value.status == 200
            assert caught.value.body is not None
            assert (caught.value.body or "an empty body") in str(caught.value)


@pytest.mark.parametrize(
    "body", [b'{"success": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"a":1}{"b":2}', b"\xef\xbb\xbf "]
)
@pytest.mark.usefixtures("no_garbage")
async def test_malformed_json_is_an_error(sandbox: Sandbox, body: bytes) -> None:
    """Malformed JSON raises `APIResponseError`, never an exception of the decoder."""
    sandbox.fail(Reply(body))
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(APIResponseError, match="no JSON"):
            await client.request("GET", f"{LIST}/{FIRST}")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, APIStatusError),
        (413, APIStatusError),
        (429, RateLimitError),
        (502, InternalServerError),
        (503, InternalServerError),
        (504, InternalServerError),
        (599, InternalServerError),
    ],
)
async def test_message_of_a_gateway_is_in_the_error(sandbox: Sandbox, status: int, kind: type[APIStatusError]) -> None:
    """`{"message": …}` of a gateway raises the class of the status, with message and request id."""
    sandbox.fail(json_reply({"message": "said Kong"}, status=status, headers={"X-Kong-Request-Id": "abc123"}))
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(APIStatusError, match="said Kong") as caught:
            await client.queues.get_inbound(FIRST)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.error_code, error.message, error.request_id) == (status, None, "said Kong", "abc123")


@pytest.mark.parametrize("payload", [None, [], "no", 7, {"message": 7}, {"error_code": []}, {"error_message": ""}])
async def test_error_with_json_of_any_shape_has_the_class_of_its_status(sandbox: Sandbox, payload: object) -> None:
    """With an error status, any JSON raises the class of the status."""
    sandbox.fail(json_reply(payload, status=404))
    async with sandbox.client(retry=ONCE) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.queues.get_inbound(FIRST)
    assert (caught.value.error_code, caught.value.message) == (None, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS)
async def test_redirects_are_never_followed(sandbox: Sandbox, status: int, call: str) -> None:
    """A redirect is an error. Its target receives no request, and therefore no key."""
    async with RawServer(lambda _: [http(QUEUE)]) as elsewhere, sandbox.client() as client:
        sandbox.fail(Reply(status=status, headers={"Location": f"{elsewhere.url}/v1/queues/inbound/1"}))
        with pytest.raises(APIStatusError, match="redirects are not followed") as caught:
            await CALLS[call](client)
    assert caught.value.status == status
    assert elsewhere.requests == []
    assert len(sandbox.requests) == 1


# Rate limits


@pytest.mark.parametrize("style", ["scope-last", "scope-first"])
async def test_both_word_orders_of_the_limit_headers_are_read(style: HeaderStyle) -> None:
    """The four headers are read in both word orders, for tenant and route."""
    async with (
        Sandbox(queues=3, tenant_limit=40, route_limit=30, rate_limit_headers=style) as sandbox,
        sandbox.client() as client,
    ):
        await client.queues.list_inbound().collect()
        await client.queues.get_inbound(FIRST)
        status = client.rate_limits
    assert (status.tenant.limit, status.tenant.free) == (40, 38)
    routes = {name: (scope.limit, scope.free) for name, scope in status.routes.items()}
    assert routes == {f"GET {LIST}": (30, 29), f"GET {LIST}/{{id}}": (30, 29)}


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({"x-ratelimit-limit-tenant": "40", "X-RATELIMIT-REMAINING-TENANT": "10"}, 40),
        ({"X-RateLimit-Limit": "41", "X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "7"}, 41),
        ({"RateLimit-Limit": "42", "RateLimit-Remaining": "10", "RateLimit-Reset": "7"}, 42),
        ({"RateLimit-Policy": '"default";q=43;w=10', "RateLimit": '"default";r=10;t=5'}, 43),
        ({"X-RateLimit-Limit-Tenant": "lots", "X-RateLimit-Remaining-Tenant": "10"}, None),
        ({"X-RateLimit-Limit-Tenant": "40"}, None),
        ({}, None),
    ],
)
async def test_other_names_of_the_limit_headers_are_read(
    sandbox: Sandbox, client: AlohubClient, headers: Mapping[str, str], limit: int | None
) -> None:
    """Names in any case, without scope, and of the IETF drafts are read. An invalid value counts as missing."""
    sandbox.fail(json_reply(QUEUE, headers=headers))
    await client.queues.get_inbound(FIRST)
    tenant = client.rate_limits.tenant
    assert (tenant.limit, tenant.free) == (limit, None if limit is None else 10)


@pytest.mark.looptime
@pytest.mark.parametrize("call", CALLS)
async def test_429_is_retried_after_retry_after(sandbox: Sandbox, client: AlohubClient, call: str) -> None:
    """After a 429 the call waits for the seconds of `Retry-After`, then succeeds."""
    sandbox.fail(status=429, retry_after="7")
    await CALLS[call](client)
    first, second = sandbox.requests
    assert 7 <= second.at - first.at < 8


async def test_request_returns_the_payload_unchanged(sandbox: Sandbox, client: AlohubClient) -> None:
    """`request` returns the payload with its envelope."""
    sandbox.fail(JsonAnswer({"success": "1", "data": {"a": "ă"}}), path="/v1/other")
    answer = await client.request("GET", "/v1/other")
    assert answer.payload == {"success": "1", "data": {"a": "ă"}}


async def test_every_failure_is_an_alohub_error(sandbox: Sandbox) -> None:
    """A refused connection raises an `AlohubError`."""
    url = sandbox.url
    await sandbox.close()
    async with AlohubClient("sk_live_x", endpoint=str(url), retry=ONCE) as client:
        with pytest.raises(AlohubError, match="no connection to 127") as caught:
            await client.queues.get_inbound(1)
    assert isinstance(caught.value, APIConnectionError)
    assert not caught.value.maybe_sent
