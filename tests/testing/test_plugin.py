"""The pytest plugin as users have it: pytest runs test files in a separate process, and warnings are errors."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

_BUSY = """
    async def use(sandbox, client):
        sandbox.fail(status=400, page=0)
        with pytest.raises(BadRequestError):
            await client.queues.list_inbound().collect()
        queues = await client.queues.list_inbound(page_size=3).collect()
        assert [queue.id for queue in queues] == [stored["callinId"] for stored in sandbox.queues]
        sandbox.assert_requested("GET", "/v1/queues/inbound", times=4)
        sandbox.assert_all_faults_met()
"""
_HEAD = """
    import asyncio, gc, pytest
    from alohub_async import AlohubClient, BadRequestError

    pytestmark = pytest.mark.alohub_sandbox(queues=7)
"""


def _pytest(pytester: pytest.Pytester, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """Run the test files with the plugin under test and the named ones only."""
    named = [part for plugin in ("alohub_async.testing.plugin", *plugins) for part in ("-p", plugin)]
    return pytester.runpytest_subprocess("-W", "error", "--strict-markers", *named, *arguments)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


# Modes


def test_synchronous_tests(pytester: pytest.Pytester) -> None:
    """A plain function runs several event loops, and no open resource causes a warning."""
    pytester.makepyfile(
        _HEAD
        + _BUSY
        + """
    def test_one_loop_after_the_other(alohub_sandbox, alohub_client):
        asyncio.run(use(alohub_sandbox, alohub_client))
        alohub_sandbox.clear()
        asyncio.run(use(alohub_sandbox, alohub_client))

    def test_unused(alohub_client):
        pass

    def test_nothing_was_left_open():
        gc.collect()
    """
    )
    _pytest(pytester).assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(pytester: pytest.Pytester, mode: str) -> None:
    """Coroutines run in both modes of pytest-asyncio, with one event loop per test or per session."""
    mark = "@pytest.mark.asyncio" if mode == "strict" else ""
    pytester.makepyfile(
        _HEAD
        + _BUSY
        + f"""
    {mark}
    async def test_own_loop(alohub_client, alohub_sandbox):
        await use(alohub_sandbox, alohub_client)

    @pytest.mark.asyncio(loop_scope="session")
    async def test_shared_loop(alohub_client, alohub_sandbox):
        await use(alohub_sandbox, alohub_client)

    @pytest.mark.asyncio(loop_scope="session")
    async def test_shared_loop_again(alohub_client, alohub_sandbox):
        await use(alohub_sandbox, alohub_client)

    def test_nothing_was_left_open():
        gc.collect()
    """
    )
    options = (f"--asyncio-mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function")
    _pytest(pytester, *options, plugins=("pytest_asyncio.plugin",)).assert_outcomes(passed=4)


def test_anyio(pytester: pytest.Pytester) -> None:
    """Coroutines run under anyio's plugin with its asyncio backend."""
    pytester.makepyfile(
        _HEAD
        + _BUSY
        + """
    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    async def test_coroutine(alohub_client, alohub_sandbox):
        await use(alohub_sandbox, alohub_client)

    def test_nothing_was_left_open():
        gc.collect()
    """
    )
    _pytest(pytester, plugins=("anyio.pytest_plugin",)).assert_outcomes(passed=2)


def test_code_that_reads_the_environment(pytester: pytest.Pytester) -> None:
    """With `alohub_env`, `from_env` and a separate process use the sandbox."""
    pytester.makepyfile(
        _HEAD
        + """
    import os, subprocess, sys

    async def count():
        async with AlohubClient.from_env() as client:
            return await client.queues.list_inbound().count()

    def test_in_this_process(alohub_env, alohub_sandbox):
        assert os.environ["ALOHUB_BASE_URL"] == alohub_env["ALOHUB_BASE_URL"] == str(alohub_sandbox.url)
        assert asyncio.run(count()) == 7
        assert alohub_sandbox.requests[0].headers["X-Tenant-ID"] == alohub_sandbox.tenant_id

    def test_in_another_process(alohub_env, alohub_sandbox):
        code = "import alohub_async.cli; alohub_async.cli.main()"
        subprocess.run([sys.executable, "-c", code, "queues", "list"], check=True)
        alohub_sandbox.assert_requested("GET", "/v1/queues/inbound", times=1)

    def test_variables_are_removed():
        assert not {"ALOHUB_BASE_URL", "ALOHUB_API_KEY", "ALOHUB_TENANT_ID"} & os.environ.keys()
    """
    )
    _pytest(pytester).assert_outcomes(passed=3)


# Settings


def test_nearest_setting_wins(pytester: pytest.Pytester) -> None:
    """The marker of the test overrides that of the class, of the module, and the fixture's settings."""
    pytester.makeconftest("""
    import pytest

    @pytest.fixture(scope="session")
    def alohub_sandbox_settings():
        return {"queues": 1, "tenant_limit": 1, "route_limit": 1, "window": 1}
    """)
    pytester.makepyfile("""
    import pytest

    pytestmark = pytest.mark.alohub_sandbox(queues=2, tenant_limit=2, route_limit=2)

    @pytest.mark.alohub_sandbox(queues=3, tenant_limit=3)
    class TestSettings:
        @pytest.mark.alohub_sandbox(queues=4)
        def test_all(self, alohub_sandbox):
            found = alohub_sandbox
            assert (len(found.queues), found.tenant_limit, found.route_limit, found.window) == (4, 3, 2, 1)
    """)
    _pytest(pytester).assert_outcomes(passed=1)


def test_wrong_setting_is_reported_in_one_line(pytester: pytest.Pytester) -> None:
    """The message has the given and the allowed value, without a traceback."""
    wrong = {
        "tennant_limit=5": "alohub_sandbox has no setting tennant_limit; it has *queues,*tenant_limit*",
        "50": "@pytest.mark.alohub_sandbox takes settings by name only; (50,) was given*",
        "tenant_limit=-1": "*tenant_limit must be an int of 0 or more, or None; -1 was given*",
        "tenant_limit='9'": "*tenant_limit must be an int of 0 or more, or None; '9' was given*",
        "queues=-1": "*queues must be how many, 0 or more, or the queues themselves by wire name; -1 was given*",
        "window_kind='leaky'": "*window_kind*sliding-log*leaky*",
        "scopes='queue'": "*scopes must be a collection of names, like {'queue'}; 'queue' was given*",
        "tenant_id=20260310": "*tenant_id must be printable ASCII*; 20260310 was given*",
    }
    tests = [
        f"@pytest.mark.alohub_sandbox({marker})\ndef test_{number}(alohub_sandbox):\n    pass\n"
        for number, marker in enumerate(wrong)
    ]
    pytester.makepyfile("\n".join(["import pytest", *tests]))
    result = _pytest(pytester)
    result.assert_outcomes(errors=len(wrong))
    result.stdout.fnmatch_lines([*wrong.values()])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_marker_without_effect_is_reported(pytester: pytest.Pytester) -> None:
    """The marker of a test does not set up a sandbox that others share; that of its module does."""
    pytester.makepyfile(
        """
    import pytest

    pytestmark = pytest.mark.alohub_sandbox(queues=3)

    @pytest.mark.alohub_sandbox(queues=7)
    def test_refused(alohub_session_sandbox):
        pass

    @pytest.mark.alohub_sandbox(queues=7)
    def test_both(alohub_module_sandbox, alohub_sandbox):
        assert (len(alohub_module_sandbox.queues), len(alohub_sandbox.queues)) == (3, 7)
    """
    )
    result = _pytest(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["alohub_sandbox has no effect on alohub_session_sandbox; override alohub_sandbox_s*"])


def test_marker_and_fixtures_are_described(pytester: pytest.Pytester) -> None:
    """`pytest --markers` and `pytest --fixtures` describe the marker and all fixtures."""
    _pytest(pytester, "--markers").stdout.fnmatch_lines(
        ["@pytest.mark.alohub_sandbox(queues=250,*", "@pytest.mark.alohub_client(retry=*"]
    )
    listed = _pytest(pytester, "--fixtures").stdout
    names = ("sandbox", "sandboxes", "client", "env", "sandbox_settings")
    listed.fnmatch_lines_random([f"alohub_{name} *" for name in (*names, "module_sandbox", "session_sandbox")])


def test_client_has_the_options_of_its_markers(pytester: pytest.Pytester) -> None:
    """A marker makes a failure test quick; a wrong option is reported in one line."""
    pytester.makepyfile(
        _HEAD
        + """
    from alohub_async import InternalServerError, RetryPolicy

    pytestmark = pytest.mark.alohub_client(user_agent="module")

    @pytest.mark.alohub_client(retry=RetryPolicy(max_retries=5, backoff=0))
    def test_all_retries_fail(alohub_client, alohub_sandbox):
        alohub_sandbox.fail(status=502, next=6)
        with pytest.raises(InternalServerError):
            asyncio.run(alohub_client.queues.get_inbound(1001226))
        assert [sent.headers["User-Agent"] for sent in alohub_sandbox.requests] == ["module"] * 6

    @pytest.mark.alohub_client(retries=5)
    def test_wrong(alohub_client):
        pass
    """
    )
    result = _pytest(pytester, "--durations=0", "-vv")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["alohub_client cannot be set up: there is no option 'retries'*"])
    result.stdout.no_fnmatch_line("*Traceback*")


# Scopes


def test_shared_sandbox_is_put_back_after_each_test(pytester: pytest.Pytester) -> None:
    """A module's or session's sandbox keeps its address and key; each test finds it as it was at the start."""
    pytester.makeconftest("""
    import pytest

    @pytest.fixture(scope="session")
    def alohub_sandbox_settings():
        return {"queues": 3}

    @pytest.fixture(scope="session")
    def app(alohub_session_sandbox):
        return alohub_session_sandbox.env
    """)
    body = """
    import asyncio, pytest
    from alohub_async import AlohubClient, InternalServerError

    pytestmark = pytest.mark.alohub_sandbox(tenant_limit=7)
    found = set()

    @pytest.mark.parametrize("n", range(3))
    def test_each(app, alohub_session_sandbox, alohub_module_sandbox, n):
        for sandbox in (alohub_session_sandbox, alohub_module_sandbox):
            assert (len(sandbox.requests), len(sandbox.queues)) == (0, 3)

            async def use():
                async with sandbox.client() as client:
                    await client.queues.list_inbound().collect()
                    return client.rate_limits.tenant.limit

            sandbox.remove_queue(1001226)
            assert asyncio.run(use()) == sandbox.tenant_limit
        assert (alohub_session_sandbox.tenant_limit, alohub_module_sandbox.tenant_limit) == (100, 7)
        found.add((app["ALOHUB_BASE_URL"], alohub_module_sandbox.api_key, alohub_session_sandbox.api_key))
        assert len(found) == 1

    def test_unmet(alohub_session_sandbox, alohub_module_sandbox):
        alohub_session_sandbox.expect("GET", "/v1/queues/inbound")
        alohub_module_sandbox.fail(status=502)

    def test_failed(alohub_module_sandbox):
        alohub_module_sandbox.fail(status=502)
        assert False

    def test_after(alohub_session_sandbox, alohub_module_sandbox):
        assert alohub_session_sandbox.unmet() is alohub_module_sandbox.unmet() is None
    """
    pytester.makepyfile(test_one=body, test_two=body)
    result = _pytest(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=10, failed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_unmet*",
            "expected at least 1 request, received 0: GET /v1/queues/inbound",
            "scripted, but not met by any request*",
            "1 x Status(status=502,*",
        ]
    )


def test_failure_of_a_shared_sandbox_fails_its_test(pytester: pytest.Pytester) -> None:
    """An error in a fault of the test's own is an error of that test, not of the last one."""
    pytester.makepyfile("""
    import asyncio

    def test_broken(alohub_module_sandbox):
        async def use():
            async with alohub_module_sandbox.client() as client:
                await client.queues.get_inbound(1001226)

        alohub_module_sandbox.fail(when=lambda request: 1 / 0)
        try:
            asyncio.run(use())
        except Exception:
            pass

    def test_next(alohub_module_sandbox):
        pass
    """)
    result = _pytest(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_broken*", "*the sandbox failed to respond to GET*"])


def test_several_sandboxes(pytester: pytest.Pytester) -> None:
    """The factory's sandboxes have different keys and tenants, and are checked and closed after the test."""
    pytester.makepyfile("""
    import asyncio, gc, pytest
    from alohub_async import AuthenticationError

    def test_swapped(alohub_sandboxes):
        one, two = alohub_sandboxes(queues=3), alohub_sandboxes(queues=4, tenant_limit=9)
        assert (len(one.queues), len(two.queues), two.tenant_limit) == (3, 4, 9)
        assert one.tenant_id != two.tenant_id and one.api_key != two.api_key and one.url != two.url

        async def use():
            async with one.client(api_key=two.api_key) as client:
                await client.queues.list_inbound().collect()

        with pytest.raises(AuthenticationError):
            asyncio.run(use())

    def test_unmet(alohub_sandboxes):
        one, two = alohub_sandboxes(), alohub_sandboxes()
        one.fail(status=502)

    def test_wrong(alohub_sandboxes):
        alohub_sandboxes(queus=3)

    def test_nothing_was_left_open():
        gc.collect()
    """)
    result = _pytest(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=3, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_unmet*", "scripted, but not met by any request*"])
    result.stdout.fnmatch_lines(["alohub_sandbox has no setting queus; it has *queues*"])


def test_checks_at_the_end_can_be_turned_off(pytester: pytest.Pytester) -> None:
    """With `check_at_end=False`, faults may be left over; what was expected is checked all the same."""
    pytester.makepyfile("""
    import pytest

    pytestmark = pytest.mark.alohub_sandbox(check_at_end=False)

    def test_fault(alohub_sandbox):
        alohub_sandbox.fail(status=502)

    def test_expectation(alohub_sandbox):
        alohub_sandbox.expect("PUT", "/v1/queues/inbound/{id}", times=1)

    def test_failed(alohub_sandbox):
        alohub_sandbox.expect("PUT", "/v1/queues/inbound/{id}", times=1)
        assert False
    """)
    result = _pytest(pytester)
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["expected 1 request, received 0: PUT /v1/queues/inbound/{id}"])


# Failures


def test_failed_assertion_shows_the_line_of_the_test_and_the_requests(pytester: pytest.Pytester) -> None:
    """The report has the line of the test and a table of the requests, but neither the sandbox's code nor the key."""
    pytester.makepyfile("""
    import asyncio

    def test_it(alohub_client, alohub_sandbox):
        asyncio.run(alohub_client.queues.list_inbound(page_size=250).collect())
        alohub_sandbox.assert_requested("PUT", "/v1/queues/inbound/{id}")
    """)
    result = _pytest(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>       alohub_sandbox.assert_requested("PUT", "/v1/queues/inbound/{id}")',
            "E       AssertionError: expected at least 1 request, received 0: PUT /v1/queues/inbound/{id}",
            "E       Received requests:",
            r"E       [[]0]  GET  /v1/queues/inbound?page=0&size=250  200",
        ]
    )
    result.stdout.no_fnmatch_line("*why*")
    result.stdout.no_fnmatch_line("*sk_live_*")


# Cost


def test_plugin_is_registered() -> None:
    """Installing the package installs the plugin."""
    [found] = entry_points(group="pytest11", name="alohub")
    assert found.value == "alohub_async.testing.plugin"


def test_plugin_imports_only_what_it_needs() -> None:
    """In a new interpreter with pytest, the plugin imports five small modules of this package and no others."""
    code = (
        "import json, sys, pytest\n"
        "before = {*sys.modules}\n"
        "import alohub_async.testing.plugin\n"
        "print(json.dumps(sorted({*sys.modules} - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    modules = ["alohub_async", "alohub_async._lazy", "alohub_async._version"]
    assert json.loads(done.stdout) == [*modules, "alohub_async.testing", "alohub_async.testing.plugin"]


def test_run_without_fixtures_imports_no_dependencies(pytester: pytest.Pytester) -> None:
    """Tests without these fixtures import none of the sandbox's dependencies."""
    pytester.makepyfile("""
    import sys

    def test_light():
        loaded = {name.partition(".")[0] for name in sys.modules}
        assert not loaded & {"aiohttp", "attr", "attrs", "cattrs", "yarl", "typer", "pytest_asyncio"}
        assert "alohub_async.testing.plugin" in sys.modules
    """)
    _pytest(pytester).assert_outcomes(passed=1)


def test_unmet_faults_fail_a_passed_test(pytester: pytest.Pytester) -> None:
    """At the end of a passed test, faults and moves that have not happened are an error. A failed test has no other."""
    pytester.makepyfile("""
    import asyncio

    def test_unmet(alohub_sandbox):
        alohub_sandbox.fail(status=502, page=7)
        alohub_sandbox.insert_queue(before_page=9)

    def test_failed(alohub_sandbox):
        alohub_sandbox.fail(status=502, page=7)
        assert False

    def test_met(alohub_client, alohub_sandbox):
        alohub_sandbox.fail(status=502, next=None)
        alohub_sandbox.fail(status=500, page=7)
        try:
            asyncio.run(alohub_client.queues.get_inbound(1))
        except Exception:
            pass
        alohub_sandbox.heal()

    def test_met_until_healed(alohub_client, alohub_sandbox):
        alohub_sandbox.fail(status=404, next=None)
        try:
            asyncio.run(alohub_client.queues.get_inbound(1))
        except Exception:
            pass
    """)
    result = _pytest(pytester)
    result.assert_outcomes(passed=3, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_unmet*",
            "scripted, but not met by any request*",
            "1 x Status(status=502,*) for any request page=7",
            "1 x a move of the list, at a page that was not read",
        ]
    )


def test_failure_of_the_sandbox_fails_the_test(pytester: pytest.Pytester) -> None:
    """An error in a fault of the test's own is an error at its end, even if the client has retried."""
    pytester.makepyfile("""
    import asyncio
    from alohub_async.testing import Fault

    class Broken(Fault):
        def spoil(self, answer):
            return answer.body["x"]

    def test_it(alohub_client, alohub_sandbox):
        alohub_sandbox.fail(Broken())
        asyncio.run(alohub_client.queues.get_inbound(1001226))
    """)
    result = _pytest(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the sandbox failed to respond to GET /v1/queues/inbound/1001226:*"])
