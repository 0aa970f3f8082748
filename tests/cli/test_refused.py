"""What is refused before anything is sent: the message says what was given, what is allowed, or what to do."""

from pathlib import Path

import pytest

from alohub_async.cli.errors import ExitCode
from alohub_async.files import write_queues
from tests.cli.command import TENANTS, Alohub

DIFF = ("queues", "diff", "a.csv", "live", "--changes")
EXPORT = ("queues", "export")
LONG = f"{'x' * 300}.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*DIFF, "a.xlsx"), "the file must end in .csv, .jsonl; 'a.xlsx' was given"),
        ((*DIFF, "none/a.csv"), "cannot write none/a.csv: folder none does not exist"),
        ((*DIFF, "folder.csv"), "cannot write folder.csv: it is a folder"),
        ((*EXPORT, "folder.csv"), "cannot write folder.csv: it is a folder"),
        ((*EXPORT, LONG), "the name is too long"),
        ((*EXPORT, "a.jsonl", "--excel"), "--excel writes CSV; the file must end in .csv, not '.jsonl'"),
        ((*EXPORT, "a.csv", *TENANTS), "with --tenants, PATH must be a folder, not a.csv"),
        (("queues", "update", "1", "--max-wait", "9" * 30), "--max-wait must be"),
        (("queues", "get", "9" * 20), "ID must be"),
        (("queues", "get", "x"), "'x' "),
        (("--quiet", "queues", "list"), "options stand after the whole command"),
        (("sandbox", "--queues", "9" * 12), f"'{'9' * 12}' "),
        (("sandbox", "--fail", "502:0"), "--fail must be a status and a number of requests, such as 502:3"),
    ],
)
def test_nothing_is_sent(
    alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """It is one line."""
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    write_queues(Path("a.csv"), [])
    outcome = alohub(*arguments)
    assert outcome.code in {ExitCode.USAGE, ExitCode.FAILED}
    assert message in outcome.error
    assert alohub.sandbox.requests == []


def test_a_terminal_without_columns(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is not wrapped."""
    monkeypatch.setenv("COLUMNS", "0")
    assert "1 queue\n" in alohub("queues", "list", "--limit", "1").out
