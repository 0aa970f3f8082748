"""`RateLimiter`, what users see of the rate limit; `schedule.py` does the work."""

import math
from collections.abc import Callable
from typing import Any

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.headers import HeaderReader, RateLimitHeaders
from alohub_async.rate_limits.priorities import Priority
from alohub_async.rate_limits.scheduler import Permit, Scheduler
from alohub_async.rate_limits.status import RateLimitStatus
from alohub_async.routes import Route
from alohub_async.unset import UNSET, UnsetType


class RateLimiter:
    """Keeps a tenant's requests within the budgets the server tells of: the tenant's, and each route's.

    Every `AlohubClient` makes its own. Give one limiter to all clients of a tenant in a process and they share one
    budget:

        limiter = RateLimiter()
        first = AlohubClient(key, rate_limiter=limiter)
        second = AlohubClient(key, endpoint=..., rate_limiter=limiter)

    A budget that the server does not tell of is not limited here. One event loop at a time may use a limiter.
    """

    def __init__(
        self,
        *,
        window: float = 10.0,
        headers: RateLimitHeaders | None = None,
        max_wait: float | None = None,
        bulk_leaves: float = 0.2,
        route_key: Callable[[Route], str] = str,
    ) -> None:
        """Make a limiter.

        Args:
            window: Seconds a budget is for; the vendor's page says 10.
            headers: Names of the rate-limit headers; None recognises them.
            max_wait: Most seconds a request waits for its turn; beyond it raises. None for no end.
            bulk_leaves: The share of each window that requests of priority `bulk` leave to others while they wait:
                above 0 and below 1. Where nobody else waits, they use all of it. What the others did not use of their
                share is kept for them, as much as three windows' worth.
            route_key: What counts as one route. Not documented; by default each method and path template is one.

        Raises:
            ConfigurationError: A number out of range.
        """
        _check_seconds(window=window, max_wait=max_wait)
        self._schedule = Scheduler(window=window, reader=HeaderReader(headers), bulk_leaves=_checked_share(bulk_leaves))
        self._max_wait = max_wait
        self._route_key = route_key
        self._acquired = 0

    def acquire(
        self,
        route: Route,
        *,
        priority: Priority = "normal",
        max_wait: float | UnsetType | None = UNSET,
        max_retry_after: float = math.inf,
    ) -> Permit:
        """A request's turn: an async context manager that waits until the request may go, see `Permit`.

        Args:
            route: Which budget, besides the tenant's.
            priority: Who goes first.
            max_wait: Most seconds to wait, over all attempts; `UNSET` for the limiter's, None for no bound.
            max_retry_after: Raise rather than wait when the server asks to stay away for more seconds than this.
        """
        self._acquired = place = self._acquired + 1
        return Permit(
            self._schedule,
            route if self._route_key is str else self._route_key(route),
            place,
            priority=priority,
            max_wait=self._max_wait if isinstance(max_wait, UnsetType) else max_wait,
            max_retry_after=max_retry_after,
        )

    def forecast(self, route: Route, requests: int) -> float:
        """The least seconds until the last of so many more requests can go; 0.0 if all can go now, or nothing is known.

        Args:
            route: Which budget, besides the tenant's.
            requests: How many, besides those that wait already.
        """
        schedule = self._schedule
        if requests < 1:
            return 0.0
        schedule.catch_up()
        now, lane = schedule.clock(), schedule.lanes[route if self._route_key is str else self._route_key(route)]
        waiting = sum(each.waiting for each in schedule.lanes.values())
        return max(
            schedule.tenant.forecast(waiting + requests, now), lane.bucket.forecast(lane.waiting + requests, now)
        )

    def status(self) -> RateLimitStatus:
        """Where all budgets stand."""
        schedule = self._schedule
        schedule.catch_up()
        now = schedule.clock()
        return RateLimitStatus(
            tenant=schedule.status(schedule.tenant, [*schedule.lanes.values()], now),
            routes={str(key): schedule.status(lane.bucket, [lane], now) for key, lane in schedule.lanes.items()},
            denied=sum(lane.denied for lane in schedule.lanes.values()),
        )


def _check_seconds(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ConfigurationError(f"{name} must be a number of seconds above 0; {value!r} was given")


def _checked_share(share: Any) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ConfigurationError(f"bulk_leaves must be a number above 0 and below 1; {share!r} was given")
    return float(share)
