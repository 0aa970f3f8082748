"""Files of inbound queues and other records: written whole or not at all, read back as they were.

The ending names the format: `.jsonl` (an object a line), `.csv` (RFC 4180, UTF-8) or `.parquet` (extra `parquet`). All
have the same columns, by attribute; `extra` is an object in JSON Lines, and JSON text in the others.
"""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
