"""The journal of an export: damage is noticed, and nothing of a stranger's is touched."""

import asyncio
import errno
import fcntl
import json
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from alohub_async import (
    AlohubClient,
    AlohubError,
    FileError,
    InboundQueueUpdate,
    Record,
    Resource,
    ResourceSpec,
    RetryPolicy,
)
from alohub_async.export import export_inbound, export_resource
from alohub_async.export.job import report_path
from alohub_async.export.journal import journal_path, open_journal
from alohub_async.export.locks import open_locked
from alohub_async.export.log import Log
from alohub_async.files import read_queues, read_records
from alohub_async.testing import Sandbox

ONCE = RetryPolicy(max_retries=0)
BEGIN = b'{"export_journal": 1'


@pytest.fixture(name="sandbox")
async def _sandbox() -> AsyncGenerator[Sandbox]:
    async with Sandbox(queues=6, tenant_limit=None, route_limit=None) as sandbox:
        yield sandbox


@pytest.fixture(name="client")
async def _client(sandbox: Sandbox) -> AsyncGenerator[AlohubClient]:
    async with sandbox.client(retry=ONCE) as client:
        yield client


async def cut_off(client: AlohubClient, sandbox: Sandbox, path: Path, *, page: int = 2) -> bytes:
    """Export until a page fails, and return the journal."""
    sandbox.fail(status=502, page=page)
    with pytest.raises(AlohubError):
        await export_inbound(client, path, page_size=2, prefetch=0)
    return journal_path(path).read_bytes()


async def check_whole(client: AlohubClient, sandbox: Sandbox, path: Path) -> None:
    """Export to the end: every queue is in the file once, in order, and the report tells the truth."""
    report = await export_inbound(client, path, page_size=2)
    assert [queue.id for queue in read_queues(path)] == [queue["callinId"] for queue in sandbox.queues]
    count = len(sandbox.queues)
    assert (report.complete, report.written, report.expected, report.duplicates) == (True, count, count, 0)


def damaged_at(whole: bytes, place: int) -> Iterator[bytes]:
    """Change, cut, insert and repeat bytes at one place: two of all ways, others at the next place."""
    before, rest = whole[:place], whole[place:]
    ways = [
        *(before + bytes([rest[0] ^ flip]) + rest[1:] for flip in (0x01, 0x20, 0x80, rest[0], rest[0] ^ 10)),
        *(before + rest[size:] for size in (1, 30)),
        *(before + rest[:size] + rest for size in (1, 30)),
        *(before + new + rest for new in (b"\0", b"\n", b'{"id": 5, "name": "x", "extra": {}}\n')),
    ]
    return (ways[(2 * place + way) % len(ways)] for way in (0, 5))


def opens(path: Path) -> bool:
    """Whether the journal can be used; otherwise it is untouched, and the error says what to do."""
    found = journal_path(path).read_bytes()
    try:
        with open_journal(path, _key_of, restart=False):
            return True
    except FileError as exc:
        advised = str(exc).endswith(("; start anew with restart=True", "; move it away"))
    assert advised
    assert journal_path(path).read_bytes() == found
    return False


async def test_damage_at_any_byte(tmp_path: Path) -> None:
    """Damage is an error that says what to do, or it costs the last page and the result is right."""
    path = tmp_path / "queues.jsonl"
    async with Sandbox(queues=3, tenant_limit=None, route_limit=None) as sandbox, sandbox.client(retry=ONCE) as client:
        whole = await cut_off(client, sandbox, path, page=1)
        resumed = 0
        for place in range(len(whole)):
            for damaged in damaged_at(whole, place):
                journal_path(path).write_bytes(damaged)
                if opens(path):
                    resumed += 1
                    journal_path(path).write_bytes(damaged)
                    if resumed % 40 == 0:
                        await check_whole(client, sandbox, path)
    assert 0 < resumed < len(whole)


async def test_lines_that_change_places(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """Whole lines that are left out, repeated or swapped are damage, although each is intact."""
    path = tmp_path / "queues.jsonl"
    lines = (await cut_off(client, sandbox, path)).splitlines(keepends=True)
    assert len(lines) > 4
    for index in range(1, len(lines) - 1):
        for changed in (
            [*lines[:index], *lines[index + 1 :]],
            [*lines[: index + 1], *lines[index:]],
            [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]],
        ):
            journal_path(path).write_bytes(b"".join(changed))
            with pytest.raises(FileError, match=r"is damaged at byte \d+.*restart=True"):
                await export_inbound(client, path, page_size=2)


async def test_a_torn_tail_is_cut(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """What a crash leaves of the last page, or of blocks that were never written, costs that page alone."""
    path, journal = tmp_path / "queues.jsonl", tmp_path / ".queues.jsonl.part"
    whole = await cut_off(client, sandbox, path)
    lines = whole.splitlines(keepends=True)
    for cut in [*range(len(lines[0]), len(whole), 211), len(whole)]:
        for rest in (b"", b"\0" * 50):
            journal.write_bytes(whole[:cut] + rest)
            await check_whole(client, sandbox, path)


async def test_a_damaged_journal_can_be_discarded(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """What the error advises works."""
    path = tmp_path / "queues.jsonl"
    whole = await cut_off(client, sandbox, path)
    journal_path(path).write_bytes(whole[:100] + b"!" + whole[100:])
    with pytest.raises(FileError, match="restart=True"):
        await export_inbound(client, path, page_size=2)
    assert (await export_inbound(client, path, page_size=2, restart=True)).complete


async def test_damage_after_the_journal_was_read(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """The records are checked again when the file is written from them; no file is made of others."""
    path = tmp_path / "queues.jsonl"

    def damage(_: object) -> None:
        journal = journal_path(path)
        data = journal.read_bytes()
        place = data.find(b'"name"')
        if place > 0:
            with journal.open("r+b") as file:
                file.seek(place)
                file.write(b'"nema"')

    with pytest.raises(FileError, match="is damaged at byte"):
        await export_inbound(client, path, page_size=2, on_progress=damage)
    assert not path.exists()
    assert sandbox.requests


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"{",
        b"alo",
        b"\0",
        b"\n",
        b'{"journal": 99}\n',
        b'{"my": "file"}\n',
        b"mine" * 2000,
        b"n" * 4096,
        BEGIN[:-1],
    ],
)
async def test_a_file_that_is_no_journal(
    client: AlohubClient, sandbox: Sandbox, tmp_path: Path, content: bytes, *, restart: bool
) -> None:
    """A file that only has the name of the journal is left alone, however short it is."""
    journal = tmp_path / ".queues.jsonl.part"
    journal.write_bytes(content)
    with pytest.raises(FileError, match="is not an export journal of this version; move it away"):
        await export_inbound(client, tmp_path / "queues.jsonl", restart=restart)
    assert journal.read_bytes() == content
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("make", [os.symlink, os.link])
@pytest.mark.parametrize("content", [b"", b"mine"])
async def test_a_link_of_that_name(
    client: AlohubClient, tmp_path: Path, make: Callable[[Path, Path], None], content: bytes, *, restart: bool
) -> None:
    """A link is refused, and what it leads to stays."""
    other = tmp_path / "other"
    other.write_bytes(content)
    make(other, tmp_path / ".queues.jsonl.part")
    with pytest.raises(FileError, match="it is a link"):
        await export_inbound(client, tmp_path / "queues.jsonl", restart=restart)
    assert other.read_bytes() == content


async def test_a_dangling_link_of_that_name(client: AlohubClient, tmp_path: Path) -> None:
    """Nothing is made where it leads to."""
    (tmp_path / ".queues.jsonl.part").symlink_to("other")
    with pytest.raises(FileError, match="it is a link"):
        await export_inbound(client, tmp_path / "queues.jsonl")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
async def test_no_file_of_that_name(client: AlohubClient, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe or a folder in the place of the journal is an error, at once."""
    make(tmp_path / ".queues.jsonl.part")
    with pytest.raises(FileError, match=r"it is a (pipe|folder)"):
        await asyncio.wait_for(export_inbound(client, tmp_path / "queues.jsonl"), 30)


async def test_only_the_user_can_read_it(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """The file may be meant for the user alone, and the journal has the same records."""
    path = tmp_path / "queues.jsonl"
    await cut_off(client, sandbox, path)
    assert stat.S_IMODE(journal_path(path).stat().st_mode) == 0o600


async def test_an_export_to_a_link(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """What the link leads to is written, and two links to one file share its journal."""
    (tmp_path / "disk").mkdir()
    path, again = tmp_path / "queues.jsonl", tmp_path / "again.jsonl"
    for link in (path, again):
        link.symlink_to("disk/real.jsonl")
    await cut_off(client, sandbox, path)
    report = await export_inbound(client, again, page_size=2)
    assert (report.complete, report.resumed) == (True, 1)
    assert path.is_symlink()
    assert len([*read_queues(tmp_path / "disk" / "real.jsonl")]) == 6
    assert {each.name for each in report_path(again).parent.iterdir()} == {
        "disk",
        path.name,
        again.name,
        report_path(again).name,
    }


async def test_a_name_of_255_bytes(client: AlohubClient, tmp_path: Path) -> None:
    """The longest legal name can be exported to; the report has a short one."""
    path = tmp_path / f"{'q' * 249}.jsonl"
    assert (await export_inbound(client, path)).complete
    report = report_path(path)
    assert report.name.startswith("_")
    assert json.loads(report.read_bytes())["path"] == str(path)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOLCK, "cannot lock .*: No locks available"),
        (errno.ENOSYS, "cannot lock "),
        (errno.EWOULDBLOCK, "another export to .* is running"),
        (errno.EAGAIN, "another export to .* is running"),
    ],
)
async def test_what_the_system_says_of_a_lock(
    client: AlohubClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    """Only a lock that somebody holds is called another export."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(FileError, match=message):
        await export_inbound(client, tmp_path / "queues.jsonl")


async def test_a_full_disk_keeps_the_journal(client: AlohubClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """A page that does not fit leaves nothing behind; with room again the export resumes."""
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of a file")
    path = tmp_path / "queues.jsonl"
    whole = await cut_off(client, sandbox, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, before[1]))
    try:
        with pytest.raises(FileError, match="cannot write"):
            await export_inbound(client, path, page_size=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert journal_path(path).read_bytes() == whole
    await check_whole(client, sandbox, path)


# Cancelled


async def test_the_file_is_closed_after_its_thread(
    client: AlohubClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled again and again while a page is written, the export waits for the writing thread."""
    begun, goes_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    alive: list[bool] = []
    sync = os.fsync

    def slow_sync(handle: int) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result(5)
        sync(handle)  # the file is open still, or this is an error
        alive.append(True)

    def slow_down(_: object) -> None:
        monkeypatch.setattr(os, "fsync", slow_sync)

    task = asyncio.ensure_future(export_inbound(client, tmp_path / "queues.jsonl", page_size=2, on_progress=slow_down))
    await begun.wait()
    for _ in range(20):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert alive == [True]


def test_a_loop_that_stops_leaves_no_thread(tmp_path: Path) -> None:
    """When everything is cancelled at once, as at the end of `asyncio.run`, and twice, the journal is intact."""

    async def run(sandbox: Sandbox, pages: int) -> None:
        async with sandbox.client() as client:
            seen = asyncio.Event()

            def count(progress: Any) -> None:
                if progress.written >= pages:
                    seen.set()

            task = asyncio.ensure_future(export_inbound(client, path, page_size=2, on_progress=count))
            await asyncio.wait([task, asyncio.ensure_future(seen.wait())], return_when=asyncio.FIRST_COMPLETED)
            for each in asyncio.all_tasks() - {asyncio.current_task()}:
                each.cancel()
                each.cancel()

    path = tmp_path / "queues.jsonl"
    with Sandbox(queues=6, tenant_limit=None, route_limit=None) as sandbox:
        for pages in range(1, 7):
            asyncio.run(run(sandbox, pages))
            with open_journal(path, _key_of, restart=False) as journal:
                assert journal.path == tmp_path / ".queues.jsonl.part"


@attrs.frozen(kw_only=True)
class _Short(Record):
    """A queue in the first version of a program."""

    id: int = attrs.field(metadata={"wire": "callinId"})
    number: str | None = attrs.field(default=None, metadata={"wire": "callinNumber"})
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


@attrs.frozen(kw_only=True)
class _Long(Record):
    """A queue in the second one."""

    id: int = attrs.field(metadata={"wire": "callinId"})
    name: str | None = attrs.field(default=None, metadata={"wire": "callinName"})
    number: str | None = attrs.field(default=None, metadata={"wire": "callinNumber"})
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


@attrs.frozen(kw_only=True)
class _Other(Record):
    """A queue of which no number is known."""

    id: int = attrs.field(metadata={"wire": "callinId"})
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


def _queues(client: AlohubClient, record: type[Any]) -> Resource[Any, InboundQueueUpdate]:
    spec = ResourceSpec(name="queue", path="/v1/queues/inbound", record=record, update=InboundQueueUpdate)
    return client.resource(spec)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
async def test_an_export_goes_on_with_another_class_of_records(
    client: AlohubClient, sandbox: Sandbox, tmp_path: Path, ending: str
) -> None:
    """What the journal has takes the new class's form, if it fits."""
    path = tmp_path / f"queues.{ending}"
    sandbox.fail(status=502, page=2)
    options: Any = {"page_size": 2, "prefetch": 0, "consistency": "detect"}
    with pytest.raises(AlohubError):
        await export_resource(client, _queues(client, _Short), path, **options)
    with pytest.raises(FileError, match=r"does not fit: unknown column 'number'; start anew with restart=True"):
        await export_resource(client, _queues(client, _Other), path, **options)
    await export_resource(client, _queues(client, _Long), path, **options)
    assert [queue.to_dict(wire=True) for queue in read_records(path, _Long)] == sandbox.queues


def _key_of(record: Any) -> int:
    return int(record["id"])


def test_what_a_log_holds(tmp_path: Path) -> None:
    """Appended objects are read back; those behind a mark can be cut."""
    with open_locked(tmp_path / "log", target=tmp_path) as file:
        log = Log(file, tmp_path / "log", "test")
        log.append({"test": 1})
        log.append({"a": "\t\n\ud800"})
        mark = log.end
        log.append({"b": 2})
        assert [entry for entry, _ in log.read(log.start)] == [{"test": 1}, {"a": "\t\n\ud800"}, {"b": 2}]
        assert [entry for entry, _ in log.read(mark)] == [{"b": 2}]
        log.cut(mark)
        log.append({"c": 3})
        assert [entry for entry, _ in log.read(mark)] == [{"c": 3}]
