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


async def test_task_that_waited_for_the_page_of_another_gets_its_record() -> None:
    """The list has not ended for it: all wait for one request, and each gets a record."""
    server = Server(records=range(10), pauses=[5])
    pager = server.pager()
    assert sorted(await asyncio.gather(*(anext(pager) for _ in range(4)))) == [0, 1, 2, 3]
    assert server.fetched == [(0, 10)]
