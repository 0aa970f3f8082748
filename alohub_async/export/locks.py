"""One process at a time works on a file; the lock goes with the process, however that ends."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

from alohub_async.errors import FileError
from alohub_async.files import file_error

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 40  # where nothing is written: Windows keeps others from what is locked

    def _lock(file: BinaryIO) -> None:
        file.seek(_BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_locked(path: Path, *, target: Path) -> BinaryIO:
    """Open a file for reading and appending, made if it is not there, that nobody else has locked.

    Raises:
        FileError: Another process has it locked, or it cannot be opened.
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
        file.close()  # whoever had it locked has finished and removed it
