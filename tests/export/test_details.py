"""Exports with details: what is looked up, and what is written instead of the listed records."""

from pathlib import Path

import pytest

from alohub_async import AlohubError, RetryPolicy
from alohub_async.export import ExportProgress, export_inbound
from alohub_async.files import read_queues
from alohub_async.testing import JsonAnswer, Sandbox


async def test_details_replace_the_listed_records(tmp_path: Path) -> None:
    """A record without an id cannot be looked up, and is written as it was listed."""
    path = tmp_path / "queues.jsonl"
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        listed = [{"callinId": queue["callinId"], "callinName": "listed"} for queue in sandbox.queues]
        odd = [{"callinName": "without"}, {"callinId": "x1", "callinName": "odd"}]
        answer = JsonAnswer({"success": "1", "totalRecord": 5, "data": [*listed, *odd]})
        sandbox.fail(answer, path="/v1/queues/inbound", next=None)
        report = await export_inbound(client, path, details=True)
        details = [await client.queues.get_inbound(int(str(queue["callinId"]))) for queue in sandbox.queues]
        asked = [request.path for request in sandbox.requests].count
    written = [*read_queues(path)]
    assert written[:3] == details
    assert "listed" not in {queue.name for queue in written}
    assert [queue.name for queue in written[3:]] == ["without", "odd"]
    assert (report.complete, report.written, report.gone) == (True, 5, 0)
    assert asked(f"/v1/queues/inbound/{listed[0]['callinId']}") == 2


async def test_second_pass_that_is_interrupted_looks_nothing_up_again(tmp_path: Path) -> None:
    """What came in it before is known when it resumes, so it proves the list."""
    path = tmp_path / "queues.jsonl"
    async with (
        Sandbox(queues=6, tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client(retry=RetryPolicy(max_retries=0)) as client,
    ):

        def fail(progress: ExportProgress) -> None:
            if (progress.number, progress.written) == (2, 2):
                sandbox.fail(status=500, page=1)

        with pytest.raises(AlohubError):
            await export_inbound(client, path, details=True, page_size=2, prefetch=0, on_progress=fail)
        sandbox.heal()
        report = await export_inbound(client, path, details=True, page_size=2, prefetch=0)
        assert len(sandbox.requests) == report.requests
        pages = [request.page for request in sandbox.requests if request.page is not None]
    assert (report.complete, report.passes, report.resumed, report.written) == (True, 2, 1, 6)
    assert pages == [0, 1, 2, 3, 0, 1, 1, 2, 3]
    assert report.requests == len(pages) + 6
