"""How audits are configured."""

import sys
from pathlib import Path

import pytest

from alohub_async import ConfigurationError
from alohub_async.audit import DEFAULT_RULES, Severity, configure, read_config
from alohub_async.audit.config import check_needs
from tests.audit.support import RULES, audited, record, report_of


def test_nothing_configured() -> None:
    """Without settings, all rules are as they are."""
    assert configure(DEFAULT_RULES, {}) == DEFAULT_RULES
    assert configure(DEFAULT_RULES, {"locked": True}) == DEFAULT_RULES


def test_off_severity_options() -> None:
    """A rule can be turned off, made more severe, and set."""
    settings = {"locked": False, "no-number": "error", "long-wait": {"seconds": 60, "severity": "info"}}
    rules = {rule.id: rule for rule in configure(DEFAULT_RULES, settings)}
    assert RULES.keys() - rules.keys() == {"locked"}
    assert rules["no-number"].severity is Severity.ERROR
    report = report_of(audited(record(timeWait="61", callinNumber=None)), rules=rules.values())
    assert [(finding.rule, finding.severity) for finding in report.findings] == [
        ("no-number", Severity.ERROR),
        ("long-wait", Severity.INFO),
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lokked": False}, r"no rule 'lokked'; there are .*\blocked\b"),
        ({"locked": "fatal"}, "severity of locked must be one of info, warning, error; 'fatal' was given"),
        ({"locked": {"severity": 3}}, "severity of locked must be one of info, warning, error; 3 was given"),
        ({"locked": 3}, "locked must be false, a severity or a table; 3 was given"),
        ({"locked": None}, "locked must be false, a severity or a table"),
        ({"long-wait": {"limit": 3}}, "long-wait has no option 'limit'; it has severity, seconds"),
        ({"locked": {"limit": 3}}, "locked has no option 'limit'; it has severity"),
        ({"long-wait": {"seconds": "3"}}, "long-wait.seconds must be of type int, such as 300; '3' was given"),
        ({"long-wait": {"seconds": True}}, "must be of type int"),
        ({"long-wait": {"seconds": 1.5}}, "must be of type int"),
        ({"long-wait": {"seconds": -1}}, "must be 0 or more; -1 was given"),
    ],
)
def test_what_does_not_fit(settings: dict[str, object], told: str) -> None:
    """A wrong setting is refused with what there is."""
    with pytest.raises(ConfigurationError, match=told):
        configure(DEFAULT_RULES, settings)


def test_two_rules_of_one_id() -> None:
    """Rules must have ids of their own."""
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
    """`pyproject.toml` has a table of its own for it; other files are that table."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_config(path) == settings


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("audit.toml", b"locked = ", "is no TOML"),
        ("audit.toml", b"locked = '\xff'", "is no TOML"),
        ("pyproject.toml", b"tool.alohub = 3", "must be a table"),
        ("pyproject.toml", b"tool.alohub.audit = 3", "must be a table"),
        ("audit.toml", None, "cannot be read: No such file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: bytes | None, told: str) -> None:
    """What is wrong with a file is told with its name."""
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=told) as raised:
        read_config(path)
    assert str(path) in str(raised.value)


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that needs a package that is not there says how to install it, or to do without the rule."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'alohub-async\[audit\]', or .*invalid-number = false"):
        check_needs(DEFAULT_RULES)
    check_needs(configure(DEFAULT_RULES, {"invalid-number": False}))
