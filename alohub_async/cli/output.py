"""What the command writes: tables for people, JSON for programs, one line for a failure."""

import os
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Final

import attrs
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from alohub_async.files import json_text
from alohub_async.models import InboundQueue, QueueStrategy

_NOTHING: Final = "-"
_ENDLESS: Final = 10_000  # columns: what is not read on a terminal is not wrapped
_JOINERS: Final = "\u200c\u200d"  # parts of words and emoji, although they are format characters
_COLUMNS: Final = {
    "id": "ID",
    "name": "Name",
    "strategy": "Strategy",
    "max_wait": "Max\nwait",
    "music_on_hold": "Music\non hold",
    "announce_position": "Announce",
    "number": "Number",
}
_FLEXIBLE: Final = {"name", "music_on_hold"}  # columns that may take several lines


class OutputClosedError(Exception):
    """Whoever read the output went away."""


def write(text: str, *, as_utf8: bool = False) -> None:
    """Write to stdout, at once.

    Args:
        text: What to write.
        as_utf8: Write UTF-8 and plain line feeds whatever stdout is set to, as programs expect it of JSON.

    Raises:
        OutputClosedError: The reader went away.
        OSError: It cannot be written, such as to a full disk.
    """
    try:
        if as_utf8:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode())
        else:
            sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as exc:
        raise OutputClosedError from exc
    except OSError as exc:
        raise OSError(exc.errno, f"cannot write the output: {exc.strerror}") from exc


def complain(line: str) -> None:
    """Write one line to stderr, if anybody can hear it."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"alohub: {line}\n")
        sys.stderr.flush()


def one_line(text: str) -> str:
    """The text without line breaks, and without what could steer a terminal (a queue's name may be anybody's)."""
    return "".join(char if _is_harmless(char) else "�" for char in " ".join(text.split()))


def _is_harmless(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}


# Tables


def _console() -> Console:
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _ENDLESS
    return Console(file=sys.stdout, width=wide, markup=False, emoji=False, highlight=False)


def print_part(table: RenderableType) -> None:
    """Write a table, or whatever Rich can show, without the spaces that fill its lines up."""
    console = _console()
    with console.capture() as capture:
        console.print(table)
    write("".join(line.rstrip() + "\n" for line in capture.get().splitlines()))


def _cell(queue: InboundQueue, name: str) -> Text:
    value = getattr(queue, name)
    wire = attrs.fields_dict(InboundQueue)[name].metadata["wire"]
    if value is None and wire in queue.extra:
        return Text(one_line(f"{queue.extra[wire]} (?)"))  # what came instead of what is documented
    return Text(value_text(name, value))


def value_text(name: str, value: object) -> str:
    """The value of a queue's attribute as tables have it."""
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, QueueStrategy):
        return value.name if value.is_known else f"{int(value)} (?)"
    return f"{value} s" if name == "max_wait" else one_line(str(value))


def print_queues(queues: Iterable[InboundQueue]) -> None:
    """Write a table of the queues."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, title in _COLUMNS.items():
        flexible = name in _FLEXIBLE
        right = name in {"id", "max_wait"}
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=not flexible)
    for queue in queues:
        table.add_row(*(_cell(queue, name) for name in _COLUMNS))
    table.caption = Text(f"{table.row_count} queue{'' if table.row_count == 1 else 's'}")
    table.caption_justify = "left"
    print_part(table)


def print_queue(queue: InboundQueue) -> None:
    """Write one queue, an attribute a line, with the fields the SDK does not know."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for field in attrs.fields(InboundQueue):
        if field.name != "extra":
            table.add_row(Text(field.name), _cell(queue, field.name))
    for name, value in queue.extra.items():
        table.add_row(Text(one_line(f"extra.{name}")), Text(one_line(json_text(value))))
    print_part(table)


# Progress


@contextmanager
def progress(doing: str = "Listing queues…") -> Generator[Callable[[int, int | None], None]]:
    """Tell on stderr how far a list has come, if that is a terminal; yields a function of the count and the total."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _, __: None
        return
    with console.status(doing) as status:
        yield lambda count, total: status.update(f"{doing} {count} of {'?' if total is None else total}")
