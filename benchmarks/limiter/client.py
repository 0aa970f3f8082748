"""The client: requests wait per route, and are sent when the limiters of all their scopes allow it.

It does what the asyncio limiter does, without asyncio: first come, first served per route; of the routes whose limiters
allow it, the one with the oldest head goes; a denied request keeps its place; one timer for all.
"""

import heapq
import math
import random
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from alohub_async.rate_limits.status import RateLimit
from benchmarks.limiter.server import Answer, Server

T = TypeVar("T")


class Limiter(Protocol[T]):
    """Decides when a request of one scope may go: a `Bucket`, or another policy."""

    def ready_at(self, now: float) -> float:
        """When one may go."""
        ...

    def send(self, now: float) -> T:
        """Book one."""
        ...

    def settle(
        self,
        ticket: T,
        now: float,
        snapshot: RateLimit | None,
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
    ) -> None:
        """Note its answer, or that it was `lost`."""
        ...


@attrs.define(eq=False)
class Request:
    """One request; `waited` is how long it had waited in all when it was last sent, in seconds."""

    number: int
    scopes: tuple[str, ...]
    arrived: float
    tries: int = 0
    waited: float = 0.0

    def __lt__(self, other: "Request") -> bool:
        return self.number < other.number


class Client(Generic[T]):
    """Sends the submitted requests, through one limiter per scope.

    A share of the requests is `lost`, half of them before and half of them after the server has counted them. They fail
    when their answer would have come, and are not tried again.

    Attributes:
        done: The served requests, in the order of their answers.
        done_at: When each of these answers arrived.
        denials: When each 429 arrived.
        overtakings: Requests that were sent while an older one of their route waited.
    """

    def __init__(
        self,
        server: Server,
        limiters: Mapping[str, Limiter[T]],
        legs: tuple[float, float],
        rng: random.Random,
        lost: float = 0.0,
    ) -> None:
        self.done: list[Request] = []
        self.done_at: list[float] = []
        self.denials: list[float] = []
        self.overtakings = 0
        self._server = server
        self._loop = server.loop
        self._limiters = limiters
        self._legs = legs
        self._rng = rng
        self._lost = lost
        self._queues: dict[tuple[str, ...], list[Request]] = {}
        self._submitted = 0
        self._timer = math.inf

    def submit(self, scopes: tuple[str, ...], count: int = 1) -> None:
        """Queue requests; the last of the scopes is their route."""
        queue = self._queues.setdefault(scopes, [])
        for _ in range(count):
            heapq.heappush(queue, Request(self._submitted, scopes, self._loop.now))
            self._submitted += 1
        self._pump()

    def _pump(self) -> None:
        now = self._loop.now
        while True:
            oldest: Request | None = None
            due = math.inf
            for scopes, queue in self._queues.items():
                if not queue:
                    continue
                at = max(self._limiters[scope].ready_at(now) for scope in scopes)
                if at > now:
                    due = min(due, at)
                elif oldest is None or queue[0] < oldest:
                    oldest = queue[0]
            if oldest is None:
                break
            self._send(oldest)
        if due < math.inf and not now < self._timer <= due:
            self._timer = due
            self._loop.at(due, self._pump)

    def _send(self, request: Request) -> None:
        now = self._loop.now
        queue = self._queues[request.scopes]
        heapq.heappop(queue)
        self.overtakings += bool(queue) and queue[0] < request
        request.tries += 1
        request.waited = now - request.arrived
        tickets = [self._limiters[scope].send(now) for scope in request.scopes]
        self._server.in_flight.update(request.scopes)

        fate = self._rng.random()

        def arrive() -> None:
            self._server.in_flight.subtract(request.scopes)
            answer = None if fate < self._lost / 2 else self._server.serve(request.scopes)
            answer = None if fate < self._lost else answer
            self._loop.at(
                self._loop.now + self._rng.uniform(*self._legs), lambda: self._receive(request, tickets, answer)
            )

        self._loop.at(now + self._rng.uniform(*self._legs), arrive)

    def _receive(self, request: Request, tickets: Sequence[T], answer: Answer | None) -> None:
        now = self._loop.now
        if answer is None:
            for scope, ticket in zip(request.scopes, tickets, strict=True):
                self._limiters[scope].settle(ticket, now, None, lost=True)
            self._pump()
            return
        # A 429 does not name the budget that is used up: it is the one with nothing left, or any.
        used_up = [scope for scope, found in answer.snapshots.items() if found is not None and not found.remaining]
        for scope, ticket in zip(request.scopes, tickets, strict=True):
            denied = answer.denied and scope in (used_up or request.scopes)
            retry_after = answer.retry_after if denied else None
            self._limiters[scope].settle(ticket, now, answer.snapshots[scope], denied=denied, retry_after=retry_after)
        if answer.denied:
            self.denials.append(now)
            heapq.heappush(self._queues[request.scopes], request)
        else:
            self.done.append(request)
            self.done_at.append(now)
        self._pump()
