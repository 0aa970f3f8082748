"""What a fleet of processes has done with its budgets, as each of them replays it from one log. Pure state.

The log has facts: who booked how many requests, how they ended, and what waits where. Each process feeds them to
buckets of its own, so all buckets know the whole fleet, and the same rules decide as in one process. Its times are the
store's, in seconds: a booking is written before its request goes, and an answer after it came, as the rules need it.

**Fair.** What is free is divided between the processes that wait, such that each gets alike, by its weight, of what was
granted in the last window. Each computes the same division. What is left to a process that does not come is
given to the others after a twentieth of a window. Interactive requests go first, also of other processes; bulk requests
leave their share to the others.

**Dead.** A process that wrote nothing for its `lease` is gone: its requests are lost, and nothing is left to it.
"""

import contextlib
import heapq
import json
import logging
import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.counts import Ticket
from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.status import RateLimit
from alohub_async.rate_limits.wait_queues import MAX_ROUTES

_logger = logging.getLogger("alohub_async")

VERSION: Final = 1  # of what an entry says
FIRST: Final = "0-0"  # before the first entry
TICK: Final = 0.001  # seconds: the precision of the log's times
_PATIENCE: Final = 0.05  # windows for which budget is left to a process that does not come
_LEAST_WEIGHT: Final = 1e-9
_STEPS: Final = 64  # in which a budget is divided

Waiting: TypeAlias = tuple[int, int, int]
"""Requests that wait: interactive (or normal, and old), normal, bulk."""
Said: TypeAlias = list[Any]
"""How a booking ended: its number, seconds before it was written, `LOST`, `CANCELLED` or `ANSWERED`, which scopes are
to blame for a 429 (1: the tenant's, 2: the route's), what it said of the tenant's and the route's budget, and its
`Retry-After`."""

Wanted: TypeAlias = list[tuple[str, int, int]]
"""Of each route, how many requests are wanted, and how many may be booked in all."""

ANSWERED: Final = 0
LOST: Final = 1
CANCELLED: Final = 2


def ended(how: int) -> list[Any]:
    """What is said of a booking without an answer, after its number and time."""
    return [how, 0, None, None, None]


def order(entry: str) -> tuple[int, int]:
    """What the entries of the log are sorted by."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)


def written(said: Said, now: float) -> Said:
    """How a booking ended, as JSON has it, with its age in the place of its time."""
    number, at, how, blame, *limits, retry_after = said
    limits = [limit and [*limit[:4], [[*each[:4]] for each in limit.also]] for limit in limits]
    return [number, round(max(0.0, now - at), 4), how, blame, *limits, retry_after]


def _read(limit: list[Any] | None) -> RateLimit | None:
    if limit is None:
        return None
    count, remaining, reset, window, also = limit
    return RateLimit(count, remaining, reset, window, tuple(RateLimit(*each) for each in also))


@attrs.define(eq=False, repr=False)
class Process:
    """One process of the fleet."""

    granted: EventHistory  # requests
    lease: float  # seconds
    weight: float = 1.0
    seen: float = -math.inf  # when it wrote last
    waiting: dict[str, Waiting] = attrs.field(factory=dict[str, Waiting])  # by route
    left_since: float = math.inf  # since when there is budget for what it waits for
    open: dict[int, tuple["SharedBudget", Ticket, Ticket]] = attrs.field(
        factory=dict[int, tuple["SharedBudget", Ticket, Ticket]]
    )  # its bookings, by number


@attrs.define(eq=False, repr=False)
class SharedBudget:
    """The budget of a scope."""

    bucket: Bucket
    booked: int | None = None  # requests, as the store counts them; None before the first entry

    def book(self, now: float) -> Ticket:
        """Book one request, as the process did that wrote it."""
        if self.bucket.ready_until < now:
            self.bucket.ready_at(now)
        return self.bucket.send(now)


@attrs.define(eq=False)
class Division:
    """How free requests are divided; the same for all budgets, so that the process with the lowest level gets some."""

    levels: dict[str, float]  # of each process that waits: what it got in the last window, by its weight
    weights: dict[str, float]
    for_others: float  # requests that bulk ones leave to the others

    def parts(self, room: int, waiting: Mapping[str, Waiting]) -> dict[str, int]:
        """How many of them each process may book."""
        parts = dict.fromkeys(waiting, 0)
        urgent, normal, bulk = (sum(counts[kind] for counts in waiting.values()) for kind in range(3))
        others = min(urgent + normal, room)
        if bulk:
            others = int(min(others, max(self.for_others, room - bulk)))
        urgent = min(urgent, others)
        for kind, free in enumerate((urgent, others - urgent, room - others)):
            self._pour(free, {name: counts[kind] for name, counts in waiting.items()}, parts)
        return parts

    def _pour(self, free: int, wanted: dict[str, int], parts: dict[str, int]) -> None:
        """Give to the process with the lowest level until nothing is free, or wanted."""
        level = {name: self.levels[name] + parts[name] / self.weights[name] for name in wanted}
        lowest = [(level[name], name) for name, count in wanted.items() if count]
        heapq.heapify(lowest)
        while free > 0 and lowest:
            at, name = heapq.heappop(lowest)
            given = min(max(1, free // _STEPS), wanted[name])
            free -= given
            wanted[name] -= given
            parts[name] += given
            if wanted[name]:
                heapq.heappush(lowest, (at + given / self.weights[name], name))


class Replica:
    """The budgets as the log tells of them."""

    def __init__(self, *, window: float, max_block: float, lease: float, bulk_leaves: float) -> None:
        self._new_bucket = partial(Bucket, window, max_block, random=self._jitter)
        self._lease = lease  # seconds
        self._bulk_leaves = bulk_leaves
        self.cursor: str = FIRST  # the last entry
        self.time: float = -math.inf  # of it
        self.tenant: SharedBudget = SharedBudget(self._new_bucket(learns=False))
        self.routes: dict[str, SharedBudget] = {}
        self.processes: dict[str, Process] = {}
        self._not_bulk = EventHistory(window, late=False)  # requests
        self.incomplete: bool = False  # entries were lost before they were read
        self._warned = False
        self._expires_at = -math.inf

    def _jitter(self) -> float:
        """The same for all that have read as far."""
        return self.time * 618.034 % 1.0

    def route(self, name: str) -> SharedBudget:
        """The budget of a route, made at its first use."""
        if name not in self.routes:
            if len(self.routes) >= MAX_ROUTES:
                self.routes.pop(
                    next((old for old, each in self.routes.items() if not each.bucket.in_flight), name), None
                )
            self.routes[name] = SharedBudget(self._new_bucket())
        return self.routes[name]

    def process(self, name: str) -> Process:
        """What is known of a process."""
        if name not in self.processes:
            self.processes[name] = Process(EventHistory(self.tenant.bucket.window, late=False), self._lease)
        return self.processes[name]

    def replay(self, entry: str, fields: Mapping[str, str]) -> bool:
        """Follow an entry of the log; return whether it tells of a 429."""
        self.cursor, self.time = entry, order(entry)[0] / 1000
        self.expire(self.time)
        name = fields.get("p", "")
        process = self.process(name)
        process.seen, process.left_since = self.time, math.inf
        said = self._message(fields["m"]) if fields.get("m") else {}
        for each in said.get("s", ()):
            self._settle(process, each)
        process.weight, process.lease = said.get("w", process.weight), said.get("l", process.lease)
        process.waiting = said.get("q", process.waiting)
        for grant in fields.get("g", "").split():
            route, *numbers = grant.split(":")
            self._book(name, route, *map(int, numbers))
        if "bye" in said:
            self._forget(name)
        return any(each[3] for each in said.get("s", ()))

    def _message(self, text: str) -> dict[str, Any]:
        """What a process says; nothing if it is of a version that is not understood."""
        with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
            said = json.loads(text)
            if said["v"] == VERSION:
                settled = [[*each[:4], *map(_read, each[4:6]), each[6]] for each in said.get("s", ())]
                if "q" in said:
                    said["q"] = {route: (int(a), int(b), int(c)) for route, (a, b, c) in said["q"].items()}
                weight, lease = max(_LEAST_WEIGHT, float(said["w"])), float(said.get("l", self._lease))
                return {**said, "s": settled, "w": weight, "l": lease}
        if not self._warned:
            self._warned = True
            _logger.warning("RedisRateLimiter skips entries of another version of this SDK; use one version in a fleet")
        return {}

    def _book(self, name: str, route: str, count: int, number: int, route_number: int) -> None:
        budget, process = self.route(route), self.processes[name]
        for scope, first in (self.tenant, number), (budget, route_number):
            self.incomplete |= scope.booked not in {None, first}
            scope.booked = first + count
        for each in range(number, number + count):
            process.open[each] = budget, self.tenant.book(self.time), budget.book(self.time)
            process.granted.add(self.time)
        urgent, normal, bulk = process.waiting.get(route, (0, 0, 0))
        first = min(urgent, count)
        second = min(normal, count - first)
        for _ in range(first + second):
            self._not_bulk.add(self.time)
        process.waiting[route] = urgent - first, normal - second, max(0, bulk - (count - first - second))

    def _settle(self, process: Process, said: Said) -> None:
        number, age, how, blame, tenant, route, retry_after = said
        if number not in process.open:
            return  # its booking was forgotten, or it was settled before
        budget, of_tenant, of_route = process.open.pop(number)
        at, lost, tenants = self.time - age + TICK, how == LOST, self.tenant.bucket
        for bucket, ticket, limit, other, denied in (
            (tenants, of_tenant, tenant, route, bool(blame & 1)),
            (budget.bucket, of_route, route, tenant, bool(blame & 2)),
        ):
            if how == CANCELLED:
                bucket.cancel(ticket, at)
            else:
                elsewhere = other is not None
                bucket.settle(ticket, at, limit, denied=denied, retry_after=retry_after, lost=lost, elsewhere=elsewhere)

    def book_now(self, name: str, route: str, number: int, now: float) -> None:
        """Book a request of this process while that cannot be written; its number is below 0."""
        self.time, budget = max(self.time, now), self.route(route)
        self.process(name).open[number] = budget, self.tenant.bucket.send(now), budget.bucket.send(now)

    def settle_now(self, name: str, now: float, said: Said) -> None:
        """Note how a booking of this process ended while that cannot be written."""
        self.time = max(self.time, now)
        if name in self.processes:
            self._settle(self.processes[name], [said[0], 0.0, *said[2:]])

    def count(self, routes: list[str], booked: list[int]) -> None:
        """Take over the totals of the store, now that its whole log was read."""
        for budget, total in zip((self.tenant, *map(self.route, routes)), booked, strict=True):
            self.incomplete |= budget.booked is not None and budget.booked < total
            budget.booked = max(budget.booked or 0, total)

    def expire(self, now: float, *, alive: str = "") -> None:
        """Forget the processes that are dead, but not the one that is known to be alive."""
        if now < self._expires_at:
            return
        self._expires_at = now + self._lease / 8
        if alive in self.processes:
            self.processes[alive].seen = now
        for name in [name for name, each in self.processes.items() if each.seen < now - each.lease]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        process = self.processes.pop(name)
        for budget, *tickets in process.open.values():
            for scope, ticket in zip((self.tenant, budget), tickets, strict=True):
                scope.bucket.settle(ticket, self.time, None, lost=True)

    def ready_at(self, route: str, now: float) -> float:
        """When a request may be booked; see `Bucket.ready_at`."""
        return max(self.tenant.bucket.ready_at(now), self.route(route).bucket.ready_at(now))

    def share(self, name: str) -> float:
        """The part of the budget that a process gets while all want as much as they can get."""
        process = self.processes.get(name)
        return process.weight / sum(each.weight for each in self.processes.values()) if process else 1.0

    def _waiting(self, route: str, now: float) -> dict[str, Waiting]:
        """What waits for a route, without the processes that do not come."""
        patience = _PATIENCE * self.tenant.bucket.window
        return {
            name: process.waiting[route]
            for name, process in self.processes.items()
            if any(process.waiting.get(route, ())) and now < process.left_since + patience
        }

    def comes_until(self) -> float:
        """Until when budget is left to some process that waits, if it does not come."""
        patience = _PATIENCE * self.tenant.bucket.window
        return min((each.left_since for each in self.processes.values()), default=math.inf) + patience

    def allot(self, name: str, ahead: Mapping[str, int], now: float) -> tuple[int, Wanted]:
        """How many requests may be booked in all, and which a process may book now.

        Args:
            name: The process.
            ahead: By route, how many requests more it would like than wait.
            now: The time.
        """
        in_all = self.tenant.bucket.room(now)
        names = {route for process in self.processes.values() for route in process.waiting} | {*ahead} if in_all else ()
        rooms = {route: min(in_all, self.route(route).bucket.room(now)) for route in names}
        waiting = {route: self._waiting(route, now) for route, room in rooms.items() if room}
        division = self._division([*waiting], now)
        parts, come = dict[str, int](), dict[str, Waiting]()
        for route, counts in waiting.items():
            parts[route] = division.parts(rooms[route], counts).get(name, 0)
            for each, (urgent, normal, bulk) in counts.items():
                so_far = come.get(each, (0, 0, 0))
                come[each] = so_far[0] + urgent, so_far[1] + normal, so_far[2] + bulk
        total = division.parts(in_all, come)
        for each in come:
            if total[each] and each != name:
                self.processes[each].left_since = min(self.processes[each].left_since, now)
        left, spare = total.get(name, 0), in_all - sum(map(sum, come.values()))
        allotted: Wanted = []
        for route, part in parts.items():
            wanted = min(part, left)
            left -= wanted
            unwanted = min(spare, rooms[route] - sum(map(sum, waiting[route].values()))) // max(1, len(self.processes))
            wanted += max(0, min(unwanted, ahead.get(route, 0)))
            if wanted:
                allotted.append((route, wanted, (self.routes[route].booked or 0) + rooms[route]))
        return (self.tenant.booked or 0) + in_all, allotted

    def _division(self, routes: Iterable[str], now: float) -> Division:
        before = now - self.tenant.bucket.window
        weights = {name: process.weight for name, process in self.processes.items()}
        levels = {name: process.granted.since(before) / process.weight for name, process in self.processes.items()}
        limits = [
            each.bucket.limit for each in (self.tenant, *map(self.route, routes)) if each.bucket.limit is not None
        ]
        had = self._not_bulk.since(before)
        for_others = max(0, math.ceil(self._bulk_leaves * min(limits)) - had) if limits else math.inf
        return Division(levels, weights, for_others)
