"""Each call is cancelled at each await, once, twice and always: nothing is left, and it goes on to the whole."""

import asyncio
import tempfile
from contextlib import suppress
from typing import Any, Final, get_args

import pytest
from attrs import frozen

from alohub_async import AlohubClient, AlohubError
from alohub_async.testing import Sandbox
from tests.torture.harness import Torture
from tests.torture.scenarios import QUEUES, SCENARIOS, Export
from tests.torture.steps import Steps, Style
from tests.torture.world import World, bounded, check_idle, tried, within

_LATENCY: Final = 0.1
_SLOTS: Final = 3
_MOST: Final = 600.0  # seconds of the loop's clock for going on: some windows of the rate limit
_POINTS: Final = 6  # of each scenario in the short mode


@frozen
class Cancelled:
    """A point.

    Attributes:
        scenario: The call.
        at: The await at which it is cancelled.
        style: How often.
        limit: Requests in a window, so that calls wait for the limiter; None for no limit.
    """

    scenario: str
    at: int = 0
    style: Style = "once"
    limit: int | None = None


@pytest.mark.parametrize("limit", [None, 4], ids=["free", "limited"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cancelled_at_each_await(torture: Torture, scenario: str, limit: int | None) -> None:
    """Cancelled at any await, a call ends as cancelled, leaves nothing, and can be repeated or continued."""
    counted: list[int] = []
    assert not tried(lambda world: _run(world, Cancelled(scenario, limit=limit), counted))
    points = {
        f"cancelled/{scenario}/{'limited' if limit else 'free'}/{style}/{at}": Cancelled(scenario, at, style, limit)
        for at in range(1, counted[0] + 1)
        for style in get_args(Style)
    }
    torture.try_points(points, lambda point: tried(lambda world: _run(world, point, [])), short=_POINTS)


async def _run(world: World, point: Cancelled, counted: list[int]) -> None:
    settings: dict[str, Any] = {"queues": QUEUES, "tenant_limit": point.limit, "route_limit": None, "latency": _LATENCY}
    async with Sandbox(**settings) as sandbox, sandbox.client(max_connections=_SLOTS) as client:
        scenario = SCENARIOS[point.scenario](client, sandbox, world.folder)
        steps = Steps(point.at, point.style)
        with bounded(world, seconds=2, megabytes=20):
            task = await steps.run(scenario.act())
        counted.append(steps.counted)
        world.check_threads()
        world.check_folder(Export.FILES)
        with tempfile.TemporaryFile() as bystander:  # it has the next free descriptor
            _check_end(world, task, steps)
            await _check_rest(world, client, sandbox, steps)
            async with within(world, _MOST, "going on"):
                try:
                    world.wrong += await scenario.finish(client)
                except AlohubError as error:
                    world.wrong.append(f"going on failed: {error!r}")
            world.check(not bystander.read(), "something was written into another file")
        await _check_slots(world, client, sandbox)


def _check_end(world: World, task: "asyncio.Task[None]", steps: Steps) -> None:
    """A cancelled call is cancelled, and no other ends badly."""
    if steps.hit:
        world.check(task.cancelled(), "the cancellation was swallowed")
    else:
        world.check(not task.cancelled(), "it was cancelled by itself")
    if not task.cancelled() and task.exception() is not None:
        world.wrong.append(f"it failed: {task.exception()!r}")


async def _check_rest(world: World, client: AlohubClient, sandbox: Sandbox, steps: Steps) -> None:
    """Nothing runs, waits or is sent any more."""
    await asyncio.sleep(3 * _LATENCY)  # requests in flight have arrived
    running = [task.get_coro() for task in steps.tasks if not task.done()]
    world.check(not running, f"tasks still run: {running}")
    check_idle(world, client)
    sent = len(sandbox.requests)
    await asyncio.sleep(100)
    world.check(len(sandbox.requests) == sent, f"{len(sandbox.requests) - sent} requests were sent afterwards")


async def _check_slots(world: World, client: AlohubClient, sandbox: Sandbox) -> None:
    """As many requests as there are slots are in flight at the same time."""
    ids = [int(str(queue["callinId"])) for queue in sandbox.queues[:_SLOTS]]
    with suppress(AlohubError):
        async with within(world, _MOST, "a call afterwards"):
            await asyncio.sleep(100)  # the budget is full again
            await client.queues.get_inbound(ids[0])  # the limiter sends one before it sends many
            started = asyncio.get_running_loop().time()
            await asyncio.gather(*(client.queues.get_inbound(queue_id) for queue_id in ids))
            took = asyncio.get_running_loop().time() - started
            world.check(
                took < 1.5 * _LATENCY, f"not all slots are free: {_SLOTS} requests took {took / _LATENCY:.0f} trips"
            )
    check_idle(world, client)
