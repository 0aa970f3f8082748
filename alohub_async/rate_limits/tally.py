"""How many, by when: a running count that the arithmetic of windows can be done with."""

import math
from bisect import bisect_left, bisect_right
from typing import Final

_WINDOWS: Final = 3  # are remembered: the weighted counter looks back over two, and its fit over one more
_GRAIN: Final = 2048  # steps a window at most
_SMALL: Final = 64  # steps that are not worth forgetting


class Tally:
    """A cumulative count of events over the last three windows, in bounded memory.

    Events within a 2048th of a window share one step, which stands at the last of them (`late`: "by then, for certain")
    or at the first ("by then, perhaps"). So a limit of a million takes no more room than one of a few thousand.

    Args:
        window: Seconds.
        late: Where a step stands.

    Attributes:
        total: How many events there were.
    """

    __slots__ = ("_counts", "_forgotten", "_late", "_step_ends", "_times", "_window", "total")

    def __init__(self, window: float, *, late: bool) -> None:
        self.total: int = 0
        self._window = window
        self._late = late
        self._times: list[float] = []
        self._counts: list[int] = []
        self._step_ends = -math.inf
        self._forgotten = 0

    def add(self, now: float) -> None:
        """Count one event; its time must not be before the last one's."""
        self.total += 1
        if now < self._step_ends:
            self._counts[-1] = self.total
            if self._late:
                self._times[-1] = now
            return
        self._step_ends = now + self._window / _GRAIN
        self._times.append(now)
        self._counts.append(self.total)
        half = len(self._times) // 2
        if half >= _SMALL and self._times[half] < now - self._window * _WINDOWS:
            self._forgotten = self._counts[half - 1]
            del self._times[:half], self._counts[:half]

    def by(self, time: float) -> int:
        """How many events there had been by this time, the time itself included."""
        step = bisect_right(self._times, time)
        return self._counts[step - 1] if step else self._forgotten

    def reached(self, count: int) -> float:
        """When there had been that many; -inf if that is forgotten or none, inf if there have not been."""
        if count <= self._forgotten:
            return -math.inf
        step = bisect_left(self._counts, count)
        return self._times[step] if step < len(self._times) else math.inf

    def lengthen(self, window: float) -> None:
        """Remember three windows of that many seconds from now on."""
        self._window = window
