"""`RateLimiter`, the public side of the rate limit; `scheduler.py` does the work."""

import math
from collections.abc import Callable

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.headers import HeaderReader, RateLimitHeaders
from alohub_async.rate_limits.priorities import Priority
from alohub_async.rate_limits.scheduler import Permit, Scheduler
from alohub_async.rate_limits.status import RateLimitStatus
from alohub_async.routes import Route
from alohub_async.unset import UNSET, UnsetType
from alohub_async.validation import check_seconds, check_share


class RateLimiter:
    """Keeps a tenant's requests within the budgets that the server reports: the tenant's, and each route's.

    Every `AlohubClient` makes its own. Pass one limiter to all clients of a tenant in a process, and they share one
    budget:

        limiter = RateLimiter()
        first = AlohubClient(key, rate_limiter=limiter)
        second = AlohubClient(key, endpoint=..., rate_limiter=limiter)

    A budget that the server does not report is not limited here. Only one event loop at a time may use a limiter.
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
            window: Seconds that a budget is for; the vendor's page says 10.
            headers: Names of the rate-limit headers; None recognises them.
            max_wait: Most seconds that a request waits; a longer wait raises an error. None for no maximum.
            bulk_leaves: The share of each window that requests of priority `bulk` leave to others while they wait:
                above 0 and below 1. Where no others wait, bulk requests use all of it. What the others do not use of
                their share is saved for them, up to three windows' worth.
            route_key: Returns the key of a route's budget. What the server counts as one route is not documented; by
                default, each method and path template is one.

        Raises:
            ConfigurationError: A value is not allowed.
        """
        check_seconds("window", window, error=ConfigurationError)
        self._max_wait = check_seconds("max_wait", max_wait, optional=True, error=ConfigurationError)
        bulk_leaves = check_share("bulk_leaves", bulk_leaves, error=ConfigurationError)
        self._scheduler = Scheduler(window=window, reader=HeaderReader(headers), bulk_leaves=bulk_leaves)
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
        """A permit for one request: an async context manager that waits until the request may go. See `Permit`.

        Args:
            route: Its budget, besides the tenant's.
            priority: Which requests go first.
            max_wait: Longest wait in seconds, over all attempts; None for no maximum. By default the limiter's.
            max_retry_after: Raise an error when the server asks to wait for more seconds than this.
        """
        self._acquired = sequence = self._acquired + 1
        return Permit(
            self._scheduler,
            route if self._route_key is str else self._route_key(route),
            sequence,
            priority=priority,
            max_wait=self._max_wait if max_wait is UNSET else max_wait,
            max_retry_after=max_retry_after,
        )

    def forecast(self, route: Route, requests: int) -> float:
        """The least number of seconds until the last of that many more requests can go.

        0.0 if all of them can go now, or nothing is known.

        Args:
            route: Their budget, besides the tenant's.
            requests: How many, besides those that wait already.
        """
        if requests < 1:
            return 0.0
        scheduler = self._scheduler
        now = scheduler.clock()
        route_queue = scheduler.route_queues[route if self._route_key is str else self._route_key(route)]
        waiting = sum(each.waiting for each in scheduler.route_queues.values())
        return max(
            scheduler.tenant.forecast(waiting + requests, now),
            route_queue.bucket.forecast(route_queue.waiting + requests, now),
        )

    def status(self) -> RateLimitStatus:
        """The state of all budgets."""
        scheduler = self._scheduler
        now, route_queues = scheduler.clock(), scheduler.route_queues
        return RateLimitStatus(
            tenant=scheduler.status(scheduler.tenant, [*route_queues.values()], now),
            routes={str(key): scheduler.status(each.bucket, [each], now) for key, each in route_queues.items()},
            denied=sum(each.denied for each in route_queues.values()),
        )
