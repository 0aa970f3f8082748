"""What changes would do to the queues as they are now; nothing is written here."""

from collections.abc import Collection, Iterable
from typing import Final, Unpack

import attrs

from alohub_async.changes.diff import FieldChange
from alohub_async.changes.rows import Change
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, InvalidArgumentError, NotFoundError
from alohub_async.models import InboundQueue
from alohub_async.options import DEFAULT_CONCURRENCY, CallOptions, CallOptionsDict, Deadline
from alohub_async.resources.edits import conflict, differing

_MANY: Final = 50  # fewer are looked up without asking how long the list is
_WORTH: Final = 50  # queues of the list to one that is wanted: two of them on a page of a hundred


@attrs.frozen
class Step:
    """What is to be done about one queue.

    Attributes:
        change: What it should be.
        found: The queue as it was read; None if there is none of that id.
        fields: What would be written: the fields that are not as wanted yet.
        error: Why nothing will be written: a `NotFoundError`, or a `ConflictError` if a field is not as expected.
    """

    change: Change
    found: InboundQueue | None
    fields: tuple[FieldChange, ...] = ()
    error: AlohubError | None = None


@attrs.frozen
class Plan:
    """What is to be done.

    Attributes:
        steps: One for each change, in their order.
    """

    steps: tuple[Step, ...]

    @property
    def to_write(self) -> tuple[Step, ...]:
        """Those that would write."""
        return tuple(step for step in self.steps if step.fields and step.error is None)

    @property
    def impossible(self) -> tuple[Step, ...]:
        """Those that cannot be done."""
        return tuple(step for step in self.steps if step.error is not None)

    @property
    def unchanged(self) -> int:
        """How many queues are as wanted already."""
        return len(self.steps) - len(self.to_write) - len(self.impossible)


async def plan_changes(
    client: AlohubClient,
    changes: Iterable[Change],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    **options: Unpack[CallOptionsDict],
) -> Plan:
    """Read each queue that is to be changed, from the list if they are many, and say what differs.

    Args:
        client: Reads them.
        changes: At most one for each queue.
        concurrency: Most calls under way, 1 to 1,000.
        options: See `CallOptions`; a deadline covers all requests together.

    Raises:
        InvalidArgumentError: Two changes of one queue.
        AlohubError: A queue could not be read, other than that there is none; then there is no plan.
    """
    wanted: dict[int, Change] = {}
    for change in changes:
        if wanted.setdefault(change.id, change) is not change:
            raise InvalidArgumentError(f"one change for each queue; queue {change.id} has several")
    deadline = Deadline(CallOptions.of(options, "concurrency"), what="plan_changes")
    steps = {queue.id: plan_step(wanted[queue.id], queue) for queue in await _listed(client, wanted.keys(), deadline)}
    outcomes = client.queues.get_many_inbound(
        [queue_id for queue_id in wanted if queue_id not in steps],
        concurrency=concurrency,
        **deadline.next_call().keywords(),
    )
    async for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, NotFoundError):
            outcome.error.add_note(f"queue {outcome.id}")
            raise outcome.error
        steps[outcome.id] = plan_step(wanted[outcome.id], outcome.value, outcome.error)
    return Plan(tuple(steps[queue_id] for queue_id in wanted))


async def _listed(client: AlohubClient, ids: Collection[int], deadline: Deadline) -> list[InboundQueue]:
    """Those of the queues that the list shows, if walking it takes fewer requests than looking each up.

    Whether the list moves does not matter: what it does not show is looked up.
    """
    if len(ids) < _MANY:
        return []
    pager = client.queues.list_inbound(**deadline.next_call().keywords())
    total = await pager.count()
    if total is None or total > len(ids) * _WORTH:
        return []
    return [queue async for queue in pager if queue.id in ids]


def plan_step(change: Change, found: InboundQueue | None, error: AlohubError | None = None) -> Step:
    """What the change would do to the queue as it was found; pure."""
    if found is None:
        return Step(change, None, error=error)
    fields = tuple(
        FieldChange(name, getattr(found, name), value) for name, value in differing(found, change.wanted).items()
    )
    expected = {field.name: change.expect[field.name] for field in fields if field.name in change.expect}
    return Step(change, found, fields, conflict(f"queue {change.id}", found, expected))
