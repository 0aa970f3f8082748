"""Differences, plans and results on a terminal, and differences as JSON."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from alohub_async.changes import ABSENT, FieldChange, Plan, QueueDiff, Result, Status
from alohub_async.cli.errors import redact_key
from alohub_async.cli.output import one_line, print_rich, table_with_heading, value_text
from alohub_async.files import json_text, queue_record
from alohub_async.resources.edits import told_apart

_WIDEST_NAME: Final = 28  # columns; a longer name takes several lines


def print_diff(diff: QueueDiff) -> None:
    """Write a line for each field that differs, and for each queue that only one state has."""
    table = _table()
    for change in diff.changed:
        _add(table, change.after.id, change.after.name, map(_field_change, change.fields))
    for queue in diff.removed:
        _add(table, queue.id, queue.name, ["removed"])
    for queue in diff.added:
        _add(table, queue.id, queue.name, ["added"])
    for each in diff.unmatched:
        _add(table, each.queue.id, each.queue.name, [f"not compared: {each.reason}, only {each.side}"])
    states = {"changed": diff.changed, "removed": diff.removed, "added": diff.added, "not compared": diff.unmatched}
    counts = {label: len(queues) for label, queues in states.items()}
    table.caption = Text(_counts_text({**counts, "unchanged": diff.unchanged}))
    print_rich(table)


def print_plan(plan: Plan) -> None:
    """Write the changes that a plan would make, and those that are impossible."""
    table = _table()
    for step in plan.to_write:
        _add(table, step.change.id, step.found and step.found.name, map(_field_change, step.fields))
    for step in plan.impossible:
        _add(table, step.change.id, step.found and step.found.name, [f"impossible: {_reason(step.error)}"])
    counts = {"to change": len(plan.to_write), "impossible": len(plan.impossible), "unchanged": plan.unchanged}
    table.caption = Text(_counts_text(counts))
    print_rich(table)


def result_line(result: Result) -> str:
    """The result of one queue, with the reason if it is not done."""
    reason = f": {_reason(result.error)}" if result.error is not None else ""
    if result.not_taken:
        reason = f": the server reported success but did not change {', '.join(result.not_taken)}"
    return f"{result.id}  {result.status}{reason}\n"


def result_counts(results: Iterable[Result]) -> str:
    """The number of results of each status."""
    counts = Counter(result.status for result in results)
    return _counts_text({status.value: counts[status] for status in Status})


def diff_record(diff: QueueDiff) -> dict[str, Any]:
    """The difference as a JSON object. A field of `extra` that one state lacks has only the value of the other."""
    changed = [(change.after, {field.name: _sides(field) for field in change.fields}) for change in diff.changed]
    return {
        "added": [queue_record(queue) for queue in diff.added],
        "removed": [queue_record(queue) for queue in diff.removed],
        "changed": [{"id": queue.id, "name": queue.name, "fields": fields} for queue, fields in changed],
        "unmatched": [
            {"side": each.side, "reason": each.reason, "queue": queue_record(each.queue)} for each in diff.unmatched
        ],
        "unchanged": diff.unchanged,
    }


def _sides(field: FieldChange) -> dict[str, object]:
    sides = {"before": field.before, "after": field.after}
    return {side: value for side, value in sides.items() if value is not ABSENT}


def _table() -> Table:
    table = table_with_heading(["ID", "Name", "Change"], right={"ID"}, folded={"Name", "Change"})
    table.columns[1].max_width = _WIDEST_NAME
    return table


def _add(table: Table, queue_id: int | None, name: str | None, lines: Iterable[str]) -> None:
    heading = [value_text("id", queue_id), value_text("name", name)]
    for line in lines:
        table.add_row(*map(Text, [*heading, line]))
        heading = ["", ""]  # only in the first line


def _field_change(field: FieldChange) -> str:
    before, after = told_apart(field.before, field.after, show=lambda value: _value(field, value))
    return f"{one_line(field.name)}: {before} -> {after}"


def _value(field: FieldChange, value: object) -> str:
    if value is ABSENT:
        return "(absent)"
    return one_line(json_text(value)) if field.name.startswith("extra.") else value_text(field.name, value)


def _reason(error: Exception | None) -> str:
    return redact_key(one_line(str(error)))


def _counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.items() if count) or "no queues"
