"""The TOML file of several tenants; it names the environment variable that holds the API key of each tenant."""

import os
import re
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast, get_args

import attrs

from alohub_async.cli.access import make_endpoint
from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.client import AlohubClient
from alohub_async.config import Environment
from alohub_async.export import ExportReport
from alohub_async.export.locks import open_locked
from alohub_async.export.log import Log
from alohub_async.files import side_path
from alohub_async.http.retries import RetryPolicy

_NAME: Final = re.compile(r"\w[\w.-]*")  # of a tenant; it becomes part of a folder's name
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KIND: Final = "export_run"
_FORMATS: Final = ("jsonl", "csv", "parquet")
_NO_NAME: Final = "a name must consist of letters, digits, '_', '-' and '.', and must not begin with '-' or '.'"
_NO_KEY: Final = "this file must not contain the key; put it into an environment variable, and its name in api_key_env"


@attrs.frozen(kw_only=True)
class Tenant:
    """One tenant and its access to the API; see the options of the same names."""

    name: str
    api_key_env: str
    tenant_id: str | None = None
    base_url: str | None = None
    env: Environment = "production"
    direct: bool = False
    allow_http: bool = False

    def client(self, retry: RetryPolicy) -> AlohubClient:
        """Make a client of the tenant, with its own rate limiter."""
        if not (key := os.environ.get(self.api_key_env)):
            raise CommandError(f"no API key: set {self.api_key_env}", ExitCode.DENIED)
        endpoint = make_endpoint(self.base_url, self.env, direct=self.direct, allow_http=self.allow_http)
        return AlohubClient(key, tenant_id=self.tenant_id, endpoint=endpoint, retry=retry)


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


def read_tenants(path: Path) -> tuple[list[Tenant], str]:
    """The tenants of a file and the format of their exports. No error shows a value, as it could be a key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise CommandError(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:  # its message has the position, not the value
        raise CommandError(f"{path} is not TOML: {exc}") from exc
    tables: Any = content.pop("tenants", None)
    file_format = content.pop("format", "parquet")
    if content:
        raise CommandError(f"{path}: unknown name {min(content)!r}; allowed are format and [tenants.NAME]")
    if file_format not in _FORMATS:
        raise CommandError(f"{path}: format must be one of {', '.join(_FORMATS)}")
    if not isinstance(tables, dict) or not tables:
        raise CommandError(f"{path}: no tenants; add a table [tenants.NAME] for each tenant")
    by_name = cast("dict[str, Any]", tables)
    return [_read_tenant(f"{path}: tenant {name!r}", name, table) for name, table in by_name.items()], file_format


def _read_tenant(where: str, name: str, table: object) -> Tenant:
    if not _NAME.fullmatch(name):
        raise CommandError(f"{where}: {_NO_NAME}")
    if not isinstance(table, dict):
        raise CommandError(f"{where}: the tenant must be a table, [tenants.NAME]")
    values = cast("dict[str, Any]", table)
    variable = values.get("api_key_env")
    if {"key", "api_key", "token"} & values.keys() or (isinstance(variable, str) and not _VARIABLE.fullmatch(variable)):
        raise CommandError(f"{where}: {_NO_KEY}")
    _check_values(where, values)
    if variable is None:
        raise CommandError(f"{where}: api_key_env is missing: the name of the environment variable that holds the key")
    if values.get("env", "production") not in get_args(Environment):
        raise CommandError(f"{where}: env must be {' or '.join(get_args(Environment))}")
    if "base_url" in values and "env" in values:
        raise CommandError(f"{where}: give either base_url or env, not both")
    if values.get("direct") and "base_url" not in values:
        raise CommandError(f"{where}: direct needs base_url, the URL of the backend")
    return Tenant(name=name, **values)


def _check_values(where: str, values: dict[str, Any]) -> None:
    fields = attrs.fields_dict(Tenant)
    allowed = [field for field in fields if field != "name"]
    for key, value in values.items():
        if key not in allowed:
            raise CommandError(f"{where}: unknown name {key!r}; allowed are {', '.join(allowed)}")
        kind = bool if fields[key].type is bool else str
        if not isinstance(value, kind):
            raise CommandError(f"{where}: {key} must be {'true or false' if kind is bool else 'a string'}")
