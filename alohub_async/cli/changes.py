"""`alohub queues diff` and `alohub queues apply`."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from alohub_async.changes import (
    ChangesFileError,
    Plan,
    Result,
    apply_plan,
    changes_of,
    diff_queues,
    plan_changes,
    read_changes,
    write_changes,
)
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.changes_table import diff_record, print_diff, print_plan, result_counts, result_line
from alohub_async.cli.errors import CommandError, ExitCode, one_failure_code, redact_key
from alohub_async.cli.output import one_line, write, write_json, write_stderr
from alohub_async.client import AlohubClient
from alohub_async.files import check_ending, read_queues
from alohub_async.models import InboundQueue
from alohub_async.plurals import counted

LIVE: Final = "live"
DIFFERENCES: Final = 1  # as with diff(1)

_CHANGES_ENDINGS: Final = (".csv", ".jsonl")
_QUEUES_ENDINGS: Final = (*_CHANGES_ENDINGS, ".parquet")

DIFF_EPILOG: Final = """Example: alohub queues diff monday.jsonl live

\b
Exit codes, instead of those of the other commands:
    0  no differences
    1  differences
    2  the comparison failed, for any reason; see stderr"""
APPLY_EPILOG: Final = """Example: alohub queues apply changes.csv --dry-run

\b
Columns of the CSV file, or keys in JSON Lines:
  id                  queue id
  music_on_hold, max_wait, strategy, announce_position
                      new value; an empty cell leaves the field unchanged
  expect.max_wait, …  expected current value, null for none; if the queue
                      has another value, the row is a conflict

\b
Exit codes, in addition to those of alohub --help:
    0  every queue has the values of the file
    1  at least one queue failed or is a conflict
    2  the file has problems; all are listed, nothing was sent"""


def _complete_files(incomplete: str, endings: Sequence[str]) -> list[str]:
    """Complete a path: folders, and files with one of these endings; hidden ones only after a dot."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    found: list[str] = []
    with suppress(OSError):
        for entry in sorted(Path(folder or ".").iterdir()):
            path = f"{folder}{entry.name}"
            if path.startswith(incomplete) and (incomplete != folder or not entry.name.startswith(".")):
                if entry.is_dir():
                    found.append(f"{path}/")
                elif entry.suffix.lower() in endings:
                    found.append(path)
    return found


def _complete_changes(incomplete: str) -> list[str]:
    return _complete_files(incomplete, _CHANGES_ENDINGS)


def _complete_queues(incomplete: str) -> list[str]:
    live = [LIVE] if LIVE.startswith(incomplete) else []
    return live + _complete_files(incomplete, _QUEUES_ENDINGS)


_state = partial(
    typer.Argument,
    show_default=False,
    help="An export (.jsonl, .csv or .parquet), or live.",
    autocompletion=_complete_queues,
)


@with_access
@one_failure_code()
def diff_command(
    before: Annotated[str, _state(metavar="A")],
    after: Annotated[str, _state(metavar="B")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Output a JSON object.")] = False,
    changes: Annotated[
        Path | None,
        typer.Option(
            "--changes",
            metavar="FILE",
            help="Also write the changes from A to B for apply (.csv or .jsonl).",
            autocompletion=_complete_changes,
        ),
    ] = None,
    access: Access,
) -> None:
    """Compare two states of the queues field by field.

    Each state is an export, or the word live for the current queues.
    """
    for state in (before, after):
        if state != LIVE:
            check_ending(Path(state))
    files = [None if state == LIVE else [*read_queues(Path(state))] for state in (before, after)]
    diff = diff_queues(*(_live_queues(access) if queues is None else queues for queues in files))
    if changes is not None:
        wanted, skipped = changes_of(diff)
        write_changes(changes, wanted)
        for line in skipped:
            write_stderr(f"not in {one_line(str(changes))}: {one_line(line)}")
    if as_json:
        write_json(diff_record(diff))
    else:
        print_diff(diff)
    if not diff.is_empty:
        raise typer.Exit(DIFFERENCES)


def _live_queues(access: Access) -> list[InboundQueue]:
    async def work(client: AlohubClient) -> list[InboundQueue]:
        pager = client.queues.list_inbound(consistency="repair", deadline=access.deadline)
        queues = await pager.collect()
        if not pager.complete:
            raise CommandError("the live list is not provably complete; nothing was compared", ExitCode.INCOMPLETE)
        return queues

    return access.run(work)


@with_access
def apply_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", show_default=False, help="Changes, as .csv or .jsonl.", autocompletion=_complete_changes
        ),
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan without changing anything.")] = False,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Queues processed at the same time.")
    ] = 16,
    access: Access,
) -> None:
    """Apply a file of changes to many queues.

    Writes only the fields that differ. A queue that somebody else changes in
    the meantime is a conflict and is not written. The command can be run
    again: queues that already have the values are left unchanged.
    """
    try:
        changes = read_changes(file)
    except ChangesFileError as exc:
        for problem in exc.problems:
            write_stderr(redact_key(one_line(f"{file}, {problem}")))
        raise CommandError(f"{counted(len(exc.problems), 'problem')} in {file}; nothing was sent") from exc
    if not (yes or dry_run or sys.stdin.isatty()):
        raise CommandError(
            "cannot ask for confirmation: stdin is not a terminal; give --yes, or --dry-run to see the plan"
        )

    async def work(client: AlohubClient) -> bool:
        loop = asyncio.get_running_loop()
        started = loop.time()
        plan = await plan_changes(client, changes, concurrency=concurrency, deadline=access.deadline)
        remaining = None if access.deadline is None else max(started + access.deadline - loop.time(), 0.001)
        print_plan(plan)
        if not plan.to_write:
            write("Nothing to change.\n")
        if dry_run or not plan.to_write:
            return not plan.impossible
        if not yes:
            _confirm(len(plan.to_write))
        return await _apply(client, plan, concurrency, remaining)

    if not access.run(work):
        raise typer.Exit(ExitCode.FAILED)


async def _apply(client: AlohubClient, plan: Plan, concurrency: int, deadline: float | None) -> bool:
    """Whether every queue has its values. The results so far are written even if it ends early."""
    results = list[Result]()
    try:
        async for result in apply_plan(client, plan, concurrency=concurrency, deadline=deadline):
            results.append(result)
            if result.step.fields or result.error is not None:
                write(result_line(result))
    finally:
        write(f"{result_counts(results)}\n")
        if unfinished := len(plan.steps) - len(results):
            write_stderr(f"{counted(unfinished, 'queue')} without a result; run the same command again to finish")
    return all(result.status.is_good for result in results)


def _confirm(count: int) -> None:
    """Ask the user for confirmation; raise CommandError if the user declines, typer.Abort after Ctrl-C."""
    # The handler of the event loop would only cancel the task; this one interrupts the blocking read.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write(f"Change {counted(count, 'queue')}? [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip().lower()
    except KeyboardInterrupt as exc:
        raise typer.Abort from exc
    finally:
        signal.signal(signal.SIGINT, handler)
    if answer not in {"y", "yes"}:
        raise CommandError("nothing was changed", ExitCode.FAILED)
