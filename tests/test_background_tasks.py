"""Tasks that run ahead of who takes their results: what is kept, what is cut off, and from where."""

import asyncio
import threading

import pytest

from alohub_async.background_tasks import BackgroundTasks


async def _value(number: int, turns: int = 0) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    if number < 0:
        raise LookupError(number)
    return number


async def test_results_are_taken_by_key_or_as_they_come() -> None:
    """The one that was done first is named first; an error is raised where it is taken."""
    ahead: BackgroundTasks[str, int] = BackgroundTasks()
    ahead.start("slow", _value(1, turns=5))
    ahead.start("quick", _value(2))
    ahead.start("bad", _value(-3, turns=2))
    assert (len(ahead), "slow" in ahead, "other" in ahead) == (3, True, False)
    assert await ahead.next_done() == "quick"
    assert await ahead.take("quick") == 2
    assert await ahead.next_done() == "bad"
    with pytest.raises(LookupError):
        await ahead.take("bad")
    assert await ahead.take("slow") == 1
    assert len(ahead) == 0


async def test_release_keeps_what_is_done() -> None:
    """What is under way is cancelled, what failed is forgotten, one may be left alone."""
    ahead: BackgroundTasks[str, int] = BackgroundTasks()
    for key, number, turns in (("done", 1, 0), ("bad", -1, 0), ("under way", 2, 1000), ("kept", 3, 20)):
        ahead.start(key, _value(number, turns))
    for _ in range(3):
        await asyncio.sleep(0)
    assert sorted(ahead.release(keep="kept")) == ["bad", "under way"]
    assert await ahead.take("done") == 1
    assert await ahead.take("kept") == 3


async def test_nothing_is_released_under_somebody_who_waits() -> None:
    """Neither under one who waits for a key nor under one who waits for any."""
    for wait in ("take", "next_done"):
        ahead: BackgroundTasks[int, int] = BackgroundTasks()
        ahead.start(1, _value(1, turns=20))
        waiter = asyncio.ensure_future(ahead.take(1) if wait == "take" else ahead.next_done())
        await asyncio.sleep(0)
        assert ahead.release() == []
        assert await waiter == 1


async def test_who_waits_for_what_is_cleared_is_cancelled() -> None:
    """Both who waits for a key and who waits for any."""
    ahead: BackgroundTasks[int, int] = BackgroundTasks()
    for wait in ("take", "next_done"):
        ahead.start(1, _value(1, turns=10**9))
        waiter = asyncio.ensure_future(ahead.take(1) if wait == "take" else ahead.next_done())
        await asyncio.sleep(0)
        await ahead.aclose()
        await asyncio.wait([waiter])
        assert waiter.cancelled()


async def test_cancelled_taker_leaves_the_task_running() -> None:
    """Who gives up waiting takes nothing with it."""
    ahead: BackgroundTasks[int, int] = BackgroundTasks()
    ahead.start(1, _value(1, turns=20))
    taker = asyncio.ensure_future(ahead.take(1))
    await asyncio.sleep(0)
    taker.cancel()
    await asyncio.wait([taker])
    assert await ahead.take(1) == 1


async def test_dropped_by_another_thread_it_cancels_all_the_same() -> None:
    """The event loop is told in a way that is safe from there."""
    held = [BackgroundTasks[int, int]()]
    held[0].start(1, _value(1, turns=10**9))
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_dropped_after_its_loop_it_does_nothing() -> None:
    """What ran there is gone."""
    ahead: BackgroundTasks[int, int] = BackgroundTasks()

    async def start() -> None:
        ahead.start(1, _value(1, turns=10**9))

    asyncio.run(start())
    ahead.clear()

    async def again() -> int:
        assert 1 not in ahead
        ahead.start(1, _value(7))
        return await ahead.take(1)

    assert asyncio.run(again()) == 7
