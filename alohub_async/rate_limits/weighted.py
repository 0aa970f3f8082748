"""When a weighted sliding counter opens again: where its boundaries may be, and what it would count then.

**What is known.** Such a server counts requests in windows of a fixed phase and takes for the last `window` seconds

    estimate = requests of the current window + requests of the previous one * the share of it still in view

It allows a request if the estimate with it does not exceed the limit, and says `remaining = limit - estimate`, rounded.
**What is not:** the phase. And of each request only that it was counted some time between its sending and its answer.

**How it is found.** With V(x), how many of our requests the server had counted by time x, and b the latest boundary,

    estimate(t) = V(t) - f V(b) - (1 - f) V(b - window)        f = (t - b) / window

V lies between the requests answered by x and those sent by x, so every phase gives bounds for the estimate at any time.
The phases are cut into cells. A cell whose bounds contradict a `remaining` we were told cannot hold the boundary, and
is struck out. While we are alone, the true cell is never struck out; so the latest opening of those that are left is
late enough, and the first answers leave few. All cells struck out: it is no weighted counter, or we are not alone.
Whether a request that got no answer was counted is not known: for three windows each makes the bounds wider by one.

Nothing here is needed to understand the bucket, which asks one question: when would such a counter let one in?
"""

import math
from typing import Final, TypeAlias

from alohub_async.rate_limits.history import EventHistory

_CELLS: Final = 128  # phases told apart; the cost of a fit and the sharpness of its answer
_KEPT: Final = 32  # observations between two fits; of more, every other one is dropped
_PROBATION: Final = 4.0  # windows that a new beginning must outlive
_ROUNDING: Final = 1.0  # requests: servers round `remaining`, or the share of the previous window, up or down


Observation: TypeAlias = tuple[float, float, int, int, int]
"""What the answer to a request that was served said; a plain tuple, since two are made of every answer.

- *since*: when its request was sent;
- *until*: when it was there;
- *least*: how many of our requests, itself included, had surely been counted when it was;
- *most*: how many had perhaps;
- *used*: what of the limit was used then, as the server said.
"""


class WeightedFit:
    """The phases that a weighted counter may have, by what was seen so far.

    Args:
        window: Seconds.

    Attributes:
        possible: Whether a weighted counter explains all that was seen.
    """

    __slots__ = (
        "_cells",
        "_doubted_until",
        "_doubts",
        "_kept",
        "_seen",
        "_trusted_from",
        "_width",
        "_window",
        "possible",
    )

    def __init__(self, window: float) -> None:
        self.possible: bool = True
        self._window = window
        self._width = window / _CELLS
        self._cells = [cell * self._width for cell in range(_CELLS)]
        self._seen: list[Observation] = [(0.0, 0.0, 0, 0, 0)] * _KEPT
        self._kept = 0  # so many of those
        self._doubts = 0
        self._doubted_until = -math.inf
        self._trusted_from = -math.inf

    def restart(self, now: float) -> None:
        """Begin anew if no cell is left: a 429 shows that something is not as it was taken for.

        Now that strangers may be about, what is left counts only if it outlives four windows; there is no new beginning
        before that either.
        """
        if not self._cells and now >= self._trusted_from:
            self._trusted_from = now + _PROBATION * self._window
            self._cells = [cell * self._width for cell in range(_CELLS)]
            self.possible = True

    def doubt(self, now: float) -> None:
        """Note that a request ended of which nobody knows whether it was counted."""
        self._doubts = self._doubts + 1 if now < self._doubted_until else 1
        self._doubted_until = now + 3 * self._window

    def observe(self, seen: Observation) -> None:
        """Keep what an answer said for the next fit."""
        if self._kept == _KEPT:
            self._kept //= 2
            self._seen[: self._kept] = self._seen[1::2]
        self._seen[self._kept] = seen
        self._kept += 1

    def opening(self, now: float, limit: int, sends: EventHistory, answers: EventHistory) -> float:
        """When a weighted counter lets one request in for certain; -inf if there is none that explains what was seen.

        Args:
            now: In seconds.
            limit: Requests a window, 1 or more.
            sends: Our requests, by when they were sent.
            answers: The same, by when they were answered.
        """
        if now >= self._doubted_until:
            self._doubts = 0
        for seen in self._seen[: self._kept]:
            if seen[0] > now - self._window:  # of what is older, the tallies may have forgotten the windows before
                self._cells = [cell for cell in self._cells if self._explains(cell, seen, sends, answers)]
        self._kept = 0
        self.possible = bool(self._cells)
        if now < self._trusted_from:
            return -math.inf
        return max((self._opens(cell, now, limit, answers, sends.total) for cell in self._cells), default=-math.inf)

    def _explains(self, cell: float, seen: Observation, sends: EventHistory, answers: EventHistory) -> bool:
        """Whether a boundary in this cell is possible, given what one answer said."""
        since, until, least_counted, most_counted, used = seen
        window, width = self._window, self._width
        start = math.floor((since - cell) / window) * window + cell
        if since < start + width or until >= start + window:
            return True  # the boundary may have come between: nothing can be said
        least_gone = (since - start - width) / window
        most = most_counted - least_gone * answers.by(start) - (1.0 - least_gone) * answers.by(start - window)
        if most < used - _ROUNDING - self._doubts:
            return False
        most_gone = (until - start) / window
        end = start + width
        least = least_counted - most_gone * sends.by(end) - (1.0 - most_gone) * sends.by(end - window)
        return least <= used + _ROUNDING + self._doubts

    def _opens(self, cell: float, now: float, limit: int, answers: EventHistory, sent: int) -> float:
        """When a counter with its boundary at the end of this cell has room for one, if nothing more is sent."""
        window, width = self._window, self._width
        start = math.floor((now - cell - width) / window) * window + cell  # its end is in the past
        for before, by_then in (
            (answers.by(start - window), answers.by(start)),  # the window that began at `start`
            (answers.by(start), answers.total),  # the next one
        ):
            over = sent - before - limit + 1 + self._doubts  # requests that must fade
            faded = over / (by_then - before) if by_then > before else math.inf if over > 0 else 0.0
            if faded <= 1.0:
                return start + width + max(faded, 0.0) * window
            start += window
        return start + width
