"""`export_inbound`: the file, the report, and resuming after an interruption."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from alohub_async import AlohubClient, AlohubError, DeadlineExceededError, FileError, InvalidArgumentError, RetryPolicy
from alohub_async.export import ExportProgress, export_inbound
from alohub_async.files import read_queues
from alohub_async.testing import Delay, JsonAnswer, Sandbox
from tests.support import id_of, until

ENDINGS = ("jsonl", "csv", "parquet")
UNLIMITED: dict[str, Any] = {"tenant_limit": None, "route_limit": None}
ONCE = RetryPolicy(max_retries=0)


@pytest.fixture(name="unlimited")
async def _unlimited() -> AsyncGenerator[Sandbox]:
    async with Sandbox(queues=25, **UNLIMITED) as sandbox:
        yield sandbox


@pytest.fixture(name="free")
async def _free(unlimited: Sandbox) -> AsyncGenerator[AlohubClient]:
    """A client of a server without limits."""
    async with unlimited.client() as client:
        yield client


def left(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_file_has_every_queue(client: AlohubClient, tmp_path: Path, ending: str) -> None:
    """In the order of the list, each once; a report is beside it, and nothing else."""
    path = tmp_path / f"queues.{ending}"
    report = await export_inbound(client, path, page_size=10)
    assert [*read_queues(path)] == await client.queues.list_inbound().collect()
    assert report.complete
    assert (report.written, report.expected, report.passes, report.resumed) == (25, 25, 2, 0)
    assert (report.requests, report.denied, report.duplicates, report.totals) == (6, 0, 0, (25,))
    assert report.size == path.stat().st_size
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert left(tmp_path) == {path.name, f"_{path.name}.report.json"}
    saved = json.loads((tmp_path / f"_{path.name}.report.json").read_text(encoding="utf-8"))
    assert saved["sha256"] == report.sha256
    assert saved["complete"] is True
    assert saved["path"] == str(path)


async def test_detect_walks_once(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """One pass over a list that holds still is complete as far as is known."""
    report = await export_inbound(client, str(tmp_path / "queues.jsonl"), page_size=10, consistency="detect")
    assert (report.complete, report.passes, len(sandbox.requests)) == (True, 1, 3)


async def test_detect_says_that_the_list_moved(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """A queue that comes again is written once and counted, and the file is not called complete."""
    sandbox.insert_queue(after_page=0)
    path = tmp_path / "queues.jsonl"
    report = await export_inbound(client, path, page_size=10, prefetch=0, consistency="detect")
    assert (report.complete, report.reason) == (False, "the list moved while it was walked")
    assert (report.duplicates, report.totals) == (1, (25, 26))
    assert len({queue.id for queue in read_queues(path)}) == report.written == 25


async def test_detect_says_that_the_list_ended_early(tmp_path: Path) -> None:
    """A file with fewer queues than the server reports is not complete."""
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": [dict(sandbox.queues[0])]}), page=0)
        sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 5, "data": []}), next=None)
        report = await export_inbound(client, tmp_path / "queues.jsonl", consistency="detect")
    assert (report.complete, report.written) == (False, 1)
    assert report.reason == "the server reports 5 in all, but listed only 1 record"


async def test_repair_finds_what_a_removal_hid(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """The file has the queues of the list as it is, although the first pass skipped one, and saw one that went."""
    removed = sandbox.queues[0]["callinId"]
    assert isinstance(removed, int)
    sandbox.remove_queue(removed, after_page=0)
    path = tmp_path / "queues.jsonl"
    report = await export_inbound(client, path, page_size=10, prefetch=0)
    assert report.complete
    assert {queue.id for queue in read_queues(path)} == {queue["callinId"] for queue in sandbox.queues}
    assert report.written == 24
    assert report.passes == 3


async def test_repair_writes_what_was_seen_last(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """A queue that was changed between two passes is written as the later one listed it."""
    changed = int(str(sandbox.queues[3]["callinId"]))
    changes: list[asyncio.Future[Any]] = []

    def change(progress: ExportProgress) -> None:
        if progress.number == 1 and progress.written == 25:
            update = client.queues.update_inbound(changed, music_on_hold="new.wav", priority="interactive")
            changes.append(asyncio.ensure_future(update))

    path = tmp_path / "queues.jsonl"
    sandbox.fail(Delay(0.2), page=0, next=None)
    await export_inbound(client, path, on_progress=change)
    assert len(changes) == 1
    assert next(queue.music_on_hold for queue in read_queues(path) if queue.id == changed) == "new.wav"


async def test_repair_gives_up_honestly(tmp_path: Path) -> None:
    """A list that never holds still is written as it was seen, and not called complete."""
    async with Sandbox(queues=60, **UNLIMITED) as sandbox, sandbox.client() as client:
        sandbox.move_at_random(seed=3, chance=1.0)
        report = await export_inbound(client, tmp_path / "queues.jsonl", page_size=10, max_passes=3)
    assert not report.complete
    assert report.reason == "the list moved during each of 3 passes"
    assert report.passes == 3


async def test_an_empty_list(tmp_path: Path) -> None:
    """A tenant without queues gets an empty, complete file."""
    async with Sandbox(queues=0) as sandbox, sandbox.client() as client:
        report = await export_inbound(client, tmp_path / "queues.parquet")
    assert (report.complete, report.written) == (True, 0)
    assert [*read_queues(tmp_path / "queues.parquet")] == []


async def test_queues_without_an_id(tmp_path: Path) -> None:
    """Records that have no id, or an odd one, are all written, even equal ones."""
    odd: list[dict[str, Any]] = [{"callinName": "a"}, {"callinName": "a"}, {"callinId": "x1", "callinName": "b"}]
    async with Sandbox() as sandbox, sandbox.client() as client:
        sandbox.fail(JsonAnswer({"success": "1", "totalRecord": 3, "data": odd}), next=None)
        report = await export_inbound(client, tmp_path / "queues.csv")
        assert [*read_queues(tmp_path / "queues.csv")] == await client.queues.list_inbound().collect()
    assert (report.complete, report.written) == (True, 3)


def _page(ids: Sequence[object], total: int) -> JsonAnswer:
    records = [{"callinId": each, "callinName": f"line {each}"} for each in ids]
    return JsonAnswer({"success": "1", "totalRecord": total, "data": records})


@pytest.mark.parametrize("consistency", ["detect", "repair"])
@pytest.mark.parametrize("details", [False, True])
async def test_a_server_that_caps_its_count(tmp_path: Path, consistency: Any, *, details: bool) -> None:
    """250 queues of which it counts 100: all are written, and only then the file is called complete."""
    async with Sandbox(queues=250, tenant_limit=None, route_limit=None) as sandbox, sandbox.client() as client:
        ids = [queue["callinId"] for queue in sandbox.queues]
        for number in range(6):
            sandbox.fail(_page(ids[number * 50 :][:50], 100), method="GET", page=number, next=None)
        path = tmp_path / "queues.jsonl"
        report = await export_inbound(client, path, page_size=50, consistency=consistency, details=details)
    assert [queue.id for queue in read_queues(path)] == ids
    assert (report.complete, report.written) == (True, 250)


async def test_ids_are_equal_only_as_written(tmp_path: Path) -> None:
    """Digits with zeros before them, numbers and texts are different ids; none is dropped."""
    ids = ["1", "01", "001", "x", 5, "05", -3, "-3"]
    async with Sandbox(queues=0) as sandbox, sandbox.client() as client:
        sandbox.fail(_page(ids, len(ids)), next=None)
        path = tmp_path / "queues.jsonl"
        report = await export_inbound(client, path)
    assert (report.complete, report.written, len([*read_queues(path)])) == (True, 8, 8)


async def test_an_export_of_a_list_that_shrank_resumes(tmp_path: Path) -> None:
    """The page at which it stopped does not exist any more: the first page tells where the list ends now."""
    path = tmp_path / "queues.jsonl"
    async with (
        Sandbox(queues=50, tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client(retry=RetryPolicy(max_retries=0)) as client,
    ):
        sandbox.fail(status=500, page=3)
        with pytest.raises(AlohubError):
            await export_inbound(client, path, page_size=10, prefetch=0)
        for queue in sandbox.queues[12:]:
            sandbox.remove_queue(int(str(queue["callinId"])))
        sandbox.fail(status=404, page=3, next=None)
        report = await export_inbound(client, path, page_size=10, prefetch=0)
        sandbox.heal()
        kept = [queue["callinId"] for queue in sandbox.queues]
    assert report.complete
    assert {*kept} <= {queue.id for queue in read_queues(path)}


async def test_details_are_looked_up_once(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each queue is as `get_inbound` returns it; later passes look up new queues only."""
    gone = int(str(sandbox.queues[7]["callinId"]))
    sandbox.fail(status=404, path=f"/v1/queues/inbound/{gone}")
    path = tmp_path / "queues.jsonl"
    report = await export_inbound(client, path, details=True, page_size=10)
    assert (report.complete, report.gone, report.written) == (True, 1, 24)
    assert len(sandbox.requests) == 2 * 3 + 25
    ids = [id_of(queue) for queue in read_queues(path)]
    assert gone not in ids
    assert [*read_queues(path)] == [outcome.unwrap() async for outcome in client.queues.get_many_inbound(ids)]


async def test_a_slow_look_up_does_not_hold_up_those_of_other_pages(
    free: AlohubClient, unlimited: Sandbox, tmp_path: Path
) -> None:
    """The look-ups of an export are one pipeline over its pages."""
    slow = f"/v1/queues/inbound/{unlimited.queues[1]['callinId']}"
    unlimited.fail(Delay(60), path=slow)
    path = tmp_path / "queues.jsonl"
    exporting = asyncio.ensure_future(export_inbound(free, path, details=True, page_size=5, consistency="detect"))
    await until(lambda: len([request for request in unlimited.requests if request.page is None]) > 11)
    exporting.cancel()
    await asyncio.wait([exporting])


# Interrupted


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("details", [False, True])
async def test_goes_on_after_each_error(
    client: AlohubClient, sandbox: Sandbox, tmp_path: Path, ending: str, *, details: bool
) -> None:
    """Whatever page fails, the same call resumes at that page; the file is that of an undisturbed export."""
    once = client.with_options(retry=ONCE)
    path = tmp_path / f"queues.{ending}"
    errors = 0
    for page in (0, 1, 2):
        sandbox.fail(status=502, page=page)
    report = None
    while report is None:
        try:
            report = await export_inbound(once, path, page_size=10, prefetch=0, details=details)
        except AlohubError:
            errors += 1
            assert errors <= 3  # not for ever
            assert not path.exists()
    assert (errors, report.resumed, report.complete) == (3, 3, True)
    assert report.requests == len(sandbox.requests) == 3 + 6 + 25 * details
    assert [*read_queues(path)] == await client.queues.list_inbound().collect()


async def test_a_duplicate_across_a_resume_is_dropped(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """Records that came before the interruption are known after it."""
    once = client.with_options(retry=ONCE)
    path = tmp_path / "queues.jsonl"
    sandbox.fail(status=502, page=1)
    with pytest.raises(AlohubError):
        await export_inbound(once, path, page_size=10, prefetch=0, consistency="detect")
    sandbox.insert_queue()
    report = await export_inbound(once, path, page_size=10, prefetch=0, consistency="detect")
    assert (report.duplicates, report.written, report.complete, report.totals) == (1, 25, False, (25, 26))
    ids = [queue.id for queue in read_queues(path)]
    assert len({*ids}) == len(ids)


async def test_a_deadline_leaves_what_came(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """The deadline is for one call; the next call resumes."""
    sandbox.latency = 0.2
    path = tmp_path / "queues.jsonl"
    with pytest.raises(DeadlineExceededError):
        await export_inbound(client, path, page_size=10, prefetch=0, deadline=0.5)
    sandbox.latency = 0.0
    assert (await export_inbound(client, path, page_size=10)).resumed == 1


async def test_cancelled_it_goes_on(free: AlohubClient, unlimited: Sandbox, tmp_path: Path) -> None:
    """Cancelling at any step loses nothing and leaves no task behind."""
    path = tmp_path / "queues.jsonl"
    for steps in range(1, 60, 4):
        task = asyncio.ensure_future(export_inbound(free, path, page_size=5))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
    await export_inbound(free, path, page_size=5)
    assert [queue.id for queue in read_queues(path)] == [queue["callinId"] for queue in unlimited.queues]


# Refused


async def _cut_off(sandbox: Sandbox, path: Path, **options: Any) -> None:
    sandbox.fail(status=502, page=1)
    async with sandbox.client(retry=ONCE, **options) as client:
        with pytest.raises(AlohubError):
            await export_inbound(client, path, page_size=10)


@pytest.mark.parametrize(
    ("client_options", "options", "message"),
    [
        ({"tenant_id": "other"}, {}, "tenant_id was '20260310', and is 'other' now"),
        ({}, {"page_size": 20}, "page_size was 10, and is 20 now"),
        ({}, {"details": True}, "details was False, and is True now"),
        ({}, {"consistency": "detect"}, "consistency was 'repair', and is 'detect' now"),
        ({"endpoint": "http://127.0.0.1:9"}, {}, "endpoint was 'http"),
    ],
)
async def test_a_journal_of_another_export_is_refused(
    sandbox: Sandbox, tmp_path: Path, client_options: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    """The error names what differs; `restart` discards the journal."""
    path = tmp_path / "queues.jsonl"
    given: dict[str, Any] = {"page_size": 10, **options}
    await _cut_off(sandbox, path)
    sent = len(sandbox.requests)
    async with sandbox.client(**client_options) as client:
        with pytest.raises(FileError) as caught:
            await export_inbound(client, path, **given)
        assert message in str(caught.value)
        assert "restart=True" in str(caught.value)
        assert len(sandbox.requests) == sent
    async with sandbox.client() as client:
        report = await export_inbound(client, path, **given, restart=True)
        assert (report.resumed, report.written) == (0, 25)


async def test_keys_tell_tenants_apart(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without a tenant id, another key means another tenant; the key itself is not in the journal."""
    path = tmp_path / "queues.jsonl"
    await _cut_off(sandbox, path, tenant_id=None)
    assert sandbox.api_key.encode() not in (tmp_path / ".queues.jsonl.part").read_bytes()
    async with sandbox.client(tenant_id=None, api_key=sandbox.add_key()) as client:
        with pytest.raises(FileError, match="the API key is another") as caught:
            await export_inbound(client, path, page_size=10)
        assert sandbox.api_key not in str(caught.value)
    async with sandbox.client(tenant_id=None) as client:
        assert (await export_inbound(client, path, page_size=10)).resumed == 1


async def test_one_export_at_a_time(client: AlohubClient, tmp_path: Path) -> None:
    """A second export to the same file is refused and does not disturb the first; to another file it is fine."""
    path = tmp_path / "queues.jsonl"
    begun = asyncio.Event()
    first = asyncio.ensure_future(export_inbound(client, path, page_size=5, on_progress=lambda _: begun.set()))
    await begun.wait()
    with pytest.raises(FileError, match=r"another export to .*queues\.jsonl is running"):
        await export_inbound(client, path, page_size=5, restart=True)
    await export_inbound(client, tmp_path / "other.jsonl")
    assert (await first).complete


@pytest.mark.parametrize(
    "options", [{"page_size": 0}, {"prefetch": -1}, {"consistency": "raise"}, {"max_passes": 1}, {"deadline": 0}]
)
async def test_bad_input_is_refused(
    client: AlohubClient, sandbox: Sandbox, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Before anything is sent or written."""
    with pytest.raises(InvalidArgumentError):
        await export_inbound(client, tmp_path / "queues.jsonl", **options)
    with pytest.raises(InvalidArgumentError, match="must end in"):
        await export_inbound(client, tmp_path / "queues.xlsx")
    assert left(tmp_path) == set()
    assert sandbox.requests == []


async def test_no_such_folder(client: AlohubClient, tmp_path: Path) -> None:
    """One line says so before anything is sent."""
    with pytest.raises(FileError, match=r"folder .*none does not exist"):
        await export_inbound(client, tmp_path / "none" / "queues.jsonl")


# Progress


async def test_progress(client: AlohubClient, tmp_path: Path) -> None:
    """The callback gets the progress after each page and each pass."""
    reported: list[ExportProgress] = []
    await export_inbound(client, tmp_path / "queues.jsonl", page_size=10, on_progress=reported.append)
    assert [(each.number, each.written) for each in reported] == [
        (1, 0), (1, 10), (1, 20), (1, 25), (2, 0), (2, 10), (2, 20), (2, 25), (2, 25)
    ]  # fmt: skip
    assert all(each.total == 25 and each.rate > 0 and each.limit == 100 for each in reported[1:])
    assert [each.seconds for each in reported] == sorted(each.seconds for each in reported)


# Any list
