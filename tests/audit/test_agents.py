"""Counting the active agents of each queue, and what the audit finds."""

import pytest

from alohub_async import AlohubClient, DeadlineExceededError, RetryPolicy
from alohub_async.audit import AuditReport, audit_inbound
from alohub_async.testing import Delay, Sandbox, Status

AGENTS = "/v1/agents"
RULES = {"no-agents", "agents-not-counted"}


def found(report: AuditReport) -> list[tuple[str, int | None, str]]:
    """The findings about agents."""
    return [(each.rule, each.queue_id, each.message) for each in report.findings if each.rule in RULES]


@pytest.mark.parametrize("details", [True, False])
async def test_queue_without_active_agents_is_found(client: AlohubClient, sandbox: Sandbox, *, details: bool) -> None:
    """One request for each queue counts its active agents, with or without details."""
    ids = [int(str(queue["callinId"])) for queue in sandbox.queues]
    served: list[dict[str, object]] = [
        {"agentId": n, "queueId": queue_id, "status": 1} for n, queue_id in enumerate(ids[2:])
    ]
    sandbox.records("agents")[:] = [*served, {"agentId": 99, "queueId": ids[1], "status": 0}]
    report = await audit_inbound(client, agents=True, details=details)
    assert found(report) == [("no-agents", queue_id, "no active agent") for queue_id in ids[:2]]
    assert [queue.agents for queue in report.audited.queues] == [0, 0, *[1] * len(ids[2:])]
    assert all((queue.detail is not None) is details for queue in report.audited.queues)
    asked = [request.query for request in sandbox.requests.of(path=AGENTS)]
    assert sorted(int(query["queue_id"]) for query in asked) == ids
    assert {(query["status"], query["page"], query["size"]) for query in asked} == {("1", "0", "1")}


async def test_agents_are_not_counted_by_default(client: AlohubClient, sandbox: Sandbox) -> None:
    """Then there is no request and no rule for it."""
    sandbox.records("agents").clear()
    report = await audit_inbound(client)
    assert found(report) == []
    assert not RULES & {rule.id for rule in report.rules}
    assert len(sandbox.requests.of(path=AGENTS)) == 0


async def test_missing_scope_is_one_finding(sandbox: Sandbox) -> None:
    """The audit goes on without the agents, and asks no more for them."""
    key = sandbox.add_key(scopes={"queue"})
    async with sandbox.client(api_key=key) as client:
        report = await audit_inbound(client, agents=True, concurrency=1)
    ((rule, queue_id, message),) = found(report)
    assert (rule, queue_id) == ("agents-not-counted", None)
    assert message.startswith("counting the agents of all queues failed: ")
    assert message.endswith("; ask for a key with the scope 'agent'")
    assert all(queue.detail is not None for queue in report.audited.queues)
    assert len(sandbox.requests.of(path=AGENTS)) == 1


async def test_many_missing_scopes_at_once_are_one_finding(sandbox: Sandbox) -> None:
    """Also if several requests were in flight."""
    key = sandbox.add_key(scopes={"queue"})
    async with sandbox.client(api_key=key) as client:
        assert len(found(await audit_inbound(client, agents=True))) == 1


async def test_failures_are_one_finding(sandbox: Sandbox) -> None:
    """A failure concerns only the agents of its queue."""
    sandbox.fail(Status(500), path=AGENTS, next=2)
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        report = await audit_inbound(client, agents=True)
    messages = [message for rule, _, message in found(report) if rule == "agents-not-counted"]
    assert len(messages) == 1
    assert messages[0].startswith("counting the agents of 2 queues failed: ")
    assert [queue.agents for queue in report.audited.queues].count(None) == 2
    assert report.complete


async def test_deadline_covers_agents(client: AlohubClient, sandbox: Sandbox) -> None:
    """The deadline ends the audit, not the count of one queue."""
    sandbox.fail(Delay(60), path=AGENTS, next=None)
    with pytest.raises(DeadlineExceededError):
        await audit_inbound(client, agents=True, deadline=0.2)
