"""Files that people and spreadsheets edited: files of queues and files of changes follow the same rules."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import FileError, InboundQueue, InboundQueueUpdate, QueueStrategy
from alohub_async.changes import Change, read_changes
from alohub_async.files import read_queues, write_queues

QUEUES = "id,name,max_wait,strategy,announce_position,number"
CHANGES = "id,music_on_hold,max_wait,strategy,announce_position,expect.music_on_hold"
ROW = "1,a.wav,60,VIP,yes,"
BOTH = pytest.mark.parametrize("header", [QUEUES, CHANGES], ids=["queues", "changes"])


def _read(folder: Path, text: str | bytes, name: str = "a.csv") -> list[Any]:
    """Read a file of queues, or of changes if it has no names."""
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    return (
        [*read_queues(path)]
        if b"name" in data.replace(b"\0", b"") and b"expect" not in data.replace(b"\0", b"")
        else read_changes(path)
    )


def _problem(folder: Path, text: str | bytes, name: str = "a.csv") -> str:
    with pytest.raises(FileError) as caught:
        _read(folder, text, name)
    return str(caught.value).replace("\n", " ")


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        "{header}\n{row}\n",
        "{header}\n{row}\n\n",
        "{header}\n{row}\n \n\t\n",
        "\ufeff{header}\r\n\r\n{row}\r\n,,,,,\r\n , ,,,,\r\n",
        "\n{header}\n,,,,,\n{row}",
        "{header},,\n{row},,\n,,,,,,,\n",
        "{header}\r{row}\r",
    ],
)
def test_blank_lines_rows_and_columns_are_skipped(tmp_path: Path, header: str, text: str) -> None:
    """A spreadsheet leaves them behind."""
    assert len(_read(tmp_path, text.format(header=header, row=ROW))) == 1


@pytest.mark.parametrize("record", ['{"id": 1, "name": "a"}', '{"id": 1, "max_wait": 60}'])
def test_blank_lines_of_json_lines_are_skipped(tmp_path: Path, record: str) -> None:
    """So is a byte order mark."""
    assert len(_read(tmp_path, f"\ufeff{record}\r\n\r\n  \n\n", "a.jsonl")) == 1


@BOTH
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,a.wav,60,VIP,yes,", "line 2: id must be 1 or more"),
        ("-5,a.wav,60,VIP,yes,", "line 2: id must be 1 or more"),
        ("1,a.wav,-1,VIP,yes,", "line 2: max_wait must be 0 or more; -1 was found"),
        ("9.12E+08,a.wav,60,VIP,yes,", "line 2: id: '9.12E+08' is a number cut short, as spreadsheets do"),
        ('"9,12E+08",a.wav,60,VIP,yes,', "line 2: id: '9,12E+08' is a number cut short"),
        ("1,a.wav,60,VIP,yes,9.12E+08", "'9.12E+08' is a number cut short, as spreadsheets do; format the column as t"),
        ("1,a.wav,60,VIP,yes,912345678", "'912345678' is a number without its leading zero"),
        ("1,a.wav,60,VIP,yes,2438123456", "'2438123456' is a number without its leading zero"),
        ("1,a.wav,60,VIP,yes,912345678.0", "'912345678.0' is a number cut short"),
        ("1,a.wav,x,VIP,yes,", "line 2: max_wait must be a whole number or null; 'x' was found"),
        ("1,a.wav,1.5,VIP,yes,", "line 2: max_wait must be a whole number or null; '1.5' was found"),
        ("1,a.wav,60,VOP,yes,", "line 2: strategy must be a whole number, one of NORMAL, VIP, "),
        ("1,a.wav,60,VIP,si,", "line 2: announce_position must be true or false or null; 'si' was found"),
        ("1,a.wav,60,VIP,yes", "line 2: 5 cells, but the header has 6"),
        ("1,a.wav,60,VIP,yes,,x", "line 2: 7 cells, but the header has 6"),
        (
            "1;a.wav;60;VIP;yes;",
            "line 2: 1 cell, but the header has 6; cells must be separated by ',', as in the header",
        ),
        ("1,a.wav,1.000,VIP,yes,", "line 2: max_wait must be a whole number or null; '1.000' was found"),
        ('1,"a.wav,60,VIP,yes,', "line 2: not CSV: "),
    ],
)
def test_a_damaged_row_is_refused(tmp_path: Path, header: str, row: str, message: str) -> None:
    """The error has the line, the value, and what to do."""
    assert message in _problem(tmp_path, f"{header}\n{row}\n")


@BOTH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("max_wait", "name_wait"), "unknown column 'name_wait'; did you mean 'max_wait'?"),
        (("max_wait", "max_wait,max_wait"), "duplicate column 'max_wait'"),
        (("id", "ID"), "unknown column 'ID'; did you mean 'id'?"),
        (("id,", ""), "no column 'id'"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    tmp_path: Path, header: str, change: tuple[str, str], message: str
) -> None:
    """The error lists the columns, or the one that was meant."""
    assert message in _problem(tmp_path, f"{header.replace(*change, 1 if 'max' in change[0] else -1)}\n{ROW}\n")


@BOTH
@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "\ufeff", "\n", "\ufeffsep={}\r\n"])
def test_other_separators(tmp_path: Path, header: str, separator: str, first: str) -> None:
    """A spreadsheet saves the one of its locale; the header shows which."""
    text = f"{header}\n{ROW}\n"
    assert _read(tmp_path, first.format(separator) + text.replace(",", separator)) == _read(tmp_path, text)


@BOTH
def test_utf_16_is_refused(tmp_path: Path, header: str) -> None:
    """A spreadsheet saves it as Unicode text."""
    text = f"{header}\n{ROW}\n".encode("utf-16")
    assert "line 1: not UTF-8; save the file as UTF-8" in _problem(tmp_path, text)


@BOTH
@pytest.mark.parametrize("line", [2, 3, 700])
def test_a_decoding_error_names_its_line(tmp_path: Path, header: str, line: int) -> None:
    """However far it is from the beginning of the file."""
    lines = [header.encode()] + [f"{number},a.wav,60,VIP,yes,".encode() for number in range(1, 1000)]
    lines[line - 1] = f"{line - 1},h\xe0ng.wav,60,VIP,yes,".encode("latin-1")
    assert f"line {line}: not UTF-8" in _problem(tmp_path, b"\r\n".join(lines))


@pytest.mark.parametrize("record", ['"id": 1, "name": "a"', '"id": 1, "max_wait": 60'])
@pytest.mark.parametrize(
    ("end", "message"),
    [
        (b', "max_wait": 60, "max_wait": 61}', "line 2: not a JSON object: duplicate key 'max_wait'"),
        (b', "extra": {"a": {"b": 1, "b": 1}}}', "line 2: not a JSON object: duplicate key 'b'"),
        (b', "music_on_hold": "\xff"}', "line 2: not UTF-8"),
        (b', "music_on_hold": }', "line 2: not a JSON object: Expecting value, at character "),
        (b', "announce_position": "yes"}', "line 2: announce_position must be true or false or null; 'yes' was found"),
        (b', "extra": {"a": 1e400}}', "line 2: not a JSON object: 1e400 is not a number of JSON"),
        (b', "extra": {"a": NaN}}', "line 2: not a JSON object: NaN is not a number of JSON"),
        (b', "strategy": true}', "line 2: strategy must be a whole number, one of NORMAL"),
        (b', "music_on_hold": ' + b"[" * 100_000 + b"}", "line 2: not a JSON object: nested too deeply"),
    ],
)
def test_a_damaged_object_is_refused(tmp_path: Path, record: str, end: bytes, message: str) -> None:
    """The error has the line and the problem."""
    first = record.replace("1", "2", 1).encode()
    assert message in _problem(tmp_path, b"{" + first + b"}\n{" + record.encode() + end, "a.jsonl")


@pytest.mark.parametrize("flag", ["yes", "TRUE", "1", " true "])
@pytest.mark.parametrize("wait", ["60", " 60 ", "60.0"])
@pytest.mark.parametrize("strategy", ["VIP", "vip", "2"])
def test_what_people_write_is_taken_in_both(tmp_path: Path, flag: str, wait: str, strategy: str) -> None:
    """A value has several spellings."""
    row = f"1,a.wav,{wait},{strategy},{flag},"
    values: dict[str, Any] = {"max_wait": 60, "strategy": QueueStrategy.VIP, "announce_position": True}
    assert _read(tmp_path, f"{QUEUES}\n{row}\n") == [InboundQueue(1, "a.wav", **values)]
    assert _read(tmp_path, f"{CHANGES}\n{row}\n") == [Change(1, InboundQueueUpdate(music_on_hold="a.wav", **values))]


@pytest.mark.parametrize("fields", ['"name": "a"', '"music_on_hold": "a.wav"'])
def test_whole_floats_are_whole_numbers(tmp_path: Path, fields: str) -> None:
    """Other programs write whole numbers so if a column has nulls."""
    [found] = _read(tmp_path, f'{{"id": 7.0, {fields}, "max_wait": 60.0, "strategy": 2.0}}\n', "a.jsonl")
    values = found if isinstance(found, InboundQueue) else found.update
    assert repr((found.id, values.max_wait)) == "(7, 60)"
    assert values.strategy is QueueStrategy.VIP


@given(st.from_regex(r"[1-9][0-9]{7,10}(\.0|E\+[0-9]{2})?|9\.12E\+08", fullmatch=True))
def test_text_like_a_damaged_number_is_written_as_text(tmp_path_factory: pytest.TempPathFactory, number: str) -> None:
    """What the API sent is read back, whatever it looks like."""
    path = tmp_path_factory.mktemp("queues") / "a.csv"
    write_queues(path, [InboundQueue(1, "a", number=number)])
    assert [*read_queues(path)] == [InboundQueue(1, "a", number=number)]
