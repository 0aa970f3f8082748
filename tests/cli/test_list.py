"""`alohub queues list`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest
from rich.cells import cell_len

from alohub_async.cli.errors import ExitCode
from alohub_async.cli.output import QUEUE_COLUMNS
from alohub_async.files import json_text
from alohub_async.testing import JsonAnswer, Sandbox, seed_queues
from tests.cli.command import PATIENCE, Alohub, Outcome, Process, records

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
    assert alohub(*LIST, "--output", "json").out == "[]\n"


def test_json(alohub: Alohub) -> None:
    """JSON is one array of records without escaped letters."""
    outcome = alohub(*LIST, "--output", "json", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == records(alohub.sandbox.queues)
    assert str(alohub.sandbox.queues[0]["callinName"]) in outcome.out


def test_jsonl(alohub: Alohub) -> None:
    """JSON Lines are one record per line without escaped letters."""
    outcome = alohub(*LIST, "--output", "jsonl", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    assert [json.loads(line) for line in outcome.out.splitlines()] == records(alohub.sandbox.queues)
    assert str(alohub.sandbox.queues[0]["callinName"]) in outcome.out


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_keeps_unknown_fields(serve: Callable[..., Sandbox], alohub: Alohub, form: str) -> None:
    """Unknown fields and invalid values are in `extra`."""
    queue = _queue(strategy=7, timeWait="soon", other={"tên": ["Huế"]})
    sandbox = serve(queues=[queue])
    outcome = alohub(*LIST, "--output", form, "--base-url", str(sandbox.url))
    found = outcome.json[0] if form == "json" else outcome.json
    assert [found] == records([queue])
    assert found["extra"] == {"timeWait": "soon", "other": {"tên": ["Huế"]}}


def test_json_of_a_lone_surrogate() -> None:
    """A lone surrogate, which JSON allows and UTF-8 does not, is escaped."""
    text = json_text({"tên": "\ud800"})
    assert json.loads(text.encode()) == {"tên": "\ud800"}


def test_jsonl_is_written_as_pages_arrive(alohub: Alohub) -> None:
    """When a later page fails, the earlier pages are written in complete lines."""
    alohub.sandbox.fail(page=1, status=400)
    outcome = alohub(*LIST, "--output", "jsonl", "--page-size", "20")
    assert outcome.code == ExitCode.USAGE
    assert [json.loads(line) for line in outcome.out.splitlines()] == records(alohub.sandbox.queues[:20])


@pytest.mark.parametrize("form", [(), ("--output", "json")])
def test_no_partial_table_or_array(alohub: Alohub, form: tuple[str, ...]) -> None:
    """When a later page fails, neither a partial table nor a partial array is written."""
    alohub.sandbox.fail(page=1, status=400)
    assert "INVALID_INPUT" in alohub(*LIST, *form, "--page-size", "20").error


@pytest.mark.parametrize("form", [(), ("--output", "json"), ("--output", "jsonl")])
def test_a_list_that_ends_early(alohub: Alohub, form: tuple[str, ...]) -> None:
    """A list that ends before its total is written, with a warning on stderr and its own exit code."""
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": [_queue()]}), page=0)
    alohub.sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": []}), next=None)
    outcome = alohub(*LIST, *form)
    assert outcome.code == ExitCode.INCOMPLETE
    assert "1001226" in outcome.out
    assert outcome.err.count("\n") == 1
    assert "1 records of 5" in outcome.err


def test_csv(alohub: Alohub, tmp_path: Path) -> None:
    """CSV has one header for all pages, and is the same as an export."""
    outcome = alohub(*LIST, "--output", "csv", "--page-size", "20")
    assert (outcome.code, outcome.err) == (0, "")
    alohub("queues", "export", str(tmp_path / "queues.csv"))
    assert outcome.out.encode() == (tmp_path / "queues.csv").read_bytes()


def test_csv_on_a_terminal(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that cannot be seen are replaced on a terminal alone."""
    alohub.sandbox.queues[0].update(callinName="a\x1b[2J")
    csv = (*LIST, "--output", "csv", "--limit", "1")
    assert "a\x1b[2J" in alohub(*csv).out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "a�[2J" in alohub(*csv).out


@pytest.mark.parametrize("wanted", [("VIP",), ("2",), ("vip", "99"), ("7",)])
def test_strategies(alohub: Alohub, wanted: tuple[str, ...]) -> None:
    """`--strategy` keeps the queues of these strategies, by name or number, also by a number without a name."""
    numbers = {"VIP": 2, "vip": 2, "2": 2, "99": 99, "7": 7}
    alohub.sandbox.queues[44].update(strategy=7)
    outcome = alohub(*LIST, *(word for each in wanted for word in ("--strategy", each)), "--page-size", "20")
    expected = {numbers[each] for each in wanted}
    assert _ids(outcome) == [each["callinId"] for each in alohub.sandbox.queues if each["strategy"] in expected]
    assert _ids(outcome)


def test_names(alohub: Alohub) -> None:
    """`--name` is a shell pattern of the whole name; case and the form of Unicode do not matter."""
    names = ["Hỗ trợ VIP", normalize("NFD", "HỖ TRỢ 2"), "hỗ trợ", "x hỗ trợ VIP", None]
    for queue, name in zip(alohub.sandbox.queues, names, strict=False):
        queue.update(callinName=name)
    first = [queue["callinId"] for queue in alohub.sandbox.queues[:5]]
    found = {
        pattern: [each for each in _ids(alohub(*LIST, "--name", pattern)) if each in first]
        for pattern in ("hỗ trợ*", normalize("NFD", "hỗ*V?P"), "*VIP", "[h]Ỗ TRỢ", "HỖ", "*", "")
    }
    assert [*found.values()] == [first[:3], first[:1], [first[0], first[3]], [first[2]], [], first, [first[4]]]


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_the_limit(alohub: Alohub, form: str) -> None:
    """`--limit` requests no page that is not needed, and a list that it cuts short is not a failure."""
    outcome = alohub(*LIST, "--limit", "25", "--page-size", "10", "--output", form)
    assert (outcome.code, outcome.err) == (0, "")
    assert [str(queue["callinId"]) in outcome.out for queue in alohub.sandbox.queues] == [True] * 25 + [False] * 20
    assert len(alohub.sandbox.requests) == 3


def test_the_limit_counts_what_is_wanted(alohub: Alohub) -> None:
    """Queues that a filter leaves out do not count."""
    wanted = [queue["callinId"] for queue in alohub.sandbox.queues if queue["strategy"] == 2]
    assert _ids(alohub(*LIST, "--strategy", "VIP", "--limit", "2", "--page-size", "5")) == wanted[:2]
    assert _ids(alohub(*LIST, "--strategy", "VIP", "--limit", "99")) == wanted


def test_columns(alohub: Alohub) -> None:
    """`--columns` names the columns of each form, in their order."""
    columns = (*LIST, "--limit", "1", "--columns", "name, id,agent_selector,extra")
    queue = records(alohub.sandbox.queues)[0]
    row = {name: queue[name] for name in ("name", "id", "agent_selector", "extra")}
    [found] = alohub(*columns, "--output", "json").json
    assert [*found.items()] == [*row.items()]
    assert [*alohub(*columns, "--output", "jsonl").json] == [*row]
    assert alohub(*columns, "--output", "csv").out.splitlines()[0] == "name,id,agent_selector,extra"
    assert alohub(*columns).out.splitlines()[1].split() == ["Name", "ID", "selector", "Extra"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--columns", "id,nme"), "no column 'nme'; did you mean 'name'?"),
        (("--columns", ""), "no column ''"),
        (("--columns", "tenant"), "no column 'tenant'"),
        (("--strategy", "gold"), "'gold' is not one of NORMAL (1)"),
        (("--strategy", "9" * 5000), "--strategy"),
        (("--strategy", "-1"), "'-1' is not one of"),
        (("--limit", "0"), "'--limit'"),
        (("--limit", "1e3"), "'1e3' "),
        (("--output", "xml"), "'--output': 'xml' is not one of"),
    ],
)
def test_list_refuses(alohub: Alohub, options: tuple[str, ...], message: str) -> None:
    """What cannot be listed is refused in one line, before anything is sent."""
    outcome = alohub(*LIST, *options)
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert alohub.sandbox.requests == []


def test_a_filtered_table_fits_80_columns(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any choice of columns fits."""
    monkeypatch.setenv("COLUMNS", "80")
    alohub.sandbox.queues[0].update(callinName="dài " * 40, other="x" * 300)
    outcome = alohub(*LIST, "--limit", "3", "--columns", ",".join(QUEUE_COLUMNS))
    assert max(map(cell_len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize(("pattern", "is_said"), [("đặt bàn", True), ("đặt bàn*", False), ("*zzz*", False)])
def test_a_name_is_the_whole_name(alohub: Alohub, pattern: str, *, is_said: bool) -> None:
    """If no queue has that name, stderr says how to search for a part."""
    outcome = alohub(*LIST, "--name", pattern, "--output", "jsonl")
    hint = "alohub: no queue has exactly this name; for a part of a name: --name '*đặt bàn*'\n"
    assert (outcome.code, outcome.err) == (0, hint if is_said else "")


@pytest.mark.parametrize("color", [{}, {"NO_COLOR": "1"}])
def test_a_list_in_a_pipe(start: Callable[..., Process], alohub: Alohub, color: dict[str, str]) -> None:
    """A pipe gets plain bytes."""
    process = start(*LIST, "--limit", "1", "--output", "csv", "--columns", "id,name", **color)
    out, err = process.communicate(timeout=PATIENCE)
    queue = alohub.sandbox.queues[0]
    assert (out, err) == (f"id,name\n{queue['callinId']},{queue['callinName']}\n", "")


def test_progress_on_a_terminal(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal stderr shows the progress; stdout is unchanged."""
    plain = alohub(*LIST, "--output", "json").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = alohub(*LIST, "--output", "json", "--page-size", "20")
    assert outcome.out == plain
    assert "Listing queues" in outcome.err
