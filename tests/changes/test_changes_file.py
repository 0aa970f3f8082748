"""Files of changes: reading, writing, and reporting every problem."""

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async import FileError, InboundQueue, InboundQueueUpdate, InvalidArgumentError, QueueStrategy
from alohub_async.changes import Change, ChangesFileError, changes_of, diff_queues, read_changes, write_changes

NO_ID: Any = None


def _file(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _problems(path: Path) -> list[str]:
    with pytest.raises(ChangesFileError) as caught:
        read_changes(path)
    assert caught.value.path == path
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems  # noqa: S301 (our own object)
    return [str(problem) for problem in caught.value.problems]


def test_csv(tmp_path: Path) -> None:
    """An empty cell is no value; the byte order mark, capitals and empty lines of a spreadsheet are accepted."""
    text = (
        "\ufeffid,max_wait,strategy,announce_position,music_on_hold,expect.max_wait\r\n"
        "1,60,vip,TRUE,,null\r\n"
        ",,,,,\r\n"
        "2,,99,no,'=x.wav,\r\n"
    )
    assert read_changes(_file(tmp_path, "a.csv", text)) == [
        Change(
            1,
            InboundQueueUpdate(max_wait=60, strategy=QueueStrategy.VIP, announce_position=True),
            {"max_wait": None},
        ),
        Change(
            2,
            InboundQueueUpdate(strategy=QueueStrategy.LOCKED, announce_position=False, music_on_hold="=x.wav"),
        ),
    ]


def test_json_lines(tmp_path: Path) -> None:
    """A missing key is no value; null expects a field that is not set."""
    text = '{"id": 1, "max_wait": 60, "expect.max_wait": null}\n\n{"id": 2, "announce_position": false}\n'
    assert read_changes(_file(tmp_path, "a.jsonl", text)) == [
        Change(1, InboundQueueUpdate(max_wait=60), {"max_wait": None}),
        Change(2, InboundQueueUpdate(announce_position=False)),
    ]


def test_every_problem_of_a_csv_file_is_reported(tmp_path: Path) -> None:
    """Each has its line number."""
    text = (
        "id,max_wait,strategy,announce_position,music_on_hold,expect.strategy\n"
        "x,60,,,,\n"
        "2,-1,5,maybe,a/b.wav,\n"
        "3,,,,,\n"
        '4,60,,,"a\n.wav",\n'
        "6,60,,,,VIP\n"
        "4,60,,,,\n"
        "8,1\n"
        ",1,,,,\n"
        "9,,,,null,\n"
    )
    problems = _problems(_file(tmp_path, "a.csv", text))
    for message in (
        "line 2: id must be a whole number or null; 'x' was found",
        "line 3: max_wait must be 0 or more; -1 was found",
        "line 3: strategy must be one of [1, 2, 3, 4, 99]; 5 was given",
        "line 3: announce_position must be true or false or null; 'maybe' was found",
        "line 4: no field to set; give at least one of music_on_hold, max_wait, strategy, announce_position",
        "line 7: the expected strategy is not checked unless it is set, too",
        "line 8: id 4 is already on line 5",
        "line 9: 2 cells, but the header has 6",
        "line 10: no id",
        "line 11: music_on_hold cannot be null, as the API does not document what null does; leave it out",
    ):
        assert message in problems
    assert sum(problem.startswith("line 3: music_on_hold must be a plain file name") for problem in problems) == 1
    assert sum(problem.startswith("line 5: music_on_hold must be a plain file name") for problem in problems) == 1
    assert len(problems) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty; it needs a header line"),
        ("id,maxwait\n1,2\n", "line 1: unknown column 'maxwait'; did you mean 'max_wait'?"),
        ("max_wait\n1\n", "line 1: no column 'id'"),
        ("id,id,max_wait\n1,1,1\n", "line 1: duplicate column 'id'"),
        ('id,max_wait\n1,60\n2,"6\n', "line 3: not CSV: unexpected end of data"),
        (b"id,max_wait\n1,60\n2,\xff\n", "line 3: not UTF-8; save the file as UTF-8"),
    ],
)
def test_file_that_is_not_csv_of_changes(tmp_path: Path, text: str | bytes, message: str) -> None:
    """The error has the problem and its line."""
    assert message in _problems(_file(tmp_path, "a.csv", text))


def test_every_problem_of_json_lines_is_reported(tmp_path: Path) -> None:
    """Each has its line number."""
    lines = [
        '{"id": 1, "max_wait": null}',
        "[1]",
        "{",
        '{"id": 1, "id": 2, "max_wait": 1}',
        '{"id": true, "max_wait": 1.5, "zzz": "x"}',
        '{"id": 7, "music_on_hold": 5, "expect.music_on_hold": 6}',
        '{"id": 8, "max_wait": 1}',
        '{"id": 12345678901234567890, "strategy": []}',
        "[" * 100_000,
    ]
    problems = _problems(_file(tmp_path, "a.jsonl", "\n".join(lines)))
    assert [problem.partition(":")[0] for problem in problems] == [
        f"line {line}" for line in (1, 2, 3, 4, 5, 5, 5, 6, 6, 8, 8, 9)
    ]
    assert "line 4: not a JSON object: duplicate key 'id'" in problems
    assert "line 6: expect.music_on_hold must be a string or null; 6 was found" in problems
    assert any(
        problem.startswith("line 5: unknown column 'zzz'; choose from id, music_on_hold") for problem in problems
    )


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """A wrong ending is refused before anything is read or written; errors of the system are reported."""
    for name in ("a.txt", "a.parquet", "a\0.csv"):
        with pytest.raises(InvalidArgumentError, match=r"must end in \.csv, \.jsonl"):
            read_changes(tmp_path / name)
        with pytest.raises(InvalidArgumentError, match=r"must end in \.csv, \.jsonl"):
            write_changes(tmp_path / name, [])
    with pytest.raises(FileError, match="no such file"):
        read_changes(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_pipe_is_refused(tmp_path: Path, name: str) -> None:
    """To open one that nobody writes to would take for ever."""
    path, found = tmp_path / name, list[str]()
    os.mkfifo(path)

    def read() -> None:
        with pytest.raises(FileError) as caught:
            read_changes(path)
        found.append(str(caught.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert found == [f"cannot read {path}: it is a pipe or a device, not a file"]


_names: st.SearchStrategy[str] = st.sampled_from(["null", "=1+1", "'a", "nhạc chờ.wav", 'a"b,c.wav', "-x"])
_values: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "music_on_hold": _names,
        "max_wait": st.integers(0, 10**17),
        "strategy": st.sampled_from([*QueueStrategy]),
        "announce_position": st.booleans(),
    },
)
_expected: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "music_on_hold": st.none() | _names | st.just(""),
        "max_wait": st.none() | st.integers(0, 10**30),
        "strategy": st.none() | st.integers(-5, 200).map(QueueStrategy),
        "announce_position": st.none() | st.booleans(),
    }
)


@st.composite
def changes(draw: st.DrawFn) -> list[Change]:
    """Changes of different queues."""
    drawn: list[Change] = []
    for queue_id in draw(st.lists(st.integers(1, 10**18), unique=True, max_size=4)):
        wanted = draw(_values.filter(bool))
        names = draw(st.sets(st.sampled_from([*wanted])))
        expected = draw(_expected)
        drawn.append(Change(queue_id, InboundQueueUpdate(**wanted), {name: expected[name] for name in names}))
    return drawn


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@given(given_changes=changes())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, ending: str, given_changes: list[Change]) -> None:
    """Formulas, quotes and missing values are read as they were written."""
    path = tmp_path_factory.mktemp("changes") / f"a.{ending}"
    write_changes(path, given_changes)
    assert read_changes(path) == given_changes


def test_changes_of_a_value_that_does_not_fit_its_type() -> None:
    """It cannot be expected, so the change is made whatever the value is then."""
    before, after = InboundQueue(1, "a", extra={"timeWait": "soon"}), InboundQueue(1, "a", max_wait=90)
    found, skipped = changes_of(diff_queues([before], [after]))
    assert found == [Change(1, InboundQueueUpdate(max_wait=90))]
    assert skipped == ["queue 1: extra.timeWait stays unchanged: it cannot be set"]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_long_values_are_read_back(tmp_path: Path, ending: str) -> None:
    """The reader has no smaller limit than the writer."""
    change = Change(1, InboundQueueUpdate(music_on_hold="b.wav"), {"music_on_hold": "x" * 200_000})
    path = tmp_path / f"a.{ending}"
    write_changes(path, [change])
    assert read_changes(path) == [change]


def test_changes_of_a_diff() -> None:
    """They turn the state before into the state after as far as possible, and report the rest."""
    before = [
        InboundQueue(1, "a", max_wait=60, music_on_hold=None),
        InboundQueue(2, "b", max_wait=60),
        InboundQueue(3, "c"),
        InboundQueue(5, "e", strategy=QueueStrategy(7)),
    ]
    after = [
        InboundQueue(1, "a2", max_wait=90, music_on_hold="x.wav"),
        InboundQueue(2, "b"),
        InboundQueue(4, "d"),
        InboundQueue(5, "e", strategy=QueueStrategy(8)),
        InboundQueue(NO_ID, "x"),
    ]
    found, skipped = changes_of(diff_queues(before, after))
    update = InboundQueueUpdate(max_wait=90, music_on_hold="x.wav")
    refusal = "strategy must be one of [1, 2, 3, 4, 99]; 8 was given"
    assert found == [Change(1, update, {"max_wait": 60, "music_on_hold": None})]
    assert skipped == [
        "queue 4 is only in the state after; queues cannot be added",
        "queue 3 is only in the state before; queues cannot be removed",
        "a queue without an id in the state after cannot be compared",
        "queue 1: name stays unchanged: it cannot be set",
        "queue 2: max_wait stays unchanged: it cannot be set to null",
        f"queue 5: strategy stays unchanged: {refusal}",
    ]
