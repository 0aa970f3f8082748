"""The sandbox's settings: attributes that are checked whenever they are set."""

from collections.abc import Callable, Collection
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from attrs import define, field
from attrs.setters import frozen as fixed

from alohub_async.testing.contract import CapStyle, DetailStyle, TotalStyle
from alohub_async.testing.request_log import CALLABLE, RecordedRequest
from alohub_async.testing.windows import HeadersOn, RetryAfterStyle, WindowKind
from alohub_async.validation import check_choice, check_count, check_flag, check_seconds, check_text, refuse, validator

HeaderStyle: TypeAlias = Literal["scope-last", "scope-first", "scope-window", "kong"]
"""`X-RateLimit-Limit-Tenant`, `X-RateLimit-Tenant-Limit`, `X-RateLimit-Limit-Tenant-10`, or Kong's for the tenant:
`X-RateLimit-Limit-10` (`-Second`, `-Minute`, `-Hour` for such windows). The last two show each window of a scope."""

KeyStyle: TypeAlias = Literal["either", "x-api-key", "authorization", "both"]
"""The headers with the key. `either`: `X-Api-Key`, or `Authorization` without one."""

Latency: TypeAlias = float | tuple[float, float]
"""Seconds of round trip: a fixed time, or the least and the most."""

_HEADER_VALUE: Final = {"pattern": "[!-~]([ -~]*[!-~])?", "allowed": "printable ASCII without spaces around it"}
_LIMIT: Final[Any] = validator(check_count, least=0, optional=True)


def latency_range(latency: Latency) -> tuple[float, float]:
    """The least and the most seconds."""
    return latency if isinstance(latency, tuple) else (latency, latency)


def _check_latency(name: str, value: Any) -> None:
    ends: list[Any] = [*latency_range(value)]
    for seconds in ends:
        check_seconds(name, seconds, zero=True)
    if ends != sorted(ends) or len(ends) != len(("least", "most")):
        raise refuse(name, "seconds, or (least, most)", value)


def read_scopes(scopes: Collection[str]) -> frozenset[str]:
    """The scopes as a set. A string is refused: it would be a collection of letters."""
    names: Any = scopes if isinstance(cast("object", scopes), Collection) else [scopes]
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise refuse("scopes", "a collection of names, like {'queue'}", scopes, wrong_type=True)
    return frozenset(scopes)


def _check_choice(_: object, attribute: Any, value: Any) -> None:
    check_choice(attribute.name, value, get_args(attribute.type))


_CHOICE: Final[Any] = _check_choice


@define(kw_only=True, eq=False)
class SandboxSettings:
    """How the sandbox behaves where the contract leaves it open, or where a test needs something else.

    All settings but `seed`, `tenant_id`, `tenants`, `scopes`, `window`, `window_kind`, `count_denied` and `burst_limit`
    can be changed while the sandbox runs. A change applies from the next request on.

    Attributes:
        seed: Seeds the queues, the latency and which headers are missing.
        tenant_id: The tenant that owns the queues. The default is the one in the vendor's examples.
        tenants: The number of tenants. Each has a key, queues and budgets of its own; see `Sandbox.tenant_keys`.
        scopes: The scopes of `api_key`, by default all that the endpoints need: `queue`, `agent`, `campaign`, `report`.
        access: The way of access that is served: the gateway's paths (`/v1/…`), the backend's (`/api/v1/…`), or any.
        gateway_key: The headers from which the gateway reads the key. The vendor's page names both; its examples send
            `X-Api-Key`.
        tenant_limit: Requests per window of a tenant; None for no limit and no headers. The real one is not documented.
        route_limit: The same for each route (method and path template) of a tenant.
        window: The window's length in seconds; 10 on the vendor's page.
        window_kind: How the server counts. It is not documented, so all kinds in use are available.
        count_denied: Whether a denied request counts, too.
        burst_limit: A further limit of the tenant, per second. Only the last two header styles show it.
        off_by_one: Whether `remaining` does not count the request that it answers.
        rate_limit_headers: The style of the rate-limit headers. Their names are not documented.
        limit_headers_on: The responses with these headers: `always`, as on the vendor's page; `counted`: not a 401 and
            the 404 of an unknown path; `429`: no others; or `never`.
        limit_headers_percent: How many of these responses have them, at random.
        retry_after: The `Retry-After` of a 429: the right one, the one of Kong's library, 0 or none.
        page_size_cap: The largest page, in records; None for no cap. It is not documented.
        cap_style: The offset: `rebase` (`page * cap`), or `truncate` (`page * size`: what the cap cuts is on no page).
        total_style: The form of `totalRecord`; an integer on the vendor's page.
        detail_style: The form of a detail; bare on the vendor's page.
        latency: Seconds of round trip, half before the request is counted and half after. With a range, each half is
            drawn separately, so responses can overtake each other.
        check_at_end: Whether faults and moves that have not happened are an error at the end of the block.
        on_answer: Called with each `RecordedRequest` when its answer is sent.
    """

    seed: int = field(default=0, validator=validator(check_count, least=None), on_setattr=fixed)
    tenant_id: str = field(default="20260310", validator=validator(check_text, **_HEADER_VALUE), on_setattr=fixed)
    tenants: int = field(default=1, validator=validator(check_count, least=1), on_setattr=fixed)
    scopes: frozenset[str] = field(
        default=frozenset({"queue", "agent", "campaign", "report"}), converter=read_scopes, on_setattr=fixed
    )
    access: Literal["any", "gateway", "backend"] = field(default="any", validator=_CHOICE)
    gateway_key: KeyStyle = field(default="x-api-key", validator=_CHOICE)
    tenant_limit: int | None = field(default=100, validator=_LIMIT)
    route_limit: int | None = field(default=50, validator=_LIMIT)
    window: float = field(default=10.0, validator=validator(check_seconds), on_setattr=fixed)
    window_kind: WindowKind = field(default="first-request", validator=_CHOICE, on_setattr=fixed)
    count_denied: bool = field(default=False, validator=validator(check_flag), on_setattr=fixed)
    burst_limit: int | None = field(default=None, validator=_LIMIT, on_setattr=fixed)
    off_by_one: bool = field(default=False, validator=validator(check_flag))
    rate_limit_headers: HeaderStyle = field(default="scope-last", validator=_CHOICE)
    limit_headers_on: HeadersOn = field(default="always", validator=_CHOICE)
    limit_headers_percent: int = field(default=100, validator=validator(check_count, least=0, most=100))
    retry_after: RetryAfterStyle = field(default="right", validator=_CHOICE)
    page_size_cap: int | None = field(default=None, validator=validator(check_count, least=1, optional=True))
    cap_style: CapStyle = field(default="rebase", validator=_CHOICE)
    total_style: TotalStyle = field(default="int", validator=_CHOICE)
    detail_style: DetailStyle = field(default="bare", validator=_CHOICE)
    latency: Latency = field(default=0.0, validator=validator(_check_latency))
    check_at_end: bool = field(default=False, validator=validator(check_flag))
    on_answer: Callable[[RecordedRequest], object] | None = field(default=None, repr=False, validator=CALLABLE)
