"""`audit_inbound` against the sandbox."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alohub_async import (
    AlohubClient,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    InternalServerError,
    InvalidArgumentError,
    RetryPolicy,
)
from alohub_async.audit import DEFAULT_RULES, AuditProgress, AuditReport, Severity, audit_inbound
from alohub_async.testing import BadJson, Delay, DropConnection, Fault, HtmlPage, JsonAnswer, Sandbox, Status
from tests.audit.support import record
from tests.support import FIRST, LIST, queue, until

ONCE = RetryPolicy(max_retries=0)


def records(*changes: dict[str, object]) -> list[dict[str, object]]:
    """Queues without findings, with different ids, names and numbers, apart from these changes."""
    return [
        record(**{"callinId": FIRST + n, "callinName": f"Hàng chờ {n}", "callinNumber": f"1900{n:04}", **changed})
        for n, changed in enumerate(changes)
    ]


def summary(report: AuditReport) -> list[tuple[str, int | None]]:
    """The rule and the queue of each finding."""
    return [(finding.rule, finding.queue_id) for finding in report.findings]


async def test_every_queue_has_its_listed_record_and_its_detail() -> None:
    """The report has every queue of every page once, in the order of the list."""
    async with Sandbox(queues=45) as sandbox, sandbox.client() as client:
        report = await audit_inbound(client, page_size=10)
        ids = [int(str(each["callinId"])) for each in sandbox.queues]
        assert [each.listed.id for each in report.audited.queues] == ids
        assert all(each.detail == each.listed for each in report.audited.queues)
        requested = Counter(request.path for request in sandbox.requests)
        assert requested == {LIST: 5, **{f"{LIST}/{queue_id}": 1 for queue_id in ids}}
    assert report.complete
    assert report.audited.total == 45
    assert report.started.tzinfo is not None


async def test_no_details(client: AlohubClient, sandbox: Sandbox) -> None:
    """Without details only the list is requested."""
    report = await audit_inbound(client, details=False)
    assert len(report.audited.queues) == 25
    assert {request.path for request in sandbox.requests} == {LIST}
    assert all(each.detail is None for each in report.audited.queues)
    assert report.complete


async def test_an_empty_list() -> None:
    """Without queues there are no findings."""
    async with Sandbox(queues=0) as sandbox, sandbox.client() as client:
        report = await audit_inbound(client)
    assert (report.findings, report.audited.queues, report.complete) == ((), (), True)


async def test_details_that_differ_are_gone_or_fail() -> None:
    """Each of these outcomes has its own rule, and the audit continues."""
    queues = records({}, {}, {}, {})
    async with Sandbox(queues=queues) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(JsonAnswer({**queues[0], "timeWait": "90"}), path=f"{LIST}/{FIRST}")
        sandbox.fail(Status(404), path=f"{LIST}/{FIRST + 1}")
        sandbox.fail(Status(500), path=f"{LIST}/{FIRST + 2}")
        report = await audit_inbound(client)
    assert summary(report) == [("detail-failed", FIRST + 2), ("gone", FIRST + 1), ("detail-differs", FIRST)]
    assert report.audited.complete
    assert not report.complete


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "fault", [Status(403), Status(500), Status(429), HtmlPage(200), DropConnection(), JsonAnswer([1]), BadJson()]
)
async def test_one_bad_detail_costs_itself_alone(fault: Fault, *, strict: bool) -> None:
    """It is a finding; every other queue has its details."""
    async with Sandbox(queues=records({}, {}, {})) as sandbox, sandbox.client(retry=ONCE, strict=strict) as client:
        sandbox.fail(fault, path=f"{LIST}/{FIRST + 1}", next=None)
        report = await audit_inbound(client)
    assert summary(report) == [("detail-failed", FIRST + 1)]
    assert [each.detail is None for each in report.audited.queues] == [False, True, False]
    assert not report.complete


async def test_a_revoked_key_ends_the_audit() -> None:
    """No further details are requested."""
    async with Sandbox(queues=200) as sandbox, sandbox.client() as client:
        sandbox.fail(Status(401), path=f"{LIST}/{FIRST}", next=None)
        with pytest.raises(AuthenticationError):
            await audit_inbound(client, concurrency=2)
        assert len(sandbox.requests) < 20


async def test_all_details_fail() -> None:
    """If every request for details fails, the first error is raised."""
    async with Sandbox(queues=records({}, {})) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(Status(500), next=2, path=f"{LIST}/{FIRST}")
        sandbox.fail(Status(500), next=2, path=f"{LIST}/{FIRST + 1}")
        with pytest.raises(InternalServerError):
            await audit_inbound(client)


async def test_a_page_that_fails() -> None:
    """If a page fails, the error is raised and no task is left running."""
    async with Sandbox(queues=30) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(Status(500), page=2)
        with pytest.raises(InternalServerError):
            await audit_inbound(client, page_size=10)


async def test_a_wrong_key() -> None:
    """A wrong key raises an error."""
    async with Sandbox(queues=3) as sandbox, AlohubClient("sk_live_wrong", endpoint=str(sandbox.url)) as client:
        with pytest.raises(AuthenticationError):
            await audit_inbound(client)


async def test_a_list_that_changes() -> None:
    """A list that changes during the walk is a finding of the highest severity."""
    async with Sandbox(queues=30) as sandbox, sandbox.client() as client:
        sandbox.insert_queue(after_page=0)
        report = await audit_inbound(client, page_size=10)
    assert ("incomplete-list", None) in summary(report)
    assert report.findings[0].severity is Severity.ERROR
    assert not report.complete


async def test_repair() -> None:
    """With `consistency="repair"` the list is walked until it is proven complete."""
    async with Sandbox(queues=30) as sandbox, sandbox.client() as client:
        sandbox.insert_queue(after_page=0)
        report = await audit_inbound(client, page_size=10, consistency="repair")
        assert len(report.audited.queues) == len(sandbox.queues) == 31
    assert report.audited.drift.settled


async def test_queues_without_an_id() -> None:
    """The listed record of a queue without a valid id is audited."""
    queues = [queue(callinId="x"), queue(callinId=None), *records({})]
    async with Sandbox(queues=queues) as sandbox, sandbox.client() as client:
        report = await audit_inbound(client)
    assert [(finding.rule, finding.field) for finding in report.findings if finding.severity is Severity.ERROR] == [
        ("unfit-value", "id"),
        ("unfit-value", "id"),
    ]
    assert [each.detail is None for each in report.audited.queues] == [True, True, False]


async def test_invalid_settings(client: AlohubClient, sandbox: Sandbox) -> None:
    """Invalid settings are refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="no rule 'nope'"):
        await audit_inbound(client, config={"nope": False})
    assert sandbox.requests == []


async def test_settings(client: AlohubClient) -> None:
    """Only the enabled rules run."""
    off = {rule.id: False for rule in (await audit_inbound(client)).rules if rule.id != "long-wait"}
    report = await audit_inbound(client, config={**off, "long-wait": {"seconds": 0}})
    assert [rule.id for rule in report.rules] == ["long-wait"]
    assert report.findings
    assert {finding.rule for finding in report.findings} == {"long-wait"}


@pytest.mark.parametrize("details", [True, False])
@pytest.mark.parametrize("prefetch", [0, 4])
async def test_progress(client: AlohubClient, prefetch: int, *, details: bool) -> None:
    """It is reported at the beginning and for every queue; the total is known from the first queue on."""
    noted: list[AuditProgress] = []
    await audit_inbound(client, details=details, on_progress=noted.append, page_size=10, prefetch=prefetch)
    assert [each.done for each in noted] == [*range(26)]
    assert [each.total for each in noted] == [None, *[25] * 25]
    assert all(each.rate > 0 and each.limit == 100 for each in noted[1:])
    assert [each.seconds for each in noted] == sorted(each.seconds for each in noted)


async def test_an_error_of_the_progress_callback_ends_the_audit(client: AlohubClient) -> None:
    """It is raised as it is, and nothing is left running."""

    def refuse(now: AuditProgress) -> None:
        if now.done == 3:
            raise LookupError(now.done)

    with pytest.raises(LookupError):
        await audit_inbound(client, on_progress=refuse)
    await until(lambda: client.rate_limits.tenant.in_flight == 0)


async def test_a_queue_is_looked_up_once(client: AlohubClient, sandbox: Sandbox) -> None:
    """However often the list is walked."""
    await audit_inbound(client, consistency="repair", page_size=10)
    ids = [request.path for request in sandbox.requests if request.page is None]
    assert len(ids) == len({*ids}) == 25


@pytest.mark.looptime
async def test_the_deadline() -> None:
    """The audit ends when the list or the details take too long."""
    async with Sandbox(queues=30, latency=1) as sandbox, sandbox.client() as client:
        with pytest.raises(DeadlineExceededError):
            await audit_inbound(client, deadline=3, concurrency=2)
        sandbox.fail(Delay(60), page=0)
        with pytest.raises(DeadlineExceededError):
            await audit_inbound(client, deadline=3, details=False)


@pytest.mark.looptime
async def test_details_overlap_the_walk() -> None:
    """Details are requested before the last page, and the walk does not run far ahead of them."""
    async with Sandbox(queues=400, latency=0.1, tenant_limit=None, route_limit=None) as sandbox:
        async with sandbox.client() as client:
            await audit_inbound(client, page_size=10, concurrency=4)
        paths = [request.path for request in sandbox.requests]
        first_detail = next(index for index, path in enumerate(paths) if path != LIST)
        last_page = max(index for index, path in enumerate(paths) if path == LIST)
        assert first_detail < 10
        assert last_page > len(paths) * 0.8


async def test_config_may_be_a_path_as_text(sandbox: Sandbox, tmp_path: Path) -> None:
    """As of a tenants file."""
    (tmp_path / "audit.toml").write_text("".join(f"{rule.id} = false\n" for rule in DEFAULT_RULES))
    async with sandbox.client() as client:
        assert (await audit_inbound(client, config=str(tmp_path / "audit.toml"))).rules == ()


@pytest.mark.parametrize("wrong", [{"details": "no"}, {"agents": 1}, {"rules": 5}, {"config": 5}])
async def test_wrong_argument_is_refused_before_anything_is_sent(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    """A text such as "no" would count as True."""
    async with sandbox.client() as client:
        with pytest.raises((ConfigurationError, InvalidArgumentError)):
            await audit_inbound(client, **wrong)
    assert not sandbox.requests
