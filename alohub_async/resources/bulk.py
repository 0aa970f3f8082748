"""Concurrent calls: a bounded number of tasks over any number of arguments, and an outcome for each."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any, ClassVar, Final, Generic, Literal, NoReturn, TypeAlias, TypeVar, cast

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


class Outcomes(AsyncOnly, AsyncIterable[Outcome[T]]):
    """The outcomes of many calls, in the order of completion or of the arguments.

    `get_many_inbound` and `update_many_inbound` return it. Nothing is sent before the first step. Leaving a loop over
    it cancels the calls in flight; iterating again after `break` repeats the cancelled calls.
    """

    def __init__(
        self,
        arguments: Iterable[A] | AsyncIterable[A],
        call: Callable[[A], Coroutine[Any, Any, Outcome[T]]],
        options: BulkOptions,
        *,
        finish: bool,
    ) -> None:
        """Store the arguments, which are consumed lazily; a failure of `call` is an outcome, too.

        With `finish`, an error that ends the iteration lets the calls in flight finish; otherwise it cancels them.
        """
        self._later: AsyncIterator[Any] | None = aiter(arguments) if isinstance(arguments, AsyncIterable) else None
        self._source = iter(() if isinstance(arguments, AsyncIterable) else cast("Iterable[Any]", arguments))
        self._call: Callable[[Any], Coroutine[Any, Any, Outcome[T]]] = call
        self._options = options
        self._finish = finish
        self._ahead: BackgroundTasks[int, Any] = BackgroundTasks()
        self._jobs: dict[int, Any] = {}  # arguments of calls in flight or not yet returned, by number, in order
        self._done: dict[int, Outcome[T]] = {}
        self._again: list[tuple[int, Any]] = []  # cancelled calls to repeat, in order
        self._taken = 0
        self._exhausted = False
        self._error: BaseException | None = None  # raised after all outcomes have been returned
        self._returned = 0

    _right_way = "write 'async for outcome in outcomes', or 'await outcomes.collect()' for a list"

    def __repr__(self) -> str:
        if not hasattr(self, "_returned"):  # `__init__` failed, and a traceback shows this object
            return "<Outcomes>"
        in_flight = len(self._jobs) - len(self._done)
        counts = {"ready": len(self._done), "in flight": in_flight, "to be repeated": len(self._again)}
        where = [f"{count} {what}" for what, count in counts.items() if count]
        ended = [] if where or not self._exhausted else ["ended"]
        return f"<Outcomes: {', '.join([f'{self._returned} returned', *where, *ended])}>"

    def __aiter__(self) -> AsyncIterator[Outcome[T]]:
        return DroppableIterator(self.__anext__, self.release)

    async def __anext__(self) -> Outcome[T]:
        try:
            return await self._next()
        except BaseException:
            self.release()
            raise

    async def collect(self) -> list[Outcome[T]]:
        """Return the remaining outcomes as a list."""
        outcomes: list[Outcome[T]] = []
        async for outcome in self:
            outcomes += (outcome,)  # the frame of a comprehension would keep the loop alive
        return outcomes

    def release(self) -> None:
        """Cancel the calls in flight, unless a caller waits for them; the next step repeats them.

        A pending step of an async iterator of arguments is not cancelled, since that would end the iterator.
        """
        cancelled = self._ahead.release(keep=_READ)
        self._again = sorted([*self._again, *((number, self._jobs.pop(number)) for number in cancelled)])

    async def aclose(self) -> None:
        """Cancel the calls in flight, wait until they have ended, and end the iteration."""
        self._exhausted = True
        self._forget()
        await self._ahead.aclose()

    def _forget(self) -> None:
        self._again.clear()
        self._jobs.clear()
        self._done.clear()

    async def _next(self) -> Outcome[T]:
        while True:
            self._start()
            outcome = self._ready()
            if outcome is not None:
                if outcome.error is None or not self._ends(outcome.error) or self._error is not None:
                    self._returned += 1
                    return outcome
                self._stop(outcome.id, outcome.error)
            elif len(self._ahead):
                await self._wait()
            else:
                error, self._error = self._error, None
                raise error or StopAsyncIteration

    def _ready(self) -> Outcome[T] | None:
        number = next(iter(self._jobs if self._options.ordered else self._done), None)
        if number is None or number not in self._done:
            return None
        del self._jobs[number]
        return self._done.pop(number)

    def _start(self) -> None:
        """Start calls up to the concurrency limit."""
        reading = self._later is not None and _READ in self._ahead
        while self._error is None and len(self._jobs) + reading < self._options.concurrency:
            if self._again:
                self._begin(*self._again.pop(0))
            elif self._exhausted or reading:
                return
            elif self._later is not None:
                self._ahead.start(_READ, _read(self._later))
                reading = True
            else:
                try:
                    argument = next(self._source, _END)
                except Exception as error:  # noqa: BLE001  (the source's own, whatever it is)
                    self._exhausted, self._error = True, error
                else:
                    self._take(argument)

    def _take(self, argument: Any) -> None:
        if argument is _END:
            self._exhausted = True
        else:
            self._taken += 1
            self._begin(self._taken, argument)

    def _begin(self, number: int, argument: Any) -> None:
        out_of_order = next(reversed(self._jobs), 0) > number
        self._jobs[number] = argument
        if out_of_order:
            self._jobs = dict(sorted(self._jobs.items()))
        self._ahead.start(number, self._call(argument))

    async def _wait(self) -> None:
        """Wait until a call has completed or the next argument is available."""
        number = await self._ahead.next_done()
        if number not in self._ahead:
            return  # another caller was faster
        if number == _READ:
            try:
                argument = await self._ahead.take(_READ)
            except Exception as error:  # noqa: BLE001  (the source's own, whatever it is)
                self._exhausted, self._error = True, error
            else:
                self._take(argument)
            return
        try:
            self._done[number] = await self._ahead.take(number)
        except BaseException:
            del self._jobs[number]  # errors that are no outcome are raised, such as one of the key provider
            raise

    def _ends(self, error: AlohubError) -> bool:
        fatal = AuthenticationError | PermissionDeniedError | ClientClosedError
        return self._options.stop_on_error or isinstance(error, fatal)

    def _stop(self, record_id: int, error: AlohubError) -> None:
        error.add_note(f"id {record_id}")
        self._error, self._exhausted = error, True
        self._again.clear()
        if not self._finish:
            self._ahead.clear()
            self._forget()


_READ: Final = 0  # the task key of reading the next argument; calls are numbered from 1
_END: Final = object()


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
