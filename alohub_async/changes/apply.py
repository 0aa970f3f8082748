"""Doing what a plan says, with a result for each queue."""

import enum
from collections.abc import AsyncIterator
from typing import Final

import attrs

from alohub_async.changes.plan import DEFAULT_CONCURRENCY, Plan, Step
from alohub_async.client import AlohubClient
from alohub_async.errors import (
    AlohubError,
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from alohub_async.models import InboundQueueUpdate
from alohub_async.options import CallOptions, Deadline
from alohub_async.rate_limits.priorities import Priority
from alohub_async.resources import Outcome, Outcomes
from alohub_async.validation import check_count

_MAX_CONCURRENCY: Final = 1000
_HOPELESS: Final = (AuthenticationError, PermissionDeniedError, ClientClosedError)


class Status(enum.StrEnum):
    """What came of one change."""

    DONE = "done"
    UNCHANGED = "unchanged"
    """It was as wanted already."""
    NOT_TAKEN = "not taken"
    """The server said yes, and a field is not as wanted."""
    CONFLICT = "conflict"
    """A field was not as expected, or has changed since the plan; nothing was written."""
    FAILED = "failed"
    """Nothing was written."""
    UNKNOWN = "unknown"
    """It failed, and so did looking whether it was done all the same."""

    @property
    def is_good(self) -> bool:
        """Whether the queue is as wanted."""
        return self in {Status.DONE, Status.UNCHANGED}


@attrs.frozen
class Result:
    """What came of one step of a plan.

    Attributes:
        step: The step.
        status: What came of it.
        error: Why it is not done; None if it is, or if the server did not take a field.
        not_taken: Names of the fields that the server did not take.
    """

    step: Step
    status: Status
    error: AlohubError | None = None
    not_taken: tuple[str, ...] = ()

    @property
    def id(self) -> int:
        """The queue's id."""
        return self.step.change.id


async def apply_plan(
    client: AlohubClient,
    plan: Plan,
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    deadline: float | None = None,
    priority: Priority | None = None,
) -> AsyncIterator[Result]:
    """Write what the plan says, and say of each queue what came of it, as they complete.

    Each queue is read, must still be as the plan found it, gets what differs, and is read back. Nothing is sent before
    the first step of the loop, nor for steps with nothing to write. A plan that was applied in part can be applied
    again, and so can its changes, by a new plan: what is done already is then unchanged.

    Args:
        client: Writes them.
        plan: What `plan_changes` returned.
        concurrency: Most queues under way, 1 to 1,000.
        deadline: Seconds for all of it; what is not done by then has failed. None for the client's, for each request.
        priority: Who goes first where requests wait for the rate limit; None for the client's.

    Raises:
        InvalidArgumentError: An argument outside of what is said above.
        AuthenticationError: The key is wrong. The rest is not begun; what was under way is finished and handed out.
        PermissionDeniedError: The key lacks the scope; likewise.
    """
    check_count("concurrency", concurrency, least=1, most=_MAX_CONCURRENCY)
    budget = Deadline(CallOptions(deadline=deadline, priority=priority), what="apply_plan")

    async def apply(step: Step) -> Outcome[Result]:
        try:
            return Outcome(step.change.id, await _apply(client, step, budget), None, 0)
        except _HOPELESS as error:
            return Outcome(step.change.id, None, error, error.attempts)

    results = Outcomes(plan.steps, apply, concurrency=concurrency, ordered=False, stop_on_error=False, finish=True)
    try:
        async for outcome in results:
            yield outcome.unwrap()
    finally:
        results.release()


async def _apply(client: AlohubClient, step: Step, budget: Deadline) -> Result:
    if step.error is not None:
        return Result(step, _status_of(step.error), step.error)
    if not step.fields or step.found is None:
        return Result(step, Status.UNCHANGED)
    update = InboundQueueUpdate(**{field.name: field.after for field in step.fields})
    queue_id = step.change.id
    try:
        options = budget.next_call()
        edit = await client.queues.edit_inbound(
            queue_id,
            update,
            expect=attrs.evolve(step.found, id=queue_id),  # some answers lack it
            deadline=options.deadline,
            priority=options.priority,
        )
    except _HOPELESS:
        raise
    except (ConflictError, InvalidArgumentError) as error:  # before anything was written
        return Result(step, _status_of(error), error)
    except AlohubError as error:
        return await _looked(client, step, error, budget)
    if edit.not_taken:
        return Result(step, Status.NOT_TAKEN, not_taken=edit.not_taken)
    return Result(step, Status.DONE if edit.sent else Status.UNCHANGED)


def _status_of(error: AlohubError) -> Status:
    return Status.CONFLICT if isinstance(error, ConflictError) else Status.FAILED


async def _looked(client: AlohubClient, step: Step, error: AlohubError, budget: Deadline) -> Result:
    """What came of an edit that failed on the way: the error does not tell whether it was written, the queue does."""
    try:
        options = budget.next_call()
        found = await client.queues.get_inbound(step.change.id, deadline=options.deadline, priority=options.priority)
    except _HOPELESS:
        raise
    except NotFoundError as gone:
        return Result(step, Status.FAILED, gone)
    except AlohubError:
        return Result(step, Status.UNKNOWN, error)
    done = all(getattr(found, field.name) == field.after for field in step.fields)
    return Result(step, Status.DONE) if done else Result(step, Status.FAILED, error)
