"""The service behind the socket: the response to a request at a given time. It has no I/O and no clock."""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from threading import RLock
from typing import Any, Final, get_args

from attrs import Factory, define, evolve, field, frozen

from alohub_async.errors import InvalidArgumentError
from alohub_async.testing.contract import Answer, is_backend, path_fits, problem, strip_prefix
from alohub_async.testing.data import OtherRecords, RecordTable, seed_rows
from alohub_async.testing.faults import FaultEntry, FaultScript, JsonAnswer, Status
from alohub_async.testing.moves import MoveScript
from alohub_async.testing.request_log import RecordedRequest, RequestFilter
from alohub_async.testing.routes import ROUTES, Call, SandboxRoute
from alohub_async.testing.settings import HeaderStyle, SandboxSettings
from alohub_async.testing.windows import ServerWindow, make_window, retry_after_header
from alohub_async.validation import check_choice, refuse

# The names are not documented. All of these are in use.
_HEADER_NAMES: Final[dict[HeaderStyle, tuple[str, str]]] = {
    "scope-last": ("X-RateLimit-Limit-{scope}", "X-RateLimit-Remaining-{scope}"),
    "scope-first": ("X-RateLimit-{scope}-Limit", "X-RateLimit-{scope}-Remaining"),
    "scope-window": ("X-RateLimit-Limit-{scope}-{window}", "X-RateLimit-Remaining-{scope}-{window}"),
    "kong": ("X-RateLimit-Limit-{window}", "X-RateLimit-Remaining-{window}"),
}
_WINDOW_NAMES: Final[dict[float, str]] = {1: "Second", 60: "Minute", 3600: "Hour"}  # Kong's


_SEEDED: Final[Any] = Factory(lambda self: Random(self.settings.seed), takes_self=True)


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
    log: dict[object, RecordedRequest] = field(init=False, factory=dict[object, RecordedRequest])
    lock: RLock = field(init=False, factory=RLock, repr=False)
    keys: dict[str, KeyGrant] = field(factory=dict[str, KeyGrant], repr=False, kw_only=True)
    _others: dict[tuple[str, str], RecordTable] = field(init=False, factory=dict[tuple[str, str], RecordTable])
    _windows: dict[tuple[str, str], ServerWindow] = field(init=False, factory=dict[tuple[str, str], ServerWindow])
    rng: Random = field(init=False, default=_SEEDED)  # of the latency
    _missing: Random = field(init=False, default=_SEEDED)  # of the missing headers

    def table(self, tenant_id: str, name: OtherRecords) -> RecordTable:
        """A tenant's records that are no queues, made when first needed."""
        key = (tenant_id, check_choice("name", name, get_args(OtherRecords)))
        if key not in self._others:
            rows = seed_rows(name, self.tables[tenant_id].rows, seed=self.settings.seed)
            self._others[key] = RecordTable(rows, "")
        return self._others[key]

    def find(self, method: str, path: str) -> SandboxRoute | None:
        """The route of a request; None (404: the contract has no 405) if none is served in this way of access."""
        if self.settings.access == ("gateway" if is_backend(path) else "backend"):
            return None
        return next(
            (route for route in self.routes if route.method == method and path_fits(route.template, path)), None
        )

    def answered(self, key: object, answer: Answer) -> RecordedRequest | None:
        """Log the response, unless the log was cleared since, and return the logged request."""
        if key in self.log:
            status = None if answer.cut == "before" else answer.status
            tenant, route = answer.tenant_remaining, answer.route_remaining
            self.log[key] = evolve(self.log[key], status=status, tenant_remaining=tenant, route_remaining=route)
        return self.log.get(key)

    def check_filter(self, wanted: RequestFilter, *, times: int | None = None) -> None:
        """Refuse a filter that never matches: an unknown key, tenant, page of a detail, or, with `times`, path."""
        if wanted.api_key is not None and wanted.api_key not in self.keys:
            raise InvalidArgumentError("api_key must be a key of this sandbox (see add_key); another one was given")
        with self.lock:
            logged, scripted = [*self.log.values()], {*self.faults.paths}
        tenants = {*self.tables, *(request.tenant_id for request in logged)}
        if wanted.tenant_id is not None and wanted.tenant_id not in tenants:
            raise refuse("tenant_id", f"one of {tuple(self.tables)}, or one that a request named", wanted.tenant_id)
        path = wanted.path or ROUTES[0].template
        served = [route.template for route in self.routes if path_fits(route.template, path)]
        no_list = served and all("{id}" in name for name in served)
        if wanted.page is not None and (no_list or (wanted.method or "GET").upper() not in {"GET", "POST"}):
            raise refuse("page", "for requests of a list: GET or POST, and not the path of a detail", wanted.page)
        if times is not None and not served:
            known = {*scripted, *(strip_prefix(request.path) for request in logged)}
            if not any(path_fits(path, name) or path_fits(name, path) for name in known):
                paths = ", ".join(dict.fromkeys(route.template for route in self.routes))
                raise refuse("path", f"one that the sandbox serves ({paths}), or that was scripted or requested", path)

    def answer(self, request: RecordedRequest) -> Answer:
        """Process a request at its time of arrival, and return the response.

        In this order: faults in front; an unknown path (404) and a wrong key (401), not counted; both limits (429);
        then, counted, the scope (403), other faults and the endpoint. So is a path checked that only a fault serves.
        """
        entry = self.faults.find(request)
        if entry is not None and entry.fault.stage == "front":
            return self.faults.use(entry).spoil(Answer(200))
        route = self.find(request.method, request.path) or _scripted(request, entry)
        if route is None:
            return self._uncounted(request, f"{request.method} {strip_prefix(request.path)}", 404)
        grant = self._grant_of(request)
        if grant is None:
            return self._uncounted(request, str(route), 401)
        windows = self._windows_of(grant.tenant_id, str(route))
        if any(window.free(request.at) == 0 for window in windows.values()):
            for window in windows.values():
                window.deny(request.at)
            wait = retry_after_header(windows.values(), request.at, self.settings.retry_after)
            refused = problem(429) if wait is None else problem(429).with_headers({"Retry-After": str(wait)})
            return self._signed(refused, windows, request.at, denied=True)
        allowed = route.scope in grant.scopes
        fault = self.faults.use(entry) if entry is not None and allowed else None
        denied = isinstance(fault, Status) and fault.is_429
        for window in windows.values():
            (window.deny if denied else window.take)(request.at)
        answer = Answer(200) if allowed else problem(403)
        if allowed and (fault is None or fault.stage == "after"):
            answer = route.handler(Call(self, request, grant.tenant_id))
        answer = self._signed(answer, windows, request.at, denied=denied, extra=self.settings.off_by_one and not denied)
        return answer if fault is None else fault.spoil(answer)

    def _windows_of(self, tenant_id: str, route: str) -> dict[str, ServerWindow]:
        """The windows of limited scopes; what counts as a route, here method and template, is not documented."""
        settings, windows = self.settings, dict[str, ServerWindow]()
        for scope, key, limit in (("Tenant", "", settings.tenant_limit), ("Route", route, settings.route_limit)):
            if limit is not None:
                if (tenant_id, key) not in self._windows:
                    make = partial(make_window, settings.window_kind, count_denied=settings.count_denied)
                    burst = None if key else settings.burst_limit
                    also = () if burst is None else (make(burst, seconds=1.0),)
                    self._windows[tenant_id, key] = make(limit, seconds=settings.window, also=also)
                windows[scope] = self._windows[tenant_id, key]
                windows[scope].limit = limit
        return windows

    def _signed(
        self, answer: Answer, windows: Mapping[str, ServerWindow], now: float, *, denied: bool = False, extra: int = 0
    ) -> Answer:
        """The response with limit and remaining of each scope; of headers with one name, the first is sent."""
        settings, left = self.settings, {scope: window.left(now) for scope, window in windows.items()}
        signed = evolve(answer, tenant_remaining=left.get("Tenant"), route_remaining=left.get("Route"))
        silent = settings.limit_headers_on == "never" or (settings.limit_headers_on == "429" and not denied)
        if silent or self._missing.random() * 100 >= settings.limit_headers_percent:
            return signed
        headers: dict[str, str] = {}
        for scope, each in [(scope, each) for scope, first in windows.items() for each in (first, *first.also)]:
            named = {"scope": scope, "window": _WINDOW_NAMES.get(each.seconds, f"{each.seconds:g}")}
            limit, remaining = (name.format_map(named) for name in _HEADER_NAMES[settings.rate_limit_headers])
            headers = {**headers, limit: str(each.limit), remaining: str(each.left(now) + extra), **headers}
        return signed.with_headers(headers)

    def _uncounted(self, request: RecordedRequest, route: str, status: int) -> Answer:
        if self.settings.limit_headers_on == "counted":
            return problem(status)
        named = request.headers.get("X-Tenant-ID", "")
        tenant_id = named if named in self.tables else self.settings.tenant_id
        return self._signed(problem(status), self._windows_of(tenant_id, route), request.at)

    def _grant_of(self, request: RecordedRequest) -> KeyGrant | None:
        """The grant of the key; None if missing, wrong, or (not documented) if `X-Tenant-ID` names another tenant."""
        style = "authorization" if is_backend(request.path) else self.settings.gateway_key
        own, general = (request.headers.get(name) for name in ("x-api-key", "authorization"))
        key = own if style == "x-api-key" or (style == "either" and own is not None) else general
        if style == "both" and own != general:
            key = None
        grant = self.keys.get(key or "")
        is_own = grant is not None and request.headers.get("X-Tenant-ID", grant.tenant_id) == grant.tenant_id
        return grant if is_own else None

    def tenant_of(self, headers: Mapping[str, str]) -> str | None:
        """The tenant of a request's key; of an unknown key, the one that the request names."""
        grant = self.keys.get(headers.get("X-Api-Key", headers.get("Authorization", "")))
        return headers.get("X-Tenant-ID") if grant is None else grant.tenant_id


def _scripted(request: RecordedRequest, entry: FaultEntry | None) -> SandboxRoute | None:
    """The route of a path that the table does not have, but a fault."""
    if entry is None:
        return None
    scope = entry.fault.scope if isinstance(entry.fault, JsonAnswer) else "queue"
    path = strip_prefix(entry.wanted.path or request.path)
    return SandboxRoute(request.method, path, scope, lambda _: problem(404))
