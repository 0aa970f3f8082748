"""CSV for spreadsheets, to be edited and read back.

It begins with a byte order mark, without which Excel does not read UTF-8. The separator is a semicolon: Excel expects
that of the system's locale, and it is the semicolon where the decimal sign is a comma, as in Vietnam. A first line
`sep=;` would work everywhere, but makes Excel ignore the byte order mark. The reader accepts what spreadsheets save.

Text that a spreadsheet would make a number, a date or a truth value has an apostrophe before it, which reading removes:
otherwise `0912345678` loses its zero when the file is saved. Strategies and other enums are written by name. Behind the
columns are the values of the editable ones again, as `expect.…`: they tell which cells were edited.
"""

import codecs
import re
from collections.abc import Collection, Iterable
from typing import Any, BinaryIO, Final

from alohub_async.files.delimited import EXPECT, to_cell, write_rows
from alohub_async.files.records import Columns

_MONTHS: Final = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*+"
_CONVERTED: Final = re.compile(rf"(?is)(?=.*\d)(?:[\W\d_]|e|{_MONTHS}|[ap]m?)*+\Z|\s*(?:true|false|null)\s*\Z")
_EXACT: Final = 10**15  # a spreadsheet rounds larger numbers


def write_sheet(
    file: BinaryIO, columns: Columns[Any], records: Iterable[dict[str, Any]], *, editable: Collection[str]
) -> None:
    """Write such a file; `extra` is left out."""
    names = [name for name in columns.names if name != "extra"]

    def row(record: dict[str, Any]) -> list[str]:
        values = columns.to_row(record)
        cells = {name: _cell(values[name], columns.enums.get(name, ())) for name in names}
        return [*cells.values(), *(cells[name] or "null" for name in editable)]

    file.write(codecs.BOM_UTF8)
    write_rows(file, [*names, *(EXPECT + name for name in editable)], map(row, records), separator=";")


def _cell(value: Any, members: Iterable[Any]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"  # true would be translated
    cell = next((member.name for member in members if member == value), to_cell(value))
    is_converted = _CONVERTED.match(value) if isinstance(value, str) else isinstance(value, int) and value >= _EXACT
    return f"'{cell}" if is_converted and cell[:1] != "'" else cell
