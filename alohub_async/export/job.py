"""`export_inbound`: walk a list, keep a journal, prove the list whole, write the file."""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from alohub_async.client import AlohubClient
from alohub_async.errors import FileError
from alohub_async.export.exported import ExportedList, RecordT
from alohub_async.export.journal import Journal, open_journal
from alohub_async.export.report import ExportReport
from alohub_async.export.run import ExportConsistency, ExportOptions, ExportRun, OnProgress, in_thread, walk_options
from alohub_async.export.state import State, verdict
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
from alohub_async.rate_limits.priorities import Priority

_PAGE_SIZE: Final = 100


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
    exported.list_records(**walk_options(options))  # refuses bad input before a journal is created
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
        export = ExportRun(client, journal, exported, options, Deadline(options.call, what=f"export to {target}"))
        await export.run()
        state = attrs.evolve(export.state, spent=export.spent())
        return await in_thread(lambda: _finish(journal, target, exported, state, options.consistency))


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
