"""Loads into a warehouse with dlt: whole or not at all."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from alohub_async import CallEvent, Event, RetryPolicy
from alohub_async.dlt import inbound_queues
from alohub_async.errors import ConfigurationError, InvalidArgumentError
from alohub_async.tenant import Tenant
from alohub_async.testing import JsonAnswer, Sandbox

dlt: Any = pytest.importorskip("dlt")

Serve: TypeAlias = Callable[..., Sandbox]
Rows: TypeAlias = list[tuple[Any, ...]]
POSTGRES = [shutil.which(name) for name in ("initdb", "pg_ctl")]
DESTINATIONS = ["duckdb", pytest.param("postgres", marks=pytest.mark.skipif(None in POSTGRES, reason="not installed"))]

KILLED = """
import sys, dlt
from alohub_async.dlt import inbound_queues
from alohub_async.tenant import Tenant
from tests.test_dlt import make_pipeline
from pathlib import Path
make_pipeline(Path(sys.argv[1])).run(inbound_queues([Tenant("hanoi", api_key_env="HANOI_KEY", base_url=sys.argv[2])]))
"""


@pytest.fixture(name="serve")
def _serve() -> Generator[Serve]:
    """Starts sandboxes that stop at the end of the test."""
    with ExitStack() as running:

        def serve(queues: int = 25, **settings: Any) -> Sandbox:
            sandbox = Sandbox(queues=queues, tenant_limit=None, route_limit=None, **settings)
            return running.enter_context(sandbox)

        yield serve


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="postgres", scope="module")
def _postgres() -> Generator[str]:
    """A server of its own, without a password; returns its URL."""
    folder = tempfile.mkdtemp(prefix="alohub-postgres-")
    as_user = "postgres" if getpass.getuser() == "root" else getpass.getuser()
    shutil.chown(folder, as_user)
    become = ["runuser", "-u", as_user, "--"] if as_user == "postgres" else []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str | None, *arguments: str) -> None:
        command = [*become, str(program), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")  # noqa: S603 (our own words)

    initdb, pg_ctl = POSTGRES
    run(initdb, "-A", "trust", "-E", "UTF8", "--no-sync")
    settings = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c fsync=off"
    run(pg_ctl, "-w", "-l", f"{folder}/log", "-o", settings, "start")
    yield f"postgresql://{as_user}:unused@127.0.0.1:{port}/postgres"
    run(pg_ctl, "-m", "immediate", "stop")
    shutil.rmtree(folder)


def make_pipeline(folder: Path, destination: Any = None, dataset: str = "alohub") -> Any:
    """A pipeline into a DuckDB file in a folder, or into another destination."""
    destination = destination or dlt.destinations.duckdb(str(folder / "warehouse.duckdb"))
    return dlt.pipeline(
        "alohub", destination=destination, dataset_name=dataset, pipelines_dir=str(folder / "pipelines")
    )


@pytest.fixture(name="pipeline")
def _pipeline(tmp_path: Path) -> Any:
    return make_pipeline(tmp_path)


def tenant(sandbox: Sandbox, name: str = "hanoi") -> Tenant:
    """The tenant of a sandbox."""
    return Tenant(name, api_key=sandbox.api_key, base_url=str(sandbox.url))


def rows(pipeline: Any) -> Rows:
    """The tenant, id, name and longest wait of each row of the table."""
    with pipeline.sql_client() as client:
        found: Rows = client.execute_sql("SELECT tenant, id, name, max_wait FROM inbound_queues ORDER BY tenant, id")
    return found


def expected(sandbox: Sandbox, name: str = "hanoi") -> Rows:
    """The same of the server's queues."""
    queues: list[Any] = [*sandbox.queues]
    wait = (None if queue["timeWait"] is None else int(queue["timeWait"]) for queue in queues)
    return sorted(
        (name, queue["callinId"], queue["callinName"], seconds) for queue, seconds in zip(queues, wait, strict=True)
    )


def remove(sandbox: Sandbox, *places: int) -> None:
    """Remove the queues at these places of the list."""
    ids: list[Any] = [sandbox.queues[place]["callinId"] for place in places]
    for queue_id in ids:
        sandbox.remove_queue(queue_id)


async def _later(tenants: list[Tenant]) -> AsyncIterator[Tenant]:
    for each in tenants:
        yield each


@pytest.mark.parametrize("place", DESTINATIONS)
def test_the_rows_are_those_of_the_server_after_each_run(
    place: str, serve: Serve, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of each tenant of the run; queues that are gone leave the table, and the rows of other tenants stay."""
    url = None if place == "duckdb" else dlt.destinations.postgres(request.getfixturevalue("postgres"))
    pipeline, hanoi, hue = make_pipeline(tmp_path, url), serve(), serve(seed=7, queues=10)
    pipeline.run(inbound_queues([tenant(hanoi), tenant(hue, "hue")]))
    before = expected(hue, "hue")
    assert rows(pipeline) == expected(hanoi) + before

    remove(hanoi, 3)
    hanoi.insert_queue()
    remove(hue, 0)
    pipeline.run(inbound_queues({"hanoi": tenant(hanoi)}))
    assert rows(pipeline) == expected(hanoi) + before

    remove(hanoi, *range(len(hanoi.queues)))
    pipeline.run(inbound_queues([tenant(hanoi), tenant(hue, "hue")], details=True))
    assert rows(pipeline) == expected(hue, "hue")


@pytest.mark.parametrize("disposition", ["append", "replace"])
def test_another_write_disposition_adds_no_row(disposition: str, pipeline: Any, serve: Serve) -> None:
    """What removes the rows of a tenant is for the merge alone."""
    sandbox = serve()
    for _ in range(2):
        pipeline.run(inbound_queues([tenant(sandbox)]), write_disposition=disposition)
    assert rows(pipeline) == sorted(expected(sandbox) * (2 if disposition == "append" else 1))


def test_merge_is_by_tenant_alone(serve: Serve) -> None:
    """With the ids as a second key, a database compares every row with every other: 20,000 take minutes."""
    columns = inbound_queues([tenant(serve())]).compute_table_schema().get("columns", {})
    assert [name for name, column in columns.items() if column.get("merge_key") or column.get("primary_key")] == [
        "tenant"
    ]


def test_limit_of_dlt_is_in_whole_tenants(pipeline: Any, serve: Serve) -> None:
    """A limited run does not leave a list by half either."""
    sandbox, other = serve(), serve(seed=7)
    pipeline.run(inbound_queues([tenant(sandbox), tenant(other, "hue")], page_size=5).add_limit(1))
    assert rows(pipeline) == expected(sandbox)


async def test_load_in_a_running_loop(pipeline: Any, serve: Serve) -> None:
    """As in a notebook."""
    sandbox = serve()
    pipeline.run(inbound_queues([tenant(sandbox)]))
    assert rows(pipeline) == expected(sandbox)


def test_list_that_moves_is_loaded_as_it_is(pipeline: Any, serve: Serve) -> None:
    """Queues that go, and come, while it is read are not there, and there."""
    sandbox = serve(queues=60)
    gone: Any = sandbox.queues[0]["callinId"]
    sandbox.remove_queue(gone, after_page=3)
    sandbox.insert_queue(before_page=5)
    pipeline.run(inbound_queues([tenant(sandbox)], page_size=10, prefetch=0))
    assert rows(pipeline) == expected(sandbox)


def _odd(**fields: Any) -> JsonAnswer:
    return JsonAnswer({"success": "1", "totalRecord": 1, "data": [{"callinId": 7, **fields}]})


@pytest.mark.parametrize("place", DESTINATIONS)
def test_values_beyond_their_columns_are_in_extra(
    place: str, serve: Serve, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Too large numbers, text that is no UTF-8 and undocumented fields load too."""
    url = None if place == "duckdb" else dlt.destinations.postgres(request.getfixturevalue("postgres"))
    pipeline, sandbox = make_pipeline(tmp_path, url, "odd"), serve()
    odd: dict[str, Any] = {"callinName": "\ud83d", "strategy": 2**70, "new": {"a": ["ư", 2**64, 0.5, "\ude00"]}}
    sandbox.fail(_odd(**odd, timeWait="30"), next=None)
    pipeline.run(inbound_queues([tenant(sandbox)]))
    with pipeline.sql_client() as client:
        [(*values, extra)] = client.execute_sql("SELECT id, max_wait, name, strategy, extra FROM inbound_queues")
    assert values == [7, 30, None, None]
    assert (json.loads(extra) if isinstance(extra, str) else extra) == {
        "callinName": "?",
        "strategy": str(2**70),
        "new": {"a": ["ư", str(2**64), 0.5, "?"]},
    }


def _fail(sandbox: Sandbox) -> None:
    sandbox.fail(status=403, page=1)


def _move(sandbox: Sandbox) -> None:
    sandbox.move_at_random(seed=5, chance=1.0)


def _spoil_id(sandbox: Sandbox) -> None:
    sandbox.fail(_odd(callinId="x", callinName="Huế"), next=None)


def _spoil_size(sandbox: Sandbox) -> None:
    sandbox.fail(_odd(callinId=2**63, callinName="Huế"), next=None)


def test_a_load_that_is_not_complete_changes_nothing(pipeline: Any, serve: Serve) -> None:
    """It fails before anything is loaded, also of the tenants before, and says why."""
    no_id = "a queue of tenant 'hue' has no usable id, so its row would have no key: 'Huế'"
    reasons: dict[Callable[[Sandbox], None], str] = {
        _fail: "HTTP 403 INSUFFICIENT_SCOPE",
        _move: "could not be proven complete; run it again",
        _spoil_id: no_id,
        _spoil_size: no_id,
    }
    good = serve()
    pipeline.run(inbound_queues([tenant(good)]))
    before = rows(pipeline)
    remove(good, 0)
    for spoil, why in reasons.items():
        bad = serve(queues=60, seed=3)
        spoil(bad)
        with pytest.raises(Exception, match=why):
            pipeline.run(inbound_queues([tenant(good), tenant(bad, "hue")], max_passes=2, page_size=10))
        assert rows(pipeline) == before
    pipeline.run(inbound_queues([tenant(good)]))
    assert rows(pipeline) == expected(good)


def _twice(good: Tenant) -> list[Any]:
    return [good, good]


def _text(good: Tenant) -> list[Any]:
    return [good, "hue"]


def _wrong_key(good: Tenant) -> list[Any]:
    return [good, Tenant("hue", api_key="sk_live_wrong", base_url=good.base_url)]


@pytest.mark.parametrize(
    ("tenants", "why", "is_sent"),
    [
        (_twice, "two tenants have the name 'hanoi'; give each a name of its own", False),
        (_text, "each of tenants must be a Tenant", False),
        (_wrong_key, "HTTP 401", True),
    ],
)
def test_wrong_tenant_fails_the_run(
    tenants: Callable[[Tenant], list[Any]], why: str, *, is_sent: bool, serve: Serve
) -> None:
    """Before anything is sent, if that can be known; the error of a request names its tenant."""
    sandbox = serve()
    with pytest.raises(Exception, match=why) as caught:
        list(inbound_queues(tenants(tenant(sandbox))))
    assert bool(sandbox.requests) == is_sent
    assert not is_sent or "\ntenant hue\n" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("how", [iter, _later])
def test_iterator_of_tenants_is_there_for_the_next_run(how: Callable[[Any], Any], serve: Serve) -> None:
    """A second run of the resource has the same tenants, not none."""
    sandbox = serve()
    resource: Any = inbound_queues(how([tenant(sandbox)]))
    assert [len([*resource]) for _ in range(2)] == [25, 25]


def test_after_a_kill_the_next_run_loads_everything(serve: Serve, tmp_path: Path) -> None:
    """Killed while it reads the list, it has loaded nothing, and the next run is as the first."""
    sandbox = serve(queues=300, latency=0.02)
    environment = {**os.environ, "HANOI_KEY": sandbox.api_key, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(sandbox.url)]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603 (our own code)
        while len(sandbox.requests) < 2 and process.poll() is None:
            pass
        process.kill()
    pipeline = make_pipeline(tmp_path)
    pipeline.run(inbound_queues([tenant(sandbox)]))
    assert rows(pipeline) == expected(sandbox)


def test_options_of_clients_are_those_of_a_pool(pipeline: Any, serve: Serve) -> None:
    """Events, retries and the address are its clients'; the deadline is that of the whole list."""
    sandbox, heard = serve(), list[Event]()
    given: Any = {"endpoint": str(sandbox.url), "retry": RetryPolicy(max_retries=0), "user_agent": "warehouse/1"}
    pipeline.run(inbound_queues({"hanoi": sandbox.api_key}, on_event=heard.append, page_size=5, deadline=60, **given))
    assert rows(pipeline) == expected(sandbox)
    assert {event.tenant for event in heard if isinstance(event, CallEvent)} == {"hanoi"}
    assert {sent.headers["User-Agent"] for sent in sandbox.requests} == {"warehouse/1"}
    sandbox.fail(status=503)
    with pytest.raises(Exception, match="HTTP 503"):
        pipeline.run(inbound_queues({"hanoi": sandbox.api_key}, **given))
    sandbox.latency = 0.2
    with pytest.raises(Exception, match=r"not done within its deadline of 0\.30 s"):
        pipeline.run(inbound_queues({"hanoi": sandbox.api_key}, deadline=0.3, page_size=5, prefetch=0, **given))


@pytest.mark.parametrize(
    "wrong",
    [
        {"page_size": 0},
        {"proxy": "ftp://x"},
        {"on_event": 5},
        {"rate_limiter": 5},
        {"tenant_id": "7"},
        {"session": None},
    ],
)
def test_wrong_options_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """Before a pipeline runs."""
    with pytest.raises((InvalidArgumentError, ConfigurationError), match=next(iter(wrong))):
        inbound_queues("tenants.toml", **wrong)


def test_without_dlt_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the package works without it."""
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(ConfigurationError, match=r"run: pip install 'alohub-async\[dlt\]'"):
        inbound_queues("tenants.toml")
