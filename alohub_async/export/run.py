"""One run of an export: walks the list in passes, and stores every page in the journal."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

import attrs

from alohub_async.background_tasks import wait_until_done
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError, NotFoundError
from alohub_async.export.exported import Key, key_of
from alohub_async.export.journal import Journal
from alohub_async.export.report import ExportProgress
from alohub_async.export.state import Spent, State
from alohub_async.files.records import columns_of
from alohub_async.options import CallOptions, Deadline, PageOptions, PageOptionsDict
from alohub_async.pagination import Page, Pager
from alohub_async.resources.paging import LookUp
from alohub_async.resources.records import RecordT
from alohub_async.resources.resource import Resource
from alohub_async.validation import check_choice

T = TypeVar("T")

ExportConsistency: TypeAlias = Literal["detect", "repair"]
"""Whether an export walks the list once and reports signs of movement, or walks it until it is proven whole."""

OnProgress: TypeAlias = Callable[[ExportProgress], object]
"""Is called with the progress of an export."""


class ExportChoicesDict(PageOptionsDict, total=False):
    """Keywords of every export; see `ExportOptions`."""

    details: bool
    consistency: ExportConsistency
    restart: bool
    excel: bool


class ExportOptionsDict(ExportChoicesDict, total=False):
    """Keywords of `export_inbound` and `export_resource`; see `ExportOptions`."""

    on_progress: OnProgress | None


@attrs.frozen(kw_only=True, repr=False)
class ExportOptions(PageOptions):
    """How a list is exported. The priority is `bulk` if none is given.

    Attributes:
        details: Write what `get_inbound` returns for each queue; each queue is looked up once.
        consistency: `"repair"` walks the list at least twice, until it is proven whole (see `WalkOptions`);
            `"detect"` walks it once and reports signs that it moved.
        restart: Discard what an interrupted export has.
        excel: Write a CSV that a spreadsheet opens right, and that `read_changes` takes back after editing.
        on_progress: Called at the beginning, and after each detail, each page and each pass.

    Raises:
        InvalidArgumentError: A value out of range, or an unknown name.
    """

    details: bool = False
    consistency: ExportConsistency = "repair"
    restart: bool = False
    excel: bool = False
    on_progress: OnProgress | None = None

    def __attrs_post_init__(self) -> None:
        check_choice("consistency", self.consistency, get_args(ExportConsistency))


async def in_thread(thread: Executor | None, work: Callable[[], T]) -> T:
    """Run what waits for the disk in a thread (None: the loop's). It ends first, even if the caller is cancelled."""
    done = asyncio.get_running_loop().run_in_executor(thread, work)
    await wait_until_done([done])
    return done.result()


class ExportRun(Generic[RecordT]):
    """One run of an export."""

    def __init__(
        self, client: AlohubClient, journal: Journal, resource: Resource[RecordT, Any], options: ExportOptions
    ) -> None:
        self.state: State = attrs.evolve(journal.state, runs=journal.state.runs + 1)  # what the journal has
        self._client = client
        self._journal = journal
        self._passes = journal.passes
        self._resource = resource
        self._options = options
        self._to_dict = columns_of(resource.spec.record).to_dict
        self._count = 0  # records in this run
        self._found: dict[Key, RecordT | None] = {}  # details of records whose page has not come; None if one is gone
        self._spent_before = journal.state.spent
        self._limits_before = client.rate_limits
        self._pager: Pager[RecordT] | None = None  # of the pass
        self._started = asyncio.get_running_loop().time()

    async def run(self, deadline: Deadline) -> None:
        """Walk the list in passes, as many as it takes."""
        if self.state.ended:
            return
        await self._save([], [], self.state)  # count this run, whatever its result
        try:
            while not self.state.ended:
                await self._pass(deadline)
        except AlohubError as error:
            if not isinstance(error, FileError):
                await self._save([], [], self.state)  # store what this run has cost
            raise

    async def _pass(self, deadline: Deadline) -> None:
        """Walk the list, or resume the walk, and conclude the pass."""
        options, prove = self._options, self._options.consistency == "repair"
        self._pager = pager = self._resource.list(
            details=self._keeping if options.details else False,
            prove=prove,
            token=self.state.token,
            page_size=options.page_size,
            prefetch=options.prefetch,
            **deadline.next_call().keywords(),
        )
        async for page in pager.pages():
            await self._take(page, pager)
        most, refuted = options.max_passes if prove else None, pager.total is None
        goes_on = self._passes.end_pass(pager.drift, max_passes=most, refuted=refuted)
        state = attrs.evolve(self._with_passes(pager), ended=not goes_on)
        await self._save([], [], attrs.evolve(state, token=None, received=0) if goes_on else state)

    def _keeping(self, look_up: LookUp[RecordT]) -> LookUp[RecordT]:
        """Look up the details of records that are not in the journal already; they are kept until their page comes."""

        async def keep(record_id: int, options: CallOptions) -> tuple[None, int]:
            passes, found = self._passes, self._found
            if not (record_id in found or passes.was_known(record_id) or passes.came(record_id)):
                try:
                    found[record_id], _ = await look_up(record_id, options)
                except NotFoundError:
                    found[record_id] = None
                self._report()
            return None, 0

        return keep

    async def _take(self, page: Page[RecordT], pager: Pager[RecordT]) -> None:
        """Put a page into the journal, without the records that came in this pass already."""
        passes, cls = self._passes, self._resource.spec.record
        keys = [record.id or key_of(cls, self._to_dict(record)) for record in page.items]
        repeated = passes.add_page(page.number, keys, page.total, pager.drift)
        new = [pair for index, pair in enumerate(zip(keys, page.items, strict=True)) if index not in repeated]
        known = {key for key, _ in new if self._options.details and passes.was_known(key)}
        latest = [(key, self._found.pop(key, record)) for key, record in new if key not in known]
        records = [record for _, record in latest if record is not None]
        gone = [key for key, record in latest if record is None]
        received, missing = self.state.received + len(page.items), self.state.gone + len(gone)
        state = attrs.evolve(self._with_passes(pager), token=pager.token, received=received, gone=missing)
        self._count += len(page.items)
        await self._save(records, [*known, *gone], state)

    def _with_passes(self, pager: Pager[RecordT]) -> State:
        total = self.state.total if pager.total is None else pager.total
        return attrs.evolve(self.state, passes=self._passes.state, total=total)

    async def _save(self, records: Sequence[RecordT], known: Sequence[Key], state: State) -> None:
        state = attrs.evolve(state, spent=self.spent())
        await in_thread(self._journal.thread, lambda: self._journal.add([*map(self._to_dict, records)], known, state))
        self.state = state
        self._report()

    def spent(self) -> Spent:
        """Return what the export has cost until now."""
        before, then, now = self._spent_before, self._limits_before, self._client.rate_limits
        return Spent(
            requests=before.requests + now.tenant.sent - then.tenant.sent,
            denied=before.denied + now.denied - then.denied,
            waited=before.waited + now.tenant.waited - then.tenant.waited,
            seconds=before.seconds + asyncio.get_running_loop().time() - self._started,
        )

    def _report(self) -> None:
        """Report the progress."""
        if self._options.on_progress is None:
            return
        total = self.state.total if self._pager is None or self._pager.total is None else self._pager.total
        tenant, elapsed = self._client.tenant_rate_limit, self.state.spent.seconds - self._spent_before.seconds
        now = ExportProgress(
            number=self.state.passes.number,
            written=self._passes.count,
            total=total,
            seconds=self.state.spent.seconds,
            rate=self._count / elapsed if elapsed else 0.0,
            free=tenant.free,
            limit=tenant.limit,
            waiting=tenant.waiting > 0,
        )
        self._options.on_progress(now)
