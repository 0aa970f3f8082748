"""Concurrent calls: an outcome for each, a bounded number in flight, and no leaked tasks."""

import asyncio
import cProfile
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alohub_async import (
    AlohubClient,
    APIConnectionError,
    AuthenticationError,
    DeadlineExceededError,
    Failed,
    InboundQueueUpdate,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitWaitError,
    RetryPolicy,
    Succeeded,
)
from alohub_async.options import BulkOptions
from alohub_async.resources.bulk import Outcomes
from alohub_async.testing import DropConnection, Sandbox, Status
from tests.support import FIRST, LIST, until


def _ids(sandbox: Sandbox) -> list[int]:
    return [int(str(stored["callinId"])) for stored in sandbox.queues]


class Meter:
    """Counts the ids that are consumed."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for queue_id in self.ids:
            self.taken += 1
            yield queue_id

    async def asynchronously(self) -> AsyncIterator[int]:
        """Yield the same ids asynchronously."""
        for queue_id in self:
            await asyncio.sleep(0)
            yield queue_id


# Outcomes


@pytest.mark.looptime
async def test_each_id_has_its_outcome(sandbox: Sandbox, client: AlohubClient) -> None:
    """It has the value or the error, and the attempts; one failure does not stop the others."""
    ids = _ids(sandbox)
    sandbox.fail(status=502, path=f"{LIST}/{ids[3]}")
    sandbox.fail(status=500, path=f"{LIST}/{ids[4]}", next=None)
    outcomes = {outcome.id: outcome async for outcome in client.queues.get_many_inbound([*ids, 5])}
    assert outcomes.keys() == {*ids, 5}
    assert outcomes[ids[0]].unwrap().id == ids[0]
    assert (outcomes[ids[0]].ok, outcomes[ids[0]].attempts) == (True, 1)
    assert outcomes[ids[3]].attempts == 2
    assert isinstance(outcomes[ids[4]].error, InternalServerError)
    assert outcomes[ids[4]].attempts == 4
    assert isinstance(outcomes[5].error, NotFoundError)
    assert (outcomes[5].ok, outcomes[5].value, outcomes[5].attempts) == (False, None, 1)
    with pytest.raises(NotFoundError):
        outcomes[5].unwrap()


@pytest.mark.looptime
async def test_ordered_outcomes_come_in_the_order_of_the_ids() -> None:
    """With `ordered`, durations do not matter; without it, outcomes come in order of completion."""
    async with Sandbox(queues=40, latency=(0.01, 5.0)) as sandbox, sandbox.client() as client:
        ids = _ids(sandbox)
        ordered = await client.queues.get_many_inbound(ids, ordered=True, concurrency=7).collect()
        assert [outcome.id for outcome in ordered] == ids
        unordered = await client.queues.get_many_inbound(ids, concurrency=7).collect()
        assert [outcome.id for outcome in unordered] != ids
        assert sorted(outcome.id for outcome in unordered) == ids


@pytest.mark.parametrize("asynchronous", [False, True], ids=["iterable", "async iterable"])
@pytest.mark.parametrize("ordered", [False, True], ids=["as they complete", "ordered"])
async def test_ids_are_consumed_lazily(client: AlohubClient, *, asynchronous: bool, ordered: bool) -> None:
    """With a slow consumer, at most `concurrency` calls are in flight or wait to be returned."""
    meter = Meter([5] * 50)
    ids = meter.asynchronously() if asynchronous else meter
    many = client.queues.get_many_inbound(ids, concurrency=4, ordered=ordered)
    assert meter.taken == 0
    seen = 0
    async for outcome in many:
        seen += 1
        assert outcome.id == 5
        await asyncio.sleep(0.001)
        assert meter.taken <= seen + 4
    assert seen == 50


async def test_bad_id_is_an_outcome_too(sandbox: Sandbox, client: AlohubClient) -> None:
    """Nothing is sent for it, and the other calls continue."""
    ids: list[Any] = [FIRST, 0, "7", None, True]
    outcomes = await client.queues.get_many_inbound(ids, ordered=True).collect()
    assert [outcome.id for outcome in outcomes] == ids
    assert [isinstance(outcome.error, InvalidArgumentError) for outcome in outcomes] == [False, *[True] * 4]
    assert [outcome.attempts for outcome in outcomes] == [1, 0, 0, 0, 0]
    assert len(sandbox.requests) == 1


async def test_error_of_the_ids_themselves_comes_after_the_outcomes(client: AlohubClient) -> None:
    """Ids read before the error have their outcomes first, then the error is raised."""

    def ids() -> Iterator[int]:
        yield FIRST
        yield 5
        raise LookupError("the file is cut off")

    async def later() -> AsyncIterator[int]:
        for queue_id in ids():
            yield queue_id

    for source in (ids(), later()):
        many = client.queues.get_many_inbound(source, ordered=True)
        assert [(await anext(many)).id, (await anext(many)).id] == [FIRST, 5]
        with pytest.raises(LookupError, match="cut off"):
            await anext(many)
        assert await many.collect() == []


async def test_no_ids_no_outcomes(sandbox: Sandbox, client: AlohubClient) -> None:
    """Nothing is sent."""
    assert await client.queues.get_many_inbound([]).collect() == []
    assert await client.queues.update_many_inbound({}).collect() == []
    assert sandbox.requests == []


async def test_repr_of_outcomes_says_where_they_stand(client: AlohubClient) -> None:
    """It counts what was returned, what is ready, and what is in flight or to be repeated."""
    many = client.queues.get_many_inbound([FIRST, 5, 6], concurrency=2)
    assert repr(many) == "<Outcomes: 0 returned>"
    waiting = asyncio.ensure_future(anext(many))
    await until(lambda: repr(many) == "<Outcomes: 0 returned, 2 in flight>")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert repr(many) == "<Outcomes: 0 returned, 2 to be repeated>"
    await anext(many)
    assert repr(many).startswith("<Outcomes: 1 returned, ")
    assert len(await many.collect()) == 2
    assert repr(many) == "<Outcomes: 3 returned, ended>"
    kind: Any = Outcomes
    assert repr(kind.__new__(kind)) == "<Outcomes>"


async def test_wrong_ways_to_iterate_name_the_right_one(sandbox: Sandbox, client: AlohubClient) -> None:
    """`await`, `for` and `len` raise before anything is sent; the truth value is not asked from `len`."""
    many: Any = client.queues.get_many_inbound([FIRST])
    right = r"Outcomes, which makes requests: write 'async for outcome in outcomes', or 'await outcomes.collect\(\)'"
    with pytest.raises(TypeError, match=f"'await' does not work on {right}"):
        await many
    with pytest.raises(TypeError, match=f"'for' without 'async' does not work on {right}"):
        list(many)
    with pytest.raises(TypeError, match=rf"len\(\) does not work on {right}"):
        len(many)
    assert many
    assert len(sandbox.requests) == 0


async def test_outcomes_of_both_kinds_have_the_same_attributes(client: AlohubClient) -> None:
    """They can be told apart by their class, by `error` and by `ok`."""
    found, missing = await client.queues.get_many_inbound([FIRST, 5], ordered=True).collect()
    assert isinstance(found, Succeeded)
    assert (found.id, found.value.id, found.error, found.ok, found.attempts) == (FIRST, FIRST, None, True, 1)
    assert isinstance(missing, Failed)
    assert (missing.id, missing.value, type(missing.error), missing.ok) == (5, None, NotFoundError, False)


# Sharing and order


@pytest.mark.looptime
async def test_identical_reads_in_flight_share_one_request() -> None:
    """Concurrent reads of one id share a request, within a call and between calls; each has its outcome."""
    async with Sandbox(queues=3, latency=1.0) as sandbox, sandbox.client() as client:
        many = [client.queues.get_many_inbound([FIRST, FIRST, FIRST]).collect() for _ in range(3)]
        outcomes = [outcome for each in await asyncio.gather(*many) for outcome in each]
        assert [outcome.unwrap().id for outcome in outcomes] == [FIRST] * 9
        assert len(sandbox.requests) == 1
        await client.queues.get_many_inbound([FIRST]).collect()
        assert len(sandbox.requests) == 2


@pytest.mark.looptime
async def test_follower_repeats_the_call_of_a_cancelled_leader() -> None:
    """A cancelled call does not cancel those that share its request."""
    async with Sandbox(queues=3, latency=1.0) as sandbox, sandbox.client() as client:
        leader = asyncio.create_task(client.queues.get_many_inbound([FIRST]).collect())
        await asyncio.sleep(0.3)
        follower = asyncio.create_task(client.queues.get_many_inbound([FIRST]).collect())
        await asyncio.sleep(0.3)
        leader.cancel()
        [outcome] = await follower
        assert outcome.ok


@pytest.mark.looptime
async def test_updates_of_one_queue_follow_each_other() -> None:
    """They are sent in the given order, one at a time; other queues do not wait."""
    async with Sandbox(queues=3, latency=(0.5, 2.0)) as sandbox, sandbox.client() as client:
        changes = [(FIRST, InboundQueueUpdate(max_wait=seconds)) for seconds in range(1, 8)]
        outcomes = await client.queues.update_many_inbound(changes).collect()
        assert [outcome.unwrap().attempts for outcome in outcomes] == [1] * 7
        sent: list[Any] = [request.json for request in sandbox.requests]
        assert [body["max_wait_sec"] for body in sent] == [str(seconds) for seconds in range(1, 8)]
        assert (await client.queues.get_inbound(FIRST)).max_wait == 7


async def test_updates_by_id_or_as_pairs(sandbox: Sandbox, client: AlohubClient) -> None:
    """A mapping, an iterable and an async iterable are accepted; an invalid change is an outcome."""
    ids = _ids(sandbox)[:3]

    async def later() -> AsyncIterator[tuple[int, InboundQueueUpdate]]:
        for queue_id in ids:
            yield queue_id, InboundQueueUpdate(max_wait=3)

    for seconds, changes in (
        (1, {queue_id: InboundQueueUpdate(max_wait=1) for queue_id in ids}),
        (2, ((queue_id, InboundQueueUpdate(max_wait=2)) for queue_id in ids)),
        (3, later()),
    ):
        outcomes = await client.queues.update_many_inbound(changes).collect()
        assert sorted(outcome.unwrap().id for outcome in outcomes) == ids
        assert [stored["timeWait"] for stored in sandbox.queues[:3]] == [str(seconds)] * 3
    wrong: Any = {ids[0]: InboundQueueUpdate(), ids[1]: {"max_wait": 1}, 0: InboundQueueUpdate(max_wait=1)}
    outcomes = await client.queues.update_many_inbound(wrong).collect()
    assert [isinstance(outcome.error, InvalidArgumentError) for outcome in outcomes] == [True] * 3
    unpaired: Any = [7]
    with pytest.raises(InvalidArgumentTypeError, match="changes must be pairs of id and InboundQueueUpdate; 7"):
        await client.queues.update_many_inbound(unpaired).collect()


# The end


@pytest.mark.looptime
async def test_first_failure_ends_reads_if_asked_to() -> None:
    """Calls in flight are cancelled, the error names the queue, and no outcome follows."""
    async with Sandbox(queues=100, latency=1.0) as sandbox, sandbox.client() as client:
        meter = Meter([*_ids(sandbox)[:10], 5, *_ids(sandbox)[10:]])
        many = client.queues.get_many_inbound(meter, stop_on_error=True, ordered=True, concurrency=8)
        got: list[int] = []
        with pytest.raises(NotFoundError) as caught:
            await _into(many, got)
        assert got == meter.ids[:10]
        assert caught.value.__notes__ == ["id 5"]
        assert meter.taken < 20
        assert await many.collect() == []
        await asyncio.sleep(1)
        assert asyncio.all_tasks() - _servers() == {asyncio.current_task()}


async def _into(many: Outcomes[Any], got: list[int]) -> None:
    async for outcome in many:
        got.append(outcome.id)  # noqa: PERF401  (keeps the outcomes before an error)


@pytest.mark.looptime
async def test_updates_in_flight_finish_when_one_fails() -> None:
    """No more updates start, but those that may have been processed have their outcomes."""
    async with Sandbox(queues=100, latency=(0.1, 3.0)) as sandbox, sandbox.client() as client:
        ids = _ids(sandbox)
        ids.insert(10, 5)
        changes = ((queue_id, InboundQueueUpdate(max_wait=1)) for queue_id in ids)
        many = client.queues.update_many_inbound(changes, stop_on_error=True, concurrency=8)
        got: list[int] = []
        with pytest.raises(NotFoundError):
            await _into(many, got)
        updated = {request.path.rpartition("/")[2] for request in sandbox.requests} - {"5"}
        assert {str(queue_id) for queue_id in got} == updated
        assert len(got) < 40


@pytest.mark.parametrize(("scopes", "error"), [(None, AuthenticationError), ((), PermissionDeniedError)])
async def test_wrong_key_ends_it_at_once(
    sandbox: Sandbox, scopes: tuple[str, ...] | None, error: type[Exception]
) -> None:
    """A wrong key would make the other calls fail as well, so the iteration ends."""
    key = "sk_live_wrong" if scopes is None else sandbox.add_key(scopes=scopes)
    async with sandbox.client(api_key=key) as client:
        with pytest.raises(error):
            await client.queues.get_many_inbound(range(1, 1000), concurrency=4).collect()
        assert len(sandbox.requests) <= 4


@pytest.mark.looptime
async def test_every_id_has_an_outcome_by_the_deadline() -> None:
    """An unfinished call has an outcome with the error; nothing is sent after the deadline."""
    async with Sandbox(queues=100, route_limit=10, tenant_limit=None) as sandbox, sandbox.client() as client:
        outcomes = await client.queues.get_many_inbound(_ids(sandbox), deadline=15).collect()
        assert len(outcomes) == 100
        late = [outcome for outcome in outcomes if not outcome.ok]
        assert {type(outcome.error) for outcome in late} == {DeadlineExceededError}
        assert len(sandbox.requests) == 100 - len(late)
        assert 10 <= 100 - len(late) <= 20


@pytest.mark.looptime
async def test_max_wait_is_each_calls() -> None:
    """A call that would wait too long has an outcome with its estimated wait."""
    async with Sandbox(queues=30, route_limit=10, tenant_limit=None) as sandbox, sandbox.client() as client:
        outcomes = await client.queues.get_many_inbound(_ids(sandbox), max_rate_limit_wait=5, concurrency=30).collect()
        waits = [outcome.error.wait for outcome in outcomes if isinstance(outcome.error, RateLimitWaitError)]
        assert sum(outcome.ok for outcome in outcomes) == 10
        assert len(waits) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be an int from 1 to 1000; 0 was given"),
        ({"concurrency": 1001}, "concurrency must be an int from 1 to 1000"),
        ({"concurrency": "4"}, "concurrency must be an int from 1 to 1000; '4' was given"),
        ({"deadline": 0}, "deadline must be a number of seconds above 0"),
        ({"max_rate_limit_wait": -1}, "max_rate_limit_wait must be a number of seconds, 0 or more"),
        ({"priority": "urgent"}, "priority must be one of"),
    ],
)
async def test_bad_options_are_refused_before_anything_is_taken(
    client: AlohubClient, options: dict[str, Any], message: str
) -> None:
    """The message has the given value and the allowed ones."""
    meter = Meter([FIRST])
    with pytest.raises(InvalidArgumentError, match=message):
        client.queues.get_many_inbound(meter, **options)
    with pytest.raises(InvalidArgumentError, match=message):
        client.queues.update_many_inbound({}, **options)
    for nothing in (5, "1001226", None):
        ids: Any = nothing
        with pytest.raises(InvalidArgumentTypeError, match="must be an iterable or an async iterable"):
            client.queues.get_many_inbound(ids)
    assert meter.taken == 0


# No leaks and no lost ids


def _servers() -> set["asyncio.Task[Any]"]:
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task.get_coro())}


@pytest.mark.looptime
@pytest.mark.parametrize("ordered", [False, True], ids=["as they complete", "ordered"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["iterable", "async iterable"])
async def test_break_leaves_no_task_and_loses_no_id(*, ordered: bool, asynchronous: bool) -> None:
    """Cancelled calls are repeated when the iteration continues; each id has one outcome."""
    async with Sandbox(queues=60, latency=(0.1, 3.0), route_limit=None) as sandbox, sandbox.client() as client:
        meter = Meter(_ids(sandbox))
        ids = meter.asynchronously() if asynchronous else meter
        many = client.queues.get_many_inbound(ids, ordered=ordered, concurrency=9)
        got: list[int] = []
        for stop in (5, 6, 30, 100):
            async for outcome in many:
                got.append(outcome.id)
                if len(got) >= stop:
                    break
            await asyncio.sleep(5)
            status = client.rate_limits.tenant
            assert (status.in_flight, status.waiting) == (0, 0)
            assert asyncio.all_tasks() - _servers() <= {asyncio.current_task(), *_reading()}
        assert sorted(got) == _ids(sandbox)


def _reading() -> set["asyncio.Task[Any]"]:
    """Return the task that reads the next id, which is not cancelled."""
    return {task for task in asyncio.all_tasks() if "_read" in repr(task.get_coro())}


@pytest.mark.looptime
async def test_drop_and_close_leave_no_task() -> None:
    """No task is left, even with an endless async iterator of ids."""

    async def ids() -> AsyncIterator[int]:
        yield FIRST
        await asyncio.Event().wait()

    async with Sandbox(queues=3, latency=1.0) as sandbox, sandbox.client() as client:
        dropped = client.queues.get_many_inbound(ids())
        assert (await anext(dropped)).ok
        del dropped
        closed = client.queues.get_many_inbound(ids())
        assert (await anext(closed)).ok
        await closed.aclose()
        assert await closed.collect() == []
        await asyncio.sleep(3)
        assert asyncio.all_tasks() - _servers() == {asyncio.current_task()}


@pytest.mark.looptime
async def test_slow_ids_do_not_delay_finished_outcomes() -> None:
    """An outcome is returned while the next id is still awaited."""

    async def ids() -> AsyncIterator[int]:
        yield FIRST
        await asyncio.sleep(100)
        yield 5

    async with Sandbox(queues=3, latency=1.0) as sandbox, sandbox.client() as client:
        started = asyncio.get_running_loop().time()
        many = client.queues.get_many_inbound(ids())
        assert (await anext(many)).ok
        assert asyncio.get_running_loop().time() - started < 2
        assert not (await anext(many)).ok


@pytest.mark.looptime
async def test_two_thousand_with_faults() -> None:
    """Each id has one correct outcome, within the concurrency limit and without a 429."""
    rng = random.Random(5)
    async with (
        Sandbox(queues=2000, tenant_limit=100, route_limit=None, latency=(0.02, 0.2)) as sandbox,
        sandbox.client(retry=RetryPolicy(max_retries=2, backoff=0.1)) as client,
    ):
        ids = _ids(sandbox)
        passing, lasting, gone = (rng.sample(ids, 34) for _ in range(3))
        for queue_id in passing:
            fault = rng.choice([Status(500), Status(503), DropConnection()])
            sandbox.fail(fault, path=f"{LIST}/{queue_id}", next=rng.randint(1, 2))
        for queue_id in {*lasting} - {*passing}:
            sandbox.fail(rng.choice([Status(500), DropConnection()]), path=f"{LIST}/{queue_id}", next=None)
        for queue_id in {*gone} - {*passing, *lasting}:
            sandbox.fail(status=404, path=f"{LIST}/{queue_id}")
        most = 0
        outcomes: list[Outcome[Any]] = []
        async for outcome in client.queues.get_many_inbound(iter(ids), concurrency=25):
            outcomes.append(outcome)
            most = max(most, client.rate_limits.tenant.in_flight + client.rate_limits.tenant.waiting)
        assert Counter(outcome.id for outcome in outcomes) == Counter(ids)
        for outcome in outcomes:
            if outcome.id in passing:
                assert outcome.unwrap().id == outcome.id
                assert outcome.attempts in {2, 3}
            elif outcome.id in lasting:
                assert isinstance(outcome.error, InternalServerError | APIConnectionError)
                assert outcome.attempts == 3
            elif outcome.id in gone:
                assert isinstance(outcome.error, NotFoundError)
            else:
                assert outcome.unwrap().id == outcome.id
                assert outcome.attempts == 1
        assert most <= 25
        assert _most_at_once(sandbox) <= 25
        assert sandbox.requests.of(status=429) == []


def _most_at_once(sandbox: Sandbox) -> int:
    """Return the most queues with requests in flight at once, from first to last transmission."""
    spans: dict[str, tuple[float, float]] = {}
    for request in sandbox.requests:
        first, _ = spans.get(request.path, (request.at, request.at))
        spans[request.path] = (first, request.at)
    events = sorted([(first, 1) for first, _ in spans.values()] + [(last, -1) for _, last in spans.values()])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


@settings(max_examples=200)
@given(
    durations=st.lists(st.integers(0, 5), max_size=25),
    concurrency=st.integers(1, 6),
    ordered=st.booleans(),
    failing=st.frozensets(st.integers(0, 25)),
    breaks=st.frozensets(st.integers(0, 25)),
)
def test_every_argument_has_one_outcome(
    durations: list[int], concurrency: int, *, ordered: bool, failing: frozenset[int], breaks: frozenset[int]
) -> None:
    """This holds for any durations, failures and interruptions, within the concurrency limit."""
    running = most = 0

    async def call(number: int) -> Outcome[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            for _ in range(durations[number]):
                await asyncio.sleep(0)
        finally:
            running -= 1
        if number in failing:
            return Failed(number, APIConnectionError("lost", maybe_sent=True), 1)
        return Succeeded(number, number, 1)

    async def run() -> list[int]:
        many = Outcomes(
            range(len(durations)),
            call,
            BulkOptions(concurrency=concurrency, ordered=ordered),
            finish=False,
        )
        got: list[int] = []
        going = True
        while going:
            going = False
            async for outcome in many:
                assert outcome.ok == (outcome.id not in failing)
                got.append(outcome.id)
                if outcome.id in breaks:
                    going = True
                    break
        assert len(asyncio.all_tasks()) == 1
        return got

    got = asyncio.run(run())
    assert (got if ordered else sorted(got)) == [*range(len(durations))]
    assert most <= concurrency


@pytest.mark.parametrize("ordered", [False, True], ids=["as they complete", "ordered"])
async def test_an_error_that_is_no_outcome_is_raised_once(*, ordered: bool) -> None:
    """The other calls have their outcomes before or after it."""

    async def call(number: int) -> Outcome[int]:
        await asyncio.sleep(0)
        if number == 3:
            raise LookupError(number)
        return Succeeded(number, number, 1)

    many = Outcomes(range(6), call, BulkOptions(concurrency=2, ordered=ordered), finish=False)
    got: list[int] = []
    with pytest.raises(LookupError):
        await _into(many, got)
    await _into(many, got)
    assert (got if ordered else sorted(got)) == [0, 1, 2, 4, 5]


async def test_a_cancelled_caller_loses_no_outcome() -> None:
    """Not even one that was given to it in the moment in which it was cancelled."""

    async def call(number: int) -> Outcome[int]:
        await asyncio.sleep(0)
        return Succeeded(number, number, 1)

    many, got = Outcomes(range(60), call, BulkOptions(concurrency=3), finish=False), list[int]()
    for turns in range(60):
        caller = asyncio.create_task(_into(many, got))
        for _ in range(turns % 8):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
    await _into(many, got)
    assert sorted(got) == [*range(60)]


async def test_another_caller_gets_what_a_cancelled_one_leaves() -> None:
    """It does not wait for the calls that still run."""

    async def call(number: int) -> Outcome[int]:
        await asyncio.sleep(3600 if number else 0)
        asyncio.get_running_loop().call_soon(callers[0].cancel)  # runs before the caller that gets the outcome
        return Succeeded(number, number, 1)

    many = Outcomes(range(3), call, BulkOptions(concurrency=2), finish=False)

    async def step() -> int:
        return (await anext(many)).id

    callers = [asyncio.create_task(step()) for _ in range(2)]
    async with asyncio.timeout(30):
        assert await callers[1] == 0
    assert callers[0].cancelled()
    await many.aclose()


async def test_close_ends_a_caller_that_waits() -> None:
    """Another task may close them."""
    forever = asyncio.Event()

    async def call(_: int) -> Outcome[int]:
        await forever.wait()
        raise AssertionError

    many = Outcomes(range(2), call, BulkOptions(), finish=False)
    caller = asyncio.create_task(_into(many, []))
    await asyncio.sleep(0)
    await many.aclose()
    async with asyncio.timeout(30):
        await caller


def test_calls_in_flight_are_repeated_in_another_loop() -> None:
    """They ended with the loop they were made in."""

    async def call(number: int) -> Outcome[int]:
        await asyncio.sleep(0.001 * number)
        return Succeeded(number, number, 1)

    many, got = Outcomes(range(3), call, BulkOptions(), finish=False), list[int]()

    async def first() -> None:
        got.append((await anext(many)).id)

    asyncio.run(first())
    asyncio.run(_into(many, got))
    assert got == [0, 1, 2]


async def test_an_outcome_costs_few_function_calls() -> None:
    """A call that waits once, and its outcome, cost few steps beside the call itself."""

    async def call(number: int) -> Outcome[int]:
        await asyncio.sleep(0)
        return Succeeded(number, number, 1)

    async def all_of(count: int) -> None:
        assert len(await Outcomes(range(count), call, BulkOptions(), finish=False).collect()) == count

    await all_of(10)
    profile = cProfile.Profile()
    profile.enable()
    await all_of(1000)
    profile.disable()
    assert sum(entry.callcount for entry in profile.getstats()) <= 60 * 1000


async def test_a_million_ids_are_not_a_million_tasks(client: AlohubClient) -> None:
    """Only the ids that are needed are read from an endless iterator."""
    taken = 0

    def ids() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield FIRST

    async for _ in client.queues.get_many_inbound(ids(), concurrency=10):
        if taken > 100:
            break
        assert len(asyncio.all_tasks()) < 40
    await until(lambda: client.rate_limits.tenant.in_flight == 0)
