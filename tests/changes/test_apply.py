"""Planning and applying changes: the requests, and the result of each queue."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async import (
    AlohubClient,
    AuthenticationError,
    ConflictError,
    DeadlineExceededError,
    InboundQueueUpdate,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    RateLimiter,
    RetryPolicy,
)
from alohub_async.changes import (
    Change,
    FieldChange,
    Plan,
    Result,
    Status,
    apply_plan,
    changes_of,
    diff_queues,
    plan_changes,
)
from alohub_async.testing import Delay, DropConnection, Fault, HtmlPage, Sandbox, WireQueue
from alohub_async.testing import Status as StatusFault
from tests.support import FIRST, LIST, json_reply

pytestmark = pytest.mark.looptime

MISSING = 5


def _ids(sandbox: Sandbox, count: int) -> list[int]:
    return [int(str(stored["callinId"])) for stored in sandbox.queues[:count]]


def _changes(sandbox: Sandbox, count: int) -> list[Change]:
    return [Change(queue_id, InboundQueueUpdate(max_wait=777)) for queue_id in _ids(sandbox, count)]


async def _results(client: AlohubClient, plan: Plan, **options: Any) -> list[Result]:
    return [result async for result in apply_plan(client, plan, **options)]


async def test_plan_has_the_differences_and_writes_nothing(sandbox: Sandbox, client: AlohubClient) -> None:
    """Queues that are unchanged, to be written, not found, and not as expected."""
    one, two, three, four = _ids(sandbox, 4)
    found = [await client.queues.get_inbound(queue_id) for queue_id in (one, two, three, four)]
    update = InboundQueueUpdate(max_wait=777)
    plan = await plan_changes(
        client,
        [
            Change(one, InboundQueueUpdate(max_wait=found[0].max_wait or 0)),
            Change(two, update, {"max_wait": found[1].max_wait}),
            Change(three, update, {"max_wait": 5}),
            Change(MISSING, update),
            Change(four, InboundQueueUpdate(max_wait=found[3].max_wait or 0), {"max_wait": 5}),
        ],
    )
    assert plan.unchanged == 2, "a queue with the wanted values is not a conflict"
    [write] = plan.to_write
    assert (write.found, write.fields) == (found[1], (FieldChange("max_wait", found[1].max_wait, 777),))
    conflict, missing = (step.error for step in plan.impossible)
    assert isinstance(missing, NotFoundError)
    assert isinstance(conflict, ConflictError)
    assert conflict.differences == {"max_wait": (5, found[2].max_wait)}
    assert sandbox.requests.of(method="PUT") == []


async def test_no_plan_if_a_queue_cannot_be_read(sandbox: Sandbox) -> None:
    """The error of the request is raised, with a note about the queue."""
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        sandbox.fail(status=500, path=f"/v1/queues/inbound/{FIRST}")
        with pytest.raises(InternalServerError) as caught:
            await plan_changes(client, _changes(sandbox, 3))
        assert caught.value.__notes__ == [f"queue {FIRST}"]


@pytest.mark.parametrize(("queues", "listed", "looked_up"), [(120, 2, 1), (3051, 1, 61)])
async def test_many_queues_are_read_from_the_list(queues: int, listed: int, looked_up: int) -> None:
    """The list is used if it takes fewer requests; queues that it does not have are requested one by one."""
    async with Sandbox(queues=queues, tenant_limit=None, route_limit=None) as sandbox, sandbox.client() as client:
        one_by_one = await plan_changes(client, _changes(sandbox, 3))
        sandbox.clear()
        plan = await plan_changes(client, [Change(MISSING, InboundQueueUpdate(max_wait=777)), *_changes(sandbox, 60)])
        assert len(sandbox.requests.of(path=LIST)) == listed
        assert len(sandbox.requests) == listed + looked_up
        assert [step.change.id for step in plan.steps] == [MISSING, *_ids(sandbox, 60)]
        assert plan.steps[1:4] == one_by_one.steps
        assert [step.change.id for step in plan.impossible] == [MISSING]


async def test_two_changes_of_a_queue_are_refused(sandbox: Sandbox, client: AlohubClient) -> None:
    """The SDK does not choose between them."""
    with pytest.raises(InvalidArgumentError, match=f"queue {FIRST} has several"):
        await plan_changes(client, [*_changes(sandbox, 1), Change(FIRST, InboundQueueUpdate(max_wait=1))])
    with pytest.raises(InvalidArgumentError, match="concurrency"):
        await _results(client, Plan(()), concurrency=0)
    assert sandbox.requests == []


async def test_only_differences_are_sent_and_a_second_run_sends_nothing(sandbox: Sandbox, client: AlohubClient) -> None:
    """Each queue has one result."""
    changes = [*_changes(sandbox, 3), Change(MISSING, InboundQueueUpdate(max_wait=1))]
    results = await _results(client, await plan_changes(client, changes))
    assert {result.id: result.status for result in results} == {
        **dict.fromkeys(_ids(sandbox, 3), Status.DONE),
        MISSING: Status.FAILED,
    }
    assert [put.json for put in sandbox.requests.of(method="PUT")] == [{"max_wait_sec": "777"}] * 3
    sandbox.clear()
    plan = await plan_changes(client, changes)
    assert (plan.to_write, plan.unchanged) == ((), 3)
    results = await _results(client, plan)
    assert [result.status for result in results].count(Status.UNCHANGED) == 3
    assert sandbox.requests.of(method="PUT") == []


async def test_a_change_since_the_plan_is_not_overwritten(sandbox: Sandbox, client: AlohubClient) -> None:
    """It is a conflict, unless the queue has the wanted values now; the other changes are made."""
    one, two, three = _ids(sandbox, 3)
    plan = await plan_changes(client, _changes(sandbox, 3))
    await client.queues.update_inbound(one, max_wait=999)
    await client.queues.update_inbound(two, max_wait=777)
    sandbox.clear()
    results = {result.id: result async for result in apply_plan(client, plan)}
    assert {queue_id: result.status for queue_id, result in results.items()} == {
        one: Status.CONFLICT,
        two: Status.UNCHANGED,
        three: Status.DONE,
    }
    assert isinstance(results[one].error, ConflictError)
    assert not results[one].status.is_good
    assert len(sandbox.requests.of(method="PUT")) == 1
    assert sandbox.queues[0]["timeWait"] == "999"


async def test_field_that_the_server_did_not_change(sandbox: Sandbox, client: AlohubClient) -> None:
    """The server reported success without changing the field."""
    plan = await plan_changes(client, _changes(sandbox, 1))
    sandbox.fail(json_reply({"success": "1", "error_code": "SUCCESS"}), method="PUT")
    [result] = await _results(client, plan)
    assert (result.status, result.not_taken) == (Status.NOT_TAKEN, ("max_wait",))


async def test_wrong_key_stops_the_run(sandbox: Sandbox, client: AlohubClient) -> None:
    """Only the edits in flight are sent."""
    plan = await plan_changes(client, _changes(sandbox, 10))
    sandbox.revoke_key(sandbox.api_key)
    sandbox.clear()
    with pytest.raises(AuthenticationError):
        await _results(client, plan, concurrency=2)
    assert len(sandbox.requests) <= 4
    assert sandbox.requests.of(method="PUT") == []


async def test_concurrency_limits_the_edits_in_flight(sandbox: Sandbox) -> None:
    """At most two requests are in flight: each of ten edits has three requests of one second."""
    sandbox.latency = 1.0
    async with sandbox.client() as client:
        plan = await plan_changes(client, _changes(sandbox, 10))
        sandbox.clear()
        await _results(client, plan, concurrency=2)
        times = [request.at for request in sandbox.requests]
    assert len(times) == 30
    assert all(sum(time <= other < time + 0.9 for other in times) <= 2 for time in times)


async def test_deadline_covers_the_whole_run(sandbox: Sandbox) -> None:
    """Edits that are not done at the deadline have failed or are unknown; nothing hangs."""
    sandbox.latency = 1.0
    async with sandbox.client() as client:
        plan = await plan_changes(client, _changes(sandbox, 4))
        results = await _results(client, plan, concurrency=1, deadline=3.5)
    assert [result.status for result in results] == [Status.DONE, *[Status.UNKNOWN] * 3]
    assert all(isinstance(result.error, DeadlineExceededError) for result in results[1:])


FAULTS: Sequence[Fault] = (
    StatusFault(500),
    StatusFault(400),
    HtmlPage(502),
    DropConnection(),
    DropConnection(processed=True),
    Delay(0),  # no fault: the next one is for a later request
)
VALUES = ("30", "60", "90", "777")


def _wire(ids: Sequence[int], waits: Sequence[str], strategies: Sequence[int]) -> list[WireQueue]:
    columns = zip(ids, waits, strategies, strict=True)
    return [
        {"callinId": queue_id, "callinName": "x", "timeWait": wait, "strategy": strategy, "nguongRanhRoi": "0"}
        for queue_id, wait, strategy in columns
    ]


def _states() -> st.SearchStrategy[list[WireQueue]]:
    row = st.tuples(st.sampled_from(VALUES), st.sampled_from((1, 2, 99)))
    return st.lists(row, min_size=4, max_size=4).map(
        lambda rows: _wire(range(1, 5), [wait for wait, _ in rows], [strategy for _, strategy in rows])
    )


@settings(max_examples=80)
@given(
    _states(),
    _states(),
    st.lists(st.tuples(st.sampled_from(FAULTS), st.sampled_from(("PUT", "GET"))), max_size=20),
    st.sampled_from((0, 1)),
    st.sampled_from((1, 16)),
)
async def test_applied_diff_results_in_the_other_state(
    before: list[WireQueue], after: list[WireQueue], faults: list[tuple[Fault, str]], retries: int, concurrency: int
) -> None:
    """With faults, the stored queues match the results, and a second run makes the remaining changes."""
    async with (
        Sandbox(queues=before, tenant_limit=None, route_limit=None) as sandbox,
        Sandbox(queues=after, tenant_limit=None, route_limit=None) as target,
        target.client() as other,
        sandbox.client(retry=RetryPolicy(max_retries=retries), rate_limiter=RateLimiter(window=10)) as client,
    ):
        found, wanted = [await each.queues.list_inbound().collect() for each in (client, other)]
        changes, skipped = changes_of(diff_queues(found, wanted))
        assert skipped == []
        plan = await plan_changes(client, changes)
        for fault, method in faults:
            sandbox.fail(fault, method=method)
        results = await _results(client, plan, concurrency=concurrency)
        assert sorted(result.id for result in results) == sorted(change.id for change in changes)
        now = {queue.id: queue for queue in await _stored(sandbox)}
        was, goal = ({queue.id: queue for queue in queues} for queues in (found, wanted))
        for result in results:
            if result.status is Status.UNKNOWN:
                assert now[result.id] in (was[result.id], goal[result.id])
            else:
                assert now[result.id] == (goal if result.status is Status.DONE else was)[result.id]
        sandbox.heal()
        again = await plan_changes(client, changes)
        assert again.impossible == ()
        await _results(client, again)
        assert diff_queues(await _stored(sandbox), wanted).is_empty
        sandbox.clear()
        await _results(client, await plan_changes(client, changes))
        assert sandbox.requests.of(method="PUT") == []


async def _stored(sandbox: Sandbox) -> list[Any]:
    """The queues that are stored now, read without faults."""
    async with Sandbox(queues=sandbox.queues) as copy, copy.client() as client:
        return await client.queues.list_inbound().collect()


async def test_failed_edit_that_was_applied_is_done(sandbox: Sandbox) -> None:
    """The update succeeded but reading it back failed; the queue is read once more."""
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        plan = await plan_changes(client, _changes(sandbox, 1))
        [step] = plan.steps
        assert step.found is not None
        stored = dict(sandbox.queues[0])
        sandbox.fail(json_reply(stored), method="GET")
        sandbox.fail(status=503, method="GET")
        [result] = await _results(client, plan)
        assert (result.status, result.error) == (Status.DONE, None)
        assert attrs.evolve(step.found, max_wait=777) == await client.queues.get_inbound(FIRST)
