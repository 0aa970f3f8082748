"""The package as a whole: what it exports, what it imports, what it leaves alone."""

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args, get_type_hints

import pytest

import alohub_async
import alohub_async.audit
import alohub_async.changes
import alohub_async.export
import alohub_async.files
import alohub_async.tenants
import alohub_async.testing

ROOT = Path(alohub_async.__file__).parent
PATHS = sorted(ROOT.rglob("*.py"))


def modules() -> list[str]:
    """Every module of the package, by name."""
    found = pkgutil.walk_packages([str(ROOT)], prefix="alohub_async.")
    return ["alohub_async", *sorted(module.name for module in found if not module.name.endswith("__main__"))]


@cache
def _tree(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text())


def run(code: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(  # noqa: S603 (our own interpreter and code)
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Exports


PACKAGES = pytest.mark.parametrize(
    "package",
    [
        *(alohub_async, alohub_async.audit, alohub_async.changes, alohub_async.files),
        *(alohub_async.tenants, alohub_async.testing),
    ],
    ids=lambda package: package.__name__,
)


def _names_for_type_checkers(package: ModuleType) -> dict[str, str]:
    """The module each name comes from, as the package's stub has it."""
    tree = ast.parse(Path(package.__file__ or "").with_suffix(".pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


@PACKAGES
def test_all_is_what_can_be_imported(package: ModuleType) -> None:
    """`__all__` names each public object once, type checkers see the same, and `dir` nothing else."""
    names = package.__all__
    assert len(set(names)) == len(names)
    assert dir(package) == sorted(names)
    assert {*_names_for_type_checkers(package), "__version__"} == {*names, "__version__"}


@PACKAGES
def test_names_are_what_type_checkers_think(package: ModuleType) -> None:
    """Each is the object of that name of the module it is said to come from, and is looked up once."""
    for name, module in _names_for_type_checkers(package).items():
        assert getattr(package, name) is getattr(importlib.import_module(module), name)
        assert vars(package)[name] is getattr(package, name)


@PACKAGES
def test_unknown_name_is_no_attribute(package: ModuleType) -> None:
    """The error is Python's usual one, its suggestion included."""
    with pytest.raises(AttributeError, match=f"^module '{package.__name__}' has no attribute 'nope'$") as caught:
        _ = package.nope
    assert (caught.value.name, caught.value.obj) == ("nope", package)
    with pytest.raises(ImportError, match="cannot import name 'nope'"):
        exec(f"from {package.__name__} import nope")  # noqa: S102  (a name that type checkers know not to be there)


def test_star_import_works() -> None:
    """`from alohub_async import *` gives just those names."""
    got = run("from alohub_async import *\nimport json\nprint(json.dumps([n for n in dir() if n != 'json']))")
    assert {name for name in got if not name.startswith("__")} == {*dir(alohub_async)} - {"__version__"}


def test_modules_are_attributes_of_the_package() -> None:
    """`import alohub_async` is enough to write `alohub_async.errors.NotFoundError`."""
    assert run(
        "import alohub_async, json\nprint(json.dumps(alohub_async.errors.NotFoundError is alohub_async.NotFoundError))"
    )


def test_threads_may_ask_for_the_same_name_at_once() -> None:
    """All get the same class, whoever imports it."""
    assert run(
        "import alohub_async, json, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "start = threading.Barrier(8)\n"
        "names = ['AlohubClient', 'Pager', 'Queues', 'RateLimiter'] * 2\n"
        "def ask(name):\n"
        "    start.wait()\n"
        "    return getattr(alohub_async, name)\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    found = list(pool.map(ask, names))\n"
        "print(json.dumps(found == [getattr(alohub_async, name) for name in names]))\n"
    )


@pytest.mark.parametrize("package", [*ROOT.rglob("__init__.py")], ids=lambda path: path.parent.name)
def test_a_package_imports_none_of_its_own_modules(package: Path) -> None:
    """Otherwise two threads that import at once would wait for each other, and Python would show one a half of it."""
    name = ".".join(["alohub_async", *package.parent.relative_to(ROOT).parts])
    imported = {node.module or "" for node in _tree(package).body if isinstance(node, ast.ImportFrom)}
    own = {module for module in imported if module.startswith(f"{name}.")}
    assert own <= {"alohub_async._lazy", "alohub_async._version"}


def _classes_in(hint: object) -> Iterator[type]:
    if inspect.isclass(hint) and hint.__module__.startswith("alohub_async"):
        yield hint
    parts: Iterable[object] = cast("list[object]", hint) if isinstance(hint, list) else get_args(hint)
    for part in parts:  # a list holds the arguments of a Callable
        yield from _classes_in(part)


def test_types_of_public_signatures_are_public() -> None:
    """What the public classes take, return and inherit from can be imported from the package itself."""
    missing: set[str] = set()
    for name in set(dir(alohub_async)) - {"__version__"}:
        value = getattr(alohub_async, name)
        if not inspect.isclass(value):
            continue
        hinted: list[object] = [value, value.__init__, *(member for _, member in _public_members(value))]
        for member in hinted:
            function = member.fget if isinstance(member, property) else member
            for hint in get_type_hints(function).values():
                missing |= {f"{found.__name__} of {name}" for found in _classes_in(hint) if not _is_public(found)}
        missing |= {f"{base.__name__} of {name}" for base in value.__mro__ if not _is_public(base)}
    unnamed = {"PageToken of Pager", "Requestor of Resource", "Permit of RateLimiter", "Permit of RedisRateLimiter"}
    unnamed |= {
        f"{name} of {outcomes}"
        for name in ("AsyncOnly", "ConcurrentCalls", "BulkOptions")
        for outcomes in ("Outcomes", "TenantOutcomes")
    }
    assert missing <= unnamed  # nobody needs to name these


def _is_public(cls: type) -> bool:
    return not cls.__module__.startswith("alohub_async") or cls.__name__ in dir(alohub_async)


def test_every_error_is_public() -> None:
    """Each class of the tree can be caught by its name, and all of them by `AlohubError`."""
    errors = importlib.import_module("alohub_async.errors")
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert classes <= set(dir(alohub_async))
    assert all(issubclass(getattr(errors, name), alohub_async.AlohubError) for name in classes)
    tree = errors.__doc__ or ""
    assert all(name in tree for name in classes)


def _public_members(cls: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(cls).items():
        member: object = getattr(value, "__func__", value)  # of a class method
        is_documented_kind = inspect.isfunction(member) or isinstance(member, property)
        if not name.startswith("_") and is_documented_kind:
            yield name, member


@pytest.mark.parametrize(
    "package",
    [
        *(alohub_async, alohub_async.audit, alohub_async.changes),
        *(alohub_async.export, alohub_async.files, alohub_async.tenants, alohub_async.testing),
    ],
    ids=lambda package: package.__name__,
)
def test_public_objects_have_docstrings(package: ModuleType) -> None:
    """Each exported class, each of its public methods and properties, and each function."""
    bare: list[str] = []
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value) and value.__module__.startswith("alohub_async"):
            if not value.__doc__ or value.__doc__.startswith(f"{name}("):
                bare.append(name)
            bare += [f"{name}.{member}" for member, found in _public_members(value) if not inspect.getdoc(found)]
        elif inspect.isfunction(value) and not value.__doc__:
            bare.append(name)
    assert bare == []


def _documented() -> Iterator[tuple[str, bool]]:
    """The names that the modules assign to, each with whether a string literal follows."""
    for path in PATHS:
        body = _tree(path).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            is_documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            yield from ((target.id, is_documented) for target in targets if isinstance(target, ast.Name))


def test_public_names_that_are_no_classes_are_documented_beside_them() -> None:
    """An alias or a constant has a string literal after it in its module."""
    names = {name for name in dir(alohub_async) if not inspect.isclass(getattr(alohub_async, name))} - {"__version__"}
    assert names
    assert names - {name for name, is_documented in _documented() if is_documented} == set()


@pytest.mark.parametrize("module", modules())
def test_each_module_has_a_docstring_and_says_what_it_exports(module: str) -> None:
    """A module says what it is for; an `__all__` names only what is there."""
    found = importlib.import_module(module)
    assert found.__doc__
    assert all(hasattr(found, name) for name in getattr(found, "__all__", []))


# Imports


def _needed(module: str) -> Iterator[str]:
    """The modules of ours that a module imports when it is imported itself."""
    path = ROOT.joinpath(*module.split(".")[1:])
    todo: list[ast.AST] = [_tree(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("alohub_async"):
            names = [alias.name for alias in node.names]
            found = [getattr(importlib.import_module(node.module or ""), name, None) for name in names]
            yield from (node.module or "", *(f"{node.module}.{name}" for name in names))
            yield from (str(getattr(each, "__module__", "")) for each in found)  # of a name that is looked up lazily
        is_later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not is_later and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            todo += ast.iter_child_nodes(node)


def test_each_module_imports_alone() -> None:
    """With none of the others loaded: no module needs itself, so there is no cycle that works in one order only."""
    needs = {module: {need for need in _needed(module) if need != module} & {*modules()} for module in modules()}
    assert needs["alohub_async.audit.page"]
    assert len([*TopologicalSorter(needs).static_order()]) == len(needs)


def _under(loaded: Iterable[str], *packages: str) -> set[str]:
    return {name for name in loaded if any(f"{name}.".startswith(f"{package}.") for package in packages)}


def test_import_brings_no_optional_package_and_touches_nothing() -> None:
    """Importing all of `alohub_async` loads no extra, starts no thread or loop, and leaves logging and warnings."""
    state = run(
        "import json, logging, signal, sys, threading, warnings\n"
        "before = (list(warnings.filters), signal.getsignal(signal.SIGINT), set(logging.root.manager.loggerDict))\n"
        "from alohub_async import *\n"
        "new = set(logging.root.manager.loggerDict) - before[2]\n"
        "print(json.dumps({\n"
        "    'loaded': sorted(sys.modules),\n"
        "    'threads': threading.active_count(),\n"
        "    'handlers': len(logging.root.handlers) + len(logging.getLogger('alohub_async').handlers),\n"
        "    'levels': [logging.root.level, logging.getLogger('alohub_async').level],\n"
        "    'propagate': logging.getLogger('alohub_async').propagate,\n"
        "    'others': [n for n in new if logging.getLogger(n).level or logging.getLogger(n).handlers],\n"
        "    'filters': before[0] == list(warnings.filters),\n"
        "    'signals': before[1] == signal.getsignal(signal.SIGINT),\n"
        "}))\n"
    )
    loaded = set(state["loaded"])
    extras = (
        *("typer", "click", "rich", "msgspec", "orjson", "jinja2", "phonenumbers", "pyarrow"),
        *("distributed", "dask", "fsspec", "pytest", "hypothesis", "looptime", "pydantic"),
    )
    assert not _under(loaded, *extras, "alohub_async.cli", "alohub_async.testing")
    of_aiohttp = run("import aiohttp, json, sys\nprint(json.dumps(sorted(sys.modules)))")
    assert "aiohttp.web" not in loaded - set(of_aiohttp)
    assert state["threads"] == 1
    assert state["handlers"] == 0
    assert state["levels"] == [30, 0]
    assert state["propagate"] is True
    assert state["others"] == []
    assert state["filters"]
    assert state["signals"]


def test_import_is_cheap() -> None:
    """Before a name is used, nothing but the standard library is loaded; an error brings the errors alone."""
    loaded = run(
        "import json, sys\n"
        "import alohub_async, alohub_async.testing\n"
        "first = sorted(sys.modules)\n"
        "alohub_async.NotFoundError\n"
        "print(json.dumps([first, sorted(sys.modules)]))\n"
    )
    ours = ["alohub_async", "alohub_async._lazy", "alohub_async._version", "alohub_async.testing"]
    assert sorted(_under(loaded[0], "alohub_async")) == ours
    assert sorted(_under(loaded[1], "alohub_async")) == sorted([*ours, "alohub_async.errors", "alohub_async.secret"])
    assert not _under(loaded[1], "aiohttp", "attrs", "cattrs", "yarl", "asyncio")


def test_using_the_client_brings_no_sandbox_and_no_command() -> None:
    """Nor does making a client and asking of it what needs no server."""
    loaded = run(
        "import asyncio, json, sys\n"
        "from alohub_async import AlohubClient, RetryPolicy, AlohubError\n"
        "async def main():\n"
        "    once = RetryPolicy(max_retries=0)\n"
        "    async with AlohubClient('sk_live_x', endpoint='http://127.0.0.1:9', retry=once) as c:\n"
        "        try:\n"
        "            await c.queues.list_inbound().collect()\n"
        "        except AlohubError:\n"
        "            pass\n"
        "asyncio.run(main())\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    assert not _under(loaded, "alohub_async.cli", "alohub_async.testing", "typer", "rich")
    unused = ("events", "pagination.passes", "pagination.repair", "recorder", "resources.bulk", "resources.edits")
    assert not _under(loaded, *(f"alohub_async.{module}" for module in unused))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not the house's way"
            yield node.module or ""


@pytest.mark.parametrize(
    "module",
    [
        "http/requests",
        "http/responses",
        "http/redaction",
        "http/retries",
        "codec/converter",
        "models",
        "routes",
        "config",
        "errors",
        "secret",
    ],
)
def test_pure_modules_know_neither_asyncio_nor_aiohttp(module: str) -> None:
    """Decision logic is pure: these modules import no event loop and no clock."""
    assert not {"asyncio", "aiohttp", "time", "random", "logging"} & set(_imports(ROOT / f"{module}.py"))


@pytest.mark.parametrize("module", ["bucket", "counts", "weighted", "history", "status"])
def test_window_state_is_pure(module: str) -> None:
    """The clock is an argument there."""
    assert not {"asyncio", "aiohttp", "time", "random"} & set(_imports(ROOT / "rate_limits" / f"{module}.py"))


def test_only_the_transport_uses_aiohttps_client() -> None:
    """One room knows the HTTP library; the sandbox uses its server."""
    users = {
        str(path.relative_to(ROOT))
        for path in PATHS
        if any(name.partition(".")[0] == "aiohttp" for name in _imports(path))
    }
    assert {name for name in users if not name.startswith("testing")} == {"http/transport.py"}


def _declarations(path: Path) -> Iterator[tuple[str, str]]:
    """The names that a module declares in signatures and classes, each with the place.

    A `Deadline` is the running clock of an option that was declared before, not an option.
    """
    for node in ast.walk(_tree(path)):
        declared: list[tuple[str, ast.expr | None]] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            declared = [(argument.arg, argument.annotation) for argument in arguments]
        elif isinstance(node, ast.ClassDef):
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            declared = [(ast.unparse(field.target), field.annotation) for field in fields]
        for name, annotation in declared:
            if annotation is None or ast.unparse(annotation) != "Deadline":
                yield name, f"{path.name} {getattr(node, 'name', '')}"


@pytest.mark.parametrize("option", ["deadline", "priority", "page_size", "timeouts", "max_connections"])
def test_option_is_declared_in_few_places(option: str) -> None:
    """Over client, resources and jobs together, an option stands in at most four signatures or classes."""
    paths = [ROOT / "client.py", ROOT / "options.py"]
    for folder in ("http", "resources", "export", "audit", "changes"):
        paths += (ROOT / folder).rglob("*.py")
    places = {place for path in paths for name, place in _declarations(path) if name == option}
    assert len(places) <= 4, places


@pytest.mark.parametrize("word", ["meanwhile=", "catch_up", "unsettled", "Turn", "Gauge", "Lookahead", "let_go"])
def test_homemade_names_are_gone(word: str) -> None:
    """The package speaks in the field's terms."""
    assert [str(path) for path in PATHS if word in path.read_text()] == []


def test_tests_mirror_the_package() -> None:
    """Each folder of the package has its folder of tests."""
    tests = Path(__file__).parent
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders <= {path.parent.name for path in tests.glob("*/__init__.py")}


def test_typed_package_says_so() -> None:
    """The marker for type checkers is there."""
    assert (ROOT / "py.typed").exists()
