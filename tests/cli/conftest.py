"""A sandbox in a thread of its own, and the command run against it in this process or in another."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from alohub_async.testing import Sandbox
from tests.cli.command import Alohub, Process

_PATIENCE = 10


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ALOHUB_", "COLUMNS"))]:
        monkeypatch.delenv(name)


@pytest.fixture(name="serve")
def _serve() -> Generator[Callable[..., Sandbox]]:
    """Starts sandboxes, which end with the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running: list[Sandbox] = []

    def serve(**settings: Any) -> Sandbox:
        sandbox = Sandbox(**settings)
        asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(_PATIENCE)
        running.append(sandbox)
        return sandbox

    try:
        yield serve
    finally:
        for sandbox in running:
            asyncio.run_coroutine_threadsafe(sandbox.close(), loop).result(_PATIENCE)
        asyncio.run_coroutine_threadsafe(_end_all_others(), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        loop.close()


async def _end_all_others() -> None:
    """End what answers late and nobody waits for any more, so that its connection is closed before the loop is."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # transports close in the turn after


@pytest.fixture(name="sandbox")
def _sandbox(serve: Callable[..., Sandbox]) -> Sandbox:
    return serve(queues=45)


@pytest.fixture(name="alohub")
def _alohub(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Alohub:
    """The command in this process, pointed at the sandbox by the environment."""
    monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
    monkeypatch.setenv("ALOHUB_API_KEY", sandbox.api_key)
    return Alohub(sandbox, capsys)


@pytest.fixture(name="start")
def _start() -> Generator[Callable[..., Process]]:
    """Starts the command in processes of their own, which end with the test."""
    running: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "alohub_async.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environment},
        )
        running.append(process)
        return process

    try:
        yield start
    finally:
        for process in running:
            process.kill()
            process.communicate()
