"""The sandbox: the contract, row by row; starting and closing."""

import asyncio
import gc
import socket
import warnings
from collections.abc import AsyncIterator

import aiohttp
import pytest

from alohub_async import AuthenticationError, InboundQueueUpdate
from alohub_async.testing import Sandbox, seed_queues
from tests.testing.raw import LIST, Raw, open_raw

FOUR_HEADERS = {
    "X-RateLimit-Limit-Tenant",
    "X-RateLimit-Remaining-Tenant",
    "X-RateLimit-Limit-Route",
    "X-RateLimit-Remaining-Route",
}


@pytest.fixture(name="raw")
async def _raw() -> AsyncIterator[Raw]:
    async with open_raw(queues=45) as raw:
        yield raw


# Access


@pytest.mark.parametrize(
    ("path", "header"),
    [(LIST, "X-Api-Key"), (LIST, "x-api-key"), (f"/api{LIST}", "Authorization")],
)
async def test_right_key_is_accepted(raw: Raw, path: str, header: str) -> None:
    """The gateway reads the key in X-Api-Key, the backend in Authorization, with or without the tenant id."""
    key = {header: raw.sandbox.api_key}
    assert (await raw.send("GET", path, headers=key)).status == 200
    assert (await raw.send("GET", path, headers=key | {"X-Tenant-ID": raw.sandbox.tenant_id})).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (LIST, {}),
        (LIST, {"X-Api-Key": "sk_live_wrong"}),
        (LIST, {"X-Api-Key": ""}),
        (LIST, {"Authorization": "{key}"}),
        (LIST, {"Authorization": "Bearer {key}"}),
        (LIST, {"X-Api-Key": "sk_live_wrong", "Authorization": "{key}"}),
        (LIST, {"X-Api-Key": "{key}", "X-Tenant-ID": "20260311"}),
        (f"/api{LIST}", {"X-Api-Key": "{key}"}),
        (f"/api{LIST}", {"Authorization": "Bearer {key}"}),
    ],
)
async def test_missing_or_wrong_key_is_unauthorized(raw: Raw, path: str, headers: dict[str, str]) -> None:
    """A missing or wrong key, a Bearer prefix and another tenant's id give 401, and no limit counts the request."""
    sent = {name: value.format(key=raw.sandbox.api_key) for name, value in headers.items()}
    reply = await raw.send("GET", path, headers=sent)
    assert reply.problem == (401, "UNAUTHORIZED")
    assert reply.limits["X-RateLimit-Remaining-Tenant"] == "100"
    assert (await raw.get()).limits["X-RateLimit-Remaining-Tenant"] == "99"


async def test_key_without_scope_is_refused() -> None:
    """A key without the scope gives 403. The request is counted, and the response has the headers."""
    async with open_raw(scopes=("calls",)) as raw:
        reply = await raw.get()
        assert reply.problem == (403, "INSUFFICIENT_SCOPE")
        assert reply.limits.keys() == FOUR_HEADERS


async def test_keys_can_be_added_and_revoked(raw: Raw) -> None:
    """A second key gives access to its own tenant's queues, and a revoked key is wrong."""
    foreign = raw.sandbox.add_key(tenant_id=raw.sandbox.foreign_tenant_id)
    reply = await raw.send("GET", LIST, headers={"X-Api-Key": foreign})
    assert [queue["callinId"] for queue in reply.json["data"]] == [raw.sandbox.foreign_queue_id]
    raw.sandbox.revoke_key(foreign)
    assert (await raw.send("GET", LIST, headers={"X-Api-Key": foreign})).status == 401
    with pytest.raises(ValueError, match="tenant_id must be"):
        raw.sandbox.add_key(tenant_id="nobody")


@pytest.mark.parametrize("queues", [9, [{"callinId": 5}, {"callinId": 6}]])
async def test_many_tenants(queues: int | list[dict[str, object]]) -> None:
    """Each tenant has a key, queues and a budget of its own."""
    async with Sandbox(tenants=3, queues=queues, tenant_limit=5, tenant_id="B") as sandbox:
        assert [*sandbox.tenant_keys] == ["B", "B-2", "B-3"]
        assert len({*sandbox.tenant_keys.values()}) == 3
        seen: list[list[object]] = []
        for tenant_id in sandbox.tenant_keys:
            async with sandbox.client(tenant_id=tenant_id) as client:
                listed = await client.queues.list_inbound().collect()
                assert client.rate_limits.tenant.free == 4
                seen.append([*listed])
                await client.queues.update_inbound(listed[0].id or 0, InboundQueueUpdate(max_wait=len(seen)))
        assert [len(listed) for listed in seen] == [len(sandbox.queues)] * 3
        assert (seen[0] == seen[1]) == isinstance(queues, list)
        assert sandbox.queues[0]["timeWait"] == "1"
        async with sandbox.client(api_key=sandbox.tenant_keys["B"], tenant_id="B-2") as client:
            with pytest.raises(AuthenticationError):
                await client.queues.list_inbound().collect()


# List


async def test_list_envelope(raw: Raw) -> None:
    """A list has the documented envelope, 20 records by default, wire names, and UTF-8 without escapes."""
    reply = await raw.get()
    body = reply.json
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert list(body) == ["success", "error_code", "totalRecord", "data"]
    assert (body["success"], body["error_code"], body["totalRecord"], len(body["data"])) == ("1", "SUCCESS", 45, 20)
    assert body["data"] == list(raw.sandbox.queues[:20])
    assert body["data"][0]["callinName"] in reply.text


async def test_pages_cover_the_list(raw: Raw) -> None:
    """Pages count from 0, the last one is short, and a page after the end is empty and has the total."""
    pages = [(await raw.get(page=page, size=20)).json for page in range(4)]
    assert [len(page["data"]) for page in pages] == [20, 20, 5, 0]
    assert [queue for page in pages for queue in page["data"]] == list(raw.sandbox.queues)
    assert {page["totalRecord"] for page in pages} == {45}


@pytest.mark.parametrize(
    "params",
    [
        {"page": "-1"},
        {"page": "x"},
        {"page": ""},
        {"page": "1.0"},
        {"page": "9" * 19},
        {"size": "0"},
        {"size": "-5"},
        {"size": "٣"},
    ],
)
async def test_page_must_be_a_number(raw: Raw, params: dict[str, str]) -> None:
    """A page or size that is not a plain number gives 400."""
    reply = await raw.get(**params)
    assert reply.problem == (400, "INVALID_INPUT")
    assert next(iter(params)) in reply.json["error_message"]


async def test_unknown_parameters_are_ignored(raw: Raw) -> None:
    """A query parameter that the contract does not have changes nothing."""
    assert len((await raw.get(size=3, sort="name")).json["data"]) == 3


# Detail


async def test_detail_is_bare(raw: Raw) -> None:
    """A detail is the object without an envelope, the same as in the list."""
    assert (await raw.get(f"{LIST}/{raw.first_id}")).json == raw.sandbox.queues[0]


async def test_other_tenants_queue_is_not_found(raw: Raw) -> None:
    """Reading or updating another tenant's queue gives 404, and the queue does not change."""
    foreign = raw.sandbox.foreign_queue_id
    assert (await raw.get(f"{LIST}/{foreign}")).problem == (404, "NOT_FOUND")
    assert (await raw.put(foreign, {"strategy": 2})).problem == (404, "NOT_FOUND")
    key = raw.sandbox.add_key(tenant_id=raw.sandbox.foreign_tenant_id)
    reply = await raw.send("GET", f"{LIST}/{foreign}", headers={"X-Api-Key": key})
    assert "strategy" not in reply.json


@pytest.mark.parametrize("queue_id", ["1", "0", "-1", "abc", "1e6", "9" * 30, "1.0"])
async def test_unknown_id_is_not_found(raw: Raw, queue_id: str) -> None:
    """An id that no queue has, or that is not a number, gives 404. The request is counted."""
    reply = await raw.get(f"{LIST}/{queue_id}")
    assert reply.problem == (404, "NOT_FOUND")
    assert reply.limits.keys() == FOUR_HEADERS


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/queues"),
        ("GET", f"{LIST}/"),
        ("GET", f"{LIST}/1/2"),
        ("GET", f"/api/api{LIST}"),
        ("POST", LIST),
        ("PUT", LIST),
        ("DELETE", f"{LIST}/1001226"),
    ],
)
async def test_unknown_path_is_not_found(raw: Raw, method: str, path: str) -> None:
    """A path or method that the contract does not have gives 404. It has no route and is not counted."""
    reply = await raw.send(method, path)
    assert reply.problem == (404, "NOT_FOUND")
    assert reply.limits["X-RateLimit-Remaining-Tenant"] == "100"
    assert raw.sandbox.requests[0].route is None


# Update


@pytest.mark.parametrize(
    ("write_name", "read_name", "value"),
    [
        ("moh_file_id", "musicinQueue", "nhạc chờ.wav"),
        ("max_wait_sec", "timeWait", "0"),
        ("max_wait_sec", "timeWait", "7200"),
        ("strategy", "strategy", 1),
        ("strategy", "strategy", 99),
        ("announce_position", "nguongRanhRoi", "0"),
        ("announce_position", "nguongRanhRoi", "1"),
    ],
)
async def test_update_changes_the_read_field(raw: Raw, write_name: str, read_name: str, value: object) -> None:
    """Each write name changes the field of its read name and no other, and the response is the documented one."""
    before = dict(raw.sandbox.queues[0])
    reply = await raw.put(raw.first_id, {write_name: value})
    assert reply.status == 200
    assert reply.json == {
        "success": "1",
        "error_code": "SUCCESS",
        "error_message": "Inbound queue updated successfully",
    }
    assert (await raw.get(f"{LIST}/{raw.first_id}")).json == before | {read_name: value}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "",
        "{not json",
        "null",
        {"strategy": 5},
        {"strategy": "1"},
        {"strategy": 1.0},
        {"strategy": True},
        {"strategy": None},
        {"max_wait_sec": 180},
        {"max_wait_sec": "-1"},
        {"max_wait_sec": "3.5"},
        {"max_wait_sec": "12\n"},
        {"max_wait_sec": ""},
        {"max_wait_sec": None},
        {"announce_position": 1},
        {"announce_position": True},
        {"announce_position": "2"},
        {"moh_file_id": 3},
        {"moh_file_id": ""},
        {"moh_file_id": None},
        {"strategy": 1, "callinName": "x"},
        {"timeWait": "180"},
    ],
)
async def test_bad_update_is_invalid_and_changes_nothing(raw: Raw, body: object) -> None:
    """An empty update, a wrong type or value, null, an unknown field, or a body that is not an object gives 400."""
    before = dict(raw.sandbox.queues[0])
    reply = await raw.put(raw.first_id, body)
    assert reply.problem == (400, "INVALID_INPUT")
    assert raw.sandbox.queues[0] == before


async def test_bad_update_says_what_is_wrong(raw: Raw) -> None:
    """The message of a 400 is in Vietnamese and names the field."""
    reply = await raw.put(raw.first_id, {"strategy": 5})
    assert reply.json["error_message"] == "strategy phải là số nguyên trong tập {1,2,3,4,99}"


async def test_update_must_be_declared_as_json(raw: Raw) -> None:
    """A body of another content type is not read."""
    headers = {"X-Api-Key": raw.sandbox.api_key, "Content-Type": "text/plain"}
    reply = await raw.send("PUT", f"{LIST}/{raw.first_id}", headers=headers, body='{"strategy": 1}')
    assert reply.problem == (400, "INVALID_INPUT")


# Records


def test_seeded_queues_are_deterministic() -> None:
    """The same seed gives the same queues, whatever their number; another seed gives others."""
    assert Sandbox(queues=30).queues == Sandbox(queues=90).queues[:30]
    assert Sandbox(queues=30, seed=1).queues != Sandbox(queues=30).queues


def test_seeded_queues_look_real() -> None:
    """Seeded queues have the documented types, gaps between ids, nulls, leading zeros and diacritics."""
    queues = seed_queues(250)
    ids = [int(str(queue["callinId"])) for queue in queues]
    numbers = [str(queue["callinNumber"]) for queue in queues if queue["callinNumber"]]
    waits = [str(queue["timeWait"]) for queue in queues if queue["timeWait"]]
    assert ids[0] == 1001226
    assert ids == sorted(set(ids))
    assert ids[-1] - ids[0] > 250
    assert {queue["strategy"] for queue in queues} == {1, 2, 3, 4, 99, None}
    assert {queue["nguongRanhRoi"] for queue in queues} == {"0", "1", None}
    assert any(number.startswith("0") for number in numbers)
    assert all(text.isdigit() for text in numbers + waits)
    assert {None} < {queue["musicinQueue"] for queue in queues}
    assert not all(str(queue["callinName"]).isascii() for queue in queues)


async def test_given_queues_are_kept_as_they_are() -> None:
    """Queues given by wire name are served unchanged, however odd, and the caller's objects are not changed."""
    odd: list[dict[str, object]] = [
        {"callinId": 7, "new": [1]},
        {"callinId": "8"},
        {"callinName": None},
        {"callinId": 7, "x": 1},
    ]
    async with open_raw(queues=iter(odd)) as raw:
        assert (await raw.get()).json["data"] == odd
        assert (await raw.get(f"{LIST}/7")).json == odd[0]
        assert (await raw.get(f"{LIST}/8")).json == odd[1]
        assert (await raw.put(7, {"strategy": 2})).status == 200
        assert raw.sandbox.queues[0] == {"callinId": 7, "new": [1], "strategy": 2}
    assert odd[0] == {"callinId": 7, "new": [1]}


# Log


async def test_log_records_each_transmission(raw: Raw) -> None:
    """A record has method, path, route, query, headers, body, status, time and the requests left."""
    await raw.get(page=1, size=5)
    await raw.put(raw.first_id, {"strategy": 2})
    listed, updated = raw.sandbox.requests
    assert (listed.method, listed.path, listed.route) == ("GET", LIST, f"GET {LIST}")
    assert (dict(listed.query), listed.page, listed.json, listed.status) == ({"page": "1", "size": "5"}, 1, None, 200)
    assert listed.headers["x-API-key"] == raw.sandbox.api_key
    assert (listed.tenant_remaining, listed.route_remaining) == (99, 49)
    assert (updated.route, updated.json, updated.page) == (f"PUT {LIST}/{{id}}", {"strategy": 2}, None)
    assert (updated.tenant_remaining, updated.route_remaining) == (98, 49)
    assert listed.at <= updated.at <= asyncio.get_running_loop().time()


async def test_log_can_be_searched_and_cleared(raw: Raw) -> None:
    """Records are found by method, path or template, page and status. `clear` removes them."""
    await raw.get(page=1)
    await raw.get(f"{LIST}/{raw.first_id}")
    await raw.get(f"{LIST}/1")
    await raw.put(raw.first_id, {})
    find = raw.sandbox.requests.of
    assert len(find(method="get")) == 3
    assert len(find(path=f"{LIST}/{{id}}")) == 3
    assert len(find(path=f"/api{LIST}/{raw.first_id}")) == 2
    assert len(find(page=1)) == 1
    assert not find(page=0)
    assert [request.path for request in find(status=404)] == [f"{LIST}/1"]
    raw.sandbox.clear()
    assert raw.sandbox.requests == []


async def test_log_does_not_print_keys(raw: Raw) -> None:
    """The repr of a record shows the values of only a few harmless headers."""
    await raw.send("GET", LIST, headers={"X-Api-Key": raw.sandbox.api_key, "X-Secret": "hush", "Accept": "text/plain"})
    text = repr(raw.sandbox.requests)
    assert raw.sandbox.api_key not in text
    assert "hush" not in text
    assert "text/plain" in text
    assert raw.sandbox.api_key not in repr(raw.sandbox)


# Start and end


async def test_sandbox_restarts_with_its_records() -> None:
    """A closed sandbox has no address, can be closed again, and starts again with the same data."""
    sandbox = Sandbox(queues=3)
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.url
    await sandbox.close()
    await sandbox.start()
    with pytest.raises(RuntimeError, match="already running"):
        await sandbox.start()
    async with aiohttp.ClientSession() as session:
        assert (await Raw(sandbox, session).put(1001226, {"strategy": 99})).status == 200
    await sandbox.close()
    await sandbox.close()
    async with sandbox, aiohttp.ClientSession() as session:
        assert (await Raw(sandbox, session).get(f"{LIST}/1001226")).json["strategy"] == 99


async def test_port_can_be_chosen() -> None:
    """A given port is used. A port in use raises an OSError, and the sandbox stays closed."""
    async with Sandbox() as first:
        second = Sandbox(port=first.url.port or 0)
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
    async with second:
        assert str(second.url) == f"http://127.0.0.1:{second.port}"


@pytest.mark.parametrize("rounds", range(8))
def test_close_leaves_no_connection_open(rounds: int) -> None:
    """A connection is closed with the sandbox, at any point of its acceptance by asyncio."""

    async def close_during_accept(client: socket.socket) -> None:
        async with Sandbox(queues=1) as sandbox:
            client.connect((sandbox.url.host, sandbox.url.port))
            for _ in range(rounds):
                await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as caught, socket.socket() as client:
        warnings.simplefilter("always")
        asyncio.run(close_during_accept(client))
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("rounds", range(5))
async def test_cancelled_close_closes(rounds: int) -> None:
    """A close that is cancelled at any point can be repeated, and the port is free afterwards."""
    sandbox = Sandbox(queues=1)
    await sandbox.start()
    port = sandbox.url.port
    closing = asyncio.create_task(sandbox.close())
    for _ in range(rounds):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await sandbox.close()
    async with Sandbox(queues=1, port=port or 0):
        pass


# Client


@pytest.mark.parametrize("direct", [False, True])
async def test_client_uses_the_sandbox(raw: Raw, direct: bool) -> None:  # noqa: FBT001
    """client() has the key and the address of the gateway or the backend."""
    async with raw.sandbox.client(direct=direct) as client:
        queue = await client.queues.get_inbound(raw.first_id)
    assert queue.name == raw.sandbox.queues[0]["callinName"]
    request = raw.sandbox.requests[0]
    assert request.path == f"{'/api' if direct else ''}{LIST}/{raw.first_id}"
    assert ("Authorization" in request.headers, "X-Api-Key" in request.headers) == (direct, not direct)
    assert request.headers.get("X-Tenant-ID") == (None if direct else raw.sandbox.tenant_id)


async def test_options_of_the_client_win(raw: Raw) -> None:
    """Options of the client replace those of the sandbox."""
    key = raw.sandbox.add_key()
    async with raw.sandbox.client(api_key=key, tenant_id=None, user_agent="tests") as client:
        await client.queues.get_inbound(raw.first_id)
    headers = raw.sandbox.requests[0].headers
    assert (headers["X-Api-Key"], headers["User-Agent"], headers.get("X-Tenant-ID")) == (key, "tests", None)
