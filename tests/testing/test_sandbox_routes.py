"""The sandbox's table of routes, to which another resource can be added."""

from typing import Any

import pytest

from alohub_async import AlohubClient, NotFoundError
from alohub_async.testing import Requests, Sandbox, SandboxSettings
from alohub_async.testing.data import RecordTable
from alohub_async.testing.routes import ROUTES, record_routes
from alohub_async.testing.server import Server
from alohub_async.testing.service import KeyGrant, Service
from tests.testing.raw import open_raw

AGENTS = "/v1/agents"
CAMPAIGNS = "/v1/campaigns"


def _read_team(body: object) -> dict[str, object] | str:
    return {"teamName": body["team_name"]} if isinstance(body, dict) else "not an object"


async def test_resource_added_to_the_table_is_listed_got_and_updated() -> None:
    """The routes of an added resource have limits, scopes, faults and a log, like all others."""
    teams = RecordTable([{"teamId": n, "teamName": f"Nguyễn {n}"} for n in range(1, 26)], id_field="teamId")
    routes = record_routes("/v1/teams", scope="team", table_of=lambda _: teams, read_changes=_read_team)
    settings = SandboxSettings()
    service = Service(settings, {settings.tenant_id: RecordTable([])}, routes=(*ROUTES, *routes))
    service.keys["sk_live_teams"] = KeyGrant(settings.tenant_id, frozenset({"team"}))
    server = Server(service)
    await server.start("127.0.0.1", 0)
    try:
        async with AlohubClient("sk_live_teams", endpoint=str(server.url)) as client:
            found = await client.paginate("/v1/teams", key="teamId", page_size=10).collect()
            assert [team["teamId"] for team in found] == [*range(1, 26)]
            assert (await client.request("GET", "/v1/teams/7")).payload == teams.rows[6]
            await client.request("PUT", "/v1/teams/7", json={"team_name": "Trần"})
            assert teams.rows[6]["teamName"] == "Trần"
            with pytest.raises(NotFoundError):
                await client.request("GET", "/v1/teams/99")
            assert {*client.rate_limits.routes} == {"GET /v1/teams", "GET /v1/teams/{id}", "PUT /v1/teams/{id}"}
    finally:
        await server.close()
    logged = Requests(service.log.values())
    assert [request.page for request in logged] == [0, 1, 2, None, None, None]
    assert {request.route for request in logged} == {str(route) for route in routes}


def test_table_finds_a_route_by_method_and_path() -> None:
    """A route is found with or without the backend's prefix; an unknown pair of method and path has none."""
    service = Service(SandboxSettings(), {})
    found = service.find("GET", "/api/v1/queues/inbound/7")
    assert str(found) == "GET /v1/queues/inbound/{id}"
    for method, path in (("DELETE", "/v1/queues/inbound/7"), ("GET", "/v1/queues/inbound/7/8"), ("GET", "/v1/queues")):
        assert service.find(method, path) is None


# Other lists


async def test_agents_are_filtered_and_counted() -> None:
    """The total of a queue's active agents is how many it has. A key without the scope does not see it."""
    async with open_raw(queues=9) as raw:
        agents = raw.sandbox.records("agents")
        served = [{agent["queueId"] for agent in agents if agent["status"] == status} for status in (0, 1)]
        assert all(served)
        for queue in raw.sandbox.queues:
            queue_id = int(str(queue["callinId"]))
            of_queue = [agent for agent in agents if agent["queueId"] == queue_id]
            assert (await raw.get(AGENTS, queue_id=queue_id)).json["data"] == of_queue
            for status in (0, 1):
                found = (await raw.get(AGENTS, queue_id=queue_id, status=status, size=1)).json
                assert found["totalRecord"] == [agent["status"] for agent in of_queue].count(status)
                assert len(found["data"]) == min(1, found["totalRecord"])
        agents[:] = [{"agentId": 1, "queueId": raw.first_id, "status": 1}]
        assert (await raw.get(AGENTS)).json["totalRecord"] == 1
        assert (await raw.get(AGENTS, queue_id=raw.first_id, status=1)).json["totalRecord"] == 1
        key = raw.sandbox.add_key(scopes={"queue"})
        assert (await raw.send("GET", AGENTS, headers={"X-Api-Key": key})).status == 403
        key = raw.sandbox.add_key(scopes={"agent"}, tenant_id=raw.sandbox.foreign_tenant_id)
        assert (await raw.send("GET", AGENTS, headers={"X-Api-Key": key})).json["data"] != agents


@pytest.mark.parametrize(
    "query", [{"status": 2}, {"status": "active"}, {"queue_id": "x"}, {"team_id": ""}, {"page": -1}]
)
async def test_wrong_filter_of_agents_is_invalid(query: dict[str, Any]) -> None:
    """A filter that is no number gives 400."""
    async with open_raw(queues=3) as raw:
        assert (await raw.get(AGENTS, **query)).problem == (400, "INVALID_INPUT")


async def test_list_may_call_the_size_limit_and_need_a_parameter() -> None:
    """`GET /v1/campaigns` pages from 0 with `limit`, and requires `userName`."""
    async with open_raw() as raw:
        pages = [(await raw.get(CAMPAIGNS, userName="an", limit=50, page=page)).json["data"] for page in range(3)]
        assert [len(page) for page in pages] == [50, 50, 25]
        assert pages[0] + pages[1] + pages[2] == raw.sandbox.records("campaigns")
        assert len((await raw.get(CAMPAIGNS, userName="an")).json["data"]) == 20
        assert (await raw.get(CAMPAIGNS)).problem == (400, "INVALID_INPUT")
        assert (await raw.get(CAMPAIGNS, userName="an", limit=0)).problem == (400, "INVALID_INPUT")
        assert [request.page for request in raw.sandbox.requests.of(path=CAMPAIGNS, page=2)] == [2]


async def test_list_may_be_a_post_whose_pages_count_from_1() -> None:
    """Page and limit are in a JSON body; the log and the faults have them, too."""
    path = "/v1/reports/call-logs"
    async with open_raw() as raw:
        bodies = [{"page": page, "limit": 100} for page in (1, 2, 3)]
        pages = [(await raw.send("POST", path, body=body)).json for body in bodies]
        assert [len(page["data"]) for page in pages] == [100, 25, 0]
        assert pages[0]["data"] + pages[1]["data"] == raw.sandbox.records("calls")
        assert {page["totalRecord"] for page in pages} == {125}
        assert len((await raw.send("POST", path, body={})).json["data"]) == 50
        assert [request.page for request in raw.sandbox.requests] == [1, 2, 3, 1]
        raw.sandbox.fail(status=500, path=path, page=2)
        statuses = [(await raw.send("POST", path, body={"page": page})).status for page in (1, 2, 2)]
        assert statuses == [200, 500, 200]
        wrong: list[Any] = [None, [], {"page": 0}, {"page": "x"}, {"page": True}, {"limit": 0}, {"limit": -1}]
        for body in wrong:
            assert (await raw.send("POST", path, body=body)).problem == (400, "INVALID_INPUT")


def test_other_records_are_the_same_for_the_same_seed() -> None:
    """Another seed gives other ones."""
    for name in ("agents", "calls"):
        one, same, other = (Sandbox(queues=30, seed=seed).records(name) for seed in (1, 1, 2))
        assert one == same != other
