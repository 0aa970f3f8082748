"""Work that runs ahead of who takes its results, and leaves nothing behind when nobody wants them any more."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Hashable, Iterable, KeysView
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class BackgroundTasks(Generic[K, T]):
    """A set of tasks by key. How many there may be is up to who starts them.

    Results stay until they are taken. `release`, or dropping the object, cancels what is still under way; an error that
    nobody took is never reported as one that was never retrieved.
    """

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[T]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: deque[K] = deque()  # in that order; with keys that were taken already
        self._news = asyncio.Event()
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: K) -> bool:
        return key in self.keys()

    def keys(self) -> KeysView[K]:
        """Those of all that is there, as they are at any time."""
        self._enter()
        return self._tasks.keys()

    def _enter(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what ran in another loop died with it
            self._loop, self._finished, self._news = loop, deque(), asyncio.Event()
            self._tasks.clear()
        return loop

    def start(self, key: K, work: Coroutine[Any, Any, T]) -> None:
        """Run it; there must be nothing of that key."""
        task = self._enter().create_task(work)
        self._tasks[key] = task
        finished, news = self._finished, self._news  # not self, which must be free to go while the task runs

        def note(done: asyncio.Task[T]) -> None:
            if not done.cancelled():
                done.exception()  # taken note of, should nobody take it
                finished.append(key)
            news.set()

        task.add_done_callback(note)

    async def take(self, key: K) -> T:
        """Wait for this one and take it out; its error is raised, and is out too. If cancelled, it runs on."""
        self._enter()
        task = self._tasks[key]
        if not task.done():
            self._waiting += 1
            try:
                while not task.done():
                    self._news.clear()
                    await self._news.wait()
            finally:
                self._waiting -= 1
        self._tasks.pop(key, None)
        while self._finished and self._finished[0] not in self._tasks:
            self._finished.popleft()
        try:
            return task.result()
        finally:
            del task  # which has the error, whose traceback has this frame: a cycle would keep all of it alive

    async def next_done(self) -> K:
        """Wait until any is done, and say which: the one that was first.

        Raises:
            asyncio.CancelledError: There is none, or none any more.
        """
        self._enter()
        self._waiting += 1
        try:
            while self._tasks:
                for key in self._finished:
                    if key in self._tasks and self._tasks[key].done():
                        return key
                self._news.clear()
                await self._news.wait()
            raise asyncio.CancelledError
        finally:
            self._waiting -= 1

    def release(self, *, keep: K | None = None) -> list[K]:
        """Cancel what is under way and forget what failed, unless somebody waits for it; say which those were.

        Args:
            keep: One that is left alone.
        """
        if self._waiting:
            return []
        unwanted = {
            key: task
            for key, task in self._tasks.items()
            if key != keep and (not task.done() or task.cancelled() or task.exception() is not None)
        }
        self._cancel(task for task in unwanted.values() if not task.done())
        for key in unwanted:
            del self._tasks[key]
        return [*unwanted]

    def clear(self) -> None:
        """Cancel what is under way, and forget all results."""
        self._cancel(task for task in self._tasks.values() if not task.done())
        self._tasks.clear()

    async def aclose(self) -> None:
        """Cancel all, wait until it is gone, and forget the results."""
        self._enter()
        tasks = [*self._tasks.values()]
        self.clear()
        if tasks:
            await asyncio.wait(tasks)

    def _cancel(self, tasks: Iterable[asyncio.Task[T]]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        for task in tasks:
            if here:
                task.cancel()
            else:  # dropped by another thread, or between two runs of the loop
                loop.call_soon_threadsafe(task.cancel)

    def __del__(self) -> None:
        self.clear()
