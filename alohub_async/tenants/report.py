"""What a run over many tenants reports: while it runs, and as `_report.json`."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import attrs

from alohub_async._version import __version__
from alohub_async.audit import AuditProgress
from alohub_async.export import ExportProgress
from alohub_async.secret import redacted

Status: TypeAlias = Literal["running", "done", "skipped", "failed"]


@attrs.frozen(kw_only=True)
class TenantEntry:
    """What a run did for one tenant.

    Attributes:
        tenant: The tenant's name.
        status: `done`, `skipped` (a result was there that is new enough) or `failed`.
        result: The record of the export's or the audit's report; None if it failed. It has the tenant id, the address,
            the time and the version of this package.
        error: Class and message of the error; None if it did not fail.
        finished: When it ended, with a time zone.
        exception: The error itself; None if it happened on a worker.
    """

    tenant: str
    status: Status
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None
    exception: Exception | None = attrs.field(default=None, eq=False)
    finished: datetime = attrs.field(factory=lambda: datetime.now(UTC), eq=False)

    @classmethod
    def of_error(cls, tenant: str, error: Exception) -> "TenantEntry":
        """The entry of a tenant that failed."""
        what = {"class": type(error).__name__, "message": redacted(str(error))}
        return cls(tenant=tenant, status="failed", error=what, exception=error)

    def as_record(self) -> dict[str, Any]:
        """The entry as a JSON object, without the error itself."""
        return attrs.asdict(self, filter=attrs.filters.exclude("exception"), value_serializer=_plain)


@attrs.define(kw_only=True)
class TenantsReport:
    """The result of a run over many tenants; also written as `_report.json` while the run goes on.

    Attributes:
        kind: `export` or `audit`.
        directory: Where the results are; None if they were not written.
        started: The beginning, of the interrupted run if this one went on with it.
        finished: The end; None while it runs, or if it was interrupted.
        entries: What was done, by the tenants' names, in the order in which they finished.
        sdk_version: The version of this package.
    """

    kind: str
    directory: str | None
    started: datetime
    finished: datetime | None = None
    entries: dict[str, TenantEntry] = attrs.field(factory=dict[str, TenantEntry])
    sdk_version: str = __version__

    @property
    def counts(self) -> dict[str, int]:
        """How many tenants were done, skipped, and failed."""
        found = Counter(entry.status for entry in self.entries.values())
        return {"done": found["done"], "skipped": found["skipped"], "failed": found["failed"]}

    @property
    def complete(self) -> bool:
        """Whether no tenant failed, and all of each is in its result, as far as is known."""
        return all(entry.result is not None and entry.result.get("complete", False) for entry in self.entries.values())

    def as_record(self) -> dict[str, Any]:
        """The report as a JSON object."""
        shown = attrs.filters.exclude("exception")
        record = attrs.asdict(self, filter=shown, value_serializer=_plain)
        tenants = record.pop("entries")
        return {**record, "counts": self.counts, "tenants": tenants}


def _plain(_: object, _field: object, value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


@attrs.frozen(kw_only=True)
class TenantsProgress:
    """How far a run has come, at the beginning, at each step and at the end of a tenant.

    Attributes:
        tenant: The tenant's name.
        status: `running`, or how it ended.
        progress: How far its export or audit has come; None if it does not run.
        finished: Tenants that have ended.
        total: All tenants; None if that is not known.
    """

    tenant: str
    status: Status
    progress: ExportProgress | AuditProgress | None
    finished: int
    total: int | None
