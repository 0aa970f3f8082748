"""`export_tenants` and `audit_tenants` on a cluster."""

import asyncio
import importlib
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alohub_async import AlohubPool, ConfigurationError, InvalidArgumentError, RateLimiter, Tenant
from alohub_async.tenants import TenantsProgress, audit_tenants, export_tenants
from alohub_async.tenants.jobs import Task, export_job
from tests.tenants.support import served

distributed: Any = importlib.import_module("distributed")
KEY = "sk_live_0123456789abcdef"


@contextmanager
def cluster(**options: Any) -> Generator[Any]:
    """A cluster on this machine, with free ports."""
    with distributed.LocalCluster(dashboard_address=":0", silence_logs=50, **options) as found:
        yield found


def test_jobs_run_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scheduler` is an address or a client; a key that is in this process only is an error of its tenant."""
    seen: list[TenantsProgress] = []
    with (
        served(monkeypatch, a=2, b=3) as found,
        cluster(n_workers=1, threads_per_worker=2, processes=False) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        tenants = [*(tenant for tenant, _ in found.values()), Tenant("c", api_key=KEY), Tenant("d", api_key_env="NONE")]
        export = export_tenants(tenants, f"file://{tmp_path}", scheduler=client, on_progress=seen.append)
        exported = asyncio.run(export)
        audited = asyncio.run(audit_tenants(tenants, tmp_path, scheduler=local.scheduler_address, concurrency=1))
    for report in (exported, audited):
        assert report.counts == {"done": 2, "skipped": 0, "failed": 2}
        errors = [report.entries[name].error for name in "cd"]
        assert ["key does not leave this process" in str(errors[0]), "set NONE" in str(errors[1])] == [True, True]
    pandas = importlib.import_module("pandas")
    assert pandas.read_parquet(tmp_path)["tenant"].value_counts().to_dict() == {"a": 2, "b": 3}
    assert {step.status for step in seen if step.tenant == "a"} == {"running", "done"}
    assert (tmp_path / "tenant=b" / "_audit.json").exists()


def test_lost_worker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks run again on another one; each partition is there, and nothing twice."""
    names = [f"t{number}" for number in range(6)]
    with served(monkeypatch, **dict.fromkeys(names, 2)) as found:
        for _, sandbox in found.values():
            sandbox.latency = 0.3
        with cluster(n_workers=2, threads_per_worker=1) as local, distributed.Client(local) as client:
            pids = [*client.run(os.getpid).values()]

            def kill_one(now: TenantsProgress) -> None:
                if now.status == "done" and pids:
                    os.kill(pids.pop(), signal.SIGKILL)
                    pids.clear()

            tenants = [tenant for tenant, _ in found.values()]
            report = asyncio.run(export_tenants(tenants, tmp_path, scheduler=client, on_progress=kill_one))
        assert pids == []
    assert report.counts == {"done": 6, "skipped": 0, "failed": 0}
    rows = importlib.import_module("duckdb").read_parquet(f"{tmp_path}/*/*.parquet", hive_partitioning=True)
    assert rows.aggregate("tenant, count(*), count(DISTINCT id)").order("tenant").fetchall() == [
        (name, 2, 2) for name in names
    ]
    visible = {path.name for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."}
    assert visible == {"_report.json", "queues.parquet", "_queues.parquet.report.json"}


def limiter(tenant: Tenant) -> RateLimiter:
    """A limiter that a worker can make."""
    del tenant
    return RateLimiter()


def test_no_key_is_in_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What travels names the environment variable."""
    monkeypatch.setenv("KEY_a", KEY)
    task = Task(export_job("parquet", {}), "memory://x", None, in_place=False)
    graph = pickle.dumps((task, AlohubPool(rate_limiter=limiter), Tenant("a", api_key_env="KEY_a")))
    assert b"KEY_a" in graph
    assert KEY.encode() not in graph


@pytest.mark.parametrize("scheme", ["memory", "file"])
async def test_task_that_runs_twice_leaves_one_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Also at the same time, as on a cluster that took a worker for lost."""
    url = f"{scheme}://{tmp_path}"
    task = Task(export_job("parquet", {}), url, None, in_place=False)
    with served(monkeypatch, a=2) as found:
        tenant, _ = found["a"]
        async with AlohubPool() as pool, pool.client(tenant) as client:
            entries = await asyncio.gather(*(task(client, tenant, lambda _: None) for _ in range(2)))
    assert [entry.status for entry in entries] == ["done", "done"]
    files = importlib.import_module("fsspec").filesystem(scheme)
    names = {name.rpartition("/")[2] for name in files.find(str(tmp_path))}
    assert names == {"queues.parquet", "_queues.parquet.report.json"}
    pyarrow = importlib.import_module("pyarrow.parquet")
    assert pyarrow.read_table(files.open(f"{tmp_path}/tenant=a/queues.parquet")).num_rows == 2


@pytest.mark.parametrize("is_deaf", [False, True])
def test_no_scheduler(tmp_path: Path, *, is_deaf: bool) -> None:
    """The error says where it was looked for, also if something is there that never answers."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        if is_deaf:
            there.listen()
        address = f"tcp://127.0.0.1:{there.getsockname()[1]}"
        soon = importlib.import_module("dask").config.set({"distributed.comm.timeouts.connect": "200ms"})
        with soon, pytest.raises(ConfigurationError, match=f"no connection to the scheduler at {address}"):
            asyncio.run(export_tenants([], tmp_path, scheduler=address))


@pytest.mark.parametrize("what", ["pool", "scheduler"])
def test_what_cannot_be_sent_to_workers(tmp_path: Path, what: str) -> None:
    """It is an error before anything is begun."""
    lock = threading.Lock()

    def local(tenant: Tenant) -> RateLimiter:
        with lock:
            return limiter(tenant)

    options: dict[str, Any] = {"pool": AlohubPool(rate_limiter=local), "scheduler": "tcp://127.0.0.1:1"}
    if what == "scheduler":
        options = {"scheduler": 5}
    error = ConfigurationError if what == "pool" else InvalidArgumentError
    with pytest.raises(error, match="cannot be sent to workers" if what == "pool" else "scheduler must be a connected"):
        asyncio.run(export_tenants([], tmp_path, **options))


def test_distributed_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the error names the extra."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"alohub-async\[distributed\]"):
        asyncio.run(export_tenants([], tmp_path, scheduler="tcp://127.0.0.1:1"))
