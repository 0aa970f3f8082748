"""Commands over the tenants of a file, and for one of them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from alohub_async import InboundQueueUpdate
from alohub_async.cli.errors import ExitCode
from alohub_async.files import read_queues
from alohub_async.testing import Sandbox
from tests.cli.command import PATIENCE, QUEUES, TENANTS, Alohub, Process, lines, records
from tests.support import FIRST

# One tenant


@pytest.mark.parametrize("place", ["option", "variable", "usual"])
def test_where_the_file_is(command: Alohub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    """`--tenant` finds the file by `--tenants`, by its variable, or in the user's configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    usual = platformdirs.user_config_path("alohub") / "tenants.toml"
    options = ["--tenants", "tenants.toml"] if place == "option" else []
    if place == "variable":
        monkeypatch.setenv("ALOHUB_TENANTS", "tenants.toml")
    if place == "usual":
        usual.parent.mkdir(parents=True)
        Path("tenants.toml").rename(usual)
    assert command("queues", "list", "--tenant", "b", "--output", "jsonl", *options).code == 0
    assert command("queues", "get", "1001226", "--tenant", "b", *options).code == 0
    assert {request.headers["X-Tenant-ID"] for request in command.sandbox.requests} == {"T-2"}


def test_no_file(command: Alohub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a file, the error names the option, the variable and the usual place."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    outcome = command("queues", "list", "--tenant", "b")
    assert outcome.code == ExitCode.USAGE
    for way in ("--tenants", "ALOHUB_TENANTS", str(tmp_path / "config" / "alohub" / "tenants.toml")):
        assert way in outcome.error
    monkeypatch.setenv("ALOHUB_TENANTS", "none.toml")
    assert "none.toml" in command("queues", "list", "--tenant", "b").error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tenant", "d"), "tenants.toml has no tenant 'd'; choose from a, b, c"),
        ((), "this command is for one tenant; add --tenant and a name: a, b, c"),
        (("--tenant", "b", "--base-url", "https://a.example"), "leave them out on the command line"),
        (("--tenant", "b", "--allow-http"), "leave them out on the command line"),
        (("--tenant", "b", "--sandbox"), "leave them out on the command line"),
    ],
)
def test_which_tenant(command: Alohub, options: tuple[str, ...], message: str) -> None:
    """Errors name the tenants that there are, and nothing is sent."""
    outcome = command("queues", "get", "1001226", "--tenants", "tenants.toml", *options)
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert command.sandbox.requests == []


def test_errors_of_one_tenant(command: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the tenant and the variable of its key."""
    tenant = ("--tenants", "tenants.toml", "--tenant", "b")
    monkeypatch.setenv("KEY_b", "sk_live_wrong")
    outcome = command("queues", "list", *tenant)
    assert outcome.code == ExitCode.DENIED
    assert outcome.error.startswith("tenant b: ")
    assert outcome.error.endswith("is KEY_b the key of this tenant and this environment?")
    monkeypatch.delenv("KEY_b")
    outcome = command("queues", "export", "queues.jsonl", *tenant)
    assert (outcome.code, outcome.error) == (ExitCode.DENIED, "tenant b: no API key: set KEY_b")


def test_export_and_audit_of_one_tenant(command: Alohub) -> None:
    """With `--tenant`, `export` writes a file, and `audit` says whose report it is."""
    tenant = ("--tenants", "tenants.toml", "--tenant", "b")
    assert command("queues", "export", "queues.jsonl", *tenant).code == 0
    assert len([*read_queues(Path("queues.jsonl"))]) == QUEUES
    assert command("queues", "audit", "--output", "json", *tenant).json["tenant"] == "b"


# list


def test_list(command: Alohub) -> None:
    """The table has a column of tenants, JSON an object for each tenant, and JSON Lines the tenant in each line."""
    listing = ("queues", "list", "--tenants", "tenants.toml")
    table = command(*listing)
    assert (table.code, table.err) == (0, "")
    rows = [line.split()[0] for line in table.out.splitlines() if line[:1] in {*"abc"}]
    assert rows == ["a"] * QUEUES + ["b"] * QUEUES + ["c"] * QUEUES
    assert table.out.splitlines()[-1] == "27 queues"
    by_tenant = [
        (each["tenant"], each["result"]["complete"], len(each["result"]["queues"]))
        for each in command(*listing, "--output", "json").json
    ]
    assert by_tenant == [(name, True, QUEUES) for name in "abc"]
    found = lines(command(*listing, "--output", "jsonl", "--jobs", "1").out)
    assert found[:QUEUES] == [{"tenant": "a", **queue} for queue in records(command.sandbox.queues)]
    assert len(found) == 3 * QUEUES


def test_a_list_of_parts(command: Alohub) -> None:
    """Filters, the limit and the columns are for each tenant; CSV has one header, and the tenant in each row."""
    for options in (("--columns", "id"), ("--columns", "tenant,id")):
        outcome = command("queues", "list", *TENANTS, "--limit", "2", "--output", "csv", "--jobs", "1", *options)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.splitlines() == ["tenant,id", *(f"{name},{FIRST + i}" for name in "abc" for i in range(2))]
    found = command("queues", "list", *TENANTS, "--strategy", "VIP", "--columns", "strategy", "--output", "json").json
    assert [{row["strategy"] for row in each["result"]["queues"]} for each in found] == [{2}] * 3


@pytest.mark.parametrize(
    "form",
    [
        (),
        ("--output", "json"),
        ("--output", "jsonl"),
    ],
)
def test_a_failure_does_not_stop_the_others(
    command: Alohub, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    """A tenant that fails has a line on stderr, the others are listed, and the exit code is that of the failure."""
    monkeypatch.setenv("KEY_a", "sk_live_wrong")
    monkeypatch.delenv("KEY_b")
    outcome = command("queues", "list", "--tenants", "tenants.toml", *form)
    assert outcome.code == ExitCode.DENIED
    denied, no_key = outcome.err.splitlines()
    assert denied.startswith("alohub: tenant a: ")
    assert "is KEY_a the key" in denied
    assert no_key == "alohub: tenant b: no API key: set KEY_b"
    if form[1:] == ("json",):
        found = outcome.json
        assert found[0]["error"]["class"] == "AuthenticationError"
        assert (found[1]["tenant"], found[1]["status"], found[1]["result"]) == ("b", "failed", None)
        assert len(found[2]["result"]["queues"]) == QUEUES
    else:
        assert outcome.out.count("1001226") == 1


@pytest.mark.usefixtures("fleet")
def test_a_reader_that_is_gone(start: Callable[..., Process]) -> None:
    """The command ends as usual when the reader has closed the output."""
    process = start("queues", "list", "--output", "jsonl", "--tenants", "tenants.toml")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE) == ExitCode.OUTPUT_CLOSED


# diff and apply


def change(sandbox: Sandbox, tenant_id: str, max_wait: int) -> None:
    """Change the first queue of a tenant."""

    async def update() -> None:
        async with sandbox.client(tenant_id=tenant_id) as client:
            await client.queues.update_inbound(FIRST, InboundQueueUpdate(max_wait=max_wait))

    asyncio.run(update())


def max_waits(sandbox: Sandbox) -> list[int | None]:
    """The maximum wait of the first queue of each tenant."""

    async def get(tenant_id: str) -> int | None:
        async with sandbox.client(tenant_id=tenant_id) as client:
            return (await client.queues.get_inbound(FIRST)).max_wait

    return [asyncio.run(get(tenant_id)) for tenant_id in sandbox.tenant_keys]


@pytest.fixture(name="exported")
def _exported(command: Alohub) -> Alohub:
    """The folder `monday` has the export of all tenants; then the first queue of b was changed."""
    assert command("queues", "export", *TENANTS, "monday").code == 0
    change(command.sandbox, "T-2", 177)
    return command


def test_diff(exported: Alohub) -> None:
    """The table names the tenant of each difference; JSON has a line for each tenant; a failure exits with 2."""
    outcome = exported("queues", "diff", "monday", "live", *TENANTS)
    assert (outcome.code, outcome.err) == (1, "")
    title, _, row, counts = outcome.out.splitlines()
    assert title.split() == ["Tenant", "ID", "Name", "Change"]
    assert row.split()[:2] == ["b", str(FIRST)]
    assert row.endswith("max_wait: 60 s -> 177 s")
    assert counts == "1 changed, 26 unchanged"
    found = exported("queues", "diff", "monday", "live", "--output", "json", *TENANTS).json
    assert [(each["tenant"], len(each["result"]["changed"]), each["result"]["unchanged"]) for each in found] == [
        ("a", 0, QUEUES),
        ("b", 1, QUEUES - 1),
        ("c", 0, QUEUES),
    ]


def test_diff_of_files(exported: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders are compared without any key; a tenant that one of them lacks fails, the others are compared."""
    for name in "abc":
        monkeypatch.delenv(f"KEY_{name}")
    exported.sandbox.clear()
    assert exported("queues", "diff", "monday", "monday", *TENANTS).out.endswith("\n27 unchanged\n")
    Path("monday").rename("sunday")
    Path("monday/tenant=a").mkdir(parents=True)
    for name in "bc":
        Path(f"sunday/tenant={name}").rename(f"monday/tenant={name}")
        Path(f"sunday/tenant={name}").mkdir()
    Path("sunday/tenant=c/queues.parquet").write_bytes(Path("monday/tenant=c/queues.parquet").read_bytes())
    outcome = exported("queues", "diff", "sunday", "monday", "--output", "json", *TENANTS)
    assert outcome.code == 2
    assert [line.split(": ")[1] for line in outcome.err.splitlines()] == ["tenant a", "tenant b"]
    assert "tenant=b must have one file that ends in .jsonl, .csv, .parquet; it has none" in outcome.err
    assert outcome.json[2]["result"]["unchanged"] == QUEUES
    assert exported.sandbox.requests == []


def test_changes_are_applied(exported: Alohub) -> None:
    """`apply` takes the folder that `diff --changes` writes: it puts back what was changed, for each tenant."""
    [before, _, _] = max_waits(exported.sandbox)
    change(exported.sandbox, "T-3", 178)
    assert exported("queues", "diff", "live", "monday", "--changes", "changes", *TENANTS).code == 1
    plan = exported("queues", "apply", "changes", "--dry-run", *TENANTS)
    assert (plan.code, plan.err) == (0, "")
    assert [line.split()[0] for line in plan.out.splitlines()[2:4]] == ["b", "c"]
    assert "2 to change" in plan.out
    assert max_waits(exported.sandbox) == [before, 177, 178]
    outcome = exported("queues", "apply", "changes", "--yes", "--jobs", "1", *TENANTS)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"b  {FIRST}  done\nb  1 done\nc  {FIRST}  done\nc  1 done\n" in outcome.out
    assert max_waits(exported.sandbox) == [before] * 3
    assert "Nothing to change" in exported("queues", "apply", "changes", "--yes", *TENANTS).out


def test_a_failure_does_not_stop_apply(exported: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant that fails while the plan is made, or while it is applied, has a line; the others are changed."""
    change(exported.sandbox, "T", 179)
    change(exported.sandbox, "T-3", 178)
    exported("queues", "diff", "live", "monday", "--changes", "changes", *TENANTS)
    monkeypatch.setenv("KEY_a", "sk_live_wrong")
    outcome = exported("queues", "apply", "changes", "--yes", *TENANTS)
    assert outcome.code == ExitCode.DENIED
    assert outcome.err.startswith("alohub: tenant a: ")
    waits = max_waits(exported.sandbox)
    assert waits[0] == 179
    assert waits[1] == waits[2] != 178


def test_a_conflict_of_one_tenant(exported: Alohub) -> None:
    """A queue that was changed in the meantime is a conflict, and the exit code is 1."""
    exported("queues", "diff", "live", "monday", "--changes", "changes", *TENANTS)
    change(exported.sandbox, "T-2", 180)
    outcome = exported("queues", "apply", "changes", "--yes", *TENANTS)
    assert outcome.code == ExitCode.FAILED
    assert "1 impossible" in outcome.out
    assert max_waits(exported.sandbox)[1] == 180


def test_problems_in_files_of_changes(exported: Alohub) -> None:
    """The problems of all files are listed, and nothing is sent."""
    for name in "ab":
        Path(f"changes/tenant={name}").mkdir(parents=True)
        Path(f"changes/tenant={name}/my.csv").write_text("id,max_wait\n5,x\n6,y\n")
    exported.sandbox.clear()
    outcome = exported("queues", "apply", "changes", "--yes", *TENANTS)
    assert outcome.code == ExitCode.USAGE
    *problems, summary = outcome.err.splitlines()
    assert len(problems) == 4
    assert all("my.csv, line " in problem for problem in problems)
    assert summary == "alohub: 4 problems in 2 files; nothing was sent"
    assert exported.sandbox.requests == []


@pytest.mark.parametrize("command_line", [("apply", "folder", "--yes"), ("diff", "folder", "live")])
def test_folders(command: Alohub, command_line: tuple[str, ...]) -> None:
    """A folder without partitions, or with one that is not in the file of tenants, is refused; nothing is sent."""
    assert "folder tenant=NAME in it" in command("queues", *command_line, *TENANTS).error
    Path("folder/tenant=hanoi").mkdir(parents=True)
    outcome = command("queues", *command_line, *TENANTS)
    assert outcome.code == ExitCode.USAGE
    assert "folder has tenants that the file of tenants does not have: hanoi" in outcome.error
    assert command.sandbox.requests == []
