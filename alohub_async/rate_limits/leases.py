"""What a process may use of a shared budget: for the scheduler, a budget as any other.

A process books several requests at a time, its *leases*. One of them is used for each request; those that are not
used soon are given back. While the store is not there, the process decides alone, by the buckets that it has.
"""

import math
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

from alohub_async.rate_limits.history import EventHistory
from alohub_async.rate_limits.ledger import ANSWERED, CANCELLED, LOST, ended

if TYPE_CHECKING:
    from alohub_async.rate_limits.bucket import Bucket
    from alohub_async.rate_limits.counts import Ticket
    from alohub_async.rate_limits.member import Member
    from alohub_async.rate_limits.status import RateLimit

_RECENT: Final = 0.1  # seconds; as many leases as were used in them are held in advance


class Lease:
    """A budget as the fleet knows it; times are the loop's."""

    def __init__(self, member: "Member") -> None:
        self._member = member
        self.ready_until: float = math.inf

    @property
    def bucket(self) -> "Bucket":
        """The fleet's bucket."""
        return self._member.replica.tenant.bucket

    @property
    def offset(self) -> float:
        """Seconds: the bucket's time less the loop's."""
        return self._member.offset

    @property
    def in_flight(self) -> int:
        """Requests of this process."""
        return len(self._member.flights)

    def ready_at(self, now: float) -> float:
        """Now: the route's lease decides."""
        return now

    def send(self, now: float) -> "Ticket":
        """Nothing: a lease is of both budgets, and the route's has it."""
        return 0, now, 0

    def settle(
        self, ticket: "Ticket", now: float, snapshot: "RateLimit | None", *, denied: bool = False, **_: Any
    ) -> None:
        """Note what the answer said of the tenant's budget; the route's part follows at once."""
        del ticket, now
        self._member.of_tenant = snapshot, denied

    def cancel(self, ticket: "Ticket", now: float) -> None:
        """Nothing, as `send`."""


class RouteLease(Lease):
    """The leases of one route."""

    def __init__(self, member: "Member", key: Hashable, name: str) -> None:
        super().__init__(member)
        self.key: Hashable = key
        self.name: str = name  # in the log
        self.ready_until: float = -math.inf
        self.hand: deque[int] = deque()  # numbers of leases that are not in use
        self.used_at: float = -math.inf
        self.sent: EventHistory = EventHistory(member.window, late=False)
        self.unwritten: int = 0  # requests that were sent without the store
        self._low = 0

    @property
    def bucket(self) -> "Bucket":
        """The fleet's bucket."""
        return self._member.replica.route(self.name).bucket

    @property
    def in_flight(self) -> int:
        """Requests of this process."""
        return sum(lease is self for lease, _ in self._member.flights.values()) + len(self.hand)

    def ahead(self, now: float) -> int:
        """How many leases more than are waited for are of use."""
        recent = self.sent.since(now - _RECENT)
        return recent - len(self.hand) if recent > 1 and len(self.hand) <= recent // 2 else 0

    def ready_at(self, now: float) -> float:
        """Now with a lease; otherwise when the buckets allow one, or inf if a process or the store must say so."""
        if self.hand and now <= self.ready_until:
            return now
        if self.hand:
            self._member.give_back(self)
        return self._member.ready_at(self, now)

    def grant(self, numbers: range, now: float, until: float) -> None:
        """Hold these leases until then."""
        self.hand.extend(numbers)
        self._low = len(self.hand) // 2
        self.used_at, self.ready_until = now, until

    def owed(self, now: float) -> int:
        """Requests that were sent without the store, and may still count."""
        self.unwritten = min(self.unwritten, self.sent.since(now - self._member.window))
        return self.unwritten

    def drop(self) -> None:
        """Hold none any more."""
        self.hand.clear()
        self.ready_until = -math.inf

    def send(self, now: float) -> "Ticket":
        """Use a lease, or book one request by the buckets of this process."""
        member = self._member
        member.taken += 1
        if self.hand:
            number = self.hand.popleft()
            if not self.hand:
                self.ready_until = -math.inf
        else:
            number = -member.taken
            self.unwritten += 1
            member.replica.book_now(member.name, self.name, number, now + member.offset)
        self.used_at = now
        self.sent.add(now)
        member.sent.add(now)
        member.flights[member.taken] = self, number
        if len(self.hand) <= self._low:
            member.poke()
        return member.taken, now, 0

    def settle(
        self,
        ticket: "Ticket",
        now: float,
        snapshot: "RateLimit | None",
        *,
        denied: bool = False,
        retry_after: float | None = None,
        lost: bool = False,
        **_: Any,
    ) -> None:
        """Note how a request ended."""
        (tenant, blamed), how = self._member.of_tenant, LOST if lost else ANSWERED
        self._note(ticket, [how, 2 * denied + blamed, tenant, snapshot, retry_after], now)

    def cancel(self, ticket: "Ticket", now: float) -> None:
        """Give back the lease of a request that was not sent."""
        self._note(ticket, ended(CANCELLED), now)

    def _note(self, ticket: "Ticket", how: list[Any], now: float) -> None:
        if flight := self._member.flights.pop(ticket[0], None):
            self._member.note([flight[1], now, *how])
