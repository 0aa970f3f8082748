"""A file of JSON objects, one a line, that is only ever appended to, and in which any damage is noticed.

Each line ends with a checksum of all lines before it and of itself. So a line that was changed, left out, inserted or
repeated is found. A line is on the disk before the next one is written; so only the last one can be half-written, and
it has no line feed then.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from alohub_async.errors import FileError
from alohub_async.export.locks import is_at
from alohub_async.files import json_text, os_errors, sync_folder


class Mark(NamedTuple):
    """A place between two lines: its position in bytes, and the checksum of all lines before it."""

    position: int
    sum: "hashlib.blake2b"  # a copy that nobody updates


class Log:
    """An open log, locked."""

    def __init__(self, file: FileIO, path: Path, kind: str) -> None:
        """Take an open file that is empty or such a log: the first name of its first object is `kind`, with value 1."""
        self.path: Path = path
        self.start: Mark = Mark(0, hashlib.blake2b(digest_size=8))
        self.end: Mark = self.start  # where the next line is appended
        self._file = file
        begin = f'{{"{kind}": 1'.encode()
        with os_errors(path, doing="read"):
            file.seek(0)
            found = file.read(len(begin))
        if found not in {b"", begin}:
            raise FileError(f"{path} is not an {kind.replace('_', ' ')} of this version; move it away", path=path)

    def read(self, start: Mark, end: int | None = None) -> Iterator[tuple[Mapping[str, Any], Mark]]:
        """The objects behind a mark, each with the mark behind it, up to a position, or to the last whole line."""
        position, total = start.position, start.sum.copy()
        with os_errors(self.path, doing="read"), open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(position)
            while position != end and (line := file.readline()):
                text, _, found = line.rpartition(b"\t")
                total.update(text + b"\n")  # also an empty text changes it
                if found != f"{total.hexdigest()}\n".encode():
                    if end is None and not line.endswith(b"\n"):
                        return
                    raise self.unusable(f"is damaged at byte {position}")
                position += len(line)
                yield json.loads(text), Mark(position, total.copy())
        if end not in {None, position}:
            raise self.unusable(f"ends at byte {position}")

    def unusable(self, why: str) -> FileError:
        """The error of a log that cannot be used, and what to do."""
        return FileError(f"{self.path} {why}, so it cannot be used; start anew with restart=True", path=self.path)

    def cut(self, mark: Mark) -> None:
        """Remove everything behind a mark."""
        with os_errors(self.path, doing="write"):
            self._file.truncate(mark.position)
        self.end = mark

    def append(self, value: Mapping[str, Any]) -> None:
        """Append an object. It is safe on the disk when this returns; if this fails, nothing of it is there."""
        text, total = json_text(value)[:-1].encode(), self.end.sum.copy()
        total.update(text + b"\n")
        left = memoryview(b"%b\t%b\n" % (text, total.hexdigest().encode()))
        end = Mark(self.end.position + len(left), total)
        with os_errors(self.path, doing="write"):
            try:
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self.end.position)
                raise
            if not self.end.position:
                sync_folder(self.path.parent)
        self.end = end

    def remove(self) -> None:
        """Remove the file: nothing needs it any more."""
        with os_errors(self.path, doing="write"):
            if not is_at(self.path, self._file):
                return
            if os.name == "nt":
                self._file.close()  # an open file could not be removed
            self.path.unlink()
            sync_folder(self.path.parent)
