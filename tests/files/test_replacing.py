"""Replacing a file: what stays of the old one, and what is refused."""

import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from alohub_async import FileError, InvalidArgumentError
from alohub_async.files import read_queues, remove_leftovers, replacing, side_path, write_queues
from alohub_async.models import InboundQueue

ENDINGS = ("jsonl", "csv", "parquet")
QUEUE = InboundQueue(id=1, name="a")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the files of Unix")


def mode_of(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    """Who could not read the old file cannot read the new one, nor the half-written one."""
    path = tmp_path / "queues.jsonl"
    path.touch()
    path.chmod(mode)
    with replacing(path):
        (temporary,) = {*tmp_path.iterdir()} - {path}
        assert mode_of(temporary) == mode
    assert mode_of(path) == mode


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    """The umask decides, as for any file."""
    (tmp_path / "other").touch()
    write_queues(tmp_path / "queues.csv", [QUEUE])
    assert mode_of(tmp_path / "queues.csv") == mode_of(tmp_path / "other")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays(tmp_path: Path, *, exists: bool) -> None:
    """The file that a chain of links leads to is replaced, or made; its folder has the half-written file."""
    real, link = tmp_path / "disk" / "real.csv", tmp_path / "queues.csv"
    real.parent.mkdir()
    if exists:
        real.write_bytes(b"old")
    link.symlink_to("between.csv")
    (tmp_path / "between.csv").symlink_to("disk/real.csv")
    with replacing(link) as file:
        assert any(path.name.endswith(".tmp") for path in real.parent.iterdir())
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert [*real.parent.iterdir()] == [real]


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    """The error names the loop."""
    path = tmp_path / "queues.csv"
    path.symlink_to(path.name)
    with pytest.raises(FileError, match="it is a link"):
        write_queues(path, [QUEUE])
    with pytest.raises(FileError, match="it is a link"):
        list(read_queues(path))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("letter", ["q", "ế", "\U0001f4de"])
def test_a_name_of_255_bytes(tmp_path: Path, ending: str, letter: str) -> None:
    """The longest legal name can be written and read."""
    size = len(letter.encode())
    count, rest = divmod(255 - len(ending) - 1, size)
    path = tmp_path / f"{letter * count}{'x' * rest}.{ending}"
    write_queues(path, [QUEUE])
    assert [*read_queues(path)] == [QUEUE]
    assert [*tmp_path.iterdir()] == [path]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    """The error says so."""
    with pytest.raises(FileError, match="the name is too long"):
        write_queues(tmp_path / f"{'q' * 256}.csv", [QUEUE])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_refused(tmp_path: Path, ending: str, make: Callable[[Path], None]) -> None:
    """A pipe or a folder is neither replaced nor waited for."""
    path = tmp_path / f"queues.{ending}"
    make(path)
    before = path.stat()
    found: list[BaseException] = []

    def try_both() -> None:
        for work in (lambda: write_queues(path, [QUEUE]), lambda: list(read_queues(path))):
            try:
                work()
            except FileError as exc:
                found.append(exc)

    thread = threading.Thread(target=try_both, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert len(found) == 2
    assert all("it is a folder" in str(exc) or "a pipe or a device, not a file" in str(exc) for exc in found)
    assert os.path.samestat(before, path.stat())
    assert [*tmp_path.iterdir()] == [path]


def test_a_device_is_refused(tmp_path: Path) -> None:
    """A link to a device does not lead to it."""
    path = tmp_path / "queues.csv"
    path.symlink_to("/dev/null")
    with pytest.raises(FileError, match="a pipe or a device, not a file"):
        write_queues(path, [QUEUE])
    assert Path("/dev/null").is_char_device()


def test_a_name_with_nul_is_refused(tmp_path: Path) -> None:
    """Before anything is opened."""
    path = tmp_path / "a\0b.csv"
    with pytest.raises(InvalidArgumentError):
        write_queues(path, [QUEUE])
    with pytest.raises(InvalidArgumentError):
        read_queues(path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may do everything")
def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    """A file can be written where names cannot be read."""
    folder = tmp_path / "drop"
    folder.mkdir()
    folder.chmod(0o300)
    try:
        write_queues(folder / "queues.csv", [QUEUE])
        remove_leftovers(folder / "queues.csv")
        assert [*read_queues(folder / "queues.csv")] == [QUEUE]
    finally:
        folder.chmod(0o700)


def test_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    """Temporary files of this path are removed, also behind a link; those of other paths stay."""
    path, link = tmp_path / "queues.csv", tmp_path / "link.csv"
    link.symlink_to(path.name)
    with replacing(path), replacing(tmp_path / "queues.csv.parquet"):
        for each in [each for each in tmp_path.iterdir() if each.suffix == ".tmp"]:
            each.with_name(f"{each.stem[:-8]}00aa11bb.tmp").touch()
    left = {each for each in tmp_path.iterdir() if each.suffix == ".tmp"}
    remove_leftovers(link)
    assert len(left) == 2
    assert len(left & {*tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("name", ["q.csv", "q" * 251 + ".csv", "ế" * 60 + ".csv"])
def test_side_files_are_hidden_and_have_short_names(name: str) -> None:
    """A side file says what it belongs to if its name can be short; two long names have different ones."""
    side = side_path(Path("folder", name), ".part")
    assert side.parent == Path("folder")
    assert side.name.startswith(".")
    assert side.name.endswith(".part")
    assert len(side.name.encode()) <= 143  # of an encrypted file system
    assert (name in side.name) == (len(name) < 50)
    assert side != side_path(Path("folder", f"x{name[1:]}"), ".part")
