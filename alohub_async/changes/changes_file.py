"""Files of changes: CSV with a header line, or JSON Lines; `rows.py` describes the rows."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from alohub_async.changes.rows import COLUMNS, EXPECT, Change, Problem, read_cell, read_rows
from alohub_async.errors import FileError, InvalidArgumentError
from alohub_async.files import file_error, json_text, replacing, to_cell
from alohub_async.files.delimited import Row, csv_rows, json_rows, write_rows
from alohub_async.plurals import counted


class ChangesFileError(FileError):
    """A file of changes has problems; none of its changes is used.

    Attributes:
        problems: Every problem, in the order of the lines.
    """

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        lines = "\n".join(map(str, problems))
        super().__init__(f"{path} has {counted(len(problems), 'problem')}:\n{lines}", path=path)
        self.problems = problems


def read_changes(path: Path) -> list[Change]:
    """Read and check a whole file of changes.

    Args:
        path: The file: `.csv` (UTF-8, separated by commas, an empty cell is no value) or `.jsonl`.

    Raises:
        InvalidArgumentError: The file has another ending.
        ChangesFileError: The file has problems; the error lists all of them.
        FileError: The file cannot be read.
    """
    read = _READERS[_checked_ending(path)]
    try:
        with path.open("rb") as file:
            changes, problems = read_rows(read(file))
    except OSError as exc:
        raise file_error(path, exc, doing="read") from exc
    if problems:
        raise ChangesFileError(path, tuple(sorted(problems, key=lambda problem: problem.line)))
    return changes


def write_changes(path: Path, changes: Iterable[Change]) -> None:
    """Write a file that `read_changes` can read, completely or not at all.

    Raises:
        InvalidArgumentError: The ending is neither `.csv` nor `.jsonl`.
        FileError: The file cannot be written; a file already at `path` is unchanged.
    """
    write = _WRITERS[_checked_ending(path)]
    with replacing(path) as file:
        write(file, [_values(change) for change in changes])


def _checked_ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise InvalidArgumentError(f"a file of changes must end in {' or '.join(_READERS)}; {str(path)!r} was given")
    return ending


def _values(change: Change) -> dict[str, Any]:
    return {"id": change.id, **change.wanted, **{EXPECT + name: value for name, value in change.expect.items()}}


def _read_csv(file: BinaryIO) -> Iterator[Row]:
    return csv_rows(file, COLUMNS, ("id",), read_cell)


def _to_cell(value: object) -> str:
    if value is None:
        return "null"
    return "'null" if value == "null" else to_cell(value)


def _write_csv(file: BinaryIO, rows: list[dict[str, Any]]) -> None:
    names = [name for name in COLUMNS if name == "id" or any(name in row for row in rows)]
    write_rows(file, names, ([_to_cell(row[name]) if name in row else "" for name in names] for row in rows))


def _write_lines(file: BinaryIO, rows: list[dict[str, Any]]) -> None:
    file.writelines(json_text(row).encode() for row in rows)


_READERS: Final[dict[str, Callable[[BinaryIO], Iterator[Row]]]] = {".csv": _read_csv, ".jsonl": json_rows}
_WRITERS: Final[dict[str, Callable[[BinaryIO, list[dict[str, Any]]], None]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_lines,
}
