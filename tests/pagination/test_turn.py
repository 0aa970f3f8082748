"""Turns: one task at a time, in order, whoever goes away meanwhile."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from alohub_async.pagination.turn import Turn
from tests.pagination.server import Server


class _Doing:
    """Something to do alone, and who did it."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.done: list[int] = []
        self.busy = 0

    async def do(self, number: int, steps: int) -> None:
        if self.turn.taken:
            await self.turn.wait()
        self.turn.taken = True
        self.busy += 1
        try:
            assert self.busy == 1
            for _ in range(steps):
                await asyncio.sleep(0)
            self.done.append(number)
        finally:
            self.busy -= 1
            self.turn.end()


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.none() | st.integers(0, 7), max_size=30))
def test_one_at_a_time_in_order_whoever_is_cancelled(steps: Sequence[int], cancels: Sequence[int | None]) -> None:
    """All who are not cancelled get their turn, first come first served, alone; and then it is free."""

    async def run() -> None:
        doing = _Doing()
        tasks = [asyncio.create_task(doing.do(number, count)) for number, count in enumerate(steps)]
        for number in cancels:
            if number is None:
                await asyncio.sleep(0)
            elif number < len(tasks):
                tasks[number].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert doing.done == [number for number, result in enumerate(results) if result is None]
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert not doing.turn.taken

    asyncio.run(run())


async def test_tasks_on_one_pager_take_pages_by_turns() -> None:
    """A task that never rests between its records leaves every other page to the other one."""
    pager = Server(records=range(60), pauses=[1]).pager()

    async def take() -> list[int]:
        return [item async for item in pager]

    one, other = await asyncio.gather(take(), take())
    assert sorted([*one, *other]) == [*range(60)]
    assert len(one) == len(other)
