"""Time limits of many pieces of work at once, by one timer.

`asyncio.timeout`, or aiohttp's own total timeout, sets a timer for each piece of work and takes it back afterwards: a
tenth of the function calls of a whole request, for limits that hardly ever run out; and aiohttp's read timeout does so
with each piece of an answer. Here one timer is set for the first limit that may run out, and looks at all of them when
it fires.
"""

import asyncio
import math
from types import TracebackType
from typing import Self

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.validation import check_seconds, validator


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one attempt may take. Waits for the rate limit and between attempts do not count; see `deadline`.

    Attributes:
        connect: Seconds to open a connection (name lookup, TCP, TLS).
        read: Seconds until an answer begins (all of its headers), and then without another byte of it.
        total: Seconds for the whole attempt, from opening the connection to the last byte of the body.

    Raises:
        ConfigurationError: A value that is not a number of seconds above 0.
    """

    connect: float = attrs.field(default=10.0, validator=validator(check_seconds, error=ConfigurationError))
    read: float = attrs.field(default=30.0, validator=validator(check_seconds, error=ConfigurationError))
    total: float = attrs.field(default=60.0, validator=validator(check_seconds, error=ConfigurationError))


class TimeLimits:
    """The limits of one event loop.

        limits = TimeLimits(asyncio.get_running_loop())
        with TimeLimit(limits, 60.0):
            ...

    Attributes:
        loop: Whose clock counts.
        running: Those in force.
        due: When the timer fires, in the loop's seconds; inf if none is set.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.running: dict[TimeLimit, None] = {}
        self.due: float = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def wake_at(self, due: float) -> None:
        """Set the timer, unless that is never."""
        self.close()
        if due < math.inf:
            self.due = due
            self._timer = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        for limit in self.running:
            if limit.ends <= now:
                limit.run_out()
        self.wake_at(min((limit.ends for limit in self.running), default=math.inf))

    def close(self) -> None:
        """Take the timer back."""
        self.due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimeLimit:
    """Most seconds that a piece of work may take: a context manager that raises `TimeoutError` when they are over.

    As with `asyncio.timeout`, the task is cancelled, and a cancellation of somebody else's goes on as one.

    Attributes:
        ends: When the time is over, in the loop's seconds.
    """

    __slots__ = ("_cancelling", "_idle", "_last_end", "_limits", "_ran_out", "_task", "ends")

    def __init__(self, limits: TimeLimits, seconds: float, *, idle: float = math.inf) -> None:
        """Start the time.

        Args:
            limits: Those of the running event loop.
            seconds: For all of it.
            idle: Most seconds without a sign of life, from the first one on; see `alive`.
        """
        task = asyncio.current_task(limits.loop)
        if task is None:
            raise RuntimeError("what has a time limit must run in a task")
        self.ends: float = limits.loop.time() + seconds
        self._last_end = self.ends
        self._idle = idle
        self._limits = limits
        self._task = task
        self._cancelling = task.cancelling()
        self._ran_out = False

    def __enter__(self) -> Self:
        limits = self._limits
        limits.running[self] = None
        if self.ends < limits.due:
            limits.wake_at(self.ends)
        return self

    def alive(self) -> None:
        """Give a sign of life."""
        limits = self._limits
        if not self._ran_out:
            self.ends = min(limits.loop.time() + self._idle, self._last_end)
            if self.ends < limits.due:
                limits.wake_at(self.ends)

    def run_out(self) -> None:
        """End the work."""
        self._ran_out = True
        self.ends = math.inf
        self._task.cancel()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        del self._limits.running[self]
        task = self._task
        del self._task  # whose context may hold this: together they would be garbage in a circle
        # Whatever became of the cancellation, it is over.
        if self._ran_out and task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error
