"""Set-up of the test run, and the fixtures tests over sockets share."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator

import pytest
from hypothesis import HealthCheck, settings

from alohub_async import AlohubClient
from alohub_async.testing import Sandbox

pytest_plugins = ["pytester"]


def pytest_configure() -> None:
    """Let nobody make an event loop by asking for the current one.

    looptime asks the policy for its loop around synchronous tests too. Before Python 3.14 the policy then makes one
    that nobody closes, and its ResourceWarning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
    # How long an example takes says more about the machine than about the code.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALOHUB_API_KEY", "ALOHUB_TENANT_ID", "ALOHUB_BASE_URL", "ALOHUB_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_garbage() -> Generator[None]:
    """Nothing is collected meanwhile: a finalizer that runs at the depth where a decoder gives up cannot but fail."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(name="sandbox")
async def _sandbox() -> AsyncGenerator[Sandbox]:
    """A sandbox with 25 queues."""
    async with Sandbox(queues=25) as sandbox:
        yield sandbox


@pytest.fixture(name="client")
async def _client(sandbox: Sandbox) -> AsyncGenerator[AlohubClient]:
    """A client of that sandbox as it comes."""
    async with sandbox.client() as client:
        yield client
