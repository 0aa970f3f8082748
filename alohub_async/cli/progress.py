"""The progress of exports and audits on stderr: bars on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from alohub_async.audit import AuditProgress
from alohub_async.cli.output import one_line, write_stderr
from alohub_async.export import ExportProgress
from alohub_async.plurals import counted
from alohub_async.tenants import OnTenants, TenantsProgress

Step: TypeAlias = ExportProgress | AuditProgress
_LINE_INTERVAL: Final = 5.0  # seconds between two lines of progress
_BAR: Final = 14  # columns
_ALL: Final = "tenants"


@contextmanager
def show_progress(name: str, *, quiet: bool) -> Generator[Callable[[Step], object]]:
    """Show the progress of one export or audit."""
    with show_tenants(quiet=quiet, overall=False) as show:
        yield lambda now: show(TenantsProgress(tenant=name, status="running", progress=now, finished=0, total=1))


@contextmanager
def show_tenants(*, quiet: bool, overall: bool = True) -> Generator[OnTenants]:
    """Show the progress of a run over tenants: how many are done, and how far those have come that run."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(_BAR), TextColumn("{task.fields[text]}"))
        with Progress(*columns, console=console, transient=True) as progress:
            yield _Bars(progress, overall=overall)
    else:
        yield _Lines()


class _Bars:
    """A bar for all tenants, and one for each that runs."""

    def __init__(self, progress: Progress, *, overall: bool) -> None:
        self._progress = progress
        self._all = progress.add_task(_ALL, total=None, text="") if overall else None
        self._failed = 0
        self._bars: dict[str, Any] = {}

    def __call__(self, now: TenantsProgress) -> None:
        self._failed += now.status == "failed"
        if now.status != "running":
            if (bar := self._bars.pop(now.tenant, None)) is not None:
                self._progress.remove_task(bar)
        else:
            if now.tenant not in self._bars:
                self._bars[now.tenant] = self._progress.add_task(one_line(now.tenant)[:_BAR], total=None, text="")
            if (step := now.progress) is not None:
                self._progress.update(
                    self._bars[now.tenant], completed=_done(step), total=step.total, text=progress_text(step)
                )
        if self._all is not None:
            text = _tenants_text(now, self._failed)
            self._progress.update(self._all, completed=now.finished, total=now.total, text=text)


class _Lines:
    """A line about each tenant that takes long, and one about all of them."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}  # when each had its last line
        self._failed = 0

    def __call__(self, now: TenantsProgress) -> None:
        self._failed += now.status == "failed"
        if now.status != "running":
            self._written.pop(now.tenant, None)
        elif now.progress is not None and self._is_due(now.tenant):
            write_stderr(one_line(f"{now.tenant}: {progress_text(now.progress)}"))
        if now.total != 1 and self._is_due(""):
            write_stderr(_tenants_text(now, self._failed))

    def _is_due(self, name: str) -> bool:
        moment = time.monotonic()
        if moment - self._written.setdefault(name, moment) < _LINE_INTERVAL:
            return False
        self._written[name] = moment
        return True


def _tenants_text(now: TenantsProgress, failed: int) -> str:
    of = "?" if now.total is None else counted(now.total, "tenant")
    return f"{now.finished:,} of {of}" + (f", {failed:,} failed" if failed else "")


def _done(now: Step) -> int:
    return now.written if isinstance(now, ExportProgress) else now.done


def progress_text(now: Step) -> str:
    """The progress of one, in at most 49 columns up to 999,999 queues, so that its bar fits into 80."""
    done, text = _done(now), f"pass {now.number} " if isinstance(now, ExportProgress) else ""
    text += f"{done:,}/{'?' if now.total is None else f'{now.total:,}'} {now.rate:,.0f}/s"
    if now.total is not None and now.rate > 0:
        minutes, seconds = divmod(round(max(0, now.total - done) / now.rate), 60)
        text += f" {minutes}:{seconds:02}"
    if now.limit is not None and now.free is not None:
        text += f" {now.free}/{now.limit}"
    return text + (" waiting" if now.waiting else "")
