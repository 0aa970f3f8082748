"""When a weighted sliding counter allows the next request: where its boundaries may be, and what it would count.

**Known.** Such a server counts requests in windows of a fixed phase. For the last `window` seconds it uses

    estimate = requests of the current window + requests of the previous one * the share of it still in view

It allows a request if the estimate including it does not exceed the limit, and reports `remaining = limit - estimate`,
rounded. **Unknown:** the phase. And of each request only that the server counted it at some time between its sending
and its answer.

**How the phase is found.** Let V(x) be how many of our requests the server had counted by time x, and b the latest
boundary. Then

    estimate(t) = V(t) - f V(b) - (1 - f) V(b - window)        f = (t - b) / window

V(x) lies between the requests answered by x and those sent by x. So every phase gives bounds for the estimate at any
time. The range of phases is divided into cells. A cell whose bounds contradict a reported `remaining` cannot hold the
boundary and is removed. While we are the only client, the true cell is never removed. So the latest opening of the
cells that are left is late enough, and after the first answers few are left. If no cell is left, the server is no
weighted counter, or we are not the only client. It is unknown whether a request without an answer was counted: for
three windows each such request widens the bounds by one.

The bucket can be understood without this. It asks one question: when would such a counter allow a request?
"""

import math
from typing import Final, TypeAlias

from alohub_async.rate_limits.history import EventHistory

_CELLS: Final = 128  # phases told apart: the cost of a fit, and the precision of its result
_SAMPLE: Final = 32  # observations kept between two fits; when there are more, every other one is dropped
_PROBATION: Final = 4.0  # windows that the cells must survive after a restart
_STEPS: Final = (0.0, 1.0)  # seconds: the share in view falls evenly, or once a second
_TOLERANCE: Final = 1e-6  # of a quotient of clock readings
_SMALL: Final = 2  # requests: with so small a limit, rounded numbers tell little
_ROUNDING: Final = 1.0  # requests: servers round `remaining`, or the share of the previous window, up or down

Observation: TypeAlias = tuple[float, float, int, int, int]
"""What the answer to a served request said: when the request was sent, and answered; how many of our requests, itself
included, the server had certainly counted when it was counted, and how many possibly; how much of the limit was used
then, as the server reported. A plain tuple, because two are made for every answer."""

Place: TypeAlias = tuple[float, float]
"""Where the boundary may be, and how the share is computed: the start of a cell, and the step; both in seconds."""


class WeightedFit:
    """The phases that a weighted counter may have, given the answers so far."""

    def __init__(self, window: float) -> None:
        self.possible: bool = True  # whether a weighted counter explains all answers so far
        # The latest observations, which are not in the sample yet. The caller appends to it, and calls `fold` now and
        # then: this saves one call per observation.
        self.recent: list[Observation] = []
        self._window = window  # seconds
        self._width = window / _CELLS
        self._sample: list[Observation] = []
        self._doubtful = EventHistory(window, late=False)
        self._trusted_from = -math.inf
        self._cells = self._all_cells()

    def _all_cells(self) -> dict[float, list[float]]:
        """Every phase, for each step that is shorter than the window."""
        return {step: [cell * self._width for cell in range(_CELLS)] for step in _STEPS if 2 * step <= self._window}

    @property
    def undecided(self) -> bool:
        """Whether the answers fit both an even share and one that falls in steps."""
        return all(self._cells.values()) and len(self._cells) == len(_STEPS)

    @property
    def vague(self) -> bool:
        """Whether the answers have told next to nothing about the phase."""
        return len(self._cells[0.0]) > _CELLS // 2

    def restart(self, now: float) -> None:
        """Start again with all cells if none is left: a 429 shows that some assumption was wrong.

        Other clients may be spending now. So the cells count only when some have survived four windows, and there is no
        other restart before that.
        """
        if not self.possible and now >= self._trusted_from:
            self._trusted_from = now + _PROBATION * self._window
            self._cells = self._all_cells()
            self.possible = True

    def doubt(self, now: float) -> None:
        """Note that a request ended and that it is unknown whether the server counted it."""
        self._doubtful.add(now)

    def fold(self) -> None:
        """Put the recent observations into the sample, which covers the time since the last fit."""
        sample = self._sample
        for seen in self.recent:
            if len(sample) == _SAMPLE:
                del sample[::2]
            sample.append(seen)
        self.recent.clear()

    def learn(self, now: float, limit: int, sends: EventHistory, answers: EventHistory) -> None:
        """Remove the cells that the observations since the last fit contradict."""
        self.fold()
        for seen in self._sample:
            if seen[0] > now - self._window:  # for older ones, the histories may have forgotten the windows before
                for step, cells in self._cells.items():
                    cells[:] = [cell for cell in cells if self._explains((cell, step), seen, limit, sends, answers)]
        self._sample.clear()
        self.possible = any(self._cells.values())

    def opening(self, now: float, limit: int, sent: int, answers: EventHistory, *, even: bool = False) -> float:
        """When a weighted counter certainly allows one request; -inf if no such counter explains the answers.

        `even`: only if its share falls evenly.
        """
        if now < self._trusted_from:
            return -math.inf
        families = [(0.0, self._cells[0.0])] if even else self._cells.items()
        openings = (self._opens((cell, step), now, limit, answers, sent) for step, cells in families for cell in cells)
        return max(openings, default=-math.inf)

    def _explains(
        self, place: Place, seen: Observation, limit: int, sends: EventHistory, answers: EventHistory
    ) -> bool:
        """Whether a boundary in this cell is possible, given one answer."""
        cell, step = place
        since, until, least_counted, most_counted, used = seen
        window, width = self._window, self._width
        start = math.floor((since - cell) / window) * window + cell
        if since < start + width or until >= start + window:
            return True  # the boundary may lie between sending and answer: no conclusion
        least_gone, most_gone = since - start - width, until - start
        if step:
            least_gone = math.floor(least_gone / step - _TOLERANCE) * step
            most_gone = math.floor(most_gone / step + _TOLERANCE) * step
        least_gone = max(0.0, least_gone / window)
        most = most_counted - least_gone * answers.by(start) - (1.0 - least_gone) * answers.by(start - window)
        if most < used - _ROUNDING:
            return False
        doubtful = self._doubtful
        doubts = doubtful.by(until) - least_gone * doubtful.by(start) - (1.0 - least_gone) * doubtful.by(start - window)
        most_gone /= window
        end = start + width
        least = least_counted - most_gone * sends.by(end) - (1.0 - most_gone) * sends.by(end - window)
        most_used = used + _ROUNDING
        if step or limit <= _SMALL:  # a request that was served shows more than the rounded number
            most_used = min(most_used, limit + _TOLERANCE)
        return least - doubts <= most_used

    def _opens(self, place: Place, now: float, limit: int, answers: EventHistory, sent: int) -> float:
        """When a counter with its boundary at the end of this cell has room for one request, if no more are sent."""
        cell, step = place
        window, width = self._window, self._width
        start = math.floor((now - cell - width) / window) * window + cell  # its end is in the past
        # The window that began at `start`, and the next one; and one more if that may have begun a moment ago.
        for _ in range(3 if start + window <= now else 2):
            before, by_then = answers.by(start - window), answers.by(start)
            over = sent - before - limit + 1  # requests that must leave the view first
            faded = over / (by_then - before) if by_then > before else math.inf if over > 0 else 0.0
            if faded <= 1.0:
                gone = max(faded, 0.0) * window
                return start + width + (math.ceil(gone / step - _TOLERANCE) * step if step else gone)
            start += window
        return start + width
