"""Exports with details: what is looked up, and what is written instead of the listed records."""

from pathlib import Path

from alohub_async.export import export_inbound
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
