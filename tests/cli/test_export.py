"""`alohub queues export`."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from alohub_async.cli.app import run
from alohub_async.cli.errors import ExitCode
from alohub_async.cli.progress import progress_text
from alohub_async.export import ExportProgress
from alohub_async.files import read_queues
from alohub_async.testing import Delay, Sandbox
from tests.cli.command import PATIENCE, TENANTS, Alohub, Process, interrupt, records

EXPORT = ("queues", "export")


def test_a_file(alohub: Alohub, tmp_path: Path) -> None:
    """The file equals the output of `list --jsonl`, and one line summarises the export."""
    path = tmp_path / "queues.jsonl"
    outcome = alohub(*EXPORT, str(path), "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{path}: 45 queues, complete: ")
    assert outcome.out.count("\n") == 1
    assert "6 requests, 0 denied" in outcome.out
    assert path.read_text(encoding="utf-8") == alohub("queues", "list", "--output", "jsonl").out
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == records(alohub.sandbox.queues)


def test_the_inner_sandbox(alohub: Alohub, tmp_path: Path) -> None:
    """`--sandbox` works with details and a single pass."""
    path = tmp_path / "queues.csv"
    assert alohub(*EXPORT, str(path), "--sandbox", "--details", "--consistency", "detect").code == 0
    assert len([*read_queues(path)]) == 250
    assert alohub.sandbox.requests == []


def test_not_complete(alohub: Alohub, tmp_path: Path) -> None:
    """A list that changed has its own exit code, and the line says why; the file is written."""
    path = tmp_path / "queues.jsonl"
    alohub.sandbox.insert_queue(after_page=0)
    outcome = alohub(*EXPORT, str(path), "--page-size", "20", "--consistency", "detect", "--prefetch", "0")
    assert outcome.code == ExitCode.INCOMPLETE
    assert "NOT complete: the list moved while it was walked" in outcome.out
    assert path.exists()


def test_interrupted(alohub: Alohub, tmp_path: Path) -> None:
    """After a failure the message explains how to resume; it names `--restart` for other options."""
    path = tmp_path / "queues.jsonl"
    alohub.sandbox.fail(status=400, page=1)
    failed = alohub(*EXPORT, str(path), "--page-size", "20")
    assert failed.code == ExitCode.USAGE
    assert failed.error.endswith("; run the same command again to resume")
    other = alohub(*EXPORT, str(path), "--page-size", "30")
    assert other.code == ExitCode.FAILED
    assert "page_size was 20, and is 30 now; finish that one, or start anew with --restart" in other.error
    assert alohub(*EXPORT, str(path), "--page-size", "20").code == 0
    assert json.loads(path.with_name("_queues.jsonl.report.json").read_bytes())["resumed"] == 1


def test_a_wrong_key_is_corrected(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export without any data yet can be resumed with another key."""
    path = tmp_path / "queues.jsonl"
    right = alohub.sandbox.api_key
    monkeypatch.setenv("ALOHUB_API_KEY", "sk_live_wrong")
    assert alohub(*EXPORT, str(path)).code == ExitCode.DENIED
    monkeypatch.setenv("ALOHUB_API_KEY", right)
    assert alohub(*EXPORT, str(path)).code == 0


def test_an_unknown_ending(alohub: Alohub, tmp_path: Path) -> None:
    """The message lists the known endings, and nothing is sent."""
    outcome = alohub(*EXPORT, str(tmp_path / "queues.xlsx"))
    assert outcome.code == ExitCode.USAGE
    assert "must end in .jsonl, .csv, .parquet" in outcome.error
    assert alohub.sandbox.requests == []


def test_no_such_folder(alohub: Alohub, tmp_path: Path) -> None:
    """The message names it, and nothing is sent."""
    path = tmp_path / "none" / "queues.csv"
    outcome = alohub(*EXPORT, str(path))
    assert outcome.code == ExitCode.FAILED
    assert outcome.error == f"cannot write {path}: folder {path.parent} does not exist"
    assert alohub.sandbox.requests == []


def test_progress_on_a_terminal(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar shows the progress, but not with `--quiet`."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = alohub(*EXPORT, str(tmp_path / "queues.jsonl"), "--page-size", "20")
    assert "45/45" in outcome.err
    assert alohub(*EXPORT, str(tmp_path / "queues.jsonl"), "--quiet").err == ""


def test_progress_fits() -> None:
    """The name, the bar and the text together fit into 80 columns."""
    now = ExportProgress(
        number=5, written=500_000, total=999_999, seconds=9, rate=2500, free=100, limit=100, waiting=True
    )
    assert progress_text(now) == "pass 5 500,000/999,999 2,500/s 3:20 100/100 free waiting"
    assert cell_len(progress_text(now)) + 14 + 1 + 8 + 1 <= 80
    unknown = ExportProgress(number=1, written=5, total=None, seconds=9, rate=0.0, free=None, limit=None, waiting=False)
    assert progress_text(unknown) == "pass 1 5/? 0/s"


def test_resume_after_ctrl_c(sandbox: Sandbox, start: Callable[..., Process], tmp_path: Path) -> None:
    """Ctrl-C has its own exit code, and the message says that the same command resumes."""
    sandbox.fail(Delay(PATIENCE), page=1)
    path = tmp_path / "queues.jsonl"
    arguments = (*EXPORT, str(path), "--page-size", "5", "--prefetch", "0", "--base-url", str(sandbox.url))
    process = start(*arguments, ALOHUB_API_KEY=sandbox.api_key)
    while not sandbox.requests.of(page=1):
        assert process.poll() is None
    process.send_signal(2)
    assert process.communicate(timeout=PATIENCE)[1] == "alohub: interrupted; run the same command again to resume\n"
    assert process.returncode == ExitCode.INTERRUPTED
    assert not path.exists()
    again = start(*arguments, ALOHUB_API_KEY=sandbox.api_key)
    assert "45 queues, complete" in again.communicate(timeout=PATIENCE)[0]


def test_ctrl_c_after_restart(alohub: Alohub, tmp_path: Path) -> None:
    """With `--restart` the same command would begin anew, so the message says to leave it out."""
    path = tmp_path / "queues.jsonl"
    interrupt(alohub.sandbox, page=1)
    outcome = alohub(*EXPORT, str(path), "--page-size", "20", "--restart")
    assert outcome.code == ExitCode.INTERRUPTED
    assert outcome.error == "interrupted; run it again without --restart to resume"
    alohub.sandbox.fail(status=400, page=1)
    assert alohub(*EXPORT, str(path), "--page-size", "20", "--restart").error.endswith(
        "; run it again without --restart to resume"
    )
    assert "3 requests" not in alohub(*EXPORT, str(path), "--page-size", "20").out


def test_a_damaged_journal(alohub: Alohub, tmp_path: Path) -> None:
    """The message names `--restart`, and that helps."""
    path = tmp_path / "queues.jsonl"
    alohub.sandbox.fail(status=400, page=1)
    alohub(*EXPORT, str(path), "--page-size", "20")
    journal = tmp_path / ".queues.jsonl.part"
    journal.write_bytes(journal.read_bytes().replace(b"id", b"di", 1))
    outcome = alohub(*EXPORT, str(path), "--page-size", "20")
    assert outcome.code == ExitCode.FAILED
    assert outcome.error.endswith("start anew with --restart")
    assert alohub(*EXPORT, str(path), "--page-size", "20", "--restart").code == 0


def test_to_stdout(alohub: Alohub, tmp_path: Path) -> None:
    """Stdout has what a file would have, and stderr the summary."""
    path = tmp_path / "queues.csv"
    assert alohub(*EXPORT, str(path)).code == 0
    outcome = alohub(*EXPORT, "-", "--format", "csv")
    assert (outcome.code, outcome.out) == (0, path.read_bytes().decode())
    assert outcome.err.startswith("alohub: stdout: 45 queues, complete: ")
    assert alohub(*EXPORT, "-").out == alohub("queues", "list", "--output", "jsonl").out


def test_parquet_to_stdout(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are not text."""
    del alohub
    path, output = tmp_path / "queues.parquet", io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output))
    assert run([*EXPORT, "-", "--format", "parquet"]) == 0
    path.write_bytes(output.getvalue())
    assert len([*read_queues(path)]) == 45


def test_stdout_not_complete(alohub: Alohub) -> None:
    """The queues are written, and the exit code says that some may be missing."""
    alohub.sandbox.insert_queue(after_page=0)
    outcome = alohub(*EXPORT, "-", "--page-size", "20", "--consistency", "detect", "--prefetch", "0")
    assert outcome.code == ExitCode.INCOMPLETE
    assert "NOT complete" in outcome.err
    assert outcome.out.count("\n") >= 45


def test_a_failed_export_to_stdout(alohub: Alohub) -> None:
    """Nothing is written, and the message says that it cannot be resumed."""
    alohub.sandbox.fail(status=400, page=1)
    outcome = alohub(*EXPORT, "-", "--page-size", "20")
    assert outcome.error.endswith("; nothing was written, and an export to stdout cannot be resumed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-", "--json"), "--json and --restart are for files"),
        (("-", "--restart"), "--json and --restart are for files"),
        (("a.csv", "--format", "csv"), "the ending of a file is its format"),
    ],
)
def test_options_that_do_not_fit_stdout(alohub: Alohub, arguments: tuple[str, ...], message: str) -> None:
    """They are refused, and nothing is sent."""
    outcome = alohub(*EXPORT, *arguments)
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize("arguments", [("a.jsonl",), ("-", "--format", "jsonl")])
def test_excel_is_csv(alohub: Alohub, arguments: tuple[str, ...]) -> None:
    """Another format is refused, and nothing is sent."""
    assert alohub(*EXPORT, *arguments, "--excel").code == ExitCode.USAGE
    assert alohub.sandbox.requests == []


def test_tenants_for_excel(command: Alohub, tmp_path: Path) -> None:
    """Their files are CSV, too."""
    assert command(*EXPORT, "out", *TENANTS, "--excel").code == 0
    assert (tmp_path / "out/tenant=a/queues.csv").read_bytes().startswith(b"\xef\xbb\xbfid;name;")


def test_tenants_need_a_folder(command: Alohub) -> None:
    """Their files cannot all be on stdout."""
    assert "must be a folder" in command(*EXPORT, "-", *TENANTS).error


def test_the_format_of_tenants(command: Alohub, tmp_path: Path) -> None:
    """It is an option, too."""
    assert command(*EXPORT, "out", *TENANTS, "--format", "csv").code == 0
    assert len([*read_queues(tmp_path / "out/tenant=a/queues.csv")]) == 9
