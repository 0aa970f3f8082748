"""A running count of events over time, for the arithmetic of windows."""

import math
from bisect import bisect_left, bisect_right
from typing import Final

BATCH: Final = 64  # events may stand in `EventHistory.recent` before `fold` is due
_WINDOWS: Final = 3  # windows remembered: the weighted counter looks back over two, and its fit over one more
_GRAIN: Final = 2048  # steps per window, at most
_MIN_FORGOTTEN: Final = 64  # steps; fewer are not worth deleting


class EventHistory:
    """A cumulative count of events over the last three windows, in bounded memory.

    Events within a 2048th of a window share one step. The step stands at the time of the last of them (`late`: "by
    then, for certain") or of the first ("by then, perhaps"). So a limit of a million needs no more memory than a limit
    of a few thousand.

    `recent` has the times of the latest events, which have no step yet. A caller on a hot path may append to it instead
    of calling `add`, if it calls `fold` after every `BATCH` events: this saves one call per event.
    """

    __slots__ = ("_counts", "_folded", "_late", "_step_ends", "_times", "_window", "recent")

    def __init__(self, window: float, *, late: bool) -> None:
        self.recent: list[float] = []
        self._window = window
        self._late = late
        self._folded = 0  # events that have a step
        self._step_ends = -math.inf  # an event before this time shares the last step
        self._times: list[float] = []  # of each step, oldest first
        self._counts: list[int] = []  # events before each step

    @property
    def total(self) -> int:
        """How many events there were."""
        return self._folded + len(self.recent)

    def add(self, now: float) -> None:
        """Count one event. Its time must not be before that of the last one."""
        self.recent.append(now)
        if len(self.recent) >= BATCH:
            self.fold()

    def fold(self) -> None:
        """Give the recent events their steps."""
        times, counts, late, step_ends = self._times, self._counts, self._late, self._step_ends
        for number, now in enumerate(self.recent, self._folded):
            if now >= step_ends:
                step_ends = now + self._window / _GRAIN
                times.append(now)
                counts.append(number)
            elif late:
                times[-1] = now
        self._step_ends = step_ends
        self._folded += len(self.recent)
        self.recent.clear()
        half = len(times) // 2
        while half >= _MIN_FORGOTTEN and times[half] < times[-1] - self._window * _WINDOWS:
            del times[:half], counts[:half]
            half = len(times) // 2

    def by(self, time: float) -> int:
        """How many events there were up to this time, the time itself included."""
        if self.recent:
            self.fold()
        step = bisect_right(self._times, time)
        return self._counts[step] if step < len(self._times) else self._folded

    def since(self, time: float) -> int:
        """How many events there were after this time."""
        return self.total - self.by(time)

    def reached(self, count: int) -> float:
        """When the count was reached; -inf if it is 0 or less or that is forgotten, inf if it was not reached yet."""
        if count > self.total:
            return math.inf
        if self.recent:
            self.fold()
        step = bisect_left(self._counts, count)
        return self._times[step - 1] if step else -math.inf

    def lengthen(self, window: float) -> None:
        """Remember three windows of that many seconds from now on."""
        self.fold()
        self._window = window
