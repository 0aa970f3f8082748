"""`alohub queues audit`."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from rich.cells import cell_len

from alohub_async import AlohubClient, __version__
from alohub_async.audit import DEFAULT_RULES
from alohub_async.cli.app import run
from alohub_async.cli.errors import ExitCode
from alohub_async.testing import JsonAnswer, Sandbox, Status
from tests.audit.support import record
from tests.cli.command import PATIENCE, TENANTS, Alohub, Process
from tests.support import FIRST, LIST

AUDIT = ("queues", "audit")
LONG = "Trung tâm chăm sóc khách hàng thân thiết khu vực Thành phố Hồ Chí Minh và các tỉnh Đông Nam Bộ"
HOSTILE = "<b>\x1b[2J\x00\u202e\ud800"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without a pyproject.toml."""
    monkeypatch.chdir(tmp_path)


def audit(serve: Callable[..., Sandbox], *queues: dict[str, object]) -> tuple[str, ...]:
    """The command line that audits these queues."""
    return (*AUDIT, "--base-url", str(serve(queues=[*queues]).url))


def failures(path: Path) -> int:
    """The number of failures in a JUnit file, according to another library."""
    reader: Any = JUnitXml  # pyright does not know all of its types
    return int(reader.fromfile(str(path)).failures)


@pytest.mark.parametrize(
    ("changes", "threshold", "code"),
    [
        ({}, "info", 0),
        ({"callinNumber": None}, "info", 1),
        ({"callinNumber": None}, None, 0),
        ({"strategy": 99}, None, 1),
        ({"strategy": 99}, "warning", 1),
        ({"strategy": 99}, "error", 0),
        ({"timeWait": "x"}, "error", 1),
    ],
)
def test_exit_codes(
    serve: Callable[..., Sandbox], alohub: Alohub, changes: dict[str, object], threshold: str | None, code: int
) -> None:
    """The exit code is 1 if a finding has the severity of `--fail-on` (default: warning) or above, else 0."""
    fail_on = () if threshold is None else ("--fail-on", threshold)
    outcome = alohub(*audit(serve, record(**changes)), *fail_on)
    assert (outcome.code, outcome.err) == (code, "")


def test_the_table(serve: Callable[..., Sandbox], alohub: Alohub) -> None:
    """The counts come first, then the findings by severity, each with the rule, the queue and the message."""
    queues = [record(callinName=LONG, strategy=99), record(callinId=FIRST + 1, timeWait="lâu", nguongRanhRoi="0")]
    outcome = alohub(*audit(serve, *queues), "--tenant-id", alohub.sandbox.tenant_id)
    lines = outcome.out.splitlines()
    assert lines[0] == "2 queues audited: 3 errors, 1 warning, 1 info"
    assert re.fullmatch(
        rf"tenant 20260310 · http://127\.0\.0\.1:\d+/ · .{{16}} UTC · alohub-async {__version__}", lines[1]
    )
    headings = [line for line in lines if re.match("(error|warning|info) ", line)]
    assert [heading.split()[0] for heading in headings] == ["error", "error", "warning", "info"]
    assert "error A value does not match its documented type (unfit-value: 1)" in lines
    assert re.search(rf"{FIRST + 1} +test +timeWait is lâu", outcome.out)


def test_it_fits_80_columns(serve: Callable[..., Sandbox], alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns no line is longer, and a long name is shown in full."""
    monkeypatch.setenv("COLUMNS", "80")
    outcome = alohub(*audit(serve, record(callinName=LONG, strategy=99, timeWait="999", callinNumber="1")))
    assert max(map(cell_len, outcome.out.splitlines())) <= 80
    assert {*LONG.split()} <= {*outcome.out.split()}
    assert "…" not in outcome.out


def test_the_sandbox(alohub: Alohub) -> None:
    """`--sandbox` audits the queues of a sandbox and sends nothing elsewhere."""
    outcome = alohub(*AUDIT, "--sandbox")
    assert outcome.code == 1
    assert outcome.out.startswith("250 queues audited: ")
    assert alohub.sandbox.requests == []


def test_json(serve: Callable[..., Sandbox], alohub: Alohub) -> None:
    """JSON is one object with the whole report."""
    outcome = alohub(*audit(serve, record(strategy=99)), "--output", "json")
    found = outcome.json
    assert (found["queues"], found["complete"], found["total"], found["details"]) == (1, True, 1, True)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", found["address"])
    assert (found["tenant"], found["tenant_id"], found["sdk_version"]) == (None, None, __version__)
    assert found["counts"] == {"error": 0, "warning": 1, "info": 0}
    assert found["findings"] == [
        {
            "severity": "warning",
            "rule": "locked",
            "queue_id": FIRST,
            "queue_name": "test",
            "field": "strategy",
            "message": "the queue is locked",
        }
    ]
    assert [rule["id"] for rule in found["rules"]] == [rule.id for rule in DEFAULT_RULES if "agents" not in rule.id]


def test_rows(serve: Callable[..., Sandbox], alohub: Alohub) -> None:
    """JSON Lines and CSV have a row for each finding."""
    command = audit(serve, record(strategy=99, callinName="a,b"))
    found = alohub(*command, "--output", "jsonl").json
    assert [*found] == ["severity", "rule", "queue_id", "queue_name", "field", "message"]
    header, row = alohub(*command, "--output", "csv").out.splitlines()
    assert header.split(",") == [*found]
    assert row == f'warning,locked,{FIRST},"a,b",strategy,the queue is locked'


def test_files(serve: Callable[..., Sandbox], alohub: Alohub, tmp_path: Path) -> None:
    """`--html` and `--junit` write or replace files in addition to the normal output, and leave no other files."""
    (tmp_path / "a.html").write_text("old")
    command = audit(serve, record(callinName="Huế", strategy=99))
    outcome = alohub(*command, "--html", "a.html", "--junit", "a.xml", "--output", "json")
    assert outcome.code == 1
    assert outcome.json["queues"] == 1
    assert "Huế" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert failures(tmp_path / "a.xml") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "a.xml"}
    alohub(*command, "--junit", "a.xml", "--fail-on", "error")
    assert failures(tmp_path / "a.xml") == 0


def test_a_device(serve: Callable[..., Sandbox], start: Callable[..., Process]) -> None:
    """A device can be written to and is not replaced."""
    sandbox = serve(queues=[record()])
    process = start(*AUDIT, "--junit", "/dev/stderr", ALOHUB_BASE_URL=str(sandbox.url), ALOHUB_API_KEY=sandbox.api_key)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert err.startswith("<?xml")


def test_a_device_that_is_full(alohub: Alohub) -> None:
    """The message names it."""
    outcome = alohub(*AUDIT, "--no-details", "--junit", "/dev/full")
    assert (outcome.code, outcome.error) == (ExitCode.USAGE, "cannot write /dev/full: the disk is full")


def test_a_file_that_cannot_be_written(alohub: Alohub) -> None:
    """A missing folder is an error before anything is sent."""
    outcome = alohub(*AUDIT, "--html", "nowhere/a.html")
    assert outcome.code == ExitCode.USAGE
    assert "folder nowhere does not exist" in outcome.error
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize("form", [(), ("--output", "json"), ("--html", "a.html"), ("--junit", "a.xml")])
def test_hostile_names(serve: Callable[..., Sandbox], alohub: Alohub, tmp_path: Path, form: tuple[str, ...]) -> None:
    """A name that could control a terminal or break a file is harmless in each output."""
    outcome = alohub(*audit(serve, record(callinName=HOSTILE, strategy=99)), *form)
    assert outcome.code == 1
    if form == ("--output", "json"):
        assert outcome.json["findings"][0]["queue_name"] == HOSTILE
    else:
        assert "<b>�[2J" in outcome.out
    assert not {"\x1b", "\x00"} & {*outcome.out}
    for path in tmp_path.iterdir():
        assert not {"\x1b", "\x00"} & {*path.read_text(encoding="utf-8")}
        assert "&lt;b&gt;�[2J�" in path.read_text(encoding="utf-8")


def test_no_details(alohub: Alohub) -> None:
    """`--no-details` only requests the list."""
    assert alohub(*AUDIT, "--no-details").code == 1
    assert {request.path for request in alohub.sandbox.requests} == {LIST}


def test_list_rules(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--list-rules` shows each rule with its severity and summary; no key is needed."""
    monkeypatch.delenv("ALOHUB_API_KEY")
    monkeypatch.setenv("COLUMNS", "80")
    outcome = alohub(*AUDIT, "--list-rules")
    assert outcome.code == 0
    for rule in DEFAULT_RULES:
        assert re.search(
            rf"^{rule.severity.label} +{rule.id} +{re.escape(rule.summary[:20])}", outcome.out, re.MULTILINE
        )
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert alohub.sandbox.requests == []


RULES = """
from dataclasses import dataclass

from alohub_async.audit import Severity, list_rule, rule
from alohub_async.audit.builtin import locked


@dataclass
class Limit:
    letters: int = 99


@rule(Severity.ERROR)
def short_name(queue, *, letters=Limit().letters, words=("x",)):
    "The name is short."
    if len(queue.queue.name) < letters and words:
        yield queue.finding("too short")


@list_rule(Severity.ERROR)
def breaks(audited):
    "It raises."
    raise LookupError("nothing")
"""


@pytest.mark.parametrize("source", ["my_rules", "./my_rules.py", "folder/my_rules.py", "{tmp_path}/my_rules.py"])
def test_rules_of_the_user(serve: Callable[..., Sandbox], alohub: Alohub, tmp_path: Path, source: str) -> None:
    """Those of a module or a file run beside those of the package, with settings; one that raises is a finding."""
    (tmp_path / "folder").mkdir()
    for folder in (tmp_path, tmp_path / "folder"):
        (folder / "my_rules.py").write_text(RULES, encoding="utf-8")
    sys.modules.pop("my_rules", None)
    command = (*audit(serve, record(strategy=99)), "--rules", source.format(tmp_path=tmp_path))
    outcome = alohub(*command, "--html", "a.html", "--junit", "a.xml")
    assert outcome.code == 1
    assert "error The name is short (short-name: 1)" in outcome.out
    assert "warning The queue is locked (locked: 1)" in outcome.out
    assert "the rule failed: LookupError: nothing" in outcome.out
    assert outcome.err == "alohub: the audit rule breaks raised LookupError\n"
    assert failures(tmp_path / "a.xml") == 3
    (tmp_path / "pyproject.toml").write_text(
        "[tool.alohub.audit]\nshort-name = {letters = 1, words = []}\nbreaks = false", encoding="utf-8"
    )
    assert alohub(*command, "--fail-on", "error").code == 0
    assert re.search(r"^error +short-name +The name is short", alohub(*command, "--list-rules").out, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot import the audit rules ./bad.py: FileNotFoundError"),
        ("x = ", "cannot import the audit rules ./bad.py: SyntaxError"),
        ("raise SystemExit(0)", "cannot import the audit rules ./bad.py: SystemExit: 0"),
        ("1 / 0", "cannot import the audit rules ./bad.py: ZeroDivisionError"),
        ("from alohub_async.audit.builtin import locked", "./bad.py has no audit rules; make them with @rule"),
        (RULES.replace("short_name", "locked"), "several rules have the id locked"),
    ],
)
def test_rules_that_cannot_be_used(alohub: Alohub, tmp_path: Path, text: str | None, message: str) -> None:
    """The message is one line, and nothing is sent."""
    if text is not None:
        (tmp_path / "bad.py").write_text(text, encoding="utf-8")
    outcome = alohub(*AUDIT, "--rules", "./bad.py")
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert (
        "cannot import the audit rules no_such_module: ModuleNotFoundError"
        in alohub(*AUDIT, "--rules", "no_such_module").error
    )
    assert alohub.sandbox.requests == []


def test_help_explains_rules(alohub: Alohub) -> None:
    """The help has the option, and an example."""
    shown = alohub(*AUDIT, "--help").out
    assert "--rules MODULE" in shown
    assert "--rules ./my_rules.py" in shown


def test_configuration(alohub: Alohub, tmp_path: Path) -> None:
    """Settings come from `pyproject.toml`, or from the file of `--config`."""
    (tmp_path / "pyproject.toml").write_text("[tool.alohub.audit]\nlocked = 'error'", encoding="utf-8")
    (tmp_path / "other.toml").write_text("locked = false", encoding="utf-8")
    assert re.search("^error +locked ", alohub(*AUDIT, "--list-rules").out, re.MULTILINE)
    assert not re.search("^[a-z]+ +locked ", alohub(*AUDIT, "--list-rules", "--config", "other.toml").out, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "message"),
    [("lokked = false", "no rule 'lokked'; the rules are "), ("locked = ", "are not TOML"), (None, "cannot read")],
)
def test_a_wrong_configuration(alohub: Alohub, tmp_path: Path, text: str | None, message: str) -> None:
    """The message is one line, and nothing is sent."""
    if text is not None:
        (tmp_path / "audit.toml").write_text(text, encoding="utf-8")
    outcome = alohub(*AUDIT, "--config", "audit.toml")
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert alohub.sandbox.requests == []


def test_an_audit_that_fails(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """All failures have the same exit code and the messages of other commands."""
    alohub.sandbox.fail(Status(500), page=0)
    outcome = alohub(*AUDIT, "--retries", "0")
    assert outcome.code == ExitCode.USAGE
    assert "HTTP 500" in outcome.error
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    outcome = alohub(*AUDIT)
    assert outcome.code == ExitCode.USAGE
    assert "pip install 'alohub-async[audit]'" in outcome.error
    monkeypatch.undo()
    monkeypatch.setenv("ALOHUB_BASE_URL", str(alohub.sandbox.url))
    monkeypatch.setenv("ALOHUB_API_KEY", "sk_live_wrong")
    outcome = alohub(*AUDIT)
    assert outcome.code == ExitCode.USAGE
    assert "UNAUTHORIZED" in outcome.error
    assert "is ALOHUB_API_KEY the key" in outcome.error


def test_a_bug(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code of a bug is not the one of findings; `--verbose` shows a traceback."""

    async def fail(_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(AlohubClient, "__aenter__", fail)
    outcome = alohub(*AUDIT)
    assert outcome.code == ExitCode.USAGE
    assert "ZeroDivisionError: oops" in outcome.error
    assert run((*AUDIT, "--verbose")) == ExitCode.USAGE
    assert "Traceback" in capsys.readouterr().err


def test_usage(alohub: Alohub) -> None:
    """An unknown severity is refused."""
    outcome = alohub(*AUDIT, "--fail-on", "fatal")
    assert outcome.code == ExitCode.USAGE
    assert outcome.error


def test_help_explains_the_exit_codes(alohub: Alohub) -> None:
    """They differ from those of other commands, so the help of the command lists them."""
    shown = alohub(*AUDIT, "--help").out
    for code in (0, 1, 2):
        assert re.search(rf"^ +{code}  \S", shown, re.MULTILINE)


def test_an_incomplete_list(alohub: Alohub) -> None:
    """A list that ended early is a finding, and the last line says so."""
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": [alohub.sandbox.queues[0]]}), page=0)
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": []}), path=LIST, next=None)
    outcome = alohub(*AUDIT, "--fail-on", "error")
    assert outcome.code == 1
    assert "received 1 queue; the server reports a total of 5" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("Not provably complete")
    assert json.loads(alohub(*AUDIT, "--output", "json").out)["complete"] is False


def test_progress_on_a_terminal(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar shows the progress, but not with `--quiet`."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "45/45" in alohub(*AUDIT, "--output", "json").err
    assert alohub(*AUDIT, "--output", "json", "--no-details", "--quiet").err == ""


def test_agents(alohub: Alohub) -> None:
    """`--agents` finds the queues that nobody serves."""
    alohub.sandbox.records("agents").clear()
    report = alohub(*AUDIT, "--agents", "--output", "json").json
    assert [finding["rule"] for finding in report["findings"]].count("no-agents") == report["queues"]
    assert "no-agents" not in alohub(*AUDIT, "--output", "json").out


def test_agents_of_tenants(command: Alohub) -> None:
    """With `--tenants`, those of each tenant."""
    for result in command(*AUDIT, *TENANTS, "--agents", "--output", "json").json:
        assert "no-agents" in {rule["id"] for rule in result["result"]["rules"]}
