"""Plans: what changes would do to the current queues. Nothing is written here."""

from collections.abc import Collection, Iterable
from typing import Final, Unpack

import attrs

from alohub_async.changes.diff import FieldChange
from alohub_async.changes.rows import WRITABLE, Change, reason_not_settable
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, InvalidArgumentError, NotFoundError
from alohub_async.models import InboundQueue
from alohub_async.options import DEFAULT_CONCURRENCY, BulkOptions, CallOptions, CallOptionsDict, Deadline
from alohub_async.resources.bulk import COMMON_ERRORS, Failed, Outcome, Outcomes, Succeeded
from alohub_async.resources.edits import conflict, differing, value_of

_MANY: Final = 50  # fewer queues are requested one by one, without asking for the length of the list
_WORTH: Final = 50  # listed queues per wanted queue: on average two wanted ones on a page of 100


@attrs.frozen
class Step:
    """The planned change of one queue.

    Attributes:
        found: The queue as it was read; None if it could not be read.
        fields: What would be written: the fields that do not have their wanted values yet.
        error: Why nothing will be written: reading failed, or a `ConflictError` if a field has an unexpected value.
    """

    change: Change
    found: InboundQueue | None
    fields: tuple[FieldChange, ...] = ()
    error: AlohubError | None = None


@attrs.frozen
class Plan:
    """Planned changes: a step for each, in their order."""

    steps: tuple[Step, ...]

    @property
    def to_write(self) -> tuple[Step, ...]:
        """The steps that would write."""
        return tuple(step for step in self.steps if step.fields and step.error is None)

    @property
    def impossible(self) -> tuple[Step, ...]:
        """The steps that cannot be done."""
        return tuple(step for step in self.steps if step.error is not None)

    @property
    def unchanged(self) -> int:
        """The number of queues that already have the wanted values."""
        return len(self.steps) - len(self.to_write) - len(self.impossible)


async def plan_changes(
    client: AlohubClient,
    changes: Iterable[Change],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    **options: Unpack[CallOptionsDict],
) -> Plan:
    """Read each queue that has a change, from the list if there are many, and return what differs.

    There may be one change for each queue. At most `concurrency` requests for details, 1 to 1,000, are made at the same
    time. The options are those of `CallOptions`; a deadline covers all requests together.

    Raises:
        InvalidArgumentError: A queue has several changes.
        AuthenticationError: The key is wrong.
        AlohubError: No queue could be read; the first error.
        DeadlineExceededError, RateLimitWaitError: There was not enough time.
    """
    wanted: dict[int, Change] = {}
    for change in changes:
        if wanted.setdefault(change.id, change) is not change:
            raise InvalidArgumentError(f"one change for each queue; queue {change.id} has several")
    deadline = Deadline(CallOptions.of(options, "concurrency"), what="plan_changes")
    listed = await _listed(client, wanted.keys(), deadline)
    steps = {queue.id: plan_step(wanted[queue.id], queue) for queue in listed if queue.id is not None}

    async def plan_one(queue_id: int) -> Outcome[Step]:
        try:
            queue = await client.queues.get_inbound(queue_id, **deadline.next_call().keywords())
        except COMMON_ERRORS as error:
            return Failed(queue_id, error, error.attempts)
        except AlohubError as error:
            return Succeeded(queue_id, plan_step(wanted[queue_id], None, error), error.attempts)
        return Succeeded(queue_id, plan_step(wanted[queue_id], queue), 0)

    missing = [queue_id for queue_id in wanted if queue_id not in steps]
    async for outcome in Outcomes(missing, plan_one, BulkOptions(concurrency=concurrency), finish=False):
        steps[outcome.id] = outcome.unwrap()
    failed = [step.error for step in steps.values() if step.found is None and step.error is not None]
    unread = [error for error in failed if not isinstance(error, NotFoundError)]
    if unread and len(unread) == len(steps):  # it is not about the queues
        raise unread[0]
    return Plan(tuple(steps[queue_id] for queue_id in wanted))


async def _listed(client: AlohubClient, ids: Collection[int], deadline: Deadline) -> list[InboundQueue]:
    """The listed queues of these ids if a walk takes fewer requests than `get_inbound` of each, else none.

    Drift and failures do not matter: a queue that the walk misses is requested by its id.
    """
    queues: list[InboundQueue] = []
    if len(ids) < _MANY:
        return queues
    pager = client.queues.list_inbound(**deadline.next_call().keywords())
    try:
        total = await pager.count()
        if total is not None and total <= len(ids) * _WORTH:
            async for page in pager.pages():
                queues += [queue for queue in page.items if queue.id in ids]
    except COMMON_ERRORS:
        raise
    except AlohubError:
        pass
    return queues


def plan_step(change: Change, found: InboundQueue | None, error: AlohubError | None = None) -> Step:
    """What the change would do to the queue; pure."""
    if found is None:
        return Step(change, None, error=error)
    wanted = differing(found, change.wanted)
    fields = tuple(FieldChange(name, value_of(found, name), value) for name, value in wanted.items())
    expected = {name: value for name, value in change.expect.items() if name in wanted}
    others = [name for name in change.expect if name not in change.wanted and value_of(found, name) is not None]
    edited = {name: change.expect[name] for name in others if value_of(found, name) != change.expect[name]}
    why = f", of which only {', '.join(WRITABLE)} can be changed," if edited.keys() - {*WRITABLE} else ""
    for name in edited.keys() & {*WRITABLE}:
        why += f" ({reason_not_settable(FieldChange(name, None, edited[name]))})"
    return Step(change, found, fields, conflict(f"queue {change.id}{why}", found, {**expected, **edited}))
