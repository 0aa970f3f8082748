"""Exports and audits of the tenants of a file: their options, running them, and what was done for each tenant."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, Final

import attrs
import typer
from typer import Option

from alohub_async.cli.access import Access
from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.output import one_line, write
from alohub_async.cli.progress import show_tenants
from alohub_async.files import json_text
from alohub_async.tenants import TenantEntry, TenantsReport

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _read_age(text: str) -> timedelta:
    if not (found := re.fullmatch(r"([0-9]{1,6})([smhdw])", text)) or not int(found[1]):
        raise typer.BadParameter(f"{text!r} is not a number with a unit: 90s, 30m, 12h, 2d or 1w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


_newer_than = "With --tenants, leave out those whose result is newer than this: 12h, 30m, 2d."
NEWER_THAN: Final[Any] = Option(metavar="AGE", parser=_read_age, help=_newer_than)
_scheduler = "With --tenants, spread the work over this cluster of dask.distributed."
SCHEDULER: Final[Any] = Option(metavar="ADDRESS", help=_scheduler)

TO_GO_ON: Final = "to go on; tenants that are done are not done again"


def again(*, restart: bool) -> str:
    """What to run to go on after an interruption."""
    return "run it again without --restart" if restart else "run the same command again"


def run_job(access: Access, job: Callable[..., Awaitable[TenantsReport]], *, quiet: bool, hint: str) -> TenantsReport:
    """Run `export_tenants` or `audit_tenants` with a pool and progress; after an interruption, the hint says how on."""

    async def work() -> TenantsReport:
        with show_tenants(quiet=quiet) as show:
            async with asyncio.timeout(access.deadline), access.pool() as pool:
                return await job(pool=pool, on_progress=show)

    try:
        return access.run_without_client(work)
    except TimeoutError as exc:
        message = f"not done within the deadline of {access.deadline:g} s; {hint}"
        raise CommandError(message, ExitCode.TIMED_OUT) from exc
    except KeyboardInterrupt as exc:
        raise CommandError(f"interrupted; {hint}", ExitCode.INTERRUPTED) from exc


def entries_of(report: TenantsReport, access: Access) -> list[tuple[TenantEntry, int, str]]:
    """What was done for each tenant, in the order of the file, with the exit code and a text about it."""
    entries: list[tuple[TenantEntry, int, str]] = []
    for tenant in access.read_tenants().tenants:
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
        entries.append((entry, code, one_line(text + done_before)))
    return entries


def write_entries(entries: Iterable[TenantEntry]) -> None:
    """Write a JSON object in a line for each tenant, as it is in `_report.json`."""
    for entry in entries:
        write(json_text(attrs.asdict(entry, filter=attrs.filters.exclude("exception"))), as_json=True)
