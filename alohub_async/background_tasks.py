"""Keyed background tasks that are cancelled when their consumer goes away."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterable, KeysView
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


async def wait_until_done(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all have ended. If the caller is cancelled, however often, they still end first; none is cancelled."""
    cancellation: asyncio.CancelledError | None = None
    waited_for = [*futures]
    while running := [future for future in waited_for if not future.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as exc:
            cancellation = cancellation or exc
    if cancellation is not None:
        for future in waited_for:
            if not future.cancelled():
                future.exception()  # marks it as retrieved
        raise cancellation


class BackgroundTasks(Generic[K, T]):
    """A set of tasks by key; the caller decides how many there are.

    A result is kept until it is taken. `release`, or dropping the object, cancels the tasks that still run. The error
    of a task that nobody takes is not reported as an exception that was never retrieved.
    """

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[T]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: deque[K] = deque()  # in the order in which they finished; with keys that were taken already
        self._waiters: list[asyncio.Future[None]] = []  # of callers that wait for a task to end

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: K) -> bool:
        return key in self.keys()

    def keys(self) -> KeysView[K]:
        """Return a live view of the keys of all tasks that were not taken."""
        self._enter()
        return self._tasks.keys()

    def _enter(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop; forget the tasks of another one: they ended with it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._finished, self._waiters = loop, deque(), []
            self._tasks.clear()
        return loop

    def start(self, key: K, work: Coroutine[Any, Any, T]) -> None:
        """Start a task; there must be none with this key."""
        task = self._tasks[key] = self._enter().create_task(work)
        finished, waiters = self._finished, self._waiters  # not self, which must be free to go while the task runs

        def note(done: asyncio.Task[T]) -> None:
            if not done.cancelled():
                done.exception()  # marks it as retrieved, in case nobody takes it
                finished.append(key)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

        task.add_done_callback(note)

    async def take(self, key: K) -> T:
        """Wait for a task, which continues if the caller is cancelled, remove it, and return its result."""
        task = self._tasks[key]
        while not task.done():
            await self._wait()
        self._tasks.pop(key, None)
        while self._finished and self._finished[0] not in self._tasks:
            self._finished.popleft()
        try:
            return task.result()
        finally:
            del task  # it has the error, whose traceback has this frame: a cycle would keep everything alive

    async def next_done(self) -> K:
        """Wait for the first task to finish, and return its key; a CancelledError if there is none, or all were."""
        self._enter()
        while self._tasks:
            for key in self._finished:
                if key in self._tasks and self._tasks[key].done():
                    return key
            await self._wait()
        raise asyncio.CancelledError

    async def _wait(self) -> None:
        waiters, waiter = self._waiters, asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            waiters.remove(waiter)

    def release(self) -> list[K]:
        """Cancel running tasks, forget failed ones, and return their keys; none if one is awaited."""
        if self._waiters:
            return []
        unwanted = [
            key
            for key, task in self._tasks.items()
            if not task.done() or task.cancelled() or task.exception() is not None
        ]
        self._cancel([self._tasks.pop(key) for key in unwanted])
        return unwanted

    def clear(self) -> None:
        """Cancel the running tasks, and forget all results."""
        self._cancel(self._tasks.values())
        self._tasks.clear()

    async def aclose(self) -> None:
        """Cancel all tasks but the caller's, wait until they have ended, and forget the results."""
        self._enter()
        tasks = {*self._tasks.values()} - {asyncio.current_task()}
        self._tasks.clear()
        self._cancel(tasks)
        await wait_until_done(tasks)

    def _cancel(self, tasks: Iterable[asyncio.Task[T]]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        for task in [task for task in tasks if not task.done()]:
            if here:
                task.cancel()
            else:  # dropped by another thread, or between two runs of the loop
                loop.call_soon_threadsafe(task.cancel)

    def __del__(self) -> None:
        self.clear()


class Caught(AbstractContextManager["Caught"]):
    """Keeps and suppresses the first error of its blocks, unless it is `spared`: what fails is another's code."""

    error: Exception | None = None
    spared: tuple[type[Exception], ...] = ()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, self.spared):
            return False
        self.error = self.error or error
        return True


class DroppableIterator(AsyncIterator[T]):
    """Iterator that releases what works for it in the background when it is dropped."""

    def __init__(self, step: Callable[[], Awaitable[T]], release: Callable[[], object]) -> None:
        self._step = step
        self._release = release

    def __anext__(self) -> Awaitable[T]:
        return self._step()

    def __del__(self) -> None:
        self._release()


class AsyncOnly:
    """Says how to iterate over an object where a program does it in a way that does not work."""

    _right_way: ClassVar[str]

    if not TYPE_CHECKING:  # type checkers report these without them

        def __await__(self) -> NoReturn:
            raise self._wrong_way("'await'")

        def __iter__(self) -> NoReturn:
            raise self._wrong_way("'for' without 'async'")

        def __len__(self) -> NoReturn:
            raise self._wrong_way("len()")

        def __bool__(self) -> bool:
            return True  # without asking `__len__`

    def _wrong_way(self, what: str) -> TypeError:
        return TypeError(f"{what} does not work on {type(self).__name__}, which makes requests: {self._right_way}")
