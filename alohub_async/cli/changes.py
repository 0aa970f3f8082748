"""`alohub queues diff` and `alohub queues apply`."""

import asyncio
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from alohub_async.changes import (
    Change,
    ChangesFileError,
    Plan,
    QueueDiff,
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
from alohub_async.cli.errors import CommandError, ExitCode, without_key
from alohub_async.cli.output import complain, one_line, write
from alohub_async.client import AlohubClient
from alohub_async.files import check_ending, json_text, read_queues
from alohub_async.models import InboundQueue

LIVE: Final = "live"
DIFFERENCES: Final = 1  # as `diff` has it

_CHANGES_ENDINGS: Final = (".csv", ".jsonl")
_QUEUES_ENDINGS: Final = (*_CHANGES_ENDINGS, ".parquet")

DIFF_EPILOG: Final = """Example: alohub queues diff monday.jsonl live

\b
Exit codes, beside those of alohub --help:
    0  no difference
    1  differences (or a failure, which is told on stderr)
    3  live is not provably complete; nothing was compared"""
APPLY_EPILOG: Final = """Example: alohub queues apply changes.csv --dry-run

\b
Columns of the file (or keys, in JSON Lines):
  id                  the queue
  music_on_hold, max_wait, strategy, announce_position
                      what to set; an empty cell leaves it as it is
  expect.max_wait, …  what it must be still, or the row is a conflict;
                      null for not set

\b
Exit codes, beside those of alohub --help:
    0  every queue is as wanted
    1  some failed, or were conflicts
    2  the file is wrong; every problem is told, nothing was sent"""


def _complete_files(begun: str, endings: Sequence[str]) -> list[str]:
    """Folders, and files with such an ending, that go on as begun."""
    folder = begun[: begun.rfind("/") + 1]
    found: list[str] = []
    with suppress(OSError):
        for each in sorted(Path(folder or ".").iterdir()):
            path = f"{folder}{each.name}"
            if path.startswith(begun) and (begun != folder or not each.name.startswith(".")):
                if each.is_dir():
                    found.append(f"{path}/")
                elif each.suffix.lower() in endings:
                    found.append(path)
    return found


def _complete_changes(incomplete: str) -> list[str]:
    return _complete_files(incomplete, _CHANGES_ENDINGS)


def _complete_queues(incomplete: str) -> list[str]:
    live = [LIVE] if LIVE.startswith(incomplete) else []
    return live + _complete_files(incomplete, _QUEUES_ENDINGS)


_STATE_HELP: Final = "An export (.jsonl, .csv, .parquet), or live."

BeforeArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="A", show_default=False, help=_STATE_HELP, autocompletion=_complete_queues)
]
AfterArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="B", show_default=False, help=_STATE_HELP, autocompletion=_complete_queues)
]
ChangesArgument: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="FILE", show_default=False, help="A .csv or .jsonl file.", autocompletion=_complete_changes),
]
ChangesOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--changes",
        metavar="FILE",
        help="Write what leads from A to B, as far as it can be set, for apply (.csv, .jsonl).",
        autocompletion=_complete_changes,
    ),
]
ConcurrencyOption: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=1, max=1000, help="Queues under way at once.")
]


# diff


@with_access
def diff_command(
    before: BeforeArgument,
    after: AfterArgument,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object.")] = False,
    changes: ChangesOption = None,
    access: Access,
) -> None:
    """Compare two states of the queues field by field: exports, or the service as it is now (live)."""
    for state in (before, after):
        if state != LIVE:
            check_ending(Path(state))
    files = [None if state == LIVE else [*read_queues(Path(state))] for state in (before, after)]
    diff = diff_queues(*(_walk(access) if queues is None else queues for queues in files))
    if changes is not None:
        _write_changes(changes, diff)
    if as_json:
        write(json_text(diff_record(diff), indent=2), as_utf8=True)
    else:
        print_diff(diff)
    if not diff.is_empty:
        raise typer.Exit(DIFFERENCES)


def _walk(access: Access) -> list[InboundQueue]:
    async def walk(client: AlohubClient) -> list[InboundQueue]:
        pager = client.queues.list_inbound(consistency="repair", deadline=access.deadline)
        queues = await pager.collect()
        if not pager.complete:
            raise CommandError("the live list is not provably complete; nothing was compared", ExitCode.INCOMPLETE)
        return queues

    return access.run(walk)


def _write_changes(path: Path, diff: QueueDiff) -> None:
    changes, left = changes_of(diff)
    write_changes(path, changes)
    for line in left:
        complain(f"not in {one_line(str(path))}: {one_line(line)}")


# apply


@with_access
def apply_command(
    file: ChangesArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be changed.")] = False,
    concurrency: ConcurrencyOption = 16,
    access: Access,
) -> None:
    """Change many queues as a file says: only what differs, and nothing that changes meanwhile.

    It can be run again: what is done already is left alone.
    """
    changes = _read(file)
    if not (yes or dry_run or sys.stdin.isatty()):
        raise CommandError("nobody can be asked: stdin is no terminal; give --yes, or --dry-run to see the plan")

    async def work(client: AlohubClient) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        plan = await plan_changes(client, changes, concurrency=concurrency, deadline=access.deadline)
        left = None if access.deadline is None else max(began + access.deadline - loop.time(), 0.001)
        print_plan(plan)
        if dry_run or not plan.to_write:
            if not plan.to_write:
                write("Nothing is left to change.\n")
            return not plan.impossible
        if not yes:
            _ask(len(plan.to_write))
        return await _apply(client, plan, concurrency, left)

    if not access.run(work):
        raise typer.Exit(ExitCode.FAILED)


def _read(file: Path) -> list[Change]:
    try:
        return read_changes(file)
    except ChangesFileError as exc:
        for problem in exc.problems:
            complain(without_key(one_line(f"{file}, {problem}")))
        count = len(exc.problems)
        told = f"{count} problem{'' if count == 1 else 's'} in {file}; nothing was sent"
        raise CommandError(told) from exc


async def _apply(client: AlohubClient, plan: Plan, concurrency: int, deadline: float | None) -> bool:
    """Whether all went well. What was done is told even when it ends early."""
    results = list[Result]()
    try:
        async for result in apply_plan(client, plan, concurrency=concurrency, deadline=deadline):
            results.append(result)
            if result.step.fields or result.error is not None:
                write(result_line(result))
    finally:
        left = len(plan.steps) - len(results)
        write(f"{result_counts(results)}\n")
        if left:
            complain(f"{left} not known to be done; run it again to do the rest")
    return all(result.status.is_good for result in results)


def _ask(count: int) -> None:
    """Go on only if the user says yes.

    Raises:
        CommandError: The user said no.
        typer.Abort: Ctrl-C.
    """
    try:
        with _interrupting():
            sys.stderr.write(f"Change {count} queue{'' if count == 1 else 's'}? [y/N] ")
            sys.stderr.flush()
            answer = sys.stdin.readline().strip().lower()
    except KeyboardInterrupt as exc:
        raise typer.Abort from exc
    if answer not in {"y", "yes"}:
        raise CommandError("nothing was changed", ExitCode.FAILED)


@contextmanager
def _interrupting() -> Generator[None]:
    """Have Ctrl-C end what waits for the keyboard: the event loop's own handler would only cancel its task."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
