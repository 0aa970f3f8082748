"""Standard streams that are missing or closed: without them the command does the same, with the same exit code."""

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_STREAMS: Final = {"stdin": "r", "stdout": "w", "stderr": "w"}


def discard(stream: Any) -> None:
    """Send buffered output to the null device; otherwise Python reports an error when it flushes the stream at exit."""
    with suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), number)


class _Stderr:
    """Stderr that never fails: what nobody reads is lost."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[..., object], *arguments: str) -> None:
        try:
            action(*arguments)
        except (OSError, ValueError):
            discard(self._stream)


@contextmanager
def usable_streams() -> Generator[None]:
    """Put the null device in the place of streams that are missing, as in a service; forgive failures of stderr."""
    with ExitStack() as stack:
        for name, mode in _STREAMS.items():
            stream: Any = getattr(sys, name)
            stack.callback(setattr, sys, name, stream)
            if stream is None or getattr(stream, "closed", False):
                stream = stack.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))
            elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a character that the terminal cannot encode is no failure
            setattr(sys, name, _Stderr(stream) if name == "stderr" else stream)
        yield
