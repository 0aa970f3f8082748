"""A job for each of many tenants on a cluster of `dask.distributed` (extra `distributed`)."""

import asyncio
import importlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pickle import PicklingError
from typing import Any, Final, cast

import attrs

from alohub_async.audit import AuditProgress
from alohub_async.errors import ClientClosedError, ConfigurationError
from alohub_async.export import ExportProgress
from alohub_async.options import BulkOptions
from alohub_async.pool import AlohubPool, TenantOutcome, TenantOutcomes
from alohub_async.tenant import Tenant
from alohub_async.tenants.jobs import Task
from alohub_async.tenants.report import TenantEntry
from alohub_async.validation import refuse

_INTERVAL: Final = 1.0  # seconds between two reports of the progress of a tenant
_KINDS: Final = {"export": ExportProgress, "audit": AuditProgress}


@asynccontextmanager
async def each_on_cluster(
    scheduler: Any,
    task: Task,
    pool: AlohubPool,
    tenants: Iterable[Tenant] | AsyncIterable[Tenant],
    *,
    concurrency: int | None,
    step: Callable[[str, Any], object],
) -> AsyncGenerator[TenantOutcomes[TenantEntry]]:
    """The outcomes of the task for each tenant; each task runs again, elsewhere, if its worker is lost."""
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as exc:
        advice = "run: pip install 'alohub-async[distributed]'"
        raise ConfigurationError(f"scheduler= needs distributed, which is not installed; {advice}") from exc
    try:
        distributed.protocol.pickle.dumps((task, pool))
    except (TypeError, ValueError, AttributeError, PicklingError) as exc:
        raise ConfigurationError(
            f"the pool or an option cannot be sent to workers: {exc}; use named functions"
        ) from None
    connected = await _connect(distributed, scheduler)
    run = f"alohub-{task.job.kind}-{secrets.token_hex(8)}"

    def on_event(event: tuple[float, tuple[str, dict[str, Any] | None]]) -> None:
        tenant, values = event[1]
        step(tenant, None if values is None else _KINDS[task.job.kind](**values))

    async def submit(tenant: Tenant) -> TenantOutcome[TenantEntry]:
        if tenant.api_key is not None:
            message = f"tenant {tenant.name!r}: its key does not leave this process; give api_key_env or key_provider"
            return TenantOutcome(tenant, None, ConfigurationError(message))
        future = cluster.submit(_work, task, pool, tenant, run, key=f"{run}-{tenant.name}", pure=False)
        try:
            error = await future.exception()
            if future.status == "cancelled":
                error = ClientClosedError("the cluster cancelled the task, or the connection to it was lost")
            return TenantOutcome(tenant, await future if error is None else None, error)
        finally:
            future.release()

    async with connected as cluster:
        cluster.subscribe_topic(run, on_event)
        threads = sum((await cluster.nthreads()).values())
        options = BulkOptions(concurrency=concurrency or min(1000, max(8, 2 * threads)))
        yield TenantOutcomes(tenants, submit, options, finish=False)


async def _connect(distributed: Any, scheduler: Any) -> Any:
    """A client of our own, so that the given one is left as it is."""
    address = (
        scheduler if isinstance(scheduler, str) else getattr(getattr(scheduler, "scheduler", None), "address", None)
    )
    if not address:
        raise refuse("scheduler", "a connected Client of distributed, or an address", scheduler)
    dask: Any = importlib.import_module("dask")
    limit = dask.utils.parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
    security = getattr(scheduler, "security", None)
    try:
        client = distributed.Client(address, asynchronous=True, security=security, set_as_default=False)
        try:
            async with asyncio.timeout(limit):  # dask waits for ever for the first answer
                return await client
        except TimeoutError:
            await client.close()
            raise
    except (OSError, ValueError) as exc:
        why = str(exc) or f"it does not answer within {limit:g} s"
        raise ConfigurationError(f"no connection to the scheduler at {address}: {why}") from exc


def _work(task: Task, pool: AlohubPool, tenant: Tenant, run: str) -> TenantEntry:
    """The task of one tenant, on a worker; its errors become part of the result, as not all can be pickled."""
    worker: Any = importlib.import_module("distributed").get_worker()
    next_report = 0.0

    def report(now: Any) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + _INTERVAL
            worker.log_event(run, (tenant.name, now and attrs.asdict(now)))

    async def work() -> TenantOutcome[TenantEntry]:
        async with pool:
            [outcome] = await pool.each(partial(task, on_step=report), [tenant]).collect()
        return outcome

    report(None)
    outcome = asyncio.run(work())
    entry = outcome.value or TenantEntry.of_error(tenant.name, cast("Exception", outcome.error))
    return attrs.evolve(entry, exception=None)
