"""`audit_inbound` against the sandbox."""

from collections import Counter

import pytest

from alohub_async import (
    AlohubClient,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    InternalServerError,
    RetryPolicy,
)
from alohub_async.audit import AuditReport, Severity, audit_inbound
from alohub_async.testing import Delay, JsonAnswer, Sandbox, Status
from tests.audit.support import record
from tests.support import FIRST, LIST, queue

ONCE = RetryPolicy(max_retries=0)


def records(*changes: dict[str, object]) -> list[dict[str, object]]:
    """Sound queues with ids from the first, names and numbers of their own, and these changes."""
    return [
        record(**{"callinId": FIRST + n, "callinName": f"Hàng chờ {n}", "callinNumber": f"1900{n:04}", **changed})
        for n, changed in enumerate(changes)
    ]


def told(report: AuditReport) -> list[tuple[str, int | None]]:
    """Rule and queue of each finding."""
    return [(finding.rule, finding.queue_id) for finding in report.findings]


async def test_every_queue_is_listed_and_looked_up() -> None:
    """Each queue of each page has its listed record and its detail, once, in the list's order."""
    async with Sandbox(queues=45) as sandbox, sandbox.client() as client:
        report = await audit_inbound(client, page_size=10)
        ids = [int(str(each["callinId"])) for each in sandbox.queues]
        assert [each.listed.id for each in report.audited.queues] == ids
        assert all(each.detail == each.listed for each in report.audited.queues)
        asked = Counter(request.path for request in sandbox.requests)
        assert asked == {LIST: 5, **{f"{LIST}/{queue_id}": 1 for queue_id in ids}}
    assert report.complete
    assert report.audited.total == 45
    assert report.started.tzinfo is not None


async def test_the_list_alone(client: AlohubClient, sandbox: Sandbox) -> None:
    """Without details only the list is asked for."""
    report = await audit_inbound(client, details=False)
    assert len(report.audited.queues) == 25
    assert {request.path for request in sandbox.requests} == {LIST}
    assert all(each.detail is None for each in report.audited.queues)
    assert report.complete


async def test_an_empty_list() -> None:
    """No queues, no findings."""
    async with Sandbox(queues=0) as sandbox, sandbox.client() as client:
        report = await audit_inbound(client)
    assert (report.findings, report.audited.queues, report.complete) == ((), (), True)


async def test_details_that_differ_are_gone_or_fail() -> None:
    """What comes of each detail is a finding of its own; the audit goes on."""
    queues = records({}, {}, {}, {})
    async with Sandbox(queues=queues) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(JsonAnswer({**queues[0], "timeWait": "90"}), path=f"{LIST}/{FIRST}")
        sandbox.fail(Status(404), path=f"{LIST}/{FIRST + 1}")
        sandbox.fail(Status(500), path=f"{LIST}/{FIRST + 2}")
        report = await audit_inbound(client)
    assert told(report) == [("detail-failed", FIRST + 2), ("gone", FIRST + 1), ("detail-differs", FIRST)]
    assert report.audited.complete
    assert not report.complete


async def test_no_detail_at_all() -> None:
    """When every lookup fails, there was no audit: the first error is raised."""
    async with Sandbox(queues=records({}, {})) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(Status(500), next=2, path=f"{LIST}/{FIRST}")
        sandbox.fail(Status(500), next=2, path=f"{LIST}/{FIRST + 1}")
        with pytest.raises(InternalServerError):
            await audit_inbound(client)


async def test_a_page_that_fails() -> None:
    """A list that cannot be walked to its end raises, and nothing is left behind."""
    async with Sandbox(queues=30) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(Status(500), page=2)
        with pytest.raises(InternalServerError):
            await audit_inbound(client, page_size=10)


async def test_a_wrong_key() -> None:
    """A wrong key raises."""
    async with Sandbox(queues=3) as sandbox, AlohubClient("sk_live_wrong", endpoint=str(sandbox.url)) as client:
        with pytest.raises(AuthenticationError):
            await audit_inbound(client)


async def test_a_list_that_moves() -> None:
    """A list that is seen to move is a finding of the worst severity."""
    async with Sandbox(queues=30) as sandbox, sandbox.client() as client:
        sandbox.insert_queue(after_page=0)
        report = await audit_inbound(client, page_size=10)
    assert ("incomplete-list", None) in told(report)
    assert report.findings[0].severity is Severity.ERROR
    assert not report.complete


async def test_repair() -> None:
    """With `consistency="repair"` such a list is walked until it is proven whole."""
    async with Sandbox(queues=30) as sandbox, sandbox.client() as client:
        sandbox.insert_queue(after_page=0)
        report = await audit_inbound(client, page_size=10, consistency="repair")
        assert len(report.audited.queues) == len(sandbox.queues) == 31
    assert report.audited.drift.settled


async def test_queues_without_an_id() -> None:
    """A queue whose id does not fit is audited as it is listed."""
    queues = [queue(callinId="x"), queue(callinId=None), *records({})]
    async with Sandbox(queues=queues) as sandbox, sandbox.client() as client:
        report = await audit_inbound(client)
    assert [(finding.rule, finding.field) for finding in report.findings if finding.severity is Severity.ERROR] == [
        ("unfit-value", "id"),
        ("unfit-value", "id"),
    ]
    assert [each.detail is None for each in report.audited.queues] == [True, True, False]


async def test_the_configuration_comes_first(client: AlohubClient, sandbox: Sandbox) -> None:
    """A configuration that does not fit is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="no rule 'nope'"):
        await audit_inbound(client, config={"nope": False})
    assert sandbox.requests == []


async def test_rules_and_configuration(client: AlohubClient) -> None:
    """Only the rules that are on run."""
    off = {rule.id: False for rule in (await audit_inbound(client)).rules if rule.id != "long-wait"}
    report = await audit_inbound(client, config={**off, "long-wait": {"seconds": 0}})
    assert [rule.id for rule in report.rules] == ["long-wait"]
    assert report.findings
    assert {finding.rule for finding in report.findings} == {"long-wait"}


async def test_progress(client: AlohubClient) -> None:
    """Progress is told for every queue, up to all of them."""
    for details in (True, False):
        steps: list[int] = []
        totals: list[int | None] = []

        def note(done: int, total: int | None, steps: list[int] = steps, totals: list[int | None] = totals) -> None:
            steps.append(done)
            totals.append(total)

        await audit_inbound(client, details=details, progress=note)
        assert (steps, totals) == ([*range(1, 26)], [25] * 25)


@pytest.mark.looptime
async def test_the_deadline() -> None:
    """Details that do not come in time end the audit."""
    async with Sandbox(queues=30, latency=1) as sandbox, sandbox.client() as client:
        with pytest.raises(DeadlineExceededError):
            await audit_inbound(client, deadline=3, concurrency=2)
        sandbox.fail(Delay(60), page=0)
        with pytest.raises(DeadlineExceededError):
            await audit_inbound(client, deadline=3, details=False)


@pytest.mark.looptime
async def test_lookups_overlap_the_walk() -> None:
    """Details are looked up while later pages are on their way, and the walk runs no further ahead than it may."""
    async with Sandbox(queues=400, latency=0.1, tenant_limit=None, route_limit=None) as sandbox:
        async with sandbox.client() as client:
            await audit_inbound(client, page_size=10, concurrency=4)
        paths = [request.path for request in sandbox.requests]
        first_detail = next(index for index, path in enumerate(paths) if path != LIST)
        last_page = max(index for index, path in enumerate(paths) if path == LIST)
        assert first_detail < 10
        assert last_page > len(paths) * 0.8
