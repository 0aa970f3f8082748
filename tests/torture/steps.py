"""Cancels a call at any await of its own, or of the tasks that it started."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Final, Literal, TypeAlias, TypeVar
from weakref import WeakSet

from attrs import define, field

T = TypeVar("T")

Style: TypeAlias = Literal["once", "twice", "always"]
"""How often it is cancelled: once; again at the next await; or at each await from there on, as anyio does."""

_AGAIN: Final[dict[Style, int]] = {"once": 0, "twice": 1, "always": 1_000_000}


@define(eq=False)
class Steps:
    """Counts the awaits of a call, and cancels it at one of them.

    Attributes:
        at: The await at which it is cancelled, from 1; 0 for none.
        style: How often.
        counted: The awaits until now.
        hit: Whether it was cancelled.
        tasks: Its task, and those that it started.
    """

    at: int = 0
    style: Style = "once"
    counted: int = field(init=False, default=0)
    hit: bool = field(init=False, default=False)
    tasks: "WeakSet[asyncio.Task[Any]]" = field(init=False, factory=WeakSet["asyncio.Task[Any]"])
    _main: "asyncio.Task[Any] | None" = field(init=False, default=None)
    _again: int = field(init=False, default=0)

    async def run(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run the call in a task of its own, and return it when it has ended."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(_counting_tasks)
        token = _steps.set(self)
        try:
            task = loop.create_task(work)
        finally:
            _steps.reset(token)
        self._main = task
        await asyncio.wait([task])
        return task

    def suspended(self, *, of: "asyncio.Task[Any] | None") -> None:
        """Count an await of the running task, and cancel if this is the one."""
        self.counted += 1
        if self.counted == self.at:
            self._again = _AGAIN[self.style]
            asyncio.get_running_loop().call_soon(self._cancel)
        elif self.hit and self._again and of is self._main:
            self._again -= 1
            asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._main is not None and self._main.cancel():
            self.hit = True


_steps: ContextVar[Steps | None] = ContextVar("_steps", default=None)


class _Counted(Coroutine[Any, Any, T]):
    """A coroutine that reports each of its awaits."""

    def __init__(self, inner: Coroutine[Any, Any, T], steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, T]:
        raise NotImplementedError  # only a task runs it

    def send(self, value: Any, /) -> Any:
        return self._step(lambda: self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._step(lambda: self._inner.throw(*error))

    def _step(self, step: Callable[[], Any]) -> Any:
        waits_for = step()
        self._steps.suspended(of=asyncio.current_task())
        return waits_for

    def close(self) -> None:
        self._inner.close()


def _counting_tasks(
    loop: asyncio.AbstractEventLoop, work: "Coroutine[Any, Any, T] | Generator[Any, None, T]", **options: Any
) -> "asyncio.Task[T]":
    steps = _steps.get()
    if steps is None or not isinstance(work, Coroutine):
        return asyncio.Task(work, loop=loop, **options)
    task = asyncio.Task(_Counted(work, steps), loop=loop, **options)
    steps.tasks.add(task)
    return task
