"""How much of one budget is left, and when more becomes available: pure state, with no clock and no event loop.

**Known.** A server allows a scope (a tenant or a route) `limit` requests per `window`. Every answer says how many
`remain`; a 429 says how long to wait. **Unknown:** the server's algorithm (fixed windows, aligned to the clock or
started by the first request; a sliding log; a weighted sliding counter; a token bucket), the window's phase, who else
spends from the budget, and the order in which requests that were in flight together reached the server.
`alohub_async.testing.windows` has the five algorithms, and the weighted counter in whole seconds of Kong. A bucket
exceeds none of them while it is the only client, but for one trial each (`clocks.py`). When others spend from the same
budget, it gets a few 429s.

**Counts decide what may go now.** One fact holds for all of them: what is free at the server only grows, except for
what is sent. So an answer with `remaining` = R leaves room for R requests, minus every other request that was not
answered yet when this one was sent, because the server may have counted it later. This number is the *credit*:

- Each request takes one credit when it is sent. No answer gives it back; only room that the server reports does.
- An answer that reports more room than the credit shows a refill: the credit rises to it. An answer that reports less,
  to a request sent after the last refill was seen, lowers the credit: somebody else spends.
- The *lowest* R since the last refill, minus the requests in flight, is a second bound of the same kind. A request
  must be within both.
- While nothing is known, and when the last answer is older than a window, one request goes first.

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
from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple, TypeAlias

import attrs

from alohub_async.rate_limits.clocks import LONGEST, Clocks
from alohub_async.rate_limits.history import BATCH, EventHistory
from alohub_async.rate_limits.learned import FIRST_BURST, Untold
from alohub_async.rate_limits.rivals import Rivals
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.window_length import SHOWN, WindowLength
from alohub_async.validation import check_seconds

MANY: Final = 1 << 30  # requests: no limit
_SLOW_ANSWER: Final = 0.1  # windows; the bucket does not wait for an answer that takes longer
_FIRST_BACKOFF: Final = 0.1  # windows to wait after a 429 without `Retry-After`; each one in a row doubles it
_IN_ROW: Final = 3  # 429s in a row that say when to come back; more mean that many come back then
_HOLD: Final = 0.8  # seconds that a request waits which tells two weighted counters apart

Ticket: TypeAlias = tuple[int, float, int]
"""One request in flight, as `Bucket.send` booked it: its number (how many were sent before it), when it was sent, and
how many had been answered by then."""


def half() -> float:
    """No jitter."""
    return 0.5


class Ended(NamedTuple):
    """How a request has ended; see `Bucket.settle`."""

    ticket: Ticket
    at: float
    denied: bool
    retry_after: float | None
    lost: bool
    elsewhere: bool


@attrs.define(eq=False, repr=False)
class Bucket:
    """The budget of one scope, as far as the client knows it.

    Ask `ready_at`, call `send` when that is now, and `settle` every ticket once, when its request has ended. All times
    are seconds of one monotonic clock; if it goes back, the bucket takes it to stand still. Each call takes constant
    time, whatever the limit and however many wait; only the weighted fit, once per wait, takes longer. Memory is
    bounded by what is in flight and a few thousand numbers.

    Every request goes through two buckets. So `send` and the usual `settle` call one function of ours at most: they
    append to the histories and to the fit directly, and `ready_until` saves asking `ready_at`. A comparison or a count
    stands where `min`, `max` or `len` would be called for every request.
    """

    offset: ClassVar[float] = 0.0  # seconds: its time less the loop's
    window: float = 10.0  # seconds; longer than given while 429s have shown that it is
    _max_block: float = math.inf  # the most seconds that a `Retry-After` blocks
    limit: int | None = None  # None while unknown, and for good if answers say nothing about this scope
    denials: int = 0  # 429s so far
    blocked_until: float = -math.inf  # when the last `Retry-After` ends, as far as it is believed
    # When it ends by the server's word, if that is later: until an answer comes, one request goes at a time.
    asked_until: float = -math.inf
    ready_until: float = -math.inf  # up to then, `ready_at` returns its argument; -inf if it must be asked
    _calm: bool = True  # nothing of what few servers need is in use
    learns: bool = True  # about a limit that no header tells; a request should have one bucket that does
    _untold: Untold = attrs.field(init=False)
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
    _held: int = 1  # requests of the credit that wait until then
    _held_until: float = -math.inf
    # clocks
    _clocks: Clocks = attrs.field(init=False)
    _due: float | None = None  # what the clocks say, until something changes
    # off by one
    _uncounted_until: float = -math.inf  # until then, `remaining` is taken not to count its own request
    _uncounted_trust: int = 16 * SHOWN  # windows, at the next 429 that shows it
    _own_in_row: int = 0  # 429s in a row that our own requests explain
    # windows
    _length: WindowLength = attrs.field(init=False)
    _others: dict[float, tuple["Bucket", dict[int, Ticket]]] = attrs.field(
        factory=dict[float, tuple["Bucket", dict[int, Ticket]]]
    )  # of the same scope, by window, with their tickets
    # other clients
    _rivals: Rivals = attrs.field(init=False)
    _denied_in_row: int = 0
    _denied_at: float = -math.inf
    random: Callable[[], float] = half  # of the jitter of waits: from 0 to 1

    def __attrs_post_init__(self) -> None:
        check_seconds("window", self.window)
        self._length = WindowLength(self.window)
        self._untold = Untold(self.window, self.learns)
        self._rivals = Rivals(self.window, self.random)
        self._clocks = Clocks(self.window, self._rivals)
        self._sends, self._answers = self._clocks.sends, self._clocks.answers

    @property
    def bucket(self) -> "Bucket":
        """Itself: what is known of a budget that no other process uses."""
        return self

    @property
    def in_flight(self) -> int:
        """Requests sent and not settled yet."""
        return len(self._open)

    @property
    def blind(self) -> bool:
        """Whether answers have stopped to say anything about this scope."""
        return self._untold.blind

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

    def ready_at(self, now: float) -> float:
        """When a request may go, as far as is known: `now`, a later time, or inf if an answer must come first.

        An answer may make it earlier. It is finite whenever nothing is in flight, even with a limit of 0: then one
        request per window checks whether the limit still is 0.
        """
        if now <= self.ready_until:
            return now
        ready = self._ready_at(now)
        for bucket, _ in self._others.values():
            ready = max(ready, bucket.ready_at(now))
        return ready

    def _ready_at(self, now: float) -> float:
        in_flight = len(self._open)
        if now < self.blocked_until:
            return self.blocked_until
        if self.asked_until > -math.inf:
            return math.inf if in_flight else now
        pace, most = self._untold.pace, self._untold.most
        if pace is not None and (paced := pace.ready_at(now)) > now:
            return paced
        if self.limit is None or self.blind:
            return now if not in_flight or (in_flight < most and not self._denied_in_row) else math.inf
        return self._counted_at(now, in_flight)

    def _counted_at(self, now: float, in_flight: int) -> float:
        """When a request may go by the counts; by the clocks, if the credit is used up."""
        if not (self._credit > 0 and self._lowest > in_flight):
            return max(now, self._next_look(now))
        if now < self._held_until and self._credit <= self._held:
            return self._held_until
        if not in_flight or (now <= self._fresh_until and in_flight < self._rivals.slice_of(self._lowest)):
            return now
        return max(now, self._last_send + self.window * _SLOW_ANSWER)

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
        if self._untold.pace is not None:
            self._untold.pace.send(now)
        for bucket, tickets in self._others.values():
            tickets[number] = bucket.send(now)
        credit = self._credit
        if credit > 0:
            self._credit = credit = credit - 1
            if not credit or self._lowest <= number + 1 - self._answered:
                self.ready_until = -math.inf
            elif credit <= self._held and self._held_until > -math.inf:
                self.ready_until = -math.inf
                if now >= self._held_until:  # what was left may be gone: its answer tells
                    self._held_until, self._fresh_until = -math.inf, now
        else:
            self._note_look(now)
        if not number % BATCH:
            self._sends.fold()
            self._answers.fold()
            self._clocks.fit.fold()
        return ticket

    def _note_look(self, now: float) -> None:
        """Note a request that goes without credit."""
        if self.limit is None:
            self.ready_until = -math.inf if len(self._open) >= self._untold.most else self.ready_until
        elif self._clocks.holds_back(self.limit):
            self._held, self._held_until = 1, now + _HOLD

    def settle(
        self,
        ticket: Ticket,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
        elsewhere: bool = False,
    ) -> None:
        """Note how a booked request ended. Every ticket must be settled, however its request ended.

        A ticket that is settled already, or belongs to another bucket, is ignored. `snapshot` is what the answer said
        about this scope, if anything.

        - `denied`: it was a 429, and this scope is to blame: nothing remains in it, or in no scope.
        - `retry_after`: seconds that a 429 asks to wait.
        - `lost`: there was no answer: the request failed, timed out or was cancelled. The server may have counted it,
          so its credit is not given back. (An answer without headers, for a scope that has had some, is treated alike.)
        - `elsewhere`: the answer said something about another scope: without a word about this one, it has no limit.
        """
        number, sent_at, _ = ticket
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
        if snapshot is None or denied or not self._calm or snapshot[3] != self._length.said or snapshot[4]:
            self._settle_unusual(Ended(ticket, now, denied, retry_after, lost, elsewhere), snapshot)
        else:
            left = self._count(ticket, now, snapshot)
            if not left or self._credit > self._lowest:
                self._note_left(sent_at, now, left, snapshot.reset)

    def _settle_unusual(self, ended: Ended, snapshot: RateLimit | None) -> None:
        """Settle a 429, an answer that says nothing or something new of the scope's windows, and any while not calm."""
        if self._others or (snapshot is not None and snapshot.also):
            self._settle_others(ended, snapshot)
        if snapshot is None:
            self._settle_unread(ended)
            return
        window = snapshot.window
        if window is not None and window != self._length.said and self._length.follow(window):
            self._use_window()
        denied = ended.denied and (not snapshot.remaining or not snapshot.used_up)  # else another window is to blame
        if not denied:
            self._untold.forget()
        left = self._count(ended.ticket, ended.at, snapshot, denied=denied)
        self._note_left(ended.ticket[1], ended.at, left, snapshot.reset)
        self._judge(ended, denied=denied, left=snapshot.remaining)

    def _count(self, ticket: Ticket, now: float, snapshot: RateLimit, *, denied: bool = False) -> int:
        """Take over what an answer says about what is left; return that."""
        number, sent_at, answered = ticket
        limit, remaining = snapshot[:2]
        if not 0 <= remaining < limit or now < self._uncounted_until:
            remaining = self._usable(remaining, limit, now, denied=denied)
        if number > self._newest:
            self._newest = number
            if self.limit is not None and limit != self.limit:
                self._clocks.change_limit(self.limit, now)
            self.limit = limit
        sent = self._sent
        room = remaining - (sent - answered - 1)  # those in flight have been taken off the credit already
        if room > self._credit:
            if not self._credit:
                self._leave_some(room, now)
            self._credit, self._lowest, self._fence = room, remaining, sent
        elif number >= self._fence and remaining < self._lowest:
            self._lowest = remaining
        self._fresh_until = fresh_until = now + self.window
        if not denied:
            self._untold.in_row = 0
        free = self._credit > 0 and self._lowest > sent - self._answered and now >= self.blocked_until
        free = free and (self._credit > self._held or now >= self._held_until)
        self.ready_until = fresh_until if free and self._calm else -math.inf
        clocks = self._clocks
        if clocks.fit.possible and not denied:
            used = limit - remaining
            clocks.fit.recent.append((sent_at, now, answered + 1, sent, used))
            oldest = sent + 2 - used  # if our last ones count, then from this one on; one may be rounding
            if now < clocks.older_since and (oldest < clocks.oldest or clocks.oldest_at <= sent_at - self.window):
                clocks.check_older(oldest, sent_at - self.window, now)
        return remaining

    def _note_left(self, sent_at: float, now: float, left: int, reset: float | None) -> None:
        """Note that nothing is left, or less than our own requests explain."""
        self._credit = min(self._credit, self._lowest)
        if not left:
            self._clocks.note_empty(sent_at, now, reset)

    def _leave_some(self, room: int, now: float) -> None:
        """Have a part of a new budget wait, now and then."""
        used_up = self._clocks.zero_sent_at > now - 2 * self.window  # who does not use it up leaves enough
        until = self._rivals.leaves_until(now) if used_up and room > self._held else now
        if until > now:
            self._held, self._held_until = room // 2, until

    def _settle_others(self, ended: Ended, snapshot: RateLimit | None) -> None:
        """Settle the request in the buckets of this scope's other windows, and make those that are told first."""
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

    def _usable(self, remaining: int, limit: int, now: float, *, denied: bool) -> int:
        """What is left of `remaining`: within the limit, and less this very request if the server does not count it."""
        remaining = max(0, min(remaining, limit))
        if remaining and remaining == limit:
            self._uncounted_until = max(self._uncounted_until, now + SHOWN * self.window)
        elif not remaining and not denied:
            self._uncounted_until = -math.inf
        return remaining - 1 if remaining and now < self._uncounted_until else remaining

    def _settle_unread(self, ended: Ended) -> None:
        """Note an answer that said nothing about this scope, or that there was none."""
        now, untold = ended.at, self._untold
        if self.limit is not None:
            self._clocks.fit.doubt(now)
        if ended.denied or not (ended.lost or self._calm):
            self._judge(ended, denied=ended.denied, left=None)
        if not ended.denied and not ended.lost:
            untold.most = math.inf if ended.elsewhere else max(untold.most + 1, FIRST_BURST)
            untold.in_row += not ended.elsewhere
            if self.limit is not None or untold.pace is not None:
                untold.unread(self.limit, elsewhere=ended.elsewhere)
        free = len(self._open) < untold.most and untold.pace is None and self.asked_until == -math.inf
        if self.limit is None and free and not self._denied_in_row and now >= self.blocked_until:
            self.ready_until = math.inf

    def _judge(self, ended: Ended, *, denied: bool, left: int | None) -> None:
        """Follow a 429, or a served request after one; `left` is what the answer said remains, None if nothing."""
        if denied:
            self._deny(ended, left)
            return
        if ended.at >= self.blocked_until or self.asked_until < ended.at:  # else it was sent before the 429
            self._denied_in_row = 0
            self.asked_until = -math.inf
        self._length.served()
        self._clocks.trial = False
        self._rivals.served()
        self._untold.served()
        self._calm = not (self._untold.pace or self._rivals.patience or self._others)

    def _deny(self, ended: Ended, left: int | None) -> None:
        (_, sent_at, _), now, retry_after = ended.ticket, ended.at, ended.retry_after
        again = sent_at >= self._denied_at  # else it was sent together with others that were refused
        self._denied_at, self._calm = now, False
        self.denials += 1
        self._denied_in_row += again or not self._denied_in_row
        self.ready_until = -math.inf
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
        self.blocked_until = now + min(retry_after, self._max_block)
        self.asked_until = now + retry_after if retry_after > self._max_block else -math.inf
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
        if self._own_in_row > 1 or uncounted or (own and self._uncounted_until > -math.inf):
            self._uncounted_until = now + self._uncounted_trust * self.window
            self._uncounted_trust = min(4 * self._uncounted_trust, LONGEST)
        self._denied_in_row += self._clocks.doubt(now)  # no second look before the weighted counter allows one

    def _use_window(self) -> None:
        self.window = window = self._length.seconds
        self._untold.use_window(window)
        self._clocks.use_window(window)

    def _next_look(self, now: float) -> float:
        """When the clocks allow one request, with the credit used up."""
        if self._length.given_again(now):
            self._due = None
            self._use_window()
        if self._due is None:
            clocks, limit, used_up, refused = (
                self._clocks,
                max(self.limit or 1, 1),
                self._lowest <= 0,
                self._denied_in_row,
            )
            again_at = self.blocked_until if refused else None
            due = clocks.forgotten_at(self._now, limit, used_up=used_up, again_at=again_at)
            if self._open:
                due = max(due, self._last_send + self.window * _SLOW_ANSWER)
                if due > now:
                    return due  # an answer will change it: a fit is not worth its time
            if refused != 1:
                due = clocks.opens_at(due, max(now, self._now), limit, used_up=used_up, refused=refused > 0)
            self._due = due + clocks.yields(self._now, limit, used_up=used_up)
        return self._due

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Take back a booking whose request was not sent: its credit is free again.

        For the clocks, it counts as a request that was answered now. A ticket that is settled already is ignored.
        """
        if self._open.get(ticket[0]) is ticket:
            del self._open[ticket[0]]
            for bucket, tickets in self._others.values():
                if booked := tickets.pop(ticket[0], None):
                    bucket.cancel(booked, now)
            self._now = max(self._now, now)
            self._due = None
            self._answered += 1
            self._answers.recent.append(self._now)
            self._credit = min(self._credit + 1, self._lowest)
            self._clocks.fit.doubt(self._now)
