"""What the README and the guide show works: their blocks run, their tests pass, and their links lead somewhere."""

import ast
import asyncio
import inspect
import logging
import re
import shlex
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import attrs
import distributed
import pytest

from alohub_async import RetryPolicy, Timeouts, errors
from alohub_async.cli.app import run
from alohub_async.export import ExportOptions
from alohub_async.options import BulkOptions, CallOptions, ClientOptions, PageOptions, WalkOptions
from alohub_async.testing import Sandbox
from tests.rate_limits.fleet import new_server

ROOT: Final = Path(__file__).parent.parent
GUIDE: Final = Path(str(files("alohub_async"))) / "guide"
PAGES: Final = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]
BLOCK: Final = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```", re.DOTALL | re.MULTILINE)
_names = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def _run_python(block: str, where: str, names: dict[str, Any]) -> None:
    code = compile(block, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)  # noqa: S307  (our own pages)
    if inspect.iscoroutine(result):
        asyncio.run(result)


@pytest.fixture(autouse=True)
def _logs() -> Generator[None]:
    """A page may set up the logs."""
    logger = logging.getLogger("alohub_async")
    level, handlers = logger.level, [*logger.handlers]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@contextmanager
def _places(text: str, sandbox: Sandbox, folder: Path) -> Generator[dict[str, str]]:
    """What stands in for the servers that a page names."""
    places = {"https://api.example": str(sandbox.url), "s3://bucket/queues": str(folder / "bucket")}
    with ExitStack() as running:
        if "redis://" in text:
            places["redis://127.0.0.1:6379"] = running.enter_context(new_server()).connection_url
        if "tcp://" in text:
            new_cluster: Any = distributed.LocalCluster
            local = new_cluster(dashboard_address=":0", silence_logs=50, n_workers=1, processes=False)
            places["tcp://10.0.0.5:8786"] = running.enter_context(local).scheduler_address
        yield places


@_names
def test_every_block_runs(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A newcomer can go through a page from top to bottom: save its files, paste its Python, run its commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    names: dict[str, Any] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    settings: Any = {"queues": 250, "tenant_limit": None, "route_limit": None}
    with Sandbox(**settings) as sandbox, _places(text, sandbox, tmp_path) as places:
        for name, value in (sandbox.env | {"HANOI_KEY": sandbox.api_key}).items():
            monkeypatch.setenv(name, value)
        for place, stand_in in places.items():
            text = text.replace(place, stand_in)
        for number, (language, file, block) in enumerate(BLOCK.findall(text)):
            where = f"{page.name}, block {number}"
            if file:
                (tmp_path / file).write_text(block, encoding="utf-8")
            elif language == "python" and "def test_" not in block:
                _run_python(block, where, names)
            elif language == "console":
                for command in re.findall(r"^\$ alohub (.*)$", block, re.MULTILINE):
                    assert run(shlex.split(command)) in {0, 1}, f"{where}: alohub {command}"


def test_every_test_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer can save such a block as a file of tests and run pytest on it, with the plugins it speaks of."""
    blocks = [block for page in PAGES for _, _, block in BLOCK.findall(page.read_text("utf-8")) if "def test_" in block]
    pytester.makepyfile(**{f"test_block_{number}": block for number, block in enumerate(blocks)})
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ("-p", "alohub_async.testing.plugin", "-p", "pytest_asyncio.plugin")
    mode = ("--asyncio-mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = pytester.runpytest_subprocess("-W", "error", *mode, *plugins)
    result.assert_outcomes(passed="".join(blocks).count("def test_"))


@_names
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of the project, or to a heading of the page; other sites are not asked."""
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            assert path == "" or (page.parent / path).exists(), link
            assert anchor == "" or path or anchor in headings, link


def test_the_first_command_installs_what_the_pages_use() -> None:
    """README and the Vietnamese page begin with the same command; with it, the audit can write its page."""
    command = "pip install -q '.[cli,audit]' && .venv/bin/alohub queues list --sandbox"
    assert all(command in page.read_text(encoding="utf-8") for page in (PAGES[0], GUIDE / "vi.md"))


def test_the_readme_links_to_each_page() -> None:
    """A page that nobody finds helps nobody."""
    linked = set(re.findall(r"\(alohub_async/guide/([\w-]+\.md)\)", PAGES[0].read_text(encoding="utf-8")))
    assert linked == {page.name for page in PAGES[1:]}


@pytest.mark.parametrize(
    "options",
    [CallOptions, PageOptions, WalkOptions, BulkOptions, ClientOptions, ExportOptions, RetryPolicy, Timeouts],
)
def test_each_option_and_its_default_is_listed(options: Any) -> None:
    """The page of the options has what the class adds to the one above it."""
    text = (GUIDE / "options.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| `{options.__name__}` \|(.*)\|", text, re.MULTILINE)
    listed = {name: ast.literal_eval(value) for name, value in re.findall(r"`(\w+)=([^`]+)`", row)}
    own = {field.name: field.default for field in attrs.fields(options) if not field.inherited}
    plain = {name: value for name, value in own.items() if isinstance(value, int | float | str | None)}
    assert listed == plain
    assert all(f"`{name}`" in row for name in own.keys() - plain)


def test_each_error_is_listed() -> None:
    """The page of the errors names each class."""
    text = (GUIDE / "errors.md").read_text(encoding="utf-8")
    assert [name for name in dir(errors) if name.endswith("Error") and f"`{name}`" not in text] == []
