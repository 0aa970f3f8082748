"""Each command on terminals and in a pipe: what it shows fits, and has colors only where they are wanted."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from rich.cells import cell_len

from alohub_async.cli.output import QUEUE_COLUMNS
from alohub_async.testing import Sandbox
from tests.cli.command import TENANTS, Alohub, on_terminal

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOR: Final = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:[349]|10)[0-7]")
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "doctor": ("doctor",),
    "list": ("queues", "list", "--strategy", "VIP", "--name", "*n*", "--limit", "4"),
    "some columns": ("queues", "list", "--limit", "3", "--columns", "id,name,max_wait,number"),
    "all columns": ("queues", "list", "--limit", "3", "--columns", ",".join(QUEUE_COLUMNS)),
    "get": ("queues", "get", "1001226"),
    "update": ("queues", "update", "1001226", "--max-wait", "77", "--dry-run"),
    "export": ("queues", "export", "queues.jsonl"),
    "plan": ("queues", "apply", "changes.csv", "--dry-run"),
    "apply": ("queues", "apply", "changes.csv", "--log", "changes.log", "--yes"),
    "diff": ("queues", "diff", "queues.jsonl", "live"),
    "rollback": ("queues", "rollback", "changes.log", "--yes"),
    "audit": ("queues", "audit", "--agents", "--html", "audit.html"),
    "list of tenants": ("queues", "list", "--limit", "2", *TENANTS),
    "export of tenants": ("queues", "export", "out", *TENANTS),
    "audit of tenants": ("queues", "audit", "--no-details", *TENANTS),
    "guide": ("guide",),
    "page": ("guide", "vi"),
    "help": ("queues", "apply", "--help"),
}
CODES: Final = {name: int(name in {"plan", "apply", "diff", "audit", "audit of tenants"}) for name in COMMANDS}


@pytest.fixture(name="place", autouse=True)
def _place(fleet: Sandbox, serve: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment leads to one more tenant; the working folder has changes for it, beside the file of tenants."""
    assert fleet.tenants > 1
    sandbox = serve(queues=12, tenant_limit=1000, route_limit=1000)
    monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
    first, second, *_ = (queue["callinId"] for queue in sandbox.queues)
    rows = f"{first},77,DIVERT\n{second},78,LOCKED\n5,60,VIP\n"
    Path("changes.csv").write_text(f"id,max_wait,strategy\n{rows}", encoding="utf-8")


def _shown(columns: int, **environment: str) -> dict[str, str]:
    """What each command shows on a terminal."""
    outcomes = dict(zip(COMMANDS, on_terminal(*COMMANDS.values(), columns=columns, **environment), strict=True))
    assert {name: outcome.code for name, outcome in outcomes.items()} == CODES
    return {name: outcome.out for name, outcome in outcomes.items()}


def _widths(text: str) -> list[int]:
    return [cell_len(line) for line in re.split(r"[\r\n]+", _CONTROL.sub("", text))]


def test_a_terminal_of_80_columns() -> None:
    """No line is longer, names and numbers are whole, and states have their colors."""
    shown = _shown(80)
    assert {name: max(_widths(text)) for name, text in shown.items() if max(_widths(text)) > 80} == {}
    assert "\x1b[32mok" in shown["doctor"]
    for name in ("plan", "update"):
        assert shown[name].endswith("Dry run: nothing was changed.\n")
    assert "\nTo undo it: alohub queues rollback changes.log\n" in shown["apply"]


def test_a_terminal_of_40_columns() -> None:
    """Nothing is cut: a table that does not fit has a line for each value."""
    lines = _CONTROL.sub("", _shown(40)["list of tenants"]).splitlines()
    shown = dict(line.split(maxsplit=1) for line in reversed(lines) if "  " in line.rstrip())
    assert (shown["Tenant"], shown["ID"], shown["Strategy"]) == ("a", "1001226", "BLACKLIST")
    assert max(map(cell_len, lines)) <= 40
    assert lines[-1] == "6 queues"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colors(name: str, value: str) -> None:
    """`NO_COLOR` and a terminal that knows none are respected; the text is the same."""
    shown = _shown(80, **{name: value})
    assert {name for name, text in shown.items() if _COLOR.search(text)} == set()
    assert "ok    key" in _CONTROL.sub("", shown["doctor"])


def test_a_pipe(command: Alohub) -> None:
    """A pipe gets no control characters."""
    outcomes = {name: command(*words) for name, words in COMMANDS.items()}
    assert {name: outcome.code for name, outcome in outcomes.items()} == CODES
    assert {name for name, outcome in outcomes.items() if re.search(r"[\x1b\r]", outcome.out + outcome.err)} == set()
