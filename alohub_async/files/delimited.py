"""CSV (RFC 4180, UTF-8, a header line), which a spreadsheet can open without running what a queue's name says.

An empty field is null. Text that is empty, or begins with what a spreadsheet takes for a formula (`= + - @`, tab, line
breaks) or with an apostrophe, has an apostrophe before it; reading takes it off again.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from alohub_async.files.records import KINDS, NAMES, queue_of_row, row_of
from alohub_async.models import InboundQueue

_SHIELDED: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_FLAGS: Final = {"true": True, "false": False}


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if not value or value.startswith(_SHIELDED) else value
    return str(value)


def _value(text: str, kind: type) -> Any:
    if text == "":
        return None
    if kind is str:
        return text.removeprefix("'")
    if kind is bool:
        return _FLAGS.get(text.lower(), text)  # a spreadsheet writes TRUE
    return int(text) if text.removeprefix("-").isdecimal() else text


def write(file: BinaryIO, queues: Iterable[InboundQueue]) -> None:
    """Write the header and a line for each queue."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(NAMES)
        writer.writerows([_field(value) for value in row_of(queue).values()] for queue in queues)
        text.flush()
    finally:
        text.detach()


def read(file: BinaryIO) -> Iterator[InboundQueue]:
    """The queues of such a file; a ValueError names the line.

    The columns may stand in any order, and there may be a byte order mark, as spreadsheets write one.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, strict=True)
    try:
        header = _checked_header(next(rows, list[str]()))
        for row in rows:
            yield _queue(header, row)
    except (ValueError, csv.Error) as exc:
        raise ValueError(f"line {rows.line_num}: {exc}") from exc
    finally:
        text.detach()


def _checked_header(header: list[str]) -> list[str]:
    if len({*header}) < len(header) or not {"id", "name"} <= {*header}:
        raise ValueError(f"not a header of queues: {header!r:.100}")
    return header


def _queue(header: list[str], row: list[str]) -> InboundQueue:
    if len(row) != len(header):
        raise ValueError(f"{len(row)} fields instead of {len(header)}")
    return queue_of_row({name: _value(text, KINDS.get(name, str)) for name, text in zip(header, row, strict=True)})
