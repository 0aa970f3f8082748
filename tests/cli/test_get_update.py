"""`alohub queues get` and `alohub queues update`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from alohub_async.cli.errors import ExitCode
from alohub_async.files import queue_record, read_queues
from alohub_async.testing import DropConnection, JsonAnswer, Status, WireQueue
from tests.cli.command import PATIENCE, Alohub, Process, records

ID = "1001226"
GET = ("queues", "get", ID)
UPDATE = ("queues", "update", ID)
SET = ("--max-wait", "77")


def _stored(alohub: Alohub) -> WireQueue:
    return alohub.sandbox.queues[0]


def _bodies(alohub: Alohub) -> list[object]:
    """The updates that were sent."""
    return [request.json for request in alohub.sandbox.requests.of(method="PUT")]


def test_get(alohub: Alohub) -> None:
    """`get` shows each attribute of the queue."""
    outcome = alohub(*GET)
    assert (outcome.code, outcome.err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert [*rows] == [name for name in records([_stored(alohub)])[0] if name != "extra"]
    assert rows["id"] == ID
    assert rows["name"] == _stored(alohub)["callinName"]


def test_get_shows_unknown_fields(alohub: Alohub) -> None:
    """`get` also shows fields that the SDK does not know."""
    alohub.sandbox.fail(JsonAnswer({"callinId": 1001226, "callinName": "test", "màu": ["đỏ"]}))
    assert alohub(*GET).out.splitlines()[-1].split(maxsplit=1) == ["extra.màu", '["đỏ"]']


def test_get_json(alohub: Alohub) -> None:
    """JSON is the record of the SDK, in a document or in a line."""
    text = alohub(*GET, "--output", "json")
    assert text.json == alohub(*GET, "--output", "jsonl").json == records([_stored(alohub)])[0]
    assert text.out.count("\n") > alohub(*GET, "--output", "jsonl").out.count("\n") == 1


def test_get_csv(alohub: Alohub, tmp_path: Path) -> None:
    """CSV is the same as in an export, so that files of both can be read back."""
    _stored(alohub).update(callinName="=1+1", timeWait="soon", other={"tên": ["Huế"]})
    path = tmp_path / "queue.csv"
    path.write_bytes(alohub(*GET, "--output", "csv").out.encode())
    [queue] = read_queues(path)
    assert queue_record(queue) == records([_stored(alohub)])[0]
    assert b"'=1+1" in path.read_bytes()


def test_an_unknown_form(alohub: Alohub) -> None:
    """The message lists what is allowed, and nothing is sent."""
    outcome = alohub(*GET, "--output", "yaml")
    assert outcome.code == ExitCode.USAGE
    assert "'csv'" in outcome.error
    assert alohub.sandbox.requests == []


def test_update_sets_all_fields(alohub: Alohub) -> None:
    """`update` sets all four fields, in the formats of the API, and shows each before and after."""
    _stored(alohub).update(timeWait="60", strategy=2, musicinQueue=None, nguongRanhRoi="0")
    outcome = alohub(
        *UPDATE, "--max-wait", "77", "--strategy", "divert", "--music-on-hold", "tết.wav", "--announce-position"
    )
    assert (outcome.code, outcome.err) == (0, "")
    *_, first, second, third, fourth, counts = outcome.out.splitlines()
    assert first.startswith(ID)
    assert first.endswith(" music_on_hold: - -> tết.wav")
    assert second.strip() == "max_wait: 60 s -> 77 s"
    assert third.strip() == "strategy: VIP -> DIVERT"
    assert fourth.strip() == "announce_position: no -> yes"
    assert counts == "1 changed"
    stored = _stored(alohub)
    assert (stored["timeWait"], stored["strategy"]) == ("77", 4)
    assert (stored["musicinQueue"], stored["nguongRanhRoi"]) == ("tết.wav", "1")


def test_update_of_what_is_so_already(alohub: Alohub) -> None:
    """Nothing is sent if the queue has the values."""
    _stored(alohub).update(timeWait="77")
    outcome = alohub(*UPDATE, "--max-wait", "77")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "1 unchanged")
    assert _bodies(alohub) == []


@pytest.mark.parametrize("options", [(), ("--expect", "max_wait=60")])
def test_update_dry_run(alohub: Alohub, options: tuple[str, ...]) -> None:
    """`--dry-run` shows what would change, and sends no update."""
    _stored(alohub).update(timeWait="60")
    outcome = alohub(*UPDATE, "--max-wait", "77", "--dry-run", *options)
    assert (outcome.code, outcome.err) == (0, "")
    assert "max_wait: 60 s -> 77 s\n1 to change\n" in outcome.out
    assert [request.method for request in alohub.sandbox.requests] == ["GET"]


@pytest.mark.parametrize(
    "expect",
    [
        "max_wait=60",
        "max-wait= 60 ",
        "strategy=VIP",
        "strategy=2",
        "music_on_hold=null",
        "announce_position=yes",
        "name=a=b",
        "number=0912",
    ],
)
def test_update_as_expected(alohub: Alohub, expect: str) -> None:
    """`--expect` takes any field, with values as in files of changes; after the update it holds again."""
    stored = _stored(alohub)
    stored.update(
        timeWait="60", strategy=2, musicinQueue=None, nguongRanhRoi="1", callinName="a=b", callinNumber="0912"
    )
    for state in ("changed", "unchanged"):
        outcome = alohub(*UPDATE, "--max-wait", "77", "--expect", expect)
        assert (outcome.code, outcome.err, outcome.out.splitlines()[-1]) == (0, "", f"1 {state}")


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        (("max_wait=61",), "max_wait is 60, not 61"),
        (("max_wait=null",), "max_wait is 60, not None"),
        (("max_wait=60", "strategy=NORMAL"), "strategy is VIP, not NORMAL"),
        (("name=b",), "name is 'a', not 'b'"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_update_conflicts(alohub: Alohub, expect: tuple[str, ...], message: str, options: tuple[str, ...]) -> None:
    """Another value is a conflict with its own exit code, and nothing is written."""
    _stored(alohub).update(timeWait="60", strategy=2, callinName="a")
    words = [word for each in expect for word in ("--expect", each)]
    outcome = alohub(*UPDATE, "--max-wait", "77", *words, *options)
    assert outcome.code == ExitCode.CONFLICT
    assert message in outcome.error
    assert "nothing was written" in outcome.error
    assert _bodies(alohub) == []


def test_update_conflicts_with_a_change_meanwhile(alohub: Alohub) -> None:
    """Between the look and the update, others change the field."""
    _stored(alohub).update(timeWait="60")
    alohub.sandbox.fail(JsonAnswer({"callinId": int(ID), "callinName": "a", "timeWait": "61"}))
    outcome = alohub(*UPDATE, "--max-wait", "77", "--expect", "max_wait=61")
    assert outcome.code == ExitCode.CONFLICT
    assert "max_wait is 60, not 61" in outcome.error
    assert _bodies(alohub) == []


def test_update_that_is_not_taken(alohub: Alohub) -> None:
    """A value that the server confirms and does not set is a failure."""
    _stored(alohub).update(timeWait="60")
    alohub.sandbox.fail(JsonAnswer({"success": "1"}), method="PUT")
    outcome = alohub(*UPDATE, "--max-wait", "77")
    assert outcome.code == ExitCode.FAILED
    assert "max_wait: 60 s -> 77 s (it is 60 s)\n1 not taken\n" in outcome.out
    assert outcome.err == f"alohub: queue {ID}: the server reported success but did not change max_wait\n"


def test_update_that_may_be_done(alohub: Alohub) -> None:
    """The message of a failure says so if the update was sent."""
    _stored(alohub).update(timeWait="60")
    alohub.sandbox.fail(DropConnection(processed=True), method="PUT")
    alohub.sandbox.fail(Status(400), method="GET", after=1)
    assert "the update may be done all the same" in alohub(*UPDATE, "--max-wait", "77").error


@pytest.mark.parametrize("color", [{}, {"NO_COLOR": "1"}])
def test_update_in_a_pipe(start: Callable[..., Process], alohub: Alohub, color: dict[str, str]) -> None:
    """The table is plain text, and fits a terminal of 80 columns."""
    _stored(alohub).update(timeWait="60", callinName="dài " * 40)
    process = start(*UPDATE, "--max-wait", "77", "--dry-run", COLUMNS="80", **color)
    out, err = process.communicate(timeout=PATIENCE)
    assert err == ""
    assert "\x1b" not in out
    assert "max_wait: 60 s -> 77 s" in out
    assert max(map(cell_len, out.splitlines())) <= 80


def test_help_has_examples(alohub: Alohub) -> None:
    """`--help` of each command has one."""
    for command in ("list", "get", "update"):
        assert f"Example: alohub queues {command} " in " ".join(alohub("queues", command, "--help").out.split())


@pytest.mark.parametrize(
    ("option", "body"),
    [
        (("--max-wait", "0"), {"max_wait_sec": "0"}),
        (("--strategy", "VIP"), {"strategy": 2}),
        (("--strategy", "99"), {"strategy": 99}),
        (("--music-on-hold", "a.wav"), {"moh_file_id": "a.wav"}),
        (("--no-announce-position",), {"announce_position": "0"}),
    ],
)
def test_update_sends_only_given_fields(alohub: Alohub, option: tuple[str, ...], body: dict[str, object]) -> None:
    """`update` sends the given fields and nothing else."""
    _stored(alohub).update(timeWait="60", strategy=1, musicinQueue=None, nguongRanhRoi="1")
    assert alohub(*UPDATE, *option).code == 0
    assert _bodies(alohub) == [body]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to change: give --max-wait"),
        (("--max-wait", "-1"), "--max-wait"),
        (("--max-wait", "1.5"), "--max-wait"),
        (("--strategy", "gold"), "'gold' is not one of NORMAL (1), VIP (2)"),
        (("--strategy", "5"), "'5' is not one of"),
        (("--music-on-hold", "../a.wav"), "plain file name"),
        (("--music-on-hold", ""), "plain file name"),
        ((*SET, "--expect", "max_wait"), "'max_wait' is not FIELD=VALUE"),
        ((*SET, "--expect", "wait=1"), "no field 'wait'; did you mean 'max_wait'?"),
        ((*SET, "--expect", "extra={}"), "no field 'extra'"),
        ((*SET, "--expect", "max_wait=soon"), "max_wait must be a whole number or null; 'soon' was found"),
        ((*SET, "--expect", "max_wait="), "max_wait must be a whole number or null"),
        ((*SET, "--expect", "strategy=gold"), "one of NORMAL, VIP"),
        ((*SET, "--expect", "max_wait=1", "--expect", "max-wait=2"), "'max-wait=2' is the second one of its field"),
    ],
)
def test_update_refuses(alohub: Alohub, options: tuple[str, ...], message: str) -> None:
    """Values that cannot be set are refused in one line, before anything is sent."""
    outcome = alohub(*UPDATE, *options)
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert alohub.sandbox.requests == []


@pytest.mark.parametrize("queue_id", ["0", "x", "1.5", "-3", "9" * 5000])
@pytest.mark.parametrize("command", ["get", "update"])
def test_ids(alohub: Alohub, command: str, queue_id: str) -> None:
    """Invalid ids are refused in one line, before anything is sent."""
    outcome = alohub("queues", command, queue_id)
    assert outcome.code == ExitCode.USAGE
    assert len(outcome.error) < 300
    assert alohub.sandbox.requests == []
