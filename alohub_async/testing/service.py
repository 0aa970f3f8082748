"""The service behind the socket: the response to a request at a given time. It has no I/O and no clock."""

import math
from collections.abc import Collection, Mapping, Sequence
from threading import RLock
from typing import Final

from attrs import define, evolve, field, frozen

from alohub_async.testing.contract import Answer, is_backend, path_fits, problem, strip_prefix
from alohub_async.testing.data import RecordTable
from alohub_async.testing.faults import FaultScript, JsonAnswer, Status
from alohub_async.testing.moves import MoveScript
from alohub_async.testing.request_log import RecordedRequest, RequestFilter
from alohub_async.testing.routes import ROUTES, Call, SandboxRoute, find_route
from alohub_async.testing.settings import HeaderStyle, SandboxSettings
from alohub_async.testing.windows import ServerWindow, make_window
from alohub_async.validation import refuse

# The names are not documented. Both word orders are in use.
_HEADER_NAMES: Final[dict[HeaderStyle, tuple[str, str]]] = {
    "scope-last": ("X-RateLimit-Limit-{scope}", "X-RateLimit-Remaining-{scope}"),
    "scope-first": ("X-RateLimit-{scope}-Limit", "X-RateLimit-{scope}-Remaining"),
}


@frozen
class KeyGrant:
    """The tenant and the scopes of a key."""

    tenant_id: str
    scopes: frozenset[str]


@define(eq=False)
class Service:
    """The API's state and decisions; the lock is held while any of this is read or changed, as threads share it."""

    settings: SandboxSettings
    tables: dict[str, RecordTable]
    routes: Sequence[SandboxRoute] = ROUTES
    faults: FaultScript = field(init=False, factory=FaultScript)
    moves: MoveScript = field(init=False, factory=MoveScript)
    log: dict[int, RecordedRequest] = field(init=False, factory=dict[int, RecordedRequest])
    _arrivals: int = field(init=False, default=0)
    lock: RLock = field(init=False, factory=RLock, repr=False)
    keys: dict[str, KeyGrant] = field(init=False, factory=dict[str, KeyGrant], repr=False)
    _windows: dict[tuple[str, str], ServerWindow] = field(init=False, factory=dict[tuple[str, str], ServerWindow])

    def find(self, method: str, path: str) -> SandboxRoute | None:
        """The route of a request; None if the table has none, or not for this way of access."""
        if self.settings.access == ("gateway" if is_backend(path) else "backend"):
            return None
        return find_route(self.routes, method, path)

    def grant(self, key: str, *, tenant_id: str, scopes: Collection[str]) -> None:
        """Accept a key."""
        self.keys[key] = KeyGrant(tenant_id, frozenset(scopes))

    def arrived(self, request: RecordedRequest) -> int:
        """Log the request, and return its number for `answered`."""
        self._arrivals += 1
        self.log[self._arrivals] = request
        return self._arrivals

    def answered(self, number: int, answer: Answer) -> None:
        """Log the response, unless the log was cleared since."""
        if number in self.log:
            status = None if answer.cut == "before" else answer.status
            tenant, route = answer.tenant_remaining, answer.route_remaining
            self.log[number] = evolve(self.log[number], status=status, tenant_remaining=tenant, route_remaining=route)

    def check_filter(self, wanted: RequestFilter, *, times: int | None = None) -> None:
        """Refuse a filter that never matches: a page of a detail, or, with `times`, a path that nobody serves."""
        path = wanted.path or ROUTES[0].template
        served = [route.template for route in self.routes if path_fits(route.template, path)]
        no_list = (wanted.method or "GET").upper() != "GET" or (served and all("{id}" in name for name in served))
        if wanted.page is not None and no_list:
            raise refuse("page", "for requests of a list: GET, and not the path of a detail", wanted.page)
        if times is not None and not served:
            known = {*self.faults.paths, *(strip_prefix(request.path) for request in self.log.values())}
            if not any(path_fits(path, name) or path_fits(name, path) for name in known):
                paths = ", ".join(dict.fromkeys(route.template for route in self.routes))
                raise refuse("path", f"one that the sandbox serves ({paths}), or that was scripted or requested", path)

    def answer(self, request: RecordedRequest) -> Answer:
        """Process a request at its time of arrival, and return the response.

        In this order: faults in front of the service; an unknown path (404) and a wrong key (401), which are not
        counted; both limits (429); then, counted, the scope (403), the other faults and the endpoint itself. A path
        that only a fault serves is checked in the same way.
        """
        fault = self.faults.take(request, front_only=True)
        if fault is not None:
            return fault.spoil(Answer(200))
        route = self.find(request.method, request.path) or self._scripted(request)
        if route is None:
            return self._uncounted(request, f"{request.method} {strip_prefix(request.path)}", 404)
        grant = self._grant_of(request)
        if grant is None:
            return self._uncounted(request, str(route), 401)
        windows = self._windows_of(grant.tenant_id, str(route))
        if any(window.free(request.at) == 0 for window in windows.values()):
            for window in windows.values():
                window.deny(request.at)
            # Whole seconds until both windows admit a request, at least 1; floating-point errors do not round up.
            wait = max(1, *(math.ceil(window.retry_after(request.at) - 1e-9) for window in windows.values()))
            return self._signed(problem(429).with_headers({"Retry-After": str(wait)}), windows, request.at)
        allowed = route.scope in grant.scopes
        fault = self.faults.take(request) if allowed else None
        for window in windows.values():
            (window.deny if isinstance(fault, Status) and fault.is_429 else window.take)(request.at)
        answer = Answer(200) if allowed else problem(403)
        if allowed and (fault is None or fault.stage == "after"):
            answer = route.handler(Call(self, request, grant.tenant_id))
        answer = self._signed(answer, windows, request.at)
        return answer if fault is None else fault.spoil(answer)

    def _windows_of(self, tenant_id: str, route: str) -> dict[str, ServerWindow]:
        """The windows of a request by scope, with the current limits; a scope without a limit has none.

        What the service counts as a route is not documented. Here it is method and path template, per tenant.
        """
        settings, windows = self.settings, dict[str, ServerWindow]()
        for scope, key, limit in (("Tenant", "", settings.tenant_limit), ("Route", route, settings.route_limit)):
            if limit is not None:
                if (tenant_id, key) not in self._windows:
                    self._windows[tenant_id, key] = make_window(
                        settings.window_kind, limit, seconds=settings.window, count_denied=settings.count_denied
                    )
                windows[scope] = self._windows[tenant_id, key]
                windows[scope].limit = limit
        return windows

    def _signed(self, answer: Answer, windows: Mapping[str, ServerWindow], now: float) -> Answer:
        """The response with limit and remaining of each scope, the four headers of the vendor's page."""
        left = {scope: window.free(now) for scope, window in windows.items()}
        signed = evolve(answer, tenant_remaining=left.get("Tenant"), route_remaining=left.get("Route"))
        for scope, window in windows.items():
            limit, remaining = (name.format(scope=scope) for name in _HEADER_NAMES[self.settings.rate_limit_headers])
            signed = signed.with_headers({limit: str(window.limit), remaining: str(left[scope])})
        return signed

    def _scripted(self, request: RecordedRequest) -> SandboxRoute | None:
        """The route of a path that the table does not have, but a fault."""
        entry = self.faults.find(request)
        if entry is None:
            return None
        scope = entry.fault.scope if isinstance(entry.fault, JsonAnswer) else "queue"
        path = strip_prefix(entry.wanted.path or request.path)
        return SandboxRoute(request.method, path, scope, lambda _: problem(404))

    def _uncounted(self, request: RecordedRequest, route: str, status: int) -> Answer:
        if self.settings.limit_headers_on == "counted":
            return problem(status)
        named = request.headers.get("X-Tenant-ID", "")
        tenant_id = named if named in self.tables else self.settings.tenant_id
        return self._signed(problem(status), self._windows_of(tenant_id, route), request.at)

    def _grant_of(self, request: RecordedRequest) -> KeyGrant | None:
        """The grant of the key; None if the key is missing, wrong, or not of the named tenant.

        The backend reads `Authorization` only; see the setting `gateway_key` for the gateway. The response to another
        tenant's `X-Tenant-ID` is not documented. Here the key is then a wrong one.
        """
        style = "authorization" if is_backend(request.path) else self.settings.gateway_key
        own, general = (request.headers.get(name) for name in ("x-api-key", "authorization"))
        key = own if style == "x-api-key" or (style == "either" and own is not None) else general
        if style == "both" and own != general:
            key = None
        grant = self.keys.get(key or "")
        is_own = grant is not None and request.headers.get("X-Tenant-ID", grant.tenant_id) == grant.tenant_id
        return grant if is_own else None
