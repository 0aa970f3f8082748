"""CSV (RFC 4180, UTF-8, a header line), which a spreadsheet opens without running what a name says.

An empty field is null. Text has an apostrophe before it, which reading removes, if it is empty, begins with an
apostrophe, a tab or a line break, or could be a formula: its first visible character is one of `= + - @`, in any width.
"""

import csv
import io
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from alohub_async.files.records import Columns, RecordT
from alohub_async.plurals import counted

_SHIELDED: Final = ("\t", "\r", "\n", "'")
_FORMULAS: Final = frozenset("=+-@\u2212")  # with the minus sign of mathematics
_UNSEEN: Final = frozenset({"Cc", "Cf", "Mn", "Zs", "Zl", "Zp"})
_MOST: Final = 2**31 - 1  # characters of a cell; the default is less than a record can have
_limit_lock: Final = threading.Lock()
_FLAGS: Final = {"true": True, "false": False}


def to_cell(value: Any) -> str:
    """A value as a cell: text that a spreadsheet could run has an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if not value or value.startswith(_SHIELDED) or _may_be_formula(value) else value
    return str(value)


def _may_be_formula(text: str) -> bool:
    if text[0].isalnum():
        return False
    first = next((char for char in text if unicodedata.category(char) not in _UNSEEN), "")
    return unicodedata.normalize("NFKC", first) in _FORMULAS


def _value(text: str, kind: type) -> Any:
    if text == "":
        return None
    if kind is str:
        return text.removeprefix("'")
    if kind is bool:
        return _FLAGS.get(text.lower(), text)  # a spreadsheet writes TRUE
    return int(text) if text.removeprefix("-").isdecimal() else text


def write(file: BinaryIO, columns: Columns[RecordT], records: Iterable[RecordT]) -> None:
    """Write the header and a line for each record."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(columns.names)
        writer.writerows([*map(to_cell, columns.to_row(record).values())] for record in records)
        text.flush()
    finally:
        text.detach()


def read(file: BinaryIO, columns: Columns[RecordT]) -> Iterator[RecordT]:
    """The records of such a file; a ValueError names the line.

    The columns may stand in any order, and there may be a byte order mark, as spreadsheets write one.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, strict=True)
    try:
        header = _checked_header(next_row(rows) or [], columns.required)
        while (row := next_row(rows)) is not None:
            yield _record(columns, header, row)
    except (ValueError, csv.Error) as exc:
        raise ValueError(f"line {rows.line_num}: {exc}") from exc
    finally:
        text.detach()


def next_row(rows: Iterator[list[str]]) -> list[str] | None:
    """The next row, of any length; None at the end. The limit of the csv module belongs to the whole process."""
    with _limit_lock:
        limit = csv.field_size_limit(_MOST)
        try:
            return next(rows, None)
        finally:
            csv.field_size_limit(limit)


def _checked_header(header: list[str], required: Iterable[str]) -> list[str]:
    if len({*header}) < len(header) or not {*required} <= {*header}:
        raise ValueError(f"not a header of records: {header!r:.100}")
    return header


def _record(columns: Columns[RecordT], header: list[str], row: list[str]) -> RecordT:
    if len(row) != len(header):
        raise ValueError(f"{counted(len(row), 'cell')}, but the header has {len(header)}")
    kinds = columns.kinds
    return columns.from_row({name: _value(text, kinds.get(name, str)) for name, text in zip(header, row, strict=True)})
