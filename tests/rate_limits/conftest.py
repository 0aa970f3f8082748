"""A real server for the limiter that is shared between processes."""

import os
from collections.abc import AsyncGenerator, Generator

import pytest

from tests.rate_limits.fleet import Fleet, new_server, store_client


@pytest.fixture(scope="session", name="store_server")
def _store_server() -> Generator[str]:
    """The URL of a server that all tests of the session use: of `ALOHUB_TESTS_STORE`, or a Valkey server."""
    if url := os.environ.get("ALOHUB_TESTS_STORE"):
        yield url
        return
    with new_server() as server:
        yield server.connection_url


@pytest.fixture(name="store_url")
async def _store_url(store_server: str) -> str:
    """The URL of an empty store."""
    async with store_client(store_server) as client:
        await client.flushall()
    return store_server


@pytest.fixture(name="fleet")
async def _fleet(store_url: str) -> AsyncGenerator[Fleet]:
    """Processes that share a budget."""
    async with Fleet(store_url) as fleet:
        yield fleet
