"""A resource is made from a declaration: here agents, of which the package knows nothing."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from alohub_async import (
    UNSET,
    AlohubClient,
    ConflictError,
    InvalidArgumentError,
    OpenIntEnum,
    Record,
    RecordUpdate,
    Resource,
    ResourceSpec,
    UnsetType,
)
from alohub_async.export import export_resource
from tests.support import RawServer, Step, http


class Level(OpenIntEnum):
    """How much an agent may see."""

    AGENT = 1
    ADMIN = 2


@attrs.frozen
class Agent(Record):
    """An agent."""

    id: int = attrs.field(metadata={"wire": "agentId", "minimum": 1})
    name: str = attrs.field(metadata={"wire": "agentName"})
    level: Level | None = attrs.field(default=None, metadata={"wire": "level"})
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


@attrs.frozen(kw_only=True)
class AgentUpdate(RecordUpdate):
    """What may be changed about an agent."""

    name: str | UnsetType = attrs.field(default=UNSET, metadata={"wire": "agent_name"})
    level: Level | UnsetType = attrs.field(default=UNSET, metadata={"wire": "level", "encode": int})


AGENTS = ResourceSpec(name="agent", path="/v1/agents", record=Agent, update=AgentUpdate)


class Client(AlohubClient):
    """A client that knows agents."""

    @property
    def agents(self) -> Resource[Agent, AgentUpdate]:
        """The agents."""
        return self.resource(AGENTS)


@attrs.define
class AgentServer:
    """A small server of agents."""

    rows: dict[int, dict[str, Any]] = attrs.field(
        factory=lambda: {n: {"agentId": n, "agentName": f"Nguyễn {n}", "level": n % 4} for n in range(1, 26)}
    )

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        """Answer one request as the API would."""
        path, _, query = target.partition("?")
        assert path.startswith("/v1/agents")
        if path == "/v1/agents":
            page, size = (int(value.partition("=")[2]) for value in query.split("&"))
            rows = [*self.rows.values()][page * size : (page + 1) * size]
            return http({"success": "1", "totalRecord": len(self.rows), "data": rows})
        row = self.rows.get(int(path.rpartition("/")[2]))
        if row is None:
            return http({"success": "0", "error_code": "NOT_FOUND"}, status=404)
        if method == "PUT":
            names = {"agent_name": "agentName", "level": "level"}
            row.update({names[name]: value for name, value in json.loads(body).items()})
            return http({"success": "1", "error_message": "ok"})
        return http(row)


@pytest.fixture(name="server")
async def _server() -> Any:
    agents = AgentServer()

    def steps(number: int) -> list[Step]:
        request = server.requests[number - 1]
        return [agents.answer(request.method, request.target, request.body)]

    async with RawServer(steps) as server:
        yield server


@pytest.fixture(name="agents")
async def _agents(server: RawServer) -> Any:
    async with Client("sk_live_x", endpoint=server.url) as client:
        yield client.agents


async def test_declared_resource_is_listed(agents: Resource[Agent, AgentUpdate]) -> None:
    """Page by page, with its own type; a number that the enum does not know survives."""
    found = await agents.list(page_size=10).collect()
    assert [agent.id for agent in found] == [*range(1, 26)]
    assert (found[0].level, found[0].name) == (Level.AGENT, "Nguyễn 1")
    assert found[2].level == 3
    assert not Level(3).is_known
    assert type(found[2]) is Agent
    assert await agents.list(page_size=10, details=True, consistency="repair").collect() == found


async def test_declared_resource_is_got_and_updated(agents: Resource[Agent, AgentUpdate], server: RawServer) -> None:
    """One or many; the body has the write names and forms of the declaration."""
    result = await agents.update(7, AgentUpdate(name="Trần", level=Level.ADMIN))
    assert (result.id, result.message) == (7, "ok")
    assert json.loads(server.requests[-1].body) == {"agent_name": "Trần", "level": 2}
    assert await agents.get(7) == Agent(7, "Trần", Level.ADMIN)
    assert {outcome.id async for outcome in agents.get_many([1, 2, 99]) if outcome.ok} == {1, 2}
    outcomes = await agents.update_many({1: AgentUpdate(name="a"), 2: AgentUpdate()}, ordered=True).collect()
    assert [(outcome.id, outcome.ok) for outcome in outcomes] == [(1, True), (2, False)]
    with pytest.raises(InvalidArgumentError, match="agent_id must be 1 or more"):
        await agents.get(0)


async def test_declared_resource_is_edited(agents: Resource[Agent, AgentUpdate]) -> None:
    """Only what differs is sent, and a conflict names the agent."""
    seen = await agents.get(3)
    edit = await agents.edit(3, AgentUpdate(name="Lê", level=seen.level or UNSET), expect=seen)
    assert (edit.changed, edit.after.name) == (("name",), "Lê")
    with pytest.raises(ConflictError, match="agent 3 is not as expected"):
        await agents.edit(3, AgentUpdate(name="Lý"), expect=seen)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
async def test_declared_resource_is_exported(server: RawServer, tmp_path: Path, ending: str) -> None:
    """The file has its columns, and is proven complete."""
    async with Client("sk_live_x", endpoint=server.url) as client:
        report = await export_resource(client, client.agents, tmp_path / f"agents.{ending}", page_size=10)
    assert (report.complete, report.written) == (True, 25)
