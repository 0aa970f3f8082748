"""The sandbox in its own thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from alohub_async import APIConnectionError, RetryPolicy
from alohub_async.testing import Sandbox
from tests.support import FIRST, LIST

ONCE = RetryPolicy(max_retries=0)


async def _count(sandbox: Sandbox) -> int | None:
    async with sandbox.client(retry=ONCE) as client:
        return await client.queues.list_inbound().count()


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "alohub-sandbox"]


def test_sandbox_serves_one_loop_after_the_other() -> None:
    """It runs, with its thread, as long as the block. Its data is kept, and it can be started again."""
    sandbox = Sandbox(queues=3)
    for _ in range(2):
        with sandbox:
            assert [asyncio.run(_count(sandbox)), asyncio.run(_count(sandbox))] == [3, 3]
            assert _threads() == ["alohub-sandbox"]
        assert _threads() == []
        with pytest.raises(RuntimeError, match="not running"):
            _ = sandbox.url
    assert len(sandbox.requests) == 4


def test_port_in_use_is_an_error() -> None:
    """An error in the thread is raised where the thread was started, and no thread is left."""
    with Sandbox() as first:
        second = Sandbox(port=first.url.port or 0)
        with pytest.raises(OSError, match="address already in use"), second:
            pytest.fail("it is running")
        with pytest.raises(RuntimeError, match="already running"), first:
            pytest.fail("it is running twice")
        assert asyncio.run(_count(first)) == 250
    assert _threads() == []


async def test_server_can_be_closed_during_a_test() -> None:
    """`close` works in the test's event loop. The server is not reachable afterwards."""
    with Sandbox(queues=3) as sandbox:
        async with sandbox.client(retry=ONCE) as client:
            await client.queues.get_inbound(FIRST)
            await sandbox.close()
            with pytest.raises(APIConnectionError):
                await client.queues.get_inbound(FIRST)
    assert _threads() == []


def test_environment_variables() -> None:
    """`env` has the variables that `from_env` reads."""
    with Sandbox(queues=3, tenant_id="7") as sandbox:
        assert sandbox.env == {
            "ALOHUB_BASE_URL": str(sandbox.url),
            "ALOHUB_API_KEY": sandbox.api_key,
            "ALOHUB_TENANT_ID": "7",
        }


async def test_any_thread_may_use_it_while_it_runs() -> None:
    """Several threads use log, faults, moves, keys and details under load. Nothing is lost or inconsistent."""
    with Sandbox(queues=200, tenant_limit=None, route_limit=None) as sandbox:
        new = sandbox.insert_queue(index=200)
        actions: list[Callable[[], object]] = [
            lambda: [request.status for request in sandbox.requests.of(page=0)],
            lambda: sandbox.fail(status=404, path=f"{LIST}/{FIRST}"),
            lambda: sandbox.insert_queue(before_page=7),
            lambda: sandbox.remove_queue(sandbox.insert_queue(index=200)),
            lambda: sandbox.set_detail(new, {"timeWait": "1"}),
            lambda: sandbox.revoke_key(sandbox.add_key()),
        ]

        def work(action: Callable[[], object]) -> None:
            for _ in range(100):
                action()

        with ThreadPoolExecutor(len(actions)) as pool:
            futures = [pool.submit(work, action) for action in actions]
            async with sandbox.client(retry=ONCE) as client:
                for _ in range(5):
                    await client.queues.list_inbound(page_size=20).collect()
                assert (await client.queues.get_inbound(new)).id == new
        for future in futures:
            future.result()
        assert {request.status for request in sandbox.requests} == {200}
        assert (sandbox.faults_left, len(sandbox.queues) + sandbox.moves_left) == (100, 301)
