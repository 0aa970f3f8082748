"""The table of routes: the handler of each method and path. A new resource adds its `record_routes` to `ROUTES`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen

from alohub_async.testing import contract
from alohub_async.testing.contract import Answer
from alohub_async.testing.data import RecordTable, WireRecord
from alohub_async.testing.request_log import RecordedRequest

if TYPE_CHECKING:
    from alohub_async.testing.service import Service


@frozen
class Call:
    """A request with a valid key, tenant and scope; its id is 0, which no record has, if the path has none."""

    service: "Service"
    request: RecordedRequest
    tenant_id: str

    @property
    def record_id(self) -> int:
        """The id in the path."""
        return contract.whole_number(self.request.path.rpartition("/")[2]) or 0


@frozen
class SandboxRoute:
    """One entry of the table; its template is without the backend's prefix, and may end with `/{id}`."""

    method: str
    template: str
    scope: str
    handler: Callable[[Call], Answer]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def find_route(routes: Sequence[SandboxRoute], method: str, path: str) -> SandboxRoute | None:
    """The route of a request; None, which means 404, for an unknown pair: the contract has no 405."""
    fitting = (route for route in routes if route.method == method and contract.path_fits(route.template, path))
    return next(fitting, None)


def record_routes(
    path: str,
    *,
    scope: str,
    table_of: Callable[[Call], RecordTable],
    read_changes: Callable[[object], WireRecord | str],
) -> tuple[SandboxRoute, ...]:
    """List, get and update of records; `read_changes` returns the changes by read name, or the message of a 400."""

    def list_page(call: Call) -> Answer:
        table, settings, moves = table_of(call), call.service.settings, call.service.moves
        asked = contract.read_page_request(call.request.query)
        if isinstance(asked, str):
            return contract.problem(400, message=asked)
        page, size = asked
        moving = table is call.service.tables[settings.tenant_id]
        if moving:
            moves.play("before", page, table)
        # Whether and how the service caps the size is not documented.
        length = size if settings.page_size_cap is None else min(size, settings.page_size_cap)
        start = page * (length if settings.cap_style == "rebase" else size)
        rows = table.rows[start : start + length]
        payload = contract.list_envelope(rows, total=len(table.rows), total_style=settings.total_style)
        answer = contract.json_answer(payload)
        if moving:
            moves.play("after", page, table)
        return answer

    def get_one(call: Call) -> Answer:
        record = table_of(call).detail(call.record_id)
        if record is None:
            return contract.problem(404)
        return contract.json_answer(contract.detail_payload(record, style=call.service.settings.detail_style))

    def update_one(call: Call) -> Answer:
        table = table_of(call)
        record = table.find(call.record_id)
        if record is None or table.detail(call.record_id) is None:
            return contract.problem(404)
        changes = read_changes(call.request.json)
        if isinstance(changes, str):
            return contract.problem(400, message=changes)
        record.update(changes)
        return contract.json_answer(contract.UPDATED)

    routes = (("GET", path, list_page), ("GET", f"{path}/{{id}}", get_one), ("PUT", f"{path}/{{id}}", update_one))
    return tuple(SandboxRoute(method, template, scope, handler) for method, template, handler in routes)


# The vendor's page: each of the three needs the scope `queue`.
ROUTES: Final = record_routes(
    "/v1/queues/inbound",
    scope="queue",
    table_of=lambda call: call.service.tables[call.tenant_id],
    read_changes=contract.read_update,
)
