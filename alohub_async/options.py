"""What a call may be told besides its arguments: how long it may take, how long it may wait, how much it matters."""

import asyncio
import sys
from typing import Any, get_args

import attrs

from alohub_async.errors import DeadlineExceededError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.rate_limits.priorities import Priority


def _wait(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentTypeError(f"max_wait must be a number of seconds or None; {value!r} was given")
    if not 0 <= value <= sys.float_info.max:
        raise InvalidArgumentError(f"max_wait must be 0 seconds or more; {value!r} was given")
    return float(value)


def check_deadline(value: Any) -> float | None:
    """Return `value` if it is a number of seconds above 0, or None.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentTypeError(f"deadline must be a number of seconds or None; {value!r} was given")
    if not 0 < value <= sys.float_info.max:
        raise InvalidArgumentError(f"deadline must be above 0 seconds; {value!r} was given")
    return float(value)


def check_priority(value: Any) -> Priority | None:
    """Return `value` if it is a `Priority`, or None.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if value is not None and value not in get_args(Priority):
        raise InvalidArgumentError(f"priority must be one of {get_args(Priority)} or None; {value!r} was given")
    priority: Priority | None = value
    return priority


@attrs.frozen(kw_only=True)
class CallOptions:
    """How one call is made; what is None is the client's.

    Attributes:
        deadline: Seconds for the call in all: attempts, backoff and waits for the rate limit together.
        max_wait: Most seconds of it that may be spent waiting for the rate limit.
        priority: Who goes first where requests wait for the rate limit.

    Raises:
        InvalidArgumentError: A value that is none of these.
    """

    deadline: float | None = attrs.field(default=None, converter=check_deadline)
    max_wait: float | None = attrs.field(default=None, converter=_wait)
    priority: Priority | None = attrs.field(default=None, converter=check_priority)


class Deadline:
    """A deadline that several calls share, counted from the first of them."""

    def __init__(self, options: CallOptions, *, what: str) -> None:
        """Not started yet.

        Args:
            options: Of all the calls together.
            what: What is done with them, for the error.
        """
        self._options = options
        self._what = what
        self._ends: float | None = None

    async def sleep(self, seconds: float) -> None:
        """Wait between two calls.

        Raises:
            DeadlineExceededError: At once, if the time will be up by then.
        """
        left = self.next_call().deadline
        if left is not None and seconds >= left:
            raise self._exceeded()
        await asyncio.sleep(seconds)

    def next_call(self) -> CallOptions:
        """The options of the next call: what is left of the time is its deadline.

        Raises:
            DeadlineExceededError: Nothing is left.
        """
        seconds = self._options.deadline
        if seconds is None:
            return self._options
        now = asyncio.get_running_loop().time()
        if self._ends is None:
            self._ends = now + seconds
        if self._ends <= now:
            raise self._exceeded()
        return attrs.evolve(self._options, deadline=self._ends - now)

    def _exceeded(self) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"{self._what}: not done within its deadline of {self._options.deadline:.2f} s", maybe_sent=False
        )
