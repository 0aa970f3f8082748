"""What may be sent now, from what the answers say remains: the counts of one budget. Pure state.

One fact holds for all servers: what is free at the server only grows, except for
what is sent. So an answer with `remaining` = R leaves room for R requests, minus every other request that was not
answered yet when this one was sent, because the server may have counted it later. This number is the *credit*:

- Each request takes one credit when it is sent. No answer gives it back; only room that the server reports does.
- An answer that reports more room than the credit shows a refill: the credit rises to it. An answer that reports less,
  to a request sent after the last refill was seen, lowers the credit: somebody else spends.
- The *lowest* R since the last refill, minus the requests in flight, is a second bound of the same kind. A request
  must be within both.
- While nothing is known, and when the last answer is older than a window, one request goes first.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple, TypeAlias

import attrs

from alohub_async.rate_limits.clocks import Clocks
from alohub_async.rate_limits.history import BATCH, EventHistory
from alohub_async.rate_limits.learned import FIRST_BURST, Untold
from alohub_async.rate_limits.rivals import Rivals
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.window_length import SHOWN, WindowLength
from alohub_async.validation import check_seconds

_SLOW_ANSWER: Final = 0.1  # windows; the bucket does not wait for an answer that takes longer
_HOLD: Final = 0.8  # seconds that a request waits which tells two weighted counters apart

Ticket: TypeAlias = tuple[int, float, int]
"""One request in flight, as `Counts.send` booked it: its number (how many were sent before it), when it was sent, and
how many had been answered by then."""


def half() -> float:
    """No jitter."""
    return 0.5


class Ended(NamedTuple):
    """How a request has ended; see `Counts.settle`."""

    ticket: Ticket
    at: float
    denied: bool
    retry_after: float | None
    lost: bool
    elsewhere: bool


@attrs.define(eq=False, repr=False)
class Counts(ABC):
    """The counts, with the clocks for when they are used up. `Bucket` adds 429s and further windows.

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
    _others: dict[float, tuple["Counts", dict[int, Ticket]]] = attrs.field(
        factory=dict[float, tuple["Counts", dict[int, Ticket]]]
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
    def in_flight(self) -> int:
        """Requests sent and not settled yet."""
        return len(self._open)

    @property
    def blind(self) -> bool:
        """Whether answers have stopped to say anything about this scope."""
        return self._untold.blind

    @abstractmethod
    def room(self, now: float) -> int:
        """How many requests may be booked now, one after another; many if there is no limit."""

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

    @abstractmethod
    def _settle_others(self, ended: Ended, snapshot: RateLimit | None) -> None:
        """Settle the request in the buckets of this scope's other windows, and make those that are new."""

    @abstractmethod
    def _judge(self, ended: Ended, *, denied: bool, left: int | None) -> None:
        """Follow a 429, or a served request after one; `left` is what the answer said remains, None if nothing."""

    def _block(self, now: float, seconds: float) -> None:
        """Let nothing go for as long as a 429 asks, at most for `max_block`."""
        self.denials += 1
        self.ready_until, self.blocked_until = -math.inf, now + min(seconds, self._max_block)
        self.asked_until = now + seconds if seconds > self._max_block else -math.inf

    def _unblock(self) -> None:
        """Note that a request was served after the last 429."""
        self._denied_in_row, self.asked_until = 0, -math.inf

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

    def _usable(self, remaining: int, limit: int, now: float, *, denied: bool) -> int:
        """What is left of `remaining`: within the limit, and less this very request if the server does not count it."""
        remaining = max(0, min(remaining, limit))
        if remaining and remaining == limit:
            self._uncounted_until = max(self._uncounted_until, now + SHOWN * self.window)
        elif not remaining and not denied:
            self._uncounted_until = -math.inf
        return remaining - 1 if remaining and now < self._uncounted_until else remaining

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

    def _next_look(self, now: float) -> float:
        """When the clocks allow one request, with the credit used up."""
        if self._length.given_again(now):
            self._due = None
            self._use_window()
        if self._due is None:
            clocks, used_up, refused = self._clocks, self._lowest <= 0, self._denied_in_row
            limit = max(self.limit or 1, 1)
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

    def _use_window(self) -> None:
        self.window = window = self._length.seconds
        self._untold.use_window(window)
        self._clocks.use_window(window)

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
