"""The formats, by their endings: what writes one and what reads it."""

import importlib.util
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from alohub_async.errors import AlohubError, ConfigurationError, FileError, InvalidArgumentError
from alohub_async.files import delimited, parquet
from alohub_async.files.atomic import reading, replacing
from alohub_async.files.records import Columns, RecordT, columns_of
from alohub_async.files.sheets import write_sheet
from alohub_async.models import InboundQueue, Record


class Format(NamedTuple):
    """One format."""

    write: Callable[[BinaryIO, Columns[Any], Iterable[dict[str, Any]]], None]  # objects of `Columns.to_dict`
    read: Callable[[BinaryIO, Columns[Any]], Iterator[Any]]  # a ValueError says where and what is wrong
    package: str | None = None  # that it needs besides the SDK; the extra has the format's name


def _write_lines(file: BinaryIO, _: Columns[Any], records: Iterable[dict[str, Any]]) -> None:
    delimited.write_objects(file, records)


_FORMATS: Final = {
    ".jsonl": Format(_write_lines, delimited.read_lines),
    ".csv": Format(delimited.write, delimited.read),
    ".parquet": Format(parquet.write, parquet.read, package="pyarrow"),
}


def check_ending(path: Path, allowed: Collection[str] = tuple(_FORMATS)) -> str:
    """The format's ending; an `InvalidArgumentError` if not allowed, a `ConfigurationError` without its package."""
    ending = path.suffix.lower()
    if ending not in allowed or "\0" in str(path):
        raise InvalidArgumentError(f"the file must end in {', '.join(allowed)}; {str(path)!r} was given")
    package = _FORMATS[ending].package
    if package is not None and importlib.util.find_spec(package) is None:
        extra = f"alohub-async[{ending[1:]}]"
        raise ConfigurationError(f"{ending} files need {package}, which is not installed; run: pip install '{extra}'")
    return ending


def write_records(
    path: Path, cls: type[RecordT], records: Iterable[RecordT], *, editable: Collection[str] | None = None
) -> None:
    """Write a file of records of one class, whole or not at all: until it is, what was at `path` stays.

    Its ending is the format. The records are taken one by one, so that they need not be in memory together.

    If `editable` is given, the file is a CSV for spreadsheets in which these columns can be edited; see `sheets.py`.

    Raises:
        InvalidArgumentError: No format has this ending.
        ConfigurationError: The format's package is not installed.
        FileError: It cannot be written; what `records` raises is raised as it is.
    """
    write_dicts(path, cls, map(columns_of(cls).to_dict, records), editable=editable)


def write_dicts(
    path: Path, cls: type[Record], records: Iterable[dict[str, Any]], *, editable: Collection[str] | None = None
) -> None:
    """Write a file as `write_records` does, of JSON objects as `Columns.to_dict` makes them, which may be changed."""
    form = _FORMATS[check_ending(path, _FORMATS if editable is None else [".csv"])]
    write = form.write if editable is None else partial(write_sheet, editable=editable)
    with replacing(path) as file:
        write(file, columns_of(cls), records)


def read_records(path: Path, cls: type[RecordT]) -> Iterator[RecordT]:
    """The records of a file that `write_records` made, one by one, in the file's order.

    Raises:
        InvalidArgumentError: No format has this ending.
        ConfigurationError: The format's package is not installed.
        FileError: It cannot be read, or it is no such file; the error names the line or row.
    """
    return _read(path, _FORMATS[check_ending(path)], columns_of(cls))


def write_queues(path: Path, queues: Iterable[InboundQueue]) -> None:
    """Write a file of inbound queues; see `write_records`."""
    write_records(path, InboundQueue, queues)


def read_queues(path: Path) -> Iterator[InboundQueue]:
    """The queues of a file that `write_queues` made; see `read_records`."""
    return read_records(path, InboundQueue)


def has_extra(path: Path) -> bool:
    """Whether a file of records has the column `extra`; a CSV for spreadsheets has not."""
    if check_ending(path) != ".csv":
        return True
    with reading(path) as file:
        return delimited.has_column(file, "extra")


def _read(path: Path, form: Format, columns: Columns[RecordT]) -> Iterator[RecordT]:
    with reading(path) as file:
        try:
            yield from form.read(file, columns)
        except AlohubError:
            raise
        except (ValueError, RuntimeError) as exc:  # pyarrow's NotImplementedError, of a damaged file, is one
            raise FileError(f"{path}: {' '.join(str(exc).split())}", path=path) from exc
