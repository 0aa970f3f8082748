"""How the command ends: exit codes, and one line that tells why."""

import errno
import socket

import pytest

from alohub_async import AlohubClient
from alohub_async.cli.app import run
from alohub_async.cli.errors import EXIT_CODES, ExitCode, describe
from alohub_async.testing import Delay, DropConnection, EmptyBody, Failure, Fault, HtmlPage, Status
from tests.cli.command import Alohub

GET = ("queues", "get", "1001226", "--retries", "0")
SHORT = 0.3


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (Status(400), ExitCode.USAGE, "INVALID_INPUT: Sai input"),
        (Status(401), ExitCode.DENIED, "ALOHUB_API_KEY"),
        (Status(403), ExitCode.DENIED, "scope 'queue'"),
        (Status(404), ExitCode.NOT_FOUND, "NOT_FOUND: Không tìm thấy"),
        (Status(429, retry_after="3600"), ExitCode.OUT_OF_TIME, "RATE_LIMIT_EXCEEDED"),
        (Status(500), ExitCode.FAILED, "HTTP 500"),
        (Failure(error_message="Thao tác\nthất bại\x1b[2J"), ExitCode.FAILED, "Thao tác thất bại�[2J"),
        (HtmlPage(502), ExitCode.FAILED, "HTTP 502"),
        (EmptyBody(), ExitCode.FAILED, "GET /v1/queues/inbound/1001226"),
        (DropConnection(), ExitCode.FAILED, "connection was lost"),
    ],
)
@pytest.mark.parametrize("command", [GET, ("queues", "list", "--retries", "0")])
def test_failures_of_the_api(alohub: Alohub, command: tuple[str, ...], fault: Fault, code: ExitCode, told: str) -> None:
    """Each kind of failure has its exit code and one line that says what the API said."""
    alohub.sandbox.fail(fault)
    outcome = alohub(*command)
    assert outcome.code == code
    if command is GET or "GET" not in told:
        assert told in outcome.error


@pytest.mark.parametrize("command", [("list",), ("get", "1001226"), ("update", "1001226", "--max-wait", "1")])
def test_a_wrong_key(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """A wrong key is told without being shown."""
    monkeypatch.setenv("ALOHUB_API_KEY", "sk_live_wrong")
    outcome = alohub("queues", *command)
    assert outcome.code == ExitCode.DENIED
    assert "UNAUTHORIZED" in outcome.error
    assert "wrong" not in outcome.error


def test_another_tenants_queue(alohub: Alohub) -> None:
    """Another tenant's queue is not found."""
    outcome = alohub("queues", "get", str(alohub.sandbox.foreign_queue_id))
    assert outcome.code == ExitCode.NOT_FOUND
    assert outcome.error


def test_nobody_listens(alohub: Alohub) -> None:
    """A wrong address ends in one line that names the host."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = alohub(*GET, "--base-url", f"http://127.0.0.1:{port}")
    assert outcome.code == ExitCode.FAILED
    assert "127.0.0.1" in outcome.error


@pytest.mark.parametrize("command", [GET, ("queues", "list"), ("queues", "update", "1001226", "--max-wait", "5")])
def test_the_deadline(alohub: Alohub, command: tuple[str, ...]) -> None:
    """`--deadline` ends each command in time."""
    alohub.sandbox.fail(Delay(30))
    outcome = alohub(*command, "--deadline", str(SHORT))
    assert outcome.code == ExitCode.OUT_OF_TIME
    assert "deadline of 0.30 s" in outcome.error


def test_the_deadline_is_the_whole_walks(alohub: Alohub) -> None:
    """`list --deadline` counts all pages together."""
    alohub.sandbox.latency = SHORT * 0.7
    outcome = alohub("queues", "list", "--page-size", "5", "--deadline", str(SHORT))
    assert outcome.code == ExitCode.OUT_OF_TIME
    assert outcome.error
    assert [request.page for request in alohub.sandbox.requests.of(status=200)] == [0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nope",),
        ("nope",),
        ("queues",),
        ("queues", "nope"),
        ("queues", "get"),
        ("queues", "get", "1", "2"),
        ("queues", "list", "--page-size", "0"),
        ("queues", "list", "--page-size", "x"),
        ("queues", "list", "--deadline", "0"),
        ("queues", "list", "--deadline", "nan"),
        ("queues", "list", "--retries", "-1"),
        ("queues", "list", "--env", "staging"),
        ("queues", "list", "--base-url", "ftp://127.0.0.1"),
        ("queues", "list", "--tenant-id", "ế"),
        ("sandbox", "--port", "70000"),
        ("sandbox", "--window", "0"),
        ("sandbox", "--window", "nan"),
        ("sandbox", "--window-kind", "round"),
        ("sandbox", "--queues", "-1"),
    ],
)
def test_usage(alohub: Alohub, arguments: tuple[str, ...]) -> None:
    """Wrong usage ends in one line, before anything is sent."""
    outcome = alohub(*arguments)
    assert outcome.code == ExitCode.USAGE
    assert outcome.error
    assert alohub.sandbox.requests == []


def test_usage_errors_say_where_help_is(alohub: Alohub) -> None:
    """An error of usage names the command whose help to read."""
    assert alohub("queues", "get").error.endswith("; see alohub queues get --help")


def test_a_key_as_an_option_is_not_repeated(alohub: Alohub) -> None:
    """A key that was given where none belongs is not shown."""
    for arguments in (("--api-key=sk_live_abc",), ("queues", "update", "1", "--strategy", "sk_live_abc")):
        assert "sk_live_abc" not in alohub(*arguments).error


def test_interrupted(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command without a word of its own."""
    monkeypatch.setattr(AlohubClient, "__aenter__", _raising(KeyboardInterrupt()))
    outcome = alohub(*GET)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (ExitCode.INTERRUPTED, "", "")


def test_a_bug(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Even what nobody thought of is one line; with `--verbose` a traceback, too."""
    monkeypatch.setattr(AlohubClient, "__aenter__", _raising(ZeroDivisionError("oops sk_live_abc")))
    outcome = alohub(*GET)
    assert outcome.code == ExitCode.FAILED
    assert "ZeroDivisionError: oops ***" in outcome.error
    assert run((*GET, "--verbose")) == ExitCode.FAILED
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "sk_live_abc" not in told


def test_the_system_says_no() -> None:
    """An error of the operating system is told in its own words."""
    assert describe(OSError(errno.ENOSPC, "No space left")) == (ExitCode.FAILED, "No space left")
    assert describe(OSError("odd")) == (ExitCode.FAILED, "odd")


def test_every_exit_code_is_documented(alohub: Alohub) -> None:
    """`alohub --help` lists each exit code."""
    told = alohub("--help").out
    for code in ExitCode:
        assert f"{int(code):>3}  {EXIT_CODES[code]}" in told


def _raising(error: BaseException) -> object:
    async def fail(_: object) -> None:
        raise error

    return fail
