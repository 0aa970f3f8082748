"""`export_inbound`: walk, keep a journal, prove the list whole, make the file."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, Unpack, get_args

import attrs

from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError, InvalidArgumentError, NotFoundError
from alohub_async.export.journal import Journal, open_journal
from alohub_async.export.report import ExportProgress, ExportReport
from alohub_async.export.state import Key, Spent, State, concluded, has_id, keyed, merged, verdict
from alohub_async.files import check_ending, json_text, queue_record, remove_leftovers, replacing, write_queues
from alohub_async.models import InboundQueue
from alohub_async.options import DEFAULT_PAGE_SIZE, CallOptions, Deadline, PageOptions, PageOptionsDict
from alohub_async.pagination import Page, Pager

T = TypeVar("T")

ExportConsistency: TypeAlias = Literal["detect", "repair"]
"""Whether an export walks the list once and reports what it noticed, or walks until the list is proven whole."""

OnProgress: TypeAlias = Callable[[ExportProgress], object]
"""Is told how far an export has come."""


async def export_inbound(
    client: AlohubClient,
    path: str | Path,
    *,
    details: bool = False,
    consistency: ExportConsistency = "repair",
    restart: bool = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[PageOptionsDict],
) -> ExportReport:
    """Export all inbound queues into a file; cut off at any moment, the same call goes on where it stood.

    Until the export is done it keeps a journal beside the file (`….part`), and the file is as it was before. Then the
    file takes its place at once, with a report beside it (`….report.json`), and the journal is removed.

    Args:
        client: Of the tenant.
        path: The file; its ending names the format: `.jsonl`, `.csv` or `.parquet`.
        details: Write what `get_inbound` says of each queue, looked up once each.
        consistency: `"repair"` walks the list at least twice, until it is proven whole (see `list_inbound`); `"detect"`
            walks it once and says what was noticed.
        restart: Throw away what an export that was cut off has got.
        on_progress: Called at the beginning, and after each page and pass.
        options: See `PageOptions`. The priority is `bulk` unless another is given. A deadline covers this call; calling
            again continues.

    Raises:
        InvalidArgumentError: A value out of range, or an ending no format has.
        ConfigurationError: The format's package is not installed.
        FileError: The file or its journal cannot be written, another export is writing it, or the journal is of another
            tenant, endpoint or set of options.
        AlohubError: As for every call; what came is kept.
    """
    target = Path(path)
    check_ending(target)
    if consistency not in get_args(ExportConsistency):
        raise InvalidArgumentError(
            f"consistency must be one of {get_args(ExportConsistency)}; {consistency!r} was given"
        )
    options.setdefault("priority", "bulk")
    chosen = PageOptions.of(options, "details", "consistency", "restart", "on_progress")
    deadline = Deadline(CallOptions(**chosen.keywords()), what=f"export to {target}")

    def walk(token: str | None) -> Pager[InboundQueue]:
        now = options.copy()
        now["deadline"] = deadline.next_call().deadline
        return client.queues.list_inbound(token=token, **now)

    header = {
        "target": target.name,
        "page_size": chosen.page_size or DEFAULT_PAGE_SIZE,
        "details": details,
        "consistency": consistency,
    }
    with open_journal(target) as journal:
        remove_leftovers(target)
        remove_leftovers(report_path(target))
        await _match(journal, client, header, restart=restart)
        export = _Export(client, journal, walk, deadline, details=details, on_progress=on_progress)
        await export.run(chosen.max_passes if consistency == "repair" else None)
        state = attrs.evolve(export.state, spent=export.spent())
        return await _in_thread(lambda: _finish(journal, target, state, consistency))


async def _match(journal: Journal, client: AlohubClient, wanted: dict[str, Any], *, restart: bool) -> None:
    """Have the journal be one of this export: begin it, or see that it is."""
    wanted = {"endpoint": str(client.endpoint.base_url), "tenant_id": client.tenant_id, **wanted}

    async def with_key(salt: str) -> dict[str, Any]:
        if client.tenant_id is not None:
            return wanted
        return {**wanted, "key": await client.fingerprint(bytes.fromhex(salt))}  # it tells tenants apart

    if not restart and journal.header:
        differences = journal.differences(await with_key(journal.header["salt"]))
        if not differences:
            return
        if not journal.empty:
            raise FileError(
                f"{journal.path} is of another export: {differences}; finish that one, or start anew with restart=True",
                path=journal.path,
            )
    salt = secrets.token_hex(16)
    journal.begin({**await with_key(salt), "salt": salt})


async def _in_thread(work: Callable[[], T]) -> T:
    """Do what waits for the disk beside the event loop; cancelled, it is still finished first."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _Export:
    """One run of an export.

    Attributes:
        state: Where it stands, as the journal has it.
    """

    def __init__(
        self,
        client: AlohubClient,
        journal: Journal,
        walk: Callable[[str | None], Pager[InboundQueue]],
        deadline: Deadline,
        *,
        details: bool,
        on_progress: OnProgress | None,
    ) -> None:
        self.state: State = attrs.evolve(journal.state, runs=journal.state.runs + 1)
        self._client = client
        self._journal = journal
        self._walk = walk
        self._deadline = deadline
        self._details = details
        self._tell = on_progress
        self._begun: State = self.state  # when this walk began, or was gone on with
        self._again = 0  # records that this walk brought again
        self._count = 0  # queues in this run
        self._spent_before = journal.state.spent
        self._limits_before = client.rate_limits
        self._started = asyncio.get_running_loop().time()

    async def run(self, max_passes: int | None) -> None:
        """Walk as often as it takes; once if `max_passes` is None."""
        if self.state.ended:
            return
        await self._save([], [], [], self.state)  # this run counts, whatever becomes of it
        try:
            while not self.state.ended:
                await self._pass()
                await self._save([], [], [], concluded(self.state, self._journal.seen, max_passes=max_passes))
        except AlohubError as error:
            if not isinstance(error, FileError):
                await self._save([], [], [], self.state)  # what it has cost
            raise

    async def _pass(self) -> None:
        """Walk the list, or go on where the walk stood."""
        self._begun, self._again = self.state, 0
        first = self._begun.token is None
        pager = self._walk(self._begun.token)
        async for page in pager.pages():
            if first:
                self.state, first = attrs.evolve(self.state, first_total=page.total), False
            await self._take(page, pager)
        if first:
            self.state = attrs.evolve(self.state, first_total=pager.total)
        self.state = self._noticed(pager)

    async def _take(self, page: Page[InboundQueue], pager: Pager[InboundQueue]) -> None:
        seen = self._journal.seen
        fresh = [(key, queue) for key, queue in keyed(page.items) if not (has_id(key) and key in seen.now)]
        self._again += len(page.items) - len(fresh)
        known: list[Key] = []
        if self._details:
            known = [key for key, _ in fresh if key in seen.known]
            fresh = [(key, queue) for key, queue in fresh if key not in seen.known]
            details = await self._look_up([key for key, _ in fresh if isinstance(key, int)])
            gone = [key for key, _ in fresh if isinstance(key, int) and key not in details]
            known += gone
            fresh = [
                (key, details.get(key, queue)) for key, queue in fresh if not isinstance(key, int) or key in details
            ]
            self.state = attrs.evolve(self.state, gone=self.state.gone + len(gone))
        token, received = pager.token, self.state.received + len(page.items)
        state = attrs.evolve(self._noticed(pager), token=token, received=received)
        self._count += len(page.items)
        await self._save([queue for _, queue in fresh], [key for key, _ in fresh], known, state)

    async def _look_up(self, ids: list[int]) -> dict[Key, InboundQueue]:
        """The details of those that are there."""
        found: dict[Key, InboundQueue] = {}
        async for outcome in self._client.queues.get_many_inbound(ids, **self._deadline.next_call().keywords()):
            if not isinstance(outcome.error, NotFoundError):
                found[outcome.id] = outcome.unwrap()
        return found

    def _noticed(self, pager: Pager[InboundQueue]) -> State:
        begun, drift = self._begun, pager.drift
        return attrs.evolve(
            self.state,
            moved=begun.moved or drift.moved or self._again > 0,
            total=begun.total if pager.total is None else pager.total,
            totals=merged(begun.totals, drift.totals),
            duplicates=begun.duplicates + drift.duplicates + self._again,
        )

    async def _save(
        self, queues: Sequence[InboundQueue], keys: Sequence[Key], known: Sequence[Key], state: State
    ) -> None:
        state = attrs.evolve(state, spent=self.spent())
        await _in_thread(lambda: self._journal.add([*map(queue_record, queues)], keys, known, state))
        self.state = state
        if self._tell is not None:
            self._tell(self._progress())

    def spent(self) -> Spent:
        """What the export has cost until now."""
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
            number=self.state.number,
            written=len(self._journal.seen.now),
            total=self.state.total,
            seconds=self.state.spent.seconds,
            rate=self._count / elapsed if elapsed else 0.0,
            free=tenant.free,
            limit=tenant.limit,
            waiting=tenant.waiting > 0,
        )


def _finish(journal: Journal, target: Path, state: State, consistency: ExportConsistency) -> ExportReport:
    """Make the file and the report, and remove the journal; killed in between, it is done again."""
    written = 0

    def counted() -> Iterator[InboundQueue]:
        nonlocal written
        for queue in journal.queues():
            written += 1
            yield queue

    write_queues(target, counted())
    complete, reason = verdict(state)
    spent = state.spent
    report = ExportReport(
        path=str(target),
        complete=complete,
        reason=reason,
        expected=state.total,
        written=written,
        duplicates=state.duplicates,
        gone=state.gone,
        totals=state.totals,
        passes=state.number,
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
    """Where the report on a file is."""
    return target.with_name(f"{target.name}.report.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
