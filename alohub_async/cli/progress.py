"""The progress of exports and audits on stderr: bars on a terminal, otherwise a line every few seconds."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from alohub_async.audit import AuditProgress
from alohub_async.cli.output import one_line, write_stderr
from alohub_async.client import AlohubClient
from alohub_async.export import ExportProgress
from alohub_async.plurals import counted
from alohub_async.rate_limits.limiter import WINDOW
from alohub_async.rate_limits.status import RateLimitStatus
from alohub_async.tenants import OnTenants, TenantsProgress

Step: TypeAlias = ExportProgress | AuditProgress
OnStep: TypeAlias = Callable[[Step], object]
_LINE_INTERVAL: Final = 5.0  # seconds between two lines of progress
_NAME: Final = 14  # columns
_BAR: Final = 8  # columns
_DETAIL: Final = "GET /v1/queues/inbound/{id}"


@contextmanager
def show_progress(name: str, client: AlohubClient, *, quiet: bool, details: bool) -> Generator[OnStep]:
    """Show the progress of one export or audit; with details first what they cost, once their limit is known."""
    cost_is_due = details and not quiet

    def step(now: Step) -> None:
        nonlocal cost_is_due
        if cost_is_due and (cost := _cost(client.rate_limits, now.total)):
            cost_is_due = False
            write_stderr(cost)
        show(TenantsProgress(tenant=name, status="running", progress=now, finished=0, total=1))

    with show_tenants(quiet=quiet) as show:
        yield step


def _cost(limits: RateLimitStatus, total: int | None) -> str | None:
    """What the details of a list cost; None if that is not known, or one window has room for all."""
    route = limits.routes.get(_DETAIL)
    known = [scope.limit for scope in (limits.tenant, route) if scope is not None and scope.limit]
    if not total or route is None or route.limit is None or total <= min(known):
        return None
    rate = min(known) / WINDOW
    return f"{counted(total, 'detail')}, {rate:g} a second: {total / rate:.0f} s"


@contextmanager
def show_tenants(*, quiet: bool) -> Generator[OnTenants]:
    """Show the progress of a run over tenants: how many are done, and how far those have come that run."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(_BAR, complete_style="cyan"),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            yield _Display(bars)
    else:
        yield _Display(None)


class _Display:
    """A bar or a line for all tenants, if there are several, and for each that runs."""

    def __init__(self, bars: Progress | None) -> None:
        self._bars = bars
        self._failed = 0
        self._shown: dict[str, Any] = {}  # the bar of a tenant, or when it had its last line; "" is all of them

    def __call__(self, now: TenantsProgress) -> None:
        self._failed += now.status == "failed"
        if now.total != 1:
            of = "?" if now.total is None else counted(now.total, "tenant")
            failed = f", {self._failed:,} failed" if self._failed else ""
            self._show("", "all", now.finished, now.total, f"{now.finished:,} of {of}{failed}")
        if (step := now.progress) is not None:
            self._show(now.tenant, now.tenant, _done(step), step.total, progress_text(step))
        elif now.status != "running":
            shown = self._shown.pop(now.tenant, None)
            if self._bars and shown is not None:
                self._bars.remove_task(shown)

    def _show(self, key: str, name: str, done: int, total: int | None, text: str) -> None:
        name = one_line(name)
        if self._bars:
            if key not in self._shown:
                self._shown[key] = self._bars.add_task(name[:_NAME], total=None, text="")
            self._bars.update(self._shown[key], completed=done, total=total, text=text)
            return
        moment = time.monotonic()
        if moment - self._shown.setdefault(key, moment) >= _LINE_INTERVAL:
            self._shown[key] = moment
            write_stderr(f"{name}: {text}")


def _done(now: Step) -> int:
    return now.written if isinstance(now, ExportProgress) else now.done


def progress_text(now: Step) -> str:
    """The progress of one, in at most 56 columns up to 999,999 queues, so that its bar fits into 80."""
    done, text = _done(now), f"pass {now.number} " if isinstance(now, ExportProgress) else ""
    text += f"{done:,}/{'?' if now.total is None else f'{now.total:,}'} {now.rate:,.0f}/s"
    if now.total is not None and now.rate > 0:
        minutes, seconds = divmod(round(max(0, now.total - done) / now.rate), 60)
        text += f" {minutes}:{seconds:02}"
    if now.limit is not None and now.free is not None:
        text += f" {now.free}/{now.limit} free"
    return text + (" waiting" if now.waiting else "")
