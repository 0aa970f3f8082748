"""A log of changes, in JSON Lines: what was written to which queue, and what undoes it."""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Unpack

import attrs

from alohub_async.changes.apply import Status
from alohub_async.changes.diff import FieldChange
from alohub_async.changes.plan import Plan, Step, plan_changes, plan_step
from alohub_async.changes.rows import Change, reason_not_settable
from alohub_async.client import AlohubClient
from alohub_async.errors import FileError, InvalidArgumentError
from alohub_async.files import check_target, json_text, os_errors, reading
from alohub_async.files.records import read_json
from alohub_async.models import InboundQueue, InboundQueueUpdate
from alohub_async.options import DEFAULT_CONCURRENCY, CallOptionsDict
from alohub_async.resources.edits import require_changes, value_of
from alohub_async.validation import check_id

_BEGIN: Final = b'{"time": '
_WRITTEN: Final = {Status.DONE, Status.UNKNOWN, Status.NOT_TAKEN}  # of the last, some fields may have been taken


@attrs.frozen(kw_only=True)
class Logged:
    """A logged change of one queue.

    Attributes:
        tenant: The name of the tenant, if it has one.
        tenant_id: The tenant id of the client, or None.
        address: The base URL of the API.
        fields: The values that were to be written, and those before.
        status: The result; `unknown` if the program ended before there was one.
    """

    tenant: str | None
    tenant_id: str | None
    address: str
    id: int
    fields: tuple[FieldChange, ...]
    status: Status

    def is_of(self, client: AlohubClient, tenant: str | None) -> bool:
        """Whether it was made with this client's address and tenant; without a tenant id, the name tells them apart."""
        is_tenant = self.tenant == tenant if self.tenant_id is None else True
        return is_tenant and (self.tenant_id, self.address) == _place(client)


def _place(client: AlohubClient) -> tuple[str | None, str]:
    return client.tenant_id, str(client.endpoint.base_url)


class ChangeLog:
    """Appends to a log. A queue is noted as `unknown` before it is written, and again with its result.

    Raises:
        FileError: There is a file at the path that is no such log, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run = secrets.token_hex(8)
        check_target(path)  # before anything is sent
        if path.exists():
            read_log(path)

    def note(
        self, client: AlohubClient, tenant: str | None, fields: Iterable[tuple[int, Iterable[FieldChange]]], to: Status
    ) -> None:
        """Append a line for each queue, and wait until they are on the disk; a `FileError` if that fails."""
        tenant_id, address = _place(client)
        where = {"run": self._run, "tenant": tenant, "tenant_id": tenant_id, "address": address}
        head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **where}
        lines = ""
        for queue_id, each in fields:
            sides = {field.name: {"before": field.before, "after": field.after} for field in each}
            lines += json_text({**head, "id": queue_id, "fields": sides, "result": to})
        with os_errors(self._path, doing="write"), self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                lines = lines if file.read(1) == b"\n" else f"\n{lines}"  # a line was cut off
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())


def read_log(path: Path) -> list[Logged]:
    """The logged changes, in their order, each with its last result.

    A line that a crash cut off is skipped: nothing had been written yet, or the result of the queue is unknown.

    Raises:
        FileError: The file cannot be read, or it is no log of changes; the error names the line.
    """
    found: dict[str, Logged] = {}
    with reading(path) as file:
        for number, line in enumerate(file, 1):
            try:
                run, logged = _parse(line)
            except ValueError as exc:
                begin = line[: len(_BEGIN)].strip()
                if begin and _BEGIN.startswith(begin) and not line.endswith(b"}\n"):
                    continue
                message = f"{path}, line {number}: not a line of a log of changes: {exc}"
                raise FileError(message, path=path) from exc
            found[f"{run} {logged.tenant_id} {logged.tenant} {logged.address} {logged.id}"] = logged
    return [*found.values()]


def _parse(line: bytes) -> tuple[str, Logged]:
    record: Any = read_json(line)
    try:
        fields = [FieldChange(name, each["before"], each["after"]) for name, each in record["fields"].items()]
        place = {name: record[name] for name in ("tenant", "tenant_id", "address")}
        status = Status(record["result"])
        logged = Logged(id=check_id("id", record["id"]), fields=tuple(fields), status=status, **place)
        require_changes(InboundQueueUpdate(**{field.name: field.after for field in fields}), InboundQueueUpdate)
        return str(record["run"]), logged
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"{exc!r:.60}") from exc


async def plan_rollback(
    client: AlohubClient,
    logged: Iterable[Logged],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    **options: Unpack[CallOptionsDict],
) -> Plan:
    """Read the queues of these changes of one tenant, and return what restores the values before them.

    Changes that were not written are ignored. A queue that somebody else changed since is a conflict. A queue of which
    only some fields can be restored has two steps: those fields, and the error of the others. `apply_plan` applies the
    plan. The options are those of `plan_changes`.
    """
    edits: dict[int, list[Logged]] = {}
    for each in logged:
        if each.status in _WRITTEN:
            edits.setdefault(each.id, []).append(each)
    latest = {queue_id: {field.name: field.after for field in each[-1].fields} for queue_id, each in edits.items()}
    changes = [Change(queue_id, InboundQueueUpdate(**values)) for queue_id, values in latest.items()]
    plan = await plan_changes(client, changes, concurrency=concurrency, **options)
    return Plan(tuple(undo for step in plan.steps for undo in _undo(step, step.found, edits[step.change.id])))


def _undo(step: Step, found: InboundQueue | None, edits: Sequence[Logged]) -> Iterator[Step]:
    """What restores a queue, and a step of its own for what cannot be restored."""
    if found is None:
        yield step
        return
    by_name: dict[str, list[tuple[FieldChange, bool]]] = {}
    for edit in edits:
        for field in edit.fields:
            by_name.setdefault(field.name, []).append((field, edit.status is Status.DONE))
    fields = [restored(value_of(found, name), each) for name, each in by_name.items()]
    fields = [field for field in fields if field.after != value_of(found, field.name)]
    lost = tuple(field for field in fields if reason_not_settable(field))
    fields = [field for field in fields if field not in lost]
    wanted, expected = ({field.name: getattr(field, side) for field in fields} for side in ("after", "before"))
    if wanted:
        yield plan_step(Change(step.change.id, InboundQueueUpdate(**wanted), expected), found)
    if lost:
        reasons = "; ".join(f"{field.name}: {reason_not_settable(field)}" for field in lost)
        yield Step(step.change, found, lost, InvalidArgumentError(f"cannot be as before: {reasons}"))
    elif not wanted:
        yield Step(step.change, found)


def restored(live: object, edits: Sequence[tuple[FieldChange, bool]]) -> FieldChange:
    """From the expected to the restored value of a field: back from the live value, edit by edit; pure.

    An edit whose result is unknown is skipped if the value is not its own.
    """
    value, is_ours = live, False
    for field, is_done in reversed(edits):
        if field.after == value:
            value, is_ours = field.before, True
        elif is_done:
            break
    last = edits[-1][0]
    return FieldChange(last.name, live, value) if is_ours else FieldChange(last.name, last.after, last.before)
