# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.audit.builtin import DEFAULT_RULES as DEFAULT_RULES
from alohub_async.audit.config import configure as configure, read_config as read_config
from alohub_async.audit.junit import junit_xml as junit_xml, tenants_junit_xml as tenants_junit_xml
from alohub_async.audit.page import check_html as check_html, html_page as html_page
from alohub_async.audit.page import tenants_page as tenants_page
from alohub_async.audit.report import AuditReport as AuditReport, make_report as make_report
from alohub_async.audit.rules import AuditedList as AuditedList, AuditedQueue as AuditedQueue, Finding as Finding
from alohub_async.audit.rules import Rule as Rule, Severity as Severity, list_rule as list_rule, rule as rule
from alohub_async.audit.run import AuditProgress as AuditProgress, OnProgress as OnProgress
from alohub_async.audit.run import audit_inbound as audit_inbound
