"""Standard streams that are missing, closed, or without a reader."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import alohub_async.cli
from alohub_async.cli.app import run
from alohub_async.cli.errors import ExitCode
from alohub_async.files import write_queues
from alohub_async.models import InboundQueue
from alohub_async.testing import Sandbox

STREAMS = ("stdin", "stdout", "stderr")
REDIRECTIONS = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 >&-")


@pytest.fixture(name="cases")
def _cases(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], int]:
    """Command lines with their exit codes."""
    monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
    monkeypatch.setenv("ALOHUB_API_KEY", sandbox.api_key)
    a, b, changes = (str(tmp_path / name) for name in ("a.jsonl", "b.jsonl", "changes.csv"))
    write_queues(Path(a), [InboundQueue(id=1, name="a")])
    write_queues(Path(b), [InboundQueue(id=1, name="b")])
    Path(changes).write_text("id,max_wait\n1001226,77\n", encoding="utf-8")
    return {
        ("--version",): 0,
        ("--help",): 0,
        (): 2,
        ("nope",): 2,
        ("queues", "list"): 0,
        ("queues", "list", "--output", "json"): 0,
        ("queues", "list", "--output", "jsonl", "--verbose"): 0,
        ("queues", "get", "999"): ExitCode.NOT_FOUND,
        ("queues", "get", "1001226", "--deadline", "0.000001"): ExitCode.TIMED_OUT,
        ("queues", "diff", a, a): 0,
        ("queues", "diff", a, b): 1,
        ("queues", "diff", a, "none.jsonl"): 2,
        ("queues", "audit", "--fail-on", "info"): 1,
        ("queues", "apply", changes): ExitCode.USAGE,
        ("queues", "export", str(tmp_path / "queues.jsonl")): 0,
    }


@pytest.mark.parametrize("missing", [("stdin",), ("stdout",), ("stderr",), STREAMS])
def test_missing_streams(
    cases: dict[tuple[str, ...], int], monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    """Each command has the exit code that it has with them, and the streams are as they were afterwards."""
    for arguments, code in cases.items():
        with monkeypatch.context() as patched:
            for name in missing:
                patched.setattr(sys, name, None)
            assert (arguments, run(arguments)) == (arguments, code)
            assert all(getattr(sys, name) is None for name in missing)


@pytest.mark.parametrize("missing", STREAMS)
def test_a_missing_key_without_streams(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Nobody can be asked for a key: it is missing."""
    monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
    monkeypatch.setattr(sys, missing, None)
    assert run(("queues", "list")) == ExitCode.DENIED


@pytest.mark.parametrize("missing", STREAMS)
def test_the_extra_is_missing_and_a_stream(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The code is that of a missing extra."""
    monkeypatch.delitem(sys.modules, "alohub_async.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.setattr(sys, missing, None)
    with pytest.raises(SystemExit) as caught:
        alohub_async.cli.main()
    assert caught.value.code == ExitCode.NOT_INSTALLED


def test_a_closed_stream_object(cases: dict[tuple[str, ...], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that was closed is as good as missing."""
    assert cases
    for name in STREAMS:
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, name, closed)
    assert run(("queues", "list")) == 0


def test_stdout_without_bytes(cases: dict[tuple[str, ...], int]) -> None:
    """JSON can be caught by a program that puts a text stream in the place of stdout."""
    assert cases
    with redirect_stdout(io.StringIO()) as caught:
        assert run(("queues", "get", "1001226", "--output", "json")) == 0
    assert '"id": 1001226' in caught.getvalue()


@pytest.mark.parametrize("redirection", REDIRECTIONS)
def test_streams_that_the_shell_closed(cases: dict[tuple[str, ...], int], redirection: str) -> None:
    """As with `alohub … >&-`: the exit code is the command's own, with and without a server."""
    commands = [[each for each in cases if each[:2] == ("queues", name)] for name in ("get", "diff")]
    for arguments in (each[REDIRECTIONS.index(redirection) % 2] for each in commands):
        shell = f'exec "$0" -m alohub_async.cli "$@" {redirection}'
        ended = subprocess.run(["/bin/sh", "-c", shell, sys.executable, *arguments], capture_output=True, check=False)  # noqa: S603
        assert (arguments, ended.returncode) == (arguments, cases[arguments])


@pytest.mark.parametrize("color", ["", "1"])
def test_stderr_without_a_reader(cases: dict[tuple[str, ...], int], tmp_path: Path, color: str) -> None:
    """Messages and progress that nobody reads change neither the work nor the exit code."""
    for arguments in (("queues", "get", "999"), ("queues", "export", str(tmp_path / "q.csv"), "--verbose")):
        reading, writing = os.pipe()
        os.close(reading)
        ended = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "alohub_async.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=writing,
            env={**os.environ, "FORCE_COLOR": color} if color else None,
            check=False,
        )
        os.close(writing)
        assert ended.returncode == cases.get(arguments, 0)
    assert (tmp_path / "q.csv").exists()
