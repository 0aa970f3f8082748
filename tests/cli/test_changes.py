"""`alohub queues diff` and `alohub queues apply`."""

import csv
import io
import json
import signal
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Delay, Sandbox
from tests.cli.command import PATIENCE, Alohub, Process, answer_prompt, lines, records
from tests.support import FIRST

NAME = "\x1b[2JHàng chờ\nđêm"


def _export(alohub: Alohub, path: Path) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records(alohub.sandbox.queues))
    path.write_text(text, encoding="utf-8")
    return path


def _file(folder: Path, text: str, name: str = "changes.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _puts(alohub: Alohub) -> int:
    return len(alohub.sandbox.requests.of(method="PUT"))


def _rows(*rows: str) -> str:
    return "".join(f"{row}\n" for row in ("id,max_wait", *rows))


# diff


def test_no_difference(alohub: Alohub, tmp_path: Path) -> None:
    """The service is as it was exported: exit code 0, and a count."""
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    outcome = alohub("queues", "diff", export, "live")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    assert outcome.out.splitlines()[-1].strip() == "45 unchanged"


def test_differences(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field with its values before and after, at 80 columns, with any name of a queue; exit code 1."""
    monkeypatch.setenv("COLUMNS", "80")
    sandbox = alohub.sandbox
    sandbox.queues[0]["strategy"] = 1
    export = _export(alohub, tmp_path / "a.jsonl")
    sandbox.queues[0].update(callinName=NAME, timeWait="777", strategy=99, musicinQueue="x" * 70, màu=["đỏ"])
    gone = sandbox.queues[5]["callinId"]
    assert isinstance(gone, int)
    sandbox.remove_queue(gone)
    new = sandbox.insert_queue()
    outcome = alohub("queues", "diff", str(export), "live")
    assert outcome.code == 1
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "\x1b" not in outcome.out
    assert "strategy: NORMAL -> LOCKED" in outcome.out
    assert "-> 777 s" in outcome.out
    assert 'extra.màu: (absent) -> ["đỏ"]' in outcome.out
    lines = outcome.out.splitlines()
    assert any(line.strip().startswith(str(gone)) and line.endswith("removed") for line in lines)
    assert any(line.strip().startswith(str(new)) and line.endswith("added") for line in lines)
    assert lines[-1].strip() == "1 changed, 1 removed, 1 added, 43 unchanged"


def test_a_difference_that_looks_like_none(alohub: Alohub, tmp_path: Path) -> None:
    """What a reader would not see is escaped."""
    alohub.sandbox.queues[0].update(callinName="Hỗ trợ", màu="đỏ", musicinQueue="-", agentSelector="a")
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    alohub.sandbox.queues[0].update(
        callinName=unicodedata.normalize("NFD", "Hỗ trợ"), màu="đỏ ", musicinQueue=None, agentSelector="a\u200b"
    )
    outcome = alohub("queues", "diff", export, "live")
    assert r"name: 'Hỗ trợ' -> 'Ho\u0302\u0303 tro\u031b\u0323'" in outcome.out
    assert "music_on_hold: '-' -> null" in outcome.out
    assert r"agent_selector: 'a' -> 'a\u200b'" in outcome.out
    assert "extra.màu: 'đỏ' -> 'đỏ '" in outcome.out


def test_differences_as_json(alohub: Alohub, tmp_path: Path) -> None:
    """The JSON has no value for a field that one state does not have."""
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    was = records(alohub.sandbox.queues)[0]["max_wait"]
    alohub.sandbox.queues[0].update(timeWait="777", x=None)
    outcome = alohub("queues", "diff", export, "live", "--output", "json")
    assert outcome.code == 1
    [change] = outcome.json["changed"]
    assert change["fields"] == {"max_wait": {"before": was, "after": 777}, "extra.x": {"after": None}}
    assert (outcome.json["added"], outcome.json["removed"], outcome.json["unmatched"]) == ([], [], [])
    assert outcome.json["unchanged"] == 44


def test_differences_as_rows(alohub: Alohub, tmp_path: Path) -> None:
    """JSON Lines and CSV have a row for each field that differs, and for each queue of one state alone."""
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    gone = alohub.sandbox.queues[1]
    alohub.sandbox.remove_queue(FIRST + 1)
    was = records(alohub.sandbox.queues)[0]
    alohub.sandbox.queues[0].update(timeWait="777", x={"a": [1]})
    diff = ("queues", "diff", export, "live", "--output")
    one = {"id": FIRST, "name": was["name"], "change": "changed"}
    assert lines(alohub(*diff, "jsonl").out) == [
        {**one, "field": "max_wait", "before": was["max_wait"], "after": 777},
        {**one, "field": "extra.x", "after": {"a": [1]}},
        {"id": gone["callinId"], "name": gone["callinName"], "change": "removed"},
    ]
    header, _, extra, removed = alohub(*diff, "csv").out.splitlines()
    assert header == "id,name,change,field,before,after"
    assert extra.endswith(',changed,extra.x,,"{""a"": [1]}"')
    assert removed.endswith(",removed,,,")


def test_two_files_need_no_key(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not need the service either."""
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    monkeypatch.delenv("ALOHUB_API_KEY")
    assert alohub("queues", "diff", export, export).code == ExitCode.OK
    assert alohub.sandbox.requests == []


def test_live_that_keeps_changing_is_not_compared(alohub: Alohub, tmp_path: Path) -> None:
    """The exit code is the one of a failure, and the message says why."""
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    alohub.sandbox.page_size_cap = 20
    alohub.sandbox.move_at_random(chance=1, most=3)
    outcome = alohub("queues", "diff", export, "live")
    assert (outcome.code, outcome.out) == (2, "")
    assert "not provably complete; nothing was compared" in outcome.err


def test_bad_exports(alohub: Alohub, tmp_path: Path) -> None:
    """They are an error before anything is sent."""
    for name, text, message in (("a.txt", "", "must end in"), ("a.jsonl", "{\n", "line 1")):
        outcome = alohub("queues", "diff", "live", _file(tmp_path, text, name))
        assert outcome.code in {ExitCode.USAGE, ExitCode.FAILED}
        assert message in outcome.error
    assert "no such file" in alohub("queues", "diff", "live", str(tmp_path / "b.csv")).error
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize("name", ["back.csv", "back.jsonl"])
def test_diff_can_be_rolled_back(alohub: Alohub, tmp_path: Path, name: str) -> None:
    """The changes of a diff turn A into B as far as possible, the rest is reported, a second run changes nothing."""
    export = str(_export(alohub, tmp_path / "a.jsonl"))
    alohub.sandbox.queues[0].update(timeWait="777", callinName="other")
    alohub.sandbox.queues[1].update(strategy=99 if alohub.sandbox.queues[1]["strategy"] != 99 else 2)
    changes = str(tmp_path / name)
    outcome = alohub("queues", "diff", "live", export, "--changes", changes)
    assert outcome.code == 1
    assert f"not in {changes}: queue {FIRST}: name stays unchanged" in outcome.err
    assert alohub("queues", "apply", changes, "--yes").code == ExitCode.OK
    [left] = alohub("queues", "diff", "live", export, "--output", "json").json["changed"]
    assert [*left["fields"]] == ["name"]
    alohub.sandbox.clear()
    again = alohub("queues", "apply", changes, "--yes")
    assert again.code == ExitCode.OK
    assert again.out.endswith("2 unchanged\nNothing to change.\n")
    assert _puts(alohub) == 0


# apply


def test_apply(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is the plan, a line for each queue, and counts; only differences are sent."""
    monkeypatch.setenv("COLUMNS", "80")
    alohub.sandbox.queues[1]["callinName"] = NAME
    second = alohub.sandbox.queues[1]["callinId"]
    outcome = alohub("queues", "apply", _file(tmp_path, _rows(f"{FIRST},777", f"{second},778")), "--yes")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    assert "-> 777 s" in outcome.out
    assert "2 to change" in outcome.out
    assert f"{FIRST}  done\n" in outcome.out
    assert outcome.out.endswith("\n2 done\n")
    assert "\x1b" not in outcome.out
    assert (alohub.sandbox.queues[0]["timeWait"], alohub.sandbox.queues[1]["timeWait"]) == ("777", "778")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize(
    ("option", "results"), [("--yes", ("done", "failed")), ("--dry-run", ("to change", "impossible"))]
)
def test_results_as_rows(alohub: Alohub, tmp_path: Path, form: str, option: str, results: tuple[str, str]) -> None:
    """Each queue has a row, with its values before and after, and the reason of a failure."""
    alohub.sandbox.queues[0]["timeWait"] = "60"
    outcome = alohub("queues", "apply", _file(tmp_path, _rows(f"{FIRST},777", "5,1")), option, "--output", form)
    assert outcome.code == ExitCode.FAILED
    rows = outcome.json if form == "json" else lines(outcome.out) if form == "jsonl" else _csv(outcome.out)
    by_id = {int(row["id"]): row for row in rows}
    assert (by_id[FIRST]["result"], by_id[5]["result"]) == results
    assert by_id[FIRST]["fields"] == {"max_wait": {"before": 60, "after": 777}}
    assert "HTTP 404" in by_id[5]["error"]


def _csv(text: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(text))
    return [{**row, "fields": json.loads(row["fields"])} for row in rows]


def test_rows_need_no_question(alohub: Alohub, tmp_path: Path) -> None:
    """The plan would not be seen before it."""
    outcome = alohub("queues", "apply", _file(tmp_path, _rows(f"{FIRST},777")), "--output", "json")
    assert "json shows no plan before; give --yes" in outcome.error


def test_dry_run_sends_no_update(alohub: Alohub, tmp_path: Path) -> None:
    """It shows the plan and the impossible changes."""
    outcome = alohub("queues", "apply", _file(tmp_path, _rows(f"{FIRST},777", "5,1")), "--dry-run")
    assert outcome.code == ExitCode.FAILED
    assert "-> 777 s" in outcome.out
    assert "impossible: GET /v1/queues/inbound/5 failed with HTTP 404" in outcome.out
    assert alohub("queues", "apply", _file(tmp_path, _rows(f"{FIRST},777")), "--dry-run").code == ExitCode.OK
    assert _puts(alohub) == 0


def test_some_fail(alohub: Alohub, tmp_path: Path) -> None:
    """Each conflict and failure has a line, the other changes are made, and the exit code is 1."""
    second, third = alohub.sandbox.queues[1]["callinId"], alohub.sandbox.queues[2]["callinId"]
    text = f"id,max_wait,expect.max_wait\n{FIRST},777,776\n{second},777,\n{third},778,\n5,1,\n"
    alohub.sandbox.fail(status=400, method="PUT", path=f"/v1/queues/inbound/{third}")
    outcome = alohub("queues", "apply", _file(tmp_path, text), "--yes")
    assert outcome.code == ExitCode.FAILED
    assert f"{FIRST}  conflict: queue {FIRST} is not as expected: max_wait is" in outcome.out
    assert f"{second}  done\n" in outcome.out
    assert f"{third}  failed: PUT /v1/queues/inbound/{third} failed with HTTP 400" in outcome.out
    assert "\n5  failed: GET /v1/queues/inbound/5 failed with HTTP 404" in outcome.out
    assert outcome.out.splitlines()[-1] == "1 done, 1 conflict, 2 failed"


def test_every_problem_of_the_file_is_reported(alohub: Alohub, tmp_path: Path) -> None:
    """Each has its line number, and nothing is sent."""
    file = _file(tmp_path, _rows("x,1", f"{FIRST},-1", f"{FIRST},\x1b[2J"))
    outcome = alohub("queues", "apply", file, "--yes")
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, "")
    lines = outcome.err.splitlines()
    assert [line.partition(": ")[2].removeprefix(f"{file}, ").partition(":")[0] for line in lines[:-1]] == [
        "line 2",
        "line 3",
        "line 4",
        "line 4",
    ]
    assert lines[-1] == f"alohub: 4 problems in {file}; nothing was sent"
    assert "\x1b" not in outcome.err
    assert alohub.sandbox.requests == []


def test_file_that_cannot_be_read(alohub: Alohub, tmp_path: Path) -> None:
    """The message is one line, and nothing is sent."""
    assert "no such file" in alohub("queues", "apply", str(tmp_path / "a.csv"), "--yes").error
    assert "must end in" in alohub("queues", "apply", str(tmp_path / "a.xlsx"), "--yes").error
    assert alohub.sandbox.requests == []


def _type(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Give the command this stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize(
    ("text", "options"),
    [(_rows(f"{FIRST},777"), ()), (f'{{"id": {FIRST}, "max_wait": 777}}', ("--format", "jsonl"))],
)
def test_apply_from_stdin(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, text: str, options: tuple[str, ...]) -> None:
    """CSV, or JSON Lines if so given."""
    _type(monkeypatch, text)
    assert alohub("queues", "apply", "-", "--yes", *options).code == ExitCode.OK
    assert alohub.sandbox.queues[0]["timeWait"] == "777"


def test_problems_of_stdin(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have lines, as those of a file."""
    _type(monkeypatch, _rows("x,1"))
    assert "alohub: stdin, line 2: id must be" in alohub("queues", "apply", "-", "--yes").err
    _type(monkeypatch, _rows(f"{FIRST},777"))
    assert "give --yes, or --dry-run" in alohub("queues", "apply", "-").error
    file_format = alohub("queues", "apply", "a.csv", "--yes", "--format", "csv")
    assert "the ending of a file is its format" in file_format.error
    assert alohub.sandbox.requests == []


def test_no_terminal_to_confirm(alohub: Alohub, tmp_path: Path, start: Callable[..., Process]) -> None:
    """Without a terminal and without --yes nothing is changed."""
    file = _file(tmp_path, _rows(f"{FIRST},777"))
    process = start(
        "queues", "apply", file, ALOHUB_BASE_URL=str(alohub.sandbox.url), ALOHUB_API_KEY=alohub.sandbox.api_key
    )
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.USAGE
    assert "give --yes, or --dry-run" in err
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize(
    ("typed", "code", "puts"),
    [(b"y\n", ExitCode.OK, 1), (b"n\n", ExitCode.FAILED, 0), (b"\x03", ExitCode.INTERRUPTED, 0)],
    ids=["yes", "no", "ctrl-c"],
)
def test_the_user_confirms(alohub: Alohub, tmp_path: Path, typed: bytes, code: ExitCode, puts: int) -> None:
    """The prompt follows the plan; only yes continues, and Ctrl-C ends the command at once."""
    file = _file(tmp_path, _rows(f"{FIRST},777"))
    outcome = answer_prompt(
        *("queues", "apply", file),
        prompt=b"[y/N] ",
        answer=typed,
        ALOHUB_BASE_URL=str(alohub.sandbox.url),
        ALOHUB_API_KEY=alohub.sandbox.api_key,
    )
    assert outcome.code == code
    assert "Change 1 queue?" in outcome.err
    assert "-> 777 s" in outcome.out
    assert _puts(alohub) == puts


def test_interrupted_while_applying(alohub: Alohub, tmp_path: Path, start: Callable[..., Process]) -> None:
    """Ctrl-C ends the command at once; it reports the results so far and the number of queues without one."""
    second, third = (alohub.sandbox.queues[index]["callinId"] for index in (1, 2))
    file = _file(tmp_path, _rows(f"{FIRST},777", f"{second},778", f"{third},779"))
    alohub.sandbox.fail(Delay(30), method="PUT", path=f"/v1/queues/inbound/{second}")
    process = start(
        *("queues", "apply", file, "--yes", "--concurrency", "1"),
        ALOHUB_BASE_URL=str(alohub.sandbox.url),
        ALOHUB_API_KEY=alohub.sandbox.api_key,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    while f"{FIRST}  done" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == ExitCode.INTERRUPTED
    assert process.stdout.read().splitlines()[-1] == "1 done"
    assert "2 queues without a result; run the same command again to finish" in process.stderr.read()
    alohub.sandbox.heal()  # the second PUT may not have been sent


def test_deadline(alohub: Alohub, tmp_path: Path) -> None:
    """It covers the plan and its application."""
    alohub.sandbox.fail(Delay(30), method="GET")
    outcome = alohub("queues", "apply", _file(tmp_path, _rows(f"{FIRST},777")), "--yes", "--deadline", "0.3")
    assert outcome.code == ExitCode.TIMED_OUT
    assert "deadline of 0.30 s" in outcome.error


def test_sandbox(alohub: Alohub, serve: Callable[..., Sandbox], tmp_path: Path) -> None:
    """Both commands work without a key."""
    del serve
    file = _file(tmp_path, _rows(f"{FIRST},777"))
    assert alohub("queues", "apply", file, "--yes", "--sandbox").code == ExitCode.OK
    assert alohub("queues", "diff", "live", "live", "--sandbox").code == ExitCode.OK
