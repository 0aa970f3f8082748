"""Running the command in tests."""

import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, Final, TypeAlias

import pytest
from attrs import frozen

from alohub_async.cli.app import run
from alohub_async.codec.converter import converter_for
from alohub_async.models import InboundQueue
from alohub_async.testing import Delay, Sandbox, WireQueue

Process: TypeAlias = Popen[str]

PATIENCE: Final = 60
"""Seconds until a test stops waiting for a process."""

QUEUES: Final = 9
"""Queues of each tenant of the fixture `fleet`."""

TENANTS: Final = ("--tenants", "tenants.toml")
"""The tenants of the fixture `fleet`."""

HOSTILE: Final = "<b>\x1b[2J\x00\u202e"
"""The name of all their queues."""

# Ctrl-C only reaches a process through its controlling terminal.
_IN_TERMINAL: Final = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "from alohub_async.cli.app import run; sys.exit(run())"
)

# After each command line its exit code.
_ONE_BY_ONE: Final = (
    "import json, os, sys; os.dup2(0, 1); from alohub_async.cli.app import run\n"
    "for words in json.loads(sys.argv[1]): print(end=f'\\x1d{run(words)}\\x1e', flush=True)"
)


@frozen
class Outcome:
    """The outcome of one command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, decoded as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The message on stderr; asserts that it is one line and that stdout is empty."""
        assert self.out == ""
        assert self.err.startswith("alohub: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("alohub: ").rstrip("\n")


@frozen
class Alohub:
    """Runs command lines in this process."""

    sandbox: Sandbox
    _capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Outcome:
        """Run one command line; asserts that the output has neither the key nor a traceback."""
        code = run(arguments)
        out, err = self._capsys.readouterr()
        assert self.sandbox.api_key not in out + err
        assert "Traceback" not in err
        return Outcome(code, out, err)


def records(queues: Sequence[WireQueue]) -> list[dict[str, Any]]:
    """The JSON objects that the command writes for these queues."""
    converter = converter_for(strict=False)
    objects: list[dict[str, Any]] = [
        converter.unstructure(converter.structure(dict(queue), InboundQueue)) for queue in queues
    ]
    return objects


def start_python(*arguments: str, environment: Mapping[str, str] | None = None, terminal: int | None = None) -> Process:
    """Start Python in another process.

    Args:
        arguments: Its command line.
        environment: Environment variables, in addition to those of this process.
        terminal: File descriptor of a terminal for stdin and stderr; without one, stderr is a pipe.
    """
    return Popen(  # noqa: S603 (our own code)
        [sys.executable, *arguments],
        stdin=DEVNULL if terminal is None else terminal,
        stdout=PIPE,
        stderr=PIPE if terminal is None else terminal,
        start_new_session=terminal is not None,
        text=True,
        encoding="utf-8",
        env={**os.environ, **(environment or {})},
    )


def answer_prompt(*arguments: str, prompt: bytes, answer: bytes, **environment: str) -> Outcome:
    """Run the command on a terminal and answer its prompt; `err` of the outcome is the text on the terminal."""
    ours, theirs = pty.openpty()
    process = start_python("-c", _IN_TERMINAL, *arguments, environment=environment, terminal=theirs)
    os.close(theirs)
    shown = b""
    try:
        while prompt not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, answer)
        out = process.communicate(timeout=PATIENCE)[0]
    finally:
        process.kill()
        process.wait()
    with suppress(OSError):  # raised on Linux once the other end is closed
        shown += os.read(ours, 1000)
    os.close(ours)
    return Outcome(process.returncode, out, shown.decode(errors="replace"))


def on_terminal(*command_lines: Sequence[str], columns: int = 80, **environment: str) -> list[Outcome]:
    """Run command lines, one after another, on a terminal of that width; `out` has all that is shown on it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = start_python(
        "-c", _ONE_BY_ONE, json.dumps(command_lines), environment={"TERM": "xterm", **environment}, terminal=theirs
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # raised on Linux once the other end is closed
        while more := os.read(ours, 65_536):
            shown += more
    os.close(ours)
    process.communicate(timeout=PATIENCE)
    parts = [part.split("\x1d") for part in shown.decode().split("\x1e")[:-1]]
    return [Outcome(int(code), out.replace("\r\n", "\n"), "") for out, code in parts]


def interrupt(sandbox: Sandbox, *, page: int) -> None:
    """Press Ctrl-C when a page is requested."""
    sandbox.fail(Delay(PATIENCE), page=page, next=1)
    threading.Thread(target=_press_when, args=(sandbox, page), daemon=True).start()


def _press_when(sandbox: Sandbox, page: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not sandbox.requests.of(page=page) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)


def lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects, one in each line."""
    return [json.loads(line) for line in text.splitlines()]
