"""Where the results of many tenants go: a local folder, or any URL that fsspec knows."""

import importlib
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

from alohub_async.background_tasks import Caught
from alohub_async.errors import ConfigurationError, FileError
from alohub_async.export.locks import open_locked
from alohub_async.files import json_text, os_errors, replacing
from alohub_async.files.records import read_json

_LOCK: Final = ".run.lock"


class Folder:
    """A folder whose files are there whole or not at all; names in it have `/` between their parts."""

    def __init__(self, root: str) -> None:
        """Open it. A URL raises a `ConfigurationError` if fsspec, or what it needs for the URL, is not installed."""
        self.local: Path | None = None if "://" in root else Path(root)
        self.shown: str = root if self.local else re.sub("://[^/]*@", "://", root).rstrip("/")  # without a password
        if "\0" in root:
            raise FileError(f"cannot write {self.shown}: it has a null character", path=Path(self.shown))
        if self.local is None:
            self._files, self._at = _file_system(root, self.shown)

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object in a file; empty if there is no such file, or something else is in it."""
        data = b""
        with suppress(FileNotFoundError), self._errors(name, doing="read"):
            data = (self.local / name).read_bytes() if self.local else self._files.cat_file(f"{self._at}/{name}")
        with suppress(ValueError):
            found = read_json(data)
            return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        return {}

    def size(self, name: str) -> int | None:
        """The size of a file in bytes; None if there is none."""
        with suppress(FileNotFoundError), self._errors(name, doing="read"):
            return (self.local / name).stat().st_size if self.local else int(self._files.size(f"{self._at}/{name}"))
        return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file: what was there stays until the new content is whole."""
        if self.local:
            target = self.local / name
            make_folder(target.parent)
            with replacing(target) as file:
                file.write(content)
            return
        path = f"{self._at}/{name}"
        parent, _, last = path.rpartition("/")
        temporary = f"{parent}/.{last}.{secrets.token_hex(4)}.tmp"
        with self._errors(name, doing="write"):
            self._files.makedirs(parent, exist_ok=True)
            self._files.pipe_file(temporary, content)
            self._files.mv(temporary, path)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError), self._errors(name, doing="remove"):
            (self.local / name).unlink() if self.local else self._files.rm_file(f"{self._at}/{name}")

    def write_json(self, name: str, value: object) -> None:
        """Write a JSON object."""
        self.write(name, json_text(value, indent=2).encode())

    @contextmanager
    def locked(self) -> Generator[None]:
        """Let one run at a time work in a local folder; a URL has no lock."""
        if self.local is None:
            yield
            return
        make_folder(self.local)
        lock = self.local / _LOCK
        with open_locked(lock, target=self.local):
            try:
                yield
            finally:
                with suppress(OSError):  # Windows cannot remove what is open
                    lock.unlink()

    @contextmanager
    def _errors(self, name: str, *, doing: str) -> Generator[None]:
        caught = Caught()
        caught.spared = () if doing == "write" else (FileNotFoundError,)
        with caught:
            yield
        if (error := caught.error) is not None:  # each backend of fsspec has errors of its own
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise FileError(f"cannot {doing} {self.shown}/{name}: {why}", path=Path(self.shown, name)) from error


def make_folder(path: Path) -> None:
    """Make a local folder, and those it is in."""
    with os_errors(path, doing="write"):
        path.mkdir(parents=True, exist_ok=True)


def _file_system(url: str, shown: str) -> tuple[Any, str]:
    try:
        core: Any = importlib.import_module("fsspec.core")
    except ImportError as exc:
        advice = "run: pip install 'alohub-async[distributed]'"
        raise ConfigurationError(f"a URL as folder needs fsspec, which is not installed; {advice}") from exc
    try:
        files, path = core.url_to_fs(url)
    except (ImportError, ValueError) as exc:
        raise ConfigurationError(f"fsspec cannot open {shown}: {exc}") from exc
    return files, str(path).rstrip("/")
