"""Parquet, by pyarrow (extra `parquet`), which is imported only when such a file is written or read."""

import importlib
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from alohub_async.files.records import Columns, RecordT, json_text

_ROWS: Final = 10_000  # in memory at once; DuckDB and Spark like row groups no smaller


def _schema(columns: Columns[Any]) -> Any:
    pa: Any = importlib.import_module("pyarrow")
    kinds = {int: pa.int64(), str: pa.string(), bool: pa.bool_()}
    types = {name: pa.int32() if name in columns.enums else kinds[kind] for name, kind in columns.kinds.items()}
    return pa.schema([*types.items(), ("extra", pa.string())])


def write(file: BinaryIO, columns: Columns[Any], records: Iterable[dict[str, Any]]) -> None:
    """Write typed columns, by pyarrow's JSON reader: `pyarrow.array` is slower, and imports pandas, for 80 MB."""
    pq: Any = importlib.import_module("pyarrow.parquet")
    pj: Any = importlib.import_module("pyarrow.json")
    schema, rows = _schema(columns), iter(records)
    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    with pq.ParquetWriter(file, schema) as writer:
        while some := "".join(json_text(columns.to_row(record)) for record in itertools.islice(rows, _ROWS)).encode():
            whole = pj.ReadOptions(use_threads=False, block_size=len(some) + 1)
            writer.write_table(pj.read_json(io.BytesIO(some), read_options=whole, parse_options=parse))


def read(file: BinaryIO, columns: Columns[RecordT]) -> Iterator[RecordT]:
    """The records of such a file; a ValueError names the row, counted from 1."""
    pq: Any = importlib.import_module("pyarrow.parquet")
    batches = pq.ParquetFile(file).iter_batches(batch_size=_ROWS)
    for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
        try:
            record = columns.from_row(row)
        except ValueError as exc:
            raise ValueError(f"row {number}: {exc}") from exc
        yield record
