"""Requests of the SDK are valid by an OpenAPI description of the contract, over sockets."""

import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
import attrs
import pytest

from alohub_async import AlohubClient, Endpoint, InboundQueue, InboundQueueUpdate, KeyHeader, QueueStrategy
from tests.openapi import CheckingServer, check_description
from tests.support import LIST


@pytest.fixture(name="server")
async def _server() -> AsyncGenerator[CheckingServer]:
    async with CheckingServer() as server:
        yield server


def test_description_is_valid() -> None:
    """All schemas of the description are valid JSON Schema."""
    check_description()


Access = Callable[[CheckingServer], Endpoint]


def _gateway(server: CheckingServer) -> Endpoint:
    return Endpoint(server.url)


def _backend(server: CheckingServer) -> Endpoint:
    return Endpoint.direct(server.url)


WAYS: list[Access] = [_gateway, _backend]


async def _call_everything(client: AlohubClient) -> int:
    """Make every kind of call, and return the number of requests."""
    assert len(await client.queues.list_inbound().collect()) == 3
    assert len(await client.queues.list_inbound(page_size=1).collect()) == 3
    assert len([page async for page in client.queues.list_inbound(page_size=1).pages()]) == 3
    pager = client.queues.list_inbound(page_size=1)
    assert await pager.count() == 3
    assert await pager.first() is not None
    assert len(await client.queues.list_inbound(token=pager.token).collect()) == 2
    assert (await client.queues.get_inbound(1)).name == "test"
    await client.queues.get_inbound(10**18 - 1)
    await client.queues.update_inbound(1, strategy=2)
    await client.queues.update_inbound(1, InboundQueueUpdate(music_on_hold="a.wav"))
    await client.request("get", LIST)
    await client.request("GET", LIST, params={"page": 0, "size": "5"})
    await client.request("GET", f"{LIST}/7")
    await client.request("PUT", f"{LIST}/7", json={"announce_position": "1"})
    assert len(await client.paginate(LIST, page_size=1, model=InboundQueue).collect()) == 3
    assert len(await client.paginate(LIST, page_size=1, key="callinId").collect()) == 3
    # The server sends one record per page, so the first call sends page 0 twice; and each walk ends with an empty page.
    return 5 + 4 + 4 + 1 + 3 + 2 + 2 + 4 + 4 + 4


@pytest.mark.parametrize("access", WAYS)
@pytest.mark.parametrize("key_header", [None, "x-api-key", "authorization", "both"])
@pytest.mark.parametrize("tenant_id", [None, "20260310"])
async def test_every_call_is_valid_for_both_ways_of_access(
    server: CheckingServer, access: Access, key_header: KeyHeader | None, tenant_id: str | None
) -> None:
    """Lists, details, updates, `request` and `paginate` are valid, whichever headers carry key and tenant."""
    endpoint = access(server)
    if key_header is not None:
        endpoint = attrs.evolve(endpoint, key_header=key_header)
    async with AlohubClient(server.key, endpoint=endpoint, tenant_id=tenant_id) as client:
        requests = await _call_everything(client)
    assert server.refused == []
    assert len(server.accepted) == requests
    prefix = "/api" if access is _backend else ""
    assert all(path.startswith(f"{prefix}{LIST}") for _, path, _ in server.accepted)


FIELDS: Mapping[str, list[Any]] = {
    "music_on_hold": ["waiting.wav", "nhạc chờ tết.wav", 'a "b" & c.wav', "..wav", "x" * 300],
    "max_wait": [0, 1, 180, 10**12, timedelta(0), timedelta(hours=2)],
    "strategy": [*QueueStrategy, 1, 2, 3, 4, 99],
    "announce_position": [False, True],
}


@pytest.mark.parametrize("names", [names for n in range(1, 5) for names in itertools.combinations(FIELDS, n)])
async def test_every_update_is_valid(server: CheckingServer, names: tuple[str, ...]) -> None:
    """Every combination of fields gives a valid body, and each value occurs at least once."""
    async with AlohubClient(server.key, endpoint=Endpoint(server.url)) as client:
        most = max(len(FIELDS[name]) for name in names)
        for index in range(most):
            changes = {name: FIELDS[name][index % len(FIELDS[name])] for name in names}
            await client.queues.update_inbound(1001226, **changes)
            await client.queues.update_inbound(1001226, InboundQueueUpdate(**changes))
    assert server.refused == []
    assert len(server.accepted) == 2 * most


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "problem"),
    [
        ("GET", f"{LIST}?page=-1", {}, None, "query page"),
        ("GET", f"{LIST}?size=0", {}, None, "query size"),
        ("GET", f"{LIST}?size=True", {}, None, "query size"),
        ("GET", f"{LIST}?size=1.0", {}, None, "query size"),
        ("GET", f"{LIST}?limit=5", {}, None, "query limit is unknown"),
        ("GET", f"{LIST}?page=0&page=1", {}, None, "twice"),
        ("GET", f"{LIST}/x", {}, None, "path id"),
        ("GET", f"{LIST}/", {}, None, "path id"),
        ("GET", f"{LIST}/1/2", {}, None, "is not described"),
        ("DELETE", f"{LIST}/1", {}, None, "is not described"),
        ("GET", LIST, {"X-Other": "1"}, None, "header X-Other is unknown"),
        ("GET", LIST, {"X-Tenant-ID": "none"}, None, "header X-Tenant-ID"),
        ("GET", LIST, {"X-Api-Key": "Bearer sk_live_right"}, None, "not the bare key"),
        ("GET", LIST, {"X-Api-Key": ""}, None, "not the bare key"),
        ("GET", LIST, {}, "{}", "header Content-Type is unknown"),
        ("PUT", f"{LIST}/1", {}, "{}", "body"),
        ("PUT", f"{LIST}/1", {}, '{"max_wait_sec":5}', "body"),
        ("PUT", f"{LIST}/1", {}, '{"strategy":"1"}', "body"),
        ("PUT", f"{LIST}/1", {}, '{"strategy":5}', "body"),
        ("PUT", f"{LIST}/1", {}, '{"announce_position":true}', "body"),
        ("PUT", f"{LIST}/1", {}, '{"moh_file_id":null}', "body"),
        ("PUT", f"{LIST}/1", {}, '{"timeWait":"5"}', "body"),
        ("PUT", f"{LIST}/1", {}, "max_wait_sec=5", "not JSON"),
        ("PUT", f"{LIST}/1", {"Content-Type": "text/plain"}, '{"strategy":1}', "media type"),
    ],
)
async def test_server_refuses_what_is_not_described(
    server: CheckingServer, *, method: str, path: str, headers: dict[str, str], body: str | None, problem: str
) -> None:
    """A request with one violation is refused with that violation."""
    sent = {"X-Api-Key": server.key, **({} if body is None else {"Content-Type": "application/json"}), **headers}
    async with (
        aiohttp.ClientSession(str(server.url)) as session,
        session.request(method, path, headers=sent, data=body) as response,
    ):
        assert response.status == 400
    [problems] = server.refused
    assert problem in "; ".join(problems)


async def test_server_requires_a_key(server: CheckingServer) -> None:
    """A request without a key header is refused."""
    async with aiohttp.ClientSession(str(server.url)) as session, session.get(LIST) as response:
        assert response.status == 400
    assert server.refused == [["no key"]]
