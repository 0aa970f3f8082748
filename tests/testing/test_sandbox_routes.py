"""The sandbox's table of routes, to which another resource can be added."""

import random

import pytest

from alohub_async import AlohubClient, NotFoundError
from alohub_async.testing import Requests, SandboxSettings
from alohub_async.testing.data import RecordTable
from alohub_async.testing.routes import ROUTES, find_route, record_routes
from alohub_async.testing.server import Server
from alohub_async.testing.service import KeyGrant, Service


def _read_agent(body: object) -> dict[str, object] | str:
    return {"agentName": body["agent_name"]} if isinstance(body, dict) else "not an object"


async def test_resource_added_to_the_table_is_listed_got_and_updated() -> None:
    """The routes of an added resource have limits, scopes, faults and a log, like all others."""
    agents = RecordTable([{"agentId": n, "agentName": f"Nguyễn {n}"} for n in range(1, 26)], id_field="agentId")
    routes = record_routes("/v1/agents", scope="agent", table_of=lambda _: agents, read_changes=_read_agent)
    settings = SandboxSettings()
    service = Service(settings, {settings.tenant_id: RecordTable([])}, routes=(*ROUTES, *routes))
    service.keys["sk_live_agents"] = KeyGrant(settings.tenant_id, frozenset({"agent"}))
    server = Server(service, random.Random(0))
    await server.start("127.0.0.1", 0)
    try:
        async with AlohubClient("sk_live_agents", endpoint=str(server.url)) as client:
            found = await client.paginate("/v1/agents", key="agentId", page_size=10).collect()
            assert [agent["agentId"] for agent in found] == [*range(1, 26)]
            assert (await client.request("GET", "/v1/agents/7")).payload == agents.rows[6]
            await client.request("PUT", "/v1/agents/7", json={"agent_name": "Trần"})
            assert agents.rows[6]["agentName"] == "Trần"
            with pytest.raises(NotFoundError):
                await client.request("GET", "/v1/agents/99")
            assert {*client.rate_limits.routes} == {"GET /v1/agents", "GET /v1/agents/{id}", "PUT /v1/agents/{id}"}
    finally:
        await server.close()
    logged = Requests(service.log.values())
    assert [request.page for request in logged] == [0, 1, 2, None, None, None]
    assert {request.route for request in logged} == {str(route) for route in routes}


def test_table_finds_a_route_by_method_and_path() -> None:
    """A route is found with or without the backend's prefix; an unknown pair of method and path has none."""
    found = find_route(ROUTES, "GET", "/api/v1/queues/inbound/7")
    assert str(found) == "GET /v1/queues/inbound/{id}"
    for method, path in (("DELETE", "/v1/queues/inbound/7"), ("GET", "/v1/queues/inbound/7/8"), ("GET", "/v1/queues")):
        assert find_route(ROUTES, method, path) is None
