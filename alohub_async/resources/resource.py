"""What a resource of the API can do, made from a declaration: list, get, update and edit, one or many.

A new resource needs a record class and an update class (see `models.py`), a `ResourceSpec` and a client's `Resource`.
"""

import asyncio
import functools
import random
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, Unpack, cast
from weakref import WeakValueDictionary

import attrs
from yarl import URL

import alohub_async  # edits and outcomes are imported when they are first used
from alohub_async.codec.answers import Decoders, decoders
from alohub_async.codec.updates import update_body
from alohub_async.errors import AlohubError, APIResponseError, DeadlineExceededError
from alohub_async.http.requestor import Requestor
from alohub_async.http.requests import Request, encode_json
from alohub_async.http.responses import read_record, read_success
from alohub_async.models import Record, RecordUpdate, UpdateResult, wire_names
from alohub_async.options import (
    DEFAULT_CONCURRENCY,
    BulkOptions,
    BulkOptionsDict,
    CallOptions,
    CallOptionsDict,
    Deadline,
    WalkOptionsDict,
)
from alohub_async.pagination import Pager
from alohub_async.resources.paging import Listing, LookUp, make_pager
from alohub_async.resources.records import structure_page, structure_record
from alohub_async.routes import Route
from alohub_async.secret import repr_of_fields
from alohub_async.validation import check_id, check_iterable, refuse

if TYPE_CHECKING:
    from alohub_async.resources.bulk import Outcome, SharedCalls
    from alohub_async.resources.edits import EditLog

RecordT = TypeVar("RecordT", bound=Record)
UpdateT = TypeVar("UpdateT", bound=RecordUpdate)

Ids: TypeAlias = Iterable[int] | AsyncIterable[int]

Changes: TypeAlias = Mapping[int, UpdateT] | Iterable[tuple[int, UpdateT]] | AsyncIterable[tuple[int, UpdateT]]
"""What to change about many records: by id, or as pairs of id and change."""

_NO_OPTIONS: Final = CallOptions()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ResourceSpec(Generic[RecordT, UpdateT]):
    """The declaration of a resource.

    Attributes:
        name: What one record is called in messages, such as `"queue"`.
        path: The path of the list; a record's own path is the same with `/{id}` behind it.
        record: The record class. Its field `id` has the wire name of the id.
        update: The update class.
    """

    name: str
    path: str
    record: type[RecordT]
    update: type[UpdateT]

    __repr__ = repr_of_fields


class Resource(Generic[RecordT, UpdateT]):
    """The calls of one resource; `spec` is its declaration."""

    def __init__(self, spec: ResourceSpec[RecordT, UpdateT], requestor: Requestor) -> None:
        """Created by `AlohubClient.resource`; sends nothing yet."""
        self.spec: ResourceSpec[RecordT, UpdateT] = spec
        self._requestor = requestor
        self._strict = requestor.options.strict
        self._list_route = Route("GET", spec.path)
        self._get_route = Route("GET", f"{spec.path}/{{id}}")
        self._update_route = Route("PUT", f"{spec.path}/{{id}}")
        self._base_url = requestor.options.endpoint.base_url
        self._record_paths = f"{self._base_url.raw_path.rstrip('/')}{spec.path}/"
        self._id_name = f"{spec.name}_id"
        self._id_field: str = wire_names(spec.record)["id"]
        self._reads: SharedCalls[Outcome[RecordT]] | None = None  # until the first one

    def __repr__(self) -> str:
        return f"<Resource {self.spec.path}>" if hasattr(self, "spec") else "<Resource>"

    @functools.cached_property
    def _decoders(self) -> Decoders:
        return decoders(self.spec.record, strict=self._strict)

    def list(
        self,
        *,
        details: bool | Callable[[LookUp[RecordT]], LookUp[RecordT]] = False,
        at_once: int = DEFAULT_CONCURRENCY,
        prove: bool = False,
        **options: Unpack[WalkOptionsDict],
    ) -> Pager[RecordT]:
        """Walk the list; see `Queues.list_inbound`.

        `details` may be a function that makes another look-up of the usual one; `at_once` look-ups run at a time. With
        `prove`, a single page that is shorter than requested is not believed to be all: one more request decides.
        """
        source = Listing(
            self._list_route,
            functools.partial(structure_page, self.spec.record, strict=self._strict),
            key=self._id_field,
            decode=self._decoders.list,
            detail=(self._get_route, details(self._get) if callable(details) else self._get) if details else None,
            at_once=at_once,
            prove=prove,
        )
        return make_pager(self._requestor, source, options, "details", "prove")

    async def get(self, record_id: int, **options: Unpack[CallOptionsDict]) -> RecordT:
        """Get one record; see `Queues.get_inbound`."""
        return (await self._get(record_id, CallOptions.of(options) if options else _NO_OPTIONS))[0]

    async def _get(self, record_id: int, options: CallOptions) -> tuple[RecordT, int]:
        """A record, and the transmissions it took."""
        cls, request = self.spec.record, Request(self._get_route, self._url_of(record_id))
        call = await self._requestor.send(request, options, self._decoders.record)
        if isinstance(call.payload, cls):  # decoded from the bytes
            return call.payload, call.attempts
        return call.decoded(self._record_of, call.payload, request), call.attempts

    def _record_of(self, payload: object, request: Request) -> RecordT:
        record = read_record(payload, id_field=self._id_field, request=request)
        return structure_record(self.spec.record, record, strict=self._strict, where=request)

    def _url_of(self, record_id: Any) -> URL:
        number = int(check_id(self._id_name, record_id))
        return self._base_url.with_path(f"{self._record_paths}{number}", encoded=True)

    async def update(self, record_id: int, changes: UpdateT, **options: Unpack[CallOptionsDict]) -> UpdateResult:
        """Update one record; see `Queues.update_inbound`."""
        return (await self._update(record_id, changes, CallOptions.of(options)))[0]

    async def _update(
        self, record_id: int, changes: UpdateT, options: CallOptions, requestor: Requestor | None = None
    ) -> tuple[UpdateResult, int]:
        """The result of an update, and the transmissions it took."""
        from alohub_async.resources.edits import require_changes

        url = self._url_of(record_id)
        require_changes(changes, self.spec.update)
        request = Request(self._update_route, url, encode_json(update_body(changes)))
        call = await (requestor or self._requestor).send(request, options)
        message = None
        if call.payload is not None:  # an answer without content (204) is a success, too
            message = call.decoded(read_success, call.payload, request=request).get("error_message")
        return UpdateResult(record_id, message if isinstance(message, str) else None, call.attempts), call.attempts

    async def edit(
        self,
        record_id: int,
        changes: UpdateT,
        *,
        expect: RecordT | None = None,
        dry_run: bool = False,
        verify: bool = True,
        **options: Unpack[CallOptionsDict],
    ) -> "alohub_async.Edit[RecordT]":
        """Read a record, update what differs, and read it back; see `Queues.edit_inbound`."""
        from alohub_async.resources import edits

        check_id(self._id_name, record_id)
        wanted, what = edits.require_changes(changes, self.spec.update), f"{self.spec.name} {record_id}"
        expect = edits.check_expected(record_id, expect, self.spec.record)
        deadline = Deadline(CallOptions.of(options, "expect", "dry_run", "verify"), what=f"edit of {what}")
        with edits.EditLog() as log:
            before = await self._read(record_id, deadline, log)
            difference = edits.differing(before, wanted)
            if expect is not None:
                refused = edits.conflict(what, before, {name: edits.value_of(expect, name) for name in difference})
                if refused is not None:
                    raise refused
            after, sent = attrs.evolve(before, **difference), bool(difference) and not dry_run
            if sent:
                seen = await self._write(record_id, difference, deadline, log)
                if seen is None and verify:
                    try:
                        seen = await self._read(record_id, deadline, log)
                    except AlohubError as error:
                        error.add_note(f"the update of {what} was accepted; only reading it back failed")
                        raise
                after = after if seen is None else seen
            changed, not_taken = tuple(difference), tuple(edits.differing(after, difference))
            return edits.Edit(id=record_id, before=before, after=after, changed=changed, sent=sent, not_taken=not_taken)

    async def _read(self, record_id: int, deadline: Deadline, log: "EditLog") -> RecordT:
        """Get the record of an edit, which must not compare, and write, by another one."""
        record = await log.read(self._get(record_id, deadline.next_call()))
        if record.id not in {record_id, None}:
            message = f"{self.spec.name} {record_id} was requested, and {self.spec.name} {record.id} came"
            raise APIResponseError(message, status=200)
        return record

    async def _write(
        self, record_id: int, values: dict[str, Any], deadline: Deadline, log: "EditLog"
    ) -> RecordT | None:
        """Update. After a failure that leaves open whether it was done, read the record; return it if that was done."""
        from alohub_async.resources import edits

        mine, policy = self._requestor, self._requestor.options.retry
        once = attrs.evolve(mine.options, retry=attrs.evolve(policy, retry_writes=False))
        requestor, changes, attempt = attrs.evolve(mine, options=once), self.spec.update(**values), 0
        while True:
            attempt += 1
            try:
                await log.update(self._update(record_id, changes, deadline.next_call(), requestor))
            except edits.OPEN_ERRORS as error:
                if isinstance(error, DeadlineExceededError):
                    raise
                # Since the record is read before, the update may be repeated whenever a read may be.
                method = "GET" if policy.retry_writes else "PUT"
                delay = policy.delay(attempt, method, error, random.random)
                seen = await self._read(record_id, deadline, log)
                if not edits.differing(seen, values):
                    return seen
                if delay is None or not mine.quota.spend():
                    raise
                await deadline.sleep(delay)
            else:
                return None

    def get_many(self, ids: Ids, **options: Unpack[BulkOptionsDict]) -> "alohub_async.Outcomes[RecordT]":
        """Get many records at once; see `Queues.get_many_inbound`."""
        from alohub_async.resources.bulk import Outcomes, SharedCalls, outcome_of

        chosen = BulkOptions.of(options)
        deadline = Deadline(CallOptions(**chosen.keywords()), what=f"get many {self.spec.name}s")
        check_iterable("ids", ids)
        reads = self._reads = self._reads or SharedCalls()
        shared_by = deadline if chosen.deadline else repr(chosen.keywords())  # whose hash is cheap

        def get(record_id: int) -> Coroutine[Any, Any, "Outcome[RecordT]"]:
            return reads.call((repr(record_id), shared_by), outcome_of, record_id, self._get, deadline)

        return Outcomes(ids, get, chosen, finish=False)

    def update_many(
        self, changes: Changes[UpdateT], **options: Unpack[BulkOptionsDict]
    ) -> "alohub_async.Outcomes[UpdateResult]":
        """Update many records at once; see `Queues.update_many_inbound`."""
        from alohub_async.resources.bulk import Outcomes, outcome_of

        chosen = BulkOptions.of(options)
        deadline = Deadline(CallOptions(**chosen.keywords()), what=f"update many {self.spec.name}s")
        locks = WeakValueDictionary[str, asyncio.Lock]()

        async def update(pair: Any) -> "Outcome[UpdateResult]":
            try:
                record_id, change = pair
            except (TypeError, ValueError) as exc:
                allowed = f"pairs of id and {self.spec.update.__name__}"
                raise refuse("changes", allowed, pair, wrong_type=True) from exc
            async with locks.setdefault(repr(record_id), asyncio.Lock()):
                return await outcome_of(record_id, self._update, deadline, change)

        check_iterable("changes", changes)
        pairs = cast("Mapping[int, UpdateT]", changes).items() if isinstance(changes, Mapping) else changes
        return Outcomes(pairs, update, chosen, finish=True)
