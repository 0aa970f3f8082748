"""Requests as values: paths, queries, bodies and headers. Pure: no socket and no event loop."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from yarl import URL

from alohub_async.config import Endpoint, check_header_value
from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.routes import Route


class Request(NamedTuple):
    """One request, without its headers: these hold the key and are made for each attempt.

    Attributes:
        route: Its rate-limit budget.
        url: The whole URL, encoded.
        body: JSON, or None.
    """

    route: Route
    url: URL
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.route.method} {self.url.raw_path_qs}"


def check_path(path: object) -> str:
    """Return `path` if it can be nothing but a path below the base URL.

    Raises:
        InvalidArgumentError: It is not.
    """
    if not isinstance(path, str):
        raise InvalidArgumentTypeError(f"path must be a string; {type(path).__name__} was given")
    # Servers differ in when they decode "%2e", "%2f" and "%5c", so dot segments are refused however they are written.
    try:
        decoded = unquote(path, errors="strict").replace("\\", "/").split("/")
    except UnicodeDecodeError:  # it has no text, and libraries differ in what they make of it
        decoded = []
    if (
        not decoded
        or not path.startswith("/")
        or "" in path.split("/")[1:]
        or {".", ".."} & set(decoded)
        or not path.isprintable()
        or set("?#\\ ") & set(path)
    ):
        raise InvalidArgumentError(
            "path must look like '/v1/queues/inbound': begin with '/', and hold no empty, '.' or '..' segment, no '?',"
            f" '#', '\\' or space (query values go into params), and no escape that is not UTF-8; {path!r} was given"
        )
    return path


def _path(template: str, values: Mapping[str, object]) -> str:
    # yarl would let "../.." escape and "x/y" become two segments, so each value is quoted whole.
    segments = template.format_map({name: quote(str(value), safe="") for name, value in values.items()})
    check_path(segments)
    return segments


def _query(params: Mapping[str, Any]) -> str:
    for name, value in params.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InvalidArgumentTypeError(f"params[{name!r}] must be a string or an int; {value!r} was given")
    return urlencode(params)


def build_request(
    route: Route,
    endpoint: Endpoint,
    *,
    path: str | None = None,
    path_values: Mapping[str, object] | None = None,
    params: Mapping[str, str | int] | None = None,
    json: object = None,
) -> Request:
    """Make the request for a route.

    Args:
        route: Which endpoint.
        endpoint: Where the API is.
        path: The literal path, if the route does not name it already.
        path_values: What to put into the route's template; quoted whole.
        params: The query.
        json: The body, if not None.

    Raises:
        InvalidArgumentError: A path that could leave the base URL, a query value that is neither string nor int, or a
            body that JSON cannot say.
    """
    try:
        where = quote(path, safe="/%:@!$&'()*+,;=~") if path is not None else _path(route.template, path_values or {})
        query = f"?{_query(params)}" if params else ""
    except UnicodeEncodeError as exc:  # a lone surrogate
        raise InvalidArgumentError(f"path and params must be text that UTF-8 can say: {exc}") from exc
    url = URL(f"{str(endpoint.base_url).rstrip('/')}{where}{query}", encoded=True)
    return Request(route, url, None if json is None else encode_json(json))


def encode_json(value: object) -> bytes:
    """Encode a body as compact UTF-8 JSON.

    Raises:
        InvalidArgumentError: JSON cannot express it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidArgumentError(f"json must be what JSON can say; {type(value).__name__} was given: {exc}") from exc


class HeaderCache(dict[tuple[str, bool], Mapping[str, str]]):
    """The headers of attempts, by the key and whether there is a body. They are made when first needed.

    headers = cache[key, request.body is not None]
    """

    def __init__(self, endpoint: Endpoint, *, tenant_id: str | None, user_agent: str) -> None:
        """Make no headers yet.

        Args:
            endpoint: Which headers carry the key, and whether the tenant is sent.
            tenant_id: For `X-Tenant-ID`; None leaves it out.
            user_agent: For `User-Agent`.
        """
        super().__init__()
        self._endpoint = endpoint
        self._tenant_id = tenant_id
        self._user_agent = user_agent

    def __missing__(self, wanted: tuple[str, bool]) -> Mapping[str, str]:
        key, has_body = wanted
        check_header_value("api_key", key)
        for old in [old for old in self if old[0] != key]:
            del self[old]  # the key has rotated
        endpoint = self._endpoint
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        if endpoint.key_header in {"x-api-key", "both"}:
            headers["X-Api-Key"] = key
        if endpoint.key_header in {"authorization", "both"}:
            headers["Authorization"] = key
        if self._tenant_id is not None and endpoint.send_tenant:
            headers["X-Tenant-ID"] = self._tenant_id
        if has_body:
            headers["Content-Type"] = "application/json"
        self[wanted] = headers
        return headers
