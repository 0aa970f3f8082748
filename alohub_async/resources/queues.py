"""The inbound queues of a tenant."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from alohub_async.calls import CallOptions
from alohub_async.config import Priority
from alohub_async.converter import FieldError, converter_for
from alohub_async.errors import APIResponseError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.models import UNSET, InboundQueue, InboundQueueUpdate, QueueStrategy, UnsetType, UpdateResult
from alohub_async.pagination import Consistency, Pager
from alohub_async.requestor import Requestor
from alohub_async.resources.paging import DEFAULT_MAX_PASSES, DEFAULT_PREFETCH, WalkOptions, make_pager
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
        self,
        *,
        page_size: int | None = None,
        token: str | None = None,
        prefetch: int = DEFAULT_PREFETCH,
        ordered: bool = True,
        consistency: Consistency = "detect",
        max_passes: int = DEFAULT_MAX_PASSES,
        details: bool = False,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
    ) -> Pager[InboundQueue]:
        """List the inbound queues; nothing is sent before the first step of the pager.

        Args:
            page_size: Queues a page, 100 if not given. How many the server allows is not documented; if it caps the
                size, the pager follows. Not how many queues you get: that is all of them.
            token: Go on where `pager.token` or `error.resume_token` stood.
            prefetch: Pages under way or in memory at most, 0 to 100, once the first has told how many there are; 0
                fetches each when it is asked for. A slow consumer stops the fetching.
            ordered: False hands pages out as they arrive.
            consistency: What to do about a list that moves while it is walked; see below.
            max_passes: Most walks that `repair` makes, 2 to 100.
            details: Hand out what `get_inbound` says of each queue, looked up while the walk goes on, up to 16 at a
                time. A queue that is gone by then is left out and counted in `pager.drift.gone`.
            deadline: Seconds for the whole walk from its first request, waits included; None for no end.
            max_wait: Most seconds each request may wait for the rate limit; beyond it `RateLimitWaitError` at once.
            priority: Who goes first where requests wait for the rate limit; None for the client's.

        The API counts pages by position, so a queue that is added or removed shifts all behind it. Whatever is chosen,
        each queue is handed out once. Then

        - `detect`: if the list does not move, all queues are. If it does, some may be missing; `pager.drift` tells of
          what was noticed (totals that changed, queues that came again). One that is removed and one that is added
          between two requests leave no trace, so nothing noticed is no proof.
        - `raise`: as `detect`, but `PageDriftError` as soon as something is noticed. Going on goes on all the same.
        - `repair`: the list is gathered first, walked at least twice, until a walk brings just as many queues as the
          list had when that walk began, all of them known before. Every queue that was there the whole time is then
          handed out, by id, as it was seen last, with those that were seen and removed since. `pager.drift.settled` is
          False if the list did not hold still for one of `max_passes` walks. Takes twice the requests, and memory for
          the whole list.

        No list that is counted by position can promise what was added or removed while it was walked, nor that all
        queues it shows were there at one moment, unless it was proven so.

        Raises:
            InvalidArgumentError: A value out of range, a string that is no token, a token of another list, …
        """
        return make_pager(
            self._requestor,
            LIST_INBOUND,
            self._structure_page,
            WalkOptions(
                page_size=page_size,
                token=token,
                prefetch=prefetch,
                ordered=ordered,
                consistency=consistency,
                max_passes=max_passes,
            ),
            CallOptions(deadline=deadline, max_wait=max_wait, priority=priority),
            key=_ID_FIELD,
            detail=(GET_INBOUND, self._detail) if details else None,
        )

    async def get_inbound(
        self,
        queue_id: int,
        *,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
    ) -> InboundQueue:
        """Get one inbound queue.

        Args:
            queue_id: Its id, 1 or more.
            deadline: Seconds for the call in all, waits included; None for the client's.
            max_wait: Most seconds to wait for the rate limit; beyond it `RateLimitWaitError` at once.
            priority: Who goes first where requests wait for the rate limit; None for the client's.

        Raises:
            InvalidArgumentError: `queue_id` is no int of 1 or more.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        return (await self._get(queue_id, CallOptions(deadline=deadline, max_wait=max_wait, priority=priority)))[0]

    async def _get(self, queue_id: int, options: CallOptions) -> tuple[InboundQueue, int]:
        """A queue, and the transmissions it took."""
        request = build_request(GET_INBOUND, self._requestor.config.endpoint, path_values={"id": _checked_id(queue_id)})
        response = await self._requestor.send(request, options)
        record = read_record(response.payload, id_field=_ID_FIELD, request=str(request))
        return self._structure(record, where=str(request)), response.attempts

    async def _detail(self, queue_id: int, options: CallOptions) -> InboundQueue:
        return (await self._get(queue_id, options))[0]

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
        max_rate_limit_wait: float | None = None,
        priority: Priority | None = None,
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
            max_rate_limit_wait: What the other calls name `max_wait`: most seconds to wait for the rate limit.
            priority: Who goes first where requests wait for the rate limit; None for the client's.

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
        options = CallOptions(deadline=deadline, max_wait=max_rate_limit_wait, priority=priority)
        response = await self._requestor.send(request, options)
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
