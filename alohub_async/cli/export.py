"""`alohub queues export`: all queues to a file, or the queues of several tenants to a folder."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer
from typer import Argument, Option

from alohub_async.cli import output
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.outcomes import JOBS, NEWER_THAN, SCHEDULER, again, print_results, results_of, run_job
from alohub_async.cli.progress import show_progress
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError
from alohub_async.export import ExportConsistency, ExportReport, export_inbound
from alohub_async.export.journal import journal_path
from alohub_async.files import check_ending, check_target, json_text
from alohub_async.plurals import counted
from alohub_async.tenants import export_tenants

_COLUMNS: Final[dict[str, Callable[[Any], str]]] = {
    "Queues": lambda result: f"{result['written']:,}",
    "Requests": lambda result: f"{result['requests']:,}",
    "Denied": lambda result: f"{result['denied']:,}",
    "Seconds": lambda result: f"{result['seconds']:.1f}",
}

EXPORT_EPILOG: Final = """Example: alohub queues export queues.parquet

\b
Edit in a spreadsheet:   alohub queues export queues.csv --excel
                         alohub queues apply queues.csv --log changes.log
To another program:      alohub queues export - --format csv | program
Every tenant of a file:  alohub queues export --tenants tenants.toml folder"""

FileFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]
_path_help = "A .jsonl, .csv or .parquet file; with --tenants, a folder; - is stdout."
_path = Argument(metavar="PATH", show_default=False, help=_path_help)
_format = Option("--format", help="Format of stdout, by default jsonl; or of the files of --tenants.")
_consistency = Option(metavar="HOW", help="repair: walk until proven complete; detect: one pass.")


@with_access
def export_command(
    path: Annotated[Path, _path],
    *,
    file_format: Annotated[FileFormat | None, _format] = None,
    excel: Annotated[
        bool, Option("--excel", help="Write a CSV to edit in a spreadsheet; apply takes it back.")
    ] = False,
    details: Annotated[bool, Option("--details", help="Export the details of each queue.")] = False,
    page_size: Annotated[int | None, Option(metavar="N", help="Queues per page.  [default: 100]")] = None,
    prefetch: Annotated[int, Option(metavar="N", help="Pages requested at the same time.")] = 4,
    consistency: Annotated[ExportConsistency, _consistency] = "repair",
    max_passes: Annotated[int, Option(metavar="N", help="Maximum number of passes with repair.")] = 5,
    restart: Annotated[bool, Option("--restart", help="Start again instead of resuming.")] = False,
    as_json: Annotated[bool, Option("--json", help="Output the report as JSON; with --tenants, a line each.")] = False,
    newer_than: Annotated[timedelta | None, NEWER_THAN] = None,
    jobs: Annotated[int | None, JOBS] = None,
    scheduler: Annotated[str | None, SCHEDULER] = None,
    access: Access,
) -> None:
    """Export all inbound queues to a file.

    To resume an interrupted export, run the same command again. With --tenants,
    the queues of each tenant are in PATH/tenant=NAME/, and the results in
    PATH/_report.json.

    With - for PATH, the file goes to stdout once it is whole, and the summary
    to stderr. Such an export cannot be resumed.
    """
    if excel and (file_format or "csv") != "csv":
        raise CommandError("--excel writes CSV; leave out --format")
    if excel and path != output.STANDARD_STREAM and not access.many and path.suffix.lower() != ".csv":
        raise CommandError(f"--excel writes CSV; the file must end in .csv, not {path.suffix!r:.60}")
    walk: Any = {"page_size": page_size, "prefetch": prefetch, "consistency": consistency, "max_passes": max_passes}
    export: Any = {"details": details, "excel": excel, "restart": restart, "deadline": access.deadline, **walk}
    if access.many:
        if path == output.STANDARD_STREAM or path.is_file():
            raise CommandError(f"with --tenants, PATH must be a folder, not {output.one_line(str(path))}")
        found = access.read_tenants()
        form = file_format or ("csv" if excel else found.file_format)
        check_ending(Path(f"queues.{form}"))  # before each tenant fails for the same reason
        run: Any = {"newer_than": newer_than, "concurrency": jobs, **export}
        job = partial(export_tenants, found.tenants, path, file_format=form, **run)
        report = run_job(access, job, scheduler=scheduler, hint=again(restart=restart))
        results = results_of(report, found.tenants)
        if as_json:
            output.write("".join(json_text(entry.as_record()) for entry, _, _ in results), as_json=True)
        else:
            print_results(results, _COLUMNS)
        codes = [code for _, code, _ in results]  # a failure is worse than what is missing
        code = max([code for code in codes if code not in {ExitCode.OK, ExitCode.INCOMPLETE}] or codes)
    else:
        if newer_than is not None or scheduler is not None:
            raise CommandError("--newer-than and --scheduler are for --tenants")
        if path == output.STANDARD_STREAM:
            code = _export_to_stdout(file_format or ("csv" if excel else "jsonl"), export, access, as_json=as_json)
        elif file_format is not None:
            raise CommandError("--format is for stdout and --tenants; the ending of a file is its format")
        else:
            code = _export_one(path, export, access, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _export_one(path: Path, options: Mapping[str, Any], access: Access, *, as_json: bool) -> int:
    can_resume = journal_path(path).exists
    hint = f"; {again(restart=options['restart'], tenants=False)} to resume"
    report = _run(path, options, access, hint=lambda: hint if can_resume() else "")
    if as_json:
        output.write_json(report.as_record())
    else:
        output.write_wrapped(_summary(str(path), report))
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def _export_to_stdout(file_format: str, options: Mapping[str, Any], access: Access, *, as_json: bool) -> int:
    if as_json or options["restart"]:
        raise CommandError("--json and --restart are for files; an export to stdout begins anew, and reports on stderr")
    if sys.stdout.isatty():
        raise CommandError("stdout is a terminal; redirect it to a file or a program, or use alohub queues list")
    with tempfile.TemporaryDirectory(prefix="alohub-") as folder:
        path = Path(folder) / f"queues.{file_format}"
        hint = "; nothing was written, and an export to stdout cannot be resumed"
        report = _run(path, options, access, hint=lambda: hint)
        with path.open("rb") as file, output.writing_output():
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
    output.write_stderr(_summary("stdout", report))
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def _run(path: Path, options: Mapping[str, Any], access: Access, *, hint: Callable[[], str]) -> ExportReport:
    """Export to a file; the hint is added to the message of a failure."""
    check_ending(path)  # before the user is asked for a key
    check_target(path)

    async def work(client: AlohubClient) -> ExportReport:
        with show_progress("Exporting", client, quiet=access.quiet, details=options["details"]) as show:
            return await export_inbound(client, path, on_progress=show, **options)

    try:
        return access.run(work)
    except (AlohubError, CommandError, KeyboardInterrupt) as error:
        how = "" if isinstance(error.__cause__ or error, FileError) else hint()
        if isinstance(error, KeyboardInterrupt):
            raise CommandError(f"interrupted{how}", ExitCode.INTERRUPTED) from error
        code, line = describe(error)
        raise CommandError(line + how, code) from error


def _summary(where: str, report: ExportReport) -> str:
    return output.one_line(
        f"{where}: {counted(report.written, 'queue')}, {'' if report.complete else 'NOT '}complete: {report.reason};"
        f" {report.seconds:.1f} s; {counted(report.requests, 'request')}, {report.denied:,} denied,"
        f" waited {report.waited:.1f} s for the rate limit"
    )
