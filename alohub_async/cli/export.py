"""`alohub queues export`: all queues into a file, or those of several tenants into a folder."""

import asyncio
import enum
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import attrs
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.output import complain, one_line, print_part, write
from alohub_async.cli.tenants import Tenant, Tenants, read_tenants
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError
from alohub_async.export import ExportProgress, ExportReport, OnProgress, export_inbound
from alohub_async.export.journal import journal_path
from alohub_async.files import check_ending, file_error

_EVERY: Final = 5.0  # seconds between two lines where there is no terminal
_BAR: Final = 14  # columns

Begin: TypeAlias = Callable[[str], OnProgress]
"""Begins to tell of one export, by its name."""


class Consistency(enum.StrEnum):
    """What an export does about a list that moves."""

    REPAIR = "repair"
    DETECT = "detect"


@attrs.frozen(kw_only=True)
class _Options:
    """What is the same for all tenants; see `export_inbound`."""

    page_size: int | None
    prefetch: int
    details: bool
    consistency: Consistency
    max_passes: int
    restart: bool
    deadline: float | None

    async def export(self, client: AlohubClient, path: Path, tell: OnProgress) -> ExportReport:
        return await export_inbound(
            client,
            path,
            page_size=self.page_size,
            prefetch=self.prefetch,
            details=self.details,
            consistency=self.consistency.value,
            max_passes=self.max_passes,
            restart=self.restart,
            on_progress=tell,
            deadline=self.deadline,
        )


@with_access
def export_command(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", show_default=False, help="FILE.jsonl, .csv or .parquet; else a folder.")
    ],
    *,
    details: Annotated[bool, typer.Option("--details", help="Look up the details of each queue.")] = False,
    page_size: Annotated[int | None, typer.Option(metavar="N", help="Queues a page; 100 if not given.")] = None,
    prefetch: Annotated[int, typer.Option(metavar="N", help="Pages on their way at once.")] = 4,
    consistency: Annotated[
        Consistency, typer.Option(metavar="HOW", help="repair: until proven whole; detect: one pass.")
    ] = Consistency.REPAIR,
    max_passes: Annotated[int, typer.Option(metavar="N", help="Most passes of repair.")] = 5,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew rather than go on.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell nothing on the way.")] = False,
    tenants: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Export these tenants, into the folder PATH.")
    ] = None,
    side_by_side: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Tenants at once.")] = 4,
    access: Access,
) -> None:
    """Export all inbound queues into a file. Cut off, the same command goes on."""
    options = _Options(
        page_size=page_size,
        prefetch=prefetch,
        details=details,
        consistency=consistency,
        max_passes=max_passes,
        restart=restart,
        deadline=access.deadline,
    )
    if tenants is None:
        code = _export_one(path, options, access, quiet=quiet)
    else:
        code = _export_tenants(path, read_tenants(tenants), options, access, side_by_side=side_by_side, quiet=quiet)
    if code:
        raise typer.Exit(code)


def _export_one(path: Path, options: _Options, access: Access, *, quiet: bool) -> ExitCode:
    check_ending(path)  # before a key is asked for

    async def work(client: AlohubClient) -> ExportReport:
        with _progress(quiet=quiet) as begin:
            return await options.export(client, path, begin("Exporting"))

    try:
        report = access.run(work)
    except AlohubError as error:
        code, line = describe(error)
        raise CommandError(line + _hint(error, path), ExitCode(code)) from error
    write(one_line(f"{path}: {_summary(report)}") + "\n")
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def _hint(error: AlohubError, path: Path) -> str:
    goes_on = not isinstance(error, FileError) and journal_path(path).exists()
    return "; the same command goes on where this one stood" if goes_on else ""


def _summary(report: ExportReport) -> str:
    complete = "complete" if report.complete else "NOT complete"
    return (
        f"{report.written:,} queues, {complete}: {report.reason};"
        f" {report.requests:,} requests, {report.denied:,} denied, waited {report.waited:.1f} s,"
        f" {report.seconds:.1f} s in all"
    )


# Several tenants


@attrs.frozen
class _Result:
    """What came of one tenant."""

    tenant: Tenant
    report: ExportReport | None
    code: int
    told: str


def _export_tenants(
    folder: Path, tenants: Tenants, options: _Options, access: Access, *, side_by_side: int, quiet: bool
) -> ExitCode:
    if access.sandbox or access.direct or access.base_url or access.env or access.tenant_id:
        raise CommandError("with --tenants, the file says how to get at each one; leave out the options of access")
    files = [folder / f"tenant={tenant.name}" / f"queues.{tenants.ending}" for tenant in tenants.each]
    check_ending(files[0])
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise file_error(file.parent, exc, doing="write") from exc
    places = asyncio.Semaphore(side_by_side)

    async def one(tenant: Tenant, file: Path, begin: Begin) -> _Result:
        async with places:
            try:
                async with tenant.client(access.retry) as client:
                    report = await options.export(client, file, begin(tenant.name))
            except Exception as error:  # noqa: BLE001 (whatever it is, the others go on)
                code, line = describe(error)
                return _Result(tenant, None, code, line)
        code = ExitCode.OK if report.complete else ExitCode.INCOMPLETE
        return _Result(tenant, report, code, "complete" if report.complete else report.reason)

    async def work() -> list[_Result]:
        with _progress(quiet=quiet) as begin:
            return await asyncio.gather(*map(one, tenants.each, files, [begin] * len(files)))

    results = access.run_alone(work)
    _print_results(results)
    return _worst([result.code for result in results])


def _worst(codes: list[int]) -> ExitCode:
    failed = [code for code in codes if code not in {ExitCode.OK, ExitCode.INCOMPLETE}]
    return ExitCode(max(failed or codes))


def _print_results(results: list[_Result]) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Tenant", overflow="fold")
    for title in ("Queues", "Requests", "Denied", "Seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Result", overflow="fold")
    for result in results:
        report = result.report
        numbers = ["-"] * 4
        if report is not None:
            numbers = [f"{report.written:,}", f"{report.requests:,}", f"{report.denied:,}", f"{report.seconds:.1f}"]
        table.add_row(Text(result.tenant.name), *numbers, Text(one_line(result.told)))
    print_part(table)


# Progress


@contextmanager
def _progress(*, quiet: bool) -> Generator[Begin]:
    """Tell on stderr how far exports have come: a bar each on a terminal, else a line every few seconds."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: _say_nothing
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(_BAR), TextColumn("{task.fields[told]}"))
        with Progress(*columns, console=console, transient=True) as progress:

            def begin(name: str) -> OnProgress:
                task = progress.add_task(Text(one_line(name)).plain[:_BAR], total=None, told="")
                return lambda now: _update(progress, task, now)

            yield begin
    else:
        yield _line_teller


def _say_nothing(_: ExportProgress) -> None:
    pass


def _update(progress: Progress, task: TaskID, now: ExportProgress) -> None:
    progress.update(task, completed=now.written, total=now.total, told=progress_text(now))


def progress_text(now: ExportProgress) -> str:
    """How far an export has come, in at most 49 columns up to 999,999 queues, so that its bar fits into 80."""
    text = f"pass {now.number} {now.written:,}/{'?' if now.total is None else f'{now.total:,}'} {now.rate:,.0f}/s"
    if now.total is not None and now.rate > 0:
        minutes, seconds = divmod(round(max(0, now.total - now.written) / now.rate), 60)
        text += f" {minutes}:{seconds:02}"
    if now.limit is not None and now.free is not None:
        text += f" {now.free}/{now.limit}"
    return text + (" waiting" if now.waiting else "")


def _line_teller(name: str) -> OnProgress:
    last = time.monotonic()

    def tell(now: ExportProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            complain(one_line(f"{name}: {progress_text(now)}"))

    return tell
