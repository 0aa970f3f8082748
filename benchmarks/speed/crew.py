"""The contestants, each in its own process. One of them works at a time."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

import attrs

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Fields

Measure: TypeAlias = Literal["calls", "peak", "page"]


@attrs.frozen
class Cores:
    """The cores of the server and of the clients."""

    server: int
    client: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """The first and the last core that this process may use."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[-1])


@attrs.frozen
class Times:
    """The seconds that one walk took."""

    wall: float
    cpu: float


@attrs.define
class Worker:
    """One contestant in its process.

    Attributes:
        version: The version of its package; None if the package is not installed.
        missing: The import error in that case.
    """

    contestant: Contestant
    process: "subprocess.Popen[str]"
    url: str
    version: str | None = None
    missing: str = ""

    def hear(self) -> Any:
        """Read the next line of its output.

        Raises:
            RuntimeError: The process has ended; its error is on stderr.
        """
        assert self.process.stdout is not None  # noqa: S101  (a pipe, see `_working`)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.contestant.name} ended unexpectedly; see its error above")
        return json.loads(line)

    def _ask(self, what: str, which: List) -> Any:
        if self.contestant.navigated:
            which = attrs.evolve(which, form="sdk")
        asked = {"measure": what, "url": f"{self.url}/{which.name}", "which": attrs.asdict(which)}
        assert self.process.stdin is not None  # noqa: S101
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return self.hear()

    def warm(self, which: List) -> None:
        """Walk a list without a measurement."""
        self._ask("warm", which)

    def times(self, which: List) -> Times:
        """Walk a list and return the seconds it took."""
        return Times(*self._ask("times", which))

    def records(self, which: List) -> list[Fields]:
        """Walk a list and return the fields of all records."""
        records: list[Fields] = self._ask("records", which)
        return records

    def measure(self, what: Measure, which: List) -> float:
        """Walk a list and return the measured value."""
        return float(self._ask(what, which))


@contextmanager
def _working(contestant: Contestant, url: str, core: int) -> Generator[Worker]:
    command = [sys.executable, "-m", "benchmarks.speed.worker", contestant.name, str(core)]
    # stdout is the pipe to this process; packages log to stderr.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Worker(contestant, process, url)
        finally:
            assert process.stdin is not None  # noqa: S101
            process.stdin.close()  # ends the process


@contextmanager
def crew(contestants: Iterable[Contestant], url: str, cores: Cores) -> Generator[Mapping[Contestant, Worker]]:
    """Start all contestants, and report those whose packages are not installed; yields the others."""
    with ExitStack() as stack:
        workers = {each: stack.enter_context(_working(each, url, cores.client)) for each in contestants}
        for worker in workers.values():
            said = worker.hear()
            worker.version, worker.missing = said.get("version"), said.get("missing", "")
        for each, worker in workers.items():
            if worker.version is None:
                print(f"skipped: {each.name}: {worker.missing} (pip install -r benchmarks/requirements.txt)")
        yield {each: worker for each, worker in workers.items() if worker.version is not None}
