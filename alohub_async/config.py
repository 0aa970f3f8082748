"""The base URL of the API and how the key is sent: immutable values, validated on creation."""

import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

import attrs
from yarl import URL

from alohub_async.errors import ConfigurationError
from alohub_async.plurals import counted
from alohub_async.secret import Secret, hide, repr_of_fields
from alohub_async.validation import check_choice

KeyHeader: TypeAlias = Literal["x-api-key", "authorization", "both"]
"""Which header carries the key: `X-Api-Key`, `Authorization` (the bare key, no `Bearer`) or both."""

KeyProvider: TypeAlias = Callable[[], str | Secret[str] | Awaitable[str | Secret[str]]]
"""Returns the key."""

ApiKey: TypeAlias = str | Secret[str] | KeyProvider
"""The key, or a callable (plain or async) that returns it: called before every attempt, so keys can be rotated. A
`Secret` stays hidden in the frames of your own code, too."""

Environment: TypeAlias = Literal["production", "development"]
"""The vendor's gateways."""

_EXAMPLE: Final = "https://xapi.alohub.vn"
# The vendor's page, "Base URL"; its backend examples are {{host}}/api/v1/…
_GATEWAYS: Final[dict[Environment, str]] = {"production": _EXAMPLE, "development": "https://xapi-dev.alohub.vn"}
_BACKEND_PREFIX: Final = "/api"


def _base_url(value: Any) -> URL:
    try:
        url = URL(value)
    except (TypeError, ValueError):
        given = type(value).__name__  # not the value: it may hold a password
        raise ConfigurationError(f"base_url is not a URL ({given} given); pass one like {_EXAMPLE!r}") from None
    if url.user is not None or url.password is not None:
        raise ConfigurationError("base_url must not hold a user or a password; the key goes into api_key")
    if url.scheme not in {"http", "https"} or not url.host or not url.host.isprintable() or " " in url.host:
        # Without a scheme it may be anything, even the API key passed by mistake.
        shown = repr(str(value)) if "://" in str(value) else "another value"
        raise ConfigurationError(f"base_url must begin with https:// and a host, like {_EXAMPLE!r}; {shown} was given")
    if url.query_string or url.fragment:
        # Only the part up to the path is shown: the rest may hold a key.
        shown = str(url.with_query(None).with_fragment(None))
        raise ConfigurationError(f"base_url must end with its path, without '?' or '#'; remove what follows {shown!r}")
    return url.with_path(url.raw_path.rstrip("/") or "/", encoded=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@attrs.frozen
class Endpoint:
    """The base URL of the API and how the key is sent.

    `Endpoint.production()`, `Endpoint.development()` and `Endpoint.direct(url)` return the known endpoints.
    `Endpoint("https://proxy.example/alohub")` is any other base URL, used in the same way as the gateway.

    Attributes:
        base_url: The part before `/v1/…`. A string or a `yarl.URL`; no user, password, query or fragment.
        key_header: Which header carries the key.
        send_tenant: Whether `X-Tenant-ID` is sent when the client has a `tenant_id`.
        allow_http: Allow plain `http://` to a host that is not this machine. The key is then sent unencrypted.

    Raises:
        ConfigurationError: An invalid base URL, or `http://` without `allow_http`; an unknown `key_header`.
    """

    base_url: URL = attrs.field(converter=_base_url)
    key_header: KeyHeader = attrs.field(default="x-api-key", kw_only=True)
    send_tenant: bool = attrs.field(default=True, kw_only=True)
    allow_http: bool = attrs.field(default=False, kw_only=True)

    __repr__ = repr_of_fields

    def __attrs_post_init__(self) -> None:
        check_choice("key_header", self.key_header, get_args(KeyHeader), error=ConfigurationError)
        host = self.base_url.host or ""
        if self.base_url.scheme == "http" and not self.allow_http and not _is_loopback(host):
            advice = "use https://, or Endpoint(…, allow_http=True) if that is intended"
            raise ConfigurationError(f"http://{host} would send the key unencrypted; {advice}")

    @classmethod
    def production(cls) -> "Endpoint":
        """The production gateway: `X-Api-Key`, and `X-Tenant-ID` if the client has a tenant id."""
        return cls(_GATEWAYS["production"])

    @classmethod
    def development(cls) -> "Endpoint":
        """The development gateway: like production, with another host."""
        return cls(_GATEWAYS["development"])

    @classmethod
    def direct(cls, url: str | URL, *, allow_http: bool = False) -> "Endpoint":
        """The backend without the gateway: path prefix `/api`, the bare key in `Authorization`, no tenant header.

        The backend determines the tenant from the key (the vendor's page: omit `X-Tenant-ID`). To send the header
        anyway, use `attrs.evolve(Endpoint.direct(url), send_tenant=True)`. The URL has a scheme and a host, with or
        without the prefix `/api`; what it must not have, and `allow_http`, are as for the class.
        """
        base = _base_url(url)
        if not base.path.endswith(_BACKEND_PREFIX):
            base = base.with_path(base.raw_path.rstrip("/") + _BACKEND_PREFIX, encoded=True)
        return cls(base, key_header="authorization", send_tenant=False, allow_http=allow_http)


def check_header_value(name: str, value: object) -> str:
    """Return `value` if it is valid in a header. Errors do not show it."""
    if problem := _unfit_for_header(value):
        raise ConfigurationError(f"{name} {problem}")
    return cast("str", value)


def hidden(key: ApiKey) -> Secret[str] | KeyProvider:
    """Return the key as a secret, or the callable that provides it."""
    return key if callable(key) else hide(key)


def check_key(key: Secret[str]) -> Secret[str]:
    """Return the key if it is valid in a header; no frame shows it."""
    if problem := _unfit_for_header(key.revealed):
        raise ConfigurationError(f"api_key {problem}")
    return key


def _unfit_for_header(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a string; {type(value).__name__} was given"
    if not value or value != value.strip() or not value.isascii() or not value.isprintable():
        length = counted(len(value), "character")
        return f"must be printable ASCII without surrounding spaces; the given value ({length}) is not"
    return None


class EnvironmentSettings(NamedTuple):
    """The values of the environment variables; None for a variable that is missing or empty."""

    api_key: Secret[str] | None
    tenant_id: str | None
    endpoint: Endpoint | None


def read_environment(environ: Mapping[str, str] | None = None, *, with_endpoint: bool = True) -> EnvironmentSettings:
    """Read `ALOHUB_API_KEY`, `ALOHUB_TENANT_ID`, and `with_endpoint` also `ALOHUB_BASE_URL` and `ALOHUB_ENV`.

    An empty value counts as missing. `environ` is `os.environ` if None.
    """
    environ = os.environ if environ is None else environ
    key = Secret(environ.get("ALOHUB_API_KEY", ""))
    names = ("ALOHUB_TENANT_ID", "ALOHUB_ENV", "ALOHUB_BASE_URL")
    tenant_id, environment, base_url = (environ.get(name) or None for name in names)
    del environ  # it holds the key, and an error may show the variables of this frame
    endpoint = _endpoint(environment, base_url) if with_endpoint else None
    return EnvironmentSettings(key if key.revealed else None, tenant_id, endpoint)


def _endpoint(environment: str | None, base_url: str | None) -> Endpoint | None:
    if environment is not None and environment not in _GATEWAYS:
        raise ConfigurationError(f"ALOHUB_ENV must be one of {tuple(_GATEWAYS)}; {environment!r} was given")
    base_url = base_url or (environment and _GATEWAYS[environment])
    return Endpoint(base_url) if base_url else None
