"""Planning and applying changes: the requests, and the result of each queue."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async import (
    AlohubClient,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DeadlineExceededError,
    InboundQueueUpdate,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RateLimiter,
    RetryPolicy,
    Timeouts,
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
from alohub_async.testing.contract import Answer
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


UPDATE = InboundQueueUpdate(max_wait=60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, UPDATE, {"max_wiat": 3}), "no field 'max_wiat' to expect; did you mean 'max_wait'?"),
        ((1, UPDATE, {"maxWait": 3}), "no field 'maxWait' to expect; did you mean 'max_wait'?"),
        ((1, UPDATE, {"expect.max_wait": 3}), "no field 'expect.max_wait' to expect; did you mean 'max_wait'?"),
        ((1, UPDATE, {"zzz": 3}), "no field 'zzz' to expect; choose from music_on_hold, max_wait, strategy, announ"),
        ((1, UPDATE, {3: 3}), "no field 3 to expect"),
        ((1, UPDATE, {"extra": "x"}), "no field 'extra' to expect"),
        ((1, UPDATE, {"strategy": 1}), "strategy is not checked unless it is set, too"),
        ((1, UPDATE, {"max_wait": "60"}), "expect.max_wait must be a whole number or null; '60' was found"),
        ((1, UPDATE, {"max_wait": True}), "expect.max_wait must be a whole number or null; True was found"),
        (
            (1, InboundQueueUpdate(strategy=1), {"strategy": "VOP"}),
            "expect.strategy must be a whole number, one of NO",
        ),
        ((1, UPDATE, [("max_wait", 60)]), "expect must be a Mapping; list was given"),
        ((1, InboundQueueUpdate()), "nothing to change: give at least one of music_on_hold, "),
        ((1, {"max_wait": 60}), "changes must be an InboundQueueUpdate; dict was given"),
        ((0, UPDATE), "id must be 1 or more"),
        (("1", UPDATE), "id must be an int, such as 1001226; '1' was given"),
    ],
)
def test_a_change_that_would_not_be_checked_is_refused(arguments: Any, message: str) -> None:
    """The error says what is wrong, and names the nearest right field."""
    with pytest.raises(InvalidArgumentError) as caught:
        Change(*arguments)
    assert message in str(caught.value)


def test_a_change_keeps_what_it_was_made_of() -> None:
    """Later edits of the caller's mapping have no effect; a timedelta is expected as it is set."""
    expect: dict[str, object] = {"max_wait": timedelta(minutes=2)}
    change = Change(1, InboundQueueUpdate(max_wait=timedelta(minutes=1)), expect)
    expect.clear()
    assert change == Change(1, UPDATE, {"max_wait": 120})


async def test_a_value_that_does_not_fit_its_type_is_not_a_missing_one(sandbox: Sandbox, client: AlohubClient) -> None:
    """Null does not expect it, so it is not overwritten."""
    sandbox.queues[0]["timeWait"] = "soon"
    plan = await plan_changes(client, [Change(FIRST, InboundQueueUpdate(max_wait=60), {"max_wait": None})])
    [step] = plan.impossible
    assert isinstance(step.error, ConflictError)
    assert step.error.differences == {"max_wait": (None, "soon")}
    found = await client.queues.get_inbound(FIRST)
    sandbox.queues[0]["timeWait"] = "later"
    with pytest.raises(ConflictError, match="max_wait is 'later', not 'soon'"):
        await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=60), expect=found)


@pytest.mark.parametrize("fault", [StatusFault(500), StatusFault(403), HtmlPage(200), DropConnection()])
async def test_a_queue_that_cannot_be_read_costs_itself_alone(sandbox: Sandbox, fault: Fault) -> None:
    """Its step has the error; the others are planned and applied."""
    one, two, three = _ids(sandbox, 3)
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        sandbox.fail(fault, path=f"{LIST}/{two}", next=None)
        plan = await plan_changes(client, _changes(sandbox, 3))
        [step] = plan.impossible
        assert (step.change.id, step.found) == (two, None)
        results = {result.id: result.status for result in await _results(client, plan)}
    assert results == {one: Status.DONE, two: Status.FAILED, three: Status.DONE}


async def test_a_page_that_cannot_be_read_costs_nothing() -> None:
    """The queues that the list does not give are read one by one."""
    async with (
        Sandbox(queues=120, tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client(retry=RetryPolicy(max_retries=0)) as client,
    ):
        sandbox.fail(StatusFault(500), page=1, next=None)
        plan = await plan_changes(client, _changes(sandbox, 110))
        assert len(plan.to_write) == 110


async def test_no_plan_without_access(sandbox: Sandbox, client: AlohubClient) -> None:
    """A wrong key, or a key that may read none of the queues, is an error of the whole plan."""
    sandbox.fail(StatusFault(403), next=3)
    with pytest.raises(PermissionDeniedError):
        await plan_changes(client, _changes(sandbox, 3))
    sandbox.heal()
    sandbox.revoke_key(sandbox.api_key)
    with pytest.raises(AuthenticationError):
        await plan_changes(client, _changes(sandbox, 3))


def _put(fault: Fault) -> list[tuple[Fault, str]]:
    return [(fault, "PUT")]


class _NoAnswer(HtmlPage):
    """An update that is neither answered nor done in time; it may be done later."""

    def spoil(self, answer: Answer) -> Answer:
        return attrs.evolve(super().spoil(answer), delay=100)


TIMES_OUT = _NoAnswer(200)
OPEN: dict[str, list[tuple[Fault, str]]] = {
    "timeout": _put(TIMES_OUT),
    "lost": _put(DropConnection()),
    "gateway": _put(HtmlPage(504)),
    "failure": _put(StatusFault(500)),
    "not JSON": _put(HtmlPage(200)),
    "timeout, then nothing can be read": [(TIMES_OUT, "PUT"), *[(DropConnection(), "GET")] * 3],
}
SURE: dict[str, list[tuple[Fault, str]]] = {
    "refused": _put(StatusFault(400)),
    "forbidden": _put(StatusFault(403)),
    "gone": _put(StatusFault(404)),
    "limited": _put(StatusFault(429)),
    "not begun": [(StatusFault(500), "GET")],
    "read timed out": [(TIMES_OUT, "GET")],
}


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        *(pytest.param(faults, Status.UNKNOWN, id=name) for name, faults in OPEN.items()),
        *(pytest.param(faults, Status.FAILED, id=name) for name, faults in SURE.items()),
    ],
)
async def test_only_what_surely_was_not_taken_has_failed(
    sandbox: Sandbox, faults: list[tuple[Fault, str]], status: Status
) -> None:
    """An update that may still be taken after somebody looked for it is unknown; the error is the one of the update."""
    async with sandbox.client(retry=RetryPolicy(max_retries=0), timeouts=Timeouts(total=5)) as client:
        plan = await plan_changes(client, _changes(sandbox, 1))
        queue = dict(sandbox.queues[0])
        last = 1 if faults[0][1] == "GET" else 2
        if last == 2:
            sandbox.fail(json_reply(queue), method="GET")  # the read before the update
        for fault, method in faults:
            sandbox.fail(fault, method=method)
        [result] = await _results(client, plan)
    assert result.status is status
    assert result.error is not None
    assert sandbox.queues[0] == queue


async def test_a_late_update_after_a_refused_repetition_is_unknown(sandbox: Sandbox) -> None:
    """The first of two updates timed out, so that it can still be taken although the second was refused."""
    async with sandbox.client(
        retry=RetryPolicy(max_retries=1, retry_writes=True), timeouts=Timeouts(total=5)
    ) as client:
        plan = await plan_changes(client, _changes(sandbox, 1))
        sandbox.fail(TIMES_OUT, method="PUT")
        sandbox.fail(StatusFault(400), method="PUT")
        [result] = await _results(client, plan)
    assert (result.status, type(result.error)) == (Status.UNKNOWN, BadRequestError)


async def test_one_refusal_costs_itself_alone(sandbox: Sandbox, client: AlohubClient) -> None:
    """A key that may not change one queue can change the others."""
    one, two, three = _ids(sandbox, 3)
    plan = await plan_changes(client, _changes(sandbox, 3))
    sandbox.fail(StatusFault(403), method="PUT", path=f"{LIST}/{two}")
    results = {result.id: result.status for result in await _results(client, plan)}
    assert results == {one: Status.DONE, two: Status.FAILED, three: Status.DONE}


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
    """Edits that were not begun before the deadline have failed; nothing hangs."""
    sandbox.latency = 1.0
    async with sandbox.client() as client:
        plan = await plan_changes(client, _changes(sandbox, 4))
        results = await _results(client, plan, concurrency=1, deadline=3.5)
    assert [result.status for result in results] == [Status.DONE, *[Status.FAILED] * 3]
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
