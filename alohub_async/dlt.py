"""A dlt resource: the inbound queues of one tenant or several, loaded whole or not at all. It needs the extra `dlt`."""

import importlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack, cast

from alohub_async.errors import AlohubError, APIResponseError, ConfigurationError, InvalidArgumentError, PageDriftError
from alohub_async.files.records import columns_of
from alohub_async.http.network import read_proxy
from alohub_async.models import InboundQueue
from alohub_async.options import AnyLoopOptionsDict, PageOptions, PageOptionsDict
from alohub_async.pagination import Pager
from alohub_async.pool import AlohubPool, MakeLimiter
from alohub_async.tenant import Tenant, Tenants, check_tenant, tenants_of
from alohub_async.validation import check_names

if TYPE_CHECKING:
    from dlt.extract import DltResource

_Rows: TypeAlias = list[dict[str, Any]]

_QUEUES: Final = columns_of(InboundQueue)
_TYPES: Final = {int: "bigint", str: "text", bool: "bool"}
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "tenant": {"data_type": "text", "nullable": False},
    **{name: {"data_type": _TYPES[kind], "nullable": name != "id"} for name, kind in _QUEUES.kinds.items()},
    "extra": {"data_type": "json"},
    "_gone": {"data_type": "bool", "hard_delete": True},  # a row with it only removes the rows of its tenant
}


class DltOptionsDict(AnyLoopOptionsDict, PageOptionsDict, total=False):
    """Keywords of `inbound_queues`; see `ClientOptions` and `PageOptions`."""


def inbound_queues(
    tenants: Tenants,
    *,
    rate_limiter: MakeLimiter | None = None,
    details: bool = False,
    **options: Unpack[DltOptionsDict],
) -> "DltResource":
    """The inbound queues of some tenants as a resource of dlt: a table with a row for each queue.

        pipeline = dlt.pipeline("alohub", destination="duckdb", dataset_name="alohub")
        pipeline.run(inbound_queues("tenants.toml"))

    Each list is walked until it is proven complete, as with `consistency="repair"`. If one is not, or anything fails,
    the run fails before it loads anything, and the tables stay as they are. A run that succeeds replaces the rows of
    its tenants, so queues that are gone leave the table; the rows of other tenants stay.

    The columns are `tenant`, the attributes of `InboundQueue`, and `_gone`, which is null unless another
    `write_disposition` is chosen. `tenant` and `id` identify a row. A value that does not fit its column is in `extra`.

    Args:
        tenants: The tenants; see `AlohubPool.each`.
        rate_limiter: Makes the rate limiter of a tenant; None for a plain one.
        details: Whether to load what `get_inbound` returns for each queue.
        options: See `PageOptions`, and `AlohubPool` for those of the clients. A deadline covers the list of a tenant.

    Raises:
        ConfigurationError: dlt is not installed, or an option that a client cannot work with.
        InvalidArgumentError: An option is out of range. During the run, also: two tenants have the same name.
    """
    check_names(options, DltOptionsDict.__optional_keys__, ("tenants", "rate_limiter", "details"))
    options["proxy"] = read_proxy(options.get("proxy"))  # its URL may have a password
    given: dict[str, Any] = {**options}
    paging: Any = {name: given.pop(name) for name in PageOptionsDict.__optional_keys__ & given.keys()}
    PageOptions(**paging)
    make_pool = partial(AlohubPool, rate_limiter=rate_limiter, **given)
    make_pool()
    try:
        dlt: Any = importlib.import_module("dlt")
    except ImportError as exc:
        raise ConfigurationError("dlt is not installed; run: pip install 'alohub-async[dlt]'") from exc

    async def rows() -> AsyncGenerator[_Rows]:
        nonlocal tenants
        found = tenants_of(tenants)
        listed = [each async for each in found] if isinstance(found, AsyncIterable) else [*found]
        if isinstance(tenants, Iterator | AsyncIterator):
            tenants = listed  # for the next run
        _check_names(listed)
        async with make_pool() as pool:
            for tenant in listed:
                try:
                    async with pool.client(tenant) as client:
                        pager = client.queues.list_inbound(details=details, consistency="repair", **paging)
                        # One item for each list, so that no limit of dlt cuts it.
                        yield await _rows_of(tenant.name, pager)
                except AlohubError as error:
                    error.add_note(f"tenant {tenant.name}")
                    raise

    # No primary key: a merge by two keys compares every row of the table with every row that is loaded.
    resource = dlt.resource(
        rows,
        name="inbound_queues",
        merge_key="tenant",
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_COLUMNS,
    )
    return cast("DltResource", resource)


def _check_names(tenants: list[Tenant]) -> None:
    """Raise an error for a name that two tenants have: their rows would mix."""
    for name, number in Counter(check_tenant(tenant).name for tenant in tenants).items():
        if number > 1:
            raise InvalidArgumentError(f"two tenants have the name {name!r}; give each a name of its own")


async def _rows_of(tenant: str, pager: Pager[InboundQueue]) -> _Rows:
    rows = [_row(tenant, queue) async for queue in pager]
    if not pager.complete:
        message = f"the list of tenant {tenant!r} could not be proven complete; run it again"
        raise PageDriftError(message, duplicates=pager.drift.duplicates, totals=pager.drift.totals)
    return rows or [{"tenant": tenant, "id": 0, "_gone": True}]


def _row(tenant: str, queue: InboundQueue) -> dict[str, Any]:
    row = _QUEUES.to_row(_QUEUES.to_dict(queue))
    if row["id"] is None:
        message = f"a queue of tenant {tenant!r} has no usable id, so its row would have no key: {queue.name!r:.60}"
        raise APIResponseError(message, status=200)
    return {"tenant": tenant, **row, "extra": {} if row["extra"] == "{}" else _loadable(row["extra"])}


def _loadable(extra: str) -> Any:
    """JSON as dlt loads it: a number beyond 64 bits is text, a lone surrogate is a question mark."""
    text = json.dumps(json.loads(extra, parse_int=_number), ensure_ascii=False)
    return json.loads(text.encode(errors="replace"))


def _number(digits: str) -> int | str:
    return number if -(1 << 63) <= (number := int(digits)) < 1 << 63 else digits
