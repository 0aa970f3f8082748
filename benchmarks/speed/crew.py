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
from benchmarks.speed.pages import List

Measure: TypeAlias = Literal["seconds", "calls", "peak"]


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

    def measure(self, what: Measure, which: List) -> float:
        """Walk a list. Returns the measured value."""
        which = attrs.evolve(which, navigated=self.contestant.navigated)
        asked = {"measure": what, "url": f"{self.url}/{which.name}", "size": which.size, "records": which.records}
        assert self.process.stdin is not None  # noqa: S101
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return float(self.hear())


@contextmanager
def _working(contestant: Contestant, url: str, core: int) -> Generator[Worker]:
    command = [sys.executable, "-m", "benchmarks.speed.worker", contestant.name, str(core)]
    # stdout is the pipe to this process; packages log to stderr.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        worker = Worker(contestant, process, url)
        said = worker.hear()
        worker.version, worker.missing = said.get("version"), said.get("missing", "")
        try:
            yield worker
        finally:
            assert process.stdin is not None  # noqa: S101
            process.stdin.close()  # ends the process


@contextmanager
def crew(contestants: Iterable[Contestant], url: str, cores: Cores) -> Generator[Mapping[Contestant, Worker]]:
    """Start all contestants; one whose package is not installed has no version."""
    with ExitStack() as stack:
        yield {each: stack.enter_context(_working(each, url, cores.client)) for each in contestants}
