"""Files of inbound queues: written whole or not at all, read back as they were.

The ending names the format: `.jsonl` (an object a line), `.csv` (RFC 4180, UTF-8) or `.parquet` (extra `parquet`). All
have the same columns, by attribute of `InboundQueue`; `extra` is an object in JSON Lines, and JSON text in the others.
"""

from alohub_async.files.atomic import file_error, remove_leftovers, replacing, sync_folder
from alohub_async.files.formats import check_ending, read_queues, write_queues
from alohub_async.files.records import json_text, queue_of, queue_record

__all__ = [
    "check_ending",
    "file_error",
    "json_text",
    "queue_of",
    "queue_record",
    "read_queues",
    "remove_leftovers",
    "replacing",
    "sync_folder",
    "write_queues",
]
