"""The two budgets of a request, its tenant's and its route's: checked and charged together."""

from typing import Final

from attrs import define, evolve, field, frozen

from alohub_async.testing.contract import Answer, whole_seconds
from alohub_async.testing.settings import HeaderStyle, SandboxSettings
from alohub_async.testing.windows import ServerWindow, make_window

# The names are not documented; both word orders occur in the wild.
_HEADER_NAMES: Final[dict[HeaderStyle, tuple[str, str]]] = {
    "scope-last": ("X-RateLimit-Limit-{scope}", "X-RateLimit-Remaining-{scope}"),
    "scope-first": ("X-RateLimit-{scope}-Limit", "X-RateLimit-{scope}-Remaining"),
}


@frozen
class Gate:
    """The windows one request must pass; a scope without a limit has none.

    Times are the event loop's, in seconds.
    """

    tenant: ServerWindow | None
    route: ServerWindow | None
    header_style: HeaderStyle

    def _windows(self) -> list[ServerWindow]:
        return [window for window in (self.tenant, self.route) if window is not None]

    def refuses(self, now: float) -> bool:
        """Whether either window has nothing left."""
        return any(window.free(now) <= 0 for window in self._windows())

    def charge(self, now: float) -> None:
        """Count an admitted request in both."""
        for window in self._windows():
            window.take(now)

    def deny(self, now: float) -> None:
        """Record a refused request in both; they count it only with `count_denied`."""
        for window in self._windows():
            window.deny(now)

    def retry_after(self, now: float) -> int:
        """Whole seconds until both would admit a request, at least 1."""
        longest = max((window.retry_after(now) for window in self._windows()), default=0.0)
        return whole_seconds(longest)

    def sign(self, answer: Answer, now: float) -> Answer:
        """The answer with the rate-limit headers (limit and remaining of each scope: the vendor's page has four)."""
        limit_name, remaining_name = _HEADER_NAMES[self.header_style]
        headers: dict[str, str] = {}
        left: list[int | None] = []
        for scope, window in (("Tenant", self.tenant), ("Route", self.route)):
            left.append(None if window is None else max(0, window.free(now)))
            if window is not None:
                headers[limit_name.format(scope=scope)] = str(window.limit)
                headers[remaining_name.format(scope=scope)] = str(left[-1])
        return evolve(answer.with_headers(headers), tenant_remaining=left[0], route_remaining=left[1])


@define(eq=False)
class RateLimits:
    """The windows of all tenants and of all their routes, made when first needed."""

    _settings: SandboxSettings
    _windows: dict[tuple[str, str], ServerWindow] = field(init=False, factory=dict[tuple[str, str], ServerWindow])

    def gate(self, tenant_id: str, route: str) -> Gate:
        """The windows that a request of that tenant for that route must pass, with the current limits.

        What the service takes for a route is not documented; here it is method and path template, per tenant.
        """
        settings = self._settings
        return Gate(
            tenant=self._window((tenant_id, ""), settings.tenant_limit),
            route=self._window((tenant_id, route), settings.route_limit),
            header_style=settings.rate_limit_headers,
        )

    def _window(self, key: tuple[str, str], limit: int | None) -> ServerWindow | None:
        if limit is None:
            return None
        window = self._windows.get(key)
        if window is None:
            settings = self._settings
            window = make_window(
                settings.window_kind, limit, seconds=settings.window, count_denied=settings.count_denied
            )
            self._windows[key] = window
        window.limit = limit
        return window
