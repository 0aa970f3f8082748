"""Commands over the tenants of a file: their options, and what was done for each tenant."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import typer
from rich.text import Text
from typer import Option

from alohub_async.cli.access import LONG_WAIT, Access
from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.output import OutputClosedError, one_line, print_rich, progress, table_with_heading, write_stderr
from alohub_async.cli.progress import show_tenants
from alohub_async.errors import FileError
from alohub_async.plurals import counted
from alohub_async.pool import AlohubPool, Job, TenantOutcome
from alohub_async.tenant import Tenant
from alohub_async.tenants import TenantEntry, TenantsProgress, TenantsReport

T = TypeVar("T")
_PARTITION: Final = "tenant="
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _read_age(text: str) -> timedelta:
    if not (found := re.fullmatch(r"([0-9]{1,6})([smhdw])", text)) or not int(found[1]):
        raise typer.BadParameter(f"{text!r} is not a number with a unit: 90s, 30m, 12h, 2d or 1w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


JOBS: Final[Any] = Option(metavar="N", min=1, max=1000, help="With --tenants, tenants at the same time.  [default: 8]")
_newer_than = "With --tenants, leave out those whose result is newer than this: 12h, 30m, 2d."
NEWER_THAN: Final[Any] = Option(metavar="AGE", parser=_read_age, help=_newer_than)
_scheduler = "With --tenants, spread the work over this cluster of dask.distributed."
SCHEDULER: Final[Any] = Option(metavar="ADDRESS", help=_scheduler)


def again(*, restart: bool = False, tenants: bool = True) -> str:
    """What to run after an interruption."""
    hint = "run it again without --restart" if restart else "run the same command again"
    return f"{hint} to go on; tenants that are done are not done again" if tenants else hint


async def each_tenant(
    pool: AlohubPool, job: Job[T], tenants: Sequence[Tenant], *, jobs: int | None, label: str
) -> list[TenantOutcome[T]]:
    """Do a job for each tenant and show how many are done; the outcomes are in the order of the tenants."""
    outcomes: dict[Tenant, TenantOutcome[T]] = {}
    with progress(label) as update:
        async for outcome in pool.each(job, tenants, concurrency=jobs or 8):
            if isinstance(outcome.error, OutputClosedError | OSError):
                raise outcome.error  # of the output, so it would be that of all tenants
            outcomes[outcome.tenant] = outcome
            update(len(outcomes), len(tenants))
    return [outcomes[tenant] for tenant in tenants]


def for_each(access: Access, job: Job[T], *, jobs: int | None, label: str) -> list[TenantOutcome[T]]:
    """Do a job for each tenant of the file, in an event loop of its own."""
    tenants = access.read_tenants().tenants
    return access.run_tenants(lambda pool: each_tenant(pool, job, tenants, jobs=jobs, label=label))


def run_job(
    access: Access, job: Callable[..., Awaitable[TenantsReport]], *, scheduler: str | None, hint: str
) -> TenantsReport:
    """Run `export_tenants` or `audit_tenants` and show its progress; after an interruption, the hint says how on."""
    with show_tenants(quiet=access.quiet) as show:

        async def work(pool: AlohubPool) -> TenantsReport:
            def on_progress(now: TenantsProgress) -> None:
                late.cancel()
                show(now)

            waiting = f"waiting for the scheduler at {scheduler}"
            late = asyncio.get_running_loop().call_later(LONG_WAIT, write_stderr, one_line(waiting))
            if scheduler is None or access.quiet:
                late.cancel()
            try:
                return await job(pool=pool, on_progress=on_progress, scheduler=scheduler)
            finally:
                late.cancel()

        return access.run_tenants(work, hint=hint)


Result = tuple[TenantEntry, int, str]
"""What was done for a tenant, with an exit code and a text about it."""


def results_of(report: TenantsReport, tenants: Iterable[Tenant]) -> list[Result]:
    """What was done for each tenant, in this order."""
    results: list[Result] = []
    for tenant in tenants:
        entry = report.entries[tenant.name]
        if entry.exception is not None:
            code, text = describe(entry.exception, tenant=tenant)
        elif entry.result is None:
            code, text = ExitCode.FAILED, ": ".join((entry.error or {}).values())
        elif entry.result["complete"]:
            code, text = ExitCode.OK, "complete"
        else:
            code, text = ExitCode.INCOMPLETE, entry.result.get("reason", "not provably complete")
        done_before = " (done before)" if entry.status == "skipped" else ""
        results.append((entry, code, one_line(text + done_before)))
    return results


def print_results(results: Sequence[Result], columns: Mapping[str, Callable[[Any], str]]) -> None:
    """Write a table with a row for each tenant, whose columns are made from the results."""
    table = table_with_heading(["Tenant", *columns, "Result"], right=columns, folded={"Tenant", "Result"})
    for entry, _, text in results:
        cells = ("-" if entry.result is None else column(entry.result) for column in columns.values())
        table.add_row(*map(Text, (entry.tenant, *cells, text)))
    failed = sum(entry.result is None for entry, _, _ in results)
    table.caption = Text(counted(len(results), "tenant") + (f", {failed:,} failed" if failed else ""))
    print_rich(table)


def outcome_records(
    outcomes: Iterable[TenantOutcome[T]], record: Callable[[T], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A JSON object for each tenant, as exports and audits have it in `_report.json`."""
    entries: list[TenantEntry] = []
    for outcome in outcomes:
        name = outcome.tenant.name
        if outcome.error is not None:
            entries.append(TenantEntry.of_error(name, outcome.error))
        else:
            entries.append(TenantEntry(tenant=name, status="done", result=record(outcome.unwrap())))
    return [entry.as_record() for entry in entries]


def write_failures(outcomes: Iterable[TenantOutcome[Any]]) -> int:
    """Write a line to stderr for each tenant that failed, and return the worst exit code."""
    worst: int = ExitCode.OK
    for outcome in outcomes:
        if outcome.error is not None:
            code, line = describe(outcome.error, tenant=outcome.tenant)
            write_stderr(f"tenant {outcome.tenant.name}: {line}")
            worst = max(worst, code)
    return worst


def check_partitions(folder: Path, tenants: Iterable[Tenant]) -> None:
    """Refuse a folder that has none, or one of a tenant that the file does not have."""
    found = {path.name.removeprefix(_PARTITION) for path in folder.glob(f"{_PARTITION}*")}
    if not found:
        raise CommandError(f"{folder} must be a folder with a folder tenant=NAME in it for each tenant")
    if unknown := sorted(found - {tenant.name for tenant in tenants}):
        raise CommandError(f"{folder} has tenants that the file of tenants does not have: {', '.join(unknown)}")


def partition(folder: Path, tenant: Tenant, endings: Collection[str] = (".jsonl", ".csv", ".parquet")) -> Path:
    """The one file of a tenant in a folder."""
    inside = folder / f"{_PARTITION}{tenant.name}"
    files = [path for path in sorted(inside.glob("[!._]*")) if path.suffix in endings]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise FileError(f"{inside} must have one file that ends in {', '.join(endings)}; it has {names}", path=inside)
    return files[0]
