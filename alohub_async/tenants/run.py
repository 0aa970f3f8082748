"""`export_tenants` and `audit_tenants`: a job for each of many tenants, here or on a cluster."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sized
from contextlib import AsyncExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypedDict, Unpack

import attrs

from alohub_async.audit import DEFAULT_RULES, Rule, configure, read_config
from alohub_async.client import AlohubClient
from alohub_async.errors import InvalidArgumentError
from alohub_async.export import ExportChoicesDict, ExportOptions
from alohub_async.export.run import in_thread
from alohub_async.options import PageOptionsDict, WalkOptions
from alohub_async.pagination import Consistency
from alohub_async.pool import AlohubPool, TenantOutcomes
from alohub_async.tenant import FORMATS, Tenant, Tenants, check_tenant, read_tenants, tenants_of
from alohub_async.tenants.folder import Folder
from alohub_async.tenants.jobs import Job, OnReport, Task, audit_job, export_job, read_time
from alohub_async.tenants.report import Status, TenantEntry, TenantsProgress, TenantsReport
from alohub_async.validation import check_choice, check_count, check_iterable, check_names, refuse, validator

Scheduler: TypeAlias = Any
"""A `Client` of dask.distributed, or the address of its scheduler, such as `tcp://10.0.0.5:8786`."""

OnTenants: TypeAlias = Callable[[TenantsProgress], object]
"""Is called with the progress of a run."""

REPORT: Final = "_report.json"
_LONGEST: Final = timedelta(days=36_525)
_SHARE: Final = 20  # a report of thousands of tenants is written at most for this part of the time


class TenantsOptionsDict(TypedDict, total=False):
    """Keywords of `export_tenants` and `audit_tenants`; see `TenantsOptions`."""

    pool: AlohubPool | None
    scheduler: Scheduler | None
    concurrency: int | None
    newer_than: datetime | timedelta | None
    on_progress: OnTenants | None


class ExportTenantsDict(TenantsOptionsDict, ExportChoicesDict, total=False):
    """Keywords of `export_tenants`."""

    file_format: str | None


class AuditTenantsDict(TenantsOptionsDict, PageOptionsDict, total=False):
    """Keywords of `audit_tenants`."""

    rules: Iterable[Rule]
    config: Mapping[str, object] | Path | None
    details: bool
    agents: bool
    consistency: Consistency
    restart: bool
    on_report: OnReport | None


@attrs.frozen(kw_only=True)
class TenantsOptions:
    """How a job is done for many tenants.

    Attributes:
        pool: Its limiters and client options are used; None makes one. On a cluster, each worker makes such a pool, so
            `rate_limiter` must be a function or an object that can be pickled.
        scheduler: Where to do it: one task for each tenant; None for this process. Keys do not travel: a worker takes
            them from its environment, or from the tenant's `key_provider`.
        concurrency: Most tenants at the same time, 1 to 1,000; None for 8, or two for each thread of the cluster.
        newer_than: Leave a tenant alone whose result is from then or later, or of at most that age. A run that was
            interrupted goes on by itself: what it has done is not done again.
        restart: Do it anew, also what an interrupted run has done.
        on_progress: Called when a tenant begins and ends, and in between.

    Raises:
        InvalidArgumentError: A value out of range, or an unknown name.
    """

    pool: AlohubPool | None = None
    scheduler: Any = None
    concurrency: int | None = attrs.field(
        default=None, validator=validator(check_count, least=1, most=1000, optional=True)
    )
    newer_than: datetime | timedelta | None = None
    restart: bool = False
    on_progress: OnTenants | None = None

    def __attrs_post_init__(self) -> None:
        value = self.newer_than
        is_time = isinstance(value, datetime) and value.tzinfo is not None
        is_age = isinstance(value, timedelta) and timedelta(0) < value < _LONGEST
        if not (value is None or is_time or is_age):
            raise refuse("newer_than", "a datetime with a time zone, a timedelta of up to 100 years, or None", value)


async def export_tenants(
    tenants: Tenants, directory: str | Path, **options: Unpack[ExportTenantsDict]
) -> TenantsReport:
    """Export the inbound queues of many tenants to a folder that programs read as one data set.

    The queues of a tenant are in `tenant=NAME/queues.parquet`, and what was done in `_report.json`, which is kept up to
    date while tenants finish. One tenant's failure does not stop the others.

    Args:
        tenants: See `Tenants`.
        directory: A folder, or a URL that fsspec knows.
        file_format: `jsonl`, `csv` or `parquet`; None for that of the tenants file, or `parquet`.
        options: See `TenantsOptions`, and `ExportOptions` for each export.

    Raises:
        InvalidArgumentError: An option is out of range or unknown, or two tenants have the same name.
        ConfigurationError, FileError: The tenants file, the folder or the scheduler cannot be used, or a package is
            missing.
    """
    mine, others = _split(options, {*attrs.fields_dict(ExportOptions), "file_format"} - {"on_progress"})
    file_format = others.pop("file_format", None)
    if file_format is None:
        file_format = read_tenants(tenants).file_format if isinstance(tenants, str | Path) else "parquet"
    check_choice("file_format", file_format, FORMATS)
    ExportOptions.of(others)
    return await _run(tenants, str(directory), export_job(file_format, others), mine)


async def audit_tenants(
    tenants: Tenants, directory: str | Path | None = None, **options: Unpack[AuditTenantsDict]
) -> TenantsReport:
    """Audit the inbound queues of many tenants.

    Args:
        tenants: See `Tenants`.
        directory: A folder, or a URL that fsspec knows, for `tenant=NAME/_audit.json` and `_report.json`; None writes
            nothing, and the results are only in the report that is returned.
        rules: See `audit_inbound`, as for `config`, `details`, `agents` and `consistency`.
        on_report: Called with each tenant and its `AuditReport`, where the audit ran; to write a page, for example.
        options: See `TenantsOptions`, and `PageOptions` for each audit.

    Raises:
        InvalidArgumentError, ConfigurationError, FileError: As for `export_tenants`.
    """
    names = {"rules", "config", "details", "agents", "on_report", *attrs.fields_dict(WalkOptions)} - {
        "token",
        "ordered",
    }
    mine, others = _split(options, names)
    WalkOptions.of({name: others[name] for name in attrs.fields_dict(WalkOptions) if name in others})
    if "rules" in others:
        check_iterable("rules", others["rules"])
        others["rules"] = tuple(others["rules"])  # each tenant needs them
    config: Any = others.get("config") or {}
    configure(others.get("rules", DEFAULT_RULES), read_config(config) if isinstance(config, Path) else config)
    job = audit_job(others, on_report=others.pop("on_report", None))
    return await _run(tenants, None if directory is None else str(directory), job, mine)


def _split(given: Mapping[str, Any], names: set[str]) -> tuple[TenantsOptions, dict[str, Any]]:
    """The options of the run, and those of the job, which have these names."""
    mine = {*attrs.fields_dict(TenantsOptions)}
    check_names(given, mine | names)
    options = TenantsOptions(**{name: value for name, value in given.items() if name in mine})
    return options, {name: value for name, value in given.items() if name in names}


@attrs.define
class _Run:
    """The report of a run, and where it goes."""

    report: TenantsReport
    _folder: Folder | None
    _on_progress: OnTenants | None
    _total: int | None
    _next_save: float = 0.0  # in the loop's seconds
    _names: set[str] = attrs.field(factory=set[str])

    def step(self, tenant: str, progress: Any = None, status: Status = "running") -> None:
        """Report the progress of a tenant."""
        if self._on_progress is not None:
            done, total = len(self.report.entries), self._total
            self._on_progress(
                TenantsProgress(tenant=tenant, status=status, progress=progress, finished=done, total=total)
            )

    async def take_all(self, outcomes: TenantOutcomes[TenantEntry]) -> None:
        """Note the outcomes; the report in the folder is true at any moment, and at the end it is whole."""
        await self._save()
        try:
            async for outcome in outcomes:
                name, error = outcome.tenant.name, outcome.error
                _note_name(name, self._names)
                entry = outcome.unwrap() if error is None else TenantEntry.of_error(name, error)
                self.report.entries[name] = entry
                self.step(name, None, entry.status)
                if asyncio.get_running_loop().time() >= self._next_save:
                    await self._save()
            self.report.finished = datetime.now(UTC)
        finally:
            await self._save()

    async def _save(self) -> None:
        if self._folder is not None:
            now = asyncio.get_running_loop().time
            started = now()
            await in_thread(None, partial(self._folder.write_json, REPORT, self.report.as_record()))
            self._next_save = now() + _SHARE * (now() - started)


async def _run(tenants: Tenants, directory: str | None, job: Job, options: TenantsOptions) -> TenantsReport:
    source, folder = tenants_of(tenants), None if directory is None else Folder(directory)
    if isinstance(source, list | tuple):
        names = set[str]()
        for tenant in source:
            _note_name(check_tenant(tenant).name, names)
    report = TenantsReport(kind=job.kind, directory=folder.shown if folder else None, started=datetime.now(UTC))
    run = _Run(report, folder, options.on_progress, len(source) if isinstance(source, Sized) else None)
    with folder.locked() if folder else nullcontext():
        before = folder.read(REPORT) if folder else {}
        since = None if options.restart else _since(report, options.newer_than, before)
        task = Task(job, directory, since, in_place=options.scheduler is None)
        async with AsyncExitStack() as stack:
            given = options.pool
            pool = await stack.enter_async_context(AlohubPool()) if given is None else given
            if options.scheduler is None:

                async def do(client: AlohubClient, tenant: Tenant) -> TenantEntry:
                    await asyncio.sleep(0)  # the outcome of the tenant before is noted first
                    run.step(tenant.name)
                    return await task(client, tenant, partial(run.step, tenant.name))

                outcomes = pool.each(do, source, concurrency=options.concurrency or 8)
            else:
                from alohub_async.tenants.spread import each_on_cluster

                spread = each_on_cluster(
                    options.scheduler, task, pool, source, concurrency=options.concurrency, step=run.step
                )
                outcomes = await stack.enter_async_context(spread)
            stack.push_async_callback(outcomes.aclose)
            await run.take_all(outcomes)
    return report


def _note_name(name: str, names: set[str]) -> None:
    """Raise an error for a name that another tenant has: to some file system, or to programs that read the folder."""
    folded = unicodedata.normalize("NFKC", str(name)).casefold()
    folded = folded.lstrip("0") if folded.isdecimal() else folded
    if folded in names:
        raise InvalidArgumentError(f"two tenants have the name {name!r}, or one like it; give each a name of its own")
    names.add(folded)


def _since(
    report: TenantsReport, newer_than: datetime | timedelta | None, before: Mapping[str, Any]
) -> datetime | None:
    """From when on results are new enough: as asked for, or since the beginning of an interrupted run."""
    asked = report.started - newer_than if isinstance(newer_than, timedelta) else newer_than
    begun = read_time(before.get("started"))
    if begun is None or before.get("kind") != report.kind or before.get("finished", "") is not None:
        return asked
    report.started = begun
    return begun if asked is None else min(begun, asked)
