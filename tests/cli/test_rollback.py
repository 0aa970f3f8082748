"""The log of changes, and `alohub queues rollback`."""

import json
from pathlib import Path
from typing import Any

import pytest

from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Sandbox
from tests.cli.command import TENANTS, Alohub, lines
from tests.support import FIRST

APPLY = ("queues", "apply")
pytestmark = pytest.mark.alohub_sandbox(queues=45, tenant_limit=None, route_limit=None)  # a wait would be on stderr
ROLLBACK = ("queues", "rollback")


def _apply(alohub: Alohub, folder: Path, text: str, code: int = ExitCode.OK, *options: str) -> Path:
    """Apply changes and log them."""
    file, log = folder / "changes.csv", folder / "changes.log"
    file.write_text(text, encoding="utf-8")
    assert alohub(*APPLY, str(file), "--yes", "--log", str(log), *options).code == code
    return log


def _waits(sandbox: Sandbox, count: int = 3) -> list[Any]:
    return [queue["timeWait"] for queue in sandbox.queues[:count]]


def _ids(alohub: Alohub) -> list[Any]:
    return [queue["callinId"] for queue in alohub.sandbox.queues[:3]]


def test_the_log(alohub: Alohub, tmp_path: Path) -> None:
    """Each queue is noted before it is written, and with its result."""
    alohub.sandbox.queues[0]["timeWait"] = "60"
    log = _apply(alohub, tmp_path, f"id,max_wait\n{FIRST},777\n")
    before, after = lines(log.read_text(encoding="utf-8"))
    assert (before["result"], after["result"]) == ("unknown", "done")
    assert before["fields"] == after["fields"] == {"max_wait": {"before": 60, "after": 777}}
    assert (after["id"], after["tenant"], after["tenant_id"]) == (FIRST, None, None)
    assert after["address"] == f"{alohub.sandbox.url}/"


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
def test_rollback(alohub: Alohub, tmp_path: Path, option: str) -> None:
    """The values from before all changes are restored, once."""
    first, second, _ = _ids(alohub)
    alohub.sandbox.queues[0].update(strategy=1, nguongRanhRoi="0")
    before = json.dumps(alohub.sandbox.queues)
    _apply(alohub, tmp_path, f"id,max_wait,strategy,announce_position\n{first},777,VIP,yes\n{second},778,,\n")
    log = _apply(alohub, tmp_path, f"id,max_wait\n{first},888\n")
    changed = json.dumps(alohub.sandbox.queues)
    outcome = alohub(*ROLLBACK, str(log), option)
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    assert "max_wait: 888 s -> " in outcome.out
    assert "strategy: VIP -> NORMAL" in outcome.out
    assert json.dumps(alohub.sandbox.queues) == (before if option == "--yes" else changed)
    if option == "--yes":
        again = alohub(*ROLLBACK, str(log), option)
        assert again.code == ExitCode.OK
        assert again.out.endswith("2 unchanged\nNothing to change.\n")


def test_changed_since(alohub: Alohub, tmp_path: Path) -> None:
    """A queue that somebody else changed is left alone; the others are restored."""
    first, second, _ = _ids(alohub)
    before = _waits(alohub.sandbox)
    log = _apply(alohub, tmp_path, f"id,max_wait\n{first},777\n{second},778\n")
    alohub.sandbox.queues[0]["timeWait"] = "5"
    outcome = alohub(*ROLLBACK, str(log), "--yes")
    assert outcome.code == ExitCode.FAILED
    assert f"queue {first} is not as expected: max_wait is 5, not 777" in outcome.out
    assert _waits(alohub.sandbox) == ["5", *before[1:]]


def test_what_was_not_written_is_not_undone(alohub: Alohub, tmp_path: Path) -> None:
    """A change that failed is not in the way of those before it."""
    first, second, _ = _ids(alohub)
    before = _waits(alohub.sandbox)
    _apply(alohub, tmp_path, f"id,max_wait\n{first},777\n")
    alohub.sandbox.fail(status=400, method="PUT", path=f"/v1/queues/inbound/{first}")
    log = _apply(alohub, tmp_path, f"id,max_wait\n{first},888\n{second},888\n", ExitCode.FAILED)
    assert alohub(*ROLLBACK, str(log), "--yes").code == ExitCode.OK
    assert _waits(alohub.sandbox) == before


@pytest.mark.parametrize("cut", [1, 40, "nearly all"])
def test_a_crash(alohub: Alohub, tmp_path: Path, cut: int | str) -> None:
    """A change without a result in the log is undone if it was made; the log can be continued."""
    before = _waits(alohub.sandbox)
    log = _apply(alohub, tmp_path, f"id,max_wait\n{FIRST},777\n")
    noted, result = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(noted + (result[:-cut] if isinstance(cut, int) else result[:3]))
    assert alohub(*ROLLBACK, str(log), "--yes").code == ExitCode.OK
    assert _waits(alohub.sandbox) == before
    assert alohub(*ROLLBACK, str(log), "--yes").out.endswith("1 unchanged\nNothing to change.\n")


def test_no_value_before(alohub: Alohub, tmp_path: Path) -> None:
    """Null cannot be restored, and the message says so."""
    alohub.sandbox.queues[0]["musicinQueue"] = None
    log = _apply(alohub, tmp_path, f"id,music_on_hold\n{FIRST},a.wav\n")
    outcome = alohub(*ROLLBACK, str(log), "--yes")
    assert outcome.code == ExitCode.FAILED
    assert "cannot be as before: music_on_hold: it cannot be set to null" in outcome.out


@pytest.mark.parametrize("form", ["table", "json"])
def test_one_field_had_no_value_before(alohub: Alohub, tmp_path: Path, form: str) -> None:
    """The other fields are restored, once; each time the message says which one is not, and why."""
    alohub.sandbox.queues[0].update(musicinQueue=None, timeWait="60")
    log = _apply(alohub, tmp_path, f"id,music_on_hold,max_wait\n{FIRST},a.wav,777\n")
    outcomes = [alohub(*ROLLBACK, str(log), how, "--output", form) for how in ("--dry-run", "--yes", "--yes")]
    for outcome in outcomes:
        assert outcome.code == ExitCode.FAILED
        assert "cannot be as before: music_on_hold: it cannot be set to null" in outcome.out
    assert (alohub.sandbox.queues[0]["timeWait"], alohub.sandbox.queues[0]["musicinQueue"]) == ("60", "a.wav")
    assert len(alohub.sandbox.requests.of(method="PUT")) == 2
    if form == "json":
        done, failed = sorted(outcomes[1].json, key=lambda row: row["result"])
        assert (done["result"], done["fields"]) == ("done", {"max_wait": {"before": 777, "after": 60}})
        assert (failed["result"], failed["fields"]) == ("failed", {"music_on_hold": {"before": "a.wav", "after": None}})


def test_another_tenant(alohub: Alohub, tmp_path: Path) -> None:
    """Its changes are left alone."""
    log = _apply(alohub, tmp_path, f"id,max_wait\n{FIRST},777\n")
    alohub.sandbox.clear()
    outcome = alohub(*ROLLBACK, str(log), "--yes", "--tenant-id", "other")
    assert (outcome.code, outcome.err) == (
        ExitCode.FAILED,
        f"alohub: 1 change of other tenants or addresses left alone: - at {alohub.sandbox.url}/\n",
    )
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize(
    "text",
    ["my notes\n", "[]\n", "{}\n", '{"time": 1, "fields": {"name": {"before": 1, "after": 2}}}\n', "\xff\n", "\n"],
)
def test_a_file_that_is_no_log(alohub: Alohub, tmp_path: Path, text: str) -> None:
    """It is neither read nor appended to, and nothing is sent."""
    log, file = tmp_path / "a.log", tmp_path / "a.csv"
    log.write_text(text, encoding="latin-1")
    file.write_text(f"id,max_wait\n{FIRST},777\n", encoding="utf-8")
    for words in ((*ROLLBACK, str(log)), (*APPLY, str(file), "--log", str(log))):
        assert "line 1: not a line of a log of changes" in alohub(*words, "--yes").error
    assert log.read_text(encoding="latin-1") == text
    assert alohub.sandbox.requests == []


def test_a_log_that_cannot_be_written(alohub: Alohub, tmp_path: Path) -> None:
    """Nothing is sent without it."""
    file = tmp_path / "a.csv"
    file.write_text(f"id,max_wait\n{FIRST},777\n", encoding="utf-8")
    outcome = alohub(*APPLY, str(file), "--yes", "--log", str(tmp_path / "none" / "a.log"))
    assert "folder" in outcome.error
    assert "does not exist" in outcome.error
    assert alohub.sandbox.requests == []


def test_tenants(command: Alohub, tmp_path: Path) -> None:
    """One log has the changes of all tenants, and of one alone; each is undone where it was made."""
    wanted = tmp_path / "wanted"
    before = command("queues", "list", *TENANTS, "--output", "jsonl").out
    for queue in {queue["tenant"]: queue for queue in lines(before)}.values():
        folder = wanted / f"tenant={queue['tenant']}"
        folder.mkdir(parents=True)
        (folder / "changes.csv").write_text(f"id,max_wait\n{queue['id']},777\n", encoding="utf-8")
    assert command(*APPLY, str(wanted), *TENANTS, "--yes", "--log", "a.log").code == ExitCode.OK
    assert command("queues", "list", *TENANTS, "--output", "jsonl").out.count("777") == 3
    one = command(*ROLLBACK, "a.log", *TENANTS, "--tenant", "a", "--yes")
    assert one.err.startswith("alohub: 2 changes of other tenants or addresses left alone: b at ")
    outcome = command(*ROLLBACK, "a.log", *TENANTS, "--yes")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    after = command("queues", "list", *TENANTS, "--output", "jsonl").out
    assert sorted(after.splitlines()) == sorted(before.splitlines())


def test_an_update(alohub: Alohub, tmp_path: Path) -> None:
    """It is logged like applied changes, and undone like them; a dry run and an unchanged queue are not logged."""
    alohub.sandbox.queues[0]["timeWait"] = "60"
    log = tmp_path / "a.log"
    update = ("queues", "update", str(FIRST), "--log", str(log), "--max-wait")
    assert alohub(*update, "90", "--dry-run").code == alohub(*update, "60").code == ExitCode.OK
    assert not log.exists()
    assert alohub(*update, "90").code == ExitCode.OK
    assert [line["result"] for line in lines(log.read_text(encoding="utf-8"))] == ["unknown", "done"]
    assert alohub(*ROLLBACK, str(log), "--yes").code == ExitCode.OK
    assert alohub.sandbox.queues[0]["timeWait"] == "60"


def test_an_update_of_unknown_result(alohub: Alohub, tmp_path: Path) -> None:
    """It is undone if it was made."""
    alohub.sandbox.queues[0]["timeWait"] = "60"
    log = tmp_path / "a.log"
    alohub.sandbox.fail(status=400, method="PUT")
    assert alohub("queues", "update", str(FIRST), "--log", str(log), "--max-wait", "90").code != ExitCode.OK
    assert [line["result"] for line in lines(log.read_text(encoding="utf-8"))] == ["unknown"]
    alohub.sandbox.queues[0]["timeWait"] = "90"
    assert alohub(*ROLLBACK, str(log), "--yes").code == ExitCode.OK
    assert alohub.sandbox.queues[0]["timeWait"] == "60"
