"""`alohub queues export`: all queues to a file, or the queues of several tenants to a folder."""

import asyncio
import time
from collections.abc import Callable, Container, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text
from typer import Argument, Option

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.output import one_line, print_rich, table_with_heading, write, write_stderr
from alohub_async.cli.tenants import open_run
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError
from alohub_async.export import ExportConsistency, ExportProgress, ExportReport, OnProgress, export_inbound
from alohub_async.export.journal import journal_path
from alohub_async.files import check_ending, os_errors
from alohub_async.plurals import counted
from alohub_async.pool import AlohubPool
from alohub_async.tenant import Tenant, read_tenants

_LINE_INTERVAL: Final = 5.0  # seconds between two lines of progress if stderr is not a terminal
_BAR: Final = 14  # columns

Export: TypeAlias = "partial[Any]"  # `export_inbound` with the options that all tenants share
StartProgress: TypeAlias = Callable[[str], OnProgress]  # shows the progress of the export of this name


_path = Argument(metavar="PATH", show_default=False, help="A .jsonl, .csv or .parquet file; with --tenants, a folder.")
_consistency = Option(metavar="HOW", help="repair: walk until proven complete; detect: one pass.")
_tenants = Option(metavar="FILE.toml", help="Export the tenants of this file to the folder PATH.")
_side_by_side = Option(metavar="N", min=1, max=64, help="Tenants exported at the same time.")


@with_access
def export_command(
    path: Annotated[Path, _path],
    *,
    details: Annotated[bool, Option("--details", help="Export the details of each queue.")] = False,
    page_size: Annotated[int | None, Option(metavar="N", help="Queues per page.  [default: 100]")] = None,
    prefetch: Annotated[int, Option(metavar="N", help="Pages requested at the same time.")] = 4,
    consistency: Annotated[ExportConsistency, _consistency] = "repair",
    max_passes: Annotated[int, Option(metavar="N", help="Maximum number of passes with repair.")] = 5,
    restart: Annotated[bool, Option("--restart", help="Start again instead of resuming.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Show no progress.")] = False,
    tenants: Annotated[Path | None, _tenants] = None,
    side_by_side: Annotated[int, _side_by_side] = 4,
    access: Access,
) -> None:
    """Export all inbound queues to a file.

    To resume an interrupted export, run the same command again.
    """
    walk: Any = {"page_size": page_size, "prefetch": prefetch, "consistency": consistency, "max_passes": max_passes}
    export = partial(export_inbound, details=details, restart=restart, deadline=access.deadline, **walk)
    if tenants is None:
        code = _export_one(path, export, access, quiet=quiet)
    else:
        code = _export_tenants(path, tenants, export, access, side_by_side=side_by_side, quiet=quiet)
    if code:
        raise typer.Exit(code)


def _export_one(path: Path, export: Export, access: Access, *, quiet: bool) -> int:
    check_ending(path)  # before the user is asked for a key

    async def work(client: AlohubClient) -> ExportReport:
        with _progress(quiet=quiet) as start:
            report: ExportReport = await export(client, path, on_progress=start("Exporting"))
            return report

    try:
        report = access.run(work)
    except (AlohubError, KeyboardInterrupt) as error:
        can_resume = not isinstance(error, FileError) and journal_path(path).exists()
        hint = f"; {_again(export)} to resume" if can_resume else ""
        if isinstance(error, KeyboardInterrupt):
            raise CommandError(f"interrupted{hint}", ExitCode.INTERRUPTED) from error
        code, line = describe(error)
        raise CommandError(line + hint, code) from error
    summary = (
        f"{path}: {counted(report.written, 'queue')}, {'' if report.complete else 'NOT '}complete: {report.reason};"
        f" {report.seconds:.1f} s; {counted(report.requests, 'request')}, {report.denied:,} denied,"
        f" waited {report.waited:.1f} s for the rate limit"
    )
    write(one_line(summary) + "\n")
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def _again(export: Export) -> str:
    return "run it again without --restart" if export.keywords["restart"] else "run the same command again"


def _export_tenants(
    folder: Path, tenants_file: Path, export: Export, access: Access, *, side_by_side: int, quiet: bool
) -> int:
    found = read_tenants(tenants_file)
    tenants, file_format = found.tenants, found.file_format
    if access.sandbox or access.direct or access.base_url or access.env or access.tenant_id:
        raise CommandError("with --tenants, the file has the access options; leave them out on the command line")
    files = [folder / f"tenant={tenant.name}" / f"queues.{file_format}" for tenant in tenants]
    check_ending(files[0])
    for file in files:
        with os_errors(file.parent, doing="write"):
            file.parent.mkdir(parents=True, exist_ok=True)
    slots = asyncio.Semaphore(side_by_side)

    async def export_tenant(tenant: Tenant, file: Path, start: StartProgress) -> ExportReport:
        if (done := run.report(tenant, file)) is not None:
            return done
        async with slots, pool.client(tenant) as client:
            report: ExportReport = await export(client, file, on_progress=start(tenant.name))
        run.note(tenant, report)
        return report

    pool = AlohubPool(retry=access.retry)

    async def work() -> list[ExportReport | BaseException]:
        with _progress(quiet=quiet) as start:
            exports = map(export_tenant, tenants, files, [start] * len(files))
            async with pool:
                return await asyncio.gather(*exports, return_exceptions=True)  # a failure does not stop the others

    options = {name: export.keywords[name] for name in ("page_size", "details", "consistency")}
    with open_run(folder, tenants_file, options, restart=export.keywords["restart"]) as run:
        before = {tenant for tenant, file in zip(tenants, files, strict=True) if run.report(tenant, file)}
        try:
            outcomes = access.run_without_client(work)
        except KeyboardInterrupt as exc:
            hint = "to go on; tenants that are done are not exported again"
            raise CommandError(f"interrupted; {_again(export)} {hint}", ExitCode.INTERRUPTED) from exc
    return _print_results(tenants, outcomes, before)


def _print_results(
    tenants: Iterable[Tenant], outcomes: Iterable[ExportReport | BaseException], before: Container[Tenant]
) -> int:
    """Write a table of the outcomes, and return the worst exit code; failures are worse than incomplete exports."""
    numbers = ("Queues", "Requests", "Denied", "Seconds")
    table = table_with_heading(["Tenant", *numbers, "Result"], right=numbers, folded={"Tenant", "Result"})
    codes: list[int] = []
    for tenant, outcome in zip(tenants, outcomes, strict=True):
        cells = ["-"] * len(numbers)
        if isinstance(outcome, Exception):
            code, text = describe(outcome, variable=tenant.api_key_env or tenant.name)
            text = text.replace("--allow-http", "allow_http = true")
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            cells = [f"{outcome.written:,}", f"{outcome.requests:,}", f"{outcome.denied:,}", f"{outcome.seconds:.1f}"]
            code, text = (ExitCode.OK, "complete") if outcome.complete else (ExitCode.INCOMPLETE, outcome.reason)
        codes.append(code)
        when = " (exported before the interruption)" if tenant in before else ""
        table.add_row(Text(tenant.name), *cells, Text(one_line(text + when)))
    print_rich(table)
    return max([code for code in codes if code not in {ExitCode.OK, ExitCode.INCOMPLETE}] or codes)


@contextmanager
def _progress(*, quiet: bool) -> Generator[StartProgress]:
    """Show the progress of exports on stderr: a bar for each on a terminal, otherwise a line every few seconds."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _name: lambda _now: None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(_BAR), TextColumn("{task.fields[text]}"))
        with Progress(*columns, console=console, transient=True) as progress:

            def start(name: str) -> OnProgress:
                bar = progress.add_task(one_line(name)[:_BAR], total=None, text="")
                return lambda now: progress.update(bar, completed=now.written, total=now.total, text=progress_text(now))

            yield start
    else:
        yield _line_writer


def progress_text(now: ExportProgress) -> str:
    """The progress of an export, in at most 49 columns up to 999,999 queues, so that its bar fits into 80."""
    text = f"pass {now.number} {now.written:,}/{'?' if now.total is None else f'{now.total:,}'} {now.rate:,.0f}/s"
    if now.total is not None and now.rate > 0:
        minutes, seconds = divmod(round(max(0, now.total - now.written) / now.rate), 60)
        text += f" {minutes}:{seconds:02}"
    if now.limit is not None and now.free is not None:
        text += f" {now.free}/{now.limit}"
    return text + (" waiting" if now.waiting else "")


def _line_writer(name: str) -> OnProgress:
    written_at = time.monotonic()

    def write_line(now: ExportProgress) -> None:
        nonlocal written_at
        if time.monotonic() - written_at >= _LINE_INTERVAL:
            written_at = time.monotonic()
            write_stderr(one_line(f"{name}: {progress_text(now)}"))

    return write_line
