"""`alohub queues diff` and `alohub queues apply`."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import attrs
import typer
from rich.text import Text
from typer import Argument, Option

from alohub_async import changes
from alohub_async.cli import output
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, one_failure_code
from alohub_async.client import AlohubClient
from alohub_async.files import json_text, read_queues
from alohub_async.models import InboundQueue
from alohub_async.plurals import counted
from alohub_async.resources.edits import told_apart

_LIVE: Final = Path("live")
_DIFFERENCES: Final = 1  # as with diff(1)
_WIDEST_NAME: Final = 28  # columns; a longer name takes several lines
_Entry: TypeAlias = tuple[object, object, Iterable[str]]  # id and name of a queue, and its lines

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


_state = partial(Argument, show_default=False, help="An export (.jsonl, .csv or .parquet), or live.")
_changes = Option("--changes", metavar="FILE", help="Also write the changes from A to B for apply (.csv or .jsonl).")
_file = Argument(metavar="FILE", show_default=False, help="Changes, as .csv or .jsonl.")
_concurrency = Option(metavar="N", min=1, max=1000, help="Queues processed at the same time.")


@with_access
@one_failure_code()
def diff_command(
    before: Annotated[Path, _state(metavar="A")],
    after: Annotated[Path, _state(metavar="B")],
    *,
    as_json: Annotated[bool, Option("--json", help="Output a JSON object.")] = False,
    changes_file: Annotated[Path | None, _changes] = None,
    access: Access,
) -> None:
    """Compare two states of the queues field by field.

    Each state is an export, or the word live for the current queues.
    """
    files = [None if state == _LIVE else [*read_queues(state)] for state in (before, after)]
    diff = changes.diff_queues(*(_live_queues(access) if queues is None else queues for queues in files))
    if changes_file is not None:
        wanted, skipped = changes.changes_of(diff)
        changes.write_changes(changes_file, wanted)
        for line in skipped:
            output.write_stderr(output.one_line(f"not in {changes_file}: {line}"))
    if as_json:
        output.write_json(_diff_record(diff))
    else:
        _print_diff(diff)
    if not diff.is_empty:
        raise typer.Exit(_DIFFERENCES)


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
    file: Annotated[Path, _file],
    *,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show the plan without changing anything.")] = False,
    concurrency: Annotated[int, _concurrency] = 16,
    access: Access,
) -> None:
    """Apply a file of changes to many queues.

    Writes only the fields that differ. A queue that somebody else changes in
    the meantime is a conflict and is not written. The command can be run
    again: queues that already have the values are left unchanged.
    """
    try:
        wanted = changes.read_changes(file)
    except changes.ChangesFileError as exc:
        for problem in exc.problems:
            output.write_stderr(output.message_line(f"{file}, {problem}"))
        raise CommandError(f"{counted(len(exc.problems), 'problem')} in {file}; nothing was sent") from exc
    if not (yes or dry_run or sys.stdin.isatty()):
        raise CommandError("cannot ask to confirm: stdin is not a terminal; give --yes, or --dry-run to see the plan")

    async def work(client: AlohubClient) -> bool:
        loop = asyncio.get_running_loop()
        started = loop.time()
        plan = await changes.plan_changes(client, wanted, concurrency=concurrency, deadline=access.deadline)
        remaining = None if access.deadline is None else max(started + access.deadline - loop.time(), 0.001)
        _print_plan(plan)
        if not plan.to_write:
            output.write("Nothing to change.\n")
        if dry_run or not plan.to_write:
            return not plan.impossible
        if not yes:
            _confirm(len(plan.to_write))
        return await _apply(client, plan, concurrency, remaining)

    if not access.run(work):
        raise typer.Exit(ExitCode.FAILED)


async def _apply(client: AlohubClient, plan: changes.Plan, concurrency: int, deadline: float | None) -> bool:
    """Whether every queue has its values. The results so far are written even if it ends early."""
    results = list[changes.Result]()
    try:
        async for result in changes.apply_plan(client, plan, concurrency=concurrency, deadline=deadline):
            results.append(result)
            if result.step.fields or result.error is not None:
                output.write(_result_line(result))
    finally:
        counts = Counter(result.status for result in results)
        output.write(_counts_text({status.value: counts[status] for status in changes.Status}) + "\n")
        if left := len(plan.steps) - len(results):
            output.write_stderr(f"{counted(left, 'queue')} without a result; run the same command again to finish")
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


def _print_diff(diff: changes.QueueDiff) -> None:
    """Write a line for each field that differs, and for each queue that only one state has."""
    entries: list[_Entry] = [(each.after.id, each.after.name, map(_field_change, each.fields)) for each in diff.changed]
    entries += [(queue.id, queue.name, ["removed"]) for queue in diff.removed]
    entries += [(queue.id, queue.name, ["added"]) for queue in diff.added]
    for each in diff.unmatched:
        entries.append((each.queue.id, each.queue.name, [f"not compared: {each.reason}, only {each.side}"]))
    states = {"changed": diff.changed, "removed": diff.removed, "added": diff.added, "not compared": diff.unmatched}
    counts = {label: len(queues) for label, queues in states.items()}
    _print_table(entries, {**counts, "unchanged": diff.unchanged})


def _print_plan(plan: changes.Plan) -> None:
    entries: list[_Entry] = []
    for step in (*plan.to_write, *plan.impossible):
        lines = [f"impossible: {output.message_line(step.error)}"] if step.error else map(_field_change, step.fields)
        entries.append((step.change.id, step.found and step.found.name, lines))
    counts = {"to change": len(plan.to_write), "impossible": len(plan.impossible), "unchanged": plan.unchanged}
    _print_table(entries, counts)


def _result_line(result: changes.Result) -> str:
    reason = f": {output.message_line(result.error)}" if result.error is not None else ""
    if result.not_taken:
        reason = f": the server reported success but did not change {', '.join(result.not_taken)}"
    return f"{result.id}  {result.status}{reason}\n"


def _diff_record(diff: changes.QueueDiff) -> dict[str, Any]:
    """The difference as a JSON object. A field of `extra` that one state lacks has only the value of the other."""
    changed: list[dict[str, object]] = []
    for each in diff.changed:
        fields = {field.name: _sides(field) for field in each.fields}
        changed.append({"id": each.after.id, "name": each.after.name, "fields": fields})
    return {**attrs.asdict(diff), "changed": changed}


def _sides(field: changes.FieldChange) -> dict[str, object]:
    sides = {"before": field.before, "after": field.after}
    return {side: value for side, value in sides.items() if value is not changes.ABSENT}


def _print_table(entries: Iterable[_Entry], counts: dict[str, int]) -> None:
    table = output.table_with_heading(["ID", "Name", "Change"], right={"ID"}, folded={"Name", "Change"})
    table.columns[1].max_width = _WIDEST_NAME
    for queue_id, name, lines in entries:
        heading = [output.value_text("id", queue_id), output.value_text("name", name)]
        for line in lines:
            table.add_row(*map(Text, [*heading, line]))
            heading = ["", ""]  # only in the first line
    table.caption = Text(_counts_text(counts))
    output.print_rich(table)


def _field_change(field: changes.FieldChange) -> str:
    before, after = told_apart(field.before, field.after, show=lambda value: _value(field, value))
    return f"{output.one_line(field.name)}: {before} -> {after}"


def _value(field: changes.FieldChange, value: object) -> str:
    if value is changes.ABSENT:
        return "(absent)"
    is_extra = field.name.startswith("extra.")
    return output.one_line(json_text(value)) if is_extra else output.value_text(field.name, value)


def _counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.items() if count) or "no queues"
