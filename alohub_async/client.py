"""`AlohubClient`: connects the parts, and owns what it makes."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Self, TypeVar, Unpack, cast, overload

import attrs

from alohub_async.config import ApiKey, Endpoint, check_key, hidden, read_environment
from alohub_async.emitter import Emitter
from alohub_async.errors import ClientClosedError, ConfigurationError
from alohub_async.http.network import network_of, read_proxy
from alohub_async.http.requestor import Requestor
from alohub_async.http.requests import HeaderCache, build_request, check_path
from alohub_async.http.responses import ApiResponse
from alohub_async.http.retries import RetryQuota
from alohub_async.http.transport import Transport
from alohub_async.models import Record, RecordUpdate
from alohub_async.options import (
    CallOptions,
    CallOptionsDict,
    ClientOptions,
    ClientOptionsDict,
    CopyOptionsDict,
    ListingOptions,
    ListingOptionsDict,
    PagerOptionsDict,
)
from alohub_async.pagination import Pager
from alohub_async.rate_limits.limiter import RateLimiter
from alohub_async.rate_limits.status import RateLimitStatus, ScopeStatus
from alohub_async.resources.inbound_queues import INBOUND_QUEUES, Queues
from alohub_async.resources.paging import Listing, make_pager
from alohub_async.resources.records import page_of_models
from alohub_async.resources.resource import Resource, ResourceSpec
from alohub_async.routes import Route
from alohub_async.validation import check_names, refuse

ModelT = TypeVar("ModelT")
RecordT = TypeVar("RecordT", bound=Record)
UpdateT = TypeVar("UpdateT", bound=RecordUpdate)

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class AlohubClient:
    """An async client of the Alohub API for one tenant.

        async with AlohubClient("sk_live_…", tenant_id="20260310") as client:
            async for queue in client.queues.list_inbound():
                print(queue.id, queue.name)

    Make one client and share it between tasks: it keeps connections open, and the tenant's rate limit for all of them.

    Attributes:
        queues: The inbound queues.
    """

    queues: Queues
    _bound: RateLimiter | None = None  # until it is closed; a copy binds none

    def __init__(self, api_key: ApiKey, **options: Unpack[ClientOptionsDict]) -> None:
        """Make a client. Nothing is sent or opened yet.

        Args:
            api_key: The key, such as `sk_live_…`; or a callable (plain or async) for it, called before each attempt.
            options: See `ClientOptions`.

        Raises:
            ConfigurationError: A value that the client cannot work with. The error never shows the key.
            InvalidArgumentError: An option of calls that is out of range, or an unknown name.
        """
        key = hidden(api_key)
        del api_key  # an error may show the variables of this frame
        options["proxy"] = read_proxy(options.pop("proxy", None))  # its URL may have a password
        if not callable(key):
            check_key(key)
        chosen = ClientOptions.of(options, "api_key")
        events = Emitter(chosen.on_event, name=chosen.tenant_name or "", tenant_id=chosen.tenant_id)
        server = chosen.endpoint.base_url
        network = network_of(server, proxy=chosen.proxy, trust_env=chosen.trust_env, ssl=chosen.ssl)
        self._setup(
            Requestor(
                api_key=key,
                options=chosen,
                transport=Transport(session=chosen.session, max_connections=chosen.max_connections, network=network),
                limiter=chosen.rate_limiter,
                quota=RetryQuota(),
                headers=HeaderCache(chosen.endpoint, tenant_id=chosen.tenant_id, user_agent=chosen.user_agent),
                events=events,
            )
        )
        chosen.rate_limiter.bind(str(chosen.endpoint.base_url), chosen.tenant_id, None if callable(key) else key)
        self._bound = chosen.rate_limiter
        chosen.rate_limiter.emitters.add(events)

    def _setup(self, requestor: Requestor) -> None:
        self._requestor = requestor
        self.queues = Queues(self.resource(INBOUND_QUEUES))

    def resource(self, spec: ResourceSpec[RecordT, UpdateT]) -> Resource[RecordT, UpdateT]:
        """The calls of a resource that is declared by a `ResourceSpec`."""
        return Resource(spec, self._requestor)

    @classmethod
    def from_env(cls, api_key: ApiKey | None = None, **options: Unpack[ClientOptionsDict]) -> Self:
        """Make a client from environment variables; an argument wins over its variable.

        The variables are `ALOHUB_API_KEY`, `ALOHUB_TENANT_ID`, `ALOHUB_BASE_URL` (any base URL), and `ALOHUB_ENV`
        (`production` or `development`, used if there is no base URL).

        Raises:
            ConfigurationError: No key anywhere, or a value that the client cannot work with.
        """
        key = None if api_key is None else hidden(api_key)
        del api_key  # as in `__init__`
        options["proxy"] = read_proxy(options.pop("proxy", None))  # its URL may have a password
        env = read_environment(with_endpoint=options.get("endpoint") is None)
        if key is None and (key := env.api_key) is None:
            raise ConfigurationError("there is no API key: set ALOHUB_API_KEY, or pass api_key")
        if options.get("tenant_id") is None:
            options["tenant_id"] = env.tenant_id
        if options.get("endpoint") is None:
            options["endpoint"] = env.endpoint
        return cls(key, **options)

    def with_options(self, **options: Unpack[CopyOptionsDict]) -> Self:
        """A cheap copy with other options; what is not given stays. Connections, rate limit and retry quota are shared.

        The copy has nothing to close; closing this client closes the copy too. See `ClientOptions` for the options.

        Raises:
            ConfigurationError, InvalidArgumentError: As for the class.
        """
        check_names(options, CopyOptionsDict.__optional_keys__)
        mine = self._requestor
        copy = object.__new__(type(self))
        copy._setup(attrs.evolve(mine, options=attrs.evolve(mine.options, **options), transport=mine.transport.lend()))
        return copy

    @property
    def rate_limits(self) -> RateLimitStatus:
        """Where the tenant's and each route's budget stand, as far as this client knows."""
        return self._requestor.limiter.status()

    @property
    def endpoint(self) -> Endpoint:
        """Where the API is."""
        return self._requestor.options.endpoint

    @property
    def tenant_rate_limit(self) -> ScopeStatus:
        """The tenant's part of `rate_limits`, which costs a third of it."""
        return self._requestor.limiter.tenant_status()

    @property
    def tenant_id(self) -> str | None:
        """The tenant, as given; None leaves it to the key."""
        return self._requestor.options.tenant_id

    async def fingerprint(self, salt: bytes) -> str:
        """A string that identifies the key without revealing it, to tell two clients apart.

        With another salt, 16 random bytes at most, the same key gives another string.
        """
        return hashlib.blake2b((await self._requestor.key()).revealed.encode(), digest_size=16, salt=salt).hexdigest()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        **options: Unpack[CallOptionsDict],
    ) -> ApiResponse:
        """Call an endpoint that the SDK does not list, with the same rate limit, retries and errors.

        `POST` and `PATCH` are repeated only if the server surely did not act: no connection, or status 408, 425 or 429.

        Args:
            method: The HTTP method.
            path: The path as the vendor's page writes it, from `/v1` on; a prefix such as `/api` is the endpoint's.
            params: The query.
            json: The body, if not None.
            options: See `CallOptions`.

        Raises:
            InvalidArgumentError: Not a method, a path that could leave the base URL, a body that JSON cannot express, …
            AlohubError: As for every call.
        """
        if not isinstance(cast("object", method), str) or method.upper() not in _METHODS:
            raise refuse("method", f"one of {sorted(_METHODS)}", method)
        route = Route.of(method, check_path(path))
        chosen = CallOptions.of(options, "method", "path", "params", "json")
        request = build_request(route, self.endpoint, path=path, params=params, json=json)
        return await self._requestor.request(request, chosen)

    @overload
    def paginate(self, path: str, *, model: type[ModelT], **options: Unpack[PagerOptionsDict]) -> Pager[ModelT]: ...

    @overload
    def paginate(
        self, path: str, *, model: None = None, **options: Unpack[PagerOptionsDict]
    ) -> Pager[dict[str, Any]]: ...

    def paginate(self, path: str, *, model: type[Any] | None = None, **options: Unpack[PagerOptionsDict]) -> Pager[Any]:
        """Walk another list, answered with `data` and `totalRecord`; by default a `GET` with `page` from 0 and `size`.

        Args:
            path: As for `request`.
            model: An attrs class for the records; `metadata={"wire": name}` on a field gives its name on the wire, and
                a class with a field `extra` is treated like `InboundQueue`. None for plain dicts.
            options: See `ListingOptions` for the request, and `WalkOptions`.

        Raises:
            InvalidArgumentError: As for `request` and `list_inbound`; or a model of which no record can be made.
        """
        given: dict[str, Any] = {**options}
        names = ListingOptionsDict.__optional_keys__
        asked = ListingOptions(**{name: given.pop(name) for name in names & given.keys()})
        route = Route.of(asked.method, check_path(path))
        page_of = page_of_models(model, strict=self._requestor.options.strict)
        source = Listing[Any](route, page_of, path=path, asked=asked, key=asked.key)
        return make_pager(self._requestor, source, given, "path", "model", *names)

    async def aclose(self) -> None:
        """Close the connections that this client made; calling it again is harmless. A given session stays open.

        Closing a copy made by `with_options` closes only the copy: the connections belong to the original client.
        """
        bound, self._bound = self._bound, None
        try:
            await self._requestor.transport.aclose()
        finally:
            if bound is not None:
                await bound.release()

    async def __aenter__(self) -> Self:
        if self._requestor.transport.closed:
            raise ClientClosedError("this client is closed; make a new AlohubClient")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_requestor"):  # `__init__` failed, and a traceback shows this object
            return "<AlohubClient>"
        return f"<AlohubClient {self.endpoint.base_url} tenant_id={self.tenant_id!r}>"
