"""The two budgets of a request, its tenant's and its route's, checked and charged together."""

import math
from typing import Final

from attrs import define, evolve, field, frozen

from alohub_async.testing.contract import Answer
from alohub_async.testing.settings import HeaderStyle, SandboxSettings
from alohub_async.testing.windows import ServerWindow, make_window

# The names are not documented. Both word orders are in use.
_HEADER_NAMES: Final[dict[HeaderStyle, tuple[str, str]]] = {
    "scope-last": ("X-RateLimit-Limit-{scope}", "X-RateLimit-Remaining-{scope}"),
    "scope-first": ("X-RateLimit-{scope}-Limit", "X-RateLimit-{scope}-Remaining"),
}


@frozen
class Gate:
    """The windows of one request by scope, at its time of arrival; a scope without a limit has none."""

    now: float
    windows: dict[str, ServerWindow]
    header_style: HeaderStyle

    def refuses(self) -> bool:
        """Whether a window has nothing left."""
        return any(window.free(self.now) == 0 for window in self.windows.values())

    def charge(self, *, denied: bool = False) -> None:
        """Count the request in each window; a denied one only with `count_denied`."""
        for window in self.windows.values():
            (window.deny if denied else window.take)(self.now)

    def retry_after(self) -> int:
        """Whole seconds until both windows admit a request, at least 1. Floating-point errors do not round up."""
        return max(1, *(math.ceil(window.retry_after(self.now) - 1e-9) for window in self.windows.values()))

    def sign(self, answer: Answer) -> Answer:
        """The response with limit and remaining of each scope, the four headers of the vendor's page."""
        left = {scope: window.free(self.now) for scope, window in self.windows.items()}
        signed = evolve(answer, tenant_remaining=left.get("Tenant"), route_remaining=left.get("Route"))
        for scope, window in self.windows.items():
            limit, remaining = (name.format(scope=scope) for name in _HEADER_NAMES[self.header_style])
            signed = signed.with_headers({limit: str(window.limit), remaining: str(left[scope])})
        return signed


@define(eq=False)
class RateLimits:
    """The windows of all tenants and of all their routes, made on first use."""

    _settings: SandboxSettings
    _windows: dict[tuple[str, str], ServerWindow] = field(init=False, factory=dict[tuple[str, str], ServerWindow])

    def gate(self, tenant_id: str, route: str, now: float) -> Gate:
        """The windows of a request, with the current limits.

        What the service counts as a route is not documented. Here it is method and path template, per tenant.
        """
        settings, windows = self._settings, dict[str, ServerWindow]()
        for scope, key, limit in (("Tenant", "", settings.tenant_limit), ("Route", route, settings.route_limit)):
            if limit is not None:
                if (tenant_id, key) not in self._windows:
                    self._windows[tenant_id, key] = make_window(
                        settings.window_kind, limit, seconds=settings.window, count_denied=settings.count_denied
                    )
                windows[scope] = self._windows[tenant_id, key]
                windows[scope].limit = limit
        return Gate(now, windows, settings.rate_limit_headers)
