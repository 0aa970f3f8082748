"""The command as a whole: help, version, `alohub sandbox`, and what only shows in a process of its own."""

import asyncio
import errno
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

import alohub_async.cli
from alohub_async import __version__
from alohub_async.cli.app import app
from alohub_async.cli.errors import ExitCode
from alohub_async.cli.sandbox import Kind
from alohub_async.testing import Delay, Sandbox, WindowKind
from tests.cli.command import Alohub, Process

PATIENCE = 10
FULL = Path("/dev/full")


def _commands(path: tuple[str, ...] = (), command: Any = None) -> Iterator[tuple[str, ...]]:
    """Every command there is, by the words that call it."""
    found: Any = get_command(app) if command is None else command
    yield path
    for name, inner in getattr(found, "commands", {}).items():
        yield from _commands((*path, name), inner)


COMMANDS = [*_commands()]


class _NoReader:
    """A stdout whose reader has gone away."""

    encoding = "utf-8"

    @property
    def buffer(self) -> "_NoReader":
        return self

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError("no file")

    def write(self, what: str | bytes) -> int:
        if what:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return 0

    def flush(self) -> None:
        pass


def _python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=PATIENCE, check=False
    )


# Help


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(alohub: Alohub, command: tuple[str, ...], option: str) -> None:
    """Each command of the tree has help with an example, readable at 80 columns."""
    outcome = alohub(*command, option)
    assert outcome.code == 0
    assert f"Example: alohub {' '.join(command)}".rstrip() in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_the_tree_is_walked() -> None:
    """So that no command is left out above."""
    assert {(), ("queues",), ("queues", "list"), ("queues", "apply"), ("sandbox",)} <= {*COMMANDS}


def test_no_command(alohub: Alohub) -> None:
    """Without a command the help goes to stderr, and the exit code is that of wrong usage."""
    outcome = alohub()
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, "")
    assert "Exit codes:" in outcome.err


def test_version(alohub: Alohub) -> None:
    """`--version` is the SDK's."""
    assert alohub("--version").out == f"alohub {__version__}\n"


def test_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry point takes the process's arguments and exits with the code."""
    monkeypatch.setattr(sys, "argv", ["alohub", "nope"])
    with pytest.raises(SystemExit) as exit_info:
        alohub_async.cli.main()
    assert exit_info.value.code == ExitCode.USAGE
    assert "No such command 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_the_extra_is_missing(library: str) -> None:
    """Without the extra, one line says how to install it."""
    ended = _python(f"import sys; sys.modules[{library!r}] = None; import alohub_async.cli as cli; cli.main()")
    assert ended.returncode == ExitCode.NOT_INSTALLED
    assert ended.stderr.endswith("pip install 'alohub-async[cli]'\n")
    assert ended.stderr.count("\n") == 1


def test_another_module_is_missing() -> None:
    """That something else is missing is not taken for that."""
    ended = _python("import sys; sys.modules['attrs'] = None; import alohub_async.cli as cli; cli.main()")
    assert "ModuleNotFoundError" in ended.stderr


def test_the_library_does_not_import_the_command() -> None:
    """The whole of `alohub_async` imports neither the command nor what it is made of, nor the sandbox."""
    imported = _python("import sys; from alohub_async import *; print(*sys.modules)").stdout.split()
    assert "alohub_async.client" in imported
    for name in ("typer", "rich", "alohub_async.cli", "alohub_async.testing", "aiohttp.web"):
        assert name not in imported


def test_completion(start: Callable[..., Process]) -> None:
    """Shells can complete commands and the names of strategies."""
    words = {"_TYPER_COMPLETE_ARGS": "alohub queues update 1 --strategy V", "COMP_CWORD": "5"}
    process = start(_ALOHUB_COMPLETE="complete_bash", COMP_WORDS="alohub queues update 1 --strategy V", **words)
    assert process.communicate(timeout=PATIENCE)[0].split() == ["VIP"]


# Streams and signals


def test_the_reader_goes_away(start: Callable[..., Process], serve: Callable[..., Sandbox]) -> None:
    """`| head` ends the command without a word."""
    sandbox = serve(queues=3000, tenant_limit=None, route_limit=None)
    process = start("queues", "list", "--jsonl", ALOHUB_BASE_URL=str(sandbox.url), ALOHUB_API_KEY=sandbox.api_key)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith('{"id": 1001226,')
    process.stdout.close()
    assert process.wait(PATIENCE) == ExitCode.OUTPUT_CLOSED
    assert process.stderr.read() == ""
    assert len(sandbox.requests) < 30


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_pipe_without_a_reader(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]) -> None:
    """A write that finds no reader ends the command without a word, whatever is written."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", _NoReader())
        outcome = alohub("queues", "list", *form)
    assert (outcome.code, outcome.out, outcome.err) == (ExitCode.OUTPUT_CLOSED, "", "")


@pytest.mark.skipif(not FULL.exists(), reason="needs a full disk")
def test_the_disk_is_full() -> None:
    """Output that cannot be written is told in one line."""
    with FULL.open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "alohub_async.cli", "queues", "list", "--sandbox"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ended.returncode == ExitCode.FAILED
    assert ended.stderr.endswith("No space left on device\n")
    assert ended.stderr.count("\n") == 1


def test_a_terminal_that_knows_no_vietnamese(start: Callable[..., Process]) -> None:
    """A table is written whatever the terminal's encoding is."""
    out, err = start("queues", "list", "--sandbox", PYTHONIOENCODING="ascii").communicate(timeout=PATIENCE)
    assert "1001226" in out
    assert err == ""


def test_json_is_utf8(start: Callable[..., Process]) -> None:
    """JSON is UTF-8 whatever the terminal's encoding is."""
    process = start("queues", "get", "1001226", "--json", "--sandbox", PYTHONIOENCODING="ascii")
    assert "Đặt bàn nhà hàng" in process.communicate(timeout=PATIENCE)[0]


def test_interrupted_while_waiting(start: Callable[..., Process], sandbox: Sandbox) -> None:
    """Ctrl-C during a request ends the command at once and quietly."""
    sandbox.fail(Delay(30))
    process = start("queues", "list", ALOHUB_BASE_URL=str(sandbox.url), ALOHUB_API_KEY=sandbox.api_key)
    _until(lambda: bool(sandbox.requests))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.INTERRUPTED
    assert (out, err.strip()) == ("", "")


def test_the_prompt_hides_the_key(sandbox: Sandbox) -> None:
    """On a terminal the key is asked for, and not echoed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "alohub_async.cli", "queues", "get", "1001226"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "ALOHUB_BASE_URL": str(sandbox.url)},
    )
    os.close(theirs)
    shown = b""
    while b"key: " not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, sandbox.api_key.encode() + b"\n")
    out = process.communicate(timeout=PATIENCE)[0]
    with suppress(OSError):  # Linux, once the other side is closed
        shown += os.read(ours, 1000)
    os.close(ours)
    assert process.returncode == 0
    assert b"1001226" in out
    assert sandbox.api_key.encode() not in shown + out


# alohub sandbox


def test_sandbox(start: Callable[..., Process]) -> None:
    """`alohub sandbox` prints what to export, serves just that, and ends well on Ctrl-C."""
    process = start("sandbox", "--port", "0", "--queues", "7", "--tenant-limit", "40", "--route-limit", "30")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    told = dict(word.split("=") for word in lines[-1].removeprefix("export ").split())
    assert f"listens on {told['ALOHUB_BASE_URL']} with 7 queues" in lines[0]
    assert "40 for the tenant, 30 for each route" in lines[1]
    listing = start("queues", "list", "--json", **told)
    assert listing.communicate(timeout=PATIENCE)[0].count('"id":') == 7
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0


def test_sandbox_settings(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option of `alohub sandbox` reaches the sandbox; SIGTERM ends it, too."""
    made: list[Sandbox] = []
    _stop_at_once(monkeypatch, made, signal.SIGTERM)
    options = "--port 0 --queues 3 --seed 5 --latency 0.25 --page-size-cap 9 --no-limits --window 2.5"
    outcome = alohub("sandbox", *options.split(), "--window-kind", "sliding-log", "--count-denied")
    assert outcome.code == 0
    (sandbox,) = made
    assert (len(sandbox.queues), sandbox.seed, sandbox.latency, sandbox.page_size_cap) == (3, 5, 0.25, 9)
    assert (sandbox.tenant_limit, sandbox.route_limit) == (None, None)
    assert (sandbox.window, sandbox.window_kind, sandbox.count_denied) == (2.5, "sliding-log", True)


def test_the_port_is_taken(alohub: Alohub) -> None:
    """A port in use is one line that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = alohub("sandbox", "--port", str(taken.getsockname()[1]))
    assert outcome.code == ExitCode.FAILED
    assert "in use; choose another with --port" in outcome.error


def test_no_such_address(alohub: Alohub) -> None:
    """An address that is not this machine's is one line."""
    outcome = alohub("sandbox", "--host", "192.0.2.1")
    assert outcome.code == ExitCode.FAILED
    assert "cannot listen on 192.0.2.1" in outcome.error


def test_window_kinds() -> None:
    """The kinds of window the command knows are those of the sandbox."""
    assert [kind.value for kind in Kind] == list(get_args(WindowKind))


def _stop_at_once(monkeypatch: pytest.MonkeyPatch, made: list[Sandbox], number: signal.Signals) -> None:
    start = Sandbox.start

    async def start_and_stop(sandbox: Sandbox) -> None:
        await start(sandbox)
        made.append(sandbox)
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, number)

    monkeypatch.setattr(Sandbox, "start", start_and_stop)


def _until(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.01)
