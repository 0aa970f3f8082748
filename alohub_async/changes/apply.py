"""Applies a plan; yields a result for each queue."""

import enum
from collections.abc import AsyncIterator
from typing import Final, Unpack

import attrs

from alohub_async.changes.plan import Plan, Step
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, AuthenticationError, ClientClosedError, ConflictError
from alohub_async.models import InboundQueueUpdate
from alohub_async.options import DEFAULT_CONCURRENCY, BulkOptions, CallOptions, CallOptionsDict, Deadline
from alohub_async.resources.bulk import Failed, Outcome, Outcomes, Succeeded
from alohub_async.resources.edits import differing

_HOPELESS: Final = (AuthenticationError, ClientClosedError)


class Status(enum.StrEnum):
    """The outcome of one change."""

    DONE = "done"
    UNCHANGED = "unchanged"
    """The queue already had the wanted values."""
    NOT_TAKEN = "not taken"
    """The server reported success, but a field does not have its wanted value."""
    CONFLICT = "conflict"
    """A field did not have its expected value, or it changed after the plan was made; nothing was written."""
    FAILED = "failed"
    """Nothing was written: the update was refused, or never sent."""
    UNKNOWN = "unknown"
    """The update failed, and was not found on looking for it, or looking failed, too; it may still be applied."""

    @property
    def is_good(self) -> bool:
        """Whether the queue has the wanted values."""
        return self in {Status.DONE, Status.UNCHANGED}


@attrs.frozen
class Result:
    """The result of one step of a plan.

    The error says why it is not done; it is None if it is done, or if the server did not apply the fields `not_taken`.
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
    client: AlohubClient, plan: Plan, *, concurrency: int = DEFAULT_CONCURRENCY, **options: Unpack[CallOptionsDict]
) -> AsyncIterator[Result]:
    """Apply a plan; yields the result of each queue in the order of completion.

    Each queue is read, must still be as the plan found it, gets the values that differ, and is read back. Nothing is
    sent before the iteration begins, nor for steps with nothing to write. A plan that was applied in part can be
    applied again, and so can its changes, by a new plan: queues that are done are then unchanged.

    At most `concurrency` queues, 1 to 1,000, are in progress at the same time. The options are those of `CallOptions`.
    A deadline covers all requests; a queue that is not done by then has failed, or is unknown if its update was sent.

    Raises:
        InvalidArgumentError: An argument is not allowed.
        AuthenticationError: The key is wrong. No further queue is started; those in progress are finished and yielded.
    """
    deadline = Deadline(CallOptions.of(options, "concurrency"), what="apply_plan")

    async def apply(step: Step) -> Outcome[Result]:
        try:
            return Succeeded(step.change.id, await _apply(client, step, deadline), 0)
        except _HOPELESS as error:
            return Failed(step.change.id, error, error.attempts)

    async for outcome in Outcomes(plan.steps, apply, BulkOptions(concurrency=concurrency), finish=True):
        yield outcome.unwrap()


async def _apply(client: AlohubClient, step: Step, deadline: Deadline) -> Result:
    if step.error is not None:
        return Result(step, _status_of(step.error), step.error)
    if not step.fields or step.found is None:
        return Result(step, Status.UNCHANGED)
    update = InboundQueueUpdate(**{field.name: field.after for field in step.fields})
    found = attrs.evolve(step.found, id=step.change.id)  # some responses lack the id
    try:
        call = deadline.next_call().keywords()
        edit = await client.queues.edit_inbound(step.change.id, update, expect=found, **call)
    except _HOPELESS:
        raise
    except AlohubError as error:
        if not error.maybe_written:
            return Result(step, _status_of(error), error)
        done = await _is_done(client, step, deadline)
        return Result(step, Status.DONE) if done else Result(step, Status.UNKNOWN, error)
    if edit.not_taken:
        return Result(step, Status.NOT_TAKEN, not_taken=edit.not_taken)
    return Result(step, Status.DONE if edit.sent else Status.UNCHANGED)


def _status_of(error: AlohubError) -> Status:
    return Status.CONFLICT if isinstance(error, ConflictError) else Status.FAILED


async def _is_done(client: AlohubClient, step: Step, deadline: Deadline) -> bool:
    """Whether an update that failed is found done; only the queue itself shows it."""
    try:
        queue = await client.queues.get_inbound(step.change.id, **deadline.next_call().keywords())
    except _HOPELESS:
        raise
    except AlohubError:
        return False
    return not differing(queue, {field.name: field.after for field in step.fields})
