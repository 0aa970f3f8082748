"""Connection slots: their number is never exceeded, and none is lost."""

import asyncio

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alohub_async.http.transport import Connections

pytestmark = pytest.mark.looptime

PLACES = 3


class Users:
    """Tasks that hold connection slots.

    Attributes:
        connections: The connections whose slots are used.
        inside: Number of tasks that hold a slot.
        most: Highest number of such tasks so far.
    """

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.inside = 0
        self.most = 0

    async def use(self, seconds: float) -> None:
        """Hold a slot, as the requestor does."""
        if self.connections.free_slots:
            self.connections.free_slots -= 1
        else:
            await self.connections.wait_for_slot()
        try:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(seconds)
        finally:
            self.inside -= 1
            self.connections.release_slot()


# When a task starts, how long it holds its slot, and when it is cancelled. Many of these times coincide.
visits = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.none() | st.integers(0, 8)), max_size=20)


@given(visits)
@example([(0, 1, None)] * PLACES + [(0, 1, 1)] * 3)
async def test_places_are_neither_exceeded_nor_lost(visits: list[tuple[int, int, int | None]]) -> None:
    """Tasks start, finish and are cancelled at any time, even when a slot was just granted to them."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        users = Users(Connections(session, PLACES, lent=True))
        started = loop.time()

        async def visit(comes: int, stays: int, cancelled: int | None) -> None:
            await asyncio.sleep(comes)
            task = asyncio.create_task(users.use(stays))
            if cancelled is not None:
                loop.call_at(started + cancelled, task.cancel)
            await asyncio.wait([task])

        await asyncio.gather(*(visit(*each) for each in visits))
        assert users.inside == 0
        assert users.most <= PLACES
        began = loop.time()
        await asyncio.gather(*(users.use(1) for _ in range(2 * PLACES)))
        assert users.most <= PLACES
        assert loop.time() - began == pytest.approx(2)  # all slots are free


async def test_oldest_waiter_gets_the_slot_first() -> None:
    """A new task does not overtake those that wait."""
    async with aiohttp.ClientSession() as session:
        users = Users(Connections(session, 1, lent=True))
        order: list[int] = []

        async def use(number: int) -> None:
            await asyncio.sleep(number / 10)
            await users.use(1)
            order.append(number)

        await asyncio.gather(*(use(number) for number in range(12)))
        assert order == [*range(12)]
