"""The table of routes: the handler of each method and path.

To add a resource, add its routes to `ROUTES`. `record_routes` makes list, get and update. Faults, limits and the log
work for every route of the table.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import frozen

from alohub_async.testing.contract import (
    UPDATED,
    Answer,
    detail_payload,
    json_answer,
    list_envelope,
    page_slice,
    path_fits,
    problem,
    read_page_request,
    read_update,
    strip_prefix,
    whole_number,
)
from alohub_async.testing.data import RecordTable, WireRecord
from alohub_async.testing.request_log import RecordedRequest

if TYPE_CHECKING:
    from alohub_async.testing.service import Service


@frozen
class Call:
    """A request with a valid key, tenant and scope.

    Attributes:
        service: The service with its data and settings.
        request: The request.
        tenant_id: The key's tenant.
        record_id: The id in the path; 0, which no record has, if there is none or it is not a number.
    """

    service: "Service"
    request: RecordedRequest
    tenant_id: str
    record_id: int


Handler: TypeAlias = Callable[[Call], Answer]


@frozen
class SandboxRoute:
    """One entry of the table.

    Attributes:
        method: The HTTP method.
        template: The path, without the backend's prefix; `{id}` is its last segment, if it has one.
        scope: The scope that the key needs.
        handler: Makes the response.
    """

    method: str
    template: str
    scope: str
    handler: Handler

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


@frozen
class Target:
    """The route of a request.

    Attributes:
        route: The entry of the table.
        backend: Whether the path has the backend's prefix `/api`.
        record_id: See `Call`.
    """

    route: SandboxRoute
    backend: bool
    record_id: int


def is_backend(path: str) -> bool:
    """Whether the path has the backend's prefix."""
    return strip_prefix(path) != path


def find_target(routes: Sequence[SandboxRoute], method: str, path: str) -> Target | None:
    """The route of a request; None for an unknown path, or a method that the path does not have.

    The contract has no 405. A gateway without a route for the pair responds with 404.
    """
    for route in routes:
        if route.method == method and path_fits(route.template, path):
            return Target(route, is_backend(path), whole_number(path.rpartition("/")[2]) or 0)
    return None


def record_routes(
    path: str,
    *,
    scope: str,
    table_of: Callable[[Call], RecordTable],
    read_changes: Callable[[object], WireRecord | str],
) -> tuple[SandboxRoute, ...]:
    """List, get and update of the records under a path.

    Args:
        path: The path of the list.
        scope: The scope that the key needs.
        table_of: Returns the records of a call's tenant.
        read_changes: Decodes the body of an update to changes by read name, or the message of a 400.
    """

    def list_page(call: Call) -> Answer:
        table, settings, moves = table_of(call), call.service.settings, call.service.moves
        asked = read_page_request(call.request.query)
        if isinstance(asked, str):
            return problem(400, message=asked)
        moving = table is call.service.tables[settings.tenant_id]
        if moving:
            moves.play("before", asked.page, table)
        rows = table.rows[page_slice(asked, cap=settings.page_size_cap, cap_style=settings.cap_style)]
        answer = json_answer(list_envelope(rows, total=len(table.rows), total_style=settings.total_style))
        if moving:
            moves.play("after", asked.page, table)
        return answer

    def get_one(call: Call) -> Answer:
        record = table_of(call).detail(call.record_id)
        style = call.service.settings.detail_style
        return problem(404) if record is None else json_answer(detail_payload(record, style=style))

    def update_one(call: Call) -> Answer:
        table = table_of(call)
        record = table.find(call.record_id)
        if record is None or table.detail(call.record_id) is None:
            return problem(404)
        changes = read_changes(call.request.json)
        if isinstance(changes, str):
            return problem(400, message=changes)
        record.update(changes)
        return json_answer(UPDATED)

    one = f"{path}/{{id}}"
    return (
        SandboxRoute("GET", path, scope, list_page),
        SandboxRoute("GET", one, scope, get_one),
        SandboxRoute("PUT", one, scope, update_one),
    )


# The vendor's page: each of the three needs the scope `queue`.
ROUTES: Final = record_routes(
    "/v1/queues/inbound",
    scope="queue",
    table_of=lambda call: call.service.tables[call.tenant_id],
    read_changes=read_update,
)
"""The routes of the API."""
