"""The state of the budgets: as one answer reports it, and as the limiter knows it."""

from collections.abc import Mapping
from typing import NamedTuple

import attrs


class RateLimit(NamedTuple):
    """What one answer says about one scope's budget (`X-RateLimit-…`). A tuple, because every answer makes two."""

    limit: int  # requests per window that the scope may make, 0 or more
    remaining: int  # requests it had left when the server answered: 0 or more, and never above `limit`
    reset: float | None = None  # seconds from the answer until the budget is full again, if the server says so
    window: float | None = None  # seconds, if the server says them
    also: tuple["RateLimit", ...] = ()  # the scope's other budgets, of other windows and with higher rates

    @property
    def used_up(self) -> bool:
        """Whether nothing is left of it, or of one of the others."""
        return not self.remaining or any(not each.remaining for each in self.also)


@attrs.frozen
class ScopeStatus:
    """The state of one budget.

    Attributes:
        limit: Requests per window; None while unknown, or if the server does not limit this scope.
        free: Requests that may go now; None if unlimited.
        in_flight: Requests sent and not answered yet.
        waiting: Requests that wait.
        next_due: Seconds until the next one may go: 0.0 for now, `math.inf` if it depends on an answer.
        denied: 429s so far.
        waited: Seconds during which at least one request waited; waits at the same time count once.
        sent: Requests sent so far.
    """

    limit: int | None
    free: int | None
    in_flight: int
    waiting: int
    next_due: float
    denied: int
    waited: float
    sent: int


@attrs.frozen
class RateLimitStatus:
    """The state of all budgets.

    Attributes:
        tenant: The tenant's.
        routes: Each route's, by its key (method and path template).
        denied: 429s so far, of either budget.
    """

    tenant: ScopeStatus
    routes: Mapping[str, ScopeStatus]
    denied: int
