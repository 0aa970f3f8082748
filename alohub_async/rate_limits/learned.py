"""A limit that no header tells, learnt from 429s: additive increase, multiplicative decrease. Pure state.

Where no answer says anything of any scope, as many requests may be in flight as were served before, and 16 at least.
Eight such answers in a row make the headers seen before void. Then 429s teach a rate; also if a 429 says that something
is left, because then headers do not tell of the limit ("10 a second" beside 50 per 10 seconds).

All that is known is what was served and what was refused. So requests are *paced* at the rate:

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

from alohub_async.rate_limits.history import EventHistory

FIRST_BURST: Final = 16  # requests in flight after the first answer, where no answer says anything of a limit
_BLIND: Final = 8  # served requests in a row without headers: then the headers seen before say nothing
_LEAST_PACED: Final = 1.0  # seconds: the shortest window of a limit that headers do not tell
_CONFIRMED: Final = 4  # windows in which a second 429 confirms such a limit beside another one
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


@attrs.define(eq=False, repr=False)
class Untold:
    """What is known of a budget without headers. The bucket counts the answers, which saves a call for each."""

    window: float  # seconds
    learns: bool  # whether 429s teach a rate
    most: float = 0  # requests that may be in flight while no answer says anything; inf if it does of another scope
    pace: LearnedLimit | None = None
    in_row: int = 0  # answers that said nothing
    _hidden: bool = False  # headers tell of another limit
    _hidden_until: float = -math.inf  # until then, a second 429 confirms that
    _refusals: EventHistory = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._refusals = EventHistory(self.window, late=True)

    @property
    def blind(self) -> bool:
        """Whether answers have stopped to say anything."""
        return self.in_row >= _BLIND

    def use_window(self, window: float) -> None:
        """Use a window of that many seconds."""
        self.window = window
        self._refusals.lengthen(window)

    def forget(self) -> None:
        """Forget the rate, unless it is that of a limit beside the one that headers tell."""
        self.pace = self.pace if self._hidden else None

    def unread(self, limit: int | None, *, elsewhere: bool) -> None:
        """Judge an answer that said nothing, or `elsewhere` only of another scope; `limit` is the last known one."""
        if elsewhere:
            self.forget()
        if self.blind and limit is not None and self.learns:
            self.pace = self.pace or LearnedLimit(max(1, limit) / self.window, self.window, self.window)

    def served(self) -> None:
        """Note a served request."""
        if self.pace is not None:
            self.pace.served()
            if self.pace.gone:
                self.pace = None

    def denied(
        self,
        now: float,
        sent_at: float,
        retry_after: float,
        *,
        left: int | None,
        limit: int | None,
        answers: EventHistory,
    ) -> None:
        """Note a 429 that said `left`, and pace the requests if no header explains it."""
        self._refusals.add(now)
        if not self.learns or (left == 0 and not self.blind):
            return
        if self.pace is not None:
            self.pace.denied(now, sent_at)
            return
        hidden = left is not None and not self.blind
        window = min(self.window, max(_LEAST_PACED, retry_after)) if hidden else self.window
        served = answers.since(now - window) - self._refusals.since(now - window)
        if served > 0 and (not hidden or now < self._hidden_until):
            known = served if hidden or not limit else limit
            self.pace = LearnedLimit(known / window, window, self.window, lowered_at=now)
            self._hidden = hidden
        self._hidden_until = now + _CONFIRMED * self.window
