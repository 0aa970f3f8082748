"""The command as a whole: help, version, `alohub sandbox`, and its behaviour as a separate process."""

import asyncio
import errno
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

import alohub_async.cli
from alohub_async import __version__
from alohub_async.cli.app import app
from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Delay, Sandbox, WindowKind
from tests.cli.command import PATIENCE, Alohub, Outcome, Process, answer_prompt, start_python

FULL = Path("/dev/full")


def _commands(path: tuple[str, ...] = (), command: Any = None) -> Iterator[tuple[str, ...]]:
    """Every command, by the words that call it."""
    group: Any = get_command(app) if command is None else command
    yield path
    for name, inner in getattr(group, "commands", {}).items():
        yield from _commands((*path, name), inner)


COMMANDS = [*_commands()]


class _NoReader:
    """A stdout that its reader has closed."""

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


def _python(code: str) -> Outcome:
    process = start_python("-c", code)
    out, err = process.communicate(timeout=PATIENCE)
    return Outcome(process.returncode, out, err)


# Help


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(alohub: Alohub, command: tuple[str, ...], option: str) -> None:
    """Each command has help with an example that fits into 80 columns."""
    outcome = alohub(*command, option)
    assert outcome.code == 0
    assert f"Example: alohub {' '.join(command)}".rstrip() in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_whole(alohub: Alohub, command: tuple[str, ...]) -> None:
    """Each example of the help is one line, which can be copied."""
    found: Any = get_command(app)
    for word in command:
        found = found.commands[word]
    shown = [" ".join(line.split()) for line in alohub(*command, "--help").out.splitlines()]
    examples = [" ".join(line.split()) for line in found.epilog.splitlines() if "alohub " in line]
    assert [line for line in examples if line not in shown] == []


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (("doctor",), ("--json", "--ca-file", "HTTPS_PROXY")),
        (("queues", "list"), ("--strategy", "--name", "--limit", "--columns", "--output", "--tenant ")),
        (("queues", "get"), ("--output", "-vv")),
        (("queues", "update"), ("--dry-run", "--expect", "--log")),
        (("queues", "export"), ("--excel", " - --format", "--tenants")),
        (("queues", "apply"), ("--dry-run", "--log", " - --format")),
        (("queues", "audit"), ("--agents", "--html")),
        (("sandbox",), ("--log", "--fail", "--tenants")),
    ],
)
def test_examples_have_each_option(alohub: Alohub, command: tuple[str, ...], options: tuple[str, ...]) -> None:
    """What a newcomer may look for is in an example of the help."""
    shown = alohub(*command, "--help").out
    examples = "\n".join(line for line in shown[shown.index("Example: ") :].splitlines() if "alohub " in line)
    assert [option for option in options if option not in examples] == []


def test_all_commands_are_tested() -> None:
    """The test above covers nested commands."""
    assert {(), ("queues",), ("queues", "list"), ("queues", "apply"), ("sandbox",)} <= {*COMMANDS}


def test_no_command(alohub: Alohub) -> None:
    """Without a command, the help goes to stderr and the exit code is the one of wrong usage."""
    outcome = alohub()
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, "")
    assert "Exit codes:" in outcome.err


def test_version(alohub: Alohub) -> None:
    """`--version` shows the version of the SDK."""
    assert alohub("--version").out == f"alohub {__version__}\n"


def test_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry point uses the arguments of the process and exits with the code."""
    monkeypatch.setattr(sys, "argv", ["alohub", "nope"])
    with pytest.raises(SystemExit) as exit_info:
        alohub_async.cli.main()
    assert exit_info.value.code == ExitCode.USAGE
    assert "No such command 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["typer", "rich", "platformdirs"])
def test_the_extra_is_missing(library: str) -> None:
    """Without the extra, one line explains how to install it."""
    ended = _python(f"import sys; sys.modules[{library!r}] = None; import alohub_async.cli as cli; cli.main()")
    assert ended.code == ExitCode.NOT_INSTALLED
    assert ended.err.endswith("pip install 'alohub-async[cli]'\n")
    assert ended.err.count("\n") == 1


def test_another_module_is_missing() -> None:
    """Another missing module is not reported as the missing extra."""
    ended = _python("import sys; sys.modules['attrs'] = None; import alohub_async.cli as cli; cli.main()")
    assert "ModuleNotFoundError" in ended.err


def test_the_library_does_not_import_the_command() -> None:
    """All of `alohub_async` imports neither the command and its libraries nor the sandbox."""
    imported = _python("import sys; from alohub_async import *; print(*sys.modules)").out.split()
    assert "alohub_async.client" in imported
    for name in ("typer", "rich", "alohub_async.cli", "alohub_async.testing", "aiohttp.web"):
        assert name not in imported


def test_completion(start: Callable[..., Process]) -> None:
    """Shells can complete commands and the names of strategies."""
    words = {"_TYPER_COMPLETE_ARGS": "alohub queues update 1 --strategy V", "COMP_CWORD": "5"}
    process = start(_ALOHUB_COMPLETE="complete_bash", COMP_WORDS="alohub queues update 1 --strategy V", **words)
    assert process.communicate(timeout=PATIENCE)[0].split() == ["VIP"]


# Streams and signals


def test_the_reader_closes_the_output(start: Callable[..., Process], serve: Callable[..., Sandbox]) -> None:
    """`| head` ends the command without a message."""
    sandbox = serve(queues=3000, tenant_limit=None, route_limit=None)
    process = start(
        "queues", "list", "--output", "jsonl", ALOHUB_BASE_URL=str(sandbox.url), ALOHUB_API_KEY=sandbox.api_key
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith('{"id": 1001226,')
    process.stdout.close()
    assert process.wait(PATIENCE) == ExitCode.OUTPUT_CLOSED
    assert process.stderr.read() == ""
    assert len(sandbox.requests) < 30


@pytest.mark.parametrize(
    "form",
    [
        (),
        ("--output", "json"),
    ],
)
def test_a_pipe_without_a_reader(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]) -> None:
    """A write without a reader ends the command without a message, in every format."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", _NoReader())
        outcome = alohub("queues", "list", *form)
    assert (outcome.code, outcome.out, outcome.err) == (ExitCode.OUTPUT_CLOSED, "", "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_the_disk_is_full() -> None:
    """A failed write of the output is one line."""
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
    assert ended.stderr == "alohub: cannot write the output: No space left on device\n"


def test_a_terminal_that_knows_no_vietnamese(start: Callable[..., Process]) -> None:
    """A table can be written with any encoding of the terminal."""
    out, err = start("queues", "list", "--sandbox", PYTHONIOENCODING="ascii").communicate(timeout=PATIENCE)
    assert "1001226" in out
    assert err == ""


def test_json_is_utf8(start: Callable[..., Process]) -> None:
    """JSON is UTF-8 with any encoding of the terminal."""
    process = start("queues", "get", "1001226", "--output", "json", "--sandbox", PYTHONIOENCODING="ascii")
    assert "Đặt bàn nhà hàng" in process.communicate(timeout=PATIENCE)[0]


def test_interrupted_while_waiting(start: Callable[..., Process], sandbox: Sandbox) -> None:
    """Ctrl-C during a request ends the command at once, without a message."""
    sandbox.fail(Delay(30))
    process = start("queues", "list", ALOHUB_BASE_URL=str(sandbox.url), ALOHUB_API_KEY=sandbox.api_key)
    _until(lambda: bool(sandbox.requests))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.INTERRUPTED
    assert (out, err.strip()) == ("", "")


def test_the_prompt_hides_the_key(sandbox: Sandbox) -> None:
    """On a terminal the command prompts for the key and does not echo it."""
    outcome = answer_prompt(
        *("queues", "get", "1001226"),
        prompt=b"key: ",
        answer=sandbox.api_key.encode() + b"\n",
        ALOHUB_BASE_URL=str(sandbox.url),
    )
    assert outcome.code == 0
    assert "1001226" in outcome.out
    assert sandbox.api_key not in outcome.err + outcome.out


# alohub sandbox


def test_sandbox(start: Callable[..., Process]) -> None:
    """`alohub sandbox` prints the variables to export, serves requests, and ends with code 0 on Ctrl-C."""
    process = start("sandbox", "--port", "0", "--queues", "7", "--tenant-limit", "40", "--route-limit", "30")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    exported = dict(word.split("=") for word in lines[-1].removeprefix("export ").split())
    assert f"Sandbox with 7 queues listening on {exported['ALOHUB_BASE_URL']};" in lines[0]
    assert "40 for the tenant, 30 for each route" in lines[1]
    listing = start("queues", "list", "--output", "json", **exported)
    assert listing.communicate(timeout=PATIENCE)[0].count('"id":') == 7
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0


def test_sandbox_with_tenants(start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`alohub sandbox --tenants` prints two lines to paste, which export all its tenants; it removes its files."""
    process = start("sandbox", "--port", "0", "--queues", "3", "--tenants", "12")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(10)]
    assert "Sandbox with 12 tenants, each with 3 queues, listening on" in lines[0]
    assert "100 for a tenant" in lines[1]
    assert "All 12 tenants" in lines[6]
    lines.append("alohub queues list --tenant t05\n")
    shell = "".join(lines[8:]).replace("alohub ", f"{sys.executable} -m alohub_async.cli ")
    monkeypatch.chdir(tmp_path)
    exported = start_python("-c", "import os, sys; os.execvp('sh', ['sh', '-ec', sys.argv[1]])", shell)
    assert "t12" in exported.communicate(timeout=PATIENCE)[0]
    assert len([*tmp_path.glob("out/tenant=t*/queues.parquet")]) == 12
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert not Path(lines[8].removeprefix(". ").strip()).parent.exists()


def test_sandbox_settings(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option of `alohub sandbox` reaches the sandbox; SIGTERM also ends it."""
    made: list[Sandbox] = []
    _stop_at_once(monkeypatch, made, signal.SIGTERM)
    options = "--port 0 --queues 3 --seed 5 --latency 0.25 --page-size-cap 9 --no-limits --window 2.5"
    gateway = "--burst-limit 4 --off-by-one --limit-headers-on 429 --retry-after zero"
    outcome = alohub("sandbox", *f"{options} {gateway}".split(), "--window-kind", "sliding-log", "--count-denied")
    assert outcome.code == 0
    (sandbox,) = made
    assert (len(sandbox.queues), sandbox.seed, sandbox.latency, sandbox.page_size_cap) == (3, 5, 0.25, 9)
    assert (sandbox.tenant_limit, sandbox.route_limit) == (None, None)
    assert (sandbox.window, sandbox.window_kind, sandbox.count_denied) == (2.5, "sliding-log", True)
    assert (sandbox.burst_limit, sandbox.off_by_one) == (4, True)
    assert (sandbox.limit_headers_on, sandbox.retry_after) == ("429", "zero")


def test_an_unknown_style_of_the_sandbox(alohub: Alohub) -> None:
    """The message names the option and lists what is allowed."""
    outcome = alohub("sandbox", "--retry-after", "late")
    assert outcome.code == ExitCode.USAGE
    assert "--retry-after" in outcome.error
    assert "kong" in outcome.error


def test_the_port_is_taken(alohub: Alohub) -> None:
    """For a port in use, one line explains what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = alohub("sandbox", "--port", str(taken.getsockname()[1]))
    assert outcome.code == ExitCode.FAILED
    assert "in use; choose another one with --port" in outcome.error


def test_no_such_address(alohub: Alohub) -> None:
    """For an address of another machine, the message is one line."""
    outcome = alohub("sandbox", "--host", "192.0.2.1")
    assert outcome.code == ExitCode.FAILED
    assert "cannot listen on 192.0.2.1" in outcome.error


def test_window_kinds(alohub: Alohub) -> None:
    """The command knows the same kinds of windows as the sandbox."""
    assert ", ".join(get_args(WindowKind)) in " ".join(alohub("sandbox", "--help").out.split())


def _stop_at_once(monkeypatch: pytest.MonkeyPatch, made: list[Sandbox], number: signal.Signals) -> None:
    start = Sandbox.start

    async def start_and_stop(sandbox: Sandbox) -> None:
        await start(sandbox)
        made.append(sandbox)
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, number)

    monkeypatch.setattr(Sandbox, "start", start_and_stop)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
