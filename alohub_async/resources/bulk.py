"""Concurrent calls: a bounded number of tasks over any number of arguments, and an outcome for each."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any, ClassVar, Final, Generic, Literal, NoReturn, TypeAlias, TypeVar

import attrs

from alohub_async.background_tasks import AsyncOnly, BackgroundTasks, DroppableIterator
from alohub_async.errors import (
    AlohubError,
    AuthenticationError,
    ClientClosedError,
    DeadlineExceededError,
    PermissionDeniedError,
    RateLimitWaitError,
)
from alohub_async.options import BulkOptions, Deadline

A = TypeVar("A")
T = TypeVar("T")
OutcomeT = TypeVar("OutcomeT")
"""What calls return: a value or an error, which is in its attribute `error`."""


@attrs.frozen
class Succeeded(Generic[T]):
    """The outcome of one of many calls, which succeeded.

    Attributes:
        id: The record's id, as given.
        value: The result of the call.
        attempts: Transmissions made.
        error: None.
        ok: True.
    """

    id: int
    value: T
    attempts: int
    error: ClassVar[None] = None
    ok: ClassVar[Literal[True]] = True

    def unwrap(self) -> T:
        """Return the result of the call."""
        return self.value


@attrs.frozen
class Failed:
    """The outcome of one of many calls, which failed.

    Attributes:
        id: The record's id, as given.
        error: The error of the call.
        attempts: Transmissions made; 0 if nothing was sent.
        value: None.
        ok: False.
    """

    id: int
    error: AlohubError
    attempts: int
    value: ClassVar[None] = None
    ok: ClassVar[Literal[False]] = False

    def unwrap(self) -> NoReturn:
        """Raise the error of the call."""
        raise self.error


Outcome: TypeAlias = Succeeded[T] | Failed
"""The outcome of one of many calls; `outcome.error is None` tells the two apart, for type checkers as well."""


async def outcome_of(
    record_id: int, call: Callable[..., Awaitable[tuple[T, int]]], deadline: Deadline, *arguments: Any
) -> Outcome[T]:
    """Return the outcome of a call about a record, which returns a value and its number of transmissions."""
    try:
        value, attempts = await call(record_id, *arguments, deadline.next_call())
    except AlohubError as error:
        return Failed(record_id, error, error.attempts)
    return Succeeded(record_id, value, attempts)


COMMON_ERRORS: Final = (AuthenticationError, ClientClosedError, DeadlineExceededError, RateLimitWaitError)
"""Errors of one call that the other calls would have, too."""


class _Crew(Generic[OutcomeT]):
    """Tasks that each make one call after the other, and what they have done. It does not keep its `Outcomes`."""

    def __init__(
        self,
        arguments: Iterable[Any] | AsyncIterable[Any],
        call: Callable[[Any], Coroutine[Any, Any, OutcomeT]],
        options: BulkOptions,
    ) -> None:
        self._later: AsyncIterator[Any] | None = aiter(arguments) if isinstance(arguments, AsyncIterable) else None
        self._source = iter(() if isinstance(arguments, AsyncIterable) else arguments)
        self._call = call
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers: BackgroundTasks[int, None] = BackgroundTasks()
        self._running = set[int]()  # keys of the workers, without those that are cancelled
        self._started = 0
        self._reading: BackgroundTasks[int, Any] = BackgroundTasks()
        self._lock = asyncio.Lock()  # of reading
        self._waiters: list[asyncio.Future[None]] = []  # of callers
        self._taken = 0
        self.ended: list[int] = []  # keys of workers
        self.jobs: dict[int, Any] = {}  # arguments of calls that are not returned, by number, in order
        self.again: list[int] = []  # of these, the cancelled ones
        self.done: dict[int, tuple[OutcomeT, asyncio.Future[None] | None]] = {}  # with what the worker waits for
        self.given = deque[OutcomeT]()  # for callers that are awake, or were cancelled then
        self.exhausted: bool = False
        self.error: BaseException | None = None  # raised after all outcomes have been returned

    def _start(self) -> None:
        """Start another worker if there is room for one and may be work; it starts the next one."""
        most = self._options.concurrency
        if len(self._running) >= most or (self.exhausted and not self.again):
            return
        if len(self.jobs) - len(self.again) < most:
            self._started = key = self._started + 1
            self._running.add(key)
            self._workers.start(key, self._work(key))

    async def _work(self, key: int) -> None:
        number: int | None = None
        try:
            while (number := self.again.pop(0) if self.again else await self._read()) is not None:
                self._start()
                room = self._deliver(number, await self._call(self.jobs[number]))
                if room is not None:
                    await room
        except Exception:
            if number is not None and key in self._running:
                del self.jobs[number]  # an error that is no outcome is raised, such as one of the key provider
            raise
        finally:
            if key in self._running:  # not if it was cancelled here
                self._running.remove(key)
                self.ended.append(key)
                self._wake()

    async def _read(self) -> int | None:
        """Read the next argument; return its number, or None if there is none, or no room for it."""
        try:
            if self._later is None:
                argument = next(self._source, _END) if self._may_read() else _FULL
            else:
                async with self._lock:
                    argument = await self._read_later(self._later) if self._may_read() else _FULL
        except Exception as error:  # noqa: BLE001  (the source's own, whatever it is)
            self.exhausted, self.error = True, error
            return None
        self.exhausted = self.exhausted or argument is _END
        if argument is _FULL or self.exhausted:
            return None
        self._taken += 1
        self.jobs[self._taken] = argument
        return self._taken

    def _may_read(self) -> bool:
        return not self.exhausted and len(self.jobs) < self._options.concurrency

    async def _read_later(self, source: AsyncIterator[Any]) -> Any:
        """Wait for a step of an async iterator, which goes on if this worker is cancelled."""
        if _READ not in self._reading:
            self._reading.start(_READ, _read(source))
        return await self._reading.take(_READ)

    def _deliver(self, number: int, outcome: Any) -> asyncio.Future[None] | None:
        """Give a caller the outcome; if none waits for it, return what its worker has to wait for."""
        if number not in self.jobs:
            return None  # the call closed the iteration
        if outcome.error is None and (not self._options.ordered or number == next(iter(self.jobs))):
            for waiter in self._waiters:
                if not waiter.done():
                    del self.jobs[number]
                    self.given.append(outcome)
                    waiter.set_result(None)
                    return None
        room = asyncio.get_running_loop().create_future()
        self.done[number] = outcome, room
        self._wake()
        return room

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def step(self) -> OutcomeT | None:
        """Return the next outcome; None means to try again, and StopAsyncIteration that there is none."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the workers ended with the other loop
            self._loop, self._waiters, self._lock = loop, [], asyncio.Lock()
            self.done = {number: (outcome, None) for number, (outcome, _) in self.done.items()}
            self.release()
        if self.given:
            return self.given.popleft()
        self._start()
        number = next(iter(self.jobs if self._options.ordered else self.done), None)
        if number is not None and number in self.done:
            outcome, room = self.done.pop(number)
            del self.jobs[number]
            if room is not None and not room.done():
                room.set_result(None)
            return outcome
        if self.ended:
            await self._workers.take(self.ended.pop())  # raises its error
            return None
        if self.exhausted and not self.jobs and (self.error is not None or not self._running):
            await asyncio.sleep(0)  # workers that were cancelled end now
            error, self.error = self.error, None
            raise error or StopAsyncIteration
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
            if self.given:
                self._wake()  # this caller may be cancelled
        return None

    def release(self) -> None:
        """Cancel the workers, unless a caller waits for them; their calls are to be repeated."""
        if not self._waiters:
            self._running.clear()
            self.ended.clear()
            self._workers.clear()
            self.again = [number for number in self.jobs if number not in self.done]

    def forget(self) -> None:
        """Forget all calls."""
        self.exhausted = True
        self._running.clear()
        for each in self.jobs, self.again, self.done, self.given, self.ended:
            each.clear()
        self._workers.clear()
        self._wake()  # callers that wait, for an end

    def drop(self) -> None:
        """Cancel everything."""
        self._workers.clear()
        self._reading.clear()

    async def aclose(self) -> None:
        """Cancel everything, wait until it has ended, and forget it."""
        self.exhausted = True
        self._running.clear()
        self.ended.clear()  # a caller that is awake would look for their tasks
        await self._workers.aclose()
        await self._reading.aclose()
        self.forget()
        self._wake()


class ConcurrentCalls(AsyncOnly, AsyncIterable[OutcomeT]):
    """The outcomes of many calls, as in `Outcomes`, which may be of any kind."""

    def __init__(
        self,
        arguments: Iterable[A] | AsyncIterable[A],
        call: Callable[[A], Coroutine[Any, Any, OutcomeT]],
        options: BulkOptions,
        *,
        finish: bool,
    ) -> None:
        """Store the arguments, which are consumed lazily; a failure of `call` is an outcome, too.

        With `finish`, an error that ends the iteration lets the calls in flight finish; otherwise it cancels them.
        """
        self._options = options
        self._finish = finish
        self._returned = 0
        self._crew = _Crew[OutcomeT](arguments, call, options)

    _right_way = "write 'async for outcome in outcomes', or 'await outcomes.collect()' for a list"

    def __repr__(self) -> str:
        if not hasattr(self, "_crew"):  # `__init__` failed, and a traceback shows this object
            return f"<{type(self).__name__}>"
        crew = self._crew
        done, again = len(crew.done), len(crew.again)
        in_flight = len(crew.jobs) - done - again
        counts = {"ready": done + len(crew.given), "in flight": in_flight, "to be repeated": again}
        where = [f"{count} {what}" for what, count in counts.items() if count]
        ended = [] if where or not crew.exhausted else ["ended"]
        return f"<{type(self).__name__}: {', '.join([f'{self._returned} returned', *where, *ended])}>"

    def __aiter__(self) -> AsyncIterator[OutcomeT]:
        return DroppableIterator(self.__anext__, self.release)

    async def __anext__(self) -> OutcomeT:
        try:
            while True:
                outcome = await self._crew.step()
                if outcome is not None and not self._stops(outcome):
                    self._returned += 1
                    return outcome
        except BaseException:
            self.release()
            raise

    async def collect(self) -> list[OutcomeT]:
        """Return the remaining outcomes as a list."""
        outcomes: list[OutcomeT] = []
        async for outcome in self:
            outcomes += (outcome,)  # the frame of a comprehension would keep the loop alive
        return outcomes

    def release(self) -> None:
        """Cancel the calls in flight, unless a caller waits for them; the next step repeats them.

        A pending step of an async iterator of arguments is not cancelled, since that would end the iterator.
        """
        self._crew.release()

    async def aclose(self) -> None:
        """Cancel the calls in flight, wait until they have ended, and end the iteration."""
        await self._crew.aclose()

    def __del__(self) -> None:
        if hasattr(self, "_crew"):
            self._crew.drop()

    def _stops(self, outcome: OutcomeT) -> bool:
        """Whether an outcome ends the iteration; then its error is raised last."""
        crew = self._crew
        if crew.error is not None or (error := self._ends(outcome)) is None:
            return False
        crew.error, crew.exhausted = error, True
        for number in crew.again:
            del crew.jobs[number]
        crew.again.clear()
        if not self._finish:
            crew.forget()
        return True

    def _ends(self, outcome: OutcomeT) -> BaseException | None:
        """The error of an outcome, if it ends the iteration; of none here."""
        del outcome
        return None


class Outcomes(ConcurrentCalls[Outcome[T]]):
    """The outcomes of many calls, in the order of completion or of the arguments.

    `get_many_inbound` and `update_many_inbound` return it. Nothing is sent before the first step. Leaving a loop over
    it cancels the calls in flight; iterating again after `break` repeats the cancelled calls.
    """

    def _ends(self, outcome: Outcome[T]) -> AlohubError | None:
        error, fatal = outcome.error, AuthenticationError | PermissionDeniedError | ClientClosedError
        if error is None or not (self._options.stop_on_error or isinstance(error, fatal)):
            return None
        error.add_note(f"id {outcome.id}")
        return error


_READ: Final = 0  # the key of reading the next argument
_END: Final = object()
_FULL: Final = object()


async def _read(source: AsyncIterator[Any]) -> Any:
    return await anext(source, _END)


class SharedCalls(Generic[T]):
    """Shares one call between identical concurrent calls."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, list[asyncio.Future[T | None]]] = {}  # those that wait for each call

    async def call(self, key: Hashable, make: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Return the result of a call in flight with the same key; without one, or if it fails, that of `make`."""
        while (waiting := self._flights.get(key)) is not None:
            waiting.append(asyncio.get_running_loop().create_future())
            if (shared := await waiting[-1]) is not None:
                return shared
        waiting, shared = self._flights.setdefault(key, []), None
        try:
            result = shared = await make(*arguments)
        finally:
            del self._flights[key]
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(shared)
        return result
