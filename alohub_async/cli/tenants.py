"""The file that names several tenants: TOML, with the name of the environment variable that has each one's key.

format = "parquet"

[tenants.hanoi]
api_key_env = "HANOI_KEY"
tenant_id = "20260310"
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final, cast

import attrs

from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.client import AlohubClient
from alohub_async.config import Endpoint
from alohub_async.http.retries import RetryPolicy

_NAME: Final = re.compile(r"\w[\w.-]*")  # of a tenant: it becomes a folder's
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMATS: Final = ("jsonl", "csv", "parquet")


@attrs.frozen(kw_only=True)
class Tenant:
    """One tenant, and how to get at it; see the options of the same names."""

    name: str
    api_key_env: str
    tenant_id: str | None = None
    base_url: str | None = None
    env: str = "production"
    direct: bool = False
    allow_http: bool = False

    def client(self, retry: RetryPolicy) -> AlohubClient:
        """Make its client, with a rate limiter of its own.

        Raises:
            CommandError: Its key is not in the environment.
            ConfigurationError: Its base URL is none.
        """
        key = os.environ.get(self.api_key_env)
        if not key:
            raise CommandError(f"there is no API key: set {self.api_key_env}", ExitCode.DENIED)
        endpoint = Endpoint.production() if self.env == "production" else Endpoint.development()
        if self.base_url is not None:
            make = Endpoint.direct if self.direct else Endpoint
            endpoint = make(self.base_url, allow_http=self.allow_http)
        return AlohubClient(key, tenant_id=self.tenant_id, endpoint=endpoint, retry=retry)


@attrs.frozen
class Tenants:
    """What the file says.

    Attributes:
        each: The tenants.
        ending: Of their files.
    """

    each: tuple[Tenant, ...]
    ending: str


def read_tenants(path: Path) -> Tenants:
    """Read such a file.

    Raises:
        CommandError: It cannot be read, or says what is not understood; never shows a value, which may be a key.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise CommandError(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:  # its message tells the place, not the value
        raise CommandError(f"{path} is not TOML: {exc}") from exc
    tables: Any = said.pop("tenants", None)
    ending = said.pop("format", "parquet")
    if said:
        raise CommandError(f"{path}: unknown name {min(said)!r}; allowed are format and [tenants.NAME]")
    if ending not in _FORMATS:
        raise CommandError(f"{path}: format must be one of {', '.join(_FORMATS)}")
    if not isinstance(tables, dict) or not tables:
        raise CommandError(f"{path}: there is no tenant; write a table [tenants.NAME] for each")
    named = cast("dict[str, Any]", tables)
    return Tenants(tuple(_tenant(f"{path}: tenant {name!r}", name, table) for name, table in named.items()), ending)


def _tenant(where: str, name: str, table: object) -> Tenant:
    if not _NAME.fullmatch(name):
        raise CommandError(f"{where}: a name must be letters, digits, '_', '-' and '.', and begin with no dot")
    if not isinstance(table, dict):
        raise CommandError(f"{where}: must be a table, [tenants.NAME]")
    values = cast("dict[str, Any]", table)
    variable = values.get("api_key_env")
    if {"key", "api_key", "token"} & values.keys() or (isinstance(variable, str) and not _VARIABLE.fullmatch(variable)):
        raise CommandError(
            f"{where}: the key must not stand in this file; put it into an environment variable, and write the"
            ' variable\'s name: api_key_env = "…"'
        )
    _refuse_unknown(where, values)
    if variable is None:
        raise CommandError(f"{where}: api_key_env is missing, the name of the environment variable that has the key")
    if values.get("env", "production") not in {"production", "development"}:
        raise CommandError(f"{where}: env must be production or development")
    if "base_url" in values and "env" in values:
        raise CommandError(f"{where}: give either base_url or env, not both")
    if values.get("direct") and "base_url" not in values:
        raise CommandError(f"{where}: direct needs the backend's address, base_url")
    return Tenant(name=name, **values)


def _refuse_unknown(where: str, values: dict[str, Any]) -> None:
    fields = attrs.fields_dict(Tenant)
    allowed = [field for field in fields if field != "name"]
    for key, value in values.items():
        if key not in allowed:
            raise CommandError(f"{where}: unknown name {key!r}; allowed are {', '.join(allowed)}")
        kind = bool if fields[key].type is bool else str
        if not isinstance(value, kind):
            raise CommandError(f"{where}: {key} must be {'true or false' if kind is bool else 'a string'}")
