"""CSV (RFC 4180, UTF-8, a header line) and JSON Lines: the rows of files that programs wrote and people edited.

Cells are separated by commas, or as the header is: by semicolons, tabs or vertical bars.

An empty cell is null. Text has an apostrophe before it, which reading removes, if it is empty, begins with an
apostrophe, a tab or a line break, could be a formula (its first visible character is one of `= + - @`, in any width),
or looks like a number that a spreadsheet has damaged, or like a formula that failed there. Blank lines, rows and
columns are skipped.
"""

import csv
import io
import itertools
import re
import threading
import unicodedata
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, BinaryIO, Final, NamedTuple

from alohub_async.files.records import Columns, RecordT, is_text, json_text, read_json
from alohub_async.plurals import counted
from alohub_async.validation import MAX_DIGITS, nearest

EXPECT: Final = "expect."
"""Before the name of a column with the value from before an edit."""

_SHIELDED: Final = frozenset({"", "\t", "\r", "\n", "'"})
_FORMULAS: Final = frozenset("=+-@\u2212")  # with the minus sign of mathematics
_UNSEEN: Final = frozenset({"Cc", "Cf", "Mn", "Zs", "Zl", "Zp"})
_MOST: Final = 2**31 - 1  # characters of a cell; the default is less than a record can have
_limit_lock: Final = threading.Lock()
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBER: Final = re.compile(r"\s*(-?[0-9]{1,100})(?:\.0{1,2})?\s*")  # 1.000 may be a thousand
_SHORTENED: Final = r"-?[0-9](?:[.,][0-9]+)?[Ee]\+[0-9]+|[0-9]{5,}\.0"
_NO_ZERO: Final = "[35789][0-9]{8}|2[0-9]{9}"  # Vietnamese numbers, of mobiles and of cities
_FORMULA_ERROR: Final = "#(?:N/A|REF!|NAME\\?|VALUE!|DIV/0!|NUM!|NULL!)|Err:[0-9]{3}"
_DAMAGED: Final = re.compile(rf"\s*(?:({_SHORTENED})|({_FORMULA_ERROR})|{_NO_ZERO})\s*\Z")
_SUSPECT: Final = re.compile(rf"[^\w{{]|_|\Z|{_DAMAGED.pattern}")  # most text is not, such as `extra`
_NOT_TEXT: Final = "not UTF-8; save the file as UTF-8"
_SEPARATORS: Final = ",;\t|"
_SEPARATOR_LINE: Final = re.compile(r"sep=([,;\t|])\s*\Z")


class Row(NamedTuple):
    """One row of a file."""

    line: int  # its first, counted from 1
    values: Mapping[str, Any]  # by column, without empty cells
    problems: tuple[str, ...] = ()  # why it cannot be used


def to_cell(value: Any) -> str:
    """A value as a cell: text that a spreadsheet could run, or seems to have damaged, has an apostrophe before it."""
    if isinstance(value, str):
        return f"'{value}" if _SUSPECT.match(value) and _needs_shield(value) else value
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:d}" if isinstance(value, int) else str(value)


def _needs_shield(text: str) -> bool:
    first = next((char for char in text if unicodedata.category(char) not in _UNSEEN), "")
    is_formula = unicodedata.normalize("NFKC", first) in _FORMULAS
    return is_formula or text[:1] in _SHIELDED or _DAMAGED.match(text) is not None


def from_cell(cell: str, kind: type) -> Any:
    """The value of a cell that is not empty; its text if it is not of that kind; a ValueError if it is damaged."""
    if kind is int:
        cell = cell.removeprefix("'")
    if kind is int and cell.isdecimal() and cell.isascii() and len(cell) <= MAX_DIGITS:
        return int(cell)
    if kind is int and (number := _NUMBER.fullmatch(cell)):
        return int(number[1])
    if kind is bool:
        return _FLAGS.get(cell.strip().lower(), cell)
    if (damaged := _DAMAGED.match(cell)) and (kind is not int or damaged[1]):
        damage = "cut short" if damaged[1] else "without its leading zero"
        found = f"a number {damage}, as spreadsheets do; format the column as text and enter it again"
        found = "a formula that failed; enter the value" if damaged[2] else found
        raise ValueError(f"{cell!r:.60} is {found}, or write '{cell:.60} if it is right")
    return cell.removeprefix("'")


def write(file: BinaryIO, columns: Columns[Any], records: Iterable[dict[str, Any]]) -> None:
    """Write the header and a line for each record."""
    write_rows(file, columns.names, (map(to_cell, columns.to_row(record).values()) for record in records))


def write_rows(file: BinaryIO, header: Iterable[str], rows: Iterable[Iterable[str]], *, separator: str = ",") -> None:
    """Write a CSV file of cells."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text, delimiter=separator)
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
    finally:
        text.detach()


def read(file: BinaryIO, columns: Columns[RecordT]) -> Iterator[RecordT]:
    """The records of a CSV file, whose columns may stand in any order; a ValueError names the line."""
    before = {EXPECT + name: kind for name, kind in columns.kinds.items()}  # of a file for spreadsheets
    rows = csv_rows(file, {**columns.kinds, "extra": str, **before}, columns.required)
    blank = dict.fromkeys(columns.required)

    def record(row: Mapping[str, Any]) -> RecordT:
        return columns.from_row({**blank, **{name: row[name] for name in row if name not in before}})

    return _records(rows, record)


def has_column(file: BinaryIO, name: str) -> bool:
    """Whether a CSV file has this column."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    first, separator = _first_lines(text)
    text.detach()
    return name in (cell.strip() for cell in next(csv.reader(first[-1:], delimiter=separator), ()))


def write_objects(file: BinaryIO, objects: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON Lines."""
    file.writelines(json_text(each).encode() for each in objects)


def read_lines(file: BinaryIO, columns: Columns[RecordT]) -> Iterator[RecordT]:
    """The records of a file of JSON Lines; a ValueError names the line."""
    return _records(json_rows(file), columns.from_dict)


def _records(rows: Generator[Row], make: Callable[[Mapping[str, Any]], RecordT]) -> Iterator[RecordT]:
    with closing(rows):  # before the file is
        for row in rows:
            if row.problems:
                raise ValueError(f"line {row.line}: {'; '.join(row.problems)}")
            try:
                record = make(row.values)
            except ValueError as exc:
                raise ValueError(f"line {row.line}: {exc}") from exc
            yield record


def csv_rows(
    file: BinaryIO, kinds: Mapping[str, type], required: Iterable[str], *, null: str | None = None
) -> Generator[Row]:
    """The rows of a CSV file of such columns; the last may have the problem of the rest. Cells of `null` are None."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    first, separator = _first_lines(text)
    reader = csv.reader(itertools.chain(first, text), delimiter=separator, strict=True)
    header: list[tuple[str, type]] = []
    line = 1
    try:
        while (cells := _next_row(reader)) is not None:
            joined = "".join(cells).strip()
            if not is_text(joined) or ("\0" in joined and not header):  # UTF-16, perhaps
                yield Row(line, {}, (_NOT_TEXT,))
                return
            if header and joined:
                yield _csv_row(line, header, cells, null, separator)
            elif joined:
                names = [name.strip() for name in _without_blanks(cells, 1)]
                if problems := _header_problems(names, kinds, required):
                    yield Row(line, {}, problems)
                    return
                header = [(name, kinds[name]) for name in names]
            line = reader.line_num + 1
        if not header:
            yield Row(1, {}, ("the file is empty; it needs a header line",))
    except csv.Error as exc:  # the boundaries of later rows are unknown
        yield Row(line, {}, (f"not CSV: {exc}",))
    finally:
        text.detach()


def _first_lines(text: Iterable[str]) -> tuple[list[str], str]:
    """The lines up to the header, and its separator; a line that only names the separator becomes blank."""
    lines, named = list[str](), None
    for line in text:
        named = _SEPARATOR_LINE.match(line)
        lines.append("\n" if named else line)
        if line.strip() and not named:
            return lines, max(_SEPARATORS, key=line.count)
    return lines, ","


def _next_row(rows: Iterator[list[str]]) -> list[str] | None:
    """The next row, of any length; None at the end. The limit of the csv module belongs to the whole process."""
    with _limit_lock:
        limit = csv.field_size_limit(_MOST)
        try:
            return next(rows, None)
        finally:
            csv.field_size_limit(limit)


def _without_blanks(cells: list[str], least: int) -> list[str]:
    """The cells without the blank ones behind, which spreadsheets add."""
    while len(cells) > least and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _header_problems(header: list[str], known: Collection[str], required: Iterable[str]) -> tuple[str, ...]:
    problems = [f"unknown column {name!r:.60}; {nearest(name, known)}" for name in header if name not in known]
    problems += [f"duplicate column {name!r:.60}" for name in dict.fromkeys(header) if header.count(name) > 1]
    problems += [f"no column {name!r}" for name in required if name not in header]
    return tuple(problems)


def _csv_row(line: int, header: list[tuple[str, type]], cells: list[str], null: str | None, separator: str) -> Row:
    if len(cells) != len(header):
        cells = _without_blanks(cells, len(header))
    if len(cells) != len(header):
        others = len(cells) == 1 and any(char in cells[0] for char in _SEPARATORS)
        hint = f"; cells must be separated by {separator!r}, as in the header" if others else ""
        return Row(line, {}, (f"{counted(len(cells), 'cell')}, but the header has {len(header)}{hint}",))
    values: dict[str, Any] = {}
    problems: list[str] = []
    for (name, kind), cell in zip(header, cells, strict=True):
        try:
            if cell:
                values[name] = None if cell == null else from_cell(cell, kind)
        except ValueError as exc:
            problems.append(f"{name}: {exc}")
    return Row(line, {} if problems else values, tuple(problems))


def json_rows(file: BinaryIO) -> Generator[Row]:
    """The objects of a file of JSON Lines, one a line; a byte order mark is skipped."""
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if not text.strip():
                continue
            values: Any = read_json(text)
            problems = () if type(values) is dict else (f"not a JSON object: {text.strip():.60}",)
            yield Row(number, values if not problems else {}, problems)
        except UnicodeDecodeError:
            yield Row(number, {}, (_NOT_TEXT,))
        except ValueError as exc:
            yield Row(number, {}, (f"not a JSON object: {exc}",))
