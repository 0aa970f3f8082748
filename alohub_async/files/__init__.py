"""Files of inbound queues and other records: written whole or not at all, read back as they were.

The ending names the format: `.jsonl` (an object a line), `.csv` (RFC 4180, UTF-8) or `.parquet` (extra `parquet`). All
have the same columns, by attribute; `extra` is an object in JSON Lines, and JSON text in the others.
"""

from alohub_async.files.atomic import (
    check_is_file,
    os_errors,
    reading,
    remove_leftovers,
    replacing,
    side_path,
    sync_folder,
)
from alohub_async.files.delimited import to_cell
from alohub_async.files.formats import check_ending, read_queues, read_records, write_queues, write_records
from alohub_async.files.records import json_text, queue_record, record_from_dict, record_to_dict

__all__ = [
    "check_ending",
    "check_is_file",
    "json_text",
    "os_errors",
    "queue_record",
    "read_queues",
    "read_records",
    "reading",
    "record_from_dict",
    "record_to_dict",
    "remove_leftovers",
    "replacing",
    "side_path",
    "sync_folder",
    "to_cell",
    "write_queues",
    "write_records",
]
