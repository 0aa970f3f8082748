"""`alohub queues list`."""

import json
from collections.abc import Callable

import pytest
from rich.cells import cell_len

from alohub_async.cli.errors import ExitCode
from alohub_async.files import json_text
from alohub_async.testing import JsonAnswer, Sandbox, seed_queues
from tests.cli.command import Alohub, Outcome, records

LIST = ("queues", "list")


def _ids(outcome: Outcome) -> list[int]:
    """The ids of a table, from the top."""
    words = [line.split()[0] for line in outcome.out.splitlines() if line.strip()]
    return [int(word) for word in words if word.isdigit() and len(word) == 7]


def _queue(**fields: object) -> dict[str, object]:
    return {"callinId": 1001226, "callinName": "test", **fields}


def _listed(alohub: Alohub, *queues: dict[str, object]) -> Outcome:
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": len(queues), "data": list(queues)}))
    return alohub(*LIST)


def test_the_table_has_every_queue(alohub: Alohub) -> None:
    """Each queue of each page is in the table, in the list's order, each in one line where nobody wraps it."""
    outcome = alohub(*LIST, "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert _ids(outcome) == [queue["callinId"] for queue in alohub.sandbox.queues]
    for queue in alohub.sandbox.queues:
        line = next(line for line in outcome.out.splitlines() if line.startswith(str(queue["callinId"])))
        assert str(queue["callinName"]) in line
    assert outcome.out.splitlines()[-1] == "45 queues"
    assert [request.query["size"] for request in alohub.sandbox.requests] == ["20", "20", "20"]


def test_the_table_fits_80_columns(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns no line is longer, no word of a name is lost, and ids, strategies and numbers stay whole."""
    monkeypatch.setenv("COLUMNS", "80")
    outcome = alohub(*LIST)
    assert max(map(cell_len, outcome.out.splitlines())) <= 80
    assert "…" not in outcome.out
    assert _ids(outcome) == [queue["callinId"] for queue in alohub.sandbox.queues]
    words = outcome.out.split()
    for queue in alohub.sandbox.queues:
        assert set(str(queue["callinName"]).split()) <= set(words)
        assert queue["callinNumber"] is None or queue["callinNumber"] in words


def test_the_table_of_the_inner_sandbox(alohub: Alohub) -> None:
    """`--sandbox` lists all of its queues, not held up by a limit even page by page, and asks nobody else."""
    outcome = alohub(*LIST, "--sandbox", "--page-size", "2")
    assert outcome.code == 0
    assert _ids(outcome) == [queue["callinId"] for queue in seed_queues(250)]
    assert alohub.sandbox.requests == []


def test_the_inner_sandbox_direct(alohub: Alohub) -> None:
    """`--sandbox --direct` takes the backend's way of access and lists the same."""
    assert _ids(alohub(*LIST, "--sandbox", "--direct")) == [queue["callinId"] for queue in seed_queues(250)]


def test_the_tables_words(alohub: Alohub) -> None:
    """Values read well: units, names of strategies, yes and no, a dash for nothing."""
    outcome = _listed(
        alohub, _queue(strategy=99, timeWait="90", nguongRanhRoi="1", callinNumber="028"), _queue(callinId=7)
    )
    rows = [line.split() for line in outcome.out.splitlines()[-3:-1]]
    assert rows == [
        ["1001226", "test", "LOCKED", "90", "s", "-", "yes", "028"],
        ["7", "test", "-", "-", "-", "-", "-"],
    ]


def test_the_table_shows_what_did_not_fit(alohub: Alohub) -> None:
    """A value outside of what is documented is shown as it came, and marked."""
    outcome = _listed(alohub, _queue(strategy=7, timeWait="soon"))
    assert "7 (?)" in outcome.out
    assert "soon (?)" in outcome.out


def test_names_cannot_steer_the_terminal(alohub: Alohub) -> None:
    """Escape sequences, line breaks and overrides of direction in a name are made harmless; Rich's markup is text."""
    outcome = _listed(alohub, _queue(callinName="[red]VIP[/red] :smile:\x1b[2J\n\u202eHà Nội"))
    assert "[red]VIP[/red] :smile:�[2J �Hà Nội" in outcome.out
    assert "\x1b" not in outcome.out


def test_no_queues(alohub: Alohub) -> None:
    """A tenant without queues gets an empty table, and an empty array."""
    assert _listed(alohub).out.splitlines()[-1] == "0 queues"
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 0, "data": []}))
    assert alohub(*LIST, "--json").out == "[]\n"


def test_json(alohub: Alohub) -> None:
    """`--json` writes one array of the SDK's records, its letters unescaped."""
    outcome = alohub(*LIST, "--json", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == records(alohub.sandbox.queues)
    assert str(alohub.sandbox.queues[0]["callinName"]) in outcome.out


def test_jsonl(alohub: Alohub) -> None:
    """`--jsonl` writes one of the SDK's records a line, its letters unescaped."""
    outcome = alohub(*LIST, "--jsonl", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert [json.loads(line) for line in outcome.out.splitlines()] == records(alohub.sandbox.queues)
    assert str(alohub.sandbox.queues[0]["callinName"]) in outcome.out


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_json_keeps_what_the_sdk_does_not_know(serve: Callable[..., Sandbox], alohub: Alohub, form: str) -> None:
    """Unknown fields and values that did not fit are in `extra`."""
    queue = _queue(strategy=7, timeWait="soon", other={"tên": ["Huế"]})
    sandbox = serve(queues=[queue])
    outcome = alohub(*LIST, form, "--base-url", str(sandbox.url))
    found = outcome.json[0] if form == "--json" else outcome.json
    assert [found] == records([queue])
    assert found["extra"] == {"timeWait": "soon", "other": {"tên": ["Huế"]}}


def test_json_of_what_utf8_cannot_say() -> None:
    """Half a surrogate pair, which JSON can hold, is written as an escape."""
    text = json_text({"tên": "\ud800"})
    assert json.loads(text.encode()) == {"tên": "\ud800"}


def test_jsonl_is_written_as_pages_arrive(alohub: Alohub) -> None:
    """When a later page fails, the pages before it are written, each line whole."""
    alohub.sandbox.fail(page=1, status=400)
    outcome = alohub(*LIST, "--jsonl", "--page-size", "20")
    assert outcome.code == ExitCode.USAGE
    assert [json.loads(line) for line in outcome.out.splitlines()] == records(alohub.sandbox.queues[:20])


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_table_and_array_are_whole_or_not_there(alohub: Alohub, form: tuple[str, ...]) -> None:
    """When a later page fails, no half table and no half array is written."""
    alohub.sandbox.fail(page=1, status=400)
    assert "INVALID_INPUT" in alohub(*LIST, *form, "--page-size", "20").error


@pytest.mark.parametrize("form", [(), ("--json",), ("--jsonl",)])
def test_a_list_that_ends_early_is_told(alohub: Alohub, form: tuple[str, ...]) -> None:
    """A list that ends before its total is written, told on stderr, and has an exit code of its own."""
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": [_queue()]}), page=0)
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": []}), next=None)
    outcome = alohub(*LIST, *form)
    assert outcome.code == ExitCode.INCOMPLETE
    assert "1001226" in outcome.out
    assert outcome.err.count("\n") == 1
    assert "1 records of 5" in outcome.err


def test_one_form_at_a_time(alohub: Alohub) -> None:
    """`--json` and `--jsonl` together are refused before anything is sent."""
    assert "either --json or --jsonl" in alohub(*LIST, "--json", "--jsonl").error
    assert alohub.sandbox.requests == []


def test_progress_on_a_terminal(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal stderr tells how far the list has come; stdout is the same as ever."""
    plain = alohub(*LIST, "--json").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = alohub(*LIST, "--json", "--page-size", "20")
    assert outcome.out == plain
    assert "Listing queues" in outcome.err
