"""Settings of audits."""

import sys
from pathlib import Path

import pytest

from alohub_async import ConfigurationError
from alohub_async.audit import DEFAULT_RULES, AuditedQueue, Finding, Severity, configure, read_config, rule
from alohub_async.audit.config import check_needs
from tests.audit.support import RULES, audited, record, report_of


def test_no_settings() -> None:
    """Without settings, the rules are unchanged."""
    assert configure(DEFAULT_RULES, {}) == DEFAULT_RULES
    assert configure(DEFAULT_RULES, {"locked": True}) == DEFAULT_RULES


def test_off_severity_options() -> None:
    """Settings disable a rule, or change its severity and options."""
    settings = {"locked": False, "no-number": "error", "long-wait": {"seconds": 60, "severity": "info"}}
    rules = {each.id: each for each in configure(DEFAULT_RULES, settings)}
    assert RULES.keys() - rules.keys() == {"locked"}
    assert rules["no-number"].severity is Severity.ERROR
    report = report_of(audited(record(timeWait="61", callinNumber=None)), rules=rules.values())
    assert [(finding.rule, finding.severity) for finding in report.findings] == [
        ("no-number", Severity.ERROR),
        ("long-wait", Severity.INFO),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lokked": False}, r"no rule 'lokked'; the rules are .*\blocked\b"),
        ({"locked": "fatal"}, r"severity of locked must be one of \('info', 'warning', 'error'\); 'fatal' was given"),
        ({"locked": {"severity": 3}}, r"severity of locked must be one of \('info', 'warning', 'error'\); 3 was given"),
        ({"locked": 3}, "locked must be false, a severity or a table; 3 was given"),
        ({"locked": None}, "locked must be false, a severity or a table"),
        ({"long-wait": {"limit": 3}}, "long-wait has no option 'limit'; allowed are severity, seconds"),
        ({"locked": {"limit": 3}}, "locked has no option 'limit'; allowed are severity"),
        ({"long-wait": {"seconds": "3"}}, "long-wait.seconds must be an int of 0 or more; '3' was given"),
        ({"long-wait": {"seconds": True}}, "must be an int of 0 or more; True was given"),
        ({"long-wait": {"seconds": 1.5}}, "must be an int of 0 or more; 1.5 was given"),
        ({"long-wait": {"seconds": -1}}, "must be an int of 0 or more; -1 was given"),
    ],
)
def test_invalid_settings(settings: dict[str, object], message: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        configure(DEFAULT_RULES, settings)


@rule(Severity.INFO)
def custom(queue: AuditedQueue, *, on: bool = False, place: str = "Huế") -> list[Finding]:
    """A rule with options of other types."""
    return [queue.finding(place)] if on else []


def test_options_of_other_types() -> None:
    """An option must have the type of its default."""
    [configured] = configure([custom], {"custom": {"on": True, "place": "Vinh"}})
    assert configured.options == {"on": True, "place": "Vinh"}
    with pytest.raises(ConfigurationError, match=r"custom\.on must be True or False; 1 was given"):
        configure([custom], {"custom": {"on": 1}})
    with pytest.raises(ConfigurationError, match=r"custom\.place must be a str; int was given"):
        configure([custom], {"custom": {"place": 1}})


def test_two_rules_with_one_id() -> None:
    """Ids of rules must be unique."""
    with pytest.raises(ConfigurationError, match="several rules have the id locked"):
        configure([RULES["locked"], RULES["gone"], RULES["locked"]], {})


@pytest.mark.parametrize(
    ("name", "text", "settings"),
    [
        ("pyproject.toml", "[tool.alohub.audit]\nlocked = false\n[tool.other]\na = 1", {"locked": False}),
        ("pyproject.toml", "[project]\nname = 'x'", {}),
        (
            "audit.toml",
            "no-number = 'error'\n[long-wait]\nseconds = 9",
            {"no-number": "error", "long-wait": {"seconds": 9}},
        ),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, settings: dict[str, object]) -> None:
    """`pyproject.toml` has a table for the settings; any other file only has the settings."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_config(path) == settings


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("audit.toml", b"locked = ", "are not TOML"),
        ("audit.toml", b"locked = '\xff'", "are not TOML"),
        ("pyproject.toml", b"tool.alohub = 3", "must be a table"),
        ("pyproject.toml", b"tool.alohub.audit = 3", "must be a table"),
        ("audit.toml", None, "cannot read the audit settings in .*: No such file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: bytes | None, message: str) -> None:
    """The error names the file."""
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=message) as raised:
        read_config(path)
    assert str(path) in str(raised.value)


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error explains how to install the missing package or disable the rule."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'alohub-async\[audit\]', or .*invalid-number = false"):
        check_needs(DEFAULT_RULES)
    check_needs(configure(DEFAULT_RULES, {"invalid-number": False}))
