"""Audits of a tenant's inbound queues: rules that check the list and the details of each queue, and reports.

report = await audit_inbound(client)
for finding in report.at_least(Severity.WARNING):
    print(finding.rule, finding.queue_id, finding.message)
"""

from alohub_async.audit.builtin import DEFAULT_RULES
from alohub_async.audit.config import configure, read_config
from alohub_async.audit.junit import junit_xml
from alohub_async.audit.page import check_html, html_page
from alohub_async.audit.report import AuditReport, make_report
from alohub_async.audit.rules import AuditedList, AuditedQueue, Finding, Rule, Severity, list_rule, rule
from alohub_async.audit.run import AuditProgress, OnProgress, audit_inbound

__all__ = [
    "DEFAULT_RULES",
    "AuditProgress",
    "AuditReport",
    "AuditedList",
    "AuditedQueue",
    "Finding",
    "OnProgress",
    "Rule",
    "Severity",
    "audit_inbound",
    "check_html",
    "configure",
    "html_page",
    "junit_xml",
    "list_rule",
    "make_report",
    "read_config",
    "rule",
]
