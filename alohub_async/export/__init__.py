"""Exporting all queues of a tenant into a file: resumes after being killed, and reports whether the file is complete.

from alohub_async.export import export_inbound

report = await export_inbound(client, "queues.parquet")
print(report.complete, report.written, report.sha256)
"""

from alohub_async.export.job import export_inbound, export_resource
from alohub_async.export.report import ExportProgress, ExportReport
from alohub_async.export.run import ExportConsistency, ExportOptions, ExportOptionsDict, OnProgress

__all__ = [
    "ExportConsistency",
    "ExportOptions",
    "ExportOptionsDict",
    "ExportProgress",
    "ExportReport",
    "OnProgress",
    "export_inbound",
    "export_resource",
]
