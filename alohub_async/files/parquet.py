"""Parquet, by pyarrow (extra `parquet`), which is imported only when such a file is written or read."""

import importlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from alohub_async.files.records import KINDS, queue_of_row, row_of
from alohub_async.models import InboundQueue

_ROWS: Final = 10_000  # in memory at once; DuckDB and Spark like row groups no smaller


def _schema() -> Any:
    pa: Any = importlib.import_module("pyarrow")
    kinds = {int: pa.int64(), str: pa.string(), bool: pa.bool_()}
    columns = {**{name: kinds[kind] for name, kind in KINDS.items()}, "strategy": pa.int32(), "extra": pa.string()}
    return pa.schema([*columns.items()])


def write(file: BinaryIO, queues: Iterable[InboundQueue]) -> None:
    """Write typed columns, some thousand rows at a time."""
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    schema, rows = _schema(), iter(queues)
    with pq.ParquetWriter(file, schema) as writer:
        while some := [*map(row_of, itertools.islice(rows, _ROWS))]:
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def read(file: BinaryIO) -> Iterator[InboundQueue]:
    """The queues of such a file; a ValueError names the row, counted from 1."""
    pq: Any = importlib.import_module("pyarrow.parquet")
    number = 0
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS):
        for row in batch.to_pylist():
            number += 1
            try:
                queue = queue_of_row(row)
            except ValueError as exc:
                raise ValueError(f"row {number}: {exc}") from exc
            yield queue
