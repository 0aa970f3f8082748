"""The client against a server with each kind of window: real sockets, virtual time."""

import asyncio
from typing import Any

import pytest

from alohub_async.testing import Sandbox, WindowKind
from alohub_async.testing.settings import HeaderStyle

pytestmark = pytest.mark.looptime

EXACT: tuple[WindowKind, ...] = ("aligned", "first-request", "sliding-log", "sliding-counter", "token-bucket")


@pytest.mark.parametrize("header_style", ["scope-last", "scope-first"])
@pytest.mark.parametrize("kind", EXACT)
async def test_a_burst_gets_no_429_from_any_kind_of_window(kind: WindowKind, header_style: HeaderStyle) -> None:
    """A hundred calls at once are all served, and none is refused."""
    async with (
        Sandbox(
            queues=20,
            window_kind=kind,
            tenant_limit=20,
            route_limit=15,
            latency=(0.01, 0.2),
            rate_limit_headers=header_style,
        ) as sandbox,
        sandbox.client() as client,
    ):
        ids = [int(str(row["callinId"])) for row in sandbox.queues]
        reads = [client.queues.get_inbound(ids[n % 20]) for n in range(60)]
        writes = [client.queues.update_inbound(ids[n % 20], max_wait=n) for n in range(40)]
        await asyncio.gather(*reads, *writes)
        assert [request.status for request in sandbox.requests] == [200] * 100
        # At least four windows, and each of two scopes may lose one until the server is known.
        assert asyncio.get_running_loop().time() < (100 / 20 - 1 + 2) * 10 * 1.1


@pytest.mark.parametrize(
    "settings",
    [
        {"window_kind": "kong-seconds"},
        {"window_kind": "kong-seconds", "count_denied": True, "retry_after": "kong"},
        {"off_by_one": True},
        {"burst_limit": 4},
        {"burst_limit": 4, "rate_limit_headers": "kong"},
        {"limit_headers_percent": 80},
        {"limit_headers_on": "429"},
        {"limit_headers_on": "never"},
        {"limit_headers_on": "never", "retry_after": "absent"},
    ],
    ids=str,
)
async def test_gateways_of_other_kinds_cost_no_call(settings: dict[str, Any]) -> None:
    """Forty calls at once are all served, whatever the gateway's headers leave out or get wrong."""
    async with (
        Sandbox(queues=5, tenant_limit=10, route_limit=None, latency=(0.01, 0.04), **settings) as sandbox,
        sandbox.client() as client,
    ):
        queue_id = int(str(sandbox.queues[0]["callinId"]))
        await asyncio.gather(*(client.queues.get_inbound(queue_id) for _ in range(40)))
        assert len(sandbox.requests.of(status=200)) == 40


async def test_refused_requests_that_count_do_not_lock_the_client_out() -> None:
    """A weighted counter that counts refused requests too sends no 429."""
    async with (
        Sandbox(queues=5, window_kind="sliding-counter", count_denied=True, tenant_limit=10, route_limit=10) as sandbox,
        sandbox.client() as client,
    ):
        queue_id = int(str(sandbox.queues[0]["callinId"]))
        await asyncio.gather(*(client.queues.get_inbound(queue_id) for _ in range(100)))
        assert len(sandbox.requests.of(status=429)) == 0


async def test_another_program_of_the_tenant_costs_few_refusals_and_no_call() -> None:
    """When others spend from the same budget, every call still succeeds, with a few 429s."""
    async with Sandbox(queues=5, tenant_limit=20, route_limit=None) as sandbox, sandbox.client() as client:
        queue_id = int(str(sandbox.queues[0]["callinId"]))

        async def rival() -> None:
            async with sandbox.client() as other:
                for _ in range(30):
                    await other.queues.get_inbound(queue_id)
                    await asyncio.sleep(1.7)

        await asyncio.gather(rival(), *(client.queues.get_inbound(queue_id) for _ in range(60)))
        assert len(sandbox.requests.of(status=200)) == 90
        assert len(sandbox.requests.of(status=429)) <= 9


async def test_a_limit_that_changes_during_a_run_is_followed() -> None:
    """A limit that the server raises or lowers costs at most two 429s."""
    async with Sandbox(queues=5, tenant_limit=30, route_limit=None) as sandbox, sandbox.client() as client:
        queue_id = int(str(sandbox.queues[0]["callinId"]))
        for limit in (30, 50, 10, 40):
            sandbox.tenant_limit = limit
            await asyncio.gather(*(client.queues.get_inbound(queue_id) for _ in range(40)))
        assert len(sandbox.requests.of(status=200)) == 160
        assert len(sandbox.requests.of(status=429)) <= 2
