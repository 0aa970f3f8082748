"""Writing a file so that its name has the old content or the new, never half of it, even after a power cut."""

import errno
import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from alohub_async.errors import FileError

_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "there is no such file or folder",
    errno.EISDIR: "it is a folder",
}


def file_error(path: Path, error: OSError, *, doing: str) -> FileError:
    """What the operating system refused, in one line.

    Args:
        path: The file the user named.
        error: The refusal.
        doing: `"read"` or `"write"`.
    """
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return FileError(f"cannot {doing} {path}: {reason}", path=path)


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file to write into, beside `path`, that takes its place when the block ends well, and else goes.

    Raises:
        FileError: It cannot be written; what was at `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except OSError as exc:
            raise file_error(path, exc, doing="write") from exc
    finally:
        with suppress(OSError):
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut; where the system cannot (Windows), do nothing."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove what writers of `path` that were killed left beside it; nobody may be writing it now."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    for each in path.parent.iterdir():
        if ours.fullmatch(each.name):
            with suppress(OSError):
                each.unlink()
