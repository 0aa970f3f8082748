"""Requests as values: paths, queries, bodies and headers. Pure: no socket and no event loop."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

from yarl import URL

from alohub_async.config import ClientConfig, Endpoint, check_header_value
from alohub_async.errors import InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.routes import Route


class Request:
    """One request, without its headers: those hold the key and are made for each attempt.

    Attributes:
        route: The limiter's key.
        url: The whole URL, encoded.
        body: JSON, or None.
    """

    __slots__ = ("body", "route", "url")

    def __init__(self, route: Route, url: URL, body: bytes | None = None) -> None:
        self.route: Route = route
        self.url: URL = url
        self.body: bytes | None = body

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
    return Request(route, url, None if json is None else _encode(json))


class PageRequests:
    """Asks for the pages of a list by number and size."""

    def __init__(self, first: Request) -> None:
        """Make no request yet.

        Args:
            first: Without either; its query stays.
        """
        self._route = first.route
        self._url = first.url
        self._bare = not first.url.raw_query_string
        self._asked = (0, 0)
        self._next: Request | None = None

    def __call__(self, page: int, size: int) -> Request:
        """The request for this page."""
        prepared, (last, last_size) = self._next, self._asked
        self._asked, self._next = (page, size), None
        if prepared is not None and page == last + 1 and size == last_size:
            return prepared
        return self._make(page, size)

    def prepare(self) -> None:
        """Make the request for the page behind the one that was asked for last, as there is time."""
        if self._next is None:
            page, size = self._asked
            self._next = self._make(page + 1, size)

    def _make(self, page: int, size: int) -> Request:
        query = f"page={page}&size={size}"
        # A query of its own may hold what yarl would write otherwise.
        return Request(
            self._route, self._url.with_query(query) if self._bare else URL(f"{self._url}&{query}", encoded=True)
        )


def _encode(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidArgumentError(f"json must be what JSON can say; {type(value).__name__} was given: {exc}") from exc


def request_headers(request: Request, config: ClientConfig, key: str) -> dict[str, str]:
    """The headers of one attempt.

    Raises:
        ConfigurationError: A key that cannot stand in a header.
    """
    check_header_value("api_key", key)
    endpoint = config.endpoint
    headers = {"Accept": "application/json", "User-Agent": config.user_agent}
    if endpoint.key_header in {"x-api-key", "both"}:
        headers["X-Api-Key"] = key
    if endpoint.key_header in {"authorization", "both"}:
        headers["Authorization"] = key
    if config.tenant_id is not None and endpoint.send_tenant:
        headers["X-Tenant-ID"] = config.tenant_id
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


class HeaderMaker:
    """Makes the headers of attempts, as `request_headers` does; anew only when the key has changed."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._key: str | None = None
        self._made: dict[bool, Mapping[str, str]] = {}  # by whether there is a body

    def headers(self, request: Request, key: str) -> Mapping[str, str]:
        """The headers of one attempt.

        Raises:
            ConfigurationError: A key that cannot stand in a header.
        """
        has_body = request.body is not None
        if key != self._key or has_body not in self._made:
            made = request_headers(request, self._config, key)
            self._made = {**(self._made if key == self._key else {}), has_body: made}
            self._key = key
        return self._made[has_body]
