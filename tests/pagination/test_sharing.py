"""One pager, several tasks."""

import asyncio

from tests.pagination.server import Server


async def test_tasks_on_one_pager_take_pages_by_turns() -> None:
    """A task that never waits between its records leaves every other page to the other task."""
    pager = Server(records=range(60), pauses=[1]).pager()

    async def take() -> list[int]:
        return [item async for item in pager]

    one, other = await asyncio.gather(take(), take())
    assert sorted([*one, *other]) == [*range(60)]
    assert len(one) == len(other)
