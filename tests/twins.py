"""The twins of a value: what comes back when it is pickled and read again."""

import pickle
from typing import TypeVar

T = TypeVar("T")


def pickled(value: T, protocol: int = pickle.HIGHEST_PROTOCOL) -> T:
    """What another process gets."""
    twin: T = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  (our own bytes)
    return twin
