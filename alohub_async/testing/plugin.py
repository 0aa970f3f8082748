"""The pytest plugin: sandboxes for tests. pytest loads it at every start, so it imports the rest when used."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from alohub_async import AlohubClient
    from alohub_async.testing import Sandbox

_MARK: Final = "alohub_sandbox"
_CLIENT_MARK: Final = "alohub_client"
_FIRST_TENANT: Final = 20_260_310
_FAILED: Final = pytest.StashKey[bool]()
_SHARED: Final = pytest.StashKey[list["Sandbox"]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    what = "the settings of this test's alohub_sandbox, those of alohub_async.testing.Sandbox."
    config.addinivalue_line("markers", f"{_MARK}(queues=250, tenant_limit=100, ...): {what}")
    config.addinivalue_line("markers", f"{_CLIENT_MARK}(retry=RetryPolicy(backoff=0), ...): options of alohub_client.")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any]:
    """Note that a test has not passed."""
    outcome = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or not outcome.get_result().passed


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker of a test that only uses a shared sandbox, which it cannot set up."""
    used = {*getattr(item, "fixturenames", ())}
    shared = used & {"alohub_module_sandbox", "alohub_session_sandbox"}
    if shared and "alohub_sandbox" not in used and any(mark.name == _MARK for mark in item.own_markers):
        pytest.fail(f"{_MARK} has no effect on {min(shared)}; override alohub_sandbox_settings", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any]:
    """Put the shared sandboxes back after each test, and report what it has left unmet."""
    outcome = yield
    failed = item.stash.get(_FAILED, False) or outcome.excinfo is not None
    problems = [_end(sandbox, failed=failed) for sandbox in item.config.stash.setdefault(_SHARED, [])]
    if found := [problem for problem in problems if problem is not None]:
        outcome.force_exception(pytest.fail.Exception("\n".join(found), pytrace=False))


@pytest.fixture(scope="session")
def alohub_sandbox_settings() -> Mapping[str, Any]:
    """The settings of all sandboxes before markers: override it, in the scope of the widest one that is used."""
    return {}


@pytest.fixture
def alohub_sandbox(request: pytest.FixtureRequest, alohub_sandbox_settings: Mapping[str, Any]) -> Generator["Sandbox"]:
    """A running `alohub_async.testing.Sandbox`, new for each test.

    It serves in a separate thread: tests may be plain functions, or coroutines under any plugin. At the end of a
    passed test, expectations, faults and moves that have not happened are an error (see `check_at_end`).
    """
    with _running(request, {**alohub_sandbox_settings, **_marked(request, _MARK)}) as sandbox:
        yield sandbox


@pytest.fixture
def alohub_sandboxes(
    request: pytest.FixtureRequest, alohub_sandbox_settings: Mapping[str, Any]
) -> Generator[Callable[..., "Sandbox"]]:
    """Makes sandboxes like `alohub_sandbox`: `alohub_sandboxes(queues=3)`. Each has another tenant and another key."""
    tenants = count(_FIRST_TENANT)
    with ExitStack() as stack:

        def make(**settings: Any) -> "Sandbox":
            settings = {"tenant_id": str(next(tenants)), **alohub_sandbox_settings, **settings}
            return stack.enter_context(_running(request, settings))

        yield make


def _shared(request: pytest.FixtureRequest, alohub_sandbox_settings: Mapping[str, Any]) -> Generator["Sandbox"]:
    """Like `alohub_sandbox`, one for the whole module or session; each test ends with its `reset()`."""
    with _running(request, {**alohub_sandbox_settings, **_marked(request, _MARK)}) as sandbox:
        shared = request.config.stash.setdefault(_SHARED, [])
        shared.append(sandbox)
        yield sandbox
        shared.remove(sandbox)


alohub_module_sandbox: Any = pytest.fixture(scope="module")(_shared)
alohub_session_sandbox: Any = pytest.fixture(scope="session")(_shared)


@pytest.fixture
def alohub_client(request: pytest.FixtureRequest, alohub_sandbox: "Sandbox") -> Generator["AlohubClient"]:
    """An `AlohubClient` of `alohub_sandbox`; closed after the test."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    client = _made(_CLIENT_MARK, alohub_sandbox.client, _marked(request, _CLIENT_MARK))
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


def _marked(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """The settings of the test's own marker, then of its class's, then of its module's."""
    marked: dict[str, Any] = {}
    for mark in request.node.iter_markers(name):
        if mark.args:
            pytest.fail(f"@pytest.mark.{name} takes settings by name only; {mark.args!r} was given", pytrace=False)
        marked = {**mark.kwargs, **marked}
    return marked


@contextmanager
def _running(request: pytest.FixtureRequest, settings: Mapping[str, Any]) -> Generator["Sandbox"]:
    from inspect import signature

    from alohub_async.testing import Sandbox

    known = signature(Sandbox).parameters
    if unknown := ", ".join(sorted(settings.keys() - known.keys())):
        pytest.fail(f"{_MARK} has no setting {unknown}; it has {', '.join(sorted(known))}", pytrace=False)
    with _made(_MARK, Sandbox, {"check_at_end": True, **settings}) as sandbox:
        yield sandbox
        problem = _end(sandbox, failed=request.node.stash.get(_FAILED, False))
        if problem is not None:
            pytest.fail(problem, pytrace=False)


def _made(what: str, make: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    try:
        return make(**settings)
    except (TypeError, ValueError) as exc:
        reason = str(exc)
    pytest.fail(f"{what} cannot be set up: {reason}", pytrace=False)


def _end(sandbox: "Sandbox", *, failed: bool) -> str | None:
    """Put a sandbox back after a test, and say what the test has left unmet, or what failed in the server."""
    unmet = None if failed else sandbox.unmet(expected_only=not sandbox.check_at_end)
    try:
        sandbox.reset()
    except RuntimeError as exc:
        return str(exc)
    return unmet
