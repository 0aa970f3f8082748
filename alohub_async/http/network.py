"""By which proxy the API is reached, and which certificates are trusted: as given, or as the environment says.

The environment is read once, when a client is made. Only `https` goes through a proxy, as a tunnel: a proxy sees the
name of the server, and never the key.
"""

import ipaddress
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from ssl import SSLContext
from typing import Any, Final, cast

import attrs
from yarl import URL

from alohub_async.errors import ConfigurationError
from alohub_async.secret import Secret, hide

_ALLOWED: Final = "a URL with http:// or https://, a host and no path, like 'http://proxy.example:3128'"


@attrs.frozen(kw_only=True)
class Network:
    """How connections are made.

    Attributes:
        proxy: The proxy, without credentials; None for none.
        proxy_headers: What only the proxy gets: its credentials.
        ssl: What is trusted; None for what Python trusts.
    """

    proxy: URL | None = None
    proxy_headers: Secret[Mapping[str, str]] | None = None
    ssl: SSLContext | None = None
    _credentials: tuple[Secret[str], ...] = attrs.field(default=(), alias="credentials")  # kept, to be struck out

    @classmethod
    def of(cls, server: URL, *, proxy: Secret[URL] | None, trust_env: bool, ssl: SSLContext | None) -> "Network":
        """Decide how a server is reached; raise `ConfigurationError` if it cannot be by what was given."""
        if proxy is not None and server.scheme != "https":
            raise ConfigurationError(
                f"proxy is for https:// only: it would see the key in requests to {server.origin()}"
            )
        if trust_env:
            ssl = ssl or _trusted_by_environment()
            proxy = proxy or _proxy_of_environment(server)
        if proxy is None:
            return cls(ssl=ssl)
        bare, user, password = proxy.revealed.with_user(None), proxy.revealed.user, proxy.revealed.password
        if user is None and password is None:
            return cls(proxy=bare, ssl=ssl)
        basic = Secret(b64encode(f"{user or ''}:{password or ''}".encode()).decode())
        headers = Secret[Mapping[str, str]]({"Proxy-Authorization": f"Basic {basic.revealed}"})
        return cls(proxy=bare, proxy_headers=headers, ssl=ssl, credentials=(basic, Secret(password or "")))


def read_proxy(value: Any, name: str = "proxy") -> Secret[URL] | None:
    """The URL of a proxy, with its credentials, as a secret; errors do not show it."""
    if value is None:
        return None
    try:
        url = Secret(URL(hide(value).revealed))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} must be {_ALLOWED}; the given value is not") from None
    finally:
        del value  # an error may show the variables of this frame
    if url.revealed.scheme not in {"http", "https"} or not url.revealed.host:
        raise ConfigurationError(f"{name} must be {_ALLOWED}; the given value has another scheme, or no host")
    if url.revealed.path not in {"", "/"} or url.revealed.query_string or url.revealed.fragment:
        raise ConfigurationError(f"{name} must be {_ALLOWED}; the given value has something behind its host and port")
    if ":" in (url.revealed.user or ""):
        raise ConfigurationError(f"the user in {name} must not contain ':'")
    return url


def read_ssl(value: Any) -> SSLContext | None:
    """An SSL context, or one that trusts only the authorities of a PEM file."""
    if value is None or (isinstance(value, SSLContext) and value.protocol is not ssl.PROTOCOL_TLS_SERVER):
        return value
    if not isinstance(value, str | os.PathLike):
        what = "one for servers" if isinstance(value, SSLContext) else type(value).__name__
        raise ConfigurationError(f"ssl must be an SSLContext for clients, or the path of a PEM file; {what} was given")
    return _context("ssl", os.fspath(cast("str", value)), only=True)


def _context(name: str, file: str | None, *, only: bool) -> SSLContext:
    """A context that trusts the authorities of a file; unless they are the `only` ones, also those of Python."""
    try:
        context = ssl.create_default_context(cafile=file if only else None)
        if file and not only:
            context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else "not that"
        raise ConfigurationError(f"{name} must name a PEM file with certificates; {file!r} is not: {why}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trusted_by_environment() -> SSLContext | None:
    """What OpenSSL's variables name; aiohttp reads them when it is imported."""
    file, folder = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    return _context("SSL_CERT_FILE", file, only=False) if file or folder else None


def _proxy_of_environment(server: URL) -> Secret[URL] | None:
    """The proxy of `HTTPS_PROXY` or `ALL_PROXY`, in either case, unless `NO_PROXY` has the server."""
    from urllib.request import getproxies, proxy_bypass

    host = server.host or ""
    if server.scheme != "https" or proxy_bypass(host) or proxy_bypass(f"{host}:{server.port}"):
        return None
    if not _in_networks(host, getproxies().get("no", "")):
        for name in ("https", "all"):  # no variable of this frame holds the URL: it may have a password
            if getproxies().get(name):
                return read_proxy(_with_scheme(getproxies()[name]), f"{name.upper()}_PROXY")
    return None


def _with_scheme(address: str) -> str:
    return address if "://" in address else f"http://{address}"


def _in_networks(host: str, excluded: str) -> bool:
    """Whether `NO_PROXY` has a network, such as `10.0.0.0/8`, with this address."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for each in excluded.split(","):
            with suppress(ValueError):
                if address in ipaddress.ip_network(each.strip()):
                    return True
    return False
