"""Every command that needs the service, where there is none to be had: one helpful line, in time."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alohub_async.cli.errors import ExitCode
from tests.cli.command import Alohub
from tests.support import FIRST, deaf_socket

DEADLINE = 1.0
PATIENCE = 5.0

COMMANDS = {
    "list": ("list",),
    "get": ("get", str(FIRST)),
    "update": ("update", str(FIRST), "--max-wait", "1"),
    "diff": ("diff", "live", "live"),
    "apply": ("apply", "changes.csv", "--yes"),
    "export": ("export", "queues.jsonl", "--quiet"),
    "audit": ("audit",),
}
"""One of each that sends something; `changes.csv` is in the folder the tests run in."""


@pytest.fixture(name="run", params=COMMANDS)
def _run(
    request: pytest.FixtureRequest, alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs the command with these options, in time: it ends with one of these codes; returns its one line."""
    monkeypatch.chdir(tmp_path)
    Path("changes.csv").write_text(f"id,max_wait\n{FIRST},1\n", encoding="utf-8")
    command = COMMANDS[request.param]

    def run(codes: set[ExitCode], *options: str) -> str:
        began = time.monotonic()
        outcome = alohub("queues", *command, *options)
        assert time.monotonic() - began < PATIENCE
        error = outcome.error
        if request.param == "audit":  # it has but one code for whatever stopped it
            assert outcome.code == ExitCode.USAGE
        else:
            assert outcome.code in codes
        return error

    return run


def test_wrong_key(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which variable has the key, and does not show it."""
    monkeypatch.setenv("ALOHUB_API_KEY", "sk_live_wrong")
    told = run({ExitCode.DENIED})
    assert "is ALOHUB_API_KEY the key of this tenant" in told
    assert "wrong" not in told


def test_closed_port(run: Callable[..., str]) -> None:
    """It names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = run({ExitCode.FAILED}, "--base-url", f"http://127.0.0.1:{port}", "--retries", "1")
    assert f"127.0.0.1:{port}" in told


def test_no_such_host(run: Callable[..., str]) -> None:
    """It names the host; names under `.invalid` never resolve."""
    codes = {ExitCode.FAILED, ExitCode.OUT_OF_TIME}  # the resolver may be slow to say so
    told = run(codes, "--base-url", "https://alohub.invalid", "--retries", "0", "--deadline", str(DEADLINE))
    assert "alohub.invalid" in told or "deadline of 1.00 s" in told


def test_deaf_endpoint(run: Callable[..., str]) -> None:
    """It ends with the deadline."""
    with deaf_socket() as url:
        told = run({ExitCode.OUT_OF_TIME}, "--base-url", url, "--deadline", str(DEADLINE))
    assert "deadline of 1.00 s" in told
