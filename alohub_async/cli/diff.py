"""`alohub queues diff`, and the table of changes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import attrs
import typer
from rich.text import Text
from typer import Argument, Option

from alohub_async import changes
from alohub_async.changes.changes_file import ENDINGS
from alohub_async.cli import output
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode, one_failure_code
from alohub_async.cli.outcomes import JOBS, check_partitions, for_each, outcome_records, partition, write_failures
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError
from alohub_async.files import check_ending, check_target, json_text, os_errors, read_queues
from alohub_async.files.formats import has_extra
from alohub_async.models import InboundQueue
from alohub_async.pool import TenantOutcome
from alohub_async.resources.edits import told_apart
from alohub_async.tenant import Tenant

_LIVE: Final = Path("live")
_DIFFERENCES: Final = 1  # as with diff(1)
_ROW: Final = ("tenant", "id", "name", "change", "field", "before", "after")
_WIDEST_NAME: Final = 28  # columns; a longer name takes several lines
Entry: TypeAlias = tuple[str, InboundQueue | changes.Change, Iterable[str]]  # a tenant, a queue and its lines

DIFF_EPILOG: Final = """Example: alohub queues diff monday.jsonl live

\b
Exit codes, instead of those of the other commands:
    0  no differences
    1  differences
    2  the comparison failed, for any reason; see stderr"""

_state = partial(Argument, show_default=False, help="An export (.jsonl, .csv or .parquet), or live.")
_to_apply = "Also write the changes from A to B for apply (.csv or .jsonl; with --tenants, a folder)."
_changes = Option("--changes", metavar="FILE", help=_to_apply)


@with_access
@one_failure_code()
def diff_command(
    before: Annotated[Path, _state(metavar="A")],
    after: Annotated[Path, _state(metavar="B")],
    *,
    form: output.Output = "table",
    changes_file: Annotated[Path | None, _changes] = None,
    jobs: Annotated[int | None, JOBS] = None,
    access: Access,
) -> None:
    """Compare two states of the queues field by field.

    Each state is an export, or the word live for the current queues. With
    --tenants, an export is a folder as export --tenants writes it. A CSV
    without the column extra, as --excel writes it, is compared without that.
    """
    if access.many:
        outcomes = _diff_tenants(before, after, changes_file, access, jobs)
        diffs = [(outcome.tenant.name, outcome.unwrap()) for outcome in outcomes if outcome.ok]
        _write_diffs(form, diffs, _ROW, outcome_records(outcomes, _diff_record))
        if write_failures(outcomes):
            raise typer.Exit(ExitCode.USAGE)
    else:
        if changes_file is not None:
            check_ending(changes_file, ENDINGS)
            check_target(changes_file)
        files = [None if state == _LIVE else [*read_queues(state)] for state in (before, after)]
        live = partial(_live, deadline=access.deadline)
        states = (access.run(live) if queues is None else queues for queues in files)
        diff = changes.diff_queues(*states, extra=_have_extra(before, after))
        if changes_file is not None:
            _write_changes(changes_file, diff)
        diffs = [("", diff)]
        _write_diffs(form, diffs, _ROW[1:], _diff_record(diff))
    if not all(diff.is_empty for _, diff in diffs):
        raise typer.Exit(_DIFFERENCES)


async def _live(client: AlohubClient, *, deadline: float | None) -> list[InboundQueue]:
    pager = client.queues.list_inbound(consistency="repair", deadline=deadline)
    queues = await pager.collect()
    if not pager.complete:
        raise CommandError("the live list is not provably complete; nothing was compared", ExitCode.INCOMPLETE)
    return queues


def _have_extra(*states: Path) -> bool:
    return all(state == _LIVE or has_extra(state) for state in states)


def _write_changes(path: Path, diff: changes.QueueDiff) -> None:
    wanted, skipped = changes.changes_of(diff)
    changes.write_changes(path, wanted)
    for line in skipped:
        output.write_stderr(output.one_line(f"not in {path}: {line}"))


def _diff_tenants(
    before: Path, after: Path, changes_folder: Path | None, access: Access, jobs: int | None
) -> list[TenantOutcome[changes.QueueDiff]]:
    tenants = access.read_tenants().tenants
    for state in {before, after} - {_LIVE}:
        check_partitions(state, tenants)

    def compare(tenant: Tenant, live: list[InboundQueue]) -> changes.QueueDiff:
        paths = [state if state == _LIVE else partition(state, tenant) for state in (before, after)]
        states = (live if path == _LIVE else [*read_queues(path)] for path in paths)
        diff = changes.diff_queues(*states, extra=_have_extra(*paths))
        if changes_folder is not None:
            path = changes_folder / f"tenant={tenant.name}" / "changes.csv"
            with os_errors(path.parent, doing="write"):
                path.parent.mkdir(parents=True, exist_ok=True)
            _write_changes(path, diff)
        return diff

    async def job(client: AlohubClient, tenant: Tenant) -> changes.QueueDiff:
        return compare(tenant, await _live(client, deadline=access.deadline))

    if _LIVE in {before, after}:
        return for_each(access, job, jobs=jobs, label="Comparing tenants…")
    outcomes: list[TenantOutcome[changes.QueueDiff]] = []
    for tenant in tenants:
        try:
            outcomes.append(TenantOutcome(tenant, compare(tenant, []), None))
        except AlohubError as error:
            outcomes.append(TenantOutcome(tenant, None, error))
    return outcomes


def _write_diffs(
    form: output.Form, diffs: Sequence[tuple[str, changes.QueueDiff]], columns: Sequence[str], document: object
) -> None:
    """Write a line for each field that differs, and for each queue that only one state has, of each tenant."""
    found = [(name, *each) for name, diff in diffs for each in _differences(diff)]
    if form == "table":
        of_kind = Counter(change.partition(":")[0] for _, _, change, _ in found)
        counts = {kind: of_kind[kind] for kind in ("changed", "removed", "added", "not compared")}
        lines = [(name, queue, [*map(field_change, fields)] or [change]) for name, queue, change, fields in found]
        print_table(lines, {**counts, "unchanged": sum(diff.unchanged for _, diff in diffs)})
        return
    rows = [
        {"tenant": name, "id": queue.id, "name": queue.name, "change": change, **field}
        for name, queue, change, fields in found
        for field in [{"field": each.name, **_sides(each)} for each in fields] or [{}]
    ]
    output.write_rows(form, columns, rows, document=document)


def _differences(
    diff: changes.QueueDiff,
) -> Iterator[tuple[InboundQueue, str, Sequence[changes.FieldChange]]]:
    """Each queue that differs, how it does, and in which fields."""
    yield from ((each.after, "changed", each.fields) for each in diff.changed)
    yield from ((queue, "removed", ()) for queue in diff.removed)
    yield from ((queue, "added", ()) for queue in diff.added)
    yield from ((each.queue, f"not compared: {each.reason}, only {each.side}", ()) for each in diff.unmatched)


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


def print_table(entries: Sequence[Entry], counts: Mapping[str, int]) -> None:
    """Write a table of queues and their lines, with a column of tenants if they have names."""
    titles = ["Tenant", "ID", "Name", "Change"]
    if not any(tenant for tenant, _, _ in entries):
        del titles[0]
    table = output.table_with_heading(titles, right={"ID"}, folded={"Tenant", "Name", "Change"})
    table.columns[-2].max_width = _WIDEST_NAME
    for tenant, queue, lines in entries:
        name = getattr(queue, "name", None)
        heading = [tenant, output.value_text("id", queue.id), output.value_text("name", name)]
        for line in lines:
            table.add_row(*map(Text, [*heading, line][-len(titles) :]))
            heading = ["", "", ""]  # only in the first line
    table.caption = Text(counts_text(counts))
    output.print_rich(table)


def field_change(field: changes.FieldChange) -> str:
    """The value before and after."""
    before, after = told_apart(field.before, field.after, show=lambda value: _value(field, value))
    return f"{output.one_line(field.name)}: {before} -> {after}"


def _value(field: changes.FieldChange, value: object) -> str:
    if value is changes.ABSENT:
        return "(absent)"
    is_extra = field.name.startswith("extra.")
    return output.one_line(json_text(value)) if is_extra else output.value_text(field.name, value)


def counts_text(counts: Mapping[str, int]) -> str:
    """The counts in one line."""
    return ", ".join(f"{count} {label}" for label, count in counts.items() if count) or "no queues"
