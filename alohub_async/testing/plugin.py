"""The pytest plugin: a sandbox, a client of it, and the variables that lead other code to it, for each test.

pytest loads this at every start where the package is installed, so it imports the rest only when a fixture is used.
"""

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from alohub_async import AlohubClient
    from alohub_async.testing import Sandbox

_MARK: Final = "alohub_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(queues=250, tenant_limit=100, ...): the settings of this test's alohub_sandbox,"
        " those of alohub_async.testing.Sandbox.",
    )


@pytest.fixture
def alohub_sandbox_settings() -> Mapping[str, Any]:
    """The settings of `alohub_sandbox` before markers: override it in a conftest.py, a module or a class."""
    return {}


@pytest.fixture
def alohub_sandbox(request: pytest.FixtureRequest, alohub_sandbox_settings: Mapping[str, Any]) -> Generator["Sandbox"]:
    """A running `alohub_async.testing.Sandbox`, new for each test.

    It serves in a thread of its own: tests may be plain functions, or coroutines under whichever plugin runs them.
    """
    settings = {**alohub_sandbox_settings, **_marked(request)}
    with _make(settings) as sandbox:
        yield sandbox


@pytest.fixture
def alohub_client(alohub_sandbox: "Sandbox") -> Generator["AlohubClient"]:
    """An `AlohubClient` of `alohub_sandbox`; closed after the test."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    client = alohub_sandbox.client()
    yield client
    with ThreadPoolExecutor(1) as pool:  # this thread's event loop is not touched
        pool.submit(asyncio.run, client.aclose()).result()


@pytest.fixture
def alohub_env(alohub_sandbox: "Sandbox", monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """ALOHUB_BASE_URL, ALOHUB_API_KEY and ALOHUB_TENANT_ID of `alohub_sandbox`, set while the test runs."""
    monkeypatch.delenv("ALOHUB_ENV", raising=False)
    for name, value in alohub_sandbox.env.items():
        monkeypatch.setenv(name, value)
    return alohub_sandbox.env


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the markers say: the test's own before its class's before its module's."""
    settings: dict[str, Any] = {}
    for mark in request.node.iter_markers(_MARK):
        if mark.args:
            pytest.fail(f"@pytest.mark.{_MARK} takes settings by name only; {mark.args!r} was given", pytrace=False)
        settings = {**mark.kwargs, **settings}
    return settings


def _make(settings: Mapping[str, Any]) -> "Sandbox":
    from inspect import signature

    from alohub_async.testing import Sandbox

    known = signature(Sandbox).parameters
    unknown = ", ".join(sorted(settings.keys() - known.keys()))
    if unknown:
        pytest.fail(f"alohub_sandbox has no setting {unknown}; it has {', '.join(sorted(known))}", pytrace=False)
    try:
        return Sandbox(**settings)
    except (TypeError, ValueError) as exc:
        reason = str(exc)
    pytest.fail(f"alohub_sandbox cannot be set up: {reason}", pytrace=False)
