"""What is done for one tenant: an export or an audit, unless a result is there that is new enough."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import attrs

from alohub_async.audit import AuditProgress, AuditReport, audit_inbound
from alohub_async.client import AlohubClient
from alohub_async.export import ExportProgress, ExportReport, export_inbound
from alohub_async.export.run import in_thread
from alohub_async.tenant import FORMATS, Tenant
from alohub_async.tenants.folder import Folder, make_folder
from alohub_async.tenants.report import TenantEntry

OnStep: TypeAlias = Callable[[ExportProgress | AuditProgress], object]
_AUDIT_NAMES: Final = frozenset({"address", "complete", "counts", "findings", "queues", "rules", "started"})
OnReport: TypeAlias = Callable[[Tenant, AuditReport], object]
"""Is called with the report of the audit of a tenant."""


@attrs.frozen(kw_only=True)
class Job:
    """An export or an audit of any tenant; it can be pickled."""

    kind: str
    work: "Work"
    options: Mapping[str, Any]
    choices: Mapping[str, Any]  # the options that make another result, as the record has them
    data: str | None  # the file that other programs read
    side: str  # the file of the record
    names: frozenset[str]  # what a whole record has
    on_report: OnReport | None = None


Work: TypeAlias = Callable[[Job, AlohubClient, Tenant, Path, OnStep], Awaitable[dict[str, Any]]]
"""Does the job for a tenant, with files in a folder; returns the record of the report."""


def export_job(file_format: str, options: Mapping[str, Any]) -> Job:
    """The job of `export_tenants`."""
    data = f"queues.{file_format}"
    choices = _choices(options, details=False, excel=False, consistency="repair")
    names = frozenset(attrs.fields_dict(ExportReport))
    return Job(
        kind="export", work=_export, options=options, choices=choices, data=data, side=_side_of(data), names=names
    )


def _side_of(data: str) -> str:
    """The report that `export_inbound` writes beside a file."""
    return f"_{data}.report.json"


def audit_job(options: Mapping[str, Any], on_report: OnReport | None) -> Job:
    """The job of `audit_tenants`."""
    choices = _choices(options, details=True, agents=False, consistency="detect")
    parts: Any = {"side": "_audit.json", "names": _AUDIT_NAMES, "on_report": on_report}
    return Job(kind="audit", work=_audit, options=options, choices=choices, data=None, **parts)


def _choices(options: Mapping[str, Any], **defaults: Any) -> Mapping[str, Any]:
    return {name: options.get(name, default) for name, default in defaults.items()}


async def _export(job: Job, client: AlohubClient, _: Tenant, folder: Path, on_step: OnStep) -> dict[str, Any]:
    return (await export_inbound(client, folder / f"{job.data}", on_progress=on_step, **job.options)).as_record()


async def _audit(job: Job, client: AlohubClient, tenant: Tenant, _: Path, on_step: OnStep) -> dict[str, Any]:
    report = await audit_inbound(client, on_progress=on_step, **job.options)
    report = attrs.evolve(report, tenant=tenant.name)
    if job.on_report is not None:
        job.on_report(tenant, report)
    finished = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {**report.as_record(), "finished": finished, **job.choices}


@attrs.frozen
class Task:
    """The job of a run, for any of its tenants. It can be pickled, and done again: the result is the same.

    Attributes:
        job: The job.
        root: The folder of the results; None to write none.
        since: A result that is not older is not made again; None to make all.
        in_place: Whether the job works in the folder itself, where it can resume; otherwise only whole files get there.
    """

    job: Job
    root: str | None
    since: datetime | None
    in_place: bool

    async def __call__(self, client: AlohubClient, tenant: Tenant, on_step: OnStep) -> TenantEntry:
        """Do the job for a tenant."""
        folder = None if self.root is None else Folder(self.root)
        name, job = f"tenant={tenant.name}", self.job
        if folder is not None and self.since is not None:
            found = await in_thread(None, partial(self._found, folder, name, client, self.since))
            if found:
                return TenantEntry(tenant=tenant.name, status="skipped", result=found)
        here = folder.local / name if folder is not None and folder.local is not None and self.in_place else None
        if here is not None:
            await in_thread(None, partial(make_folder, here))
        with TemporaryDirectory(prefix="alohub-") if here is None else nullcontext(here) as place:
            result = await job.work(job, client, tenant, Path(place), on_step)
            if folder is not None and (here is None or job.data is None):
                await in_thread(None, partial(self._publish, folder, name, Path(place), result))
        if folder is not None and job.data is not None:
            await in_thread(None, partial(_remove_others, folder, name, job.data))
        return TenantEntry(tenant=tenant.name, status="done", result=result)

    def _found(self, folder: Folder, name: str, client: AlohubClient, since: datetime) -> dict[str, Any] | None:
        """The result that is there, if it is the same tenant's with the same options, whole, and new enough."""
        found = folder.read(f"{name}/{self.job.side}")
        wanted = {"tenant_id": client.tenant_id, "address": str(client.endpoint.base_url), **self.job.choices}
        finished = read_time(found.get("finished"))
        is_whole = self.job.names <= found.keys()
        if finished is None or finished < since or not (is_whole and wanted.items() <= found.items()):
            return None
        data = self.job.data
        return found if data is None or folder.size(f"{name}/{data}") == found.get("size") else None

    def _publish(self, folder: Folder, name: str, place: Path, result: dict[str, Any]) -> None:
        """Put the data into the folder, then the report that says so."""
        if self.job.data is not None:
            result["path"] = f"{folder.shown}/{name}/{self.job.data}"
            folder.write(f"{name}/{self.job.data}", (place / self.job.data).read_bytes())
        folder.write_json(f"{name}/{self.job.side}", result)


def _remove_others(folder: Folder, name: str, data: str) -> None:
    """Remove a tenant's exports in other formats: who reads the folder would get each queue twice."""
    for other in (f"queues.{file_format}" for file_format in FORMATS):
        if other != data and folder.read(f"{name}/{_side_of(other)}"):
            for file in (other, _side_of(other)):
                folder.remove(f"{name}/{file}")


def read_time(value: object) -> datetime | None:
    """A time of a report; None if it is none, or has no time zone."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
