"""Pickle round trips of a value."""

import pickle
from typing import TypeVar

T = TypeVar("T")


def pickled(value: T, protocol: int = pickle.HIGHEST_PROTOCOL) -> T:
    """Return the value after pickling and unpickling."""
    twin: T = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  (our own bytes)
    return twin
