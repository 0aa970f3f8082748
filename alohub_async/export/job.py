"""`export_inbound`: walk a list, keep a journal, prove the list whole, write the file."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, get_args

import attrs

from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError, NotFoundError
from alohub_async.export.exported import ExportedList, Key, RecordT
from alohub_async.export.journal import Journal, open_journal
from alohub_async.export.report import ExportProgress, ExportReport
from alohub_async.export.state import Spent, State, verdict
from alohub_async.files import (
    check_ending,
    json_text,
    queue_of,
    queue_record,
    remove_leftovers,
    replacing,
    write_queues,
)
from alohub_async.models import InboundQueue
from alohub_async.options import CallOptions, Deadline
from alohub_async.pagination import Page, Pager
from alohub_async.rate_limits.priorities import Priority
from alohub_async.validation import check_choice

T = TypeVar("T")

ExportConsistency: TypeAlias = Literal["detect", "repair"]
"""Whether an export walks the list once and reports signs of movement, or walks it until it is proven whole."""

OnProgress: TypeAlias = Callable[[ExportProgress], object]
"""Is called with the progress of an export."""

_PAGE_SIZE: Final = 100


@attrs.frozen(kw_only=True)
class ExportOptions:
    """How a list is exported; see `export_inbound`."""

    page_size: int | None
    prefetch: int
    details: bool
    consistency: ExportConsistency
    max_passes: int
    restart: bool
    on_progress: OnProgress | None
    call: CallOptions

    def __attrs_post_init__(self) -> None:
        check_choice("consistency", self.consistency, get_args(ExportConsistency))


async def export_inbound(
    client: AlohubClient,
    path: str | Path,
    *,
    page_size: int | None = None,
    prefetch: int = 4,
    details: bool = False,
    consistency: ExportConsistency = "repair",
    max_passes: int = 5,
    restart: bool = False,
    on_progress: OnProgress | None = None,
    priority: Priority | None = "bulk",
    deadline: float | None = None,
) -> ExportReport:
    """Export all inbound queues into a file. If it is interrupted at any moment, the same call resumes it.

    Until the export is done, it keeps a journal beside the file (`….part`), and an older file stays as it is. Then the
    new file replaces it in one step, with a report beside it (`….report.json`), and the journal is removed.

    Args:
        client: The client of the tenant.
        path: The file. Its ending is the format: `.jsonl`, `.csv` or `.parquet`.
        page_size: Queues per page; 100 if not given.
        prefetch: Maximum number of pages in flight or in memory.
        details: Write what `get_inbound` returns for each queue; each queue is looked up once.
        consistency: `"repair"` walks the list at least twice, until it is proven whole (see `list_inbound`);
            `"detect"` walks it once and reports signs that it moved.
        max_passes: Maximum number of walks that `repair` makes, 2 to 100.
        restart: Discard what an interrupted export has.
        on_progress: Called at the beginning, and after each page and each pass.
        priority: Which requests go first when they wait for the rate limit; None for the client's priority.
        deadline: Seconds for this call, waits included; None for no limit. Calling again resumes the export.

    Raises:
        InvalidArgumentError: A value is out of range, or no format has this ending.
        ConfigurationError: The package that the format needs is not installed.
        FileError: The file or its journal cannot be written, another export is writing it, or the journal belongs to
            another tenant, endpoint or set of options.
        AlohubError: As for every call; what has come is kept.
    """
    queues = ExportedList(
        record_class=InboundQueue,
        list_records=client.queues.list_inbound,
        get_many=client.queues.get_many_inbound,
        to_json=queue_record,
        from_json=queue_of,
        write=write_queues,
    )
    options = ExportOptions(
        page_size=page_size,
        prefetch=prefetch,
        details=details,
        consistency=consistency,
        max_passes=max_passes,
        restart=restart,
        on_progress=on_progress,
        call=CallOptions(deadline=deadline, priority=priority),
    )
    return await export_list(client, Path(path), queues, options)


async def export_list(
    client: AlohubClient, target: Path, exported: ExportedList[RecordT], options: ExportOptions
) -> ExportReport:
    """Export any list of records with ids; see `export_inbound`.

    Args:
        client: The client of the tenant.
        target: The file.
        exported: The list.
        options: How it is exported.
    """
    check_ending(target)
    exported.list_records(**_walk_options(options))  # refuses bad input before a journal is created
    header = {
        "target": target.name,
        "page_size": options.page_size or _PAGE_SIZE,
        "details": options.details,
        "consistency": options.consistency,
    }
    with open_journal(target, exported.key_of) as journal:
        remove_leftovers(target)
        remove_leftovers(report_path(target))
        await _match(journal, client, header, restart=options.restart)
        export = _Export(client, journal, exported, options, Deadline(options.call, what=f"export to {target}"))
        await export.run()
        state = attrs.evolve(export.state, spent=export.spent())
        return await _in_thread(lambda: _finish(journal, target, exported, state, options.consistency))


def _walk_options(options: ExportOptions) -> dict[str, Any]:
    """Return the keywords of a walk, apart from its token and its deadline."""
    return {
        "page_size": options.page_size,
        "prefetch": options.prefetch,
        "max_passes": options.max_passes,
        "priority": options.call.priority,
    }


async def _match(journal: Journal, client: AlohubClient, wanted: dict[str, Any], *, restart: bool) -> None:
    """Make sure that the journal belongs to this export: start it, or compare its header."""
    wanted = {"endpoint": str(client.endpoint.base_url), "tenant_id": client.tenant_id, **wanted}

    async def with_key(salt: str) -> dict[str, Any]:
        if client.tenant_id is not None:
            return wanted
        return {**wanted, "key": await client.fingerprint(bytes.fromhex(salt))}  # it distinguishes tenants

    if not restart and journal.header:
        differences = journal.differences(await with_key(journal.header["salt"]))
        if not differences:
            return
        if not journal.empty:
            raise FileError(
                f"{journal.path} belongs to another export: {differences}; finish that one, or start anew with"
                " restart=True",
                path=journal.path,
            )
    salt = secrets.token_hex(16)
    journal.begin({**await with_key(salt), "salt": salt})


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what waits for the disk beside the event loop. If the caller is cancelled, it is finished first."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _Export(Generic[RecordT]):
    """One run of an export.

    Attributes:
        state: The state that the journal has.
    """

    def __init__(
        self,
        client: AlohubClient,
        journal: Journal,
        exported: ExportedList[RecordT],
        options: ExportOptions,
        deadline: Deadline,
    ) -> None:
        self.state: State = attrs.evolve(journal.state, runs=journal.state.runs + 1)
        self._client = client
        self._journal = journal
        self._passes = journal.passes
        self._exported = exported
        self._options = options
        self._deadline = deadline
        self._count = 0  # records in this run
        self._spent_before = journal.state.spent
        self._limits_before = client.rate_limits
        self._started = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Walk the list in passes, as many as it takes."""
        if self.state.ended:
            return
        await self._save([], [], self.state)  # count this run, whatever its result
        try:
            while not self.state.ended:
                await self._pass()
        except AlohubError as error:
            if not isinstance(error, FileError):
                await self._save([], [], self.state)  # store what this run has cost
            raise

    async def _pass(self) -> None:
        """Walk the list, or resume the walk, and conclude the pass."""
        options = self._options
        seconds = self._deadline.next_call().deadline
        pager = self._exported.list_records(**_walk_options(options), token=self.state.token, deadline=seconds)
        async for page in pager.pages():
            await self._take(page, pager)
        max_passes = options.max_passes if options.consistency == "repair" else None
        goes_on = self._passes.end_pass(pager.drift, max_passes=max_passes)
        state = attrs.evolve(self._with_passes(pager), ended=not goes_on)
        if goes_on:
            state = attrs.evolve(state, token=None, received=0)
        await self._save([], [], state)

    async def _take(self, page: Page[RecordT], pager: Pager[RecordT]) -> None:
        """Put a page into the journal, without the records that came in this pass already."""
        passes, keyed = self._passes, [*self._exported.keyed(page.items)]
        records, known, gone = [pair for pair in keyed if not passes.came(pair[0])], list[Key](), 0
        if self._options.details:
            records, known, gone = await self._with_details(records)
        passes.add_page(page.number, [key for key, _ in keyed], page.total, pager.drift)
        state = attrs.evolve(
            self._with_passes(pager),
            token=pager.token,
            received=self.state.received + len(page.items),
            gone=self.state.gone + gone,
        )
        self._count += len(page.items)
        await self._save([record for _, record in records], known, state)

    async def _with_details(
        self, listed: list[tuple[Key, RecordT]]
    ) -> tuple[list[tuple[Key, RecordT]], list[Key], int]:
        """Look up the details of records.

        Returns:
            The records with their details, without those that are in the journal already and those that are gone; the
            keys of both; and how many are gone.
        """
        known = [key for key, _ in listed if self._passes.was_known(key)]
        fresh = [(key, record) for key, record in listed if not self._passes.was_known(key)]
        details = await self._look_up([key for key, _ in fresh if isinstance(key, int)])
        gone = [key for key, _ in fresh if isinstance(key, int) and key not in details]
        records = [
            (key, details.get(key, record)) for key, record in fresh if not isinstance(key, int) or key in details
        ]
        return records, known + gone, len(gone)

    async def _look_up(self, ids: list[int]) -> dict[Key, RecordT]:
        """Return the details of those that exist."""
        options = self._deadline.next_call()
        found: dict[Key, RecordT] = {}
        async for outcome in self._exported.get_many(ids, deadline=options.deadline, priority=options.priority):
            if not isinstance(outcome.error, NotFoundError):
                found[outcome.id] = outcome.unwrap()
        return found

    def _with_passes(self, pager: Pager[RecordT]) -> State:
        total = self.state.total if pager.total is None else pager.total
        return attrs.evolve(self.state, passes=self._passes.state, total=total)

    async def _save(self, records: Sequence[RecordT], known: Sequence[Key], state: State) -> None:
        state = attrs.evolve(state, spent=self.spent())
        to_json = self._exported.to_json
        await _in_thread(lambda: self._journal.add([*map(to_json, records)], known, state))
        self.state = state
        if self._options.on_progress is not None:
            self._options.on_progress(self._progress())

    def spent(self) -> Spent:
        """Return what the export has cost until now."""
        before, then, now = self._spent_before, self._limits_before, self._client.rate_limits
        return Spent(
            requests=before.requests + now.tenant.sent - then.tenant.sent,
            denied=before.denied + now.denied - then.denied,
            waited=before.waited + now.tenant.waited - then.tenant.waited,
            seconds=before.seconds + self._elapsed(),
        )

    def _elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self._started

    def _progress(self) -> ExportProgress:
        tenant = self._client.rate_limits.tenant
        elapsed = self._elapsed()
        return ExportProgress(
            number=self.state.passes.number,
            written=self._passes.count,
            total=self.state.total,
            seconds=self.state.spent.seconds,
            rate=self._count / elapsed if elapsed else 0.0,
            free=tenant.free,
            limit=tenant.limit,
            waiting=tenant.waiting > 0,
        )


def _finish(
    journal: Journal, target: Path, exported: ExportedList[RecordT], state: State, consistency: ExportConsistency
) -> ExportReport:
    """Write the file and the report, and remove the journal. If it is killed in between, it is done again."""
    written = 0

    def counted() -> Iterator[RecordT]:
        nonlocal written
        for record in journal.records():
            written += 1
            yield exported.from_json(record)

    exported.write(target, counted())
    complete, reason = verdict(state)
    passes, spent = state.passes, state.spent
    report = ExportReport(
        path=str(target),
        complete=complete,
        reason=reason,
        expected=state.total,
        written=written,
        duplicates=passes.duplicates,
        gone=state.gone,
        totals=passes.totals,
        passes=passes.number,
        consistency=consistency,
        requests=spent.requests,
        denied=spent.denied,
        waited=spent.waited,
        seconds=spent.seconds,
        resumed=state.runs - 1,
        size=target.stat().st_size,
        sha256=_sha256(target),
    )
    with replacing(report_path(target)) as file:
        file.write(json_text(attrs.asdict(report), indent=2).encode())
    journal.remove()
    return report


def report_path(target: Path) -> Path:
    """Return the path of the report on a file."""
    return target.with_name(f"{target.name}.report.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
