"""The types that users' type checkers see: checked by mypy and pyright, never run."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import attrs

from alohub_async import (
    UNSET,
    AlohubClient,
    AlohubError,
    ApiResponse,
    APIStatusError,
    Consistency,
    Drift,
    Edit,
    Endpoint,
    Estimate,
    Failed,
    InboundQueue,
    InboundQueueUpdate,
    Outcome,
    Outcomes,
    Page,
    Pager,
    Priority,
    QueueStrategy,
    RateLimiter,
    RateLimitStatus,
    RetryPolicy,
    StopReason,
    Succeeded,
    Timeouts,
    UnsetType,
    UpdateResult,
)
from alohub_async.audit import (
    DEFAULT_RULES,
    AuditedQueue,
    AuditProgress,
    Finding,
    Rule,
    Severity,
    audit_inbound,
    html_page,
    junit_xml,
    rule,
)
from alohub_async.export import export_inbound

if TYPE_CHECKING:
    from alohub_async import (
        BulkOptionsDict,
        CallOptionsDict,
        ClientOptionsDict,
        CopyOptionsDict,
        PageOptionsDict,
        WalkOptionsDict,
    )


@attrs.frozen
class Agent:
    """A user's own model."""

    id: int


async def fetch_key() -> str:
    """An async key provider."""
    return "sk_live_x"


def make_clients() -> list[AlohubClient]:
    """Create a client in every way."""
    return [
        AlohubClient("sk_live_x"),
        AlohubClient(lambda: "sk_live_x", tenant_id="20260310", endpoint=Endpoint.development()),
        AlohubClient(fetch_key, endpoint="https://proxy.example", timeouts=Timeouts(connect=1, read=2.5, total=9)),
        AlohubClient.from_env(retry=RetryPolicy(max_retries=0), rate_limiter=RateLimiter(window=10), strict=True),
        AlohubClient("sk_live_x", endpoint=Endpoint.direct("https://backend.example")).with_options(deadline=3),
    ]


async def walk(client: AlohubClient) -> None:
    """A pager is an async iterator of its records."""
    pager = client.queues.list_inbound(page_size=50, token=None, deadline=9.5)
    assert_type(pager, Pager[InboundQueue])
    async for queue in pager:
        assert_type(queue, InboundQueue)
        assert_type(queue.id, int | None)
        assert_type(queue.name, str | None)
        if queue.id is not None:
            await client.queues.get_inbound(queue.id)
        assert_type(queue.strategy, QueueStrategy | None)
        assert_type(queue.max_wait, int | None)
        assert_type(queue.announce_position, bool | None)
    assert_type(await anext(pager), InboundQueue)
    assert_type(pager.pages(), AsyncIterator[Page[InboundQueue]])
    assert_type(await pager.collect(), list[InboundQueue])
    assert_type(await pager.first(), InboundQueue | None)
    assert_type(await pager.count(), int | None)
    assert_type(pager.token, str)
    assert_type(pager.stopped_by, StopReason | None)
    assert_type(pager.drift, Drift)
    assert_type(pager.complete, bool)
    assert_type(await pager.estimate(), Estimate | None)
    ahead = client.queues.list_inbound(prefetch=8, ordered=False, consistency="repair", details=True, priority="bulk")
    assert_type(ahead, Pager[InboundQueue])
    assert_type(client.paginate("/v1/agents", model=Agent), Pager[Agent])
    assert_type(client.paginate("/v1/agents"), Pager[dict[str, Any]])


async def call(client: AlohubClient) -> None:
    """Make the single calls."""
    assert_type(await client.queues.get_inbound(1, deadline=1), InboundQueue)
    changes = InboundQueueUpdate(max_wait=timedelta(minutes=1), strategy=2, announce_position=UNSET)
    assert_type(changes.max_wait, int | UnsetType)
    assert_type(changes.strategy, QueueStrategy | UnsetType)
    assert_type(await client.queues.update_inbound(1, changes), UpdateResult)
    await client.queues.update_inbound(1, music_on_hold="a.wav", max_wait=60, strategy=QueueStrategy.VIP)
    assert_type(await client.request("GET", "/v1/agents", params={"page": 0, "q": "x"}), ApiResponse)
    assert_type(client.rate_limits, RateLimitStatus)
    edit = await client.queues.edit_inbound(1, changes, dry_run=True)
    assert_type(edit, Edit[InboundQueue])
    assert_type(edit.after, InboundQueue)
    assert_type(edit.changed, tuple[str, ...])


async def many(client: AlohubClient, later: AsyncIterator[int]) -> None:
    """Make concurrent calls."""
    async for outcome in client.queues.get_many_inbound(range(1, 9), ordered=True):
        assert_type(outcome, Outcome[InboundQueue])
        assert_type(outcome.unwrap(), InboundQueue)
        assert_type(outcome.value, InboundQueue | None)
        assert_type(outcome.error, AlohubError | None)
        if outcome.error is None:
            assert_type(outcome, Succeeded[InboundQueue])
            assert_type(outcome.value, InboundQueue)
        else:
            assert_type(outcome, Failed)
            assert_type(outcome.error, AlohubError)
        if isinstance(outcome, Failed):
            assert_type(outcome.error, AlohubError)
        else:
            assert_type(outcome.value, InboundQueue)
        match outcome:
            case Succeeded(value=queue):
                assert_type(queue, InboundQueue)
            case Failed(error=error):
                assert_type(error, AlohubError)
    assert_type(client.queues.get_many_inbound(later), Outcomes[InboundQueue])
    change = InboundQueueUpdate(max_wait=60)
    assert_type(await client.queues.update_many_inbound({1: change}).collect(), list[Outcome[UpdateResult]])
    client.queues.update_many_inbound((number, change) for number in range(1, 9))


def explain(error: AlohubError) -> str | None:
    """Return a detail of an error."""
    assert_type(error.resume_token, str | None)
    if isinstance(error, APIStatusError):
        assert_type(error.status, int)
        assert_type(error.error_code, str | None)
        assert_type(error.retry_after, float | None)
        return error.message
    return None


@rule(Severity.INFO)
def short_name(queue: AuditedQueue, *, letters: int = 3) -> Iterator[Finding]:
    """A user's own rule."""
    assert_type(queue.detail, InboundQueue | None)
    if len(queue.queue.name or "") < letters:
        yield queue.finding("short", field="name")


async def audit(client: AlohubClient, settings: Path) -> None:
    """Run audits."""
    assert_type(short_name, Rule)
    report = await audit_inbound(client, rules=[*DEFAULT_RULES, short_name], config=settings, details=False)
    await audit_inbound(client, on_progress=lambda now: assert_type(now, AuditProgress).done)
    assert_type(report.at_least(Severity.ERROR), tuple[Finding, ...])
    assert_type(html_page(report), str)
    assert_type(junit_xml(report, fail_on=Severity.INFO), bytes)


async def options(client: AlohubClient, limiter: RateLimiter) -> None:
    """Editors know each keyword of each call and its type; a caller can keep keywords in a dict of that type."""
    call: CallOptionsDict = {"deadline": 1.5, "max_rate_limit_wait": None, "priority": "bulk"}
    assert_type(call["deadline"], float | UnsetType | None)
    assert_type(call["max_rate_limit_wait"], float | UnsetType | None)
    assert_type(call["priority"], Priority | UnsetType)
    await client.queues.get_inbound(1, **call)
    await client.request("GET", "/v1/agents", **call)
    await client.queues.get_inbound(1, deadline=UNSET, max_rate_limit_wait=2, priority="interactive")
    pages: PageOptionsDict = {"page_size": 50, "prefetch": 0, "max_passes": 2, **call}
    assert_type(pages["page_size"], int | None)
    await audit_inbound(client, **pages)
    await export_inbound(client, "queues.csv", details=True, consistency="detect", restart=True, **pages)
    walk: WalkOptionsDict = {"token": None, "ordered": False, "consistency": "raise", **pages}
    assert_type(walk["consistency"], Consistency)
    client.queues.list_inbound(details=True, **walk)
    client.paginate("/v1/agents", key="agentId", **walk)
    bulk: BulkOptionsDict = {"concurrency": 8, "ordered": True, "stop_on_error": True, **call}
    client.queues.get_many_inbound([1], **bulk)
    copied: CopyOptionsDict = {
        "timeouts": Timeouts(),
        "retry": RetryPolicy(),
        "strict": True,
        "max_response_bytes": None,
        **call,
    }
    client.with_options(**copied)
    made: ClientOptionsDict = {"tenant_id": "1", "endpoint": "https://h", "rate_limiter": limiter, "max_connections": 9}
    AlohubClient("sk_live_x", **made)
    AlohubClient.from_env(session=None, user_agent="app/1.0", deadline=None, timeouts=Timeouts(total=5))


async def wrong_calls_are_flagged(client: AlohubClient) -> None:
    """The unused-ignore checks of mypy and pyright fail if one of these becomes acceptable."""
    await client.queues.get_inbound("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.queues.update_inbound(1, max_wait=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    InboundQueueUpdate(strategy=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.queues.list_inbound(priority="high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.queues.list_inbound(limit=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.queues.list_inbound(page_size="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.queues.get_many_inbound([1], concurency=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.with_options(max_connections=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AlohubClient("sk_live_x", priority=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
