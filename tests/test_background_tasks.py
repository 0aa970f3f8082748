"""Keyed background tasks: which results are kept, and which tasks are cancelled."""

import asyncio
import gc
import threading

import pytest

from alohub_async.background_tasks import BackgroundTasks, wait_until_done


async def _value(number: int, turns: int = 0) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    if number < 0:
        raise LookupError(number)
    return number


async def test_results_are_taken_by_key_or_as_they_come() -> None:
    """The task that finished first comes first; an error is raised when it is taken."""
    tasks: BackgroundTasks[str, int] = BackgroundTasks()
    tasks.start("slow", _value(1, turns=5))
    tasks.start("quick", _value(2))
    tasks.start("bad", _value(-3, turns=2))
    assert (len(tasks), "slow" in tasks, "other" in tasks) == (3, True, False)
    assert await tasks.next_done() == "quick"
    assert await tasks.take("quick") == 2
    assert await tasks.next_done() == "bad"
    with pytest.raises(LookupError):
        await tasks.take("bad")
    assert await tasks.take("slow") == 1
    assert len(tasks) == 0


async def test_release_keeps_what_is_done() -> None:
    """Running tasks are cancelled, failed ones are forgotten."""
    tasks: BackgroundTasks[str, int] = BackgroundTasks()
    for key, number, turns in (("done", 1, 0), ("bad", -1, 0), ("running", 2, 1000)):
        tasks.start(key, _value(number, turns))
    for _ in range(3):
        await asyncio.sleep(0)
    assert sorted(tasks.release()) == ["bad", "running"]
    assert await tasks.take("done") == 1


async def test_nothing_is_released_while_a_caller_waits() -> None:
    """Whether the caller waits for a key or for any task."""
    for wait in ("take", "next_done"):
        tasks: BackgroundTasks[int, int] = BackgroundTasks()
        tasks.start(1, _value(1, turns=20))
        waiter = asyncio.ensure_future(tasks.take(1) if wait == "take" else tasks.next_done())
        await asyncio.sleep(0)
        assert tasks.release() == []
        assert await waiter == 1


async def test_waiter_for_a_cleared_task_is_cancelled() -> None:
    """Whether it waits for a key or for any task."""
    tasks: BackgroundTasks[int, int] = BackgroundTasks()
    for wait in ("take", "next_done"):
        tasks.start(1, _value(1, turns=10**9))
        waiter = asyncio.ensure_future(tasks.take(1) if wait == "take" else tasks.next_done())
        await asyncio.sleep(0)
        await tasks.aclose()
        await asyncio.wait([waiter])
        assert waiter.cancelled()


async def test_cancelled_taker_leaves_the_task_running() -> None:
    """A cancelled caller does not cancel the task."""
    tasks: BackgroundTasks[int, int] = BackgroundTasks()
    tasks.start(1, _value(1, turns=20))
    taker = asyncio.ensure_future(tasks.take(1))
    await asyncio.sleep(0)
    taker.cancel()
    await asyncio.wait([taker])
    assert await tasks.take(1) == 1


async def test_dropped_by_another_thread_it_still_cancels() -> None:
    """The tasks are cancelled in a thread-safe way."""
    held = [BackgroundTasks[int, int]()]
    held[0].start(1, _value(1, turns=10**9))
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_dropped_after_its_loop_it_does_nothing() -> None:
    """Its tasks have ended with the loop."""
    tasks: BackgroundTasks[int, int] = BackgroundTasks()

    async def start() -> None:
        tasks.start(1, _value(1, turns=10**9))

    asyncio.run(start())
    tasks.clear()

    async def again() -> int:
        assert 1 not in tasks
        tasks.start(1, _value(7))
        return await tasks.take(1)

    assert asyncio.run(again()) == 7


async def test_closing_waits_however_often_it_is_cancelled() -> None:
    """Tasks that take a while to end have ended when `aclose` does; only then is the cancellation raised."""
    tasks: BackgroundTasks[int, int] = BackgroundTasks()
    ended: list[int] = []

    async def slow_to_end(number: int) -> int:
        try:
            return await _value(number, turns=10**9)
        finally:
            await _value(number, turns=20)
            ended.append(number)

    for number in (1, 2):
        tasks.start(number, slow_to_end(number))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(tasks.aclose())
    for _ in range(10):
        await asyncio.sleep(0)
        closing.cancel()
    assert ended == []
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert sorted(ended) == [1, 2]


async def test_waiting_reports_no_error_that_nobody_takes() -> None:
    """A cancelled caller takes no results, and their errors are not logged as lost."""
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    works = [asyncio.ensure_future(_value(number, turns=5)) for number in (1, -1)]
    waiting = asyncio.ensure_future(wait_until_done(works))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert all(work.done() for work in works)
    del works, waiting
    gc.collect()
    assert lost == []
