"""A limit that no header tells, learnt from 429s: additive increase, multiplicative decrease. Pure state.

Some servers send no rate-limit headers, or have a second, shorter limit that their headers do not tell ("10 a second"
beside 50 per 10 seconds). All that is known is what was served and what was refused. So requests are *paced* at a rate:

- The first 429 sets the rate to nine tenths of what was served in the window before it. It may mean nothing: the rate
  doubles with each window, and at four times what it was the limit is taken to be gone.
- A second 429 confirms it, and sets the same rate. Each later one lowers it by a tenth. 429s to requests that were sent
  before it was lowered do not count again.
- Then each served request raises it a little: by 1 % per window below the rate of the last 429, and faster the further
  it is above it. At four times that rate the limit is gone.

An even pace is right for all kinds of window, also for a weighted counter. After a pause, a tenth of a window's worth
may go at once.
"""

import math
from typing import Final

import attrs

_LOWERED: Final = 0.9
_RAISED: Final = 0.01  # per window
_BURST: Final = 0.1  # windows
_LONGEST: Final = 2.0  # windows between two requests
_GONE: Final = 4.0  # times the rate of the last 429


@attrs.define(eq=False, repr=False)
class LearnedLimit:
    """The rate at which requests are paced."""

    rate: float  # requests per second
    _window: float  # seconds: of the limit, as far as is known
    _budget_window: float  # seconds, in which it is raised by that much once it is confirmed
    _next: float = -math.inf  # when the next request would go at an even pace
    lowered_at: float = -math.inf
    _confirmed: bool = False
    _refused: float = attrs.field(init=False)  # the rate at the last 429

    def __attrs_post_init__(self) -> None:
        self._refused = self.rate
        self.rate *= _LOWERED

    @property
    def gone(self) -> bool:
        """Whether requests were served at so high a rate that there is no such limit any more."""
        return self.rate > _GONE * self._refused

    def ready_at(self, now: float) -> float:
        """When a request may go."""
        return max(now, self._next - _BURST * self._window)

    def room(self, now: float) -> float:
        """How many requests may go now, one after another."""
        return 1.0 + math.floor((_BURST * self._window - max(0.0, self._next - now)) * self.rate - 1e-6)

    def send(self, now: float) -> None:
        """Note that a request goes."""
        self._next = min(max(self._next, now) + 1.0 / self.rate, now + _LONGEST * self._window)

    def served(self) -> None:
        """Note that a request was served."""
        over = self.rate / self._refused
        raised = _RAISED * max(1.0, (over - 1.0) * 20.0) if self._confirmed else 1.0
        window = self._budget_window if self._confirmed else self._window
        self.rate *= 1.0 + raised / max(1.0, self.rate * window)

    def denied(self, now: float, sent_at: float) -> None:
        """Note a 429."""
        if sent_at >= self.lowered_at:
            self._refused = self.rate if self._confirmed else self._refused
            self.rate = max(self._refused * _LOWERED, 1.0 / (_LONGEST * self._window))
            self.lowered_at, self._confirmed = now, True
