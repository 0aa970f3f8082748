"""Writing a file so that its name has the old content or the new, never half of it, even after a power cut."""

import errno
import hashlib
import os
import re
import secrets
import stat
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
    errno.ELOOP: "it is a link",
    errno.ENAMETOOLONG: "the name is too long",
}
_LONG: Final = 100  # bytes; a side file's name is longer, and some file systems take 143


def file_error(path: Path, error: OSError, *, doing: str) -> FileError:
    """What the operating system refused, in one line; `doing` is `"read"`, `"write"` or `"lock"`."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return FileError(f"cannot {doing} {path}: {' '.join(reason.split())}", path=path)


@contextmanager
def os_errors(path: Path, *, doing: str) -> Generator[None]:
    """Raise what the operating system refuses in the block as a `FileError`; see `file_error`."""
    try:
        yield
    except OSError as exc:
        raise file_error(path, exc, doing=doing) from exc


@contextmanager
def reading(path: Path) -> Generator[BinaryIO]:
    """A file to read from; a `FileError` if that is impossible, or if it is a pipe or a device, which could block."""
    with os_errors(path, doing="read"):
        check_is_file(path.stat())
        with path.open("rb") as file:
            yield file


def check_is_file(found: os.stat_result) -> None:
    """Raise an OSError for a folder, a pipe, a device or a socket."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def check_folder(path: Path) -> None:
    """Raise a `FileError` if the folder of a file to be written does not exist."""
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: folder {path.parent} does not exist", path=path)


def check_target(path: Path) -> None:
    """Raise what would keep a file from being written, as far as that is known before, as a `FileError`."""
    with os_errors(path, doing="write"), suppress(FileNotFoundError):
        check_is_file(path.stat())
    check_folder(path)


def side_path(path: Path, ending: str, *, mark: str = ".") -> Path:
    """The path of a file beside another one, short, and skipped by programs that read folders, by its `.` or `_`."""
    name = path.name if len(os.fsencode(path.name)) <= _LONG else _short_name(path)
    return path.with_name(f"{mark}{name}{ending}")


def _short_name(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file to write into, beside `path`, that takes its place when the block ends well, and else goes.

    The new file has the mode of the old one. Of a link, what it points to is replaced. A `FileError` says that it
    cannot be written; what was at `path` is then as it was.
    """
    target = Path(os.path.realpath(path))
    with os_errors(path, doing="write"):
        old = None
        with suppress(FileNotFoundError):
            old = target.stat()
            check_is_file(old)
        temporary = target.with_name(f".{_short_name(target)}.{secrets.token_hex(4)}.tmp")
        mode = 0o666 if old is None else 0o600  # the umask applies
        try:
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                if old is not None:
                    with suppress(OSError, AttributeError):  # only root may, and Windows has none
                        os.chown(temporary, old.st_uid, old.st_gid)
                    temporary.chmod(stat.S_IMODE(old.st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
        finally:
            with suppress(OSError):
                temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut; where that is impossible (Windows, no permission), do nothing."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows, for every folder
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove what writers of `path` that were killed left beside it; nobody may be writing it now."""
    target = Path(os.path.realpath(path))
    ours = re.compile(rf"\.{_short_name(target)}\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):
        for each in target.parent.iterdir():
            if ours.fullmatch(each.name):
                each.unlink()
