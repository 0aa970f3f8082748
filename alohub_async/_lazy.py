"""Names of a package that are imported when they are first asked for (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Make a package's `__getattr__`. What it found it puts into the package, so that it is asked once for each name.

    Two threads that ask at once both import, which Python's import lock orders, and both find the same object.

    Args:
        package: The package's `__name__`.
        homes: The names by the module they come from, which is named relative to the package.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def resolve(name: str) -> object:
        if name in homes:  # importing a module puts it into its package
            return import_module(f"{package}.{name}")
        module = sys.modules[package]
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value: object = getattr(import_module(f"{package}.{home_of[name]}"), name)
        setattr(module, name, value)
        return value

    return resolve
