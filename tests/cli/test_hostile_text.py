"""What an answer can put on a terminal: it is bounded and visible in every output of the command."""

import json
from typing import Any

import pytest

from tests.cli.command import Alohub
from tests.support import FIRST, json_reply, queue

HOSTILE = "a\x1b[2J\x7f\x9b\u202e\u200b\u200d\u2066\ufeff"
LONG = "x" * 100_000

COMMANDS: dict[str, tuple[str, ...]] = {
    "table": ("list",),
    "array": ("list", "--output", "json"),
    "lines": ("list", "--output", "jsonl"),
    "one": ("get", str(FIRST)),
    "one as JSON": ("get", str(FIRST), "--output", "json"),
    "audit": ("audit",),
    "audit as JSON": ("audit", "--output", "json"),
    "difference": ("diff", "live", "live"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_output_is_visible(alohub: Alohub, name: str) -> None:
    """Names, odd values and unknown fields of a queue control no terminal; JSON has them without loss."""
    [stored, *_] = alohub.sandbox.queues
    stored.update({"callinName": HOSTILE, "timeWait": HOSTILE, HOSTILE: [HOSTILE]})
    outcome = alohub("queues", *COMMANDS[name])
    assert (outcome.out + outcome.err).replace("\n", "").isprintable()
    if name in {"array", "one as JSON"}:
        found: Any = outcome.json
        assert (found[0] if name == "array" else found)["name"] == HOSTILE


@pytest.mark.parametrize("name", ["table", "one", "audit"])
def test_tables_have_a_most_length(alohub: Alohub, name: str) -> None:
    """A name of any length, and any number of unknown fields, leave a short table."""
    [stored, *_] = alohub.sandbox.queues
    stored.update({"callinName": LONG, **{f"field{number}": LONG for number in range(300)}})
    outcome = alohub("queues", *COMMANDS[name])
    assert max(map(len, outcome.out.splitlines())) < 10_000
    assert len(outcome.out) < 1_000_000
    assert ("200 more; --output json shows all" in outcome.out) == (name == "one")


@pytest.mark.parametrize("text", [HOSTILE, LONG])
@pytest.mark.parametrize("answer", ["failure", "shape", "updated"])
def test_messages_have_a_most_length(alohub: Alohub, answer: str, text: str) -> None:
    """The message of a failure, an unknown shape, and a value that an update replaces."""
    if answer == "updated":
        alohub.sandbox.fail(json_reply(queue(timeWait=text)))
        shown = alohub("queues", "update", str(FIRST), "--max-wait", "5").out.splitlines()[2]
    else:
        body: dict[str, Any] = {"success": "0", "error_message": text} if answer == "failure" else {text: {}}
        alohub.sandbox.fail(json_reply(body, status=404 if answer == "failure" else 200))
        shown = alohub("queues", "get", str(FIRST)).error
    assert len(shown) < 3000
    assert shown.rstrip("\n").isprintable()


def test_json_is_read_back_as_it_was(alohub: Alohub) -> None:
    """Letters of every language stay as they are."""
    alohub.sandbox.fail(json_reply(queue(callinName="Hàng đợi \u202e日本")))
    out = alohub("queues", "get", str(FIRST), "--output", "json").out
    assert "Hàng đợi \\u202e日本" in out
    assert json.loads(out)["name"] == "Hàng đợi \u202e日本"
