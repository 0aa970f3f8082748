"""How many, by when: a running count that the arithmetic of windows can be done with."""

import math
from bisect import bisect_left, bisect_right
from typing import Final

_WINDOWS: Final = 3  # are remembered: the weighted counter looks back over two, and its fit over one more
_GRAIN: Final = 2048  # steps a window at most
_SMALL: Final = 64  # steps that are not worth forgetting


class EventHistory:
    """A cumulative count of events over the last three windows, in bounded memory.

    Events within a 2048th of a window share one step, which stands at the last of them (`late`: "by then, for certain")
    or at the first ("by then, perhaps"). So a limit of a million takes no more room than one of a few thousand.

    Args:
        window: Seconds.
        late: Where a step stands.

    Attributes:
        total: How many events there were.
        times: Where each step stands, oldest first.
        step_ends: An event before this time shares the last step.
    """

    __slots__ = ("_before", "_late", "_window", "step_ends", "times", "total")

    def __init__(self, window: float, *, late: bool) -> None:
        self.total: int = 0
        self.times: list[float] = []
        self.step_ends: float = -math.inf
        self._window = window
        self._late = late
        self._before: list[int] = []  # how many events there had been before each step

    def add(self, now: float) -> None:
        """Count one event; its time must not be before the last one's."""
        if now < self.step_ends:
            if self._late:
                self.times[-1] = now
        else:
            self.step_ends = now + self._window / _GRAIN
            self.times.append(now)
            self._before.append(self.total)
            forgettable = now - self._window * _WINDOWS
            if self.times[0] < forgettable:
                half = len(self.times) // 2
                if half >= _SMALL and self.times[half] < forgettable:
                    del self.times[:half], self._before[:half]
        self.total += 1

    def by(self, time: float) -> int:
        """How many events there had been by this time, the time itself included."""
        step = bisect_right(self.times, time)
        return self._before[step] if step < len(self.times) else self.total

    def reached(self, count: int) -> float:
        """When there had been that many; -inf if that is forgotten or none, inf if there have not been."""
        if count > self.total:
            return math.inf
        step = bisect_left(self._before, count)
        return self.times[step - 1] if step else -math.inf

    def lengthen(self, window: float) -> None:
        """Remember three windows of that many seconds from now on."""
        self._window = window
