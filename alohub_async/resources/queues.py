"""The inbound queues of a tenant."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from alohub_async.config import check_deadline
from alohub_async.converter import FieldError, converter_for
from alohub_async.errors import APIResponseError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.models import UNSET, InboundQueue, InboundQueueUpdate, QueueStrategy, UnsetType, UpdateResult
from alohub_async.pagination import Pager
from alohub_async.requestor import Requestor
from alohub_async.resources.paging import make_pager
from alohub_async.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND
from alohub_async.wire import build_request, read_record, read_success

_ID_FIELD: Final = "callinId"
_ID_LIMIT: Final = 10**19  # more than any 64-bit number


@attrs.frozen
class Queues:
    """`client.queues`: list, get and update the tenant's inbound queues. The key needs the scope `queue`.

    Each call raises `AlohubError`s: `InvalidArgumentError` before anything is sent; `APIConnectionError`,
    `APIResponseError` or `APIStatusError` and its subclasses once retries are used up; `DeadlineExceededError` if there
    is a deadline.
    """

    _requestor: Requestor
    _strict: bool

    def list_inbound(
        self, *, page_size: int | None = None, token: str | None = None, deadline: float | None = None
    ) -> Pager[InboundQueue]:
        """List the inbound queues; nothing is sent before the first step of the pager.

        Args:
            page_size: Queues a page, 100 if not given. How many the server allows is not documented; if it caps the
                size, the pager follows. Not how many queues you get: that is all of them.
            token: Go on where `pager.token` or `error.resume_token` stood.
            deadline: Seconds for the whole walk from its first request, waits included; None for no end.

        Raises:
            InvalidArgumentError: A page size out of range, a string that is no token, a token of another list, …
        """
        return make_pager(
            self._requestor,
            LIST_INBOUND,
            self._structure_page,
            page_size=page_size,
            token=token,
            deadline=deadline,
            key=_ID_FIELD,
        )

    async def get_inbound(self, queue_id: int, *, deadline: float | None = None) -> InboundQueue:
        """Get one inbound queue.

        Args:
            queue_id: Its id, 1 or more.
            deadline: Seconds for the call in all, waits included; None for the client's.

        Raises:
            InvalidArgumentError: `queue_id` is no int of 1 or more.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        request = build_request(GET_INBOUND, self._requestor.config.endpoint, path_values={"id": _checked_id(queue_id)})
        response = await self._requestor.send(request, deadline=check_deadline(deadline))
        record = read_record(response.payload, id_field=_ID_FIELD, request=str(request))
        return self._structure(record, where=str(request))

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
        deadline: float | None = None,
    ) -> UpdateResult:
        """Update an inbound queue: what is given is set, the rest stays as it is.

        The call sets absolute values, so it is repeated after a failure like a read is; see `RetryPolicy.retry_writes`.

        Args:
            queue_id: Its id, 1 or more.
            changes: What to change; or name the fields:
            music_on_hold: File name of the music on hold, without a path.
            max_wait: Longest wait: whole seconds, 0 or more, or a `timedelta` of whole seconds.
            strategy: A known `QueueStrategy`, or its number.
            announce_position: Whether to tell callers their position.
            deadline: Seconds for the call in all, waits included; None for the client's.

        Raises:
            InvalidArgumentError: Nothing to change, both `changes` and fields, or a value outside of what is said
                above.
            BadRequestError: The API refused a value.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        queue_id = _checked_id(queue_id)
        fields = InboundQueueUpdate(
            music_on_hold=music_on_hold, max_wait=max_wait, strategy=strategy, announce_position=announce_position
        )
        body = _update_body(_chosen(changes, fields))
        request = build_request(
            UPDATE_INBOUND, self._requestor.config.endpoint, path_values={"id": queue_id}, json=body
        )
        response = await self._requestor.send(request, deadline=check_deadline(deadline))
        said = None
        if response.payload is not None:  # an answer without content (204) says yes, too
            said = read_success(response.payload, request=str(request)).get("error_message")
        return UpdateResult(queue_id, said if isinstance(said, str) else None, response.attempts)

    def _structure_page(self, records: Sequence[Any], page: int) -> list[InboundQueue]:
        return [self._structure(record, where=f"page {page}, index {index}") for index, record in enumerate(records)]

    def _structure(self, record: dict[str, Any], *, where: str) -> InboundQueue:
        try:
            return converter_for(strict=self._strict).structure(record, InboundQueue)
        except FieldError as exc:
            raise APIResponseError(
                f"{where}: field {exc.field!r} has a value that does not fit: {exc.value!r:.200}", status=200
            ) from exc


def _checked_id(queue_id: Any) -> int:
    if isinstance(queue_id, bool) or not isinstance(queue_id, int):
        raise InvalidArgumentTypeError(f"queue_id must be an int, such as 1001226; {queue_id!r} was given")
    if not 1 <= queue_id < _ID_LIMIT:
        shown = queue_id if abs(queue_id) < _ID_LIMIT else "a number of far more digits"
        raise InvalidArgumentError(f"queue_id must be 1 or more, of at most 19 digits; {shown} was given")
    return queue_id


def _chosen(changes: Any, fields: InboundQueueUpdate) -> InboundQueueUpdate:
    if changes is None:
        return fields
    if not isinstance(changes, InboundQueueUpdate):
        raise InvalidArgumentTypeError(f"changes must be an InboundQueueUpdate; {type(changes).__name__} was given")
    if fields != InboundQueueUpdate():
        raise InvalidArgumentError("give either changes or single fields, not both")
    return changes


def _update_body(changes: InboundQueueUpdate) -> dict[str, str | int]:
    """The body, in the write names and string forms of the vendor's page (PUT /v1/queues/inbound/{id})."""
    body: dict[str, str | int] = {}
    if changes.music_on_hold is not UNSET:
        body["moh_file_id"] = changes.music_on_hold
    if changes.max_wait is not UNSET:
        body["max_wait_sec"] = str(changes.max_wait)
    if changes.strategy is not UNSET:
        body["strategy"] = int(changes.strategy)
    if changes.announce_position is not UNSET:
        body["announce_position"] = "1" if changes.announce_position else "0"
    if not body:
        names = ", ".join(field.name for field in attrs.fields(InboundQueueUpdate))
        raise InvalidArgumentError(f"nothing to change: give at least one of {names}")
    return body
