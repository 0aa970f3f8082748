"""The output of the command: tables for people, JSON for programs, one line for a failure."""

import io
import os
import sys
from collections.abc import Callable, Container, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typer import Option

from alohub_async.files import json_text, queue_record, to_cell
from alohub_async.files.delimited import write_rows as write_csv
from alohub_async.files.records import columns_of, is_text
from alohub_async.models import InboundQueue, QueueStrategy, wire_names
from alohub_async.plurals import counted
from alohub_async.printable import escaped, printable
from alohub_async.secret import redacted

STANDARD_STREAM: Final = Path("-")
"""Stands for stdin or stdout where a file is expected."""

DRY_RUN: Final = "Dry run: nothing was changed.\n"

_NO_VALUE: Final = "-"
_UNWRAPPED: Final = 10_000  # columns; output that does not go to a terminal is not wrapped
_NARROW: Final = 8  # columns; a text in a narrower column is hard to read
_MAX_TEXT: Final = 2000  # characters of a cell, or of a line
_MAX_EXTRA: Final = 100  # fields that the SDK does not know, of one queue
_TITLES: Final = {
    "tenant": "Tenant",
    "id": "ID",
    "name": "Name",
    "strategy": "Strategy",
    "max_wait": "Max\nwait",
    "music_on_hold": "Music\non hold",
    "announce_position": "Announce",
    "number": "Number",
    "agent_selector": "Agent\nselector",
    "extra": "Extra",
}


Form: TypeAlias = Literal["table", "json", "jsonl", "csv"]
Output: TypeAlias = Annotated[
    Form, Option("--output", help="A table, one JSON document, JSON Lines (an object a row), or CSV.")
]
"""The option `--output`."""
QUEUE_COLUMNS: Final = columns_of(InboundQueue).names
TABLE_COLUMNS: Final = [*_TITLES][1:-2]


class OutputClosedError(Exception):
    """The reader of the output closed it; Typer would exit with 1 for a `BrokenPipeError`."""


def write(text: str, *, as_json: bool = False) -> None:
    """Write to stdout and flush. JSON is always UTF-8 with plain line feeds, and escapes what cannot be seen."""
    _write(escaped(text) if as_json else text, as_utf8=as_json)


def _write(text: str, *, as_utf8: bool) -> None:
    with writing_output():
        if as_utf8 and hasattr(sys.stdout, "buffer"):  # a StringIO has none
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode())
        else:
            sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def writing_output() -> Generator[None]:
    """Say of a failure that it was the output that could not be written."""
    try:
        yield
    except BrokenPipeError as exc:
        raise OutputClosedError from exc
    except OSError as exc:
        raise OSError(exc.errno, f"cannot write the output: {exc.strerror}") from exc


def write_wrapped(line: str) -> None:
    """Write a line, on a terminal broken between its words."""
    print_rich(Text(line))


def write_json(value: object) -> None:
    """Write one indented JSON document to stdout."""
    write(json_text(value, indent=2), as_json=True)


def write_rows(
    form: Form,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    document: object = None,
    header: bool = True,
) -> None:
    """Write rows as JSON Lines, as CSV (lists and objects are JSON text) or as one JSON document.

    A row may lack columns. The document is that of the rows, unless it is given.
    """
    if form != "csv":
        chosen = [{name: row[name] for name in columns if name in row} for row in rows]
        if form == "json":
            write_json(chosen if document is None else document)
        else:
            write("".join(map(json_text, chosen)), as_json=True)
        return
    shown = one_line if sys.stdout.isatty() else str  # a file gets each value as it is, so that it can be read back
    cells = [[shown(_csv_cell(row.get(name))) for name in columns] for row in rows]
    if header:
        cells.insert(0, [*columns])
    if cells:
        file = io.BytesIO()
        write_csv(file, cells[0], cells[1:])
        _write(file.getvalue().decode(), as_utf8=True)


def _csv_cell(value: object) -> str:
    is_plain = value is None or isinstance(value, int) or (isinstance(value, str) and is_text(value))
    return to_cell(value if is_plain else json_text(value).rstrip("\n"))


def write_stderr(line: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"alohub: {line}\n")
    sys.stderr.flush()


def one_line(text: str) -> str:
    """The text for a terminal: names and messages of the API may be long, and hold control characters."""
    return printable(text, _MAX_TEXT)


def message_line(message: object) -> str:
    """An error or a log line for a terminal, without keys."""
    return one_line(redacted(str(message)))


def print_rich(renderable: RenderableType) -> None:
    """Write a table, or another object that Rich can render, without trailing spaces."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNWRAPPED
    console = Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
    console.width = console.width or _UNWRAPPED  # COLUMNS=0
    if isinstance(renderable, Table) and _least_width(renderable) > console.width:
        renderable = _as_lists(renderable)
    with writing_output(), console.capture() as capture:
        console.print(renderable)
    write("".join(line.rstrip() + "\n" for line in capture.get().splitlines()))


def _least_width(table: Table) -> int:
    """The width below which Rich would cut a cell, or wrap one to a column that is hard to read."""
    if not table.show_header:
        return 0
    width = 2 * len(table.columns) - 1
    for column in table.columns:
        lines = (line for cell in (column.header, *column.cells) for line in str(cell).split("\n"))
        widest = max(map(cell_len, lines))
        width += widest if column.no_wrap else min(widest, _NARROW)
    return width


def _as_lists(table: Table) -> Table:
    """The table with a line for each value that is not empty, and an empty line between its rows."""
    lists = _two_columns()
    for row in zip(*(column.cells for column in table.columns), strict=True):
        if str(row[0]) and lists.row_count:
            lists.add_row()
        for column, cell in zip(table.columns, row, strict=True):
            if str(cell):
                lists.add_row(Text(str(column.header).replace("\n", " ")), cell)
    lists.caption, lists.caption_justify = table.caption, table.caption_justify
    return lists


def _two_columns() -> Table:
    """An empty table of names and values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _cell(queue: InboundQueue, name: str) -> Text:
    if name == "extra":
        return Text(one_line(json_text(queue.extra)))
    value, wire = getattr(queue, name), wire_names(InboundQueue)[name]
    if value is None and wire in queue.extra:  # the value that the API sent does not fit its documented type
        return Text(one_line(f"{queue.extra[wire]} (?)"))
    return Text(value_text(name, value))


def value_text(name: str, value: object) -> str:
    """The value of a queue's attribute as tables show it."""
    if value is None:
        return _NO_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, QueueStrategy):
        return value.name if value.is_known else f"{int(value)} (?)"
    return f"{value} s" if name == "max_wait" and isinstance(value, int) else one_line(str(value))


def table_with_heading(titles: Iterable[str], *, right: Container[str], folded: Container[str]) -> Table:
    """An empty table with a caption on the left. Columns in `right` are aligned right, `folded` ones may wrap."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.caption_justify = "left"
    for each in titles:
        table.add_column(each, overflow="fold", no_wrap=each not in folded)
        table.columns[-1].justify = "right" if each in right else "left"
    return table


def print_queues(lists: Iterable[tuple[str, Iterable[InboundQueue]]], columns: Sequence[str]) -> None:
    """Write a table of the queues in these lists, each with the name of its tenant."""
    folded = {_TITLES[name] for name in ("tenant", "name", "music_on_hold", "agent_selector", "extra")}
    table = table_with_heading(map(_TITLES.__getitem__, columns), right={"ID", "Max\nwait"}, folded=folded)
    for name, queues in lists:
        for queue in queues:
            table.add_row(*(Text(name) if column == "tenant" else _cell(queue, column) for column in columns))
    table.caption = Text(counted(table.row_count, "queue"))
    print_rich(table)


def queue_row(queue: InboundQueue, form: Form) -> dict[str, Any]:
    """The queue as a row, as exports in this form have it."""
    row = queue_record(queue)
    return columns_of(InboundQueue).to_row(row) if form == "csv" else row


def print_queue(queue: InboundQueue) -> None:
    """Write one queue, one attribute per line, including the fields that the SDK does not know."""
    table = _two_columns()
    for name in wire_names(InboundQueue):
        table.add_row(Text(name), _cell(queue, name))
    for name, value in islice(queue.extra.items(), _MAX_EXTRA):
        table.add_row(Text(one_line(f"extra.{name}")), Text(one_line(json_text(value))))
    if len(queue.extra) > _MAX_EXTRA:
        table.add_row(Text("extra"), Text(f"{len(queue.extra) - _MAX_EXTRA} more; --output json shows all"))
    print_rich(table)


@contextmanager
def progress(label: str = "Listing queues…") -> Generator[Callable[[int, int | None], None]]:
    """Show progress on stderr if it is a terminal; yields a function that takes the count so far and the total."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _, __: None
        return
    with console.status(label) as status:
        yield lambda count, total: status.update(f"{label} {count} of {'?' if total is None else total}")
