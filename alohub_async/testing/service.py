"""The service behind the socket: the response to a request at a given time. It has no I/O and no clock."""

from collections.abc import Collection, Sequence
from threading import RLock

from attrs import define, field, frozen

from alohub_async.errors import InvalidArgumentError
from alohub_async.testing.contract import Answer, path_fits, problem, strip_prefix
from alohub_async.testing.data import RecordTable
from alohub_async.testing.faults import FaultScript, JsonAnswer, Status
from alohub_async.testing.limits import Gate, RateLimits
from alohub_async.testing.moves import MoveScript
from alohub_async.testing.request_log import RecordedRequest, RequestFilter, RequestLog
from alohub_async.testing.routes import ROUTES, Call, SandboxRoute, Target, find_target, is_backend
from alohub_async.testing.settings import SandboxSettings
from alohub_async.validation import refuse


@frozen
class KeyGrant:
    """The tenant and the scopes of a key."""

    tenant_id: str
    scopes: frozenset[str]


@define(eq=False)
class Service:
    """The API's state and decisions.

    Attributes:
        settings: The settings of the sandbox.
        tables: The inbound queues of each tenant.
        routes: The table of routes, see `routes.py`.
        lock: Held while any of this is read or changed, because the server may run in another thread.
    """

    settings: SandboxSettings
    tables: dict[str, RecordTable]
    routes: Sequence[SandboxRoute] = ROUTES
    faults: FaultScript = field(init=False, factory=FaultScript)
    moves: MoveScript = field(init=False, factory=MoveScript)
    log: RequestLog = field(init=False, factory=RequestLog)
    lock: RLock = field(init=False, factory=RLock, repr=False)
    keys: dict[str, KeyGrant] = field(init=False, factory=dict[str, KeyGrant], repr=False)
    limits: RateLimits = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.limits = RateLimits(self.settings)

    def find(self, method: str, path: str) -> Target | None:
        """The route of a request; None if the table has none, or not for this way of access."""
        if self.settings.access == ("gateway" if is_backend(path) else "backend"):
            return None
        return find_target(self.routes, method, path)

    def grant(self, key: str, *, tenant_id: str, scopes: Collection[str]) -> None:
        """Accept a key."""
        self.keys[key] = KeyGrant(tenant_id, frozenset(scopes))

    def check_filter(self, wanted: RequestFilter, *, times: int | None = None) -> None:
        """Refuse a filter that never matches: a page of a detail, or, with `times`, a path that nobody serves.

        Raises:
            InvalidArgumentError: It never matches.
        """
        path = wanted.path or ROUTES[0].template
        served = [route for route in self.routes if path_fits(route.template, path)]
        if wanted.page is not None and (
            (wanted.method or "GET").upper() != "GET" or (served and all("{id}" in route.template for route in served))
        ):
            allowed = "for requests of a list: GET, and not the path of a detail"
            raise refuse("page", allowed, wanted.page, wrong_type=False, error=InvalidArgumentError)
        known = {*self.faults.paths, *(strip_prefix(request.path) for request in self.log.requests())}
        if times is not None and not served and strip_prefix(path) not in known:
            paths = ", ".join(dict.fromkeys(route.template for route in self.routes))
            allowed = f"one that the sandbox serves ({paths}), or that was scripted or requested"
            raise refuse("path", allowed, path, wrong_type=False, error=InvalidArgumentError)

    def answer(self, request: RecordedRequest) -> Answer:
        """Process a request at its time of arrival, and return the response.

        In this order: faults in front of the service; an unknown path (404) and a wrong key (401), which are not
        counted; both limits (429); then, counted, the scope (403), the other faults and the endpoint itself. A path
        that only a fault serves is checked in the same way.
        """
        target = self.find(request.method, request.path)
        fault = self.faults.take(request, front_only=True)
        if fault is not None:
            return fault.spoil(Answer(200))
        target = target or self._scripted(request)
        if target is None:
            return self._uncounted(request, f"{request.method} {strip_prefix(request.path)}", 404)
        grant = self._grant_of(request, target)
        if grant is None:
            return self._uncounted(request, str(target.route), 401)
        gate = self.limits.gate(grant.tenant_id, str(target.route))
        if gate.refuses(request.at):
            gate.deny(request.at)
            retry_after = {"Retry-After": str(gate.retry_after(request.at))}
            return gate.sign(problem(429).with_headers(retry_after), request.at)
        return self._admitted(request, target, grant, gate)

    def _scripted(self, request: RecordedRequest) -> Target | None:
        """The route of a path that the table does not have, but a fault."""
        found = self.faults.find(request)
        if found is None:
            return None
        fault, wanted = found
        scope = fault.scope if isinstance(fault, JsonAnswer) else "queue"
        path = strip_prefix(wanted.path or request.path)
        route = SandboxRoute(request.method, path, scope, lambda _: problem(404))
        return Target(route, is_backend(request.path), 0)

    def _uncounted(self, request: RecordedRequest, route: str, status: int) -> Answer:
        if self.settings.limit_headers_on == "counted":
            return problem(status)
        named = request.headers.get("X-Tenant-ID", "")
        tenant_id = named if named in self.tables else self.settings.tenant_id
        return self.limits.gate(tenant_id, route).sign(problem(status), request.at)

    def _admitted(self, request: RecordedRequest, target: Target, grant: KeyGrant, gate: Gate) -> Answer:
        allowed = target.route.scope in grant.scopes
        fault = self.faults.take(request) if allowed else None
        if isinstance(fault, Status) and fault.is_429:
            gate.deny(request.at)
        else:
            gate.charge(request.at)
        answer = Answer(200)
        if not allowed:
            answer = problem(403)
        elif fault is None or fault.stage == "after":
            answer = target.route.handler(Call(self, request, grant.tenant_id, target.record_id))
        answer = gate.sign(answer, request.at)
        return answer if fault is None else fault.spoil(answer)

    def _grant_of(self, request: RecordedRequest, target: Target) -> KeyGrant | None:
        """The grant of the key; None if the key is missing, wrong, or not of the named tenant.

        The backend reads `Authorization` only; see the setting `gateway_key` for the gateway. The response to another
        tenant's `X-Tenant-ID` is not documented. Here the key is then a wrong one.
        """
        by_name = {name: request.headers.get(name) for name in ("x-api-key", "authorization")}
        style = "authorization" if target.backend else self.settings.gateway_key
        if style == "either":
            key = by_name["authorization"] if by_name["x-api-key"] is None else by_name["x-api-key"]
        elif style == "both":
            key = by_name["x-api-key"] if len({*by_name.values()}) == 1 else None
        else:
            key = by_name[style]
        grant = None if key is None else self.keys.get(key)
        if grant is None or request.headers.get("X-Tenant-ID", grant.tenant_id) != grant.tenant_id:
            return None
        return grant
