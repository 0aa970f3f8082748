"""Which tenants a run over several tenants is done with."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from alohub_async.export import ExportReport
from alohub_async.export.locks import open_locked
from alohub_async.export.log import Log
from alohub_async.files import side_path
from alohub_async.tenant import Tenant

_KIND: Final = "export_run"


class TenantsRun:
    """Which tenants a run is done with, so that after an interruption they are not exported again."""

    def __init__(self, log: Log, options: Mapping[str, object]) -> None:
        self._log = log
        self._options = options
        self._done = log.load()[1:]
        if not log.end.position:
            log.append({_KIND: 1})

    def report(self, tenant: Tenant, file: Path) -> ExportReport | None:
        """The report on a tenant that is done, if its file is still there."""
        about = self._about(tenant)
        for entry in self._done:
            if entry["about"] == about:
                with suppress(OSError):
                    return ExportReport(**entry["report"]) if file.stat().st_size == entry["report"]["size"] else None
        return None

    def note(self, tenant: Tenant, report: ExportReport) -> None:
        """Note that a tenant is done."""
        self._log.append({"about": self._about(tenant), "report": attrs.asdict(report)})

    def _about(self, tenant: Tenant) -> dict[str, object]:
        return {**attrs.asdict(tenant), **self._options}


@contextmanager
def open_run(folder: Path, tenants: Path, options: Mapping[str, object], *, restart: bool) -> Generator[TenantsRun]:
    """Begin a run, or go on with one that was interrupted; one that comes to its end is forgotten."""
    path = side_path(folder / tenants.name, ".run")
    with open_locked(path, target=folder) as file:
        log = Log(file, path, _KIND)
        if restart:
            log.cut(log.start)
        yield TenantsRun(log, options)
        log.remove()
