"""`Tenant`: a tenant's name and access to the API, and the TOML file that lists tenants without their keys."""

import os
import re
import tomllib
from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, TypeAlias, cast, get_args

import attrs

from alohub_async.config import ApiKey, Endpoint, Environment, KeyProvider, check_key, hidden
from alohub_async.errors import ConfigurationError
from alohub_async.files import reading
from alohub_async.secret import Secret
from alohub_async.validation import check_instance, check_iterable

_PATTERNS: Final = {
    "name": (
        r"(?!__HIVE_DEFAULT_PARTITION__$)\w([\w.-]*[\w-])?",  # it becomes part of a folder's name
        "a name must consist of letters, digits, '_', '-' and '.', and must not begin with '-' or '.', or end with '.'",
    ),
    "api_key_env": (r"[A-Za-z_][A-Za-z0-9_]*", "api_key_env must be the name of an environment variable, not the key"),
    "key_provider": (r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "key_provider must name a function: 'package.module:function'"),
}
FORMATS: Final = ("jsonl", "csv", "parquet")
_NOT_IN_FILE: Final = {"name", "api_key"}
_NO_KEY: Final = "this file must not contain the key; put it into an environment variable, and its name in api_key_env"


@attrs.frozen
class Tenant:
    """One tenant and its access to the API. It is checked when it is used.

    Attributes:
        name: Its name in results: letters, digits, `_`, `-` and `.`.
        api_key_env: The environment variable that holds the API key.
        key_provider: Or a function that returns the key of a tenant's name, plain or async, as `"package.module:name"`.
        api_key: Or the key itself, or a callable that returns it. It does not leave the process.
        tenant_id: Sent as `X-Tenant-ID` if given.
        base_url: The base URL of the API; without it and `env`, that of the pool.
        env: The vendor's gateway.
        direct: Whether the base URL is the backend itself; see `Endpoint.direct`.
        allow_http: Whether the base URL may begin with `http://`; see `Endpoint`.
    """

    name: str
    api_key_env: str | None = attrs.field(default=None, kw_only=True)
    key_provider: str | None = attrs.field(default=None, kw_only=True)
    api_key: Secret[str] | KeyProvider | None = attrs.field(
        default=None, kw_only=True, repr=False, eq=id, converter=attrs.converters.optional(hidden)
    )
    tenant_id: str | None = attrs.field(default=None, kw_only=True)
    base_url: str | None = attrs.field(default=None, kw_only=True)
    env: Environment | None = attrs.field(default=None, kw_only=True)
    direct: bool = attrs.field(default=False, kw_only=True)
    allow_http: bool = attrs.field(default=False, kw_only=True)

    def key(self) -> Secret[str] | KeyProvider:
        """The key, or what provides it; a `ConfigurationError` if there is none or a value cannot be used."""
        if problem := _problem(self):
            raise ConfigurationError(f"tenant {self.name!r:.60}: {problem}")
        if self.key_provider is not None:
            try:
                return partial(resolve_name(self.key_provider), self.name)
            except (ImportError, AttributeError, ValueError, TypeError) as exc:
                raise ConfigurationError(f"key_provider {self.key_provider!r} cannot be used: {exc}") from exc
        key = self.api_key
        if self.api_key_env is not None:
            key = Secret(os.environ.get(self.api_key_env, ""))
            if not key.revealed:
                raise ConfigurationError(f"tenant {self.name!r}: no API key: set {self.api_key_env}")
        return key if callable(key) else check_key(cast("Secret[str]", key))

    def endpoint(self, default: Endpoint) -> Endpoint:
        """Where its API is."""
        if self.base_url is not None:
            return (Endpoint.direct if self.direct else Endpoint)(self.base_url, allow_http=self.allow_http)
        return default if self.env is None else getattr(Endpoint, self.env)()


Tenants: TypeAlias = Mapping[str, Tenant | ApiKey | None] | Iterable[Tenant] | AsyncIterable[Tenant] | str | Path
"""Tenants: a mapping of names to keys or tenants, an iterable or async iterable, or the path of a tenants file."""


@attrs.frozen
class TenantsFile:
    """What a tenants file says.

    Attributes:
        tenants: The tenants, in the file's order.
        file_format: The format of exports: `jsonl`, `csv` or `parquet`.
    """

    tenants: tuple[Tenant, ...]
    file_format: str


def tenants_of(tenants: Tenants) -> Iterable[Tenant] | AsyncIterable[Tenant]:
    """The tenants, read only as needed."""
    if isinstance(tenants, str | Path):
        return read_tenants(tenants).tenants
    if isinstance(tenants, Mapping):
        by_name = cast("Mapping[str, Tenant | ApiKey | None]", tenants)
        return [
            attrs.evolve(value, name=name) if isinstance(value, Tenant) else Tenant(name, api_key=value)
            for name, value in by_name.items()
        ]
    check_iterable("tenants", tenants)
    return tenants


def read_tenants(path: str | Path) -> TenantsFile:
    """Read a TOML file of tenants: `format`, and a table `[tenants.NAME]` for each. No error shows a value.

    Raises:
        ConfigurationError: Its content is not allowed; a value is not shown, as it could be a key.
        FileError: It cannot be read.
    """
    path = Path(path)
    try:
        with reading(path) as file:
            content = tomllib.loads(file.read().decode("utf-8-sig"))  # Windows editors write the mark
    except ValueError as exc:  # its message has the position, not the value
        raise ConfigurationError(f"{path} is not TOML: {exc}") from exc
    tables: Any = content.pop("tenants", None)
    file_format = content.pop("format", "parquet")
    if content:
        raise ConfigurationError(f"{path}: unknown name {min(content)!r}; allowed are format and [tenants.NAME]")
    if file_format not in FORMATS:
        raise ConfigurationError(f"{path}: format must be one of {', '.join(FORMATS)}")
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{path}: no tenants; add a table [tenants.NAME] for each tenant")
    by_name = cast("dict[str, Any]", tables)
    return TenantsFile(tuple(_read_tenant(path, name, table) for name, table in by_name.items()), file_format)


def _read_tenant(path: Path, name: str, table: object) -> Tenant:
    where = f"{path}: tenant {name!r}"
    allowed = [field for field in attrs.fields_dict(Tenant) if field not in _NOT_IN_FILE]
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where}: the tenant must be a table, [tenants.NAME]")
    values = cast("dict[str, Any]", table)
    variable, (pattern, _) = values.get("api_key_env"), _PATTERNS["api_key_env"]
    if {"key", "api_key", "token"} & values.keys() or (
        isinstance(variable, str) and not re.fullmatch(pattern, variable)
    ):
        raise ConfigurationError(f"{where}: {_NO_KEY}")
    for key in values:
        if key not in allowed:
            raise ConfigurationError(f"{where}: unknown name {key!r}; allowed are {', '.join(allowed)}")
    tenant = Tenant(name, **values)
    if problem := _problem(tenant):
        raise ConfigurationError(f"{where}: {problem}")
    return tenant


def _problem(tenant: Tenant) -> str | None:
    """Why a tenant cannot be used, without any value, as it could be a key."""
    for field in attrs.fields(Tenant):
        value, kind = getattr(tenant, field.name), bool if field.type is bool else str
        if value is None or field.name == "api_key":
            continue
        if not isinstance(value, kind):
            return f"{field.name} must be {'true or false' if kind is bool else 'a string'}"
        pattern, problem = _PATTERNS.get(field.name, ("(?s:.*)", ""))
        if not re.fullmatch(pattern, str(value)):
            return problem
    keys = [name for name in ("api_key_env", "key_provider", "api_key") if getattr(tenant, name) is not None]
    environments, url = get_args(Environment), tenant.base_url
    problems = (
        (not keys, "api_key_env is missing: the name of the environment variable that holds the API key"),
        (len(keys) > 1, f"give one of {' and '.join(keys)}"),
        (tenant.env not in {None, *environments}, f"env must be {' or '.join(environments)}"),
        (url is not None and tenant.env is not None, "give either base_url or env, not both"),
        (tenant.direct and url is None, "direct needs base_url, the URL of the backend"),
    )
    return next((problem for wrong, problem in problems if wrong), None)


def check_tenant(tenant: object) -> Tenant:
    """Return a tenant."""
    return check_instance("each of tenants", tenant, Tenant)
