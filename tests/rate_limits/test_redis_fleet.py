"""Processes that share one budget: no 429, and fair shares."""

import asyncio

import pytest

from alohub_async.testing.windows import WindowKind
from tests.rate_limits.fleet import Fleet, Gateway, keep_busy


@pytest.mark.parametrize("kind", ["sliding-log", "sliding-counter", "token-bucket"])
async def test_processes_never_exceed_the_budget_together(fleet: Fleet, kind: WindowKind) -> None:
    """They use most of it, in alike parts."""
    gateway = Gateway(kind, 20)
    limiters = [await fleet.process() for _ in range(3)]
    served = await asyncio.gather(*(keep_busy(gateway, limiter, 2.0) for limiter in limiters))
    assert gateway.denied == 0
    assert sum(served) > 40  # of 80
    assert min(served) > 0.3 * max(served)  # exact shares are those of a log


async def test_a_process_gets_a_part_by_its_weight(fleet: Fleet) -> None:
    """One with three times the weight gets three times as much, about."""
    gateway = Gateway("sliding-log", 24)
    limiters = [await fleet.process(weight=weight) for weight in (3.0, 1.0)]
    heavy, light = await asyncio.gather(*(keep_busy(gateway, limiter, 2.0, tasks=24) for limiter in limiters))
    assert gateway.denied == 0
    assert 2 * light < heavy < 5 * light


async def test_bulk_work_leaves_a_share_to_another_process(fleet: Fleet) -> None:
    """While both wait, the one with bulk work gets most, and the other a fifth at least."""
    gateway = Gateway("sliding-log", 20)
    export, service = await fleet.process(), await fleet.process()
    bulk, normal = await asyncio.gather(
        keep_busy(gateway, export, 2.0, tasks=20, priority="bulk"), keep_busy(gateway, service, 2.0, tasks=4)
    )
    assert gateway.denied == 0
    assert normal >= 12
    assert bulk > normal


async def test_what_one_process_learns_holds_for_another_that_joins(fleet: Fleet) -> None:
    """The second one knows that nothing is left, and sends none."""
    gateway = Gateway("sliding-log", 5, seconds=30.0)
    first, second = await fleet.process(window=30.0), await fleet.process(window=30.0)
    for _ in range(5):
        await gateway.call(first)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await gateway.call(second)
    assert gateway.denied == 0
    assert second.status().tenant.limit == 5
