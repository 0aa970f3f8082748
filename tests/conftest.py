"""Setup of the test run, and fixtures shared by the tests over sockets."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator

import pytest
from hypothesis import HealthCheck, Phase, settings

from alohub_async import AlohubClient
from alohub_async.testing import Sandbox

pytest_plugins = ["pytester", "tests.tls", "tests.torture.plugin"]

LONGEST = ("test_killed", "TestMovingList", "test_costs_are", "test_spread", "test_dlt", "/torture/")


def pytest_configure() -> None:
    """Prevent the event loop policy from creating a loop on request.

    looptime asks the policy for its loop around synchronous tests too. Before Python 3.14 the policy then creates
    one that is never closed, and its ResourceWarning fails the test that runs when it is collected.
    """
    asyncio.set_event_loop(None)
    # How long an example takes says more about the machine than about the code.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    # For `--hypothesis-profile=few`: the tests of a mutant run in seconds, and a mutant has the same fate in each run.
    settings.register_profile(
        "few",
        settings.get_profile("any machine"),
        max_examples=10,
        phases=[Phase.explicit, Phase.generate],
        derandomize=True,
        database=None,
    )
    settings.load_profile("any machine")  # pytest loads the profile of the option afterwards


@pytest.hookimpl(trylast=True)  # after the order was made random
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process works alone at the end."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


def pytest_collection_finish() -> None:
    """Keep the garbage collector off the tests and modules that were loaded: a run over them takes 0.3 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No access to the API; nor certificates, which each command and each new process would read in 50 ms or more.

    Nor how the C library is to allocate: a cluster of dask sets that for its workers, and leaves it to later tests.
    """
    access = ("ALOHUB_API_KEY", "ALOHUB_TENANT_ID", "ALOHUB_BASE_URL", "ALOHUB_ENV")
    for name in (*access, "SSL_CERT_FILE", "SSL_CERT_DIR", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_garbage() -> Generator[None]:
    """Disable garbage collection: a finalizer fails if it runs at the recursion limit of a decoder."""
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
    """A client of that sandbox with default options."""
    async with sandbox.client() as client:
        yield client
