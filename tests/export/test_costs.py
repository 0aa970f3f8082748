"""What an export says that it has cost, what its progress says, and what it asks for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from alohub_async import AlohubError, DeadlineExceededError, RetryPolicy
from alohub_async.export import ExportProgress, export_inbound
from alohub_async.export.journal import journal_path, open_journal
from alohub_async.testing import Delay, Sandbox

UNLIMITED: dict[str, Any] = {"tenant_limit": None, "route_limit": None}
ONCE = RetryPolicy(max_retries=0)


async def test_costs_are_those_of_all_runs_of_the_export_alone(tmp_path: Path) -> None:
    """Requests, 429s and waits of the client before it are not counted; those of an interrupted run are."""
    retry = RetryPolicy(backoff=0)
    async with Sandbox(queues=25, window=0.5, **UNLIMITED) as sandbox, sandbox.client(retry=retry) as client:
        sandbox.fail(status=429, retry_after="0.05", next=2)
        await client.queues.list_inbound(page_size=10).collect()
        before = client.rate_limits
        assert (before.denied, before.tenant.sent) == (2, 5)
        assert before.tenant.waited > 0
        sandbox.fail(status=429, retry_after="0.1", page=1)
        sandbox.fail(status=400, page=2)
        options: dict[str, Any] = {"page_size": 10, "prefetch": 0, "consistency": "detect"}
        with pytest.raises(AlohubError):
            await export_inbound(client, tmp_path / "queues.jsonl", **options)
        await client.queues.list_inbound(page_size=10).collect()
        sandbox.fail(status=429, retry_after="0.15", page=2)
        report = await export_inbound(client, tmp_path / "queues.jsonl", **options)
    assert (report.requests, report.denied, report.resumed) == (4 + 2, 2, 1)
    assert 0.2 < report.waited <= report.seconds


async def test_time_of_an_export_is_that_of_its_runs(tmp_path: Path) -> None:
    """Not the time between them."""
    path = tmp_path / "queues.jsonl"
    began = asyncio.get_running_loop().time()
    async with Sandbox(queues=25, latency=0.05, **UNLIMITED) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(status=500, page=1)
        with pytest.raises(AlohubError):
            await export_inbound(client, path, page_size=10, prefetch=0)
        with open_journal(path, lambda record: int(record["id"]), restart=False) as journal:
            first = journal.state.spent
        assert first.requests == 2
        assert 0.09 < first.seconds < asyncio.get_running_loop().time() - began
        await asyncio.sleep(0.2)
        report = await export_inbound(client, path, page_size=10, prefetch=0)
    passed = asyncio.get_running_loop().time() - began
    assert first.seconds + 5 * 0.045 < report.seconds < passed - 0.2


async def test_progress_is_that_of_the_run_and_of_the_export(tmp_path: Path) -> None:
    """The rate counts records of this run in its own time; the duration counts all runs."""
    path = tmp_path / "queues.jsonl"
    seen = list[ExportProgress]()
    async with Sandbox(queues=25, latency=0.02) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(status=500, page=2)
        with pytest.raises(AlohubError):
            await export_inbound(client, path, page_size=10, prefetch=0, on_progress=seen.append)
        ran = seen[-1].seconds
        seen.clear()
        await export_inbound(client, path, page_size=10, prefetch=0, on_progress=seen.append)
    assert [each.written for each in seen] == [20, 25, 0, 10, 20, 25, 25]
    assert seen[0].rate == 0
    assert seen[0].seconds >= ran
    counts = [0, 5, 5, 15, 25, 30, 30]
    for each, count in zip(seen, counts, strict=True):
        assert each.rate * (each.seconds - ran) == pytest.approx(count)
    assert all(each.limit == 100 and each.free is not None and not each.waiting for each in seen)


async def test_progress_says_that_requests_wait(tmp_path: Path) -> None:
    """While the rate limit holds back the one page that is fetched ahead."""
    seen = list[ExportProgress]()
    async with Sandbox(queues=12, tenant_limit=3, window=0.5, route_limit=None) as sandbox, sandbox.client() as client:
        report = await export_inbound(
            client, tmp_path / "queues.jsonl", page_size=3, prefetch=2, consistency="detect", on_progress=seen.append
        )
    assert report.complete
    assert {each.waiting for each in seen} == {True, False}
    assert report.waited > 0.05


async def test_total_is_the_latest_that_is_known(tmp_path: Path) -> None:
    """It is known before the first page of a resumed export comes."""
    path = tmp_path / "queues.jsonl"
    seen: list[int | None] = []
    async with Sandbox(queues=25, **UNLIMITED) as sandbox, sandbox.client(retry=ONCE) as client:
        sandbox.fail(status=500, page=1)
        with pytest.raises(AlohubError):
            await export_inbound(client, path, page_size=10, prefetch=0)
        await export_inbound(
            client, path, page_size=10, prefetch=0, on_progress=lambda progress: seen.append(progress.total)
        )
    assert {*seen} == {25}


async def test_finished_export_whose_file_could_not_be_written_sends_nothing_more(tmp_path: Path) -> None:
    """Its journal has all; the next call writes the file, and is one more run."""
    path = tmp_path / "queues.jsonl"
    async with Sandbox(queues=5, **UNLIMITED) as sandbox, sandbox.client() as client:
        with pytest.raises(AlohubError):  # somebody makes a folder of this name meanwhile
            await export_inbound(client, path, on_progress=lambda _: path.mkdir(exist_ok=True))
        sent = len(sandbox.requests)
        assert journal_path(path).exists()
        path.rmdir()
        report = await export_inbound(client, path)
        assert len(sandbox.requests) == sent == report.requests
    assert (report.complete, report.written, report.resumed) == (True, 5, 1)


async def test_page_size_and_passes_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """The default page size is that of a walk; a list that never settles gets as many passes as allowed."""
    async with Sandbox(queues=30, **UNLIMITED) as sandbox, sandbox.client() as client:
        sandbox.move_at_random(seed=1, chance=1.0)
        report = await export_inbound(client, tmp_path / "queues.jsonl", page_size=7, max_passes=2, prefetch=0)
        assert (report.passes, report.complete) == (2, False)
        assert {request.query["size"] for request in sandbox.requests} == {"7"}


@pytest.mark.parametrize(("slow", "details"), [("/v1/queues/inbound", False), ("/v1/queues/inbound/{id}", True)])
async def test_deadline_covers_each_request(tmp_path: Path, slow: str, *, details: bool) -> None:
    """Pages are fetched, and details looked up, within the time that is left, not in a time of their own."""
    async with Sandbox(queues=5, **UNLIMITED) as sandbox, sandbox.client() as client:
        sandbox.fail(Delay(60), path=slow, next=None)
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError):
            await export_inbound(client, tmp_path / "queues.jsonl", details=details, deadline=0.3)
        assert asyncio.get_running_loop().time() - began < 30
