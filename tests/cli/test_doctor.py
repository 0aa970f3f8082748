"""`alohub doctor`: what it finds, what it says to do, and its exit codes."""

import asyncio
import gc
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Sandbox, Status
from tests.cli.command import TENANTS, Alohub
from tests.http.test_proxies import Proxy, api
from tests.support import json_reply

DOCTOR = ("doctor", "--json")
PAGE: dict[str, object] = {"success": "1", "data": [], "totalRecord": 0}
ORDER = [
    *("address", "proxy", "key", "certificate", "latency", "clock"),
    *("limit headers", "tenant budget", "route budget"),
]


def checks(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The state and the finding of each check; asserts that each says what to do."""
    assert all(check["do"] for check in report["checks"])
    return {check["check"]: (check["state"], check["found"]) for check in report["checks"]}


def test_sound_access(alohub: Alohub) -> None:
    """Everything is checked with two small requests."""
    outcome = alohub(*DOCTOR)
    assert (outcome.code, outcome.err) == (0, "")
    assert (outcome.json["ok"], outcome.json["exit_code"]) == (True, 0)
    found = checks(outcome.json)
    assert [*found] == ORDER
    assert {name for name, (state, _) in found.items() if state != "ok"} == {"certificate"}
    assert found["address"][1].rstrip("/") == str(alohub.sandbox.url)
    assert re.fullmatch(r"[01] s (ahead of|behind) the server's", found["clock"][1])
    assert "X-RateLimit-Limit-Tenant: 100" in found["limit headers"][1]
    assert found["limit headers"][1].endswith("read as tenant 100 per 10 s, route 50 per 10 s")
    assert found["tenant budget"][1] == "98 of 100 requests free now"
    assert found["route budget"][1] == "48 of 50 requests free now"
    assert [request.query for request in alohub.sandbox.requests] == [{"page": "0", "size": "1"}] * 2


def test_pipe_and_terminal(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns has whole lines; a pipe has one line for each check; no color without a terminal."""
    lines = alohub("doctor").out.splitlines()
    assert [line[6:].split("  ")[0] for line in lines[2:-1]] == ORDER
    assert lines[-1] == "The access works; look at each note."
    assert lines[5].endswith("the key is sent unencrypted -> use https:// outside this machine")
    assert not [line for line in lines if "\x1b" in line]
    monkeypatch.setenv("COLUMNS", "80")
    shown = alohub("doctor").out
    assert max(map(len, shown.splitlines())) <= 80
    assert all(name in shown for name in ORDER)


@pytest.mark.parametrize(
    ("status", "code", "part", "advice"),
    [
        (401, ExitCode.DENIED, "key", "set ALOHUB_API_KEY"),
        (403, ExitCode.DENIED, "key", "scope 'queue'"),
        (404, ExitCode.NOT_FOUND, "service", "--base-url"),
        (429, ExitCode.TIMED_OUT, "limits", "other programs"),
        (500, ExitCode.FAILED, "service", "ask the vendor"),
    ],
)
def test_failures(alohub: Alohub, status: int, code: int, part: str, advice: str) -> None:
    """The last line names what is wrong and what to do; the exit code is the one of the failure."""
    alohub.sandbox.fail(Status(status, retry_after="90"), next=None)
    outcome = alohub(*DOCTOR, "--retries", "0")
    assert (outcome.code, outcome.json["exit_code"], outcome.json["ok"]) == (code, code, False)
    last = outcome.json["checks"][-1]
    assert (last["check"], last["state"]) == (part, "FAILED")
    assert advice in last["do"]
    shown = alohub("doctor", "--retries", "0").out.splitlines()
    assert shown[-2].startswith("FAILED")
    assert shown[-1] == "The access does not work: see FAILED."


def test_no_key_and_wrong_settings(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails before the first request is a line as well."""
    outcome = alohub(*DOCTOR, "--ca-file", "none.pem")
    assert outcome.code == ExitCode.USAGE
    assert checks(outcome.json)["settings"][1].startswith("--ca-file must name a PEM file")
    monkeypatch.delenv("ALOHUB_API_KEY")
    outcome = alohub(*DOCTOR)
    assert outcome.code == ExitCode.DENIED
    assert checks(outcome.json)["key"][0] == "FAILED"


def test_no_connection(alohub: Alohub) -> None:
    """The message names the host; what was found before is there, too."""
    outcome = alohub(*DOCTOR, "--base-url", "http://127.0.0.1:1", "--retries", "0")
    assert outcome.code == ExitCode.FAILED
    assert [*checks(outcome.json)] == ["address", "proxy", "connection"]


@pytest.mark.parametrize(("seconds", "word"), [(120, "behind"), (-120, "ahead of")])
def test_clock_that_is_wrong(alohub: Alohub, seconds: int, word: str) -> None:
    """A clock that is off by more than half a minute is noted."""
    date = formatdate(time.time() + seconds, usegmt=True)
    alohub.sandbox.fail(json_reply(PAGE, headers={"Date": date}), next=2)
    state, found = checks(alohub(*DOCTOR).json)["clock"]
    assert state == "note"
    assert re.fullmatch(rf"1(1[89]|2[012]) s {word} the server's", found)


@pytest.mark.parametrize(("settings", "found"), [({"tenant_limit": None, "route_limit": None}, "none came")])
def test_server_without_limits(alohub: Alohub, serve: Callable[..., Sandbox], settings: Any, found: str) -> None:
    """That no headers came is noted."""
    result = checks(alohub(*DOCTOR, "--base-url", str(serve(**settings).url)).json)
    assert result["limit headers"] == ("note", found)
    assert result["tenant budget"] == result["route budget"] == ("note", "no limit known")


def test_sandbox_and_tenant(command: Alohub) -> None:
    """It works with `--sandbox`, and for one tenant of a file."""
    assert checks(command(*DOCTOR, "--sandbox").json)["route budget"] == ("ok", "48 of 50 requests free now")
    outcome = command(*DOCTOR, *TENANTS, "--tenant", "b")
    assert outcome.code == 0
    tenant_id = [*command.sandbox.tenant_keys][1]
    assert f"tenant {tenant_id}" in checks(outcome.json)["key"][1]
    assert command("doctor", *TENANTS).code == ExitCode.USAGE


# aiohttp 3.12.0 leaves the end of a connection through TLS to the event loop, so it is collected here.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
async def test_certificate_and_proxy(alohub: Alohub, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows until when the certificate is valid, and by which proxy the API is reached, without its password."""
    async with api(certificate) as (url, _), Proxy(credentials="an:word") as proxy:
        options = (*DOCTOR, "--base-url", url, "--ca-file", str(certificate))
        found = checks((await asyncio.to_thread(alohub, *options)).json)
        assert found["certificate"][0] == "note"  # it ends in two days
        assert re.fullmatch(r"trusted until 20[0-9-]+, issued by localhost", found["certificate"][1])
        assert found["clock"] == ("note", "the answer has no date")
        monkeypatch.setenv("HTTPS_PROXY", f"http://an:word@127.0.0.1:{proxy.port}")
        outcome = await asyncio.to_thread(alohub, *options)
        assert checks(outcome.json)["proxy"][1] == f"by http://127.0.0.1:{proxy.port}"
        assert "word" not in outcome.out
        untrusted = await asyncio.to_thread(alohub, *DOCTOR, "--base-url", url)
        assert untrusted.code == ExitCode.FAILED
        assert "--ca-file" in untrusted.json["checks"][-1]["do"]
    gc.collect()


def test_help_has_an_example(alohub: Alohub) -> None:
    """`--help` shows a command line that works."""
    assert "Example: alohub doctor --json" in alohub("doctor", "--help").out
