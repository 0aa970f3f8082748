"""The report as JUnit XML, for CI."""

import re
import xml.etree.ElementTree as ET
from typing import Final

from alohub_async.audit.report import AuditReport
from alohub_async.audit.rules import Finding, Rule, Severity

_ILLEGAL: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    """The text without characters that neither XML 1.0 nor HTML can hold, or that they advise against."""
    return _ILLEGAL.sub("�", text)


def junit_xml(report: AuditReport, *, fail_on: Severity = Severity.WARNING) -> bytes:
    """The report as JUnit XML, UTF-8: a suite for each rule, a test case for each finding.

    A finding is a failure, or skipped if it is not bad enough. A rule that found nothing is one test case that passed.

    Args:
        report: What to write.
        fail_on: The least severity that is a failure.
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
    fails = rule.severity >= fail_on
    suite = ET.SubElement(
        root,
        "testsuite",
        name=legal(rule.id),
        tests=str(len(findings) or 1),
        failures=str(len(findings) if fails else 0),
        errors="0",
        skipped=str(0 if fails else len(findings)),
        time="0",
        timestamp=report.started.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    for finding in findings:
        case = _add_case(suite, rule, _case_name(finding))
        told = ET.SubElement(case, "failure" if fails else "skipped", message=legal(finding.message))
        told.set("type", rule.severity.label)
        told.text = legal(f"{rule.summary}.\n{_case_name(finding)}: {finding.message}")
    if not findings:
        _add_case(suite, rule, f"all {len(report.audited.queues)} queues")


def _add_case(suite: ET.Element, rule: Rule, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=legal(f"alohub.audit.{rule.id}"), name=legal(" ".join(name.split())), time="0"
    )


def _case_name(finding: Finding) -> str:
    queue = " ".join(str(part) for part in (finding.queue_id, finding.queue_name) if part is not None)
    return " · ".join(part for part in (queue or "the list", finding.field) if part)
