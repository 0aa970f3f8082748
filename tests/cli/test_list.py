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
    """The ids of a table, in its order."""
    words = [line.split()[0] for line in outcome.out.splitlines() if line.strip()]
    return [int(word) for word in words if word.isdigit() and len(word) == 7]


def _queue(**fields: object) -> dict[str, object]:
    return {"callinId": 1001226, "callinName": "test", **fields}


def _listed(alohub: Alohub, *queues: dict[str, object]) -> Outcome:
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": len(queues), "data": list(queues)}))
    return alohub(*LIST)


def test_the_table_has_every_queue(alohub: Alohub) -> None:
    """The table has every queue of every page, in the order of the list, one line each if output is not wrapped."""
    outcome = alohub(*LIST, "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert _ids(outcome) == [queue["callinId"] for queue in alohub.sandbox.queues]
    for queue in alohub.sandbox.queues:
        line = next(line for line in outcome.out.splitlines() if line.startswith(str(queue["callinId"])))
        assert str(queue["callinName"]) in line
    assert outcome.out.splitlines()[-1] == "45 queues"
    assert [request.query["size"] for request in alohub.sandbox.requests] == ["20", "20", "20"]


def test_the_table_fits_80_columns(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns no line is longer, names are complete, and ids, strategies and numbers are not split."""
    monkeypatch.setenv("COLUMNS", "80")
    outcome = alohub(*LIST)
    assert max(map(cell_len, outcome.out.splitlines())) <= 80
    assert "…" not in outcome.out
    assert _ids(outcome) == [queue["callinId"] for queue in alohub.sandbox.queues]
    words = outcome.out.split()
    for queue in alohub.sandbox.queues:
        assert set(str(queue["callinName"]).split()) <= set(words)
        assert queue["callinNumber"] is None or queue["callinNumber"] in words


def test_sandbox(alohub: Alohub) -> None:
    """`--sandbox` lists all queues of a sandbox without rate limits and sends nothing elsewhere."""
    outcome = alohub(*LIST, "--sandbox", "--page-size", "2")
    assert outcome.code == 0
    assert _ids(outcome) == [queue["callinId"] for queue in seed_queues(250)]
    assert alohub.sandbox.requests == []


def test_direct_sandbox(alohub: Alohub) -> None:
    """`--sandbox --direct` uses the access of the backend and lists the same queues."""
    assert _ids(alohub(*LIST, "--sandbox", "--direct")) == [queue["callinId"] for queue in seed_queues(250)]


def test_values_in_the_table(alohub: Alohub) -> None:
    """Values have units, strategies have names, booleans are yes and no, and a dash is no value."""
    outcome = _listed(
        alohub, _queue(strategy=99, timeWait="90", nguongRanhRoi="1", callinNumber="028"), _queue(callinId=7)
    )
    rows = [line.split() for line in outcome.out.splitlines()[-3:-1]]
    assert rows == [
        ["1001226", "test", "LOCKED", "90", "s", "-", "yes", "028"],
        ["7", "test", "-", "-", "-", "-", "-"],
    ]


def test_the_table_shows_invalid_values(alohub: Alohub) -> None:
    """A value that does not fit its documented type is shown with a mark."""
    outcome = _listed(alohub, _queue(strategy=7, timeWait="soon"))
    assert "7 (?)" in outcome.out
    assert "soon (?)" in outcome.out


def test_names_cannot_control_the_terminal(alohub: Alohub) -> None:
    """Escape sequences, line breaks and direction overrides in a name are replaced; markup of Rich is text."""
    outcome = _listed(alohub, _queue(callinName="[red]VIP[/red] :smile:\x1b[2J\n\u202eHà Nội"))
    assert "[red]VIP[/red] :smile:�[2J �Hà Nội" in outcome.out
    assert "\x1b" not in outcome.out


def test_no_queues(alohub: Alohub) -> None:
    """Without queues, the table and the JSON array are empty."""
    assert _listed(alohub).out.splitlines()[-1] == "0 queues"
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 0, "data": []}))
    assert alohub(*LIST, "--json").out == "[]\n"


def test_json(alohub: Alohub) -> None:
    """`--json` writes one array of records without escaped letters."""
    outcome = alohub(*LIST, "--json", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == records(alohub.sandbox.queues)
    assert str(alohub.sandbox.queues[0]["callinName"]) in outcome.out


def test_jsonl(alohub: Alohub) -> None:
    """`--jsonl` writes one record per line without escaped letters."""
    outcome = alohub(*LIST, "--jsonl", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert [json.loads(line) for line in outcome.out.splitlines()] == records(alohub.sandbox.queues)
    assert str(alohub.sandbox.queues[0]["callinName"]) in outcome.out


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_json_keeps_unknown_fields(serve: Callable[..., Sandbox], alohub: Alohub, form: str) -> None:
    """Unknown fields and invalid values are in `extra`."""
    queue = _queue(strategy=7, timeWait="soon", other={"tên": ["Huế"]})
    sandbox = serve(queues=[queue])
    outcome = alohub(*LIST, form, "--base-url", str(sandbox.url))
    found = outcome.json[0] if form == "--json" else outcome.json
    assert [found] == records([queue])
    assert found["extra"] == {"timeWait": "soon", "other": {"tên": ["Huế"]}}


def test_json_of_a_lone_surrogate() -> None:
    """A lone surrogate, which JSON allows and UTF-8 does not, is escaped."""
    text = json_text({"tên": "\ud800"})
    assert json.loads(text.encode()) == {"tên": "\ud800"}


def test_jsonl_is_written_as_pages_arrive(alohub: Alohub) -> None:
    """When a later page fails, the earlier pages are written in complete lines."""
    alohub.sandbox.fail(page=1, status=400)
    outcome = alohub(*LIST, "--jsonl", "--page-size", "20")
    assert outcome.code == ExitCode.USAGE
    assert [json.loads(line) for line in outcome.out.splitlines()] == records(alohub.sandbox.queues[:20])


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_partial_table_or_array(alohub: Alohub, form: tuple[str, ...]) -> None:
    """When a later page fails, neither a partial table nor a partial array is written."""
    alohub.sandbox.fail(page=1, status=400)
    assert "INVALID_INPUT" in alohub(*LIST, *form, "--page-size", "20").error


@pytest.mark.parametrize("form", [(), ("--json",), ("--jsonl",)])
def test_a_list_that_ends_early(alohub: Alohub, form: tuple[str, ...]) -> None:
    """A list that ends before its total is written, with a warning on stderr and its own exit code."""
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": [_queue()]}), page=0)
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": []}), next=None)
    outcome = alohub(*LIST, *form)
    assert outcome.code == ExitCode.INCOMPLETE
    assert "1001226" in outcome.out
    assert outcome.err.count("\n") == 1
    assert "1 records of 5" in outcome.err


def test_one_format_at_a_time(alohub: Alohub) -> None:
    """`--json` and `--jsonl` together are refused, and nothing is sent."""
    assert "either --json or --jsonl" in alohub(*LIST, "--json", "--jsonl").error
    assert alohub.sandbox.requests == []


def test_progress_on_a_terminal(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal stderr shows the progress; stdout is unchanged."""
    plain = alohub(*LIST, "--json").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = alohub(*LIST, "--json", "--page-size", "20")
    assert outcome.out == plain
    assert "Listing queues" in outcome.err
