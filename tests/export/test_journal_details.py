"""What a journal holds: its header, its passes, and the records in their order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alohub_async import AlohubError, FileError, InvalidArgumentError, RetryPolicy
from alohub_async.export import ExportProgress, export_inbound
from alohub_async.export.exported import Key
from alohub_async.export.journal import journal_path, open_journal
from alohub_async.export.locks import open_locked
from alohub_async.export.log import Log
from alohub_async.export.state import State
from alohub_async.pagination import Drift, PassesState
from alohub_async.testing import Sandbox

POSITION = "MTIz"
HEADER = {"page_size": 10, "details": False, "key": "00ff"}


def _key_of(record: Mapping[str, Any]) -> Key:
    key: Key = record["id"] if record["id"] is not None else (record["name"],)
    return key


def _record(key: int | None, name: str) -> dict[str, Any]:
    return {"id": key, "name": name}


def _state(number: int, position: str | None = POSITION, **others: Any) -> State:
    return State(passes=PassesState(number=number), token=position, **others)


def test_differences_are_told_in_words(tmp_path: Path) -> None:
    """Each one that is wanted, but the key itself is not shown; what the journal has besides does not matter."""
    with open_journal(tmp_path / "x.jsonl", _key_of, restart=False) as journal:
        journal.begin(HEADER)
        assert journal.differences(HEADER) == ""
        assert journal.differences({"details": False}) == ""
        assert journal.differences({**HEADER, "key": "ab", "page_size": 20}) == (
            "page_size was 10, and is 20 now, the API key is another"
        )
        assert journal.differences({"tenant_id": "7"}) == "tenant_id was None, and is '7' now"


def test_journal_is_empty_until_a_page_came(tmp_path: Path) -> None:
    """Then it belongs to one export; so it does when that has ended, or is in a later pass."""
    path = tmp_path / "x.jsonl"
    with open_journal(path, _key_of, restart=False) as journal:
        assert (journal.empty, journal.header) == (True, {})
        journal.begin(HEADER)
        assert journal.empty
        journal.add([], [], State(runs=1))
        assert journal.empty
        for state in (_state(1), _state(2, None), State(ended=True)):
            journal.add([], [], state)
            assert not journal.empty
            journal.begin(HEADER)
            assert (journal.empty, journal.state) == (True, State())


def test_what_was_added_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    """The header, the state after the last page, and which keys came in which pass."""
    path = tmp_path / "x.jsonl"
    with open_journal(path, _key_of, restart=False) as journal:
        journal.begin(HEADER)
        journal.add([_record(1, "a"), _record(None, "b")], [], _state(1, received=2))
        journal.add([], [], _state(2, None))
        journal.add([_record(3, "c")], [1, ("b",)], _state(2, "NDU2", received=3))
    with open_journal(path, _key_of, restart=False) as journal:
        assert journal.header == {"export_journal": 1, **HEADER}
        assert journal.state == _state(2, "NDU2", received=3)
        assert journal.passes.count == 3
        assert [journal.passes.was_known(key) for key in (1, ("b",), 3)] == [True, True, False]
        assert [journal.passes.came(key) for key in (1, 3, 4)] == [True, True, False]
        journal.add([_record(4, "d")], [], _state(2, "Nzg5", received=4))
    with open_journal(path, _key_of, restart=False) as journal:
        assert journal.state.received == 4
        assert journal.passes.came(4)
    with open_journal(path, _key_of, restart=True) as journal:
        assert (journal.header, journal.state, journal.passes.count) == ({}, State(), 0)


@pytest.mark.parametrize("opened_again", [False, True])
def test_records_come_once_as_they_were_seen_last(tmp_path: Path, *, opened_again: bool) -> None:
    """Those of the last pass first, in its order; then those that only earlier passes brought."""
    path = tmp_path / "x.jsonl"
    with open_journal(path, _key_of, restart=False) as journal:
        journal.begin(HEADER)
        journal.add([_record(1, "old"), _record(2, "old")], [], _state(1))
        journal.add([_record(3, "old"), _record(None, "x")], [], _state(1))
        journal.add([], [], _state(2, None))
        journal.add([_record(5, "mid"), _record(2, "mid")], [], _state(2))
        journal.add([], [], _state(3, None))
        journal.add([_record(2, "new"), _record(None, "x"), _record(None, "x")], [], _state(3))
        expected = [
            *((2, "new"), (None, "x"), (None, "x")),  # records without an id are all kept
            (5, "mid"),
            *((1, "old"), (3, "old")),
        ]
        if not opened_again:
            assert [(record["id"], record["name"]) for record in journal.records()] == expected
    if opened_again:
        with open_journal(path, _key_of, restart=False) as journal:
            assert [(record["id"], record["name"]) for record in journal.records()] == expected


@pytest.mark.parametrize("count", [4095, 4096, 4097, 9000])
def test_long_pass_is_read_in_parts(tmp_path: Path, count: int) -> None:
    """Where one part ends, no record is lost, and none of an earlier pass comes again."""
    with open_journal(tmp_path / "x.jsonl", _key_of, restart=False) as journal:
        journal.begin(HEADER)
        journal.add([_record(key, "old") for key in range(-1, count)], [], _state(1))
        journal.add([], [], _state(2, None))
        journal.add([_record(key, "new") for key in range(count)], [], _state(2))
        records = [*journal.records()]
    assert records == [*(_record(key, "new") for key in range(count)), _record(-1, "old")]


def test_passes_go_on_where_the_journal_stands(tmp_path: Path) -> None:
    """The second pass of a journal that was opened again proves the list."""
    path = tmp_path / "x.jsonl"
    with open_journal(path, _key_of, restart=False) as journal:
        journal.begin(HEADER)
        journal.passes.add_page(0, [1, 2], 2, Drift(totals=(2,)))
        journal.add([_record(1, "a"), _record(2, "b")], [], State(passes=journal.passes.state, token=POSITION))
        assert journal.passes.end_pass(Drift(totals=(2,)), max_passes=3)
        journal.add([], [], State(passes=journal.passes.state))
    with open_journal(path, _key_of, restart=False) as journal:
        journal.passes.add_page(0, [2, 1], 2, Drift(totals=(2,)))
        assert not journal.passes.end_pass(Drift(totals=(2,)), max_passes=3)
        assert journal.passes.state.settled


async def test_pass_begins_at_the_first_page_without_records(tmp_path: Path) -> None:
    """So does an export that resumes there."""
    path = tmp_path / "queues.jsonl"
    async with (
        Sandbox(queues=5, tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client(retry=RetryPolicy(max_retries=0)) as client,
    ):

        def fail(progress: ExportProgress) -> None:
            if progress.number == 2 and progress.written == 0:
                sandbox.fail(status=500, page=0)

        with pytest.raises(AlohubError):
            await export_inbound(client, path, on_progress=fail)
    with open_journal(path, _key_of, restart=False) as journal:
        state = journal.state
    assert (state.passes.number, state.token, state.received, state.ended, state.runs) == (2, None, 0, False, 1)


async def test_bad_choice_is_named(tmp_path: Path) -> None:
    """With what is allowed."""
    async with Sandbox(queues=1) as sandbox, sandbox.client() as client:
        options: dict[str, Any] = {"consistency": "raise"}
        with pytest.raises(InvalidArgumentError, match=r"^consistency must be .*detect.*repair.*'raise' was given$"):
            await export_inbound(client, tmp_path / "queues.jsonl", **options)


OTHER_LINES: list[Any] = [{"records": [], "seen": []}, {"records": [{}], "seen": [], "state": {}}, {"seen": 5}]


@pytest.mark.parametrize("line", OTHER_LINES)
def test_journal_of_another_version_is_refused(tmp_path: Path, line: dict[str, Any]) -> None:
    """Its lines are intact, but do not say what is needed; the error says what to do, and nothing is changed."""
    path = tmp_path / "x.jsonl"
    with open_journal(path, _key_of, restart=False) as journal:
        journal.begin(HEADER)
    with open_locked(journal_path(path), target=path) as file:
        log = Log(file, journal_path(path), "export_journal")
        [(_, log.end)] = log.read(log.start)
        log.append(line)
    before = journal_path(path).read_bytes()
    with (
        pytest.raises(FileError, match=r"is of another version, so it cannot be used; start anew with restart=True$"),
        open_journal(path, _key_of, restart=False),
    ):
        pass
    assert journal_path(path).read_bytes() == before
