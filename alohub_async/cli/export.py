"""`alohub queues export`: all queues to a file, or the queues of several tenants to a folder."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer import Argument, Option

from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.outcomes import JOBS, NEWER_THAN, SCHEDULER, again, print_results, results_of, run_job
from alohub_async.cli.output import one_line, write, write_json
from alohub_async.cli.progress import show_progress
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, FileError
from alohub_async.export import ExportConsistency, ExportReport, export_inbound
from alohub_async.export.journal import journal_path
from alohub_async.files import check_ending
from alohub_async.plurals import counted
from alohub_async.tenants import export_tenants

_COLUMNS: Final[dict[str, Callable[[Any], str]]] = {
    "Queues": lambda result: f"{result['written']:,}",
    "Requests": lambda result: f"{result['requests']:,}",
    "Denied": lambda result: f"{result['denied']:,}",
    "Seconds": lambda result: f"{result['seconds']:.1f}",
}

_path = Argument(metavar="PATH", show_default=False, help="A .jsonl, .csv or .parquet file; with --tenants, a folder.")
_consistency = Option(metavar="HOW", help="repair: walk until proven complete; detect: one pass.")


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
    """
    walk: Any = {"page_size": page_size, "prefetch": prefetch, "consistency": consistency, "max_passes": max_passes}
    export: Any = {"details": details, "restart": restart, "deadline": access.deadline, **walk}
    if access.many:
        found = access.read_tenants()
        check_ending(Path(f"queues.{found.file_format}"))  # before each tenant fails for the same reason
        run: Any = {"newer_than": newer_than, "concurrency": jobs, "scheduler": scheduler, **export}
        job = partial(export_tenants, found.tenants, path, file_format=found.file_format, **run)
        report = run_job(access, job, hint=again(restart=restart))
        results = results_of(report, found.tenants)
        print_results(results, _COLUMNS, as_json=as_json)
        codes = [code for _, code, _ in results]  # a failure is worse than what is missing
        code = max([code for code in codes if code not in {ExitCode.OK, ExitCode.INCOMPLETE}] or codes)
    else:
        if newer_than is not None or scheduler is not None:
            raise CommandError("--newer-than and --scheduler are for --tenants")
        code = _export_one(path, export, access, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _export_one(path: Path, options: Mapping[str, Any], access: Access, *, as_json: bool) -> int:
    check_ending(path)  # before the user is asked for a key

    async def work(client: AlohubClient) -> ExportReport:
        with show_progress("Exporting", client, quiet=access.quiet, details=options["details"]) as show:
            return await export_inbound(client, path, on_progress=show, **options)

    try:
        report = access.run(work)
    except (AlohubError, CommandError, KeyboardInterrupt) as error:
        can_resume = not isinstance(error.__cause__ or error, FileError) and journal_path(path).exists()
        hint = f"; {again(restart=options['restart'], tenants=False)} to resume" if can_resume else ""
        if isinstance(error, KeyboardInterrupt):
            raise CommandError(f"interrupted{hint}", ExitCode.INTERRUPTED) from error
        code, line = describe(error)
        raise CommandError(line + hint, code) from error
    summary = (
        f"{path}: {counted(report.written, 'queue')}, {'' if report.complete else 'NOT '}complete: {report.reason};"
        f" {report.seconds:.1f} s; {counted(report.requests, 'request')}, {report.denied:,} denied,"
        f" waited {report.waited:.1f} s for the rate limit"
    )
    if as_json:
        write_json(report.as_record())
    else:
        write(one_line(summary) + "\n")
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE
