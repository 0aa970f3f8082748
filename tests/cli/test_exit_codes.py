"""Exit codes, and messages of one line."""

import errno
import socket
from pathlib import Path

import pytest

from alohub_async import AlohubClient
from alohub_async.cli.app import run
from alohub_async.cli.errors import ExitCode, describe
from alohub_async.files import write_queues
from alohub_async.models import InboundQueue
from alohub_async.testing import Delay, DropConnection, EmptyBody, Failure, Fault, HtmlPage, Status
from tests.cli.command import Alohub

GET = ("queues", "get", "1001226", "--retries", "0")
SHORT = 0.3


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (Status(400), ExitCode.USAGE, "INVALID_INPUT: Sai input"),
        (Status(401), ExitCode.DENIED, "ALOHUB_API_KEY"),
        (Status(403), ExitCode.DENIED, "scope 'queue'"),
        (Status(404), ExitCode.NOT_FOUND, "NOT_FOUND: Không tìm thấy; check the id, the tenant and the address"),
        (Status(429, retry_after="3600"), ExitCode.TIMED_OUT, "RATE_LIMIT_EXCEEDED"),
        (Status(500), ExitCode.FAILED, "HTTP 500"),
        (Failure(error_message="Thao tác\nthất bại\x1b[2J"), ExitCode.FAILED, "Thao tác thất bại�[2J"),
        (HtmlPage(502), ExitCode.FAILED, "HTTP 502"),
        (EmptyBody(), ExitCode.FAILED, "GET /v1/queues/inbound/1001226"),
        (DropConnection(), ExitCode.FAILED, "connection was lost"),
    ],
)
@pytest.mark.parametrize("command", [GET, ("queues", "list", "--retries", "0")])
def test_failures_of_the_api(
    alohub: Alohub, command: tuple[str, ...], fault: Fault, code: ExitCode, message: str
) -> None:
    """Each kind of failure has its exit code, and its message has the answer of the API."""
    alohub.sandbox.fail(fault)
    outcome = alohub(*command)
    assert outcome.code == code
    if command is GET or "GET" not in message:
        assert message in outcome.error


@pytest.mark.parametrize("command", [("list",), ("get", "1001226"), ("update", "1001226", "--max-wait", "1")])
def test_a_wrong_key(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """The message about a wrong key does not show the key."""
    monkeypatch.setenv("ALOHUB_API_KEY", "sk_live_wrong")
    outcome = alohub("queues", *command)
    assert outcome.code == ExitCode.DENIED
    assert "UNAUTHORIZED" in outcome.error
    assert "wrong" not in outcome.error


def test_queue_of_another_tenant(alohub: Alohub) -> None:
    """A queue of another tenant is not found."""
    outcome = alohub("queues", "get", str(alohub.sandbox.foreign_queue_id))
    assert outcome.code == ExitCode.NOT_FOUND
    assert outcome.error


def test_no_server(alohub: Alohub) -> None:
    """For a wrong URL, the message names the host."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = alohub(*GET, "--base-url", f"http://127.0.0.1:{port}")
    assert outcome.code == ExitCode.FAILED
    assert "127.0.0.1" in outcome.error


@pytest.mark.parametrize("command", [GET, ("queues", "list"), ("queues", "update", "1001226", "--max-wait", "5")])
def test_the_deadline(alohub: Alohub, command: tuple[str, ...]) -> None:
    """`--deadline` limits the time of each command."""
    alohub.sandbox.fail(Delay(30))
    outcome = alohub(*command, "--deadline", str(SHORT))
    assert outcome.code == ExitCode.TIMED_OUT
    assert "deadline of 0.30 s" in outcome.error


def test_the_deadline_covers_the_whole_walk(alohub: Alohub) -> None:
    """`list --deadline` covers all pages together."""
    alohub.sandbox.latency = SHORT * 0.7
    outcome = alohub("queues", "list", "--page-size", "5", "--deadline", str(SHORT))
    assert outcome.code == ExitCode.TIMED_OUT
    assert outcome.error
    assert {request.page for request in alohub.sandbox.requests.of(status=200)} <= {0}


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
    """Wrong usage is reported in one line, before anything is sent."""
    outcome = alohub(*arguments)
    assert outcome.code == ExitCode.USAGE
    assert outcome.error
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("queues", "list", "--page-size", "0"), "--page-size must be an int from 1 to 10000; 0 was given"),
        (("queues", "list", "--deadline", "0"), "--deadline must be a number of seconds above 0; 0.0 was given"),
        (("queues", "list", "--retries", "-1"), "--retries must be"),
        (("queues", "export", "queues.csv", "--prefetch", "-1"), "--prefetch must be"),
        (("queues", "update", "1", "--music-on-hold", "a/b"), "--music-on-hold must be a plain file name"),
    ],
)
def test_usage_errors_name_the_option(alohub: Alohub, arguments: tuple[str, ...], message: str) -> None:
    """They do not name the argument of Python."""
    assert alohub(*arguments).error.startswith(message)


def test_usage_errors_point_to_the_help(alohub: Alohub) -> None:
    """A usage error names the command whose help explains it."""
    assert alohub("queues", "get").error.endswith("; see alohub queues get --help")
    # A newer Typer asks "Did you mean 'list'?" before it.
    assert alohub("queues", "lsit").error.lower().endswith(" see alohub queues --help")


def test_a_key_as_an_option_is_not_repeated(alohub: Alohub) -> None:
    """A key that was given by mistake is not shown."""
    for arguments in (("--api-key=sk_live_abc",), ("queues", "update", "1", "--strategy", "sk_live_abc")):
        assert "sk_live_abc" not in alohub(*arguments).error


def test_interrupted(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command without a message."""
    monkeypatch.setattr(AlohubClient, "__aenter__", _raising(KeyboardInterrupt()))
    outcome = alohub(*GET)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (ExitCode.INTERRUPTED, "", "")


def test_a_bug(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected error is one line; `--verbose` adds a traceback."""
    monkeypatch.setattr(AlohubClient, "__aenter__", _raising(ZeroDivisionError("oops sk_live_abc")))
    outcome = alohub(*GET)
    assert outcome.code == ExitCode.FAILED
    assert "ZeroDivisionError: oops [redacted]" in outcome.error
    assert run((*GET, "--verbose")) == ExitCode.FAILED
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "sk_live_abc" not in err


def test_errors_of_the_operating_system() -> None:
    """The message is the one of the operating system."""
    assert describe(OSError(errno.ENOSPC, "No space left")) == (ExitCode.FAILED, "No space left")
    assert describe(OSError("odd")) == (ExitCode.FAILED, "odd")


def test_every_exit_code_is_documented(alohub: Alohub) -> None:
    """`alohub --help` lists each exit code."""
    shown = alohub("--help").out
    for code in ExitCode:
        assert f"{int(code):>3}  {code.meaning}" in shown


# Commands that compare: 0 is nothing found, 1 is something found, 2 is a failure of any kind


@pytest.fixture(name="exports")
def _exports(tmp_path: Path) -> tuple[str, str]:
    """Two files that differ."""
    paths = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path, name in zip(paths, "ab", strict=True):
        write_queues(path, [InboundQueue(id=1, name=name)])
    return str(paths[0]), str(paths[1])


def test_diff_of_files(alohub: Alohub, exports: tuple[str, str]) -> None:
    """Two files are the same, or differ."""
    assert alohub("queues", "diff", exports[0], exports[0]).code == 0
    assert alohub("queues", "diff", *exports).code == 1


@pytest.mark.parametrize("fault", [Status(400), Status(401), Status(403), Status(404), Status(500), EmptyBody()])
@pytest.mark.parametrize("command", ["diff", "audit"])
def test_a_failure_to_compare(alohub: Alohub, exports: tuple[str, str], command: str, fault: Fault) -> None:
    """Whatever the API answers, 1 is not the code of a failure."""
    alohub.sandbox.fail(fault, next=None)
    arguments = (exports[0], "live") if command == "diff" else ("--no-details",)
    outcome = alohub("queues", command, *arguments, "--retries", "0")
    assert outcome.code == 2
    assert outcome.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("none.jsonl", "live"),
        ("broken.jsonl", "broken.jsonl"),
        ("a.jsonl", "b.txt"),
        ("a.jsonl", "b.jsonl", "--changes", "none/changes.csv"),
        ("a.jsonl", "b.jsonl", "--changes", "changes.xlsx"),
        ("a.jsonl",),
        ("a.jsonl", "b.jsonl", "--nope"),
        ("a.jsonl", "live", "--deadline", "0.000001"),
        ("a.jsonl", "live", "--deadline", "-1"),
        ("a.jsonl", "live", "--base-url", "http://127.0.0.1:9"),
    ],
)
def test_diff_fails(
    alohub: Alohub,
    exports: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    """A file, an option, a network or a deadline can be wrong; the code is the same."""
    assert Path(exports[0]).parent == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.jsonl").write_bytes(b"{")
    outcome = alohub("queues", "diff", *arguments, "--retries", "0")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_a_bug_in_diff(alohub: Alohub, exports: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is a failure as well, and `--verbose` shows its traceback."""
    monkeypatch.setattr(AlohubClient, "__aenter__", _raising(ZeroDivisionError("oops")))
    assert alohub("queues", "diff", exports[0], "live").code == 2
    monkeypatch.setattr(AlohubClient, "__aenter__", _raising(KeyboardInterrupt()))
    assert alohub("queues", "diff", exports[0], "live").code == ExitCode.INTERRUPTED


@pytest.mark.parametrize("command", [(), ("queues", "diff"), ("queues", "audit")])
def test_the_help_has_the_codes_of_comparing(alohub: Alohub, command: tuple[str, ...]) -> None:
    """Both commands list their codes, and `alohub --help` has them."""
    shown = alohub(*command, "--help").out
    assert "2  the " in shown or "2 failed for any reason" in shown


def _raising(error: BaseException) -> object:
    async def fail(_: object) -> None:
        raise error

    return fail
