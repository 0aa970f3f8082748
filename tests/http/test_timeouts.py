"""Time limits end operations like `asyncio.timeout` does, tested on a loop with simulated time."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.http.timeouts import TimeLimit, TimeLimits

pytestmark = pytest.mark.looptime


def _limits() -> TimeLimits:
    return TimeLimits(asyncio.get_running_loop())


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_slow_operation_raises_at_its_limit() -> None:
    """`TimeoutError` is raised exactly at the limit."""
    started = _now()
    with pytest.raises(TimeoutError), TimeLimit(_limits(), 3):
        await asyncio.sleep(5)
    assert _now() - started == pytest.approx(3)


async def test_operation_that_ends_in_time_is_not_cancelled() -> None:
    """The task is not cancelled later either."""
    limits = _limits()
    with TimeLimit(limits, 3):
        await asyncio.sleep(2)
    await asyncio.sleep(5)
    assert not limits.running


async def test_error_of_the_operation_is_propagated() -> None:
    """Its limit ends with it."""
    limits = _limits()
    with pytest.raises(KeyError), TimeLimit(limits, 3):
        raise KeyError
    assert not limits.running


async def test_cancellation_from_outside_is_propagated() -> None:
    """It is no timeout, even if the limit expires at the same time."""
    limits = _limits()
    for seconds in (1, 3):

        async def work() -> None:
            with TimeLimit(limits, 3):
                await asyncio.sleep(5)

        task = asyncio.create_task(work())
        asyncio.get_running_loop().call_later(seconds, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_task_can_continue_after_a_timeout() -> None:
    """Its cancellation is undone, so `asyncio.timeout` and task groups work in it."""
    with pytest.raises(TimeoutError), TimeLimit(_limits(), 1):
        await asyncio.sleep(5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.sleep(5)


async def test_operation_that_ends_as_its_limit_expires_leaves_no_cancellation() -> None:
    """The cancellation is undone, whether or not the operation caught it."""
    with TimeLimit(_limits(), 1), contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_nested_limits() -> None:
    """The first to expire raises, and the other stays active."""
    limits = _limits()

    async def work() -> None:
        with pytest.raises(TimeoutError), TimeLimit(limits, 1):
            await asyncio.sleep(5)
        assert _now() < 2
        await asyncio.sleep(5)

    with pytest.raises(TimeoutError), TimeLimit(limits, 3):
        await work()


async def test_limit_outside_of_a_task_is_refused() -> None:
    """The error says that a task is needed."""
    limits = _limits()
    said: list[str] = []

    def enter() -> None:
        try:
            TimeLimit(limits, 1)
        except RuntimeError as error:
            said.append(str(error))

    asyncio.get_running_loop().call_soon(enter)
    await asyncio.sleep(0)
    assert said == ["a time limit must be used inside a task"]


async def test_all_limits_share_one_timer() -> None:
    """A thousand consecutive limits set one timer once."""
    limits = _limits()
    started = [handle for handle in _timers() if not handle.cancelled()]
    for _ in range(1000):
        with TimeLimit(limits, 60):
            await asyncio.sleep(0)
    assert len(_timers()) == len(started) + 1
    limits.close()
    assert all(handle.cancelled() for handle in _timers() if handle not in started)


def _timers() -> list[asyncio.TimerHandle]:
    loop: Any = asyncio.get_running_loop()
    return [*loop._scheduled]  # noqa: SLF001  (asyncio has no public way to see them)


works = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(0, 20)), max_size=30)


@given(works)
async def test_each_ends_when_its_own_time_is_over(works: list[tuple[int, int, int]]) -> None:
    """Concurrent operations with any start and limit each end in time or raise at their limit."""
    limits = _limits()

    async def work(begin: int, limit: int, takes: int) -> tuple[bool, float]:
        await asyncio.sleep(begin)
        started = _now()
        try:
            with TimeLimit(limits, limit + 0.5):
                await asyncio.sleep(takes)
        except TimeoutError:
            return False, round(_now() - started, 3)
        return True, round(_now() - started, 3)

    took = await asyncio.gather(*(work(*each) for each in works))
    assert took == [(takes <= limit, takes if takes <= limit else limit + 0.5) for _, limit, takes in works]


lives = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.lists(st.integers(0, 6), max_size=6)), max_size=10)


@given(lives)
async def test_idle_time_counts_from_the_last_activity(lives: list[tuple[int, int, list[int]]]) -> None:
    """It starts with the first activity, and never extends the total time."""
    limits = _limits()

    async def live(begin: int, idle: int, pauses: list[int]) -> float:
        await asyncio.sleep(begin)
        started = _now()
        with (
            contextlib.suppress(TimeoutError),
            TimeLimit(limits, 12.5, idle=idle + 0.5) as limit,
        ):
            for pause in pauses:
                await asyncio.sleep(pause)
                limit.alive()
            await asyncio.sleep(100)
        return round(_now() - started, 3)

    def expected(idle: float, pauses: list[int]) -> float:
        at = 0
        for number, pause in enumerate(pauses):
            if number and pause > idle:
                break
            at += pause
        return min(12.5, at + idle) if pauses else 12.5

    took = await asyncio.gather(*(live(*each) for each in lives))
    assert took == [expected(idle + 0.5, pauses) for _, idle, pauses in lives]
