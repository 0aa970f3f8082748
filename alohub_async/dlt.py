"""A dlt resource: the inbound queues of one tenant or several, loaded whole or not at all. It needs the extra `dlt`."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack, cast

import attrs

from alohub_async.errors import APIResponseError, ConfigurationError, PageDriftError
from alohub_async.models import InboundQueue
from alohub_async.options import PageOptions, PageOptionsDict
from alohub_async.pool import AlohubPool, MakeLimiter
from alohub_async.tenant import Tenants, tenants_of

if TYPE_CHECKING:
    from dlt.extract import DltResource

_Rows: TypeAlias = list[dict[str, Any]]

# The hints of the columns that are no text. With `_gone`, a row only removes what the table has of its tenant.
_TYPES: Final = {
    "id": "bigint",
    "strategy": "bigint",
    "max_wait": "bigint",
    "announce_position": "bool",
    "extra": "json",
}
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "tenant": {"data_type": "text", "nullable": False},
    **{
        field.name: {"data_type": _TYPES.get(field.name, "text"), "nullable": field.name != "id"}
        for field in attrs.fields(InboundQueue)
    },
    "_gone": {"data_type": "bool", "hard_delete": True},
}


def inbound_queues(
    tenants: Tenants,
    *,
    rate_limiter: MakeLimiter | None = None,
    details: bool = False,
    **options: Unpack[PageOptionsDict],
) -> "DltResource":
    """The inbound queues of some tenants as a resource of dlt: a table with a row for each queue.

        pipeline = dlt.pipeline("alohub", destination="duckdb", dataset_name="alohub")
        pipeline.run(inbound_queues("tenants.toml"))

    Each list is walked until it is proven complete, as with `consistency="repair"`. If one is not, or anything fails,
    the run fails before it loads anything, and the tables stay as they are. A run that succeeds replaces the rows of
    its tenants, so queues that are gone leave the table; the rows of other tenants stay.

    The columns are `tenant`, the attributes of `InboundQueue`, and `_gone`, which is always null. The primary key is
    `tenant` and `id`.

    Args:
        tenants: The tenants; see `AlohubPool.each`.
        rate_limiter: Makes the rate limiter of a tenant; None for a plain one.
        details: Whether to load what `get_inbound` returns for each queue.
        options: See `PageOptions`.

    Raises:
        ConfigurationError: dlt is not installed.
        InvalidArgumentError: An option is out of range.
    """
    PageOptions.of(options, "tenants", "rate_limiter", "details")
    try:
        dlt: Any = importlib.import_module("dlt")
    except ImportError as exc:
        raise ConfigurationError("dlt is not installed; run: pip install 'alohub-async[dlt]'") from exc

    def rows() -> Iterator[_Rows]:
        pages = _pages(tenants, AlohubPool(rate_limiter=rate_limiter), details=details, options=options)
        with asyncio.Runner() as runner:
            try:
                while page := runner.run(_next(pages)):
                    yield page
            finally:
                runner.run(pages.aclose())

    resource = dlt.resource(
        rows,
        name="inbound_queues",
        primary_key=("tenant", "id"),
        merge_key="tenant",
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_COLUMNS,
    )
    return cast("DltResource", resource)


async def _next(pages: AsyncGenerator[_Rows]) -> _Rows | None:
    return await anext(pages, None)


async def _pages(
    tenants: Tenants, pool: AlohubPool, *, details: bool, options: PageOptionsDict
) -> AsyncGenerator[_Rows]:
    found = tenants_of(tenants)
    async with pool:
        for tenant in [each async for each in found] if isinstance(found, AsyncIterable) else found:
            async with pool.client(tenant) as client:
                yield [{"tenant": tenant.name, "id": 0, "_gone": True}]
                pager = client.queues.list_inbound(details=details, consistency="repair", **options)
                async for page in pager.pages():
                    yield [_row(tenant.name, queue) for queue in page.items]
                if not pager.complete:
                    message = f"the list of tenant {tenant.name!r} could not be proven complete; run it again"
                    raise PageDriftError(message, duplicates=pager.drift.duplicates, totals=pager.drift.totals)


def _row(tenant: str, queue: InboundQueue) -> dict[str, Any]:
    if queue.id is None:
        message = f"a queue of tenant {tenant!r} has no usable id, so its row would have no key: {queue.name!r:.60}"
        raise APIResponseError(message, status=200)
    return {"tenant": tenant, **queue.to_dict()}
