"""JUnit XML, checked with its schema and with another library."""

from pathlib import Path
from typing import Any

import attrs
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from alohub_async import __version__
from alohub_async.audit import AuditReport, Severity, junit_xml, tenants_junit_xml
from tests.audit.support import audited, record, report_of
from tests.strategies import any_text

SCHEMA = xmlschema.XMLSchema(
    str(Path(__file__).parent / "junit-10.xsd")
)  # from the xUnit plugin of Jenkins, MIT licence


def suites(report: AuditReport, fail_on: Severity = Severity.WARNING) -> dict[str, Any]:
    """The suites that junitparser reads, by name; asserts that the XML is valid and its sums are right."""
    written = junit_xml(report, fail_on=fail_on)
    SCHEMA.validate(written.decode())
    read: Any = JUnitXml.fromstring(written)  # pyright does not know all of its types
    by_name: dict[str, Any] = {suite.name: suite for suite in read}
    assert (read.tests, read.failures) == (
        sum(suite.tests for suite in by_name.values()),
        sum(suite.failures for suite in by_name.values()),
    )
    return by_name


def test_a_suite_for_each_rule_and_a_case_for_each_finding() -> None:
    """A finding is a failed case with its queue and message; a rule without findings is one passed case."""
    report = report_of(
        audited(record(callinName="Hỗ trợ", timeWait="999")),
        audited(record(callinId=2, callinName="Huế", timeWait="999", callinNumber=None)),
    )
    read = suites(report)
    assert [*read] == [rule.id for rule in report.rules]
    waits = [*read["long-wait"]]
    assert [case.name for case in waits] == ["1001226 Hỗ trợ · max_wait", "2 Huế · max_wait"]
    assert [(each.message, each.type) for case in waits for each in case.result] == [
        ("maximum wait 999 s, above 300 s", "warning"),
        ("maximum wait 999 s, above 300 s", "warning"),
    ]
    assert read["long-wait"].failures == 2
    [passed] = read["locked"]
    assert (passed.name, passed.classname, passed.is_passed) == ("no findings in 2 queues", "alohub.audit.locked", True)


def test_findings_below_the_threshold_are_skipped() -> None:
    """The skipped case has the message of the finding."""
    report = report_of(audited(record(timeWait="999", callinNumber=None)))
    read = suites(report)
    [case] = read["no-number"]
    assert case.is_skipped
    assert case.result[0].message == "no phone number"
    assert (read["no-number"].failures, read["no-number"].skipped) == (0, 1)
    assert suites(report, Severity.ERROR)["long-wait"].failures == 0
    assert suites(report, Severity.INFO)["no-number"].failures == 1


def test_a_finding_about_the_list() -> None:
    """Its case names no queue."""
    [case] = suites(report_of(complete=False))["incomplete-list"]
    assert case.name == "the list"


def test_whose_report_it_is() -> None:
    """Each suite has the tenant, the address and the version as properties, as far as they are known."""
    report = attrs.evolve(report_of(), tenant="hà\x00nội", tenant_id="5", address="https://a.example")
    for suite in suites(report).values():
        assert [(each.name, each.value) for each in suite.properties()] == [
            ("tenant", "hà�nội"),
            ("tenant_id", "5"),
            ("address", "https://a.example"),
            ("sdk_version", __version__),
        ]
    [suite, *_] = suites(report_of()).values()
    assert [each.name for each in suite.properties()] == ["sdk_version"]


def test_several_tenants() -> None:
    """All names have the tenant; a tenant without a report is a case with an error."""
    record_of = report_of(audited(record(timeWait="999"))).as_record()
    written = tenants_junit_xml({"a": record_of, "b.": "no \x00key"})
    SCHEMA.validate(written.decode())
    read: Any = JUnitXml.fromstring(written)
    assert (read.tests, read.failures, read.errors) == (len(record_of["rules"]) + 1, 1, 1)
    by_name: dict[str, Any] = {suite.name: suite for suite in read}
    [case] = by_name["a.long-wait"]
    assert case.classname == "alohub.audit.a.long-wait"
    [case] = by_name["b."]
    assert (case.classname, case.result[0].message) == ("alohub.audit.b.", "no �key")


@given(st.lists(any_text, min_size=1, max_size=3), any_text)
def test_any_text(names: list[str], number: str) -> None:
    """With any names of queues, the XML is valid and has all findings."""
    report = report_of(
        *(audited(record(callinId=n, callinName=name, callinNumber=number)) for n, name in enumerate(names, 1))
    )
    assert sum(suite.failures for suite in suites(report).values()) == len(report.at_least(Severity.WARNING))


def test_control_characters() -> None:
    """Characters that XML does not allow are replaced."""
    report = report_of(audited(record(callinName="a\x00b\x1b[2J\ud800\uffff", strategy=99)))
    [case] = suites(report)["locked"]
    assert case.name == "1001226 a�b�[2J�� · strategy"
