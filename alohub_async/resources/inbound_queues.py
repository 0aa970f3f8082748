"""The inbound queues of a tenant."""

from datetime import timedelta
from typing import Final, TypeAlias, Unpack

import attrs

import alohub_async  # outcomes and edits are imported when they are first used
from alohub_async.errors import InvalidArgumentError
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy, UpdateResult
from alohub_async.options import BulkOptionsDict, CallOptionsDict, WalkOptionsDict
from alohub_async.pagination import Pager
from alohub_async.resources.resource import Changes, Ids, Resource, ResourceSpec
from alohub_async.secret import repr_of_fields
from alohub_async.unset import UNSET, UnsetType

InboundQueues: TypeAlias = Resource[InboundQueue, InboundQueueUpdate]

INBOUND_QUEUES: Final = ResourceSpec(
    name="queue", path="/v1/queues/inbound", record=InboundQueue, update=InboundQueueUpdate
)


@attrs.frozen(eq=False, repr=False)
class Queues:
    """`client.queues`: list, get and update the tenant's inbound queues. The key needs the scope `queue`.

    Every call raises `AlohubError`s: `InvalidArgumentError` before anything is sent; `APIConnectionError`,
    `APIResponseError` or `APIStatusError` and its subclasses once retries are used up; `DeadlineExceededError` if there
    is a deadline. The options of each call are the keywords of the options class it names.

    Attributes:
        inbound: The same calls by their generic names.
    """

    inbound: InboundQueues

    __repr__ = repr_of_fields

    def list_inbound(self, *, details: bool = False, **options: Unpack[WalkOptionsDict]) -> Pager[InboundQueue]:
        """List the inbound queues; nothing is sent before the first step of the pager.

        Args:
            details: Yield what `get_inbound` returns for each queue, looked up during the walk, up to 16 at a time,
                those of the next pages meanwhile. A queue that is gone by then is only counted in `pager.drift.gone`.
            options: See `WalkOptions`.

        Raises:
            InvalidArgumentError: A value out of range, an invalid token, a token of another list, …
        """
        return self.inbound.list(details=details, **options)

    async def get_inbound(self, queue_id: int, **options: Unpack[CallOptionsDict]) -> InboundQueue:
        """Get one inbound queue.

        Args:
            queue_id: Its id, 1 or more.
            options: See `CallOptions`.

        Raises:
            InvalidArgumentError: `queue_id` is not an int of 1 or more.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        return await self.inbound.get(queue_id, **options)

    async def update_inbound(
        self,
        queue_id: int,
        changes: InboundQueueUpdate | None = None,
        /,
        *,
        music_on_hold: str | UnsetType = UNSET,
        max_wait: int | timedelta | UnsetType = UNSET,
        strategy: QueueStrategy | int | UnsetType = UNSET,
        announce_position: bool | UnsetType = UNSET,
        **options: Unpack[CallOptionsDict],
    ) -> UpdateResult:
        """Update an inbound queue: the given fields are set, the others stay as they are.

        The call sets absolute values, so it is repeated after a failure as a read is; see `RetryPolicy.retry_writes`.

        Args:
            queue_id: Its id, 1 or more.
            changes: What to change; or name the fields:
            music_on_hold: File name of the music on hold, without a path.
            max_wait: Longest wait: whole seconds, 0 or more, or a `timedelta` of whole seconds.
            strategy: A known `QueueStrategy`, or its number.
            announce_position: Whether to tell callers their position.
            options: See `CallOptions`.

        Raises:
            InvalidArgumentError: Nothing to change, both `changes` and fields, or a value that is not allowed.
            BadRequestError: The API refused a value.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        fields = InboundQueueUpdate(
            music_on_hold=music_on_hold, max_wait=max_wait, strategy=strategy, announce_position=announce_position
        )
        if changes is None:
            changes = fields
        elif fields != InboundQueueUpdate():
            raise InvalidArgumentError("give either changes or single fields, not both")
        return await self.inbound.update(queue_id, changes, **options)

    async def edit_inbound(
        self,
        queue_id: int,
        changes: InboundQueueUpdate,
        *,
        expect: InboundQueue | None = None,
        dry_run: bool = False,
        verify: bool = True,
        **options: Unpack[CallOptionsDict],
    ) -> "alohub_async.Edit[InboundQueue]":
        """Read a queue, update what differs, and read it back.

        If nothing differs, nothing is sent. If an update may have been done although no answer came, the queue is read
        before the update is repeated. The API has no conditional update: a write by others in between goes unnoticed.

        Args:
            queue_id: Its id, 1 or more.
            changes: What it should be.
            expect: A snapshot; a field that would be written must still be as it is there.
            dry_run: Send no update; only report what it would change.
            verify: Read the queue back after the update.
            options: See `CallOptions`; a deadline covers all requests together.

        Raises:
            InvalidArgumentError: Nothing to change, or a value that is not allowed.
            ConflictError: A field is not as expected; nothing was written.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        return await self.inbound.edit(queue_id, changes, expect=expect, dry_run=dry_run, verify=verify, **options)

    def get_many_inbound(self, ids: Ids, **options: Unpack[BulkOptionsDict]) -> "alohub_async.Outcomes[InboundQueue]":
        """Get many queues at once, each with an outcome of its own; nothing is sent before the first step.

        Two requests for one id at the same time, here or in another such call of this client, cost one request.

        Args:
            ids: Of the queues; taken as they are needed, so there may be millions of them.
            options: See `BulkOptions`. A deadline covers all calls together: what is not done by then has a
                `DeadlineExceededError` as its outcome. `stop_on_error` cancels the calls in flight.

        Raises:
            InvalidArgumentError: An argument that is not allowed. A single bad id is an outcome.
        """
        return self.inbound.get_many(ids, **options)

    def update_many_inbound(
        self, changes: Changes[InboundQueueUpdate], **options: Unpack[BulkOptionsDict]
    ) -> "alohub_async.Outcomes[UpdateResult]":
        """Update many queues at once, each with an outcome of its own; nothing is sent before the first step.

        Two updates of one queue follow each other, in the order given.

        Args:
            changes: What to change, by id or as pairs of id and change; taken as they are needed.
            options: See `BulkOptions`. A deadline covers all calls; `stop_on_error` lets those in flight finish first.

        Raises:
            InvalidArgumentError: An argument that is not allowed. A single bad id or change is an outcome.
        """
        return self.inbound.update_many(changes, **options)
