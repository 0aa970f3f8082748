"""Files of queues: they are read back without loss, by the SDK and by other programs, and never half-written."""

import csv
import errno
import importlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alohub_async import FileError, InboundQueue, InvalidArgumentError
from alohub_async.codec.converter import converter_for
from alohub_async.files import read_queues, write_queues
from alohub_async.files.atomic import file_error
from alohub_async.testing import seed_queues
from tests.strategies import any_text, json_scalars, json_values

ENDINGS = ("jsonl", "csv", "parquet")
WIRE = [
    "callinId",
    "callinName",
    "strategy",
    "musicinQueue",
    "timeWait",
    "agentSelector",
    "nguongRanhRoi",
    "callinNumber",
]


def made(wire: dict[str, Any]) -> InboundQueue:
    """The queue that the SDK makes from a record of an answer."""
    return converter_for(strict=False).structure(wire, InboundQueue)


def seeded(count: int = 40) -> list[InboundQueue]:
    """Typical queues of a tenant."""
    return [made(dict(queue)) for queue in seed_queues(count)]


formulas = st.builds(
    str.__add__,
    st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "'", '"', ",", "\0", "\ufeff", "''", ""]),
    any_text,
)
fields = json_scalars | json_values | formulas | st.integers(2**31 - 1, 2**31) | st.integers(2**63 - 1, 2**63)
answers: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(WIRE) | any_text, fields, max_size=10)
queues = answers.map(made)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=75)  # of each format
@given(written=st.lists(queues, max_size=5))
@example(written=[])
@example(written=[made({"callinId": 10**30, "callinName": "\ud800", "strategy": 2**40, "timeWait": 2**63})])
@example(written=[made({"callinId": -(10**30), "callinName": 5, "strategy": -(2**40), "timeWait": -1})])
@example(written=[made({"callinId": 1, "callinName": "", "agentSelector": None, "callinNumber": "'"})])
def test_what_is_written_is_read_back(ending: str, written: list[InboundQueue]) -> None:
    """Every format returns equal queues for any answer: null is not empty, and unusual values are unchanged."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"queues.{ending}")
        write_queues(path, written)
        read = [*read_queues(path)]
        assert read == written
        assert repr([queue.strategy for queue in read]) == repr([queue.strategy for queue in written])


@pytest.mark.parametrize("ending", ENDINGS)
def test_many_rows(tmp_path: Path, ending: str) -> None:
    """More rows than fit in one batch are read back in order."""
    written = seeded(40) * 300
    path = tmp_path / f"queues.{ending}"
    write_queues(path, iter(written))
    assert [*read_queues(path)] == written


# Other programs


def test_jsonl_is_an_object_a_line(tmp_path: Path) -> None:
    """The keys are the attributes, letters are not escaped, and `extra` is an object."""
    path = tmp_path / "queues.jsonl"
    write_queues(path, [made({"callinId": 7, "callinName": "Huế\u2028", "mới": [1]})])
    (line,) = path.read_bytes().splitlines()
    assert "Huế".encode() in line
    assert json.loads(line) == {
        "id": 7,
        "name": "Huế\u2028",
        "strategy": None,
        "music_on_hold": None,
        "max_wait": None,
        "agent_selector": None,
        "announce_position": None,
        "number": None,
        "extra": {"mới": [1]},
    }


def test_a_spreadsheet_runs_nothing(tmp_path: Path) -> None:
    """No cell of a CSV file begins like a formula, whatever the names of the queues."""
    names = ["=1+1", "+84", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "Hà, Nội"]
    path = tmp_path / "queues.csv"
    write_queues(path, [made({"callinId": 1, "callinName": name, "callinNumber": name}) for name in names])
    data = path.read_bytes()
    assert data.count(b"\r\n") == len(names) + 1
    rows = [*csv.DictReader(io.StringIO(data.decode(), newline=""))]
    assert [row["name"] for row in rows] == [f"'{name}" for name in names[:-1]] + names[-1:]
    assert [row["number"] for row in rows] == [row["name"] for row in rows]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_duckdb_and_pandas_read_it(tmp_path: Path, ending: str) -> None:
    """Both read the queues, with typed columns."""
    written = seeded()
    path = tmp_path / f"queues.{ending}"
    write_queues(path, written)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT id, name, strategy, announce_position FROM '{path}'").fetchall()  # noqa: S608
    assert found == [(queue.id, queue.name, queue.strategy, queue.announce_position) for queue in written]
    pandas: Any = importlib.import_module("pandas")
    frame = pandas.read_csv(path, dtype={"number": str}) if ending == "csv" else pandas.read_parquet(path)
    assert frame["id"].tolist() == [queue.id for queue in written]
    assert frame["name"].tolist() == [queue.name for queue in written]
    assert frame["number"].dropna().tolist() == [queue.number for queue in written if queue.number is not None]


def test_parquet_columns_are_typed(tmp_path: Path) -> None:
    """The types are the documented ones, even if all values are null."""
    path = tmp_path / "queues.parquet"
    write_queues(path, [made({"callinId": 1, "callinName": "a"})])
    with duckdb.connect() as connection:
        columns = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert {name: kind for name, kind, *_ in columns} == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "strategy": "INTEGER",
        "music_on_hold": "VARCHAR",
        "max_wait": "BIGINT",
        "agent_selector": "VARCHAR",
        "announce_position": "BOOLEAN",
        "number": "VARCHAR",
        "extra": "VARCHAR",
    }


def test_csv_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    """A byte order mark, TRUE for true, and columns in another order are accepted."""
    path = tmp_path / "queues.csv"
    path.write_bytes(b"\xef\xbb\xbfname,id,announce_position\r\nA,7,TRUE\r\n")
    assert [*read_queues(path)] == [InboundQueue(id=7, name="A", announce_position=True)]


# Errors


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"id": 1, "name": "a"}\n{"id": 1, "na\n', "line 2: "),
        ("a.jsonl", b"[]\n", "line 1: not a JSON object"),
        ("a.jsonl", b"\xff\n", "line 1: "),
        ("a.jsonl", b'{"id": "1", "name": "a"}\n', "line 1: id must be a whole number or null; '1' was found"),
        ("a.jsonl", b'{"id": true, "name": "a"}\n', "id must be a whole number"),
        ("a.jsonl", b'{"id": 1, "name": "a", "nme": 1}\n', "unknown column 'nme'"),
        ("a.jsonl", b'{"id": 1}\n', "column 'name' is missing"),
        ("a.jsonl", b'{"id": 1, "name": "a", "extra": []}\n', "extra must be a JSON object"),
        ("a.csv", b"id,name\r\n1,a\r\n1\r\n", "line 3: 1 cell, but the header has 2"),
        ("a.csv", b"id,name\r\nx,a\r\n", "line 2: id must be a whole number"),
        ("a.csv", b"id,name,extra\r\n1,a,{\r\n", "line 2: extra must be a JSON object"),
        ("a.csv", b"name\r\n", "line 1: no column 'id'"),
        ("a.csv", b"", "the file is empty; it needs a header line"),
        ("a.csv", b"id,name\r\n1,\xff\r\n", "line "),
        ("a.csv", b'id,name\r\n1,"a', "line 2: "),
        ("a.parquet", b"PAR1", "a.parquet: "),
    ],
)
def test_an_invalid_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """The error names the file, the line and the problem."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        list(read_queues(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.path == path


def test_records_before_an_invalid_line_are_yielded(tmp_path: Path) -> None:
    """Reading is line by line."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 1, "name": "a"}\n{\n')
    reading = read_queues(path)
    assert next(reading) == InboundQueue(id=1, name="a")
    with pytest.raises(FileError):
        next(reading)


@pytest.mark.parametrize("name", ["queues.txt", "queues", "jsonl"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    """The error comes before any reading or writing, and lists the endings."""
    with pytest.raises(InvalidArgumentError, match=r"must end in \.jsonl, \.csv, \.parquet; '.*' was given"):
        write_queues(tmp_path / name, [])
    with pytest.raises(InvalidArgumentError):
        read_queues(tmp_path / name)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failure_leaves_the_old_file(tmp_path: Path, ending: str) -> None:
    """The old file stays until the new one is complete; no other file is left, and the error is not wrapped."""

    def breaks() -> Iterator[InboundQueue]:
        yield InboundQueue(id=2, name="b")
        raise LookupError("lost")

    path = tmp_path / f"queues.{ending}"
    write_queues(path, [InboundQueue(id=1, name="a")])
    with pytest.raises(LookupError):
        write_queues(path, breaks())
    assert [*read_queues(path)] == [InboundQueue(id=1, name="a")]
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_such_folder(tmp_path: Path, ending: str) -> None:
    """Writing and reading in a missing folder raise a one-line error."""
    path = tmp_path / "none" / f"queues.{ending}"
    for work in (lambda: write_queues(path, []), lambda: list(read_queues(path))):
        with pytest.raises(FileError, match=r"cannot (write|read) .*: there is no such file or folder"):
            work()


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    """A folder is not replaced."""
    path = tmp_path / "queues.csv"
    path.mkdir()
    with pytest.raises(FileError, match="it is a folder"):
        write_queues(path, [])
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission")])
def test_refusals_read_well(code: int, message: str) -> None:
    """The error names a full disk and a missing permission."""
    error = file_error(Path("a.csv"), OSError(code, os.strerror(code)), doing="write")
    assert str(error) == f"cannot write a.csv: {message}"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A failed write raises an error and leaves neither a partial nor a temporary file."""
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of a file")
    path = tmp_path / "queues.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(FileError, match=r"cannot write .*queues\.jsonl: "):
            write_queues(path, seeded(40) * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [*tmp_path.iterdir()] == []
