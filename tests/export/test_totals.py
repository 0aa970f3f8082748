"""Exports from servers whose totals are no proof, or that leave them out."""

from pathlib import Path

import pytest

from alohub_async.export import ExportProgress, export_inbound
from alohub_async.files import read_queues
from alohub_async.testing import JsonAnswer, Sandbox


@pytest.mark.parametrize("details", [False, True])
async def test_a_single_short_page_with_its_own_count_proves_nothing(tmp_path: Path, *, details: bool) -> None:
    """The server caps its pages at seven, and reports seven: the export looks behind the first page."""
    path = tmp_path / "queues.jsonl"
    async with Sandbox(queues=20, tenant_limit=None, route_limit=None) as sandbox, sandbox.client() as client:
        rows = [dict(queue) for queue in sandbox.queues]
        for number in range(4):
            part = rows[number * 7 :][:7]
            answer = JsonAnswer({"success": "1", "totalRecord": len(part), "data": part})
            sandbox.fail(answer, method="GET", path="/v1/queues/inbound", page=number, next=None)
        report = await export_inbound(client, path, page_size=50, details=details)
    assert (report.complete, report.written, report.gone) == (True, 20, 0)
    assert [queue.id for queue in read_queues(path)] == [row["callinId"] for row in rows]


async def test_a_total_that_is_left_out_later_stays_known(tmp_path: Path) -> None:
    """The report has the latest total that any pass reported."""
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        rows = [dict(queue) for queue in sandbox.queues]

        def leave_out(progress: ExportProgress) -> None:
            if progress.number == 2 and progress.written == 0:
                sandbox.fail(JsonAnswer({"success": "1", "data": rows}), page=0, next=None)
                sandbox.fail(JsonAnswer({"success": "1", "data": []}), page=1, next=None)

        report = await export_inbound(client, tmp_path / "queues.jsonl", on_progress=leave_out)
    assert (report.expected, report.totals, report.written) == (3, (3,), 3)
