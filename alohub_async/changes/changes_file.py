"""Files of changes: CSV with a header line, or JSON Lines; `rows.py` describes the rows."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from alohub_async.changes.rows import COLUMNS, EXPECT, Change, Problem, read_cell, read_rows
from alohub_async.errors import FileError, InvalidArgumentError
from alohub_async.files import os_errors, replacing, to_cell
from alohub_async.files.delimited import Row, csv_rows, json_rows, write_objects, write_rows
from alohub_async.plurals import counted


class ChangesFileError(FileError):
    """A file of changes has `problems`, in the order of the lines; none of its changes is used."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        lines = "\n".join(map(str, problems))
        super().__init__(f"{path} has {counted(len(problems), 'problem')}:\n{lines}", path=path)
        self.problems = problems


def read_changes(path: Path) -> list[Change]:
    """Read and check a whole file of changes: `.csv` (UTF-8, commas, an empty cell is no value) or `.jsonl`.

    Raises:
        InvalidArgumentError: The file has another ending.
        ChangesFileError: The file has problems; the error lists all of them.
        FileError: The file cannot be read.
    """
    read, _ = _FORMATS[_checked_ending(path)]
    with os_errors(path, doing="read"), path.open("rb") as file:
        changes, problems = read_rows(read(file))
    if problems:
        raise ChangesFileError(path, tuple(sorted(problems, key=lambda problem: problem.line)))
    return changes


def write_changes(path: Path, changes: Iterable[Change]) -> None:
    """Write a file that `read_changes` can read, completely or not at all.

    Raises:
        InvalidArgumentError: The ending is neither `.csv` nor `.jsonl`.
        FileError: The file cannot be written; a file already at `path` is unchanged.
    """
    _, write = _FORMATS[_checked_ending(path)]
    with replacing(path) as file:
        write(file, [_values(change) for change in changes])


def _checked_ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        raise InvalidArgumentError(f"a file of changes must end in {' or '.join(_FORMATS)}; {str(path)!r} was given")
    return ending


def _values(change: Change) -> dict[str, Any]:
    return {"id": change.id, **change.wanted, **{EXPECT + name: value for name, value in change.expect.items()}}


def _to_cell(value: object) -> str:
    if value is None:
        return "null"
    return "'null" if value == "null" else to_cell(value)


def _write_csv(file: BinaryIO, rows: list[dict[str, Any]]) -> None:
    names = [name for name in COLUMNS if name == "id" or any(name in row for row in rows)]
    write_rows(file, names, ([_to_cell(row[name]) if name in row else "" for name in names] for row in rows))


_read_csv: Callable[[BinaryIO], Iterator[Row]] = partial(csv_rows, known=COLUMNS, required=["id"], read_cell=read_cell)
_FORMATS: Final = {".csv": (_read_csv, _write_csv), ".jsonl": (json_rows, write_objects)}
