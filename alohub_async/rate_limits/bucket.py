"""How much of one budget is left, and when more becomes available: pure state, with no clock and no event loop.

**Known.** A server allows a scope (a tenant or a route) `limit` requests per `window`. Every answer says how many
`remain`; a 429 says how long to wait. **Unknown:** the server's algorithm (fixed windows, aligned to the clock or
started by the first request; a sliding log; a weighted sliding counter; a token bucket), the window's phase, who else
spends from the budget, and the order in which requests that were in flight together reached the server.
`alohub_async.testing.windows` has the five algorithms, and the weighted counter in whole seconds of Kong. A bucket
exceeds none of them while it is the only client, but for one trial each (`clocks.py`). When others spend from the same
budget, it gets a few 429s.

**Counts decide what may go now** (`counts.py`).

**Clocks decide when to look again** once the credit is used up (`clocks.py`). `Retry-After` blocks until it is over, at
most for `max_block` seconds. If the server asked for more, one request goes then, and the others wait for its answer.

**Off by one.** Some servers report what was left before the request. A `remaining` that equals the limit shows it, and
so does a 429 when our own requests fill the limit: then one is taken off each `remaining`, for four windows, or for 64
and more once a 429 has confirmed it; a 429 in the four windows after that shows it again. A served request that leaves
nothing disproves it.

**Several windows** of one scope (50 per 10 s and 10 per second): each has a bucket of its own, and a request needs all
of them. `window_length.py` says how long each is.

**No headers**, or a limit that they do not tell: see `learned.py`.

**Other clients** (`rivals.py`). A 429 means that somebody else spends, or that the server counts in some other way.
None can avoid all 429s: what others spend between an answer and our next request is not known. After more than three in
a row the bucket stays away for up to two windows more, as refused requests may count.

**Limits of the method.** The bucket does not wait for answers slower than a tenth of a window; with other clients, this
costs some precision. The server may count a cancelled request later than the bucket assumes. A weighted counter shared
with other clients is handled by memory and patience only. A 429 because the limit was lowered cannot be foreseen.
"""

import math
from typing import Final

import attrs

from alohub_async.rate_limits.clocks import LONGEST
from alohub_async.rate_limits.counts import Counts, Ended
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.window_length import SHOWN

MANY: Final = 1 << 30  # requests: no limit
_FIRST_BACKOFF: Final = 0.1  # windows to wait after a 429 without `Retry-After`; each one in a row doubles it
_IN_ROW: Final = 3  # 429s in a row that say when to come back; more mean that many come back then


@attrs.define(eq=False, repr=False)
class Bucket(Counts):
    """The budget of one scope, as far as the client knows it.

    Ask `ready_at`, call `send` when that is now, and `settle` every ticket once, when its request has ended. All times
    are seconds of one monotonic clock; if it goes back, the bucket takes it to stand still. Each call takes constant
    time, whatever the limit and however many wait; only the weighted fit, once per wait, takes longer. Memory is
    bounded by what is in flight and a few thousand numbers.
    """

    @property
    def bucket(self) -> "Bucket":
        """Itself: what is known of a budget that no other process uses."""
        return self

    def free(self, now: float) -> int | None:
        """How many requests may go now; None if the limit of this scope is unknown, or there is none."""
        if self.limit is None:
            return None
        return 0 if self.ready_at(now) > now else max(1, min(self._credit, self._lowest - self.in_flight))

    def room(self, now: float) -> int:
        """How many requests may be booked now, one after another; many if there is no limit."""
        if self.ready_at(now) > now:
            return 0
        in_flight, room = len(self._open), 1.0
        if self.limit is None or self.blind:
            room = 1.0 if self._denied_in_row else self._untold.most - in_flight
        elif self._credit > 0 and in_flight < self._lowest and now <= self._fresh_until:
            held = self._held if now < self._held_until else 0
            slice_ = math.ceil(min(self._rivals.slice_of(self._lowest), self._lowest)) - in_flight
            room = min(self._credit - held, slice_)
        if self._untold.pace is not None:
            room = min(max(room, 1.0), self._untold.pace.room(now))
        if self.asked_until > -math.inf:
            room = 1.0
        for bucket, _ in self._others.values():
            room = min(room, bucket.room(now))
        return int(max(1.0, min(room, MANY)))

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

    def _settle_others(self, ended: Ended, snapshot: RateLimit | None) -> None:
        told = {} if snapshot is None else {each.window: each for each in snapshot.also if each.window}
        ticket, now, denied, retry_after, lost, _ = ended
        for window, (bucket, tickets) in [*self._others.items()]:
            other = told.pop(window, None)
            if booked := tickets.pop(ticket[0], None):
                used_up = denied and other is not None and not other.remaining
                bucket.settle(booked, now, other, denied=used_up, retry_after=retry_after, lost=lost)
            if bucket.blind:  # the server does not tell of it any more
                del self._others[window]
        for window, other in told.items():
            bucket = Bucket(window, self._max_block, learns=False)
            bucket.settle(bucket.send(now), now, other)
            self._others[window] = bucket, {}
        self._calm = False

    def _judge(self, ended: Ended, *, denied: bool, left: int | None) -> None:
        if denied:
            self._deny(ended, left)
            return
        if ended.at >= self.blocked_until or self.asked_until < ended.at:  # else it was sent before the 429
            self._unblock()
        self._length.served()
        self._clocks.trial = False
        self._rivals.served()
        self._untold.served()
        self._calm = not (self._untold.pace or self._rivals.patience or self._others)

    def _deny(self, ended: Ended, left: int | None) -> None:
        (_, sent_at, _), now, retry_after = ended.ticket, ended.at, ended.retry_after
        again = sent_at >= self._denied_at  # else it was sent together with others that were refused
        self._denied_at, self._calm = now, False
        self._denied_in_row += again or not self._denied_in_row
        if retry_after is None or retry_after <= 0.0:
            backoff = min(1.0, _FIRST_BACKOFF * 2.0 ** min(self._denied_in_row - 1, 9))
            retry_after = self.window * backoff * (0.75 + self.random() / 2)
        elif left == 0 and self._length.said is None and self._denied_in_row <= _IN_ROW:
            limit = max(self.limit or 1, 1)
            oldest = self._answers.reached(self._sent - limit)
            if retry_after <= self._max_block and self._length.denied(now, retry_after, limit=limit, oldest=oldest):
                self._use_window()
        if self._denied_in_row > _IN_ROW and self.limit:  # the 429s themselves may count
            longer = min(2.0, 0.25 * 2.0 ** (self._denied_in_row - _IN_ROW))
            # Whole windows: who comes in the middle of one finds what others have left, and that is nothing.
            retry_after += self.window * int(longer * (0.75 + self.random() / 2))
        self._block(now, retry_after)
        self._untold.denied(now, sent_at, retry_after, left=left, limit=self.limit, answers=self._answers)
        if left or self.blind:
            return  # the counts are right, or nothing is known of them
        self._credit = self._lowest = 0
        self._fence = self._sent
        self._doubt_clocks(now)
        self._rivals.denied(now)

    def _doubt_clocks(self, now: float) -> None:
        """A 429 came although the clocks allowed a request: look for what they did not know."""
        own = self._sent - self._answers.by(now - self.window) > (self.limit or math.inf)
        self._own_in_row = self._own_in_row + 1 if own else 0
        uncounted = now < self._uncounted_until + SHOWN * self.window
        if self._own_in_row > 1 or uncounted:
            self._uncounted_until = now + self._uncounted_trust * self.window
            self._uncounted_trust = min(4 * self._uncounted_trust, LONGEST)
        self._denied_in_row += self._clocks.doubt(now)  # no second look before the weighted counter allows one
