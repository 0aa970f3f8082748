"""Every command that needs the service, without one: a helpful message of one line, in time."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alohub_async.cli.errors import ExitCode
from tests.cli.command import Alohub
from tests.support import FIRST, deaf_socket

DEADLINE = 1.0
PATIENCE = 20.0  # a busy machine needs some seconds; without the deadline, it would be 40 s or more

COMMANDS = {
    "list": ("list",),
    "get": ("get", str(FIRST)),
    "update": ("update", str(FIRST), "--max-wait", "1"),
    "diff": ("diff", "live", "live"),
    "apply": ("apply", "changes.csv", "--yes"),
    "export": ("export", "queues.jsonl", "--quiet"),
    "audit": ("audit",),
}
"""Each command that sends requests; `changes.csv` is in the current folder of the tests."""


@pytest.fixture(name="run", params=COMMANDS)
def _run(
    request: pytest.FixtureRequest, alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs the command with options; asserts its duration and exit code, and returns its message."""
    monkeypatch.chdir(tmp_path)
    Path("changes.csv").write_text(f"id,max_wait\n{FIRST},1\n", encoding="utf-8")
    command = COMMANDS[request.param]

    def run(codes: set[ExitCode], *options: str) -> str:
        started = time.monotonic()
        outcome = alohub("queues", *command, *options)
        assert time.monotonic() - started < PATIENCE
        error = outcome.error
        if request.param in {"audit", "diff"}:  # have one exit code for all failures
            assert outcome.code == ExitCode.USAGE
        else:
            assert outcome.code in codes
        return error

    return run


def test_wrong_key(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable of the key and does not show the key."""
    monkeypatch.setenv("ALOHUB_API_KEY", "sk_live_wrong")
    message = run({ExitCode.DENIED})
    assert "is ALOHUB_API_KEY the key of this tenant" in message
    assert "wrong" not in message


def test_closed_port(run: Callable[..., str]) -> None:
    """The message names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = run({ExitCode.FAILED}, "--base-url", f"http://127.0.0.1:{port}", "--retries", "1")
    assert f"127.0.0.1:{port}" in message


def test_no_such_host(run: Callable[..., str]) -> None:
    """The message names the host; names under `.invalid` never resolve."""
    codes = {ExitCode.FAILED, ExitCode.TIMED_OUT}  # the resolver may be slow
    message = run(codes, "--base-url", "https://alohub.invalid", "--retries", "0", "--deadline", str(DEADLINE))
    assert "alohub.invalid" in message or "deadline of 1.00 s" in message


def test_deaf_endpoint(run: Callable[..., str]) -> None:
    """The command ends at the deadline."""
    with deaf_socket() as url:
        message = run({ExitCode.TIMED_OUT}, "--base-url", url, "--deadline", str(DEADLINE))
    assert "deadline of 1.00 s" in message
