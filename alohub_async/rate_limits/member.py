"""One process of a fleet that shares budgets: it writes what it does, reads what the others do, and holds leases.

One task exchanges with the store, one round trip at a time, while requests wait, leases are held, or answers are to be
written; nothing runs while the process is idle. An exchange takes with it all that is due: answers and unused leases,
what waits here, and how many leases are wanted. While requests wait and nothing is free, a second task waits for what
others write; the more processes there are, the longer it lets that gather, as each entry would wake all of them.

**Round trips.** One that makes a request now and then needs two for each: for the lease, and for the answer. One that
makes a request after the other needs one, which writes the last answer too. A busy one books ahead as many as it used
in the last tenth of a second, and its answers wait for a thousandth of a window to be written together.

**The store is gone** if a command fails or takes too long. Then each process goes on alone, with its buckets, and sends
in a window no more than its last share. Meanwhile it tries to come back. Then it reads the log anew, and writes what
it has sent in the last window without the store (all of it, if the store has lost the log), so that the others count
it.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import random
import secrets
import time
from collections.abc import Hashable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from alohub_async.background_tasks import Caught, wait_until_done
from alohub_async.emitter import emit_once, whose
from alohub_async.errors import RateLimiterUnavailableError
from alohub_async.events import SharedStoreLost, SharedStoreRegained
from alohub_async.printable import printable
from alohub_async.rate_limits.bucket import MANY
from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.leases import RouteLease
from alohub_async.rate_limits.ledger import (
    CANCELLED,
    FIRST,
    LOST,
    TICK,
    VERSION,
    Replica,
    Said,
    Waiting,
    Wanted,
    ended,
    order,
    written,
)
from alohub_async.rate_limits.store import FULL, DataLostError, Entry, Reply
from alohub_async.rate_limits.wait_queues import MAX_ROUTES

if TYPE_CHECKING:
    from alohub_async.rate_limits.scheduler import Scheduler
    from alohub_async.rate_limits.status import RateLimit
    from alohub_async.rate_limits.store import Store

_logger = logging.getLogger("alohub_async")

_KEPT: Final = 8  # windows of the log
_FORGOTTEN: Final = 3_600_000  # milliseconds after which an idle log is dropped, at least
_NO_CEILING: Final = 1 << 53
_DELAY: Final = 0.001  # windows that answers wait to be written together while requests wait
_LONGEST_DELAY: Final = 0.05  # seconds; also if none waits
_UNUSED: Final = 0.025  # windows after which an unused lease is given back
_MOST_UNUSED: Final = 0.25  # seconds
_READ: Final = 1.0  # seconds that the reader waits at once
_MOST_READERS: Final = 20  # processes: the more there are, the longer each lets entries gather
_SOONEST: Final = 0.001  # seconds between two looks
_FIRST_PAUSE: Final = 0.1  # seconds before the first attempt to come back
_LONGEST_PAUSE: Final = 2.0


class Member:
    """This process; times are the loop's, unless they are given to the replica."""

    def __init__(self, scheduler: "Scheduler", *, weight: float, lease: float, fails: bool) -> None:
        self._scheduler = scheduler
        self.window: float = scheduler.window
        self._weight, self._lease, self._fails = weight, lease, fails
        self._delay = min(_LONGEST_DELAY, _DELAY * self.window)
        self._unused = min(_MOST_UNUSED, _UNUSED * self.window)
        self.store: Store | None = None  # until it is known whose budget it is
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._leases: dict[str, RouteLease] = {}  # by their names
        self._jitter = random.random
        self.taken: int = 0  # tickets
        self.start_anew()
        _members.add(self)

    def start_anew(self) -> None:
        """Be another process, which has sent nothing yet."""
        self.name: str = secrets.token_hex(6)
        self._life = self._epoch = ""
        self._serial = 0
        self.replica: Replica = self._new_replica()
        self.of_tenant: tuple[RateLimit | None, bool] = None, False  # what the answer said that is settled now
        self.flights: dict[int, tuple[RouteLease, int]] = {}  # by ticket, the numbers of what may have been sent
        self.sent: EventHistory = EventHistory(self.window, late=False)
        self.offset: float = 0.0  # seconds: the fleet's time less the loop's, at least
        self._due: list[Said] = []  # with the loop's time instead of the age
        self._wrote_at = -math.inf
        self._online = self._lost = False
        self._lost_at = -math.inf
        self._share, self._joined_at = 1.0, -math.inf
        for lease in self._leases.values():
            lease.drop()

    def _new_replica(self) -> Replica:
        scheduler, lease = self._scheduler, max(self._lease, 1e-3)
        return Replica(
            window=self.window, max_block=scheduler.max_block, lease=lease, bulk_leaves=scheduler.bulk_leaves
        )

    def of_route(self, key: Hashable) -> RouteLease:
        """The budget of a route."""
        name = hashlib.blake2b(str(key).encode(errors="surrogatepass"), digest_size=6).hexdigest()
        if len(self._leases) >= MAX_ROUTES:
            kept = self._scheduler.route_queues
            self._leases = {old: lease for old, lease in self._leases.items() if lease.key in kept}
        self._leases[name] = lease = RouteLease(self, key, name)
        return lease

    # asked by the leases

    def ready_at(self, lease: RouteLease, now: float) -> float:
        """When a lease is to be had: never now, unless the process is alone."""
        self.poke()
        at = now + self.offset
        wait = self.replica.ready_at(lease.name, at) - at
        if not self._lost:
            return now + wait if wait > 0.0 else math.inf
        if self._fails:
            return math.inf
        self.replica.expire(at, alive=self.name)
        ready = now + max(0.0, wait)
        for budget, sent in (self.replica.tenant, self.sent), (self.replica.route(lease.name), lease.sent):
            if budget.bucket.limit is not None:
                mine = max(1, math.floor(self._share * budget.bucket.limit))
                if sent.since(now - self.window) >= mine:
                    ready = max(ready, sent.reached(sent.total - mine + 1) + self.window)
        return ready

    def note(self, said: Said) -> None:
        """Note how a booking ended, and when."""
        number, now, _, blame, *_ = said
        if not self._online:
            self.replica.settle_now(self.name, now + self.offset, said)
        if number >= 0:
            self._due.append(said)
            if len(self._due) == 1 or not self.flights:
                self.poke()
        for lease in self._leases.values() if blame else ():
            self.give_back(lease)

    def give_back(self, lease: RouteLease) -> None:
        """Give back the leases of a route that are not in use."""
        now = self._now()
        self._due += [[number, now, *ended(CANCELLED)] for number in lease.hand]
        lease.drop()

    def poke(self) -> None:
        """Have the task look at what is due."""
        loop = self._scheduler.loop
        if loop is None or loop.is_closed() or self.store is None:
            return
        if loop is not self._loop:
            self._loop, self._task, self._reader, self._online = loop, None, None, False
            self._event = asyncio.Event()
            self.store.forget()
            self.offset = self.offset or time.time() - loop.time()
        self._event.set()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(), context=Context())  # the call, and its context, end before it

    # the task

    async def _run(self) -> None:
        pause, began_anew_at = _FIRST_PAUSE, -math.inf
        while self._busy():
            with Caught() as caught:
                if not self._online:
                    await self._join()
                pause = _FIRST_PAUSE
                while self._online and self._busy():
                    self._event.clear()
                    if not await self._say():
                        await self._rest()
            if (error := caught.error) is None:
                continue
            if isinstance(error, DataLostError) and self._now() > began_anew_at + self._lease:
                self._online, began_anew_at = False, self._now()  # the store is there for a new log
                continue
            self._leave(lost=True, why=printable(str(error)) or type(error).__name__)
            await asyncio.sleep(pause * (0.5 + self._jitter()))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _now(self) -> float:
        return self._scheduler.clock()

    def _busy(self) -> bool:
        held = any(lease.hand for lease in self._leases.values())
        return bool(self._lost or self._due or self.flights or held or self._waiting(self._now()))

    def _waiting(self, now: float) -> dict[str, Waiting]:
        """What waits here, by route."""
        waiting: dict[str, Waiting] = {}
        for lease in self._leases.values():
            queue = self._scheduler.route_queues.get(lease.key)
            if queue is not None and queue.waiting:
                normal = queue.queues["normal"]
                old = (head := normal.head()) is not None and head.arrived < now - self.window
                counts = queue.queues["interactive"].waiting + old, normal.waiting - old, queue.queues["bulk"].waiting
                waiting[lease.name] = counts
        return waiting

    async def _say(self) -> bool:
        """Write what is due, and ask for leases; False if nothing is due."""
        now = self._now()
        for lease in self._leases.values():
            if lease.hand and now >= lease.used_at + self._unused:
                self.give_back(lease)
        waiting = self._waiting(now)
        ahead = {lease.name: count for lease in self._leases.values() if (count := lease.ahead(now))}
        me = self.replica.process(self.name)
        told, me.waiting = me.waiting, waiting
        ceiling, wanted = self.replica.allot(self.name, ahead, now + self.offset)
        me.waiting = told
        told = {route: counts for route, counts in told.items() if any(counts)}
        more = any(sum(counts) > 2 * sum(told.get(route, ())) for route, counts in waiting.items())
        said = {} if waiting == told else {"q": waiting}
        if not (wanted or more or told.keys() - waiting.keys() or now >= self._due_at()):
            return False
        if not await self._exchange(said, wanted, ceiling):
            await asyncio.sleep(self._delay)
        return True

    def _due_at(self) -> float:
        """When something must be written."""
        beat = self._wrote_at + self._lease / 3
        if not self._due:
            return beat
        others_wait = any(any(counts) for each in self.replica.processes.values() for counts in each.waiting.values())
        delay = (self._delay if self.flights else 0.0) if others_wait else _LONGEST_DELAY
        return min(beat, float(self._due[0][1]) + delay)

    async def _rest(self) -> None:
        """Wait until something is due, or comes."""
        now = self._now()
        times = [self._due_at(), *(lease.used_at + self._unused for lease in self._leases.values() if lease.hand)]
        if waiting := self._waiting(now):
            ready = [self.replica.ready_at(route, now + self.offset) - self.offset for route in waiting]
            times += [time for time in (*ready, self.replica.comes_until() - self.offset) if time > now]
            if self._loop and (self._reader is None or self._reader.done()):
                self._reader = self._loop.create_task(self._read())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(min(times) - now, _SOONEST)):
                await self._event.wait()

    async def _read(self) -> None:
        """Read what the others write, while requests wait here."""
        with Caught() as caught:
            while self._online and self.store and self._waiting(self._now()):
                entries = await self.store.wait(self.replica.cursor, _READ)
                if entries and self._online:  # otherwise the log is read anew
                    self._follow(entries)
                    self._event.set()
                    await asyncio.sleep(min(len(self.replica.processes), _MOST_READERS) * self._delay)
        if caught.error is not None:  # the next exchange shows whether the store is there
            await asyncio.sleep(_FIRST_PAUSE)
            self._wrote_at = -math.inf
            self._event.set()

    # the store

    async def _exchange(self, said: dict[str, Any], wanted: Wanted, ceiling: int) -> bool:
        """Write, book and read; return whether anything came."""
        due, self._due = self._due, []
        now, self._serial = self._now(), self._serial + 1
        if due:
            said["s"] = [written(each, now) for each in due]
        before = self.replica.cursor
        try:
            text = self._message(said) if said or not wanted else ""
            reply = await self._run_script(text, wanted, ceiling, denied=any(each[3] for each in due))
        except BaseException:
            self._due = due + self._due
            raise
        await self._read_on(reply, wanted)
        return before != self.replica.cursor

    async def _read_on(self, reply: Reply, wanted: Wanted) -> None:
        """Follow the log to its end."""
        self._follow(reply.entries)
        while len(reply.entries) == FULL:
            reply = await self._run_script("", [(route, 0, 0) for route, *_ in wanted], 0)
            self._follow(reply.entries)
        self._epoch, now = reply.epoch, self._now()
        self.replica.count([route for route, *_ in wanted], reply.booked)
        new, share = now < self._joined_at + self._lease, self.replica.share(self.name)
        self._share = min(share, self._share) if new else share  # a new one may not have seen all others
        self._online = self._online and not self.replica.incomplete

    def _message(self, said: Mapping[str, Any]) -> str:
        return json.dumps({"v": VERSION, "w": self._weight, "l": self._lease, **said}, separators=(",", ":"))

    async def _run_script(self, text: str, wanted: Wanted, ceiling: int, *, denied: bool = False) -> Reply:
        epoch = "" if ceiling == _NO_CEILING else self._epoch
        kept = math.ceil(_KEPT * 1000 * self.replica.tenant.bucket.window)
        cursor = self.replica.cursor if self._life else FIRST
        state = self.name, self._serial, self._life, cursor, epoch, int(denied), text
        if self.store is None:
            raise DataLostError("it is not known yet whose budget it is")
        asked_at = self._now()
        reply = await self.store.exchange(
            *state, kept, max(_FORGOTTEN, 2 * kept), ceiling, *(part for each in wanted for part in each)
        )
        if self._life and reply.life != self._life:
            raise DataLostError("its data is lost")
        self.offset = min(self.offset, reply.time + TICK - asked_at)  # it was asked for before
        return reply

    def _follow(self, entries: list[Entry]) -> None:
        """Replay entries, and take what was granted to this process."""
        denied, granted, now = False, list[str](), self._now()
        for entry, fields in entries:
            if order(entry) > order(self.replica.cursor):
                denied |= self.replica.replay(entry, fields)
                if (fields.get("p"), fields.get("x")) == (self.name, str(self._serial)):
                    self._wrote_at, granted = now, fields["g"].split()
                    self._take(granted, now)
        self.offset = max(self.offset, self.replica.time - now)  # the entries are older than that
        if denied:
            self._scheduler.refuse_blocked([*self._scheduler.route_queues.values()])
            for lease in self._leases.values():
                if max(self.replica.tenant.bucket.blocked_until, lease.bucket.blocked_until) > self.replica.time:
                    self.give_back(lease)
        for lease in self._leases.values() if granted else ():
            if lease.hand:
                self._wake(lease)

    def _take(self, grants: list[str], now: float) -> None:
        """Hold what was granted; while the log is joined, it stands for requests that were sent without the store."""
        for grant in grants:
            route, count, first, _ = grant.split(":")
            numbers, lease = range(int(first), int(first) + int(count)), self._leases.get(route)
            if lease and self._online:
                lease.grant(numbers, now, now + self._lease / 2)
                continue
            self._due += [[number, now, *ended(LOST)] for number in numbers]
            if lease:
                lease.unwritten = max(0, lease.unwritten - len(numbers))

    def _wake(self, lease: RouteLease) -> None:
        if queue := self._scheduler.route_queues.get(lease.key):
            self._scheduler.wake(queue)

    async def _join(self) -> None:
        """Read the log from its beginning, and write what was sent without the store."""
        known, self._life, self._serial = self._life, "", self._serial + 1
        try:
            reply = await self._run_script(self._message({}), [], 0)
        finally:
            self._life = known
        self._life = reply.life
        if known not in {"", self._life}:  # the store has lost the log
            if self._now() < self._wrote_at + _FORGOTTEN / 1000:  # otherwise it was dropped as idle
                _logger.warning("the store of the shared rate limit has lost its data; a new log is begun")
            self._due.clear()
            for lease in self._leases.values():
                lease.drop()
                lease.unwritten = MANY
            self.flights = {ticket: (lease, -ticket) for ticket, (lease, _) in self.flights.items()}
        self.replica, self._joined_at = self._new_replica(), self._now()
        await self._read_on(reply, [])
        while owed := [(each.name, n, _NO_CEILING) for each in self._leases.values() if (n := each.owed(self._now()))]:
            await self._exchange({}, owed, _NO_CEILING)
        self.replica.incomplete = False
        known_numbers = {each[0] for each in self._due}.union(number for _, number in self.flights.values())
        known_numbers.update(*(lease.hand for lease in self._leases.values()))
        now = self._now()
        for number in self.replica.process(self.name).open.keys() - known_numbers:
            self.note([number, now, *ended(CANCELLED)])
        self._leave(lost=False)

    def _leave(self, *, lost: bool, why: str = "") -> None:
        """Go on without the store, or with it again."""
        self._online, emitters = not lost, self._scheduler.emitters
        if lost and not self._lost:
            self._serial += 1  # what is granted too late is not taken
            for each in self._due:
                self.replica.settle_now(self.name, each[1] + self.offset, each)
            self._lost_at = self._now()
            share = 0.0 if self._fails else self._share
            emit_once(emitters, SharedStoreLost(error=why, share=share, **whose(emitters)))
        elif self._lost and not lost:
            emit_once(emitters, SharedStoreRegained(seconds=self._now() - self._lost_at, **whose(emitters)))
        self._lost = lost
        if self._fails:
            self._scheduler.unavailable = _unavailable if lost else None
            if lost:
                self._scheduler.refuse_all(_unavailable)
        for lease in self._leases.values() if lost else ():
            self._wake(lease)

    async def aclose(self) -> None:
        """Write what is due, give back the leases, and close the connections."""
        tasks = [task for task in (self._task, self._reader) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await wait_until_done(tasks)
        for lease in self._leases.values():
            self.give_back(lease)
        try:
            with Caught():  # what cannot be given back expires
                if self._online:
                    await self._exchange({"bye": 1}, [], 0)
        finally:
            if self._lost and self._fails:
                self._scheduler.unavailable = None
            self.start_anew()
            with Caught():
                if self.store:
                    await self.store.aclose()


def _unavailable() -> RateLimiterUnavailableError:
    return RateLimiterUnavailableError(
        "the store of the rate limit does not answer, so the request was not sent; check that Redis runs and can be "
        'reached, or use RedisRateLimiter(…, when_unavailable="local")'
    )


_members: WeakSet[Member] = WeakSet()


def _forked() -> None:
    for member in _members:
        member.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)  # what the parent holds is not the child's
