"""`alohub queues export`."""

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from alohub_async.cli.errors import ExitCode
from alohub_async.cli.export import progress_text
from alohub_async.export import ExportProgress
from alohub_async.files import read_queues
from alohub_async.testing import Delay, Sandbox
from tests.cli.command import Alohub, Process, records

EXPORT = ("queues", "export")


def test_a_file(alohub: Alohub, tmp_path: Path) -> None:
    """The file equals the output of `list --jsonl`, and one line summarises the export."""
    path = tmp_path / "queues.jsonl"
    outcome = alohub(*EXPORT, str(path), "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{path}: 45 queues, complete: ")
    assert outcome.out.count("\n") == 1
    assert "6 requests, 0 denied" in outcome.out
    assert path.read_text(encoding="utf-8") == alohub("queues", "list", "--jsonl").out
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
    """The message is one line."""
    outcome = alohub(*EXPORT, str(tmp_path / "none" / "queues.csv"))
    assert outcome.code == ExitCode.FAILED
    assert "there is no such file or folder" in outcome.error


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
    assert progress_text(now) == "pass 5 500,000/999,999 2,500/s 3:20 100/100 waiting"
    assert cell_len(progress_text(now)) + 14 + 1 + 14 + 1 <= 81
    unknown = ExportProgress(number=1, written=5, total=None, seconds=9, rate=0.0, free=None, limit=None, waiting=False)
    assert progress_text(unknown) == "pass 1 5/? 0/s"


def test_resume_after_ctrl_c(sandbox: Sandbox, start: Callable[..., Process], tmp_path: Path) -> None:
    """Ctrl-C has its own exit code, and the message says that the same command resumes."""
    sandbox.latency = 0.2
    path = tmp_path / "queues.jsonl"
    arguments = (*EXPORT, str(path), "--page-size", "5", "--prefetch", "0", "--base-url", str(sandbox.url))
    process = start(*arguments, ALOHUB_API_KEY=sandbox.api_key)
    while not sandbox.requests.of(page=1):
        assert process.poll() is None
    process.send_signal(2)
    assert process.communicate(timeout=20)[1] == "alohub: interrupted; run the same command again to resume\n"
    assert process.returncode == ExitCode.INTERRUPTED
    assert not path.exists()
    sandbox.latency = 0.0
    again = start(*arguments, ALOHUB_API_KEY=sandbox.api_key)
    assert "45 queues, complete" in again.communicate(timeout=20)[0]


def test_ctrl_c_after_restart(alohub: Alohub, tmp_path: Path) -> None:
    """With `--restart` the same command would begin anew, so the message says to leave it out."""
    path = tmp_path / "queues.jsonl"
    _interrupt(alohub.sandbox, page=1)
    outcome = alohub(*EXPORT, str(path), "--page-size", "20", "--restart")
    assert outcome.code == ExitCode.INTERRUPTED
    assert outcome.error == "interrupted; run it again without --restart to resume"
    alohub.sandbox.fail(status=400, page=1)
    assert alohub(*EXPORT, str(path), "--page-size", "20", "--restart").error.endswith(
        "; run it again without --restart to resume"
    )
    assert "3 requests" not in alohub(*EXPORT, str(path), "--page-size", "20").out


def _interrupt(sandbox: Sandbox, *, page: int) -> None:
    """Press Ctrl-C when a page is requested."""
    sandbox.fail(Delay(0.2), page=page, next=1)
    threading.Thread(target=_press_when, args=(sandbox, page), daemon=True).start()


def _press_when(sandbox: Sandbox, page: int) -> None:
    deadline = time.monotonic() + 10
    while not sandbox.requests.of(page=page) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)


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


# Several tenants


def _write(path: Path, **tenants: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, values in tenants.items():
        lines += [f"[tenants.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_tenants(
    serve: Callable[..., Sandbox], alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tenant has a partition; a failure does not stop the others, and the worst exit code is returned."""
    other = serve(queues=7, tenant_id="B2")
    monkeypatch.setenv("KEY_A", alohub.sandbox.api_key)
    monkeypatch.setenv("KEY_B", other.api_key)
    monkeypatch.setenv("KEY_C", "sk_live_wrong")
    url = str(alohub.sandbox.url)
    file = _write(
        tmp_path / "tenants.toml",
        a={"api_key_env": "KEY_A", "base_url": url, "direct": True},
        b={"api_key_env": "KEY_B", "base_url": str(other.url), "tenant_id": "B2"},
        c={"api_key_env": "KEY_C", "base_url": url},
        d={"api_key_env": "KEY_D", "base_url": url},
    )
    out = tmp_path / "out"
    outcome = alohub(*EXPORT, "--tenants", file, str(out), "--side-by-side", "2")
    assert outcome.code == ExitCode.DENIED
    assert "sk_live" not in outcome.out + outcome.err
    rows = {
        line.split()[0]: line for line in outcome.out.splitlines() if line.split()[:1] and len(line.split()[0]) == 1
    }
    assert rows["a"].split()[1] == "45"
    assert rows["b"].split()[1] == "7"
    assert "complete" in rows["b"]
    assert "UNAUTHORIZED" in rows["c"]
    assert "is KEY_C the key of this tenant" in rows["c"]
    assert "ALOHUB_API_KEY" not in outcome.out
    assert "set KEY_D" in rows["d"]
    assert len([*read_queues(out / "tenant=a" / "queues.parquet")]) == 45
    assert len([*read_queues(out / "tenant=b" / "queues.parquet")]) == 7
    assert not (out / "tenant=c" / "queues.parquet").exists()
    monkeypatch.setenv("KEY_C", alohub.sandbox.api_key)
    monkeypatch.setenv("KEY_D", alohub.sandbox.api_key)
    assert alohub(*EXPORT, "--tenants", file, str(out)).code == 0


@pytest.fixture(name="tenants")
def _tenants(serve: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sandbox]:
    """Three tenants, in `tenants.toml`."""
    sandboxes = [serve(queues=9, tenant_id=name) for name in "abc"]
    tables = {
        name: {"api_key_env": f"KEY_{name}", "base_url": str(sandbox.url), "tenant_id": name}
        for name, sandbox in zip("abc", sandboxes, strict=True)
    }
    for name, sandbox in zip("abc", sandboxes, strict=True):
        monkeypatch.setenv(f"KEY_{name}", sandbox.api_key)
    _write(tmp_path / "tenants.toml", **tables)
    return sandboxes


def test_tenants_that_are_done_are_not_exported_again(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path) -> None:
    """After Ctrl-C the same command goes on with the tenants that are left; the next run exports all."""
    command = (*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"), "--side-by-side", "1")
    _interrupt(tenants[1], page=0)
    outcome = alohub(*command)
    assert outcome.code == ExitCode.INTERRUPTED
    assert outcome.error == (
        "interrupted; run the same command again to go on; tenants that are done are not exported again"
    )
    sent = [len(sandbox.requests) for sandbox in tenants]
    assert sent[0] > 0
    assert sent[2] == 0
    outcome = alohub(*command)
    assert outcome.code == 0
    assert outcome.out.count("(exported before the interruption)") == 1
    assert len(tenants[0].requests) == sent[0]
    assert all(len(sandbox.requests) > 1 for sandbox in tenants)
    for name in "abc":
        assert len([*read_queues(tmp_path / "out" / f"tenant={name}" / "queues.parquet")]) == 9
    assert "before" not in alohub(*command).out
    assert len(tenants[0].requests) == 2 * sent[0]


@pytest.mark.parametrize("change", ["--restart", "--details", "a file that is gone"])
def test_what_is_exported_again(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path, change: str) -> None:
    """A tenant whose export was another one, or is gone, is exported again after Ctrl-C, and all with `--restart`."""
    command = [*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"), "--side-by-side", "1"]
    _interrupt(tenants[1], page=0)
    assert alohub(*command).code == ExitCode.INTERRUPTED
    sent = len(tenants[0].requests)
    if change.startswith("--"):
        command.append(change)
        (tmp_path / "out" / "tenant=b" / ".queues.parquet.part").unlink(missing_ok=True)
    else:
        (tmp_path / "out" / "tenant=a" / "queues.parquet").unlink()
    outcome = alohub(*command)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(tenants[0].requests) > sent


def test_a_failure_is_no_interruption(
    alohub: Alohub, tenants: list[Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that always fails does not keep the files of the others as they are."""
    command = (*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"))
    monkeypatch.setenv("KEY_c", "sk_live_wrong")
    for runs in (1, 2):
        assert alohub(*command).code == ExitCode.DENIED
        assert len(tenants[0].requests) == 4 * runs  # two passes, each with a look behind the one page


def test_the_folder_is_a_data_set(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path) -> None:
    """Programs that read a whole folder find the queues, also while an export is interrupted."""
    pandas: Any = importlib.import_module("pandas")
    out = tmp_path / "out"
    command = (*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(out), "--side-by-side", "1")
    _interrupt(tenants[1], page=0)
    alohub(*command)
    assert sorted(pandas.read_parquet(out)["id"]) == sorted(int(str(queue["callinId"])) for queue in tenants[0].queues)
    assert alohub(*command).code == 0
    assert pandas.read_parquet(out)["tenant"].value_counts().to_dict() == {"a": 9, "b": 9, "c": 9}
    visible = {path.name for path in out.rglob("*") if path.is_file() and path.name[0] not in "._"}
    assert visible == {"queues.parquet"}


def test_an_option_of_a_tenant(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message about a tenant names what stands in its table, not an option that is refused there."""
    monkeypatch.setenv("KEY_A", "sk_live_abc")
    file = _write(tmp_path / "tenants.toml", a={"api_key_env": "KEY_A", "base_url": "http://example.com"})
    outcome = alohub(*EXPORT, "--tenants", file, str(tmp_path / "out"))
    assert "allow_http = true" in outcome.out
    assert "--allow-http" not in outcome.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tenants.a]\napi_key = "sk_live_secret"', "this file must not contain the key"),
        ('[tenants.a]\napi_key_env = "sk-live-secret"', "this file must not contain the key"),
        ("[tenants.a]\n", "api_key_env is missing"),
        ('[tenants.a]\napi_key_env = "A"\nurl = "x"', "unknown name 'url'; allowed are api_key_env"),
        ('[tenants.a]\napi_key_env = "A"\ndirect = 1', "direct must be true or false"),
        ('[tenants.a]\napi_key_env = "A"\ntenant_id = 5', "tenant_id must be a string"),
        ('[tenants.a]\napi_key_env = "A"\ndirect = true', "direct needs base_url"),
        ('[tenants.a]\napi_key_env = "A"\nenv = "x"', "env must be production or development"),
        ('[tenants.a]\napi_key_env = "A"\nenv = "production"\nbase_url = "x"', "either base_url or env"),
        ('[tenants.".."]\napi_key_env = "A"', "must not begin with '-' or '.'"),
        ('[tenants."a/b"]\napi_key_env = "A"', "a name must consist of letters"),
        ("tenants = 5", "no tenants; add a table"),
        ("[tenants]\na = 5", "must be a table"),
        ("", "no tenants; add a table"),
        ("key = 5", "unknown name 'key'"),
        ('format = "xlsx"', "format must be one of jsonl, csv, parquet"),
        ("[", "is not TOML"),
    ],
)
def test_a_bad_tenants_file(alohub: Alohub, tmp_path: Path, text: str, message: str) -> None:
    """The message is one line without any value, as a value could be a key."""
    file = tmp_path / "tenants.toml"
    file.write_text(text, encoding="utf-8")
    outcome = alohub(*EXPORT, "--tenants", str(file), str(tmp_path / "out"))
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert "secret" not in outcome.error
    assert not (tmp_path / "out").exists()


def test_no_tenants_file(alohub: Alohub, tmp_path: Path) -> None:
    """A missing file is refused, and so are access options together with `--tenants`."""
    assert "cannot read" in alohub(*EXPORT, "--tenants", str(tmp_path / "none.toml"), str(tmp_path)).error
    file = _write(tmp_path / "tenants.toml", a={"api_key_env": "A"})
    assert "leave them out on the command line" in alohub(*EXPORT, "--tenants", file, str(tmp_path), "--sandbox").error
