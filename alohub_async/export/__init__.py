"""Exporting all queues of a tenant into a file: resumes after being killed, and reports whether the file is complete.

from alohub_async.export import export_inbound

report = await export_inbound(client, "queues.parquet")
print(report.complete, report.written, report.sha256)
"""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
