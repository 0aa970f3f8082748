"""JUnit XML of a report, for CI."""

import re
import xml.etree.ElementTree as ET
from typing import Final

from alohub_async.audit.report import AuditReport
from alohub_async.audit.rules import Finding, Rule, Severity
from alohub_async.plurals import counted

_ILLEGAL: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    """The text without the characters that XML 1.0 and HTML forbid or discourage."""
    return _ILLEGAL.sub("�", text)


def junit_xml(report: AuditReport, *, fail_on: Severity = Severity.WARNING) -> bytes:
    """JUnit XML of the report, in UTF-8: a test suite for each rule, a test case for each finding.

    A finding is a failed test case, or a skipped one if it is below `fail_on`. A rule without findings is a passed one.
    """
    root = ET.Element("testsuites", name="alohub audit", time="0")
    for rule in report.rules:
        _add_suite(root, report, rule, fail_on)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_suite(root: ET.Element, report: AuditReport, rule: Rule, fail_on: Severity) -> None:
    findings = report.of_rule(rule)
    failures = sum(finding.severity >= fail_on for finding in findings)
    counts = {"tests": len(findings) or 1, "failures": failures, "errors": 0, "skipped": len(findings) - failures}
    attributes = {name: str(count) for name, count in counts.items()}
    started = report.started.strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.SubElement(root, "testsuite", attributes, name=legal(rule.id), time="0", timestamp=started)
    properties = ET.SubElement(suite, "properties")
    for name in ("tenant", "tenant_id", "address", "sdk_version"):
        if (value := getattr(report, name)) is not None:
            ET.SubElement(properties, "property", name=name, value=legal(value))
    for finding in findings:
        case = _add_case(suite, rule, _case_name(finding))
        tag = "failure" if finding.severity >= fail_on else "skipped"
        outcome = ET.SubElement(case, tag, message=legal(finding.message), type=finding.severity.label)
        outcome.text = legal(f"{rule.summary}.\n{_case_name(finding)}: {finding.message}")
    if not findings:
        _add_case(suite, rule, f"no findings in {counted(len(report.audited.queues), 'queue')}")


def _add_case(suite: ET.Element, rule: Rule, name: str) -> ET.Element:
    class_name, name = legal(f"alohub.audit.{rule.id}"), legal(" ".join(name.split()))
    return ET.SubElement(suite, "testcase", classname=class_name, name=name, time="0")


def _case_name(finding: Finding) -> str:
    queue = " ".join(str(part) for part in (finding.queue_id, finding.queue_name) if part is not None)
    return " · ".join(part for part in (queue or "the list", finding.field) if part)
