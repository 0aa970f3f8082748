"""How much of one budget is left, and when more becomes available: pure state, with no clock and no event loop.

**Known.** A server allows a scope (a tenant or a route) `limit` requests per `window`. Every answer says how many
`remain`; a 429 says how long to wait. **Unknown:** the server's algorithm (fixed windows, aligned to the clock or
started by the first request; a sliding log; a weighted sliding counter; a token bucket), the window's phase, who else
spends from the budget, and the order in which requests that were in flight together reached the server.
`alohub_async.testing.windows` has the five algorithms. A bucket exceeds none of them while it is the only client. When
others spend from the same budget, it gets a few 429s.

**Counts decide what may go now.** One fact holds for all five: what is free at the server only grows, except for what
is sent. So an answer with `remaining` = R leaves room for R requests, minus every other request that was not answered
yet when this one was sent, because the server may have counted it later. This number is the *credit*:

- Each request takes one credit when it is sent. No answer gives it back; only room that the server reports does.
- An answer that reports more room than the credit shows a refill: the credit rises to it. An answer that reports less,
  to a request sent after the last refill was seen, lowers the credit: somebody else spends.
- The *lowest* R since the last refill, minus the requests in flight, is a second bound of the same kind. A request
  must be within both.
- While nothing is known, and when the last answer is older than a window, one request goes first.

**Clocks decide when to look again** once the credit is used up. No burst is sent at a predicted time: one request goes,
and its answer says how many may follow.

- *Memory.* A server has forgotten a request one window after its answer came. While fewer than `limit` of our requests
  are unanswered or younger than that, one more is safe under all algorithms but the weighted counter. Once the server
  has reported that nothing is left, other clients hold the rest of the budget: then the bucket waits until the first of
  our counted requests is forgotten.
- *Opening of the weighted counter* (`weighted.py`), while such a counter explains all answers: the later of the two
  times. It is the opening alone if requests more than a window old were seen to count, and such a counter still
  explains all answers one window after that.
- *`Retry-After`* blocks until it is over, at most for `max_block` seconds. If the server asked for more, one request
  goes then, and the others wait for its answer. A `reset`, which the vendor does not document, shortens the wait. One
  that proves wrong is not trusted for some windows, and twice as many each time.

**Other clients.** A 429 means that somebody else spends, or that the server counts in some other way. It gives the
bucket *patience*: every 429 doubles it, every served request reduces it by 2 %, which keeps the share of 429s near 3 %.
Patience lets several of our requests be forgotten, or some time pass, before the next look. No client can avoid all
429s: what others spend after an answer has left the server, and before our next request arrives, is not known.

**A longer window.** A server whose window is longer than the bucket's is exceeded about once per window. Two 429s with
requests served between them, whose `Retry-After` no window of the assumed length explains, make the bucket use the
longer one, for two of these windows. Then it tries the given one again; one such 429 brings the longer one back, for
twice as long. So a wrong `Retry-After` changes nothing for good.

**Limits of the method.** The bucket does not wait for answers slower than a tenth of a window; with other clients, this
costs some precision. The server may count a cancelled request later than the bucket assumes. A weighted counter shared
with other clients is handled by memory and patience only.
"""

import math
from typing import Final, TypeAlias

import attrs

from alohub_async.rate_limits.history import BATCH, EventHistory
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.weighted import WeightedFit
from alohub_async.validation import check_seconds

_SLOW_ANSWER: Final = 0.1  # windows; the bucket does not wait for an answer that takes longer
_MIN_PATIENCE: Final = 0.01  # windows
_MAX_PATIENCE: Final = 0.25  # windows
_PATIENCE_KEPT: Final = 0.98  # of the patience, after each served request; with 3 % of 429s it stays constant
_ROUNDING: Final = 1e-6  # seconds: possible error of a difference of clock readings
_FIRST_BACKOFF: Final = 0.1  # windows to wait after a 429 without `Retry-After`; each one in a row doubles it
_SHOWN: Final = 4  # windows in which a second 429 confirms what the first one showed
_FIRST_TRUST: Final = 2  # windows that a longer window is used, before the given one is tried again
_MAX_TRUST: Final = 64
_FIRST_DISTRUST: Final = 4  # windows after a wrong reset

Ticket: TypeAlias = tuple[int, float, int]
"""One request in flight, as `Bucket.send` booked it: its number (how many were sent before it), when it was sent, and
how many had been answered by then."""


@attrs.define(eq=False, repr=False)
class Bucket:
    """The budget of one scope, as far as the client knows it.

    Ask `ready_at`, call `send` when that is now, and `settle` every ticket once, when its request has ended. All times
    are seconds of one monotonic clock; if it goes back, the bucket takes it to stand still. Each call takes constant
    time, whatever the limit and however many wait; only the weighted fit, once per wait, takes longer. Memory is
    bounded by what is in flight and a few thousand numbers.

    Every request goes through two buckets. So `send` and the usual `settle` call no function of ours, which saves 10
    calls for each request: they append to the histories and to the fit directly, and `ready_until` saves asking
    `ready_at`. A comparison or a count stands where `min`, `max` or `len` would be called for every request.
    """

    window: float = 10.0  # seconds; longer than given while 429s have shown that it is
    _max_block: float = math.inf  # the most seconds that a `Retry-After` blocks
    limit: int | None = None  # None while unknown, and for good if answers say nothing about this scope
    denials: int = 0  # 429s so far
    blocked_until: float = -math.inf  # when the last `Retry-After` ends, as far as it is believed
    # When it ends by the server's word, if that is later: until an answer comes, one request goes at a time.
    asked_until: float = -math.inf
    ready_until: float = -math.inf  # up to then, `ready_at` returns its argument; -inf if it must be asked
    _unlimited: bool = False
    _now: float = -math.inf
    _open: dict[int, Ticket] = attrs.field(factory=dict[int, Ticket])  # sent and not settled yet, by number
    _sent: int = 0
    _answered: int = 0  # or lost
    _sends: EventHistory = attrs.field(init=False)
    _answers: EventHistory = attrs.field(init=False)
    _last_send: float = -math.inf
    # counts
    _credit: int = 0
    _lowest: int = 0  # `remaining` of all answers since the last refill; the credit is never above it
    _fence: int = 0  # number of the first ticket sent after that refill was seen
    _fresh_until: float = -math.inf  # until then the last answer is not older than a window
    _newest: int = -1  # number of the ticket whose answer says what `limit` is
    _limit_since: float = -math.inf  # when it last changed
    _limit_before: int = 0  # its lowest value in the window before that
    # clocks
    _zero_sent_at: float = -math.inf  # when the newest request was sent whose answer said that nothing is left
    _reset_at: float = math.inf
    _trusts_reset_from: float = -math.inf
    _distrust: int = _FIRST_DISTRUST  # windows
    _fit: WeightedFit = attrs.field(init=False)
    _older_since: float = math.inf  # when requests more than a window old were first seen to count
    _oldest: int = 0  # number, from 1, of the request last checked for that
    _oldest_at: float = -math.inf  # it was answered then, or later
    _due: float | None = None  # what the clocks say, until something changes
    # a longer window
    _given_window: float = attrs.field(init=False)
    _shown: float = 0.0
    _shown_until: float = -math.inf  # until then, one more 429 confirms what was shown
    _served_since: bool = False
    _window_until: float = math.inf  # until then a longer one is used
    _trust: int = _FIRST_TRUST
    # other clients
    _patience: float = 0.0
    _denied_in_row: int = 0

    def __attrs_post_init__(self) -> None:
        check_seconds("window", self.window)
        self._given_window = self.window
        self._sends = EventHistory(self.window, late=False)
        self._answers = EventHistory(self.window, late=True)
        self._fit = WeightedFit(self.window)

    @property
    def in_flight(self) -> int:
        """Requests sent and not settled yet."""
        return len(self._open)

    def free(self, now: float) -> int | None:
        """How many requests may go now; None if the limit of this scope is unknown, or there is none."""
        if self.limit is None:
            return None
        return 0 if self.ready_at(now) > now else max(1, min(self._credit, self._lowest - self.in_flight))

    def ready_at(self, now: float) -> float:
        """When a request may go, as far as is known: `now`, a later time, or inf if an answer must come first.

        An answer may make it earlier. It is finite whenever nothing is in flight, even with a limit of 0: then one
        request per window checks whether the limit still is 0.
        """
        if now <= self.ready_until:
            return now
        if now < self.blocked_until:
            return self.blocked_until
        in_flight = len(self._open)
        if self.limit is None or self.asked_until > -math.inf:
            return now if not in_flight or (self._unlimited and not self._denied_in_row) else math.inf
        free = self._credit > 0 and self._lowest > in_flight
        if free and (now <= self._fresh_until or not in_flight):
            return now
        if free:
            return max(now, self._last_send + self.window * _SLOW_ANSWER)
        return max(now, self._next_look(now))

    def forecast(self, requests: int, now: float) -> float:
        """The least number of seconds until the last of that many requests can go, if no others go before.

        0.0 if all of them may go now, or nothing is known. Where windows begin at fixed times, they may go sooner, by
        less than a window.
        """
        if self.limit is None:
            return max(0.0, self.blocked_until - now)
        free = self.free(now) or 0
        if requests <= free:
            return 0.0
        # With some free, an answer may show a refill at any moment; with none, nothing goes before the next look.
        first = 0.0 if free else self.ready_at(now) - now
        return first + self.window * ((requests - free - 1) // max(self.limit, 1))

    def send(self, now: float) -> Ticket:
        """Book one request. `ready_at` should be now; if it is not, the request is booked all the same."""
        if now > self._now:
            self._now = now
        else:
            now = self._now  # the clock went back
        self._last_send = now
        self._due = None
        number = self._sent
        self._sent = number + 1
        self._open[number] = ticket = number, now, self._answered
        self._sends.recent.append(now)
        credit = self._credit
        if credit > 0:
            self._credit = credit = credit - 1
            if not credit or self._lowest <= number + 1 - self._answered:
                self.ready_until = -math.inf
        if not number % BATCH:
            self._sends.fold()
            self._answers.fold()
            self._fit.fold()
        return ticket

    def settle(
        self,
        ticket: Ticket,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
    ) -> None:
        """Note how a booked request ended. Every ticket must be settled, however its request ended.

        A ticket that is settled already, or belongs to another bucket, is ignored. `snapshot` is what the answer said
        about this scope, if anything.

        - `denied`: it was a 429, and this scope is to blame: nothing remains in it, or in no scope.
        - `retry_after`: seconds that a 429 asks to wait.
        - `lost`: there was no answer: the request failed, timed out or was cancelled. The server may have counted it,
          so its credit is not given back. (An answer without headers, for a scope that has had some, is treated alike.)
        """
        number, sent_at, answered = ticket
        if number not in self._open or self._open[number] is not ticket:
            return
        del self._open[number]
        if now > self._now:
            self._now = now
        else:
            now = self._now
        self._due = None
        self._answered += 1
        self._answers.recent.append(now)
        if snapshot is None:
            self._settle_unread(now, denied=denied, retry_after=retry_after, lost=lost)
            return
        limit, remaining, reset = snapshot
        remaining = remaining if 0 <= remaining <= limit else max(0, min(remaining, limit))
        if number > self._newest:
            self._newest = number
            self.limit = limit if limit == self.limit else self._changed_limit(limit, now)
        sent = self._sent
        room = remaining - (sent - answered - 1)  # those in flight have been taken off the credit already
        if room > self._credit:
            self._credit = room
            self._lowest = remaining
            self._fence = sent
        elif number >= self._fence and remaining < self._lowest:
            self._lowest = remaining
        self._fresh_until = fresh_until = now + self.window
        free = self._credit > 0 and self._lowest > sent - self._answered and now >= self.blocked_until
        self.ready_until = fresh_until if free else -math.inf
        if self._fit.possible and not denied:
            used = limit - remaining
            self._fit.recent.append((sent_at, now, answered + 1, sent, used))
            oldest = sent + 2 - used  # if our last ones count, then from this one on; one may be rounding
            if now < self._older_since and (oldest < self._oldest or self._oldest_at <= sent_at - self.window):
                self._check_older(oldest, sent_at - self.window, now)
        if not remaining or self._credit > self._lowest or denied or self._patience or self._denied_in_row:
            self._settle_special(now, sent_at, remaining, reset, denied=denied, retry_after=retry_after)

    def _settle_special(
        self, now: float, sent_at: float, left: int, reset: float | None, *, denied: bool, retry_after: float | None
    ) -> None:
        """What few answers need: others spend, nothing is left, it was a 429, or a request served after one."""
        self._credit = min(self._credit, self._lowest)
        if not left and sent_at >= self._zero_sent_at:
            self._zero_sent_at = sent_at
            self._reset_at = math.inf if reset is None else now + reset
        self._judge(now, denied=denied, retry_after=retry_after, empty=not left)

    def _settle_unread(self, now: float, *, denied: bool, retry_after: float | None, lost: bool) -> None:
        """Note an answer that said nothing about this scope, or that there was none."""
        if self.limit is not None:
            self._fit.doubt(now)
        if denied or not lost:
            self._judge(now, denied=denied, retry_after=retry_after, empty=False)
            self._unlimited = self._unlimited or not denied
        if self.limit is None and self._unlimited and not self._denied_in_row and now >= self.blocked_until:
            self.ready_until = math.inf

    def _check_older(self, oldest: int, forgotten: float, now: float) -> None:
        """Note if a request counts that should be `forgotten`, as all that were answered by that time.

        The result holds for the requests after it, too: they were not answered earlier.
        """
        answered_at = self._answers.reached(oldest)
        self._oldest, self._oldest_at = oldest, min(answered_at, now)
        if answered_at <= forgotten and now >= self._limit_since + self.window:
            self._older_since = now

    def _changed_limit(self, limit: int, now: float) -> int:
        """Return the new limit. For the counts it holds at once; for the clocks, a raised one only after a window.

        A token bucket that was made larger is not full at once.
        """
        if self.limit is not None:
            recent = self._limit_before if now < self._limit_since + self.window else self.limit
            self._limit_before, self._limit_since = min(recent, self.limit), now
            self._older_since = math.inf
        return limit

    def _judge(self, now: float, *, denied: bool, retry_after: float | None, empty: bool) -> None:
        """Follow a 429, or a served request after one; `empty` if the answer said that nothing remains."""
        if denied:
            self._deny(now, retry_after)
            if retry_after is not None and empty:
                self._learn_window(now, retry_after)
        else:
            if now >= self.blocked_until or self.asked_until < now:  # else it was sent before the 429
                self._denied_in_row = 0
                self.asked_until = -math.inf
            self._served_since = True
            self._patience *= _PATIENCE_KEPT
            if self._patience < self.window * _MIN_PATIENCE / 4:
                self._patience = 0.0

    def _deny(self, now: float, retry_after: float | None) -> None:
        self.denials += 1
        self._denied_in_row += 1
        self._credit = self._lowest = 0
        self.ready_until = -math.inf
        self._fence = self._sent
        if now >= self._trusts_reset_from and self._reset_at < math.inf:
            self._trusts_reset_from = now + self.window * self._distrust
            self._distrust = min(2 * self._distrust, _MAX_TRUST)
        self._patience = self.window * min(_MAX_PATIENCE, max(2 * self._patience / self.window, _MIN_PATIENCE))
        if retry_after is None:
            retry_after = self.window * min(1.0, _FIRST_BACKOFF * 2.0 ** min(self._denied_in_row - 1, 9))
        self.blocked_until = now + min(retry_after, self._max_block)
        self.asked_until = now + retry_after if retry_after > self._max_block else -math.inf
        self._fit.restart(now)
        self._older_since = math.inf

    def _learn_window(self, now: float, retry_after: float) -> None:
        """Lengthen the window if this `Retry-After`, and one before it, cannot come from one as short as assumed.

        Servers round up to whole seconds. A weighted counter that is used up in its current window allows the next
        request up to one window and a share of `1 / limit` later; more if it counts denied requests.
        """
        limit = max(self.limit or 1, 1)
        if not self.window + max(1.0, 2 * self.window / limit) < retry_after <= self._max_block:
            return
        oldest = self._answers.reached(self._sent - limit)
        window = retry_after + (min(now - oldest, retry_after) if math.isfinite(oldest) else 0.0)
        if now >= self._shown_until:
            self._trust, self._shown = _FIRST_TRUST, window
        elif self._served_since:
            self._shown = window = max(window, self._shown)
            self._use_window(window)
            self._window_until = now + self._trust * window
            self._trust = min(2 * self._trust, _MAX_TRUST)
        self._shown_until, self._served_since = now + _SHOWN * window, False

    def _use_window(self, window: float) -> None:
        self.window = window
        self._sends.lengthen(window)
        self._answers.lengthen(window)
        self._fit = WeightedFit(window)

    def _next_look(self, now: float) -> float:
        """When the clocks allow one request, with the credit used up."""
        if now >= self._window_until:
            self._window_until, self._due = math.inf, None
            self._shown_until, self._served_since = now + _SHOWN * self.window, True
            self._use_window(self._given_window)
        if self._due is None:
            due = self._forgotten_at()
            if self._open:
                due = max(due, self._last_send + self.window * _SLOW_ANSWER)
                if due > now:
                    return due  # an answer will change it: a fit is not worth its time
            self._due = self._with_weighted_opening(due, max(now, self._now))
        return self._due

    def _forgotten_at(self) -> float:
        """When the server has certainly forgotten one of our counted requests, or when it asked us to come back."""
        limit, window, answers = max(self.limit or 0, 1), self.window, self._answers
        if self._now < self._limit_since + window:
            limit = max(1, min(limit, self._limit_before))
        forgotten = answers.by(self._zero_sent_at - window + _ROUNDING) if self._lowest <= 0 else 0
        if self._denied_in_row:
            due = self.blocked_until
        else:
            forgotten = max(forgotten, self._sent - limit)
            due = min(answers.reached(forgotten + 1) + window, self._reset_due())
        if self._patience:
            several = forgotten + 1 + int(self._patience * limit / window)
            due = max(due, min(answers.reached(several) + window, due + self._patience))
        return due

    def _with_weighted_opening(self, due: float, now: float) -> float:
        if self._denied_in_row:
            return due
        opening = self._fit.opening(now, max(self.limit or 1, 1), self._sends, self._answers)
        if now >= self._older_since + self.window and opening > -math.inf:
            due = opening
        return min(max(due, opening), self._reset_due())

    def _reset_due(self) -> float:
        """When the budget is full again, as the server said; inf if it has not said so of the current state."""
        return self._reset_at if self._now >= self._trusts_reset_from and self._lowest <= 0 else math.inf

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Take back a booking whose request was not sent: its credit is free again.

        For the clocks, it counts as a request that was answered now. A ticket that is settled already is ignored.
        """
        if self._open.pop(ticket[0], None) is ticket:
            self._now = max(self._now, now)
            self._due = None
            self._answered += 1
            self._answers.recent.append(self._now)
            self._credit = min(self._credit + 1, self._lowest)
            self._fit.doubt(self._now)
