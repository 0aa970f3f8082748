"""The sandbox's settings: limits, windows, caps, styles, latency."""

import asyncio
from typing import Any, get_args

import pytest

from alohub_async.testing import Sandbox, WindowKind
from tests.testing.raw import LIST, Raw, open_raw

# Limits


async def test_every_counted_response_has_the_four_headers() -> None:
    """Every response has limit and remaining of both scopes, errors too. A route counts its own requests only."""
    async with open_raw(tenant_limit=10, route_limit=5) as raw:
        replies = [
            await raw.get(),
            await raw.get(page="x"),
            await raw.get(f"{LIST}/1"),
            await raw.put(raw.first_id, {}),
        ]
        assert [reply.status for reply in replies] == [200, 400, 404, 400]
        assert [tuple(reply.limits.values()) for reply in replies] == [
            ("10", "9", "5", "4"),
            ("10", "8", "5", "3"),
            ("10", "7", "5", "4"),
            ("10", "6", "5", "4"),
        ]


async def test_gateway_and_backend_share_a_route() -> None:
    """The gateway and the backend share a route's limit."""
    async with open_raw(route_limit=5) as raw:
        await raw.get()
        reply = await raw.send("GET", f"/api{LIST}", headers={"Authorization": raw.sandbox.api_key})
        assert reply.limits["X-RateLimit-Remaining-Route"] == "3"


@pytest.mark.parametrize(
    ("style", "names"),
    [
        (
            "scope-last",
            {
                "X-RateLimit-Limit-Tenant",
                "X-RateLimit-Remaining-Tenant",
                "X-RateLimit-Limit-Route",
                "X-RateLimit-Remaining-Route",
            },
        ),
        (
            "scope-first",
            {
                "X-RateLimit-Tenant-Limit",
                "X-RateLimit-Tenant-Remaining",
                "X-RateLimit-Route-Limit",
                "X-RateLimit-Route-Remaining",
            },
        ),
        (
            "scope-window",
            {
                "X-RateLimit-Limit-Tenant-10",
                "X-RateLimit-Remaining-Tenant-10",
                "X-RateLimit-Limit-Route-10",
                "X-RateLimit-Remaining-Route-10",
            },
        ),
        ("kong", {"X-RateLimit-Limit-10", "X-RateLimit-Remaining-10"}),
    ],
)
async def test_header_word_order(style: str, names: set[str]) -> None:
    """The headers can have each style."""
    async with open_raw(rate_limit_headers=style) as raw:
        assert (await raw.get()).limits.keys() == names


@pytest.mark.parametrize(
    ("style", "shown"),
    [
        ("scope-last", {"X-RateLimit-Limit-Tenant": "9", "X-RateLimit-Remaining-Tenant": "7"}),
        (
            "scope-window",
            {
                "X-RateLimit-Limit-Tenant-Minute": "9",
                "X-RateLimit-Remaining-Tenant-Minute": "7",
                "X-RateLimit-Limit-Tenant-Second": "2",
                "X-RateLimit-Remaining-Tenant-Second": "0",
            },
        ),
        (
            "kong",
            {
                "X-RateLimit-Limit-Minute": "9",
                "X-RateLimit-Remaining-Minute": "7",
                "X-RateLimit-Limit-Second": "2",
                "X-RateLimit-Remaining-Second": "0",
            },
        ),
    ],
)
async def test_burst_limit(style: str, shown: dict[str, str]) -> None:
    """A limit per second refuses requests, whether the headers name their windows and show it, or not."""
    settings: dict[str, Any] = {"rate_limit_headers": style, "burst_limit": 2, "window": 60.0}
    async with open_raw(tenant_limit=9, route_limit=None, **settings) as raw:
        assert [(await raw.get()).status for _ in range(2)] == [200, 200]
        refused = await raw.get()
        assert (refused.status, refused.limits) == (429, {"Retry-After": "1", **shown})


async def test_remaining_may_not_count_the_request_itself() -> None:
    """With off_by_one, the first response shows the whole limit. A 429 shows 0, and a 401 what is left."""
    async with open_raw(tenant_limit=2, route_limit=None, off_by_one=True) as raw:
        shown = [await raw.send("GET", LIST, headers={}), *[await raw.get() for _ in range(3)]]
        assert [reply.status for reply in shown] == [401, 200, 200, 429]
        assert [reply.limits["X-RateLimit-Remaining-Tenant"] for reply in shown] == ["2", "2", "1", "0"]
        assert [request.tenant_remaining for request in raw.sandbox.requests] == [2, 1, 0, 0]


async def test_limit_headers_may_be_on_429s_only() -> None:
    """Scripted ones included; or on no response at all."""
    async with open_raw(tenant_limit=1, route_limit=None, limit_headers_on="429") as raw:
        raw.sandbox.fail(status=429)
        replies = [await raw.get() for _ in range(3)]
        assert [reply.status for reply in replies] == [429, 200, 429]
        assert [len(reply.limits) for reply in replies] == [3, 0, 3]
        raw.sandbox.limit_headers_on = "never"
        assert (await raw.get()).limits.keys() == {"Retry-After"}


async def test_a_share_of_the_responses_may_lack_limit_headers() -> None:
    """The same ones for the same seed."""
    found: list[list[bool]] = []
    for seed in (1, 1, 2):
        async with open_raw(limit_headers_percent=70, seed=seed, tenant_limit=None, route_limit=300) as raw:
            found.append([bool((await raw.get(size=1)).limits) for _ in range(200)])
            assert raw.sandbox.requests[-1].route_remaining == 100
    assert found[0] == found[1] != found[2]
    assert 120 <= sum(found[0]) <= 160


@pytest.mark.parametrize(("style", "header"), [("right", "1"), ("kong", "9"), ("zero", "0"), ("absent", None)], ids=str)
@pytest.mark.looptime(start=103.5)
async def test_retry_after_styles(style: str, header: str | None) -> None:
    """The right time, that of Kong's library, 0, or no header: for a window that begins with a multiple of 10 s."""
    settings: dict[str, Any] = {"window_kind": "kong-seconds", "retry_after": style}
    async with open_raw(tenant_limit=4, route_limit=None, **settings) as raw:
        for _ in range(4):
            await raw.get()
        await asyncio.sleep(9)  # then eight tenths of the four still count
        refused = await raw.get()
        assert (refused.status, refused.headers.get("Retry-After")) == (429, header)


async def test_no_limit_means_no_headers() -> None:
    """A scope whose limit is None is not counted and has no headers."""
    async with open_raw(tenant_limit=None, route_limit=2) as raw:
        assert (await raw.get()).limits == {"X-RateLimit-Limit-Route": "2", "X-RateLimit-Remaining-Route": "1"}
        raw.sandbox.route_limit = None
        assert [(await raw.get()).status for _ in range(5)] == [200] * 5
        assert (raw.sandbox.requests[-1].tenant_remaining, raw.sandbox.requests[-1].route_remaining) == (None, None)


@pytest.mark.looptime
async def test_refused_by_one_window_is_charged_to_neither() -> None:
    """A 429 has the whole seconds to wait, and counts neither for the tenant nor for the route."""
    async with open_raw(tenant_limit=10, route_limit=2, window=10.0) as raw:
        await raw.get()
        await asyncio.sleep(2.5)
        await raw.get()
        refused = await raw.get()
        assert refused.problem == (429, "RATE_LIMIT_EXCEEDED")
        assert refused.limits == {
            "Retry-After": "8",
            "X-RateLimit-Limit-Tenant": "10",
            "X-RateLimit-Remaining-Tenant": "8",
            "X-RateLimit-Limit-Route": "2",
            "X-RateLimit-Remaining-Route": "0",
        }
        assert (await raw.get(f"{LIST}/{raw.first_id}")).limits["X-RateLimit-Remaining-Tenant"] == "7"
        await asyncio.sleep(8)
        assert (await raw.get()).status == 200


@pytest.mark.looptime
async def test_refused_by_the_tenants_window() -> None:
    """A full tenant window refuses requests of every route. The wait is the longer one of the two windows."""
    async with open_raw(tenant_limit=1, route_limit=1) as raw:
        await raw.get()
        await asyncio.sleep(9.5)
        refused = await raw.put(raw.first_id, {"strategy": 2})
        assert (refused.problem, refused.limits["Retry-After"]) == ((429, "RATE_LIMIT_EXCEEDED"), "1")
        assert refused.limits["X-RateLimit-Remaining-Route"] == "1"


@pytest.mark.looptime
@pytest.mark.parametrize(("count_denied", "status"), [(False, 200), (True, 429)])
async def test_denied_requests_may_count(count_denied: bool, status: int) -> None:  # noqa: FBT001
    """With count_denied a refused request keeps the window full, otherwise it does not."""
    async with open_raw(route_limit=1, window_kind="sliding-log", count_denied=count_denied) as raw:
        await raw.get()
        await asyncio.sleep(5)
        assert (await raw.get()).status == 429
        await asyncio.sleep(5)
        assert (await raw.get()).status == status


@pytest.mark.looptime
@pytest.mark.parametrize("kind", get_args(WindowKind))
async def test_each_kind_of_window(kind: WindowKind) -> None:
    """Every kind admits `limit` requests at once, refuses the next one, and admits one after `Retry-After`."""
    async with open_raw(tenant_limit=None, route_limit=4, window_kind=kind) as raw:
        assert [(await raw.get()).status for _ in range(5)] == [200, 200, 200, 200, 429]
        refused = await raw.get()
        await asyncio.sleep(int(refused.headers["Retry-After"]))
        assert (await raw.get()).status == 200


async def test_limits_change_while_it_runs() -> None:
    """A higher or lower limit applies from the next request on, and remaining is never negative."""
    async with open_raw(tenant_limit=None, route_limit=5) as raw:
        await raw.get()
        await raw.get()
        raw.sandbox.route_limit = 1
        assert (await raw.get()).limits == {
            "Retry-After": "10",
            "X-RateLimit-Limit-Route": "1",
            "X-RateLimit-Remaining-Route": "0",
        }
        raw.sandbox.route_limit = 9
        assert (await raw.get()).limits["X-RateLimit-Remaining-Route"] == "6"


async def test_limit_of_zero_refuses_all() -> None:
    """A limit of 0 gives 429, with the length of the window as the wait."""
    async with open_raw(tenant_limit=0, window=2.0) as raw:
        assert (await raw.get()).limits["Retry-After"] == "2"


async def test_tenants_have_separate_limits() -> None:
    """Another tenant's requests do not count; those with another key of the tenant do."""
    async with open_raw(tenant_limit=5, route_limit=3) as raw:
        foreign = raw.sandbox.add_key(tenant_id=raw.sandbox.foreign_tenant_id)
        await raw.send("GET", LIST, headers={"X-Api-Key": foreign})
        await raw.send("GET", LIST, headers={"X-Api-Key": raw.sandbox.add_key()})
        assert (await raw.get()).limits["X-RateLimit-Remaining-Tenant"] == "3"


async def test_default_limits_allow_a_walk() -> None:
    """The default sandbox serves its 250 queues in pages of 20 without a 429."""
    async with open_raw() as raw:
        assert {(await raw.get(page=page)).status for page in range(13)} == {200}


# Styles and caps


@pytest.mark.parametrize(
    ("style", "total"), [("int", {"totalRecord": 250}), ("string", {"totalRecord": "250"}), ("missing", {})]
)
async def test_total_styles(style: str, total: dict[str, object]) -> None:
    """The total is an integer, a string, or missing."""
    async with open_raw(total_style=style) as raw:
        body = (await raw.get()).json
        assert {name: value for name, value in body.items() if name == "totalRecord"} == total


async def test_detail_styles() -> None:
    """A detail can have an envelope, with an object or a list of one object."""
    async with open_raw(detail_style="object") as raw:
        path = f"{LIST}/{raw.first_id}"
        envelope = {"success": "1", "error_code": "SUCCESS"}
        assert (await raw.get(path)).json == envelope | {"data": raw.sandbox.queues[0]}
        raw.sandbox.detail_style = "list"
        assert (await raw.get(path)).json == envelope | {"data": [raw.sandbox.queues[0]]}


async def _indexes(raw: Raw, *, page: int, size: int) -> list[int]:
    ids = [queue["callinId"] for queue in raw.sandbox.queues]
    return [ids.index(queue["callinId"]) for queue in (await raw.get(page=page, size=size)).json["data"]]


@pytest.mark.parametrize(
    ("style", "second"), [("rebase", range(10, 20)), ("truncate", range(25, 35))], ids=["rebase", "truncate"]
)
async def test_page_size_cap(style: str, second: range) -> None:
    """A capped page is shorter, and the cap changes the offset or not. A smaller size is not changed."""
    async with open_raw(page_size_cap=10, cap_style=style) as raw:
        assert await _indexes(raw, page=0, size=25) == list(range(10))
        assert await _indexes(raw, page=1, size=25) == list(second)
        assert await _indexes(raw, page=1, size=5) == list(range(5, 10))
        raw.sandbox.page_size_cap = None
        assert await _indexes(raw, page=1, size=25) == list(range(25, 50))


# Latency


@pytest.mark.looptime
async def test_fixed_latency_is_half_before_and_half_after() -> None:
    """A request is counted after half the latency, and answered after the other half."""
    async with open_raw(latency=3.0) as raw:
        start = asyncio.get_running_loop().time()
        await raw.get()
        assert asyncio.get_running_loop().time() - start == pytest.approx(3.0)
        assert raw.sandbox.requests[0].at - start == pytest.approx(1.5)


@pytest.mark.looptime
async def test_latency_range_changes_the_order_of_responses() -> None:
    """The responses to simultaneous requests arrive within the range, and not in the order of counting."""
    async with open_raw(latency=(1.0, 5.0)) as raw:
        start = asyncio.get_running_loop().time()
        received: list[tuple[float, str]] = []

        async def ask() -> None:
            reply = await raw.get()
            took = asyncio.get_running_loop().time() - start
            received.append((took, reply.limits["X-RateLimit-Remaining-Tenant"]))

        await asyncio.gather(*(ask() for _ in range(20)))
        assert all(1.0 <= took <= 5.0 for took, _ in received)
        remaining = [int(left) for _, left in received]
        assert remaining != sorted(remaining, reverse=True)


@pytest.mark.looptime
async def test_waiting_request_is_in_the_log() -> None:
    """A request without a response so far has no status. After `clear` it is not in the log at all."""
    async with open_raw(latency=4.0) as raw:
        waiting = asyncio.create_task(raw.get())
        await asyncio.sleep(3)
        assert [request.status for request in raw.sandbox.requests] == [None]
        raw.sandbox.clear()
        await waiting
        assert raw.sandbox.requests == []


# Checks


@pytest.mark.parametrize(
    "settings",
    [
        {"tenant_limit": -1},
        {"route_limit": -1},
        {"window": 0},
        {"window": 2.5, "window_kind": "kong-seconds"},
        {"window_kind": "leaky"},
        {"rate_limit_headers": "none"},
        {"page_size_cap": 0},
        {"cap_style": "x"},
        {"total_style": "float"},
        {"detail_style": "x"},
        {"latency": -1.0},
        {"latency": (2.0, 1.0)},
        {"latency": float("inf")},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    """A setting out of range raises a ValueError that names it."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        Sandbox(**settings)


def test_settings_are_checked_when_changed() -> None:
    """A change of a setting is checked, too. The length of the windows cannot be changed."""
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="route_limit"):
        sandbox.route_limit = -1
    with pytest.raises(AttributeError):
        sandbox.window = 2.0


async def test_record_that_utf_8_cannot_encode_is_sent_escaped() -> None:
    """A lone surrogate in a given queue reaches the client unchanged."""
    async with (
        Sandbox(queues=[{"callinId": 1, "callinName": "\ud800"}]) as sandbox,
        sandbox.client() as client,
    ):
        assert (await client.queues.get_inbound(1)).name == "\ud800"
