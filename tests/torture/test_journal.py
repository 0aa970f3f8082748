"""The journal of an export is damaged at each byte: the next run refuses it, or writes the right file."""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from alohub_async import AlohubError
from alohub_async.errors import FileError
from alohub_async.export import ExportProgress, export_inbound
from alohub_async.export.job import report_path
from alohub_async.export.journal import journal_path
from alohub_async.testing import Sandbox
from tests.torture.harness import Torture
from tests.torture.world import World, bounded, check_idle, tried

_QUEUES: Final = [{"callinId": number, "callinName": f"queue {number}"} for number in range(1, 8)]
_PAGE: Final = 3
_SETTINGS: Final[Mapping[str, Any]] = {"queues": _QUEUES, "tenant_limit": None, "route_limit": None}
_POINTS: Final = 14  # of each kind of damage in the short mode

_DAMAGES: Final[Mapping[str, Callable[[bytes, int], bytes]]] = {
    "flipped": lambda data, at: data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :],
    "zeroed": lambda data, at: data[:at] + b"\0" + data[at + 1 :],
    "removed": lambda data, at: data[:at] + data[at + 1 :],
    "doubled": lambda data, at: data[: at + 1] + data[at:],
    "ended": lambda data, at: data[:at] + b"\n" + data[at + 1 :],
    "another digit": lambda data, at: data[:at] + (b"7" if data[at : at + 1].isdigit() else b"x") + data[at + 1 :],
    "gap": lambda data, at: data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :],
    "line lost": lambda data, at: data[: data.rfind(b"\n", 0, at) + 1] + data[data.index(b"\n", at) + 1 :],
    "line twice": lambda data, at: data[: data.index(b"\n", at) + 1] + data[data.rfind(b"\n", 0, at) + 1 :],
    "cut off": lambda data, at: data[:at],
    "grown": lambda data, at: data + data[:at],
}
"""Makes the damage at a byte."""

_CRASHES: Final = frozenset({"cut off", "grown"})
"""What a crash alone can do to a file that is only appended to: it ends early, or behind the last whole page."""

_EACH: Final = ("flipped", "cut off")
"""What is done at each byte, and to a journal with details, too."""

_STEP: Final = 3  # bytes, for other damages

_STRANGERS: Final[Mapping[str, bytes]] = {
    "text": b"not yours\n",
    "text without an end": b"not yours",
    "object": b'{"a": 1}\n',
    "two objects": b'{"id": 1}\n{"id": 2}\n',
    "list": b"[1, 2]\n",
    "table": b"id,name\n1,a\n",
    "null": b"null\n",
    "blank lines": b"\n\n\n",
    "zeros": bytes(500),
    "download": bytes(range(256)) * 64,
    "journal of the future": b'{"journal": 99}\n',
}
"""Other files under the journal's name."""


@frozen
class Damaged:
    """A point.

    Attributes:
        data: What stands under the journal's name.
        must_fail: Whether it must be refused.
    """

    data: bytes
    must_fail: bool


def _interrupted(sandbox: Sandbox, folder: Path, *, details: bool) -> bytes:
    """Interrupt an export in its second pass, and return its journal."""

    def refuse(progress: ExportProgress) -> None:
        if progress.number == 2:
            sandbox.fail(status=403, page=1, next=None)

    async def export() -> None:
        async with sandbox.client() as client:
            await export_inbound(
                client, folder / "queues.jsonl", page_size=_PAGE, prefetch=0, details=details, on_progress=refuse
            )

    with pytest.raises(AlohubError):
        asyncio.run(export())
    sandbox.heal()
    return journal_path(folder / "queues.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("damage", "details"), [*((damage, False) for damage in _DAMAGES), *((damage, True) for damage in _EACH)]
)
def test_damaged_at_each_byte(torture: Torture, tmp_path: Path, damage: str, *, details: bool) -> None:
    """A damage is refused, and the journal stays; what a crash can do is resumed; no other file is ever written."""
    with Sandbox(**_SETTINGS) as sandbox:
        data = _interrupted(sandbox, tmp_path, details=details)
        acknowledged = data[: data.rindex(b"\n", 0, -1)].rindex(b"\n")  # all but the last two lines
        points: dict[str, Damaged] = {}
        places = range(0, len(data), 1 if damage in _EACH else _STEP)
        for at in [match.start() for match in re.finditer(rb"(?m)^.", data)] if damage.startswith("line") else places:
            damaged = _DAMAGES[damage](data, at)
            if damaged != data:
                name = f"journal/{damage}, {'details' if details else 'plain'}/{at}"
                points[name] = Damaged(damaged, must_fail=damage not in _CRASHES and at < acknowledged)
        torture.try_points(points, lambda point: _try(sandbox, point, details=details), short=_POINTS)


def test_files_of_strangers(torture: Torture) -> None:
    """A file that is no journal is refused, and stays as it is."""
    with Sandbox(**_SETTINGS) as sandbox:
        points = {f"journal/stranger/{name}": Damaged(data, must_fail=True) for name, data in _STRANGERS.items()}
        torture.try_points(points, lambda point: _try(sandbox, point, details=False), short=len(points))


def _try(sandbox: Sandbox, point: Damaged, *, details: bool) -> Iterable[str]:
    async def run(world: World) -> None:
        target = world.folder / "queues.jsonl"
        journal = journal_path(target)
        journal.write_bytes(point.data)
        async with sandbox.client() as client:
            error: FileError | None = None
            with bounded(world, seconds=2, megabytes=20):
                try:
                    await export_inbound(client, target, page_size=_PAGE, details=details)
                except FileError as caught:
                    error = caught
            check_idle(world, client)
        world.check_threads()
        if error is None:
            world.check(not point.must_fail, "the damage was not noticed")
            world.check_folder({target.name, report_path(target).name})
            world.check(_ids(target) == [queue["callinId"] for queue in _QUEUES], "the file is not right")
        else:
            world.check(journal.read_bytes() == point.data, "the journal was changed")
            world.check_folder({journal.name})
            world.check(str(journal) in str(error), f"the error does not name the journal: {error}")
            world.check("restart" in str(error) or "move it" in str(error), f"the error names no way out: {error}")

    return tried(run, real_time=True)


def _ids(path: Path) -> list[object]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]
