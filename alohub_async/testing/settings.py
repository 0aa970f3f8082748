"""The sandbox's settings: plain attributes, checked when set, most of them settable while it runs."""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from attrs import define, field, setters
from attrs.validators import gt, in_, instance_of, lt

from alohub_async.testing.contract import CapStyle, DetailStyle, TotalStyle
from alohub_async.testing.windows import WindowKind

if TYPE_CHECKING:
    from attrs import Attribute

HeaderStyle: TypeAlias = Literal["scope-last", "scope-first"]
"""The word order: `X-RateLimit-Limit-Tenant`, or `X-RateLimit-Tenant-Limit`."""

Latency: TypeAlias = float | tuple[float, float]
"""Seconds of round trip: a fixed time, or the least and the most."""


def latency_range(latency: Latency) -> tuple[float, float]:
    """The least and the most seconds."""
    return latency if isinstance(latency, tuple) else (latency, latency)


def _check_latency(_: object, __: "Attribute[Any]", value: Latency) -> None:
    least, most = latency_range(value)
    if not 0 <= least <= most < math.inf:
        raise ValueError(f"latency must be seconds, 0 or more, or (least, most); {value!r} was given")


def _check_limit(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None and (not isinstance(value, int) or value < 0):
        raise ValueError(f"{attribute.name} must be an int of 0 or more, or None for no limit; {value!r} was given")


def _check_cap(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f"{attribute.name} must be an int of 1 or more, or None for none; {value!r} was given")


def _as_scopes(scopes: Collection[str]) -> frozenset[str]:
    if isinstance(scopes, str):  # a collection of letters
        raise TypeError(f"scopes must be a collection of names, like {{{scopes!r}}}; {scopes!r} was given")
    return frozenset(scopes)


@define(kw_only=True, eq=False)
class SandboxSettings:
    """How the sandbox behaves where the contract leaves it open, or where a test needs something else.

    All settings but `seed`, `tenant_id`, `scopes`, `window`, `window_kind` and `count_denied` may be changed while the
    sandbox runs. They hold from the next request on.

    Attributes:
        seed: Seeds the queues, the key and the latency.
        tenant_id: The tenant whose queues these are. The default is the one in the vendor's examples.
        scopes: The scopes of `api_key`; the three endpoints need `queue` (the vendor's page).
        tenant_limit: Requests a tenant may make in one window; None for no limit and no headers of this scope. The
            real figures are not documented.
        route_limit: The same for each route (method and path template) of a tenant.
        window: The window's length in seconds; 10 on the vendor's page.
        window_kind: How the server counts. This is not documented, so all kinds in use are available.
        count_denied: Whether a refused request counts, too.
        rate_limit_headers: The word order of the four rate-limit headers; their names are not documented.
        page_size_cap: The largest page, in records; None for none. Not documented.
        cap_style: How the cap affects the offset: `rebase` (`page * cap`) or `truncate` (`page * size`: records that
            the cap cuts off are on no page).
        total_style: The form of `totalRecord`; an integer on the vendor's page.
        detail_style: The form of a detail; bare on the vendor's page.
        latency: Seconds of round trip, half before the request is counted and half after: fixed, or a range from which
            each half is drawn separately, so that answers can overtake each other.
    """

    seed: int = field(default=0, on_setattr=setters.frozen)
    tenant_id: str = field(default="20260310", validator=instance_of(str), on_setattr=setters.frozen)
    scopes: frozenset[str] = field(default=frozenset({"queue"}), converter=_as_scopes, on_setattr=setters.frozen)
    tenant_limit: int | None = field(default=100, validator=_check_limit)
    route_limit: int | None = field(default=50, validator=_check_limit)
    window: float = field(
        default=10.0, validator=[instance_of((int, float)), gt(0), lt(math.inf)], on_setattr=setters.frozen
    )
    window_kind: WindowKind = field(
        default="first-request", validator=in_(get_args(WindowKind)), on_setattr=setters.frozen
    )
    count_denied: bool = field(default=False, on_setattr=setters.frozen)
    rate_limit_headers: HeaderStyle = field(default="scope-last", validator=in_(get_args(HeaderStyle)))
    page_size_cap: int | None = field(default=None, validator=_check_cap)
    cap_style: CapStyle = field(default="rebase", validator=in_(get_args(CapStyle)))
    total_style: TotalStyle = field(default="int", validator=in_(get_args(TotalStyle)))
    detail_style: DetailStyle = field(default="bare", validator=in_(get_args(DetailStyle)))
    latency: Latency = field(default=0.0, validator=_check_latency)
