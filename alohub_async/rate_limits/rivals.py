"""How a client makes room for others that spend from the same budget. Pure state.

Clients that do not know of each other see only 429s, and that less is left than they have used. Each does four things:

- *Patience.* Every 429 doubles it, every served request reduces it by 2 %, which keeps the share of 429s near 3 %. It
  delays the next look, less so for a client that has little of the budget.
- *Slices.* With patience, only a part of what is left is sent at once: the answers tell how much the others took.
- *Leaving.* Now and then half of a new budget waits for a moment. A client that had nothing finds it then.
- *Yielding.* Who has much of the budget is late for the next one, and who has little is not. So the shares get alike.

While no other client shows, the half waits only once in about six windows, for a tenth of a window.
"""

import math
from collections.abc import Callable
from typing import Final

import attrs

_MIN_PATIENCE: Final = 0.01  # windows
_MAX_PATIENCE: Final = 0.25  # windows
_PATIENCE_KEPT: Final = 0.98  # of the patience, after each served request; with 3 % of 429s it stays constant
_LEAST_SLICE: Final = 0.15  # of what is left
_SHOWN: Final = 8  # windows that other clients are taken to be there, once they have shown
_LOOK_AROUND: Final = 6  # windows, on average, between two times that a client leaves some without knowing of others
_LEFT: Final = 0.1  # windows that it waits then
_YIELDED: Final = 0.03  # windows, if others have shown


@attrs.define(eq=False, repr=False)
class Rivals:
    """Other clients of one budget."""

    window: float  # seconds
    random: Callable[[], float]  # from 0 to 1
    patience: float = 0.0  # seconds
    _until: float = -math.inf  # until then they are taken to be there
    _left_at: float = -math.inf
    _leave_from: float = -math.inf  # when some is left next, if none has shown
    _yielded_at: float = -math.inf

    def show(self, now: float) -> None:
        """Note that others spend."""
        self._until = now + _SHOWN * self.window

    def denied(self, now: float) -> None:
        """Note a 429 that the client's own requests do not explain."""
        self.show(now)
        self.patience = self.window * min(_MAX_PATIENCE, max(2 * self.patience / self.window, _MIN_PATIENCE))

    def served(self) -> None:
        """Note a served request."""
        self.patience *= _PATIENCE_KEPT
        if self.patience < self.window * _MIN_PATIENCE / 4:
            self.patience = 0.0

    def slice_of(self, left: int) -> float:
        """How many requests may be in flight, with that many left."""
        least = self.window * _MIN_PATIENCE
        return math.inf if self.patience <= least else max(1.0, left * max(_LEAST_SLICE, least / self.patience))

    def leaves_until(self, now: float) -> float:
        """Until when half of a budget that is new now waits; `now` if it does not."""
        shown = now < self._until
        if self._leave_from == -math.inf:
            self._leave_from = self._next_leaving(now)
        if now < self._leave_from and not (shown and now >= self._left_at + self.window):
            return now
        self._left_at, self._leave_from = now, self._next_leaving(now)
        return now + self._jittered(_YIELDED if shown else _LEFT)

    def yields(self, now: float, share: float) -> float:
        """Seconds that a client with that share of the budget is late for the next look; once in a window."""
        if now >= self._until or now < self._yielded_at + self.window:
            return 0.0
        self._yielded_at = now
        return share * self._jittered(_YIELDED)

    def _next_leaving(self, now: float) -> float:
        return now + self._jittered(_LOOK_AROUND)

    def _jittered(self, windows: float) -> float:
        return self.window * windows * (0.5 + self.random())
