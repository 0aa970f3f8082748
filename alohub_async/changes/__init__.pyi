# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.changes.apply import Result as Result, Status as Status, apply_plan as apply_plan
from alohub_async.changes.changes_file import ChangesFileError as ChangesFileError, read_changes as read_changes
from alohub_async.changes.changes_file import write_changes as write_changes
from alohub_async.changes.diff import ABSENT as ABSENT, FieldChange as FieldChange, QueueChange as QueueChange
from alohub_async.changes.diff import QueueDiff as QueueDiff, Unmatched as Unmatched, diff_queues as diff_queues
from alohub_async.changes.log import ChangeLog as ChangeLog, Logged as Logged, plan_rollback as plan_rollback
from alohub_async.changes.log import read_log as read_log
from alohub_async.changes.plan import Plan as Plan, Step as Step, plan_changes as plan_changes
from alohub_async.changes.rows import Change as Change, Problem as Problem, changes_of as changes_of
