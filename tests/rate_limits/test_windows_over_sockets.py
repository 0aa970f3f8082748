"""The client against a server with each kind of window, over real sockets, on a loop whose time does not wait."""

import asyncio
from typing import get_args

import pytest

from alohub_async.testing import Sandbox, WindowKind
from alohub_async.testing.settings import HeaderStyle

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("header_style", get_args(HeaderStyle))
@pytest.mark.parametrize("kind", get_args(WindowKind))
async def test_a_burst_draws_no_429_from_any_kind_of_window(kind: WindowKind, header_style: HeaderStyle) -> None:
    """Whatever the server counts by, a hundred calls at once are all served and none is refused."""
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
        # Four windows at the least, and each of two scopes may lose one while the server is learnt.
        assert asyncio.get_running_loop().time() < (100 / 20 - 1 + 2) * 10 * 1.1


async def test_refusals_that_count_against_the_client_do_not_lock_it_out() -> None:
    """A weighted counter that counts refused requests too is not hammered."""
    async with (
        Sandbox(queues=5, window_kind="sliding-counter", count_denied=True, tenant_limit=10, route_limit=10) as sandbox,
        sandbox.client() as client,
    ):
        queue_id = int(str(sandbox.queues[0]["callinId"]))
        await asyncio.gather(*(client.queues.get_inbound(queue_id) for _ in range(100)))
        assert len(sandbox.requests.of(status=429)) == 0


async def test_another_program_of_the_tenant_costs_few_refusals_and_no_call() -> None:
    """When others spend from the same budget, every call still succeeds, with a 429 here and there."""
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


async def test_a_budget_that_changes_mid_run_is_followed() -> None:
    """Limits raised and lowered by the server cost nothing but the time they take."""
    async with Sandbox(queues=5, tenant_limit=30, route_limit=None) as sandbox, sandbox.client() as client:
        queue_id = int(str(sandbox.queues[0]["callinId"]))
        for limit in (30, 50, 10, 40):
            sandbox.tenant_limit = limit
            await asyncio.gather(*(client.queues.get_inbound(queue_id) for _ in range(40)))
        assert len(sandbox.requests.of(status=200)) == 160
        assert len(sandbox.requests.of(status=429)) <= 2
