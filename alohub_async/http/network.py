"""By which proxy the API is reached, and which certificates are trusted: as given, or as the environment says.

Only `https` goes through a proxy, as a tunnel: a proxy sees the name of the server, and never the key. No variable of a
frame here holds the URL of a proxy: it may have a password.
"""

import ipaddress
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from ssl import SSLContext
from typing import Any, Final, NamedTuple, cast
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from alohub_async.errors import ConfigurationError
from alohub_async.secret import Secret, hide
from alohub_async.validation import as_given, refuse

_ALLOWED: Final = "must be a URL of http:// or https:// with a host, and no more, like 'http://proxy.example:3128'"


class Network(NamedTuple):
    """How connections are made."""

    proxy: URL | None = None  # without credentials
    proxy_headers: Secret[Mapping[str, str]] | None = None  # what only the proxy gets
    ssl: SSLContext | None = None  # None for what Python trusts
    password: Secret[str] = Secret("")  # kept, so that errors do not show it


def network_of(server: URL, *, proxy: Secret[URL] | None, trust_env: bool, ssl: SSLContext | None) -> Network:
    """Decide how a server is reached; read the environment, if that is to be trusted."""
    if proxy is not None and server.scheme != "https":
        raise ConfigurationError(f"proxy is for https:// only: it would see the key in requests to {server.origin()}")
    if trust_env:
        ssl, proxy = ssl or _trusted_by_environment(), proxy or _proxy_of_environment(server)
    user, password = (None, None) if proxy is None else (proxy.revealed.user, proxy.revealed.password)
    headers, secret = None, Secret(password or "")
    if user or password:
        basic = b64encode(f"{user or ''}:{password or ''}".encode()).decode()
        headers = Secret[Mapping[str, str]]({"Proxy-Authorization": f"Basic {basic}"})
    return Network(None if proxy is None else proxy.revealed.with_user(None), headers, ssl, secret)


def read_proxy(value: Any, name: str = "proxy") -> Secret[URL] | None:
    """The URL of a proxy, with its credentials, as a secret; errors do not show it."""
    if value is None:
        return None
    try:
        url = Secret(URL(hide(value).revealed))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} {_ALLOWED}; {type(hide(value).revealed).__name__} was given") from None
    finally:
        del value
    bare = Secret(url.revealed.with_user(None) if url.revealed.host else URL())
    more = bare.revealed.with_path("/") != bare.revealed or ":" in (url.revealed.user or "")
    if bare.revealed.scheme not in {"http", "https"} or more:
        raise ConfigurationError(f"{name} {_ALLOWED}; the given value has another scheme, no host, or more")
    return url


def read_ssl(value: Any) -> SSLContext | None:
    """An SSL context, or one that trusts only the authorities of a PEM file."""
    if value is None or (isinstance(value, SSLContext) and value.protocol is not ssl.PROTOCOL_TLS_SERVER):
        return value
    if not value or not isinstance(value, str | os.PathLike):  # an empty path would mean what Python trusts
        allowed = "an SSLContext for clients, or the path of a PEM file"
        raise refuse("ssl", allowed, value, error=ConfigurationError)
    return _context("ssl", os.fspath(cast("str", value)), only=True)


def _context(name: str, file: str | None, *, only: bool) -> SSLContext:
    """A context that trusts the authorities of a file; unless they are the `only` ones, also those of Python."""
    try:
        context = ssl.create_default_context(cafile=file if only else None)
        if file and not only:
            context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        wanted = f"{name} must name a PEM file with certificates"
        raise ConfigurationError(f"{wanted}; {as_given(file)} is none ({type(error).__name__})") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trusted_by_environment() -> SSLContext | None:
    """What OpenSSL's variables name; aiohttp reads them when it is imported."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return _context("SSL_CERT_FILE", file, only=False) if file or folder else None


def _proxy_of_environment(server: URL) -> Secret[URL] | None:
    """The proxy of `HTTPS_PROXY` or `ALL_PROXY`, in either case, unless `NO_PROXY` has the server."""
    host, excluded = server.host or "", getproxies().get("no", "").split(",")
    named = proxy_bypass(host) or proxy_bypass(f"{host}:{server.port}") or any(_has(each, host) for each in excluded)
    for name in ("https", "all") if server.scheme == "https" and not named else ():
        if getproxies().get(name):
            with_scheme = "://" in getproxies()[name]
            return read_proxy(("" if with_scheme else "http://") + getproxies()[name], f"{name.upper()}_PROXY")
    return None


def _has(network: str, host: str) -> bool:
    """Whether an address is in a network, such as `10.0.0.0/8`."""
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(network.strip())
    return False
