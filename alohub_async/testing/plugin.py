"""The pytest plugin: a sandbox for each test. pytest loads it at every start, so it imports the rest when used."""

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from alohub_async import AlohubClient
    from alohub_async.testing import Sandbox

_MARK: Final = "alohub_sandbox"
_FAILED: Final = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    what = "the settings of this test's alohub_sandbox, those of alohub_async.testing.Sandbox."
    config.addinivalue_line("markers", f"{_MARK}(queues=250, tenant_limit=100, ...): {what}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any]:
    """Note that a test has not passed."""
    outcome = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or not outcome.get_result().passed


@pytest.fixture
def alohub_sandbox_settings() -> Mapping[str, Any]:
    """The settings of `alohub_sandbox` before markers: override it in a conftest.py, a module or a class."""
    return {}


@pytest.fixture
def alohub_sandbox(request: pytest.FixtureRequest, alohub_sandbox_settings: Mapping[str, Any]) -> Generator["Sandbox"]:
    """A running `alohub_async.testing.Sandbox`, new for each test.

    It serves in a separate thread: tests may be plain functions, or coroutines under any plugin. At the end of a
    passed test, faults and moves that have not happened are an error.
    """
    marked: dict[str, Any] = {}
    for mark in request.node.iter_markers(_MARK):  # the test's own first, then its class's, then its module's
        if mark.args:
            pytest.fail(f"@pytest.mark.{_MARK} takes settings by name only; {mark.args!r} was given", pytrace=False)
        marked = {**mark.kwargs, **marked}
    with _make({**alohub_sandbox_settings, **marked}) as sandbox:
        yield sandbox
        unmet = sandbox.unmet()
        if unmet is not None and not request.node.stash.get(_FAILED, False):
            pytest.fail(unmet, pytrace=False)


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


def _make(settings: Mapping[str, Any]) -> "Sandbox":
    from inspect import signature

    from alohub_async.testing import Sandbox

    known = signature(Sandbox).parameters
    if unknown := ", ".join(sorted(settings.keys() - known.keys())):
        pytest.fail(f"alohub_sandbox has no setting {unknown}; it has {', '.join(sorted(known))}", pytrace=False)
    try:
        return Sandbox(**settings)
    except (TypeError, ValueError) as exc:
        reason = str(exc)
    pytest.fail(f"alohub_sandbox cannot be set up: {reason}", pytrace=False)
