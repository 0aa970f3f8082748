"""How an audit is configured: which rules run, how bad their findings are, and their options. Pure, but for reading."""

import importlib.util
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from alohub_async.audit.rules import Rule, Severity
from alohub_async.errors import ConfigurationError


def read_config(path: Path) -> dict[str, object]:
    """Read the settings of an audit from a TOML file.

        [tool.alohub.audit]
        locked = false                                      # off
        no-number = "warning"                               # its severity
        long-wait = { seconds = 600, severity = "error" }   # options, and its severity

    Args:
        path: A `pyproject.toml` with the table `[tool.alohub.audit]` (nothing is configured if it has none), or a file
            of any other name whose top level is that table.

    Raises:
        ConfigurationError: It cannot be read, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            found: Any = tomllib.load(file)
    except OSError as exc:
        raise ConfigurationError(f"the audit's configuration {path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"the audit's configuration {path} is no TOML: {exc}") from exc
    if path.name == "pyproject.toml":
        for name in ("tool", "alohub", "audit"):
            found = cast("dict[str, Any]", found).get(name, {})
            if not isinstance(found, dict):
                raise ConfigurationError(f"{path}: [tool.alohub.audit] must be a table")
    return cast("dict[str, object]", found)


def configure(rules: Iterable[Rule], settings: Mapping[str, object]) -> tuple[Rule, ...]:
    """The rules that are on, with their severities and options as configured.

    Args:
        rules: What there is.
        settings: By id of a rule: False turns it off, a string is its severity, a table has `severity` and options.

    Raises:
        ConfigurationError: Two rules of one id, an unknown rule or option, or a value that does not fit.
    """
    there = [*rules]
    by_id = {rule.id: rule for rule in there}
    if len(by_id) < len(there):
        twice = sorted({name for name in by_id if sum(rule.id == name for rule in there) > 1})
        raise ConfigurationError(f"several rules have the id {', '.join(twice)}")
    for name in settings:
        if name not in by_id:
            raise ConfigurationError(f"the audit has no rule {name!r}; there are {', '.join(by_id)}")
    configured = (_configured(rule, settings.get(rule.id, True)) for rule in there)
    return tuple(rule for rule in configured if rule is not None)


def check_needs(rules: Iterable[Rule]) -> None:
    """Check that the optional packages of these rules are there.

    Raises:
        ConfigurationError: One is missing.
    """
    for rule in rules:
        if rule.needs is not None and importlib.util.find_spec(rule.needs) is None:
            raise ConfigurationError(
                f"the audit's rule {rule.id} needs {rule.needs}; run: pip install 'alohub-async[audit]',"
                f" or turn the rule off ({rule.id} = false)"
            )


def _configured(rule: Rule, setting: object) -> Rule | None:
    if setting is False:
        return None
    if setting is True:
        return rule
    if isinstance(setting, str):
        setting = {"severity": setting}
    if not isinstance(setting, Mapping):
        raise ConfigurationError(f"{rule.id} must be false, a severity or a table; {setting!r} was given")
    table = dict(cast("Mapping[str, object]", setting))
    severity = _severity(rule, table.pop("severity", rule.severity.label))
    for name, value in table.items():
        if name not in rule.options:
            allowed = ", ".join(["severity", *rule.options])
            raise ConfigurationError(f"{rule.id} has no option {name!r}; it has {allowed}")
        _check_option(f"{rule.id}.{name}", value, default=rule.options[name])
    return attrs.evolve(rule, severity=severity, options={**rule.options, **table})


def _severity(rule: Rule, given: object) -> Severity:
    for severity in Severity:
        if given == severity.label:
            return severity
    allowed = ", ".join(severity.label for severity in Severity)
    raise ConfigurationError(f"the severity of {rule.id} must be one of {allowed}; {given!r} was given")


def _check_option(name: str, value: object, *, default: object) -> None:
    kind = type(default)
    if type(value) is not kind:  # a bool is no int here
        raise ConfigurationError(f"{name} must be of type {kind.__name__}, such as {default!r}; {value!r} was given")
    if isinstance(value, int) and value < 0:
        raise ConfigurationError(f"{name} must be 0 or more; {value!r} was given")
