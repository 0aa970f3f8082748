"""Audits of a tenant's inbound queues: rules that check the list and the details of each queue, and reports.

report = await audit_inbound(client)
for finding in report.at_least(Severity.WARNING):
    print(finding.rule, finding.queue_id, finding.message)
"""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
