"""What each rule finds, and what it leaves alone."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import APIConnectionError, Drift, NotFoundError
from alohub_async.audit import DEFAULT_RULES, AuditedList, AuditedQueue, Finding, Rule, Severity, list_rule, rule
from tests.audit.support import audited, found, model, record, report_of
from tests.strategies import json_values


@pytest.mark.parametrize(
    ("rule_id", "changes", "message"),
    [
        ("no-music-on-hold", {"musicinQueue": None}, "no music on hold"),
        ("no-music-on-hold", {"musicinQueue": "  "}, "no music on hold"),
        ("no-music-on-hold", {"musicinQueue": ""}, "no music on hold"),
        ("no-wait-limit", {"timeWait": None}, "no longest wait is set"),
        ("zero-wait", {"timeWait": "0"}, "the longest wait is 0 s"),
        ("long-wait", {"timeWait": "301"}, "301 s, more than 300 s"),
        ("locked", {"strategy": 99}, "locked"),
        ("blacklist", {"strategy": 3}, "its strategy is the blacklist"),
        ("no-strategy", {"strategy": None}, "no strategy"),
        ("unknown-strategy", {"strategy": 7}, "strategy 7 is not documented"),
        ("position-not-announced", {"nguongRanhRoi": "0"}, "callers are not told their position"),
        ("position-not-announced", {"nguongRanhRoi": None}, "callers are not told their position"),
        ("no-number", {"callinNumber": None}, "no phone number"),
        ("no-number", {"callinNumber": ""}, "no phone number"),
        ("invalid-number", {"callinNumber": "0123"}, "0123 is no Vietnamese number"),
        ("unfit-value", {"timeWait": "soon"}, "timeWait is soon, which is no number of seconds"),
        ("unfit-value", {"callinNumber": 28}, "callinNumber is 28, which is no text"),
        ("unfit-value", {"callinName": ["a"]}, "callinName is ['a'], which is no text"),
        ("unfit-value", {"callinId": 0}, "callinId is 0, which is no number of 1 or more"),
        ("unfit-value", {"callinName": None}, "callinName is None, which is no text"),
    ],
)
def test_a_rule_about_one_queue(rule_id: str, changes: dict[str, object], message: str) -> None:
    """A queue with one fault has one finding, of the rule for it, with the queue's id and name."""
    [finding] = found(audited(record(**changes)))
    assert (finding.rule, finding.message) == (rule_id, message)
    made = model(record(**changes))
    assert (finding.queue_id, finding.queue_name) == (made.id, made.name)


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
def test_a_sound_queue(changes: dict[str, object]) -> None:
    """A queue in order has no finding, alone or with a detail that says the same."""
    sound = record(**changes)
    assert found(audited(sound), details=False) == []
    assert found(audited(sound, sound)) == []


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
def test_phone_numbers(number: str, valid: bool) -> None:  # noqa: FBT001 (a column of the table)
    """Numbers of Vietnam are valid however they are spaced, service numbers too; others and other text are not."""
    rules = [finding.rule for finding in found(audited(record(callinNumber=number)))]
    assert rules == ([] if valid else ["invalid-number"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("02873001234", "02873001234", True),
        ("02873001234", "028 7300 1234", True),
        ("02873001234", "+84 28 7300 1234", True),
        ("19001234", "+8419001234", True),
        ("02873001234", "02873001235", False),
        ("", "", False),
    ],
)
def test_numbers_used_twice(one: str, other: str, same: bool) -> None:  # noqa: FBT001 (a column of the table)
    """Each of the queues that share a number is told, with the others' ids."""
    queues = [
        audited(record(callinId=number, callinName=str(number), callinNumber=text))
        for number, text in ((1, one), (2, other))
    ]
    shared = [finding for finding in found(*queues) if finding.rule == "number-used-twice"]
    assert [finding.queue_id for finding in shared] == ([1, 2] if same else [])
    if same:
        assert shared[0].message == f"{one} shared with 2"
        assert shared[0].severity is Severity.ERROR


def test_names_used_twice() -> None:
    """Names are the same whatever their case, spaces and Unicode form; more than three others are counted."""
    names = ["Hà Nội", "hà  nội ", "HÀ NỘI", "Ha\u0300 No\u0323\u0302i", "Hà Nội", "Ha Noi"]
    queues = [
        audited(record(callinId=number, callinName=name, callinNumber=f"1900{number:04}"))
        for number, name in enumerate(names, 1)
    ]
    shared = found(*queues)
    assert [(finding.rule, finding.queue_id) for finding in shared] == [("name-used-twice", n) for n in range(1, 6)]
    assert shared[0].message == "name shared with 2, 3, 4 and 1 more"


def test_list_and_detail_differ() -> None:
    """Each field that differs is told with both values; a field that only the detail has is no difference."""
    listed = record(timeWait="60", strategy=1, other="a")
    detail = record(timeWait="90", strategy=None, other="b", more=1)
    differing = [finding for finding in found(audited(listed, detail)) if finding.rule == "detail-differs"]
    assert [(finding.field, finding.message) for finding in differing] == [
        ("strategy", "strategy: the list says NORMAL, the detail None"),
        ("max_wait", "max_wait: the list says 60, the detail 90"),
        ("other", "other: the list says a, the detail b"),
    ]


def test_rules_look_at_the_detail() -> None:
    """Where list and detail differ, the detail is what is audited; a value that does not fit counts from either."""
    rules = [finding.rule for finding in found(audited(record(strategy=99), record(strategy=1)))]
    assert rules == ["detail-differs"]
    rules = [finding.rule for finding in found(audited(record(timeWait="soon"), record()))]
    assert rules == ["unfit-value", "detail-differs"]


def test_no_detail() -> None:
    """A queue that is gone is told from one whose detail could not be had, and only the latter makes it incomplete."""
    gone = report_of(audited(record(), error=NotFoundError(status=404)))
    assert [finding.rule for finding in gone.findings] == ["gone"]
    assert gone.complete
    failed = report_of(audited(record(), error=APIConnectionError("no answer", maybe_sent=True)))
    [finding] = failed.findings
    assert (finding.rule, finding.message) == ("detail-failed", "its detail could not be had: no answer")
    assert not failed.complete


def test_an_incomplete_list() -> None:
    """A walk that was not whole is a finding about no queue."""
    [finding] = found(audited(record()), complete=False, total=3)
    assert (finding.rule, finding.queue_id) == ("incomplete-list", None)
    assert finding.message == "1 queues came; the server tells of 3"
    [finding] = found(audited(record()), complete=False, drift=Drift(duplicates=2, totals=(2, 3)))
    assert "no total" in finding.message
    assert "(totals 2 → 3, 2 queues came again)" in finding.message


def test_missing_id_and_name() -> None:
    """That the id or the name is not there at all is a value that does not fit."""
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
def test_rules_stand_any_record(pairs: list[tuple[dict[str, object], dict[str, object]]]) -> None:
    """No record, however odd, makes a rule fail or its message empty."""
    report = report_of(*(audited(record(**listed), record(**detail)) for listed, detail in pairs))
    assert all(finding.message for finding in report.findings)
    assert [*report.findings] == sorted(report.findings, key=lambda finding: -finding.severity)
    assert sum(report.counts().values()) == len(report.findings)


def test_every_rule_is_told_about() -> None:
    """Each rule has an id, a first line that fits a heading, and no two have the same id."""
    assert len({rule.id for rule in DEFAULT_RULES}) == len(DEFAULT_RULES)
    for each in DEFAULT_RULES:
        assert each.id == each.id.lower()
        assert "_" not in each.id
        assert 10 < len(each.summary) <= 60


# Rules of one's own


@rule(Severity.INFO)
def short_name(queue: AuditedQueue, *, letters: int = 3) -> Iterator[Finding]:
    """The name is short.

    More is said here.
    """
    if len(queue.queue.name) < letters:
        yield queue.finding(f"less than {letters} letters", field="name")


@list_rule(Severity.ERROR)
def too_many(audited: AuditedList) -> list[Finding]:
    """There are many queues."""
    return [Finding("more than one")] if len(audited.queues) > 1 else []


def test_own_rules() -> None:
    """A rule is made of a function: its name, its docstring, its options; what it yields is marked as its own."""
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
    assert report.of_rule(short_name) == report.findings[1:]


def test_a_rule_that_raises() -> None:
    """An error in a rule is raised and says whose it is."""

    @rule(Severity.INFO)
    def broken(queue: AuditedQueue) -> Iterator[Finding]:
        """It is broken."""
        yield queue.finding(str(1 // 0))

    with pytest.raises(ZeroDivisionError) as raised:
        report_of(audited(record()), rules=[broken])
    assert raised.value.__notes__ == ["in the audit's rule broken"]


def test_functions_that_are_no_rules() -> None:
    """A rule needs a docstring, and options by keyword with a default."""

    def bare(_: AuditedQueue) -> list[Finding]:
        return []

    def positional(_: AuditedQueue, limit: int) -> list[Finding]:
        """Its option has no default."""
        return [Finding(str(limit))]

    with pytest.raises(TypeError, match="needs a docstring"):
        rule(Severity.INFO)(bare)
    with pytest.raises(TypeError, match="by keyword, with defaults; see limit"):
        rule(Severity.INFO)(positional)


def test_rules_can_be_compared() -> None:
    """Severities compare, rules hash."""
    assert Severity.INFO < Severity.WARNING < Severity.ERROR
    assert len({*DEFAULT_RULES}) == len(DEFAULT_RULES)
    assert isinstance(short_name, Rule)
