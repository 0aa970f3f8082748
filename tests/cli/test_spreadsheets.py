"""A round trip through a spreadsheet: `export --excel`, editing, `apply`."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Sandbox
from tests.cli.command import Alohub, Outcome
from tests.support import FIRST

Edit: TypeAlias = Callable[[list[dict[str, str]]], object]
TEXTS: Final = (
    *("0912345678", "00", "1-2", "3/4", "Jan 5", "true", "FALSE", "1,5", "12345678901234567"),
    *("=1+1", "@a", "'a", "null"),
)
UNCHANGED: Final = f"{len(TEXTS)} unchanged\nNothing to change.\n"
_NUMBER: Final = re.compile(r"\s*[+-]?\d+(?:[.,]\d+)?\s*")
_DATE: Final = re.compile(r"\s*\d{1,2}[-/.]\d{1,2}(?:[-/.]\d+)?\s*|[A-Za-z]{3} \d+")


@pytest.fixture
def alohub_sandbox_settings() -> dict[str, Any]:
    """Commands one after another read more than the usual budget allows, and would wait for the next window."""
    return {"queues": len(TEXTS), "tenant_limit": None, "route_limit": None}


def _opened(cell: str) -> str:
    """What a spreadsheet makes of a cell, and saves."""
    if _NUMBER.fullmatch(cell):
        return f"{float(cell.replace(',', '.')):.3G}" if len(cell.strip()) > 11 else str(int(float(cell)))
    if _DATE.fullmatch(cell):
        return "05-Thg1"
    return cell.upper() if cell.lower() in {"true", "false"} else cell


def _export(alohub: Alohub, folder: Path) -> Path:
    path = folder / "queues.csv"
    assert alohub("queues", "export", str(path), "--excel").code == 0
    alohub.sandbox.clear()
    return path


def _edited(path: Path, edit: Edit, separator: str = ";") -> Path:
    """Open the file in a spreadsheet, edit its rows, and save it."""
    rows = [*csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), delimiter=";")]
    rows = [{name: _opened(cell) for name, cell in row.items()} for row in rows]
    edit(rows)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]], delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _apply(alohub: Alohub, path: Path, *options: str) -> Outcome:
    return alohub("queues", "apply", str(path), "--yes", *options)


def _bodies(sandbox: Sandbox) -> list[Any]:
    return [request.json for request in sandbox.requests.of(method="PUT")]


def _set(**cells: str) -> Edit:
    return lambda rows: rows[0].update({name.replace("expect_", "expect."): cell for name, cell in cells.items()})


def test_the_file(alohub: Alohub, tmp_path: Path) -> None:
    """It has a byte order mark, semicolons, names of strategies, and numbers that keep their zeros."""
    alohub.sandbox.queues[0].update(
        callinName="Hàng chờ",
        strategy=2,
        timeWait="60",
        musicinQueue=None,
        nguongRanhRoi="1",
        callinNumber="0912345678",
    )
    header, first, *_ = _export(alohub, tmp_path).read_bytes().removeprefix(b"\xef\xbb\xbf").decode().split("\r\n")
    assert header == (
        "id;name;strategy;music_on_hold;max_wait;agent_selector;announce_position;number;"
        "expect.music_on_hold;expect.max_wait;expect.strategy;expect.announce_position"
    )
    assert first.startswith(f"{FIRST};Hàng chờ;VIP;;60;")
    assert first.endswith(";yes;'0912345678;null;60;VIP;yes")


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_edited(alohub: Alohub, tmp_path: Path, separator: str) -> None:
    """Only the edited cells are written, whatever separator the spreadsheet saves; a second time nothing is."""
    alohub.sandbox.queues[0].update(strategy=1, timeWait="60")
    path = _edited(_export(alohub, tmp_path), _set(max_wait="90", strategy="vip"), separator)
    outcome = _apply(alohub, path)
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    assert _bodies(alohub.sandbox) == [{"max_wait_sec": "90", "strategy": 2}]
    assert _apply(alohub, path).out.endswith(UNCHANGED)


def test_text_that_a_spreadsheet_would_change(alohub: Alohub, tmp_path: Path) -> None:
    """It survives opening and saving."""
    for queue, text in zip(alohub.sandbox.queues, TEXTS, strict=True):
        queue.update(callinName=text, callinNumber=text)
        if "/" not in text:
            queue["musicinQueue"] = text
    path = _edited(_export(alohub, tmp_path), lambda _: None)
    assert _apply(alohub, path).out.endswith(UNCHANGED)


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", " #NAME? ", "Err:508"])
def test_a_formula_that_failed(alohub: Alohub, tmp_path: Path, cell: str) -> None:
    """It is no value; text that looks so survives."""
    path = _export(alohub, tmp_path)
    assert f"{cell!r} is a formula that failed" in _apply(alohub, _edited(path, _set(music_on_hold=cell))).err
    alohub.sandbox.queues[0].update(callinName=cell)
    assert _apply(alohub, _export(alohub, tmp_path)).code == ExitCode.OK


def test_compared(alohub: Alohub, tmp_path: Path) -> None:
    """The file is an export like others; fields that it does not have are not compared."""
    alohub.sandbox.queues[0].update(timeWait="60", newField=1)
    sheet = _export(alohub, tmp_path)
    plain = tmp_path / "plain.jsonl"
    assert alohub("queues", "export", str(plain)).code == 0
    for pair in ((str(sheet), "live"), (str(plain), str(sheet))):
        assert alohub("queues", "diff", *pair).out.endswith("13 unchanged\n")
    _edited(sheet, _set(max_wait="90", name="Other"))
    changes = tmp_path / "changes.csv"
    outcome = alohub("queues", "diff", "live", str(sheet), "--changes", str(changes))
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "max_wait: 60 s -> 90 s" in outcome.out
    assert changes.read_text(encoding="utf-8").splitlines() == ["id,max_wait,expect.max_wait", f"{FIRST},90,60"]


def test_changed_by_somebody_else_in_the_meantime(alohub: Alohub, tmp_path: Path) -> None:
    """A value that was not edited in the file is left as it is now; an edited one is a conflict."""
    for queue in alohub.sandbox.queues[:2]:
        queue.update(timeWait="60", strategy=1)
    path = _export(alohub, tmp_path)
    alohub.sandbox.queues[0]["timeWait"] = "5"
    alohub.sandbox.queues[1]["strategy"] = 2

    def edit(rows: list[dict[str, str]]) -> None:
        rows[0]["max_wait"] = rows[1]["max_wait"] = "90"

    outcome = _apply(alohub, _edited(path, edit))
    assert outcome.code == ExitCode.FAILED
    assert f"queue {FIRST} is not as expected: max_wait is 5, not 60" in outcome.out
    assert _bodies(alohub.sandbox) == [{"max_wait_sec": "90"}]


def test_a_column_that_cannot_be_written(alohub: Alohub, tmp_path: Path) -> None:
    """Its edit is refused, and the message says which columns can be edited."""
    alohub.sandbox.queues[0]["callinName"] = "A"
    outcome = _apply(alohub, _edited(_export(alohub, tmp_path), _set(name="B")))
    assert outcome.code == ExitCode.FAILED
    assert (
        f"queue {FIRST}, of which only music_on_hold, max_wait, strategy, announce_position can be changed, is not as"
        " expected: name is 'A', not 'B'"
    ) in outcome.out
    assert _bodies(alohub.sandbox) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set(max_wait=""), "line 2: max_wait is empty, which changes nothing; put its value back"),
        (_set(max_wait="9.12E+08"), "line 2: max_wait: '9.12E+08' is a number cut short"),
        (_set(max_wait="1.000"), "line 2: max_wait must be a whole number or null; '1.000' was found"),
        (_set(number="912345678"), "line 2: number: '912345678' is a number without its leading zero"),
        (_set(music_on_hold="9,12E+08"), "line 2: music_on_hold: '9,12E+08' is a number cut short"),
        (_set(strategy="VOP"), "line 2: strategy must be a whole number, one of NORMAL, VIP"),
        (_set(id=""), "line 2: no id"),
    ],
)
def test_damage_is_refused(alohub: Alohub, tmp_path: Path, edit: Edit, message: str) -> None:
    """Nothing of the file is sent."""
    alohub.sandbox.queues[0]["timeWait"] = "60"
    outcome = _apply(alohub, _edited(_export(alohub, tmp_path), edit))
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.err
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize(("wrong", "right"), [("max wait", "max_wait"), ("Strategy", "strategy"), ("nam", "name")])
def test_a_wrong_column_name(alohub: Alohub, tmp_path: Path, wrong: str, right: str) -> None:
    """The message has the right one."""
    path = _export(alohub, tmp_path)
    path.write_bytes(path.read_bytes().replace(f";{right};".encode(), f";{wrong};".encode(), 1))
    assert f"unknown column '{wrong}'; did you mean '{right}'?" in _apply(alohub, path).err


def test_a_value_that_cannot_be_set_is_not_in_the_way(alohub: Alohub, tmp_path: Path) -> None:
    """If it was not edited, it is not written."""
    alohub.sandbox.queues[0]["strategy"] = 99
    path = _edited(_export(alohub, tmp_path), _set(max_wait="91"))
    assert _apply(alohub, path).code == ExitCode.OK
    assert _bodies(alohub.sandbox) == [{"max_wait_sec": "91"}]


@pytest.mark.parametrize("name", ["queues.csv", "queues.jsonl"])
@pytest.mark.parametrize(("field", "value"), [("strategy", 7), ("musicinQueue", "a/b.wav")])
def test_a_value_that_cannot_be_set(alohub: Alohub, tmp_path: Path, name: str, field: str, value: object) -> None:
    """In any export it is left alone, and edits beside it are written; if it is edited, the queue is a conflict."""
    first, second, *_ = alohub.sandbox.queues
    first.update({"timeWait": "60", field: value})
    path = tmp_path / name
    assert alohub("queues", "export", str(path)).code == 0
    assert _apply(alohub, path).out.endswith(UNCHANGED)
    path.write_text(re.sub(r"\b60\b", "61", path.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    assert _apply(alohub, path).code == ExitCode.OK
    assert _bodies(alohub.sandbox) == [{"max_wait_sec": "61"}]
    first[field] = second[field]
    outcome = _apply(alohub, path)
    assert outcome.code == ExitCode.FAILED
    assert "was given) is not as expected" in " ".join(outcome.out.split())


@pytest.mark.parametrize("name", ["queues.csv", "queues.jsonl"])
def test_an_edited_export(alohub: Alohub, tmp_path: Path, name: str) -> None:
    """Any export is compared with the queues as they are now."""
    alohub.sandbox.queues[0].update(timeWait="60", x=1)
    path = tmp_path / name
    assert alohub("queues", "export", str(path)).code == 0
    assert _apply(alohub, path).out.endswith(UNCHANGED)
    path.write_text(re.sub(r"\b60\b", "61", path.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    assert _apply(alohub, path).code == ExitCode.OK
    assert _bodies(alohub.sandbox) == [{"max_wait_sec": "61"}]
