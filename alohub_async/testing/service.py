"""The service behind the socket: one request in, one answer out, at a given time. It has no I/O and no clock."""

from collections.abc import Collection, Sequence
from threading import RLock
from typing import Final

from attrs import define, field, frozen

from alohub_async.testing.contract import Answer, problem
from alohub_async.testing.data import RecordTable
from alohub_async.testing.faults import FaultScript, Status
from alohub_async.testing.limits import Gate, RateLimits
from alohub_async.testing.moves import MoveScript
from alohub_async.testing.request_log import RecordedRequest, RequestLog
from alohub_async.testing.routes import ROUTES, Call, SandboxRoute, Target, find_target
from alohub_async.testing.settings import SandboxSettings

_REFUSED: Final = 429


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
        lock: Held while any of this is read or changed: a test may do so while the server answers in its thread.
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
        """The route of a request; None if the table has none."""
        return find_target(self.routes, method, path)

    def grant(self, key: str, *, tenant_id: str, scopes: Collection[str]) -> None:
        """Accept a key."""
        self.keys[key] = KeyGrant(tenant_id, frozenset(scopes))

    def answer(self, request: RecordedRequest) -> Answer:
        """Handle a request at its time of arrival, and return the answer.

        In this order: faults in front of the service; unknown path (404, not counted); key and tenant (401, not
        counted: no tenant is known); both limits (429); then, counted and with rate-limit headers, the other faults,
        the scope (403) and the endpoint itself.
        """
        target = self.find(request.method, request.path)
        fault = self.faults.take(request, front_only=target is not None)
        if target is None:
            unknown = problem(404)
            return unknown if fault is None else fault.spoil(unknown)
        if fault is not None:
            return fault.spoil(Answer(200))
        grant = self._grant_of(request, target)
        if grant is None:
            return problem(401)
        gate = self.limits.gate(grant.tenant_id, str(target.route))
        if gate.refuses(request.at):
            gate.deny(request.at)
            retry_after = {"Retry-After": str(gate.retry_after(request.at))}
            return gate.sign(problem(_REFUSED).with_headers(retry_after), request.at)
        return self._admitted(request, target, grant, gate)

    def _admitted(self, request: RecordedRequest, target: Target, grant: KeyGrant, gate: Gate) -> Answer:
        fault = self.faults.take(request)
        if isinstance(fault, Status) and fault.status == _REFUSED:
            gate.deny(request.at)
        else:
            gate.charge(request.at)
        untouched = fault is None or fault.stage == "after"
        answer = gate.sign(self._handle(request, target, grant) if untouched else Answer(200), request.at)
        return answer if fault is None else fault.spoil(answer)

    def _grant_of(self, request: RecordedRequest, target: Target) -> KeyGrant | None:
        """Whose key it is, None when missing, wrong, or not the named tenant's.

        The gateway takes `X-Api-Key`, or `Authorization` without one (the vendor's page names both); the backend takes
        `Authorization` only. What the service says to another tenant's `X-Tenant-ID` is not documented: here the key is
        then a wrong one.
        """
        names = ("Authorization",) if target.backend else ("X-Api-Key", "Authorization")
        key = next((request.headers[name] for name in names if name in request.headers), None)
        grant = None if key is None else self.keys.get(key)
        if grant is None or request.headers.get("X-Tenant-ID", grant.tenant_id) != grant.tenant_id:
            return None
        return grant

    def _handle(self, request: RecordedRequest, target: Target, grant: KeyGrant) -> Answer:
        if target.route.scope not in grant.scopes:
            return problem(403)
        return target.route.handler(Call(self, request, grant.tenant_id, target.record_id))
