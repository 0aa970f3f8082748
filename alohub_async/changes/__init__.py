"""Compare two states of the inbound queues, and apply changes to many of them with checks.

diff = diff_queues(read_queues(Path("monday.jsonl")), await client.queues.list_inbound().collect())
plan = await plan_changes(client, read_changes(Path("changes.csv")))
async for result in apply_plan(client, plan):
    print(result.id, result.status)
"""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
