"""An export that is killed at random moments, many times, writes the same file as one that was not."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from alohub_async.export.job import report_path
from alohub_async.export.journal import journal_path
from alohub_async.files import read_queues
from alohub_async.testing import DropConnection, Sandbox
from tests.export import once

QUEUES = 5000
KILLS = 15
PATIENCE = 60.0


PROCESSES: Final = multiprocessing.get_context("forkserver")
"""Forks of one process that has imported the client: a process of its own costs half a second."""
PROCESSES.set_forkserver_preload([once.__name__, "cattrs", "msgspec"])


def start(sandbox: Sandbox, path: Path) -> BaseProcess:
    """Start or resume the export in a process of its own."""
    process = PROCESSES.Process(
        target=once.export, args=(str(sandbox.url), sandbox.api_key, sandbox.tenant_id, str(path)), daemon=True
    )
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    """Wait for its end; returns its exit code."""
    process.join(PATIENCE)
    return process.exitcode


def size(path: Path) -> int:
    """Return the size in bytes; 0 if there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@attrs.define
class Killer:
    """Runs an export, and kills it a number of times.

    Attributes:
        wanted: Kills before the file is written.
        bytes: Maximum growth of the journal between two kills, in bytes.
        requests: Maximum number of requests between two kills.
        kills: How often it was killed.
        kills_at_the_end: How often it was killed while it wrote the file or the report, or removed the journal.
    """

    sandbox: Sandbox
    path: Path
    rng: random.Random
    wanted: int
    bytes: int = 50_000
    requests: int = 4
    kills: int = 0
    kills_at_the_end: int = 0

    def run(self) -> dict[str, Any]:
        """Run until the export is done, and return the report."""
        journal = journal_path(self.path)
        while self.kills < self.wanted and not self.path.exists():
            self.kills += self._killed(when=self._some_moment(journal))
        for _ in range(4):  # a file beside the journal: the result is being written
            self.kills_at_the_end += self._killed(when=lambda: {*self.path.parent.iterdir()} > {journal})
        if journal.exists() or not self.path.exists():
            assert ended(start(self.sandbox, self.path)) == 0
        report: dict[str, Any] = json.loads(report_path(self.path).read_bytes())
        assert {*self.path.parent.iterdir()} == {self.path, report_path(self.path)}
        return report

    def _some_moment(self, journal: Path) -> Callable[[], bool]:
        enough = size(journal) + self.rng.randrange(self.bytes)
        many = len(self.sandbox.requests) + 1 + self.rng.randrange(self.requests)
        if self.rng.random() < 0.5:
            return lambda: size(journal) > enough
        return lambda: len(self.sandbox.requests) >= many

    def _killed(self, *, when: Callable[[], bool]) -> bool:
        """Run until `when`, and kill it; False if it finished before."""
        process = start(self.sandbox, self.path)
        until = time.monotonic() + PATIENCE
        while process.exitcode is None:
            assert time.monotonic() < until
            if when():
                time.sleep(self.rng.random() * 0.002)
                process.kill()
                return ended(process) != 0
            time.sleep(0.0002)
        assert process.exitcode == 0
        return False


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_killed_at_random_moments(tmp_path: Path, ending: str) -> None:
    """The file is that of an undisturbed export, record for record; the report counts the resumptions."""
    path, undisturbed = tmp_path / "a" / f"queues.{ending}", tmp_path / "b" / f"queues.{ending}"
    path.parent.mkdir()
    undisturbed.parent.mkdir()
    with Sandbox(queues=QUEUES, tenant_limit=None, route_limit=None) as sandbox:
        killer = Killer(sandbox, path, random.Random(25), wanted=KILLS)
        report = killer.run()
        assert killer.kills == KILLS
        assert killer.kills_at_the_end > 0
        assert report["complete"]
        assert report["resumed"] > 0
        assert ended(start(sandbox, undisturbed)) == 0
        assert [*read_queues(path)] == [*read_queues(undisturbed)]
        assert [queue.id for queue in read_queues(path)] == [queue["callinId"] for queue in sandbox.queues]


def test_killed_with_faults_while_the_list_moves(tmp_path: Path) -> None:
    """Every queue that was there all the time is in the file exactly once, whatever happens."""
    rng = random.Random(4)
    with Sandbox(queues=QUEUES, tenant_limit=None, route_limit=None) as sandbox:
        before = {queue["callinId"] for queue in sandbox.queues}
        for page in range(0, 50, 5):
            sandbox.fail(page=page, status=502, next=2)
            sandbox.fail(DropConnection(), page=page)
            sandbox.insert_queue(index=rng.randrange(QUEUES), after_page=page)
            sandbox.remove_queue(int(str(rng.choice(sandbox.queues)["callinId"])), before_page=page)
        killer = Killer(sandbox, tmp_path / "queues.jsonl", rng, wanted=KILLS)
        report = killer.run()
        assert killer.kills == KILLS
        assert sandbox.moves_left == 0
        assert report["complete"]
        ids = [queue.id for queue in read_queues(killer.path)]
        stayed = before & {queue["callinId"] for queue in sandbox.queues}
        assert stayed <= {*ids}
        assert len({*ids}) == len(ids)
