"""What is done for one tenant: an export or an audit, unless a result is there that is new enough."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import attrs

from alohub_async.audit import AuditProgress, AuditReport, audit_inbound
from alohub_async.client import AlohubClient
from alohub_async.export import ExportProgress, export_inbound
from alohub_async.export.run import in_thread
from alohub_async.tenant import Tenant
from alohub_async.tenants.folder import Folder
from alohub_async.tenants.report import TenantEntry

OnStep: TypeAlias = Callable[[ExportProgress | AuditProgress], object]
OnReport: TypeAlias = Callable[[Tenant, AuditReport], object]
"""Is called with the report of the audit of a tenant."""


@attrs.frozen
class ExportJob:
    """Exports the queues of a tenant."""

    file_format: str
    options: Mapping[str, Any]
    kind: Final[str] = "export"

    @property
    def data(self) -> str | None:
        """The file that other programs read."""
        return f"queues.{self.file_format}"

    @property
    def side(self) -> str:
        """The file of the report: the one that `export_inbound` writes."""
        return f"_{self.data}.report.json"

    @property
    def choices(self) -> dict[str, Any]:
        """The options that make another result."""
        return {"details": self.options.get("details", False), "consistency": self.options.get("consistency", "repair")}

    async def work(self, client: AlohubClient, _tenant: Tenant, folder: Path, on_step: OnStep) -> dict[str, Any]:
        """Do it, with the data in a folder, and return the record of the report."""
        report = await export_inbound(client, folder / f"{self.data}", on_progress=on_step, **self.options)
        return report.as_record()


@attrs.frozen
class AuditJob:
    """Audits the queues of a tenant."""

    options: Mapping[str, Any]
    on_report: OnReport | None
    kind: Final[str] = "audit"
    data: Final[str | None] = None
    side: Final[str] = "_audit.json"

    @property
    def choices(self) -> dict[str, Any]:
        """The options that make another result."""
        return {"details": self.options.get("details", True), "consistency": self.options.get("consistency", "detect")}

    async def work(self, client: AlohubClient, tenant: Tenant, _folder: Path, on_step: OnStep) -> dict[str, Any]:
        """Do it, and return the record of the report."""
        report = await audit_inbound(client, on_progress=on_step, **self.options)
        report = attrs.evolve(report, tenant=tenant.name)
        if self.on_report is not None:
            self.on_report(tenant, report)
        finished = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {**report.as_record(), "finished": finished, **self.choices}


@attrs.frozen
class Task:
    """The job of a run, for any of its tenants. It can be pickled, and done again: the result is the same.

    Attributes:
        job: The job.
        root: The folder of the results; None to write none.
        since: A result that is not older is not made again; None to make all.
        in_place: Whether the job works in the folder itself, where it can resume; otherwise only whole files get there.
    """

    job: ExportJob | AuditJob
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
            await in_thread(None, partial(here.mkdir, parents=True, exist_ok=True))
        with TemporaryDirectory(prefix="alohub-") if here is None else nullcontext(here) as place:
            result = await job.work(client, tenant, Path(place), on_step)
            if folder is not None and (here is None or job.data is None):
                await in_thread(None, partial(self._publish, folder, name, Path(place), result))
        return TenantEntry(tenant=tenant.name, status="done", result=result)

    def _found(self, folder: Folder, name: str, client: AlohubClient, since: datetime) -> dict[str, Any] | None:
        """The result that is there, if it is the same tenant's with the same options, whole, and new enough."""
        found = folder.read(f"{name}/{self.job.side}")
        wanted = {"tenant_id": client.tenant_id, "address": str(client.endpoint.base_url), **self.job.choices}
        finished = read_time(found.get("finished"))
        if finished is None or finished < since or any(found.get(key, ...) != value for key, value in wanted.items()):
            return None
        data = self.job.data
        return found if data is None or folder.size(f"{name}/{data}") == found.get("size") else None

    def _publish(self, folder: Folder, name: str, place: Path, result: dict[str, Any]) -> None:
        """Put the data into the folder, then the report that says so."""
        if self.job.data is not None:
            result["path"] = f"{folder.root}/{name}/{self.job.data}"
            folder.write(f"{name}/{self.job.data}", (place / self.job.data).read_bytes())
        folder.write_json(f"{name}/{self.job.side}", result)


def read_time(value: object) -> datetime | None:
    """A time of a report; None if it is none, or has no time zone."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
