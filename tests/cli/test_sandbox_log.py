"""`alohub sandbox --log --fail`: requests can be watched, and made to fail."""

import signal
from collections.abc import Callable

import pytest

from tests.cli.command import PATIENCE, Alohub, Process


def test_requests_are_printed_and_fail(start: Callable[..., Process]) -> None:
    """Each request is a line; the first ones fail as scripted."""
    process = start("sandbox", "--port", "0", "--queues", "7", "--log", "--fail", "502:1", "--fail", "503:1")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    exported = dict(word.split("=") for word in lines[-1].removeprefix("export ").split())
    assert start("queues", "list", **exported).wait(PATIENCE) == 0
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    request = "GET /v1/queues/inbound?page=0&size=100 "
    assert out.splitlines() == [f"{request}{status}" for status in (502, 503, 200)]
    assert exported["ALOHUB_API_KEY"] not in out


@pytest.mark.parametrize("script", ["502", "502:", "502:0", "502:x", "99:1", "999:1", "204:1", ":1", "5020:1"])
def test_wrong_script_is_refused(alohub: Alohub, script: str) -> None:
    """The message says what is allowed."""
    outcome = alohub("sandbox", "--port", "0", "--fail", script)
    assert outcome.code == 2
    assert " must be " in outcome.error
