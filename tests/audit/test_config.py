"""Settings of audits."""

import enum
import math
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from alohub_async import ConfigurationError, InvalidArgumentError, QueueStrategy
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


class Level(enum.Enum):
    """Values of an option."""

    LOW = "low"
    HIGH = "high"


@rule(Severity.INFO)
def rich(
    queue: AuditedQueue,
    *,
    share: float = 0.5,
    names: tuple[str, ...] = ("a", "b"),
    pairs: tuple[tuple[str, int], ...] = (),
    limits: frozenset[int] = frozenset({1}),
    word: str | None = None,
    strategy: QueueStrategy = QueueStrategy.NORMAL,
    level: Level = Level.LOW,
    offset: int = -5,
) -> list[Finding]:
    """A rule with options that TOML has no type for."""
    values = (share, names, pairs, limits, word, strategy, level, offset)
    return [queue.finding(repr(values))]


@pytest.mark.parametrize(
    ("toml", "value"),
    [
        ("share = 1", 1.0),
        ("share = 0.25", 0.25),
        ("share = -1", -1.0),
        ("names = ['x']", ("x",)),
        ("names = []", ()),
        ("pairs = [['a', 1], ['b', 2]]", (["a", 1], ["b", 2])),
        ("limits = [3, 3, 4]", frozenset({3, 4})),
        ("word = 'x'", "x"),
        ("word = 5", 5),
        ("word = ['x']", ["x"]),
        ("strategy = 99", QueueStrategy.LOCKED),
        ("strategy = 'VIP'", QueueStrategy.VIP),
        ("level = 'high'", Level.HIGH),
        ("offset = -3", -3),
    ],
)
def test_options_are_converted_to_the_types_of_their_defaults(toml: str, value: object) -> None:
    """An array becomes a tuple or a set, a whole number a float, a name a member of an enum."""
    [configured] = configure([rich], {"rich": tomllib.loads(toml)})
    name = toml.split(maxsplit=1)[0]
    assert configured.options[name] == value
    assert type(configured.options[name]) is type(value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"share": "1"}, r"rich\.share must be a number; '1' was given"),
        ({"share": True}, r"rich\.share must be a number; True was given"),
        ({"share": math.inf}, r"rich\.share must be a number; inf was given"),
        ({"names": "x"}, r"rich\.names must be a list; str was given"),
        ({"names": ["x", 1]}, r"rich\.names\[1\] must be a str; int was given"),
        ({"limits": [-1]}, r"rich\.limits\[0\] must be an int of 0 or more; -1 was given"),
        ({"strategy": 5}, r"rich\.strategy must be one of .*; 5 was given"),
        ({"strategy": [1]}, r"rich\.strategy must be one of .*; \[1\] was given"),
    ],
)
def test_options_that_do_not_fit_are_refused(option: dict[str, object], message: str) -> None:
    """The error names the option, and the item of an array."""
    with pytest.raises(ConfigurationError, match=message):
        configure([rich], {"rich": option})


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


def test_mark_that_editors_of_windows_write_is_no_error(tmp_path: Path) -> None:
    """Nor are its line ends."""
    (tmp_path / "audit.toml").write_bytes(b"\xef\xbb\xbflocked = false\r\n")
    assert read_config(tmp_path / "audit.toml") == {"locked": False}


def test_path_that_cannot_be_one_is_refused() -> None:
    """Like a file that is not there."""
    with pytest.raises(ConfigurationError, match="null"):
        read_config(Path("a\0.toml"))


@pytest.mark.parametrize(
    ("rules", "settings", "message"),
    [
        (None, {}, "rules must be an iterable"),
        (DEFAULT_RULES[0], {}, "rules must be an iterable"),
        ([len], {}, "each of rules must be a Rule; builtin_function_or_method was given"),
        (DEFAULT_RULES, [1], "settings must be a Mapping; list was given"),
        (DEFAULT_RULES, None, "settings must be a Mapping; NoneType was given"),
    ],
)
def test_what_are_no_rules_or_settings_is_refused(rules: Any, settings: Any, message: str) -> None:
    """The error says what was given."""
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=message):
        configure(rules, settings)
