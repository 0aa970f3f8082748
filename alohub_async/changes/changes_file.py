"""Files of changes: CSV with a header line, or JSON Lines; `rows.py` describes the rows."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from alohub_async.changes.rows import COLUMNS, EXPECT, Change, Problem, Row, read_rows
from alohub_async.errors import FileError, InvalidArgumentError
from alohub_async.files import file_error, json_text, next_row, replacing, to_cell
from alohub_async.plurals import counted

_NULL: Final = "null"


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
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise file_error(path, exc, doing="read") from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise ChangesFileError(path, (Problem(line, "not UTF-8; save the file as UTF-8"),)) from exc
    changes, problems = read_rows(read(text))
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


# CSV


def _read_csv(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next_row(reader)
        except csv.Error as exc:  # the boundaries of later rows are unknown
            yield Row(line, {}, (f"not CSV: {exc}",))
            return
        if cells is None:
            break
        if not any(cells):
            continue
        if header is None:
            header = [name.strip() for name in cells]
            problems = _header_problems(header)
            if problems:
                yield Row(line, {}, problems)
                return
        elif len(cells) != len(header):
            yield Row(line, {}, (f"{counted(len(cells), 'cell')}, but the header has {len(header)}",))
        else:
            yield Row(line, {name: _from_cell(cell) for name, cell in zip(header, cells, strict=True) if cell})
    if header is None:
        yield Row(1, {}, ("the file is empty; it needs a header line",))


def _header_problems(header: list[str]) -> tuple[str, ...]:
    problems = [f"unknown column {name!r:.60}" for name in header if name not in COLUMNS]
    problems += [f"duplicate column {name!r}" for name in dict.fromkeys(header) if header.count(name) > 1]
    if "id" not in header:
        problems.append("no column 'id'")
    if problems:
        problems.append(f"the columns are {', '.join(COLUMNS)}, separated by commas")
    return tuple(problems)


def _from_cell(cell: str) -> str | None:
    return None if cell == _NULL else cell.removeprefix("'")


def _to_cell(value: object) -> str:
    if value is None:
        return _NULL
    return f"'{_NULL}" if value == _NULL else to_cell(value)


def _write_csv(file: BinaryIO, rows: list[dict[str, Any]]) -> None:
    names = [name for name in COLUMNS if name == "id" or any(name in row for row in rows)]
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(names)
        writer.writerows([_to_cell(row[name]) if name in row else "" for name in names] for row in rows)
        text.flush()
    finally:
        text.detach()


# JSON Lines


def _read_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _json_row(number, line)


def _json_row(number: int, line: str) -> Row:
    try:
        value: Any = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as exc:
        return Row(number, {}, (f"not a JSON object: {exc}",))
    if not isinstance(value, dict):
        return Row(number, {}, (f"not a JSON object: {line.strip():.60}",))
    return Row(number, cast("dict[str, Any]", value))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    duplicates = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if duplicates:
        raise ValueError(f"duplicate key {duplicates[0]!r}")
    return dict(pairs)


def _write_lines(file: BinaryIO, rows: list[dict[str, Any]]) -> None:
    file.writelines(json_text(row).encode() for row in rows)


_READERS: Final[dict[str, Callable[[str], Iterator[Row]]]] = {".csv": _read_csv, ".jsonl": _read_lines}
_WRITERS: Final[dict[str, Callable[[BinaryIO, list[dict[str, Any]]], None]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_lines,
}
