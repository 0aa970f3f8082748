"""Fixtures of the tests over TLS."""

import asyncio
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(name="certificate", scope="session")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that its own key signed, and this key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = path.with_suffix(".key")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(path)]

    async def make() -> int:
        return await (await asyncio.create_subprocess_exec(*command.split(), *names, stderr=subprocess.DEVNULL)).wait()

    assert asyncio.run(make()) == 0
    path.write_text(path.read_text() + key.read_text())
    return path
