"""The table of routes: the handler of each method and path. A new resource adds its `record_routes` to `ROUTES`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import frozen

from alohub_async.testing import contract
from alohub_async.testing.contract import Answer, Paging
from alohub_async.testing.data import OtherRecords, RecordTable, WireRecord
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


def list_handler(table_of: Callable[[Call], RecordTable], paging: Paging | None = None) -> Callable[[Call], Answer]:
    """Make the handler of a list, by default one that is asked like the queues."""
    form = paging or Paging()

    def list_page(call: Call) -> Answer:
        table, settings, moves, query = table_of(call), call.service.settings, call.service.moves, call.request.query
        asked = form.read(query, call.request.json)
        if isinstance(asked, str):
            return contract.problem(400, message=asked)
        page, size = asked
        moving = table is call.service.tables[settings.tenant_id]
        if moving:
            moves.play("before", page, table)
        rows = form.select(table.rows, query)
        if isinstance(rows, str):
            return contract.problem(400, message=rows)
        # Whether and how the service caps the size is not documented.
        length = size if settings.page_size_cap is None else min(size, settings.page_size_cap)
        start, total = page * (length if settings.cap_style == "rebase" else size), len(rows)
        rows = rows[start : start + length]
        answer = contract.json_answer(contract.list_envelope(rows, total=total, total_style=settings.total_style))
        if moving:
            moves.play("after", page, table)
        return answer

    return list_page


def record_routes(
    path: str,
    *,
    scope: str,
    table_of: Callable[[Call], RecordTable],
    read_changes: Callable[[object], WireRecord | str],
) -> tuple[SandboxRoute, ...]:
    """List, get and update of records; `read_changes` returns the changes by read name, or the message of a 400."""

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

    detail = f"{path}/{{id}}"
    return (
        SandboxRoute("GET", path, scope, list_handler(table_of)),
        SandboxRoute("GET", detail, scope, get_one),
        SandboxRoute("PUT", detail, scope, update_one),
    )


def _others(name: OtherRecords, paging: Paging) -> Callable[[Call], Answer]:
    return list_handler(lambda call: call.service.table(call.tenant_id, name), paging)


_AGENTS: Final = Paging(filters={"queue_id": "queueId", "status": "status", "team_id": "teamId"})
_CAMPAIGNS: Final = Paging("limit", required="userName")
_CALLS: Final = Paging("limit", 50, first=1)

# The scopes are those of the vendor's endpoint pages, which page in these three ways.
ROUTES: Final = (
    *record_routes(
        "/v1/queues/inbound",
        scope="queue",
        table_of=lambda call: call.service.tables[call.tenant_id],
        read_changes=contract.read_update,
    ),
    SandboxRoute("GET", "/v1/agents", "agent", _others("agents", _AGENTS)),
    SandboxRoute("GET", "/v1/campaigns", "campaign", _others("campaigns", _CAMPAIGNS)),
    SandboxRoute("POST", "/v1/reports/call-logs", "report", _others("calls", _CALLS)),
)
