"""How much of one budget is left, and when more of it comes back: pure state, no clock and no event loop.

**What is known.** A server allows a scope (a tenant, a route) `limit` requests over a `window` and says on every answer
how many `remain`; a 429 says how long to wait. **What is not:** how it counts (clock-aligned or from the first request,
a sliding log, a weighted sliding counter, a token bucket), when its window turns, who else spends from the budget, and
in which order requests that were on their way together got there. `alohub_async.testing.windows` has the five ways to
count. A bucket overruns none of them while nobody else spends; when somebody does, it loses a few requests to 429s.

**Counts say what may go now.** One thing holds under all five: what is free at the server only grows, except for what
is sent. So an answer that leaves R leaves room for R requests, less every other one that was not answered when this one
was sent (it may have been counted later). That much is *credit*:

- Each send books one. No answer gives a booking back; only room that the server shows does.
- An answer that shows more room than there is credit has seen a refill: it is adopted. One that shows less, and whose
  request was sent after the last refill was seen, lowers the credit: somebody else spends.
- The *lowest* R since the last refill, less what is in flight, is a second bound of the same kind. Both must allow it.
- While nothing is known, and when the last answer is older than a window, one request goes first.

**Clocks say when to look again** once the credit is used up. Never a burst at a predicted time: one request goes, and
its answer says how many may follow.

- *Memory.* A server has forgotten a request one window after its answer came. While fewer than `limit` of ours are not
  answered or not that old, one more is safe under all but the weighted counter. Once the server has said that nothing
  is left, others hold what we do not, so it is the first of ours to be forgotten after that.
- *The weighted counter's opening* (`weighted.py`), as long as such a counter explains all that was seen: the later of
  the two clocks, or the opening alone once it has outlived a window after older requests were seen to count.
- *`Retry-After`* blocks until it is over. A `reset`, which the vendor does not document, shortens the wait until it is
  first seen to be wrong.

**Strangers.** A 429 shows that somebody else spends, or that the server counts in some other way. It gives the bucket
*patience*: twice as much with every 429, 2 % less with every request served, which holds the share of 429s near 3 %.
Patience lets several of our requests be forgotten, or time pass, before the next look. None at all cannot be had: what
others take between an answer's leaving and our next arriving is not known to anyone.

**Weak spots.** A server whose window is longer than the bucket's is overrun about once a window until a `Retry-After`
teaches better (see `Bucket.settle`). Answers slower than a tenth of a window are not waited for, at some loss of
precision with strangers. A request that was given up may be counted later than the bucket thinks. A weighted counter
shared with strangers is left to memory and patience.
"""

import math
from typing import Final, TypeAlias

from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.weighted import WeightedFit

_SLOW: Final = 0.1  # windows: an answer that takes longer is not waited for
_LEAST_PATIENCE: Final = 0.01  # windows
_MOST_PATIENCE: Final = 0.25  # windows
_CALMING: Final = 0.98  # of the patience is left after a request was served: with 3 % of 429s it stays what it is
_ROUNDING: Final = 1e-6  # seconds: what differences of clock readings may be off by
_UNKNOWN_WAIT: Final = 0.1  # windows to wait after a 429 without `Retry-After`, doubled by each in a row


# Every request goes through two buckets. So what all of them do is written out here, with comparisons for `max` and
# `min`, plain tuples, and no call that a line can save; what few do is in functions of its own.

Ticket: TypeAlias = tuple[int, float, int]
"""One request on its way, as `Bucket.send` booked it: its number (how many were sent before it), when it was sent, and
how many had been answered then."""


class Bucket:
    """The budget of one scope as its client knows it.

    Ask `ready_at`, `send` when that is now, and `settle` every ticket exactly as its request ended. All times are
    seconds of one monotonic clock; one that goes back is taken to stand still. Each call takes constant time (the
    weighted fit apart, which is worked out once per wait), whatever the limit and however many wait; memory is bounded
    by what is in flight and a few thousand numbers.

    Example:
        >>> bucket = Bucket()
        >>> first = bucket.send(0.0)
        >>> bucket.ready_at(0.1)  # nothing is known yet: its answer must come first
        inf
        >>> bucket.settle(first, 0.2, RateLimit(limit=2, remaining=1))
        >>> bucket.ready_at(0.2)
        0.2
        >>> bucket.settle(bucket.send(0.2), 0.4, RateLimit(limit=2, remaining=0))
        >>> bucket.ready_at(0.4) > 10.2  # a window after the first answer, and a little for a weighted counter
        True

    Args:
        window: Seconds the limit counts over.

    Attributes:
        window: Seconds; longer than given once a `Retry-After` has shown that it is.
        limit: Requests a window; None while unknown, and for good if answers say nothing about this scope.
        denials: 429s so far.
        blocked_until: When the last `Retry-After` is over; -inf before the first.
    """

    __slots__ = (
        "_answers",
        "_credit",
        "_denied_in_row",
        "_due",
        "_fence",
        "_fit",
        "_fresh_until",
        "_last_send",
        "_limit_before",
        "_limit_since",
        "_lowest",
        "_newest",
        "_now",
        "_older_since",
        "_oldest",
        "_oldest_at",
        "_open",
        "_patience",
        "_reset_at",
        "_sends",
        "_trusts_reset",
        "_unlimited",
        "_zero_sent_at",
        "blocked_until",
        "denials",
        "limit",
        "window",
    )

    def __init__(self, window: float = 10.0) -> None:
        if not 0 < window < math.inf:
            raise ValueError(f"a window is a number of seconds above 0, got {window}")
        self.window: float = window
        self.limit: int | None = None
        self.denials: int = 0
        self.blocked_until: float = -math.inf
        self._unlimited = False
        self._now = -math.inf
        self._open: dict[int, Ticket] = {}  # sent and not settled yet, by number
        self._sends = EventHistory(window, late=False)
        self._answers = EventHistory(window, late=True)
        self._last_send = -math.inf
        # counts
        self._credit = 0
        self._lowest = 0  # remaining, of all answers since the last refill
        self._fence = 0  # number of the first ticket sent after that refill was seen
        self._newest = -1  # number of the ticket that said what `limit` is
        self._limit_since = -math.inf  # when it was last seen to change
        self._limit_before = 0  # the least it was in the window before that
        self._fresh_until = -math.inf
        # clocks
        self._zero_sent_at = -math.inf  # when the newest request that found nothing left was sent
        self._reset_at = math.inf
        self._trusts_reset = True
        self._fit = WeightedFit(window)
        self._older_since = math.inf  # when requests more than a window old were first seen to count
        self._oldest = 0  # number, from 1, of the one last looked at for that
        self._oldest_at = -math.inf  # it was answered then, or later
        self._due: float | None = None  # what the clocks say, until something changes
        # strangers
        self._patience = 0.0
        self._denied_in_row = 0

    @property
    def in_flight(self) -> int:
        """Requests sent and not settled yet."""
        return len(self._open)

    def free(self, now: float) -> int | None:
        """How many requests may go now; None if this scope does not limit them, or not as far as is known."""
        if self.limit is None:
            return None
        if self.ready_at(now) > now:
            return 0
        return max(1, min(self._credit, self._lowest - self.in_flight))

    def ready_at(self, now: float) -> float:
        """When a request may go, as far as can be told: `now`, a later time, or inf if an answer must come first.

        It may turn out sooner when an answer comes. It is finite whenever nothing is in flight, even with a limit of 0:
        one request a window then looks whether it still is.
        """
        if now < self.blocked_until:
            return self.blocked_until
        in_flight = self._sends.total - self._answers.total
        free = self._credit > 0 and self._lowest > in_flight
        if free and (now <= self._fresh_until or not in_flight):
            return now
        if self.limit is None:
            return now if not in_flight or (self._unlimited and not self._denied_in_row) else math.inf
        if free:
            return max(now, self._last_send + self.window * _SLOW)
        if self._due is None:
            due = self._memory()
            if in_flight:
                due = max(due, self._last_send + self.window * _SLOW)
            if due > now and in_flight:
                return due  # an answer will change it: not worth more work
            self._due = self._weighted(due, max(now, self._now))
        return max(now, self._due)

    def forecast(self, requests: int, now: float) -> float:
        """The least seconds until the last of so many requests can go, if they are the next ones and all of this scope.

        0.0 if all of them may go now, or as far as is known. Where windows begin at fixed times, they may go sooner, by
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

    def send(self, now: float, *, unsettled: int = 0) -> Ticket:
        """Book one request. It should be `ready_at` now; if it is not, it is booked all the same.

        Args:
            now: In seconds.
            unsettled: How many answers are there that are not settled yet.
        """
        if now > self._now:
            self._now = now
        else:
            now = self._now  # the clock went back
        self._last_send = now
        self._due = None
        sends = self._sends
        number = sends.total
        self._open[number] = ticket = number, now, self._answers.total + unsettled
        if now < sends.step_ends:
            sends.total += 1  # as `add` does
        else:
            sends.add(now)
        if self._credit > 0:
            self._credit -= 1
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
        since: int = 0,
    ) -> None:
        """Note how a booked request ended. Every ticket must be settled, however its request ended.

        A ticket that is settled already, or is another bucket's, is ignored.

        Args:
            ticket: What `send` returned.
            now: When the answer was there.
            snapshot: What it said of this scope; None if it said nothing or there was none.
            denied: It was a 429 for which this scope is to blame: nothing remains in it, or in no scope.
            retry_after: Seconds a 429 asks to wait. More than a window shows that the window is longer than thought (a
                little more may come from a weighted counter).
            lost: There was no answer: failed, timed out, cancelled. It may have been counted, so its booking stays.
                (An answer without headers of a scope that has had some is treated alike.)
            since: How many were sent since `now`, which the answer cannot know of.
        """
        number = ticket[0]
        if number not in self._open or self._open[number] is not ticket:
            return
        del self._open[number]
        if now > self._now:
            self._now = now
        else:
            now = self._now
        self._due = None
        answers = self._answers
        if now < answers.step_ends:
            answers.total += 1  # as `add` does
            answers.times[-1] = now
        else:
            answers.add(now)
        if snapshot is not None:
            limit, remaining, reset = snapshot
            if not 0 <= remaining <= limit:
                remaining = max(0, min(remaining, limit))
            self._read(ticket, now, limit, remaining, reset, denied=denied, since=since)
        else:
            self._unlimited = self._unlimited or not (lost or denied)
            if self.limit is not None:
                self._fit.doubt(now)
        if denied:
            self._deny(now, retry_after)
            if retry_after is not None and snapshot is not None and snapshot.remaining <= 0:
                self._learn(now, retry_after)
        elif not lost and (self._denied_in_row or self._patience):
            self._calm()

    def _read(
        self, ticket: Ticket, now: float, limit: int, remaining: int, reset: float | None, *, denied: bool, since: int
    ) -> None:
        """Take in what an answer said: see the module's part on counts."""
        number, sent_at, answered = ticket
        if number > self._newest:
            self._newest = number
            if limit != self.limit:
                self._change_limit(limit, now)
        sent = self._sends.total - since
        room = remaining - (sent - answered - 1) - since  # those have been taken off the credit already
        if room > self._credit:
            self._credit = room
            self._lowest = remaining
            self._fence = sent
        elif number >= self._fence and remaining < self._lowest:  # which the credit is never above
            self._lowest = remaining
            if remaining - since < self._credit:  # noqa: PLR1730  (see above)
                self._credit = remaining - since
        self._fresh_until = now + self.window
        if remaining == 0 and sent_at >= self._zero_sent_at:
            self._zero_sent_at = sent_at
            self._reset_at = math.inf if reset is None else now + reset
        if self._fit.possible and not denied:
            used = limit - remaining
            self._fit.observe((sent_at, now, answered + 1, sent, used))
            oldest = sent + 2 - used  # if our last ones count, then from this one on; one may be rounding
            if now < self._older_since and (oldest < self._oldest or self._oldest_at <= sent_at - self.window):
                self._look_for_older(oldest, sent_at - self.window, now)

    def _look_for_older(self, oldest: int, forgotten: float, now: float) -> None:
        """Note if a request counts that should be `forgotten`, as those answered by that time.

        What is found out holds for the requests after it, too: they were not answered sooner.
        """
        answered_at = self._answers.reached(oldest)
        self._oldest, self._oldest_at = oldest, min(answered_at, now)
        if answered_at <= forgotten and now >= self._limit_since + self.window:
            self._older_since = now

    def _change_limit(self, limit: int, now: float) -> None:
        """Follow it at once in what answers say; in what the clocks say, a raised one counts only after a window.

        A token bucket that was made larger is not full at once.
        """
        if self.limit is not None:
            recent = self._limit_before if now < self._limit_since + self.window else self.limit
            self._limit_before, self._limit_since = min(recent, self.limit), now
            self._older_since = math.inf
        self.limit = limit

    def _deny(self, now: float, retry_after: float | None) -> None:
        self.denials += 1
        self._denied_in_row += 1
        self._credit = self._lowest = 0
        self._fence = self._sends.total
        self._trusts_reset = False
        self._patience = self.window * min(_MOST_PATIENCE, max(2 * self._patience / self.window, _LEAST_PATIENCE))
        if retry_after is None:
            retry_after = self.window * min(1.0, _UNKNOWN_WAIT * 2.0 ** min(self._denied_in_row - 1, 9))
        self.blocked_until = now + retry_after
        self._fit.restart(now)
        self._older_since = math.inf

    def _calm(self) -> None:
        """After a request that was served."""
        self._denied_in_row = 0
        self._patience *= _CALMING
        if self._patience < self.window * _LEAST_PATIENCE / 4:
            self._patience = 0.0

    def _learn(self, now: float, retry_after: float) -> None:
        """Lengthen the window if this `Retry-After` cannot come from one as short as thought.

        Servers round up to whole seconds. A weighted counter that is all used up in its current window lets the next
        request in up to one window and a share of `1 / limit` later, more if it counts denied requests.
        """
        longest = self.window + max(1.0, 2 * self.window / max(self.limit or 1, 1))
        if retry_after > longest:
            oldest = self._answers.reached(self._sends.total - max(self.limit or 1, 1))
            self.window = retry_after + (min(now - oldest, retry_after) if math.isfinite(oldest) else 0.0)
            self._sends.lengthen(self.window)
            self._answers.lengthen(self.window)
            self._fit = WeightedFit(self.window)

    def _memory(self) -> float:
        """When the server has surely forgotten one of our requests that it had counted, or asked us to come back."""
        limit, window, answers = max(self.limit or 0, 1), self.window, self._answers
        if self._now < self._limit_since + window:
            limit = max(1, min(limit, self._limit_before))
        forgotten = answers.by(self._zero_sent_at - window + _ROUNDING) if self._lowest <= 0 else 0
        if self._denied_in_row:
            due = self.blocked_until
        else:
            forgotten = max(forgotten, self._sends.total - limit)
            due = min(answers.reached(forgotten + 1) + window, self._reset())
        if self._patience:
            several = forgotten + 1 + int(self._patience * limit / window)
            due = max(due, min(answers.reached(several) + window, due + self._patience))
        return due

    def _weighted(self, due: float, now: float) -> float:
        if self._denied_in_row:
            return due
        opening = self._fit.opening(now, max(self.limit or 1, 1), self._sends, self._answers)
        if now >= self._older_since + self.window and opening > -math.inf:
            due = opening
        return min(max(due, opening), self._reset())

    def _reset(self) -> float:
        """When the server said that the budget is full again, if it has said so of the state it is in now."""
        return self._reset_at if self._trusts_reset and self._lowest <= 0 else math.inf
