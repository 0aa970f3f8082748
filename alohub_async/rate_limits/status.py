"""Where budgets stand: as one answer says, and as the limiter knows."""

from collections.abc import Mapping
from typing import NamedTuple

import attrs


class RateLimit(NamedTuple):
    """What one answer said of one scope's budget (`X-RateLimit-…`); a tuple, since two are made of every answer.

    Attributes:
        limit: Requests the scope may make in one window. 0 or more.
        remaining: Requests it had left when the server answered. 0 or more, and never above `limit`.
        reset: Seconds from the answer until the budget is full again, or None when the server does not say (the
            vendor documents no such header; others send one).
    """

    limit: int
    remaining: int
    reset: float | None = None


@attrs.frozen
class ScopeStatus:
    """Where one budget stands.

    Attributes:
        limit: Requests a window; None while unknown, or if the server does not limit this scope.
        free: Requests that may go now; None if unlimited.
        in_flight: Requests sent and not answered yet.
        waiting: Requests that wait for their turn.
        next_due: Seconds until the next one may go: 0.0 now, `math.inf` if only an answer can tell.
        denied: 429s so far.
        waited: Seconds that requests have waited in all.
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
    """Where all budgets stand.

    Attributes:
        tenant: The tenant's.
        routes: Each route's, by its key (method and path template).
        denied: 429s so far, whichever budget was to blame.
    """

    tenant: ScopeStatus
    routes: Mapping[str, ScopeStatus]
    denied: int
