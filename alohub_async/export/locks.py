"""A lock, so that one process at a time works on a file. It ends with the process, in whatever way that ends."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

from alohub_async.errors import FileError
from alohub_async.files import file_error

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 40  # bytes: far beyond the content, because Windows does not let others read what is locked

    def _lock(file: BinaryIO) -> None:
        file.seek(_BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_locked(path: Path, *, target: Path) -> BinaryIO:
    """Open and lock a file for reading and appending; create it if it does not exist.

    Args:
        path: The file.
        target: What the file is for, for the error.

    Raises:
        FileError: Another process has locked it, or it cannot be opened.
    """
    while True:
        try:
            file = path.open("a+b")
        except OSError as exc:
            raise file_error(path, exc, doing="write") from exc
        try:
            _lock(file)
        except OSError as exc:
            file.close()
            raise FileError(f"another export to {target} is running; wait for it, or stop it", path=target) from exc
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()  # the export that had locked it has finished and removed it
