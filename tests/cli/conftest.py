"""Fixtures that run the command in this process or in another one."""

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from alohub_async.testing import Sandbox, seed_queues
from tests.cli.command import HOSTILE, QUEUES, Alohub, Process, start_python


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ALOHUB_", "COLUMNS"))]:
        monkeypatch.delenv(name)


@pytest.fixture(name="serve")
def _serve(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., Sandbox]]:
    """Starts sandboxes that stop at the end of the test. `ALOHUB_API_KEY` is the key of the latest."""
    with ExitStack() as running:

        def serve(**settings: Any) -> Sandbox:
            sandbox = running.enter_context(Sandbox(**settings))
            monkeypatch.setenv("ALOHUB_API_KEY", sandbox.api_key)
            return sandbox

        yield serve


@pytest.fixture
def alohub_sandbox_settings() -> dict[str, Any]:
    """The sandbox has three pages."""
    return {"queues": 45}


@pytest.fixture(name="sandbox")
def _sandbox(alohub_sandbox: Sandbox) -> Sandbox:
    return alohub_sandbox


@pytest.fixture(name="alohub")
def _alohub(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Alohub:
    """The command in this process; environment variables point it to the sandbox."""
    monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
    monkeypatch.setenv("ALOHUB_API_KEY", sandbox.api_key)
    return Alohub(sandbox, capsys)


@pytest.fixture(name="start")
def _start() -> Generator[Callable[..., Process]]:
    """Starts the command in other processes, which are killed at the end of the test."""
    running: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        process = start_python("-m", "alohub_async.cli", *arguments, environment=environment)
        running.append(process)
        return process

    try:
        yield start
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.fixture(name="fleet")
def _fleet(serve: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sandbox:
    """A sandbox of the tenants a, b and c, which are in `tenants.toml` of the working folder."""
    monkeypatch.chdir(tmp_path)
    queues = [{**queue, "callinName": HOSTILE, "timeWait": "60"} for queue in seed_queues(QUEUES)]
    sandbox = serve(queues=queues, tenants=3, tenant_id="T", tenant_limit=None, route_limit=None)
    tables: list[str] = []
    for name, (tenant_id, key) in zip("abc", sandbox.tenant_keys.items(), strict=True):
        monkeypatch.setenv(f"KEY_{name}", key)
        tables += [f"[tenants.{name}]", f'api_key_env = "KEY_{name}"']
        tables += [f'base_url = "{sandbox.url}"', f'tenant_id = "{tenant_id}"']
    Path("tenants.toml").write_text("\n".join(tables), encoding="utf-8")
    monkeypatch.delenv("ALOHUB_API_KEY")
    return sandbox


@pytest.fixture(name="command")
def _command(fleet: Sandbox, capsys: pytest.CaptureFixture[str]) -> Alohub:
    """The command, with nothing in the environment but the keys of the tenants."""
    return Alohub(fleet, capsys)
