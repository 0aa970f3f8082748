"""Time limits of many concurrent operations, with one timer.

`asyncio.timeout`, and aiohttp's own total timeout, set a timer for each operation and cancel it afterwards. That is a
tenth of the function calls of a whole request, for limits that rarely expire; aiohttp's read timeout does the same for
each chunk of a response. Here one timer is set for the limit that expires first, and then checks all of them.
"""

import asyncio
import math
from types import TracebackType
from typing import Self

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.secret import repr_of_fields
from alohub_async.validation import check_seconds, validator


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long one attempt may take. Waits for the rate limit and between attempts do not count; see `deadline`.

    Attributes:
        connect: Seconds to open a connection (name lookup, TCP, TLS).
        read: Seconds to wait for the response headers, and then for each further chunk of the body.
        total: Seconds for the whole attempt, from opening the connection to the last byte of the body.

    Raises:
        ConfigurationError: A value that is not a number of seconds above 0.
    """

    connect: float = attrs.field(default=10.0, validator=validator(check_seconds, error=ConfigurationError))
    read: float = attrs.field(default=30.0, validator=validator(check_seconds, error=ConfigurationError))
    total: float = attrs.field(default=60.0, validator=validator(check_seconds, error=ConfigurationError))

    __repr__ = repr_of_fields


class TimeLimits:
    """The time limits of one event loop, in seconds of its clock: `with TimeLimit(limits, 60.0): …`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.running: dict[TimeLimit, None] = {}
        self.due: float = math.inf  # when the timer fires; inf if none is set
        self._timer: asyncio.TimerHandle | None = None

    def wake_at(self, due: float) -> None:
        """Set the timer; `math.inf` sets none."""
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
        """Cancel the timer."""
        self.due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimeLimit:
    """A context manager that raises `TimeoutError` when its time is over.

    As with `asyncio.timeout`, the task is cancelled, and a cancellation from outside is propagated unchanged. The time
    starts when the limit is made. It has at most `idle` seconds between two calls of `alive`, from the first call on.
    """

    __slots__ = ("_cancelling", "_idle", "_last_end", "_limits", "_ran_out", "_task", "ends", "is_alive")

    def __init__(self, limits: TimeLimits, seconds: float, *, idle: float = math.inf) -> None:
        task = asyncio.current_task(limits.loop)
        if task is None:
            raise RuntimeError("a time limit must be used inside a task")
        self.ends: float = limits.loop.time() + seconds
        self._last_end = self.ends
        self._idle = idle
        self._limits = limits
        self._task = task
        self._cancelling = task.cancelling()
        self._ran_out = False
        self.is_alive: bool = False  # whether `alive` was called

    def __enter__(self) -> Self:
        limits = self._limits
        limits.running[self] = None
        if self.ends < limits.due:
            limits.wake_at(self.ends)
        return self

    def alive(self) -> None:
        """Report activity: restart the idle time."""
        self.is_alive = True
        limits = self._limits
        if not self._ran_out:
            self.ends = min(limits.loop.time() + self._idle, self._last_end)
            if self.ends < limits.due:
                limits.wake_at(self.ends)

    def run_out(self) -> None:
        """Cancel the task, since the limit has expired."""
        self._ran_out = True
        self.ends = math.inf
        self._task.cancel()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        del self._limits.running[self]
        task = self._task
        del self._task  # the context of the task may refer to this limit: avoid a reference cycle
        # The cancellation ends here, whatever the task did with it.
        if self._ran_out and task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error
