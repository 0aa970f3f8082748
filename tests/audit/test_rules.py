"""The findings of each rule, and queues without findings."""

import cProfile
from collections.abc import Iterator
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import APIConnectionError, Drift, NotFoundError
from alohub_async.audit import (
    DEFAULT_RULES,
    AuditedList,
    AuditedQueue,
    Finding,
    Rule,
    Severity,
    html_page,
    junit_xml,
    list_rule,
    rule,
)
from tests.audit.support import audited, found, model, record, report_of
from tests.strategies import json_values


@pytest.mark.parametrize(
    ("rule_id", "changes", "message"),
    [
        ("no-music-on-hold", {"musicinQueue": None}, "no music on hold"),
        ("no-music-on-hold", {"musicinQueue": "  "}, "no music on hold"),
        ("no-music-on-hold", {"musicinQueue": ""}, "no music on hold"),
        ("no-wait-limit", {"timeWait": None}, "no maximum wait is set"),
        ("zero-wait", {"timeWait": "0"}, "maximum wait 0 s"),
        ("long-wait", {"timeWait": "301"}, "maximum wait 301 s, above 300 s"),
        ("locked", {"strategy": 99}, "the queue is locked"),
        ("blacklist", {"strategy": 3}, "the strategy is BLACKLIST"),
        ("no-strategy", {"strategy": None}, "no strategy is set"),
        ("unknown-strategy", {"strategy": 7}, "strategy 7 is not documented"),
        ("position-not-announced", {"nguongRanhRoi": "0"}, "the position is not announced"),
        ("position-not-announced", {"nguongRanhRoi": None}, "the position is not announced"),
        ("no-number", {"callinNumber": None}, "no phone number"),
        ("no-number", {"callinNumber": ""}, "no phone number"),
        ("invalid-number", {"callinNumber": "0123"}, "0123 is not a Vietnamese number"),
        ("unfit-value", {"timeWait": "soon"}, "timeWait is soon, which is not a number of seconds"),
        ("unfit-value", {"callinNumber": 28}, "callinNumber is 28, which is not text"),
        ("unfit-value", {"callinName": ["a"]}, "callinName is ['a'], which is not text"),
        ("unfit-value", {"callinId": 0}, "callinId is 0, which is not a number of 1 or more"),
        ("unfit-value", {"callinName": None}, "callinName is None, which is not text"),
    ],
)
def test_a_rule_about_one_queue(rule_id: str, changes: dict[str, object], message: str) -> None:
    """A queue with one problem has one finding, with the id and the name of the queue."""
    [finding] = found(audited(record(**changes)))
    assert (finding.rule, finding.message) == (rule_id, message)
    queue = model(record(**changes))
    assert (finding.queue_id, finding.queue_name) == (queue.id, queue.name)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timeWait": "300"},
        {"timeWait": "1"},
        {"strategy": 1},
        {"strategy": 2},
        {"strategy": 4},
        {"agentSelector": "rrmemory"},
        {"unknown": {"a": 1}},
    ],
)
def test_a_queue_without_problems(changes: dict[str, object]) -> None:
    """A queue without problems has no findings, with or without details."""
    wire = record(**changes)
    assert found(audited(wire), details=False) == []
    assert found(audited(wire, wire)) == []


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("19001234", True),
        ("1900 1234", True),
        ("1900123456", True),
        ("18001234", True),
        ("02438123456", True),
        ("(028) 7300-1234", True),
        ("+84 28 7300 1234", True),
        ("0912345678", True),
        (" 0912345678 ", True),
        ("+12025550123", False),
        ("113", False),
        ("801", False),
        ("0", False),
        ("1900CALL", False),
        ("tel 0912345678", False),
        ("٠٩١٢٣٤٥٦٧٨", False),
        ("0912345678\x00", False),
        ("+", False),
    ],
)
def test_phone_numbers(number: str, *, valid: bool) -> None:
    """Vietnamese numbers, also service numbers, are valid in any format; other numbers and text are not."""
    rules = [finding.rule for finding in found(audited(record(callinNumber=number)))]
    assert rules == ([] if valid else ["invalid-number"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("02873001234", "02873001234", True),
        ("02873001234", "028 7300 1234", True),
        ("02873001234", "+84 28 7300 1234", True),
        ("19001234", "+8419001234", True),
        ("0912345678", "84912345678", True),
        ("84912345678", "+84 912 345 678", True),
        ("0912345678", "+84 912 345 678", True),
        ("0912345678", "0084 912 345 678", True),
        ("0912345678", " 0912\u00a0345.678\u200b", True),
        ("+12025550123", "+1 202-555-0123", True),
        ("004930123456", "0049 30 123456", True),
        ("*100", "100", False),
        ("*100#", "*100", False),
        ("100", "1-00", False),
        ("101", "0101", False),
        ("101", "84101", False),
        ("sip:1@a", "sip:1@b", False),
        ("sip:0912345678@a", "0912345678", False),
        ("sip:1@a", "sip:1@a ", True),
        ("0912345678", "0912345679", False),
        ("0912345678", "0912345678 ext 5", False),
        ("0912345678x", "0912345678", False),
        ("02873001234", "02873001235", False),
        ("", "", False),
    ],
)
def test_numbers_used_twice(one: str, other: str, *, same: bool) -> None:
    """Each queue that shares a number has a finding with the ids of the others."""
    queues = [
        audited(record(callinId=number, callinName=str(number), callinNumber=text))
        for number, text in ((1, one), (2, other))
    ]
    shared = [finding for finding in found(*queues) if finding.rule == "number-used-twice"]
    assert [finding.queue_id for finding in shared] == ([1, 2] if same else [])
    if same:
        assert shared[0].message == f"{one} is shared with queue 2"
        assert shared[0].severity is Severity.ERROR


@given(st.from_regex(r"0(3[2-9]|9|2[0-9]|[1-9])[0-9]{7,9}", fullmatch=True))  # after 00, a country code follows
def test_a_number_without_spaces_is_the_same_as_with_spaces(number: str) -> None:
    """Both are valid, and then they are one number; or neither is."""
    both = [audited(record(callinNumber=text)) for text in (number, f"0 {number[1:]}")]
    rules = [finding.rule for queue in both for finding in found(queue)]
    assert rules in ([], ["invalid-number"] * 2)
    shared = [finding for finding in found(*both) if finding.rule == "number-used-twice"]
    assert len(shared) == (0 if rules else 2)


def test_names_used_twice() -> None:
    """Case, spaces and Unicode form make no difference; after three ids, the others are counted."""
    names = ["Hà Nội", "hà \u200b nội\u00a0", "HÀ NỘI", "Ha\u0300 No\u0323\u0302i", "Hà Nội", "Ha Noi"]
    queues = [
        audited(record(callinId=number, callinName=name, callinNumber=f"1900{number:04}"))
        for number, name in enumerate(names, 1)
    ]
    shared = found(*queues)
    assert [(finding.rule, finding.queue_id) for finding in shared] == [("name-used-twice", n) for n in range(1, 6)]
    assert shared[0].message == "the name is shared with queues 2, 3, 4 and 1 more"


def test_list_and_detail_differ() -> None:
    """Each different field has a finding with both values; a field that only the details have has none."""
    listed = record(timeWait="60", strategy=1, other="a")
    detail = record(timeWait="90", strategy=None, other="b", more=1)
    differing = [finding for finding in found(audited(listed, detail)) if finding.rule == "detail-differs"]
    assert [(finding.field, finding.message) for finding in differing] == [
        ("strategy", "strategy is NORMAL in the list, None in the details"),
        ("max_wait", "max_wait is 60 in the list, 90 in the details"),
        ("other", "other is a in the list, b in the details"),
    ]


def test_a_difference_that_looks_like_none_is_shown() -> None:
    """What a reader would not see in the message is escaped."""
    listed, detail = (record(callinName=name) for name in ("Hỗ trợ", "Hô\u0303 trợ\u00a0"))
    [finding] = [each for each in found(audited(listed, detail)) if each.rule == "detail-differs"]
    assert finding.message == "name is 'Hỗ trợ' in the list, 'H\u00f4\\u0303 trợ\\xa0' in the details"


def test_rules_check_the_details() -> None:
    """If list and details differ, the details are audited; invalid values are found in both."""
    rules = [finding.rule for finding in found(audited(record(strategy=99), record(strategy=1)))]
    assert rules == ["detail-differs"]
    rules = [finding.rule for finding in found(audited(record(timeWait="soon"), record()))]
    assert rules == ["unfit-value", "detail-differs"]


def test_no_detail() -> None:
    """A queue that is not found and a failed request have different rules; only the latter is incomplete."""
    gone = report_of(audited(record(), error=NotFoundError(status=404)))
    assert [finding.rule for finding in gone.findings] == ["gone"]
    assert gone.complete
    failed = report_of(audited(record(), error=APIConnectionError("no answer", maybe_sent=True)))
    [finding] = failed.findings
    assert (finding.rule, finding.message) == ("detail-failed", "getting the details failed: no answer")
    assert not failed.complete


def test_an_incomplete_list() -> None:
    """An incomplete walk is a finding without a queue."""
    [finding] = found(audited(record()), complete=False, total=3)
    assert (finding.rule, finding.queue_id) == ("incomplete-list", None)
    assert finding.message == "received 1 queue; the server reports a total of 3"
    [finding] = found(audited(record()), complete=False, drift=Drift(duplicates=2, totals=(2, 3)))
    assert "no total" in finding.message
    assert "(totals 2 → 3, 2 duplicates)" in finding.message


def test_missing_id_and_name() -> None:
    """A missing id or name is an invalid value."""
    bare = {name: value for name, value in record().items() if name not in {"callinId", "callinName"}}
    assert [finding.message for finding in found(audited(bare))] == [
        "callinId is missing or empty",
        "callinName is missing or empty",
    ]


_WIRE = [*record(), "unknown"]


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(_WIRE), json_values), st.dictionaries(st.sampled_from(_WIRE), json_values)
        ),
        max_size=4,
    )
)
def test_any_record(pairs: list[tuple[dict[str, object], dict[str, object]]]) -> None:
    """No record makes a rule fail or its message empty."""
    report = report_of(*(audited(record(**listed), record(**detail)) for listed, detail in pairs))
    assert all(finding.message for finding in report.findings)
    assert [*report.findings] == sorted(report.findings, key=lambda finding: -finding.severity)
    assert sum(report.counts().values()) == len(report.findings)


def test_ids_and_summaries() -> None:
    """Each rule has a unique id, and a summary that fits into a heading."""
    assert len({rule.id for rule in DEFAULT_RULES}) == len(DEFAULT_RULES)
    for each in DEFAULT_RULES:
        assert each.id == each.id.lower()
        assert "_" not in each.id
        assert 10 < len(each.summary) <= 60


# Custom rules


@rule(Severity.INFO)
def short_name(queue: AuditedQueue, *, letters: int = 3) -> Iterator[Finding]:
    """The name is short.

    The docstring has more lines.
    """
    if len(queue.queue.name or "") < letters:
        yield queue.finding(f"less than {letters} letters", field="name")


@list_rule(Severity.ERROR)
def too_many(audited: AuditedList) -> list[Finding]:
    """There are many queues."""
    return [Finding("more than one")] if len(audited.queues) > 1 else []


def test_custom_rules() -> None:
    """A rule has the name, docstring and options of its function; its findings have its id and severity."""
    assert (short_name.id, short_name.summary) == ("short-name", "The name is short")
    assert short_name.options == {"letters": 3}
    queues = [audited(record(callinId=number, callinName="ab")) for number in (1, 2)]
    report = report_of(*queues, rules=[short_name, too_many])
    assert report.findings == (
        Finding("more than one", rule="too-many", severity=Severity.ERROR),
        Finding("less than 3 letters", 1, "ab", field="name", rule="short-name", severity=Severity.INFO),
        Finding("less than 3 letters", 2, "ab", field="name", rule="short-name", severity=Severity.INFO),
    )
    assert report.at_least(Severity.WARNING) == report.findings[:1]


@rule(Severity.INFO)
def broken(queue: AuditedQueue, *, word: str = "x") -> Iterator[Finding]:
    """It needs a number."""
    if word in str(queue.queue.number):
        yield queue.finding(f"has {word}")
    if queue.queue.id == 1:
        raise LookupError("no number")


@list_rule(Severity.WARNING)
def no_findings(_: AuditedList) -> list[Finding]:
    """It returns nothing."""
    return cast("list[Finding]", None)


def test_a_rule_that_raises() -> None:
    """It costs its findings for that queue alone, and is an error of the report."""
    queues = [audited(record(callinId=queue_id, callinNumber="x")) for queue_id in (1, 2)]
    report = report_of(*queues, rules=[broken, too_many, no_findings])
    assert [(finding.rule, finding.queue_id, finding.severity, finding.message) for finding in report.findings] == [
        ("broken", 1, Severity.ERROR, "the rule failed for this queue: LookupError: no number"),
        ("too-many", None, Severity.ERROR, "more than one"),
        ("no-findings", None, Severity.ERROR, "the rule failed: TypeError: 'NoneType' object is not iterable"),
        ("broken", 1, Severity.INFO, "has x"),
        ("broken", 2, Severity.INFO, "has x"),
    ]
    assert {rule.id: rule.severity for rule, _ in report.by_rule()} == dict.fromkeys(
        ("broken", "too-many", "no-findings"), Severity.ERROR
    )
    assert junit_xml(report, fail_on=Severity.ERROR).count(b"<failure") == 3


def test_a_rule_that_always_raises() -> None:
    """It has one finding, which counts the queues."""
    queues = [audited(record(callinId=queue_id)) for queue_id in (1, 2, 3)]
    [finding] = report_of(*queues, rules=[attrs.evolve(broken, options={"word": None})]).findings
    assert finding.message.startswith("the rule failed for this queue, and for 2 other queues: TypeError: ")


def test_invalid_functions() -> None:
    """A rule needs a docstring, and its options must be keyword-only with defaults."""

    def bare(_: AuditedQueue) -> list[Finding]:
        return []

    def positional(_: AuditedQueue, limit: int) -> list[Finding]:
        """Its option has no default."""
        return [Finding(str(limit))]

    async def waits(_: AuditedQueue) -> list[Finding]:
        """It is never awaited."""
        return []

    make: Any = rule(Severity.INFO)
    with pytest.raises(TypeError, match="the rule waits must be a plain function; async def was used"):
        make(waits)
    with pytest.raises(TypeError, match="needs a docstring"):
        rule(Severity.INFO)(bare)
    with pytest.raises(TypeError, match="must be keyword-only, with defaults; check limit"):
        rule(Severity.INFO)(positional)


def test_comparison_and_hash() -> None:
    """Severities can be compared, and rules can be hashed."""
    assert Severity.INFO < Severity.WARNING < Severity.ERROR
    assert len({*DEFAULT_RULES}) == len(DEFAULT_RULES)
    assert isinstance(short_name, Rule)


def test_rules_take_few_function_calls() -> None:
    """Per queue, with a detail and two findings, beyond what phone numbers take the first time."""
    queues = [audited(wire, wire) for number in range(400) if (wire := record(callinId=number + 1, strategy=3))]
    report_of(*queues)
    with cProfile.Profile() as profile:
        report = report_of(*queues)
    assert len(report.findings) == 3 * len(queues)
    assert sum(entry.callcount for entry in profile.getstats()) / len(queues) < 120


@pytest.mark.parametrize("wrong", [Finding(cast("Any", 5)), Finding("x", field=cast("Any", 5)), "text", None])
def test_finding_that_is_none_is_a_failure_of_its_rule(wrong: Any) -> None:
    """It cannot break the reports."""

    @rule(Severity.WARNING)
    def odd(queue: AuditedQueue) -> list[Finding]:
        """Odd."""
        del queue
        return [wrong]

    report = report_of(audited(record()), rules=[odd])
    assert [finding.message.partition(":")[0] for finding in report.findings] == ["the rule failed for this queue"]
    assert html_page(report)
    assert junit_xml(report)
