"""Values that would do harm in a file, and files that would do harm to a reader."""

import csv
import io
import math
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import AlohubError, FileError, InvalidArgumentError
from alohub_async.files import json_text, read_queues, to_cell, write_queues
from alohub_async.models import InboundQueue
from tests.strategies import any_text

ENDINGS = ("jsonl", "csv", "parquet")
TRIGGERS = (
    *"=+-@",
    *"\uff1d\uff0b\uff0d\uff20",  # full width
    *"\ufe66\ufe62\ufe63\ufe6b\u207c\u207a\u207b\u2212",  # small, raised, and the minus sign
)
IGNORED = [
    " ", "\u00a0", "\u2003", "\u3000", "\ufeff", "\u200b", "\u200e", "\u202e", "\u2060", "\u00ad",
    "\0", "\x01", "\x1f", "\x7f", "\x85", "\x0b", "\x0c", "\t", "\r", "\n", "\u034f", "\ufe0f",
]  # fmt: skip


@given(before=st.lists(st.sampled_from(IGNORED), max_size=4).map("".join), trigger=st.sampled_from(TRIGGERS))
def test_a_formula_is_shielded_behind_what_is_not_seen(before: str, trigger: str) -> None:
    """Blanks, a byte order mark, control characters and other widths hide no formula from a spreadsheet."""
    assert to_cell(f"{before}{trigger}1+1") == f"'{before}{trigger}1+1"


@pytest.mark.parametrize("start", ["\t", "\r", "\n", "'"])
def test_tabs_and_line_breaks_are_shielded(start: str) -> None:
    """A cell that begins with one may become two cells or rows."""
    assert to_cell(f"{start}abc") == f"'{start}abc"


@pytest.mark.parametrize("name", ["Hà Nội", " abc", "1+1", "a=b", "(=1)", "0912", "\ufeffabc", "", " ", "—", "ー"])
def test_plain_text_is_not_shielded(name: str) -> None:
    """Only what looks like a formula gets an apostrophe, and empty text, which is not null."""
    assert to_cell(name) == (name or "'")


@given(text=any_text | st.builds(str.__add__, st.sampled_from(IGNORED), any_text))
def test_shielded_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Nothing is lost by the shield."""
    path = tmp_path_factory.mktemp("shield") / "queues.csv"
    queue = InboundQueue(id=1, name=text.encode(errors="replace").decode())
    write_queues(path, [queue])
    assert [*read_queues(path)] == [queue]


@pytest.mark.parametrize("text", ["912345678", " 912345678", "2438123456\u3000", "9.12E+08\n", "12345.0 ", "-1,5e+9"])
def test_text_like_a_damaged_number_is_read_back(tmp_path: Path, text: str) -> None:
    """The apostrophe says that it is right, with blanks around it as well."""
    queues = [InboundQueue(id=1, name=text, number=text)]
    write_queues(tmp_path / "queues.csv", queues)
    assert [*read_queues(tmp_path / "queues.csv")] == queues


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("size", [131_072, 140_000, 3_000_000])
def test_long_fields_are_read_back(tmp_path: Path, ending: str, size: int) -> None:
    """The reader has no smaller limit than the writer."""
    path = tmp_path / f"queues.{ending}"
    queue = InboundQueue(id=1, name="ế" * size, extra={"more": "\U0001f4de" * size})
    write_queues(path, [queue])
    assert [*read_queues(path)] == [queue]


def test_reading_leaves_the_limit_of_other_readers(tmp_path: Path) -> None:
    """The limit of the csv module belongs to the whole process: it is as it was between two rows."""
    path = tmp_path / "queues.csv"
    write_queues(path, [InboundQueue(id=number, name="x" * 200_000) for number in (1, 2, 3)])
    before = csv.field_size_limit(5000)
    try:
        rows = read_queues(path)
        assert next(rows).id == 1
        assert csv.field_size_limit() == 5000
        with pytest.raises(csv.Error):
            next(csv.reader(["x" * 6000]))
        threads = [threading.Thread(target=lambda: list(read_queues(path))) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert [queue.id for queue in rows] == [2, 3]
        for thread in threads:
            thread.join()
        assert csv.field_size_limit() == 5000
    finally:
        csv.field_size_limit(before)


# Numbers that JSON cannot express


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, [{"a": [math.inf]}]])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path, ending: str, value: Any) -> None:
    """Other programs could not read the file; the old one stays."""
    path = tmp_path / f"queues.{ending}"
    path.write_bytes(b"old")
    with pytest.raises(InvalidArgumentError, match="JSON"):
        write_queues(path, [InboundQueue(id=1, name="a", extra={"x": value})])
    assert path.read_bytes() == b"old"
    with pytest.raises(InvalidArgumentError):
        json_text(value)


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e400", "-1e400", "1" + "0" * 400 + ".0"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_number_that_is_not_finite_is_not_read(tmp_path: Path, ending: str, value: str) -> None:
    """The error names the line."""
    path = tmp_path / f"queues.{ending}"
    extra = f'{{"x": {value}}}'
    text = f'{{"id": 1, "name": "a", "extra": {extra}}}\n'
    if ending == "csv":
        written = io.StringIO()
        csv.writer(written).writerows([["id", "name", "extra"], ["1", "a", extra]])
        text = written.getvalue()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=r"line \d: "):
        list(read_queues(path))


@pytest.mark.parametrize("extra", [{"x": {1, 2}}, {"x": 10**5000}, {"x": b"bytes"}])
@pytest.mark.parametrize("ending", ENDINGS)
def test_values_that_are_no_json_are_refused(tmp_path: Path, ending: str, extra: dict[str, Any]) -> None:
    """By an error of the package, whatever the caller put into `extra`."""
    with pytest.raises(InvalidArgumentError):
        write_queues(tmp_path / f"queues.{ending}", [InboundQueue(id=1, name="a", extra=extra)])
    assert [*tmp_path.iterdir()] == []


def test_deep_json_is_refused(tmp_path: Path) -> None:
    """A line that is nested too deeply ends the reading, not the program."""
    path = tmp_path / "queues.jsonl"
    path.write_text('{"id": 1, "name": "a", "extra": {"x": ' + "[" * 200_000 + "]" * 200_000 + "}}\n")
    with pytest.raises(FileError, match="line 1: "):
        list(read_queues(path))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_damaged_anywhere(tmp_path: Path, ending: str) -> None:
    """Whatever byte is damaged, reading yields records or an error of the package."""
    path = tmp_path / f"queues.{ending}"
    write_queues(path, [InboundQueue(id=1, name="Huế", extra={"a": 1}), InboundQueue(id=2, name="b")])
    whole = path.read_bytes()
    messages: list[str] = []
    for place in range(0, len(whole), 7 if ending == "parquet" else 1):
        for damaged in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :],
            whole[:place] + b"\xff" + whole[place:],
        ):
            path.write_bytes(damaged)
            messages.append(_failure_of(path))
    assert all("\n" not in message for message in messages)
    assert len({*messages}) > 3


def _failure_of(path: Path) -> str:
    try:
        list(read_queues(path))
    except AlohubError as exc:
        return str(exc)
    return ""
