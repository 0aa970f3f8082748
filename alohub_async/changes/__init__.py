"""Compare two states of the inbound queues, and apply changes to many of them with checks.

diff = diff_queues(read_queues(Path("monday.jsonl")), await client.queues.list_inbound().collect())
plan = await plan_changes(client, read_changes(Path("changes.csv")))
async for result in apply_plan(client, plan):
    print(result.id, result.status)
"""

from alohub_async.changes.apply import Result, Status, apply_plan
from alohub_async.changes.changes_file import ChangesFileError, read_changes, write_changes
from alohub_async.changes.diff import ABSENT, FieldChange, QueueChange, QueueDiff, Unmatched, diff_queues
from alohub_async.changes.plan import Plan, Step, plan_changes
from alohub_async.changes.rows import Change, Problem, changes_of

__all__ = [
    "ABSENT",
    "Change",
    "ChangesFileError",
    "FieldChange",
    "Plan",
    "Problem",
    "QueueChange",
    "QueueDiff",
    "Result",
    "Status",
    "Step",
    "Unmatched",
    "apply_plan",
    "changes_of",
    "diff_queues",
    "plan_changes",
    "read_changes",
    "write_changes",
]
