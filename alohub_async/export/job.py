"""`export_inbound`: walk a list, keep a journal, prove the list whole, write the file."""

import hashlib
import secrets
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import attrs

from alohub_async._version import __version__
from alohub_async.client import AlohubClient
from alohub_async.errors import FileError
from alohub_async.export.exported import key_of
from alohub_async.export.journal import Journal, journal_path, open_journal
from alohub_async.export.report import ExportReport
from alohub_async.export.run import ExportOptions, ExportOptionsDict, ExportRun, in_thread
from alohub_async.export.state import State, verdict
from alohub_async.files import check_ending, json_text, os_errors, remove_leftovers, replacing, side_path
from alohub_async.files.formats import write_dicts
from alohub_async.files.records import columns_of
from alohub_async.models import wire_names
from alohub_async.options import DEFAULT_PAGE_SIZE, CallOptions, Deadline
from alohub_async.resources.records import RecordT
from alohub_async.resources.resource import Resource


async def export_inbound(client: AlohubClient, path: str | Path, **options: Unpack[ExportOptionsDict]) -> ExportReport:
    """Export all inbound queues into a file. If it is interrupted at any moment, the same call resumes it.

    Until the export is done, it keeps a journal beside the file (`.….part`), and an older file stays as it is. Then the
    new file replaces it in one step, with a report beside it (`_….report.json`), and the journal is removed. Programs
    that read the folder as data skip these names.

    Args:
        client: The client of the tenant.
        path: The file. Its ending is the format: `.jsonl`, `.csv` or `.parquet`.
        options: See `ExportOptions`. A deadline covers this call; calling again resumes the export.

    Raises:
        InvalidArgumentError: A value is out of range, or no format has this ending.
        ConfigurationError: The package that the format needs is not installed.
        FileError: The file or its journal cannot be written, another export is writing it, or the journal is damaged,
            is a file of somebody else, or belongs to another tenant, endpoint or set of options.
        AlohubError: As for every call; what has come is kept.
    """
    return await export_resource(client, client.queues.inbound, path, **options)


async def export_resource(
    client: AlohubClient, resource: Resource[RecordT, Any], path: str | Path, **options: Unpack[ExportOptionsDict]
) -> ExportReport:
    """Export all records of any resource, as `export_inbound` exports the inbound queues.

    Args:
        client: The client of the tenant.
        resource: The resource, such as `client.queues.inbound`, or a `client.resource(…)` of your own.
        path: As for `export_inbound`.
        options: See `ExportOptions`.
    """
    chosen = ExportOptions.of({"priority": "bulk", **options})
    target = Path(path)
    editable = wire_names(resource.spec.update) if chosen.excel else None
    check_ending(target, *([] if editable is None else [[".csv"]]))
    header = {
        "journal": journal_path(target).name,
        "page_size": chosen.page_size or DEFAULT_PAGE_SIZE,
        "details": chosen.details,
        "consistency": chosen.consistency,
    }
    with open_journal(target, partial(key_of, resource.spec.record), restart=chosen.restart) as journal:
        remove_leftovers(target)
        remove_leftovers(report_path(target))
        await _match(journal, client, header)
        deadline = Deadline(CallOptions(**chosen.keywords()), what=f"export to {target}")
        export = ExportRun(client, journal, resource, chosen)
        await export.run(deadline)
        state, cls = attrs.evolve(export.state, spent=export.spent()), resource.spec.record
        return await in_thread(journal.thread, lambda: _finish(journal, target, cls, state, editable))


async def _match(journal: Journal, client: AlohubClient, wanted: dict[str, Any]) -> None:
    """Make sure that the journal belongs to this export: start it, or compare its header."""
    wanted = {"endpoint": str(client.endpoint.base_url), "tenant_id": client.tenant_id, **wanted}
    salt = journal.header.get("salt") or secrets.token_hex(16)
    if client.tenant_id is None:
        wanted["key"] = await client.fingerprint(bytes.fromhex(salt))  # it distinguishes tenants
    differences = journal.differences(wanted)
    if differences and not journal.empty:
        what = f"{journal.path} belongs to another export: {differences}"
        raise FileError(f"{what}; finish that one, or start anew with restart=True", path=journal.path)
    if differences:
        journal.begin({**wanted, "salt": salt})


def _finish(
    journal: Journal, target: Path, cls: type[RecordT], state: State, editable: Collection[str] | None
) -> ExportReport:
    """Write the file and the report, and remove the journal. If it is killed in between, it is done again."""
    written = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal written
        renewed = columns_of(cls).renewed
        for record in journal.records():
            written += 1
            try:
                yield renewed(record)
            except ValueError as exc:  # the class of the records is another now
                message = f"{journal.path} does not fit: {exc}; start anew with restart=True"
                raise FileError(message, path=journal.path) from exc

    write_dicts(target, cls, counted(), editable=editable)
    with os_errors(target, doing="read"), target.open("rb") as result:
        digest = hashlib.file_digest(result, "sha256").hexdigest()
        size = result.tell()
    complete, reason = verdict(state)
    report = ExportReport(
        path=str(target),
        tenant_id=journal.header["tenant_id"],
        address=journal.header["endpoint"],
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        sdk_version=__version__,
        details=journal.header["details"],
        excel=editable is not None,
        complete=complete,
        reason=reason,
        expected=state.total,
        written=written,
        duplicates=state.passes.duplicates,
        gone=state.gone,
        totals=state.passes.totals,
        passes=state.passes.number,
        consistency=journal.header["consistency"],
        resumed=state.runs - 1,
        size=size,
        sha256=digest,
        **attrs.asdict(state.spent),
    )
    with replacing(report_path(target)) as file:
        file.write(json_text(report.as_record(), indent=2).encode())
    journal.remove()
    return report


def report_path(target: Path) -> Path:
    """Return the path of the report on a file."""
    return side_path(target, ".report.json", mark="_")
