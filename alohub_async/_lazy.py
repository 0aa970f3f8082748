"""Names of a package that are imported when they are first used (PEP 562), as its stub file lists them."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any


def attach_stub(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Make a package's `__getattr__`, `__dir__` and `__all__` from its `__init__.pyi`.

    The stub holds nothing but `from … import name as name`, so the public names are listed once, for type checkers and
    at run time. A name is looked up once; if two threads ask at once, Python's import lock orders their imports.
    """
    module: Any = sys.modules[package]
    stub = module.__spec__.loader.get_data(module.__file__.removesuffix("c").removesuffix(".py") + ".pyi").decode()
    home_of = {name: home for home, names in _imports(stub) for name in names}
    modules = {home.removeprefix(f"{package}.").partition(".")[0] for home in home_of.values()}
    public = sorted(home_of)

    def resolve(name: str) -> object:
        if name in modules:  # importing a module puts it into its package
            return import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value: object = getattr(import_module(home_of[name]), name)
        setattr(module, name, value)
        return value

    return resolve, lambda: public, public


def _imports(stub: str) -> Iterator[tuple[str, list[str]]]:
    """The modules that a stub imports from, with the names."""
    for statement in stub.split("\nfrom ")[1:]:
        module, _, names = statement.partition(" import ")
        yield module, [alias.rpartition(" as ")[2].strip() for alias in names.strip("(),\r\n ").split(",")]
