"""`alohub queues get` and `alohub queues update`."""

from pathlib import Path

import pytest

from alohub_async.cli.errors import ExitCode
from alohub_async.files import queue_record, read_queues
from alohub_async.testing import JsonAnswer, WireQueue
from tests.cli.command import Alohub, records

ID = "1001226"
GET = ("queues", "get", ID)
UPDATE = ("queues", "update", ID)


def _stored(alohub: Alohub) -> WireQueue:
    return alohub.sandbox.queues[0]


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
    """`update` sets all four fields, in the formats of the API, and confirms it in one line."""
    outcome = alohub(
        *UPDATE, "--max-wait", "77", "--strategy", "divert", "--music-on-hold", "tết.wav", "--announce-position"
    )
    assert outcome.code == 0
    assert outcome.out == "Updated queue 1001226. Inbound queue updated successfully\n"
    stored = _stored(alohub)
    assert (stored["timeWait"], stored["strategy"]) == ("77", 4)
    assert (stored["musicinQueue"], stored["nguongRanhRoi"]) == ("tết.wav", "1")


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
    assert alohub(*UPDATE, *option).code == 0
    assert [request.json for request in alohub.sandbox.requests] == [body]


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
