"""The inbound queues of a tenant."""

import asyncio
import random
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast
from weakref import WeakValueDictionary

import attrs

from alohub_async.codec.converter import FieldError, converter_for
from alohub_async.codec.fast_lists import list_decoder
from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    DeadlineExceededError,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
)
from alohub_async.http.requestor import Requestor
from alohub_async.http.requests import build_request
from alohub_async.http.responses import read_record, read_success
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy, UpdateResult
from alohub_async.options import CallOptions, Deadline
from alohub_async.pagination import Consistency, Pager
from alohub_async.rate_limits.priorities import Priority
from alohub_async.resources.bulk import (
    DEFAULT_CONCURRENCY,
    MAX_CONCURRENCY,
    Outcome,
    Outcomes,
    SharedCalls,
    check_arguments,
    outcome_of,
)
from alohub_async.resources.edits import Edit, check_expected, differing, refuse_conflict, wanted_values
from alohub_async.resources.paging import DEFAULT_MAX_PASSES, DEFAULT_PREFETCH, WalkOptions, make_pager
from alohub_async.routes import GET_INBOUND, LIST_INBOUND, UPDATE_INBOUND
from alohub_async.unset import UNSET, UnsetType
from alohub_async.validation import check_count

_ID_FIELD: Final = "callinId"
_Pairs: TypeAlias = Iterable[tuple[int, InboundQueueUpdate]] | AsyncIterable[tuple[int, InboundQueueUpdate]]
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
    _reads: SharedCalls[Outcome[InboundQueue]] = attrs.field(
        init=False, factory=SharedCalls[Outcome[InboundQueue]], eq=False, repr=False
    )

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
          the whole list. It rests on the API not giving an id twice.

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
            decode=list_decoder(InboundQueue),
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
        record = read_record(response.payload, id_field=_ID_FIELD, request=request)
        return self._structure(record, where=request), response.attempts

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
        options = CallOptions(deadline=deadline, max_wait=max_rate_limit_wait, priority=priority)
        return await self._update(queue_id, _chosen(changes, fields), options)

    async def _update(
        self, queue_id: int, changes: InboundQueueUpdate, options: CallOptions, requestor: Requestor | None = None
    ) -> UpdateResult:
        request = build_request(
            UPDATE_INBOUND,
            self._requestor.config.endpoint,
            path_values={"id": queue_id},
            json=_update_body(changes),
        )
        response = await (requestor or self._requestor).send(request, options)
        said = None
        if response.payload is not None:  # an answer without content (204) says yes, too
            said = read_success(response.payload, request=request).get("error_message")
        return UpdateResult(queue_id, said if isinstance(said, str) else None, response.attempts)

    async def edit_inbound(
        self,
        queue_id: int,
        changes: InboundQueueUpdate,
        *,
        expect: InboundQueue | None = None,
        dry_run: bool = False,
        verify: bool = True,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
    ) -> Edit:
        """Read a queue, update what differs, and read it back.

        Where nothing differs, nothing is sent. Where an update may have been taken although no answer came, the queue
        is read before the update is repeated. The API has no conditional update: what somebody else writes between the
        reading and the writing is not noticed.

        Args:
            queue_id: Its id, 1 or more.
            changes: What it should be.
            expect: A snapshot; a field that would be written must still be as it is there.
            dry_run: Send no update; only say what it would change.
            verify: Read the queue back after the update.
            deadline: Seconds for all requests together, waits included; None for the client's, for each.
            max_wait: Most seconds each request may wait for the rate limit; beyond it `RateLimitWaitError` at once.
            priority: Who goes first where requests wait for the rate limit; None for the client's.

        Raises:
            InvalidArgumentError: Nothing to change, or a value outside of what is said above.
            ConflictError: A field is not as expected; nothing was written.
            NotFoundError: No such queue, or it belongs to another tenant.
        """
        queue_id = _checked_id(queue_id)
        wanted, expect = wanted_values(changes), check_expected(queue_id, expect)
        budget = Deadline(
            CallOptions(deadline=deadline, max_wait=max_wait, priority=priority), what=f"edit of queue {queue_id}"
        )
        before, _ = await self._get(queue_id, budget.next_call())
        difference = differing(before, wanted)
        refuse_conflict(before, expect, difference)
        after, sent = attrs.evolve(before, **difference), bool(difference) and not dry_run
        if sent:
            seen = await self._write_safely(queue_id, difference, budget)
            if seen is None and verify:
                try:
                    seen, _ = await self._get(queue_id, budget.next_call())
                except AlohubError as error:
                    error.add_note(f"the update of queue {queue_id} was accepted; only reading it back failed")
                    raise
            after = after if seen is None else seen
        return Edit(
            id=queue_id,
            before=before,
            after=after,
            changed=tuple(difference),
            sent=sent,
            not_taken=tuple(differing(after, difference)),
        )

    async def _write_safely(self, queue_id: int, values: dict[str, Any], budget: Deadline) -> InboundQueue | None:
        """Update; after a failure that leaves open whether it was done, look. What was seen, if it was looked."""
        policy = self._requestor.retry
        once = attrs.evolve(self._requestor, retry=attrs.evolve(policy, retry_writes=False))
        changes, attempt = InboundQueueUpdate(**values), 0
        while True:
            attempt += 1
            try:
                await self._update(queue_id, changes, budget.next_call(), once)
            except (APIConnectionError, APIResponseError, InternalServerError) as error:
                if isinstance(error, DeadlineExceededError):
                    raise
                # It is looked whether it was done, so it may be repeated whenever a read may be.
                method = GET_INBOUND.method if policy.retry_writes else UPDATE_INBOUND.method
                delay = policy.delay(attempt, method, error, random.random)
                seen, _ = await self._get(queue_id, budget.next_call())
                if not differing(seen, values):
                    return seen
                if delay is None or not self._requestor.quota.spend():
                    raise
                await budget.sleep(delay)
            else:
                return None

    def get_many_inbound(
        self,
        ids: Iterable[int] | AsyncIterable[int],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        ordered: bool = False,
        stop_on_error: bool = False,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
    ) -> Outcomes[InboundQueue]:
        """Get many queues at once, each with an outcome of its own; nothing is sent before the first step.

        An id that is asked for twice at the same time, here or in another such call of this client, costs one request.

        Args:
            ids: Of the queues; taken as they are wanted, so there may be millions of them.
            concurrency: Most calls that are under way, or done and not handed out; 1 to 1,000.
            ordered: Whether the outcomes come in the order of the ids, rather than as they complete.
            stop_on_error: Raise the first failure and cancel the rest. A wrong key or a missing scope, which the rest
                would fail by too, always does so.
            deadline: Seconds for all of them together, from the first request; what is not done by then has a
                `DeadlineExceededError` for its outcome. None for the client's, for each.
            max_wait: Most seconds each may wait for the rate limit.
            priority: Who goes first where requests wait for the rate limit; None for the client's.

        Raises:
            InvalidArgumentError: An argument outside of what is said above. A single bad id is an outcome.
        """
        options = CallOptions(deadline=deadline, max_wait=max_wait, priority=priority)
        budget = Deadline(options, what="get_many_inbound")
        check_arguments("ids", ids)
        shared_by = options if deadline is None else budget

        async def get(queue_id: int) -> Outcome[InboundQueue]:
            return await outcome_of(queue_id, lambda: self._get(queue_id, budget.next_call()))

        return Outcomes(
            ids,
            lambda queue_id: self._reads.call((repr(queue_id), shared_by), lambda: get(queue_id)),
            concurrency=check_count("concurrency", concurrency, least=1, most=MAX_CONCURRENCY),
            ordered=ordered,
            stop_on_error=stop_on_error,
            finish=False,
        )

    def update_many_inbound(
        self,
        changes: Mapping[int, InboundQueueUpdate] | _Pairs,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        ordered: bool = False,
        stop_on_error: bool = False,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
    ) -> Outcomes[UpdateResult]:
        """Update many queues at once, each with an outcome of its own; nothing is sent before the first step.

        Two updates of one queue follow each other, in the order given.

        Args:
            changes: What to change, by id or as pairs of id and change; taken as they are wanted.
            concurrency: As for `get_many_inbound`.
            ordered: As for `get_many_inbound`.
            stop_on_error: Begin no more after the first failure, let those under way finish, then raise it. A wrong key
                or a missing scope always does so.
            deadline: As for `get_many_inbound`.
            max_wait: As for `get_many_inbound`.
            priority: As for `get_many_inbound`.

        Raises:
            InvalidArgumentError: An argument outside of what is said above. A single bad id or change is an outcome.
        """
        options = CallOptions(deadline=deadline, max_wait=max_wait, priority=priority)
        budget = Deadline(options, what="update_many_inbound")
        locks = WeakValueDictionary[str, asyncio.Lock]()

        async def update(pair: tuple[int, InboundQueueUpdate]) -> Outcome[UpdateResult]:
            queue_id, change = _checked_pair(pair)
            lock = locks.setdefault(repr(queue_id), asyncio.Lock())
            async with lock:
                return await outcome_of(queue_id, lambda: self._update_counted(queue_id, change, budget))

        check_arguments("changes", changes)
        return Outcomes(
            cast("Mapping[int, InboundQueueUpdate]", changes).items() if isinstance(changes, Mapping) else changes,
            update,
            concurrency=check_count("concurrency", concurrency, least=1, most=MAX_CONCURRENCY),
            ordered=ordered,
            stop_on_error=stop_on_error,
            finish=True,
        )

    async def _update_counted(
        self, queue_id: int, change: InboundQueueUpdate, budget: Deadline
    ) -> tuple[UpdateResult, int]:
        result = await self._update(_checked_id(queue_id), _chosen(change, InboundQueueUpdate()), budget.next_call())
        return result, result.attempts

    def _structure_page(self, records: Sequence[Any], page: int) -> list[InboundQueue]:
        try:
            return converter_for(strict=self._strict).structure(records, list[InboundQueue])
        except FieldError:  # once more, to say where
            return [self._structure(record, where=f"page {page}, index {at}") for at, record in enumerate(records)]

    def _structure(self, record: dict[str, Any], *, where: object) -> InboundQueue:
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


def _checked_pair(pair: Any) -> tuple[int, InboundQueueUpdate]:
    try:
        queue_id, change = pair
    except (TypeError, ValueError) as exc:
        raise InvalidArgumentTypeError(
            f"changes must be pairs of id and InboundQueueUpdate; {pair!r} was given"
        ) from exc
    return queue_id, change


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
