"""JUnit XML of reports, for CI."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any, Final

from alohub_async.audit.report import AuditReport
from alohub_async.audit.rules import Severity
from alohub_async.plurals import counted

_ILLEGAL: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    """The text without the characters that XML 1.0 and HTML forbid or discourage."""
    return _ILLEGAL.sub("�", text)


def junit_xml(report: AuditReport, *, fail_on: Severity = Severity.WARNING) -> bytes:
    """JUnit XML of the report, in UTF-8: a test suite for each rule, a test case for each finding.

    A finding is a failed test case, or a skipped one if it is below `fail_on`. A rule without findings is a passed one.
    """
    return _xml({"": report.as_record()}, fail_on)


def tenants_junit_xml(results: Mapping[str, Mapping[str, Any] | str], *, fail_on: Severity = Severity.WARNING) -> bytes:
    """JUnit XML of the audits of several tenants, like that of `junit_xml`, with the tenant in all names.

    Args:
        results: By the tenants' names, the record of each report (see `AuditReport.as_record`), or why there is none,
            which is a test case with an error.
        fail_on: As for `junit_xml`.
    """
    return _xml({f"{name}.": result for name, result in results.items()}, fail_on)


def _xml(results: Mapping[str, Mapping[str, Any] | str], fail_on: Severity) -> bytes:
    root = ET.Element("testsuites", name="alohub audit", time="0")
    for whose, result in results.items():
        if isinstance(result, str):
            suite = _add_suite(root, whose.removesuffix("."), tests=1, failures=0, errors=1, skipped=0)
            case = _add_case(suite, whose.removesuffix("."), "the audit")
            ET.SubElement(case, "error", message=legal(result), type="failed")
        else:
            for rule in result["rules"]:
                _add_rule(root, whose, result, rule, fail_on)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_rule(
    root: ET.Element, whose: str, record: Mapping[str, Any], rule: Mapping[str, str], fail_on: Severity
) -> None:
    findings = [finding for finding in record["findings"] if finding["rule"] == rule["id"]]
    failed = [Severity[finding["severity"].upper()] >= fail_on for finding in findings]
    name, counts = f"{whose}{rule['id']}", {"failures": sum(failed), "skipped": len(failed) - sum(failed)}
    suite = _add_suite(root, name, tests=len(findings) or 1, errors=0, **counts)
    suite.set("timestamp", record["started"][: len("2026-01-31T12:00:00")])
    properties = ET.SubElement(suite, "properties")
    for each in ("tenant", "tenant_id", "address", "sdk_version"):
        if record[each] is not None:
            ET.SubElement(properties, "property", name=each, value=legal(record[each]))
    for finding, failure in zip(findings, failed, strict=True):
        case = _add_case(suite, name, _case_name(finding))
        message = finding["message"]
        outcome = ET.SubElement(
            case, "failure" if failure else "skipped", message=legal(message), type=finding["severity"]
        )
        outcome.text = legal(f"{rule['summary']}.\n{_case_name(finding)}: {message}")
    if not findings:
        _add_case(suite, name, f"no findings in {counted(record['queues'], 'queue')}")


def _add_suite(root: ET.Element, name: str, **counts: int) -> ET.Element:
    attributes = {key: str(count) for key, count in counts.items()}
    return ET.SubElement(root, "testsuite", attributes, name=legal(name), time="0")


def _add_case(suite: ET.Element, suite_name: str, name: str) -> ET.Element:
    class_name, name = legal(f"alohub.audit.{suite_name}"), legal(" ".join(name.split()))
    return ET.SubElement(suite, "testcase", classname=class_name, name=name, time="0")


def _case_name(finding: Mapping[str, Any]) -> str:
    queue = " ".join(str(finding[part]) for part in ("queue_id", "queue_name") if finding[part] is not None)
    return " · ".join(part for part in (queue or "the list", finding["field"]) if part)
