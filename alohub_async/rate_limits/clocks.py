"""When to look again once all that is known to be free was sent. Pure state.

No burst is sent at a predicted time: one request goes, and its answer says how many may follow.

- *Memory.* A server has forgotten a request one window after its answer came. While fewer than `limit` of our requests
  are unanswered or younger than that, one more is safe under all algorithms but the weighted counter. Once the server
  has reported that nothing is left, other clients hold the rest of the budget: then the bucket waits until the first of
  our counted requests is forgotten.
- *Opening of the weighted counter* (`weighted.py`), while such a counter explains all answers: the later of the two
  times. It is the opening alone if requests more than a window old were seen to count, and such a counter still
  explains all answers one window after that.
- A `reset`, which the vendor does not document, shortens the wait. One that proves wrong is not trusted for some
  windows, and twice as many each time.

**Two experiments**, as two questions cannot be answered otherwise. A trial that fails is not made again for 360
windows, and then for twice as long each time.

- *Does the share fall evenly, or once a second?* While both fit the answers, the last request of a refill waits for
  0.8 s, six times in all: its answer differs. If both still fit, one request goes at the earlier time, which costs one
  429 at most. Limits up to 10 need no answer.
- *Is a limit of 1 weighted at all?* Each `remaining` is 0, and waiting for a weighted counter would cost half of the
  budget. So the memory clock is tried: one 429 at most. (A limit of 2 shows it within eight windows.)
"""

import math
from typing import Final

import attrs

from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.rivals import Rivals
from alohub_async.rate_limits.weighted import WeightedFit

LONGEST: Final = 360  # windows that something learnt holds without being shown again; an hour of 10-second ones
_FIRST_DISTRUST: Final = 4  # windows after a wrong reset
_MAX_DISTRUST: Final = 64
_ROUNDING: Final = 1e-6  # seconds: possible error of a difference of clock readings
_ALIKE: Final = 10  # up to this limit, both kinds of weighted counter allow the same number of requests
_HOLDS: Final = 6  # requests held back to tell two weighted counters apart


@attrs.define(eq=False, repr=False)
class Clocks:
    """The clocks of one budget. `limit` is 1 or more; `used_up` is whether the server has said that nothing is left."""

    window: float  # seconds
    rivals: Rivals
    sends: EventHistory = attrs.field(init=False)
    answers: EventHistory = attrs.field(init=False)
    fit: WeightedFit = attrs.field(init=False)
    older_since: float = math.inf  # when requests more than a window old were first seen to count
    oldest: int = 0  # number, from 1, of the request last checked for that
    oldest_at: float = -math.inf  # it was answered then, or later
    trial: bool = False  # whether the next request is one that not every weighted counter would allow
    zero_sent_at: float = -math.inf  # when the newest request was sent whose answer said that nothing is left
    _tries_from: float = -math.inf
    _trial_pause: int = LONGEST
    _holds: int = _HOLDS  # left
    _reset_at: float = math.inf
    _trusts_reset_from: float = -math.inf
    _distrust: int = _FIRST_DISTRUST  # windows
    _limit_since: float = -math.inf  # when the limit last changed
    _limit_before: int = 0  # its lowest value in the window before that

    def __attrs_post_init__(self) -> None:
        self.sends = EventHistory(self.window, late=False)
        self.answers = EventHistory(self.window, late=True)
        self.fit = WeightedFit(self.window)

    def use_window(self, window: float) -> None:
        """Use a window of that many seconds."""
        self.window = self.rivals.window = window
        self.sends.lengthen(window)
        self.answers.lengthen(window)
        self.fit = WeightedFit(window)

    def change_limit(self, before: int, now: float) -> None:
        """Note that the limit is another one now. A raised one holds only after a window.

        A token bucket that was made larger is not full at once.
        """
        recent = self._limit_before if now < self._limit_since + self.window else before
        self._limit_before, self._limit_since = min(recent, before), now
        self.older_since = math.inf
        if before > 1 and self.fit.possible and not self.fit.vague:
            self._tries_from = now + self.window * LONGEST  # it is a weighted counter, whatever the limit

    def check_older(self, oldest: int, forgotten: float, now: float) -> None:
        """Note if a request counts that should be `forgotten`, as all that were answered by that time.

        The result holds for the requests after it, too: they were not answered earlier.
        """
        answered_at = self.answers.reached(oldest)
        self.oldest, self.oldest_at = oldest, min(answered_at, now)
        if answered_at <= forgotten and now >= self._limit_since + self.window:
            self.older_since = now

    def note_empty(self, sent_at: float, now: float, reset: float | None) -> None:
        """Note that nothing is left, as an answer says."""
        if sent_at >= self.zero_sent_at:
            self.zero_sent_at = sent_at
            self._reset_at = math.inf if reset is None else now + reset

    def holds_back(self, limit: int) -> bool:
        """Whether the last request of this refill is to wait, so that its answer tells two weighted counters apart."""
        held = bool(self._holds and limit > _ALIKE and self.fit.undecided)
        self._holds -= held
        return held

    def doubt(self, now: float) -> bool:
        """Note a 429 that came although the clocks allowed a request; return whether it was a trial."""
        failed, self.trial = self.trial, False
        if failed:
            self._tries_from = now + self.window * self._trial_pause
            self._trial_pause *= 2
        if now >= self._trusts_reset_from and self._reset_at < math.inf:
            self._trusts_reset_from = now + self.window * self._distrust
            self._distrust = min(2 * self._distrust, _MAX_DISTRUST)
        self.fit.restart(now)
        self.fit.doubt(now)  # some servers count it, others do not
        self.older_since = math.inf
        return failed

    def forgotten_at(self, now: float, limit: int, *, used_up: bool, again_at: float | None) -> float:
        """When the server has certainly forgotten one of our counted requests, or when it asked us to come back."""
        window, answers, least = self.window, self.answers, limit
        if now < self._limit_since + window:
            least = max(1, min(limit, self._limit_before))
        forgotten = answers.by(self.zero_sent_at - window + _ROUNDING) if used_up else 0
        if again_at is None:
            forgotten = max(forgotten, self.sends.total - least)
            due = min(answers.reached(forgotten + 1) + window, self._reset_due(now, used_up=used_up))
        else:
            due = again_at
        if self.rivals.patience:
            patience = self.rivals.patience * self._share(limit, used_up=used_up)
            several = forgotten + 1 + int(patience * least / window)
            due = max(due, min(answers.reached(several) + window, due + patience))
        return due

    def yields(self, now: float, limit: int, *, used_up: bool) -> float:
        """Seconds that the look waits for other clients."""
        share = self._share(limit, used_up=used_up)
        if not self.fit.possible and share < 1.0 - 1.5 / limit:
            self.rivals.show(now)
        return self.rivals.yields(now, share)

    def opens_at(self, due: float, now: float, limit: int, *, used_up: bool, refused: bool) -> float:
        """When a request goes that the memory allows at `due`, by a weighted counter; `refused`: the last one was."""
        fit, sent, small = self.fit, self.sends.total, limit == 1
        fit.learn(now, limit, self.sends, self.answers)
        opening = fit.opening(now, limit, sent, self.answers)
        if now >= self.older_since + self.window and opening > -math.inf:
            due = opening
        certain = max(due, opening)
        unclear = small or (limit > _ALIKE and not self._holds and fit.undecided)
        if unclear and not refused and now >= self._tries_from:
            even = -math.inf if small else fit.opening(now, limit, sent, self.answers, even=True)
            self.trial = max(due, even) < certain
            certain = max(due, even)
        return min(certain, self._reset_due(now, used_up=used_up))

    def _share(self, limit: int, *, used_up: bool) -> float:
        """The part of the budget that this client had when nothing was left."""
        zero = self.zero_sent_at
        if not used_up:
            return 1.0
        return min(1.0, (self.sends.by(zero) - self.answers.by(zero - self.window + _ROUNDING)) / limit)

    def _reset_due(self, now: float, *, used_up: bool) -> float:
        """When the budget is full again, as the server said; inf if it has not said so of the current state."""
        return self._reset_at if now >= self._trusts_reset_from and used_up else math.inf
