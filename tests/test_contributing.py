"""The page for contributors says what the tree is."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "alohub_async"
PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
FLOORS = re.findall(r"^\| \d+ \| (.*?) \|", PAGE, re.MULTILINE)


def _tool(name: str) -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][name]


def test_floors_are_those_that_are_checked() -> None:
    """From top to bottom, with the same modules on each; the lowest floors are one in the page."""
    layers = next(contract for contract in _tool("importlinter")["contracts"] if contract["type"] == "layers")["layers"]
    checked = [{name.strip().removeprefix("alohub_async.") for name in layer.split("|")} for layer in layers]
    told = [{*re.findall(r"`([\w.]+)`", floor)} for floor in FLOORS]
    top = len(told) - 1
    assert told[:top] == checked[:top]
    assert told[top] == {name for layer in checked[top:] for name in layer if not name.startswith("_")}


@pytest.mark.parametrize("folder", ["http", "codec", "rate_limits", "pagination", "resources"])
def test_each_module_of_the_core_is_in_the_page(folder: str) -> None:
    """A module that is added, moved or removed changes the page."""
    named = {*re.findall(rf"`{folder}/(\w+)\.py`", PAGE)}
    assert named == {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}


def test_what_the_page_names_exists() -> None:
    """Every path in it."""
    paths = re.findall(r"`((?:alohub_async|tests|benchmarks|\.ci)/[\w./]*)`", PAGE)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_lints_of_the_page_are_those_that_run() -> None:
    """Its commands are in the script that decides what lands."""
    commands = re.findall(r"^\$ (\.venv/bin/.*)$", PAGE, re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text()
    assert len(commands) >= 5
    assert [command for command in commands if command not in script] == []
    assert "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest" in script
