"""Requests as values: paths, queries, bodies and headers. Pure: no socket and no event loop."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import quote, unquote, urlencode

from multidict import CIMultiDict, istr
from yarl import URL

from alohub_async.config import Endpoint, check_key
from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.http.decompression import accept_encoding
from alohub_async.routes import Route
from alohub_async.secret import Secret
from alohub_async.validation import as_given, refuse

_TOO_LONG: Final = 10**1000  # Python may refuse to make text of longer numbers


class Request(NamedTuple):
    """One request, without its headers: these hold the key and are made for each attempt."""

    route: Route
    url: URL  # the whole one, encoded
    body: bytes | None = None
    reads: bool = False  # whatever its method: it may be repeated like a GET

    def __str__(self) -> str:
        return f"{self.route.method} {self.url.raw_path_qs}"


def check_path(path: object) -> str:
    """Return `path` if it can only be a path below the base URL; otherwise raise `InvalidArgumentError`."""
    if not isinstance(path, str):
        raise InvalidArgumentTypeError(f"path must be a string; {type(path).__name__} was given")
    # Servers differ in when they decode "%2e", "%2f" and "%5c", so dot segments are refused in every encoding.
    try:
        decoded = unquote(path, errors="strict").replace("\\", "/").split("/")
    except UnicodeDecodeError:  # libraries differ in how they treat escapes that are not UTF-8
        decoded = [".."]
    forbidden = {".", ".."}.intersection(decoded) or set("?#\\ ").intersection(path)
    if forbidden or not path.startswith("/") or "" in path.split("/")[1:] or not path.isprintable():
        raise InvalidArgumentError(
            "path must look like '/v1/queues/inbound': begin with '/', and contain no empty, '.' or '..' segment, no"
            " '?', '#', '\\' or space (query values go into params), and no escape that is not UTF-8;"
            f" {as_given(path)} was given"
        )
    return path


def _path(template: str, values: Mapping[str, object]) -> str:
    # yarl would let "../.." leave the path and "x/y" become two segments, so each value is fully quoted.
    return check_path(template.format_map({name: quote(str(value), safe="") for name, value in values.items()}))


def query_of(params: Mapping[str, Any]) -> str:
    """The query with these parameters, enums by their numbers."""
    for name, value in params.items():
        if not isinstance(cast("object", name), str):
            raise refuse("a name in params", "a string", name, wrong_type=True)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise refuse(f"params[{as_given(name)}]", "a string or an int", value, wrong_type=True)
        if isinstance(value, int) and abs(value) >= _TOO_LONG:
            raise refuse(f"params[{as_given(name)}]", "an int of fewer digits", value)
    return urlencode({name: value if isinstance(value, str) else int(value) for name, value in params.items()})


def build_request(
    route: Route,
    endpoint: Endpoint,
    *,
    path: str | None = None,
    path_values: Mapping[str, object] | None = None,
    params: Mapping[str, str | int] | None = None,
    json: object = None,
) -> Request:
    """Build the request for a route; raise `InvalidArgumentError` for what cannot be sent.

    `path` is the literal path; None fills `path_values` into the route's template. `json` is None without a body.
    """
    try:
        where = quote(path, safe="/%:@!$&'()*+,;=~") if path is not None else _path(route.template, path_values or {})
        query = f"?{query_of(params)}" if params else ""
    except UnicodeEncodeError as exc:  # a lone surrogate
        raise InvalidArgumentError(f"path and params must be text that UTF-8 can encode: {exc}") from exc
    url = URL(f"{str(endpoint.base_url).rstrip('/')}{where}{query}", encoded=True)
    return Request(route, url, None if json is None else encode_json(json))


def encode_json(value: object) -> bytes:
    """Encode a body as compact UTF-8 JSON; raise `InvalidArgumentError` if JSON cannot represent it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        given = type(value).__name__
        raise InvalidArgumentError(f"json must be a value that JSON can represent; {given} was given: {exc}") from exc


Headers: TypeAlias = Secret[Mapping[str, str]]
"""Of one attempt: all that aiohttp does not make itself."""


class HeaderCache(dict[tuple[Secret[str], bool], Headers]):
    """The headers of attempts, by the key and whether there is a body. They are made when first needed."""

    def __init__(self, endpoint: Endpoint, *, tenant_id: str | None, user_agent: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._tenant_id = tenant_id
        self._user_agent = user_agent

    def __missing__(self, wanted: tuple[Secret[str], bool]) -> Headers:
        key, has_body = wanted
        check_key(key)
        for old in [old for old in self if old[0] != key]:
            del self[old]  # the key has rotated
        endpoint = self._endpoint
        headers = {"Accept": "application/json", "User-Agent": self._user_agent, **accept_encoding()}
        for name in ("X-Api-Key", "Authorization"):
            if endpoint.key_header in {name.lower(), "both"}:
                headers[name] = key.revealed
        if self._tenant_id is not None and endpoint.send_tenant:
            headers["X-Tenant-ID"] = self._tenant_id
        if has_body:
            headers["Content-Type"] = "application/json"
        # As aiohttp wants them: it would make the same of a dict for each request.
        self[wanted] = secret = Headers(CIMultiDict({istr(name): value for name, value in headers.items()}))
        return secret
