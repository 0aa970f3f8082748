"""Files of changes: CSV with a header line, or JSON Lines; `rows.py` describes the rows."""

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Final

from alohub_async.changes.rows import COLUMNS, Change, Problem, read_rows
from alohub_async.errors import FileError
from alohub_async.files import check_ending, reading, replacing, to_cell
from alohub_async.files.delimited import EXPECT, csv_rows, json_rows, write_objects, write_rows
from alohub_async.plurals import counted

ENDINGS: Final = (".csv", ".jsonl")  # of files that people edit


class ChangesFileError(FileError):
    """A file of changes has `problems`, in the order of the lines; none of its changes is used."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        lines = "\n".join(map(str, problems))
        super().__init__(f"{path} has {counted(len(problems), 'problem')}:\n{lines}", path=path)
        self.problems = problems


def read_changes(path: Path, *, opened: BinaryIO | None = None) -> list[Change]:
    """Read and check a whole file of changes: `.csv` (UTF-8, an empty cell is no value) or `.jsonl`.

    Args:
        path: The file. Its ending is the format.
        opened: Where to read it from instead, such as stdin; the path then only names it.

    Raises:
        InvalidArgumentError: The file has another ending.
        ChangesFileError: The file has problems; the error lists all of them.
        FileError: The file cannot be read.
    """
    ending = check_ending(path, ENDINGS)
    with reading(path) if opened is None else nullcontext(opened) as file:
        rows = csv_rows(file, COLUMNS, ["id"], null="null") if ending == ".csv" else json_rows(file)
        changes, problems = read_rows(rows)
    if problems:
        raise ChangesFileError(path, tuple(sorted(problems, key=lambda problem: problem.line)))
    return changes


def write_changes(path: Path, changes: Iterable[Change]) -> None:
    """Write a file that `read_changes` can read, completely or not at all.

    Raises:
        InvalidArgumentError: The ending is neither `.csv` nor `.jsonl`.
        FileError: The file cannot be written; a file already at `path` is unchanged.
    """
    ending, rows = check_ending(path, ENDINGS), [_values(change) for change in changes]
    with replacing(path) as file:
        if ending == ".csv":
            names = [name for name in COLUMNS if name == "id" or any(name in row for row in rows)]
            write_rows(file, names, ([_to_cell(row[name]) if name in row else "" for name in names] for row in rows))
        else:
            write_objects(file, rows)


def _values(change: Change) -> dict[str, Any]:
    wanted = change.wanted
    expected = {EXPECT + name if name in wanted else name: value for name, value in change.expect.items()}
    return {"id": change.id, **wanted, **expected}


def _to_cell(value: object) -> str:
    if value is None:
        return "null"
    return "'null" if value == "null" else to_cell(value)
