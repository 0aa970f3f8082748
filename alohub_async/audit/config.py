"""The settings of an audit: which rules run, their severities and options. Pure, except for reading the file."""

import enum
import importlib
import importlib.util
import runpy
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from alohub_async.audit.builtin import DEFAULT_RULES
from alohub_async.audit.rules import Rule, Severity
from alohub_async.errors import ConfigurationError
from alohub_async.validation import check_choice, check_count, check_flag, check_instance, check_iterable, check_number


def read_config(path: Path) -> dict[str, object]:
    """Read the settings of an audit from a TOML file.

        [tool.alohub.audit]
        locked = false                                      # disabled
        no-number = "warning"                               # severity
        long-wait = { seconds = 600, severity = "error" }   # options and severity

    In a `pyproject.toml` they are in this table (none without it); in a file of any other name at the top level.

    Raises:
        ConfigurationError: The file cannot be read or is not TOML.
    """
    try:
        settings: Any = tomllib.loads(path.read_text("utf-8-sig"))  # editors of Windows write a mark first
    except OSError as exc:
        raise ConfigurationError(f"cannot read the audit settings in {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"the audit settings in {path} are not TOML: {exc}") from exc
    for name in ("tool", "alohub", "audit") if path.name == "pyproject.toml" else ():
        settings = cast("dict[str, Any]", settings).get(name, {})
        if not isinstance(settings, dict):
            raise ConfigurationError(f"{path}: [tool.alohub.audit] must be a table")
    return cast("dict[str, object]", settings)


def configure(rules: Iterable[Rule], settings: Mapping[str, object]) -> tuple[Rule, ...]:
    """The enabled rules, with the severities and options of the settings.

    Settings are by the id of a rule: False disables it, a string is its severity, a table has `severity` and options.

    Raises:
        ConfigurationError: Two rules have the same id, a rule or an option is unknown, or a value is not allowed.
        InvalidArgumentError: `rules` are no rules.
    """
    check_iterable("rules", rules)
    known = [check_instance("each of rules", rule, Rule) for rule in rules]
    check_instance("settings", settings, cast("type[Any]", Mapping), error=ConfigurationError)
    counts = Counter(rule.id for rule in known)
    if duplicates := sorted(rule_id for rule_id, count in counts.items() if count > 1):
        raise ConfigurationError(f"several rules have the id {', '.join(duplicates)}")
    for rule_id in settings:
        if rule_id not in counts:
            raise ConfigurationError(f"the audit has no rule {rule_id!r}; the rules are {', '.join(counts)}")
    enabled = (rule for rule in known if settings.get(rule.id) is not False)
    return tuple(_configured(rule, settings.get(rule.id, True)) for rule in enabled)


def check_needs(rules: Iterable[Rule]) -> None:
    """Check that the optional packages of these rules are installed."""
    for rule in rules:
        if rule.needs is not None and importlib.util.find_spec(rule.needs) is None:
            install = f"needs {rule.needs}; run: pip install 'alohub-async[audit]'"
            raise ConfigurationError(f"the audit rule {rule.id} {install}, or disable the rule: {rule.id} = false")


def _configured(rule: Rule, setting: object) -> Rule:
    if setting is True:
        return rule
    if not isinstance(setting, str | Mapping):
        raise ConfigurationError(f"{rule.id} must be false, a severity or a table; {setting!r} was given")
    table: dict[str, Any] = {"severity": setting} if isinstance(setting, str) else {**setting}
    label = table.pop("severity", rule.severity.label)
    check_choice(f"the severity of {rule.id}", label, [each.label for each in Severity], error=ConfigurationError)
    for name, value in table.items():
        if name not in rule.options:
            allowed = ", ".join(["severity", *rule.options])
            raise ConfigurationError(f"{rule.id} has no option {name!r}; allowed are {allowed}")
        table[name] = _option(f"{rule.id}.{name}", value, rule.options[name])
    return attrs.evolve(rule, severity=Severity[label.upper()], options={**rule.options, **table})


def _option(name: str, value: Any, default: object) -> object:
    """The value of an option, in the type of its default; any value if that is None."""
    if isinstance(default, bool):
        check_flag(name, value, error=ConfigurationError)
    elif isinstance(default, enum.Enum):
        members = type(default).__members__.items()
        allowed = {key: member for label, member in members for key in (label, member.value, member)}
        return allowed[check_choice(name, value, [*allowed], error=ConfigurationError)]
    elif isinstance(default, int):
        check_count(name, value, least=min(0, default), error=ConfigurationError)
    elif isinstance(default, float):
        return float(check_number(name, value, error=ConfigurationError))
    elif isinstance(default, tuple | list | set | frozenset):
        return _items(name, value, cast("Collection[object]", default))
    elif default is not None:
        check_instance(name, value, type(default), error=ConfigurationError)
    return value


def _items(name: str, value: Any, default: Collection[object]) -> object:
    """The items of an option, from an array of TOML; each has the type of the default's if those have only one."""
    kind: Any = type(default)
    if type(value) is not kind:
        check_instance(name, value, list, error=ConfigurationError)
    sample = next(iter(default)) if len({type(each) for each in default}) == 1 else None
    converted: object = kind([_option(f"{name}[{index}]", item, sample) for index, item in enumerate(value)])
    return converted


def load_rules(source: str) -> tuple[Rule, ...]:
    """The rules of a module, or of a file whose name ends in `.py`, in their order there."""
    try:
        found = runpy.run_path(source) if source.endswith(".py") else vars(importlib.import_module(source))
    except (Exception, SystemExit) as exc:
        raise ConfigurationError(f"cannot import the audit rules {source}: {type(exc).__name__}: {exc}") from exc
    rules = tuple(value for value in found.values() if isinstance(value, Rule) and value not in DEFAULT_RULES)
    if not rules:
        raise ConfigurationError(f"{source} has no audit rules; make them with @rule or @list_rule")
    return tuple(dict.fromkeys(rules))
