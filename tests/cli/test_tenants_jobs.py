"""`alohub queues export --tenants` and `alohub queues audit --tenants`."""

import importlib
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alohub_async import __version__
from alohub_async.audit import AuditProgress
from alohub_async.cli.errors import ExitCode
from alohub_async.cli.progress import show_tenants
from alohub_async.files import read_queues
from alohub_async.tenants import TenantsProgress
from alohub_async.testing import Delay, Sandbox
from tests.audit.support import record
from tests.cli.command import PATIENCE, QUEUES, TENANTS, Alohub, Process, interrupt, lines

EXPORT = ("queues", "export")
AUDIT = ("queues", "audit")

# export


def _write(path: Path, **tenants: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, values in tenants.items():
        lines += [f"[tenants.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_tenants(
    serve: Callable[..., Sandbox], alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tenant has a partition; a failure does not stop the others, and the worst exit code is returned."""
    other = serve(queues=7, tenant_id="B2")
    monkeypatch.setenv("KEY_A", alohub.sandbox.api_key)
    monkeypatch.setenv("KEY_B", other.api_key)
    monkeypatch.setenv("KEY_C", "sk_live_wrong")
    url = str(alohub.sandbox.url)
    file = _write(
        tmp_path / "tenants.toml",
        a={"api_key_env": "KEY_A", "base_url": url, "direct": True},
        b={"api_key_env": "KEY_B", "base_url": str(other.url), "tenant_id": "B2"},
        c={"api_key_env": "KEY_C", "base_url": url},
        d={"api_key_env": "KEY_D", "base_url": url},
    )
    out = tmp_path / "out"
    outcome = alohub(*EXPORT, "--tenants", file, str(out), "--jobs", "2")
    assert outcome.code == ExitCode.DENIED
    assert "sk_live" not in outcome.out + outcome.err
    rows = {
        line.split()[0]: line for line in outcome.out.splitlines() if line.split()[:1] and len(line.split()[0]) == 1
    }
    assert rows["a"].split()[1] == "45"
    assert rows["b"].split()[1] == "7"
    assert "complete" in rows["b"]
    assert "UNAUTHORIZED" in rows["c"]
    assert "is KEY_C the key of this tenant" in rows["c"]
    assert "ALOHUB_API_KEY" not in outcome.out
    assert "set KEY_D" in rows["d"]
    assert len([*read_queues(out / "tenant=a" / "queues.parquet")]) == 45
    assert len([*read_queues(out / "tenant=b" / "queues.parquet")]) == 7
    assert not (out / "tenant=c" / "queues.parquet").exists()
    monkeypatch.setenv("KEY_C", alohub.sandbox.api_key)
    monkeypatch.setenv("KEY_D", alohub.sandbox.api_key)
    assert alohub(*EXPORT, "--tenants", file, str(out)).code == 0


@pytest.fixture(name="tenants")
def _tenants(serve: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sandbox]:
    """Three tenants, in `tenants.toml`."""
    sandboxes = [serve(queues=9, tenant_id=name) for name in "abc"]
    tables = {
        name: {"api_key_env": f"KEY_{name}", "base_url": str(sandbox.url), "tenant_id": name}
        for name, sandbox in zip("abc", sandboxes, strict=True)
    }
    for name, sandbox in zip("abc", sandboxes, strict=True):
        monkeypatch.setenv(f"KEY_{name}", sandbox.api_key)
    _write(tmp_path / "tenants.toml", **tables)
    return sandboxes


def test_tenants_that_are_done_are_not_exported_again(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path) -> None:
    """After Ctrl-C the same command goes on with the tenants that are left; the next run exports all."""
    command = (*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"), "--jobs", "1")
    interrupt(tenants[1], page=0)
    outcome = alohub(*command)
    assert outcome.code == ExitCode.INTERRUPTED
    assert outcome.error == (
        "interrupted; run the same command again to go on; tenants that are done are not done again"
    )
    sent = [len(sandbox.requests) for sandbox in tenants]
    assert sent[0] > 0
    assert sent[2] == 0
    outcome = alohub(*command)
    assert outcome.code == 0
    assert outcome.out.count("(done before)") == 1
    assert len(tenants[0].requests) == sent[0]
    assert all(len(sandbox.requests) > 1 for sandbox in tenants)
    for name in "abc":
        assert len([*read_queues(tmp_path / "out" / f"tenant={name}" / "queues.parquet")]) == 9
    assert "before" not in alohub(*command).out
    assert len(tenants[0].requests) == 2 * sent[0]


def test_ctrl_c_is_no_bug(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path) -> None:
    """With `--verbose` there is no traceback either."""
    interrupt(tenants[0], page=0)
    outcome = alohub(*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"), "--verbose")
    assert outcome.code == ExitCode.INTERRUPTED


@pytest.mark.parametrize("change", ["--restart", "--details", "a file that is gone"])
def test_what_is_exported_again(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path, change: str) -> None:
    """A tenant whose export was another one, or is gone, is exported again after Ctrl-C, and all with `--restart`."""
    command = [*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"), "--jobs", "1"]
    interrupt(tenants[1], page=0)
    assert alohub(*command).code == ExitCode.INTERRUPTED
    sent = len(tenants[0].requests)
    if change.startswith("--"):
        command.append(change)
        (tmp_path / "out" / "tenant=b" / ".queues.parquet.part").unlink(missing_ok=True)
    else:
        (tmp_path / "out" / "tenant=a" / "queues.parquet").unlink()
    outcome = alohub(*command)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(tenants[0].requests) > sent


def test_a_failure_is_no_interruption(
    alohub: Alohub, tenants: list[Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that always fails does not keep the files of the others as they are."""
    command = (*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(tmp_path / "out"))
    monkeypatch.setenv("KEY_c", "sk_live_wrong")
    for runs in (1, 2):
        assert alohub(*command).code == ExitCode.DENIED
        assert len(tenants[0].requests) == 4 * runs  # two passes, each with a look behind the one page


def test_the_folder_is_a_data_set(alohub: Alohub, tenants: list[Sandbox], tmp_path: Path) -> None:
    """Programs that read a whole folder find the queues, also while an export is interrupted."""
    pandas: Any = importlib.import_module("pandas")
    out = tmp_path / "out"
    command = (*EXPORT, "--tenants", str(tmp_path / "tenants.toml"), str(out), "--jobs", "1")
    interrupt(tenants[1], page=0)
    alohub(*command)
    assert sorted(pandas.read_parquet(out)["id"]) == sorted(int(str(queue["callinId"])) for queue in tenants[0].queues)
    assert alohub(*command).code == 0
    assert pandas.read_parquet(out)["tenant"].value_counts().to_dict() == {"a": 9, "b": 9, "c": 9}
    visible = {path.name for path in out.rglob("*") if path.is_file() and path.name[0] not in "._"}
    assert visible == {"queues.parquet"}


def test_an_option_of_a_tenant(alohub: Alohub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message about a tenant names what stands in its table, not an option that is refused there."""
    monkeypatch.setenv("KEY_A", "sk_live_abc")
    file = _write(tmp_path / "tenants.toml", a={"api_key_env": "KEY_A", "base_url": "http://example.com"})
    outcome = alohub(*EXPORT, "--tenants", file, str(tmp_path / "out"))
    assert "allow_http = true" in outcome.out
    assert "--allow-http" not in outcome.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tenants.a]\napi_key = "sk_live_secret"', "this file must not contain the key"),
        ('[tenants.a]\napi_key_env = "sk-live-secret"', "this file must not contain the key"),
        ("[tenants.a]\n", "api_key_env is missing"),
        ('[tenants.a]\napi_key_env = "A"\nurl = "x"', "unknown name 'url'; allowed are api_key_env"),
        ('[tenants.a]\napi_key_env = "A"\ndirect = 1', "direct must be true or false"),
        ('[tenants.a]\napi_key_env = "A"\ntenant_id = 5', "tenant_id must be a string"),
        ('[tenants.a]\napi_key_env = "A"\ndirect = true', "direct needs base_url"),
        ('[tenants.a]\napi_key_env = "A"\nenv = "x"', "env must be production or development"),
        ('[tenants.a]\napi_key_env = "A"\nenv = "production"\nbase_url = "x"', "either base_url or env"),
        ('[tenants.".."]\napi_key_env = "A"', "must not begin with '-' or '.'"),
        ('[tenants."a/b"]\napi_key_env = "A"', "a name must consist of letters"),
        ("tenants = 5", "no tenants; add a table"),
        ("[tenants]\na = 5", "must be a table"),
        ("", "no tenants; add a table"),
        ("key = 5", "unknown name 'key'"),
        ('format = "xlsx"', "format must be one of jsonl, csv, parquet"),
        ("[", "is not TOML"),
    ],
)
def test_a_bad_tenants_file(alohub: Alohub, tmp_path: Path, text: str, message: str) -> None:
    """The message is one line without any value, as a value could be a key."""
    file = tmp_path / "tenants.toml"
    file.write_text(text, encoding="utf-8")
    outcome = alohub(*EXPORT, "--tenants", str(file), str(tmp_path / "out"))
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert "secret" not in outcome.error
    assert not (tmp_path / "out").exists()


def test_no_tenants_file(alohub: Alohub, tmp_path: Path) -> None:
    """A missing file is refused, and so are access options together with `--tenants`."""
    assert "cannot read" in alohub(*EXPORT, "--tenants", str(tmp_path / "none.toml"), str(tmp_path)).error
    file = _write(tmp_path / "tenants.toml", a={"api_key_env": "A"})
    assert "leave them out on the command line" in alohub(*EXPORT, "--tenants", file, str(tmp_path), "--sandbox").error


def test_newer_than(command: Alohub) -> None:
    """What is newer is not exported again: neither `--json` nor the exit code tells it from what is done now."""
    export = (*EXPORT, "out", *TENANTS, "--newer-than", "12h", "--json")
    first = command(*export)
    assert first.code == 0
    sent = len(command.sandbox.requests)
    second = command(*export)
    assert second.code == 0
    assert len(command.sandbox.requests) == sent
    for outcome, status in ((first, "done"), (second, "skipped")):
        assert [(each["tenant"], each["status"], each["result"]["written"]) for each in lines(outcome.out)] == [
            (name, status, QUEUES) for name in "abc"
        ]
    report = json.loads(Path("out/_report.json").read_bytes())
    assert [each["status"] for each in report["tenants"].values()] == ["skipped"] * 3
    assert (report["counts"]["skipped"], report["sdk_version"]) == (3, __version__)
    assert command(*export[:-3]).code == 0
    assert len(command.sandbox.requests) == 2 * sent


def test_a_cluster(command: Alohub, tmp_path: Path) -> None:
    """With `--scheduler`, the work is done on a cluster; the keys come from the environment of its workers."""
    distributed: Any = importlib.import_module("distributed")
    cluster = distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None, silence_logs=50)
    with cluster as found:
        on_cluster = (*TENANTS, "--scheduler", found.scheduler_address)
        exported = command(*EXPORT, str(tmp_path / "out"), *on_cluster, "--json")
        audited = command(*AUDIT, "--html", "audit.html", *on_cluster, "--output", "json")
    assert (exported.code, audited.code) == (0, 1)
    assert [each["result"]["written"] for each in lines(exported.out)] == [QUEUES] * 3
    assert [each["result"]["tenant"] for each in audited.json] == [*"abc"]
    assert "Audit of 3 tenants" in Path("audit.html").read_text(encoding="utf-8")
    assert not Path("audit-tenants").exists()


def test_a_cluster_that_does_not_answer(command: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is said, but not with `--quiet`."""
    monkeypatch.setattr("alohub_async.cli.outcomes.LONG_WAIT", 0.01)
    importlib.import_module("distributed")  # first, as it sets up the configuration
    soon = importlib.import_module("dask").config.set({"distributed.comm.timeouts.connect": "300ms"})
    with soon, socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        said = [command(*EXPORT, "out", *TENANTS, "--scheduler", address, *more).err for more in ((), ("--quiet",))]
    assert said[0].startswith(f"alohub: waiting for the scheduler at {address}\n")
    assert f"no connection to the scheduler at {address}" in said[0]
    assert said[1].startswith("alohub: no connection")


@pytest.mark.parametrize("age", ["12", "h", "0h", "1.5h", "-1h", "12 h", "9999999w", "1e3s", "\u0661h"])
def test_an_age(command: Alohub, age: str) -> None:
    """An age is a number with a unit."""
    outcome = command(*EXPORT, "out", *TENANTS, "--newer-than", age)
    assert outcome.code == ExitCode.USAGE
    assert "is not a number with a unit: 90s, 30m, 12h, 2d or 1w" in outcome.error or age == "9999999w"


@pytest.mark.parametrize("option", [("--newer-than", "1h"), ("--scheduler", "tcp://127.0.0.1:1")])
@pytest.mark.parametrize("one", [(*EXPORT, "queues.csv"), AUDIT])
def test_options_for_tenants(command: Alohub, one: tuple[str, ...], option: tuple[str, ...]) -> None:
    """Options for several tenants are refused for one; nothing is sent."""
    outcome = command(*one, *TENANTS, "--tenant", "a", *option)
    assert outcome.code == ExitCode.USAGE
    assert "for --tenants" in outcome.error
    assert command.sandbox.requests == []


def test_one_report_as_json(command: Alohub) -> None:
    """`export --json` of one tenant writes the report, which says whose it is."""
    found = command(*EXPORT, "queues.csv", *TENANTS, "--tenant", "b", "--json").json
    assert (found["written"], found["tenant_id"], found["sdk_version"]) == (QUEUES, "T-2", __version__)


def test_the_deadline_of_a_run(command: Alohub) -> None:
    """The whole run ends at the deadline, and the message says how to go on."""
    command.sandbox.latency = 0.4
    outcome = command(*EXPORT, "out", *TENANTS, "--jobs", "1", "--deadline", "0.6", "--page-size", "3")
    command.sandbox.latency = 0.0
    assert outcome.code == ExitCode.TIMED_OUT
    if outcome.out == "":  # otherwise the first tenant's own deadline was noticed before
        assert "run the same command again to go on" in outcome.error
    assert command(*EXPORT, "out", *TENANTS, "--page-size", "3").code == 0


def test_progress_on_a_terminal(command: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is a bar for all tenants and for each that runs, but not with `--quiet`."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    command.sandbox.latency = 0.06
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", command(*EXPORT, "out", *TENANTS, "--jobs", "1").err)
    assert "of 3 tenants" in shown
    assert f"{QUEUES}/{QUEUES}" in shown
    assert max(map(len, shown.replace("\r", "\n").splitlines())) <= 80
    assert command(*EXPORT, "out", *TENANTS, "--quiet").err == ""


def test_lines_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe there is a line every few seconds about all tenants, and about each that takes long."""
    clock = iter([0.0, 0.0, 1.0, 1.0, 6.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr("alohub_async.cli.progress.time.monotonic", lambda: next(clock))
    step = AuditProgress(done=1, total=2, seconds=1.0, rate=1.0, free=None, limit=None, waiting=False)
    with show_tenants(quiet=False) as show:
        for _ in range(3):
            show(TenantsProgress(tenant="a", status="running", progress=step, finished=0, total=2))
        for name in "ab":
            show(TenantsProgress(tenant=name, status="failed", progress=None, finished=1, total=2))
    assert capsys.readouterr().err.splitlines() == [
        "alohub: all: 0 of 2 tenants",
        "alohub: a: 1/2 1/s 0:01",
        "alohub: all: 1 of 2 tenants, 2 failed",
    ]


# audit


def test_audit(command: Alohub) -> None:
    """A table, a page with pages beside it, JUnit XML and a folder of results, all with the tenants' names."""
    files = ("--html", "audit.html", "--junit", "audit.xml", "--folder", "out")
    outcome = command(*AUDIT, *TENANTS, *files)
    assert (outcome.code, outcome.err) == (1, "")
    rows = [line.split() for line in outcome.out.splitlines()[2:-1]]
    assert [(row[0], row[4], row[5]) for row in rows] == [(name, str(QUEUES), "complete") for name in "abc"]
    assert outcome.out.isprintable() or not {"\x1b", "\x00"} & {*outcome.out}
    page = Path("audit.html").read_text(encoding="utf-8")
    assert [f'<a href="audit-tenants/{name}.html">{name}</a>' in page for name in "abc"] == [True] * 3
    assert "tenant b · http://127.0.0.1" in Path("audit-tenants/b.html").read_text(encoding="utf-8")
    assert 'name="b.unfit-value"' in Path("audit.xml").read_text(encoding="utf-8")
    found = json.loads(Path("out/tenant=b/_audit.json").read_bytes())
    assert (found["tenant"], found["tenant_id"], found["queues"]) == ("b", "T-2", QUEUES)


def test_no_findings(command: Alohub, serve: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without findings of the severity of `--fail-on`, the exit code is 0; after a failure it is 2."""
    sandbox = serve(queues=[record()], tenants=3, tenant_id="T")
    text = Path("tenants.toml").read_text(encoding="utf-8")
    Path("tenants.toml").write_text(text.replace(str(command.sandbox.url), str(sandbox.url)), encoding="utf-8")
    for name, key in zip("abc", sandbox.tenant_keys.values(), strict=True):
        monkeypatch.setenv(f"KEY_{name}", key)
    assert command(*AUDIT, *TENANTS).code == 0
    monkeypatch.delenv("KEY_b")
    outcome = command(*AUDIT, *TENANTS, "--output", "json", "--html", "a.html", "--junit", "a.xml")
    assert outcome.code == 2
    assert [each["status"] for each in outcome.json] == ["done", "failed", "done"]
    page = Path("a.html").read_text(encoding="utf-8")
    assert "no API key: set KEY_b" in page
    assert 'href="a-tenants/b.html"' not in page
    assert '<error message="no API key: set KEY_b"' in Path("a.xml").read_text(encoding="utf-8")


def test_findings_as_rows(command: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON Lines have the tenant in each row; a tenant that failed has a line on stderr."""
    monkeypatch.delenv("KEY_b")
    outcome = command(*AUDIT, *TENANTS, "--output", "jsonl", "--quiet")
    assert outcome.code == 2
    assert {each["tenant"] for each in lines(outcome.out)} == {*"ac"}
    assert outcome.err == "alohub: tenant b: no API key: set KEY_b\n"


def test_an_audit_goes_on(command: Alohub) -> None:
    """With `--folder`, tenants that are newer are not audited again, and are on the page all the same."""
    audit = (*AUDIT, *TENANTS, "--folder", "out", "--html", "audit.html", "--newer-than", "1d")
    command(*audit)
    sent = len(command.sandbox.requests)
    outcome = command(*audit)
    assert outcome.code == 1
    assert outcome.out.count("(done before)") == 3
    assert len(command.sandbox.requests) == sent
    assert Path("audit.html").read_text(encoding="utf-8").count('href="audit-tenants/') == 3
    assert "--newer-than needs --folder" in command(*AUDIT, *TENANTS, "--newer-than", "1d").error


def test_an_audit_after_ctrl_c(fleet: Sandbox, start: Callable[..., Process]) -> None:
    """After Ctrl-C, the same command audits the tenants that are left."""
    fleet.fail(Delay(PATIENCE), tenant_id="T-3")
    command = (*AUDIT, *TENANTS, "--folder", "out", "--jobs", "1", "--output", "json")
    process = start(*command)
    deadline = time.monotonic() + PATIENCE
    while not Path("out/tenant=a/_audit.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(2)
    err = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == ExitCode.INTERRUPTED
    assert err == "alohub: interrupted; run the same command again to go on; tenants that are done are not done again\n"
    fleet.heal()
    out = start(*command).communicate(timeout=PATIENCE)[0]
    assert [each["status"] for each in json.loads(out)][::2] == ["skipped", "done"]
