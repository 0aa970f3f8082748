"""The README's Python blocks run: one after the other against the sandbox, and those that are tests by pytest."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from alohub_async.testing import Sandbox

README = Path(__file__).parent.parent / "README.md"
FENCED = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
TESTS = [block for block in FENCED if "def test_" in block]
BLOCKS = [block for block in FENCED if block not in TESTS]


@pytest.mark.looptime
async def test_every_python_block_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A newcomer can paste the README's blocks in order, and each one works."""
    assert len(BLOCKS) >= 8
    monkeypatch.chdir(tmp_path)
    async with Sandbox(queues=250) as sandbox:
        monkeypatch.setenv("ALOHUB_API_KEY", sandbox.api_key)
        monkeypatch.setenv("ALOHUB_BASE_URL", str(sandbox.url))
        monkeypatch.delenv("ALOHUB_TENANT_ID", raising=False)
        names: dict[str, Any] = {}
        for number, block in enumerate(BLOCKS):
            code = compile(block, f"README block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)  # noqa: S307  (our own README)
            if inspect.iscoroutine(result):
                await result


def test_every_test_of_the_readme_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer can save such a block as a file of tests and run pytest on it, with the plugins it speaks of."""
    assert TESTS
    for number, block in enumerate(TESTS):
        pytester.makepyfile(**{f"test_readme_{number}": block})
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ("-p", "alohub_async.testing.plugin", "-p", "pytest_asyncio.plugin")
    mode = ("--asyncio-mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = pytester.runpytest_subprocess("-W", "error", *mode, *plugins)
    result.assert_outcomes(passed="".join(TESTS).count("def test_"))
