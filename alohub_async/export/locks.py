"""A lock, so that one process at a time works on a file. It ends with the process, in whatever way that ends."""

import errno
import os
import sys
from io import FileIO
from pathlib import Path
from typing import Final

from alohub_async.errors import FileError
from alohub_async.files import check_is_file, os_errors

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 40  # bytes: far beyond the content, because Windows does not let others read what is locked
    _LOCKED: Final = {errno.EACCES, errno.EDEADLK}

    def _lock(file: FileIO) -> None:
        file.seek(_BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    _LOCKED: Final = {errno.EWOULDBLOCK, errno.EAGAIN}  # anything else, such as ENOLCK, does not mean "locked"

    def _lock(file: FileIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_OWN: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe would not open


def open_locked(path: Path, *, target: Path) -> FileIO:
    """Open and lock a file for reading and appending; create it, for the user alone, if it does not exist.

    A `FileError` says that another process has locked it, for the same `target`, or that it is a link or no file.
    """
    with os_errors(path, doing="write"):
        while True:
            file = FileIO(path, "a+", opener=lambda name, flags: os.open(name, flags | _OWN, 0o600))
            try:
                _check_own(os.fstat(file.fileno()))
                _try_lock(file, path, target)
                if is_at(path, file):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()  # the export that had locked it has finished and removed it


def _check_own(found: os.stat_result) -> None:
    check_is_file(found)
    if found.st_nlink > 1:
        raise OSError(errno.EMLINK, "it is a link")


def _try_lock(file: FileIO, path: Path, target: Path) -> None:
    try:
        _lock(file)
    except OSError as exc:
        if exc.errno in _LOCKED:
            raise FileError(f"another export to {target} is running; wait for it, or stop it", path=target) from exc
        with os_errors(path, doing="lock"):
            raise


def is_at(path: Path, file: FileIO) -> bool:
    """Whether the name still belongs to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False
