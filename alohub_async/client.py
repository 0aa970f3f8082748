"""`AlohubClient`: wires the rooms together, and owns what it made."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar, get_origin, overload

import attrs

from alohub_async.codec.converter import converter_for
from alohub_async.config import ApiKey, ClientConfig, Endpoint, read_environment
from alohub_async.errors import (
    APIResponseError,
    ClientClosedError,
    ConfigurationError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
)
from alohub_async.http.requestor import Requestor
from alohub_async.http.requests import build_request, check_path
from alohub_async.http.responses import ApiResponse
from alohub_async.http.retries import RetryPolicy, RetryQuota
from alohub_async.http.timeouts import Timeouts
from alohub_async.http.transport import USER_AGENT, Session, Transport
from alohub_async.options import CallOptions, check_deadline, check_priority
from alohub_async.pagination import Consistency, Pager
from alohub_async.rate_limits import RateLimiter, RateLimitStatus
from alohub_async.rate_limits.priorities import Priority
from alohub_async.resources.inbound_queues import Queues
from alohub_async.resources.paging import DEFAULT_MAX_PASSES, DEFAULT_PREFETCH, WalkOptions, make_pager
from alohub_async.routes import Route

ModelT = TypeVar("ModelT")

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class AlohubClient:
    """An async client of the Alohub API for one tenant.

        async with AlohubClient("sk_live_…", tenant_id="20260310") as client:
            async for queue in client.queues.list_inbound():
                print(queue.id, queue.name)

    Make one client and share it between tasks: it keeps connections open, and keeps the tenant's rate limit for all of
    them.

    Attributes:
        queues: The inbound queues.
    """

    queues: Queues

    def __init__(
        self,
        api_key: ApiKey,
        *,
        tenant_id: str | None = None,
        endpoint: Endpoint | str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        deadline: float | None = None,
        priority: Priority = "normal",
        rate_limiter: RateLimiter | None = None,
        session: Session | None = None,
        max_connections: int = 100,
        user_agent: str | None = None,
        strict: bool = False,
    ) -> None:
        """Make a client. Nothing is sent or opened yet.

        Args:
            api_key: The key, such as `sk_live_…`; or a callable (plain or async) that returns it, asked before each
                attempt.
            tenant_id: Sent as `X-Tenant-ID` if given; the gateway can add it by itself. `Endpoint.direct` leaves it
                out.
            endpoint: Where the API is; a string stands for `Endpoint(string)`. Default: `Endpoint.production()`.
            timeouts: Seconds for each attempt.
            retry: When a failed attempt is repeated.
            deadline: Seconds for each call in all (for each page of a walk), waits included; None for no end.
            priority: Of all calls that do not say otherwise: who goes first where requests wait for the rate limit.
            rate_limiter: Share one between all clients of a tenant in this process; by default each client has its own.
            session: An `aiohttp.ClientSession` to use, with its proxies and certificates; it is never closed here. By
                default the client makes its own.
            max_connections: Most requests under way at once, 1 or more.
            user_agent: Sent as `User-Agent`; by default the SDK's own.
            strict: Raise `APIResponseError` when a value does not fit its documented type, instead of keeping it in
                `extra`.

        Raises:
            ConfigurationError: An argument the client cannot work with. It never shows the key.
            InvalidArgumentError: A deadline that is no number of seconds above 0, or an unknown priority.
        """
        config = ClientConfig(
            api_key=api_key,
            tenant_id=tenant_id,
            endpoint=_endpoint(endpoint),
            user_agent=USER_AGENT if user_agent is None else user_agent,
        )
        self._setup(
            Requestor(
                config=config,
                timeouts=_instance("timeouts", timeouts, Timeouts),
                retry=_instance("retry", retry, RetryPolicy),
                deadline=check_deadline(deadline),
                priority=check_priority(priority) or "normal",
                transport=Transport(session=session, max_connections=max_connections),
                limiter=_instance("rate_limiter", rate_limiter, RateLimiter),
                quota=RetryQuota(),
            ),
            strict=strict,
        )

    def _setup(self, requestor: Requestor, *, strict: bool) -> None:
        self._requestor = requestor
        self._strict = strict
        self.queues = Queues(requestor, strict)

    @classmethod
    def from_env(
        cls,
        api_key: ApiKey | None = None,
        *,
        tenant_id: str | None = None,
        endpoint: Endpoint | str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        deadline: float | None = None,
        priority: Priority = "normal",
        rate_limiter: RateLimiter | None = None,
        session: Session | None = None,
        max_connections: int = 100,
        user_agent: str | None = None,
        strict: bool = False,
    ) -> Self:
        """Make a client from the environment; an argument wins over its variable.

        Read are `ALOHUB_API_KEY`, `ALOHUB_TENANT_ID`, `ALOHUB_BASE_URL` (any base URL), and `ALOHUB_ENV` (`production`
        or `development`, used if there is no base URL). The arguments are those of the class.

        Raises:
            ConfigurationError: No key anywhere, or a value the client cannot work with.
        """
        env = read_environment(with_endpoint=endpoint is None)
        key = api_key if api_key is not None else env.api_key
        if key is None:
            raise ConfigurationError("there is no API key: set ALOHUB_API_KEY, or pass api_key")
        return cls(
            key,
            tenant_id=tenant_id if tenant_id is not None else env.tenant_id,
            endpoint=endpoint if endpoint is not None else env.endpoint,
            timeouts=timeouts,
            retry=retry,
            deadline=deadline,
            priority=priority,
            rate_limiter=rate_limiter,
            session=session,
            max_connections=max_connections,
            user_agent=user_agent,
            strict=strict,
        )

    def with_options(
        self,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        deadline: float | None = None,
        priority: Priority | None = None,
        strict: bool | None = None,
    ) -> "AlohubClient":
        """A cheap copy with other options; what is not given stays. Connections, rate limit and retry quota are shared.

        The copy has nothing to close; closing this client closes the copy too.

        Args:
            timeouts: Seconds for each attempt.
            retry: When a failed attempt is repeated.
            deadline: Seconds for each call in all, waits included.
            priority: Who goes first where requests wait for the rate limit.
            strict: Whether a value that does not fit raises.

        Raises:
            ConfigurationError: An option of a wrong type.
            InvalidArgumentError: A deadline that is no number of seconds above 0, or an unknown priority.
        """
        mine = self._requestor
        requestor = attrs.evolve(
            mine,
            timeouts=mine.timeouts if timeouts is None else _instance("timeouts", timeouts, Timeouts),
            retry=mine.retry if retry is None else _instance("retry", retry, RetryPolicy),
            deadline=mine.deadline if deadline is None else check_deadline(deadline),
            priority=check_priority(priority) or mine.priority,
            transport=mine.transport.lend(),
        )
        copy = object.__new__(type(self))
        copy._setup(requestor, strict=self._strict if strict is None else strict)
        return copy

    @property
    def rate_limits(self) -> RateLimitStatus:
        """Where the tenant's and each route's budget stand, as far as this client knows."""
        return self._requestor.limiter.status()

    @property
    def endpoint(self) -> Endpoint:
        """Where the API is."""
        return self._requestor.config.endpoint

    @property
    def tenant_id(self) -> str | None:
        """The tenant, as given; None leaves it to the key."""
        return self._requestor.config.tenant_id

    async def fingerprint(self, salt: bytes) -> str:
        """A string that stands for the key, by which two clients can be told apart; the key cannot be had from it.

        Args:
            salt: 16 random bytes at most; the same key gives another string with another salt.
        """
        return hashlib.blake2b((await self._requestor.key()).encode(), digest_size=16, salt=salt).hexdigest()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
    ) -> ApiResponse:
        """Call an endpoint the SDK does not list, with the same rate limit, retries and errors.

        `POST` and `PATCH` are repeated only if the server surely did not act: no connection was made, or it said 429.

        Args:
            method: The HTTP method.
            path: The path as the vendor's page writes it, from `/v1` on; a prefix such as `/api` is the endpoint's.
            params: The query.
            json: The body, if not None.
            deadline: Seconds for the call in all, waits included; None for the client's.
            max_wait: Most seconds to wait for the rate limit; beyond it `RateLimitWaitError` at once.
            priority: Who goes first where requests wait for the rate limit; None for the client's.

        Raises:
            InvalidArgumentError: Not a method, a path that could leave the base URL, a body JSON cannot say, …
            AlohubError: As for every call.
        """
        route = Route.of(_checked_method(method), check_path(path))
        options = CallOptions(deadline=deadline, max_wait=max_wait, priority=priority)
        request = build_request(route, self._requestor.config.endpoint, path=path, params=params, json=json)
        return await self._requestor.send(request, options)

    @overload
    def paginate(
        self,
        path: str,
        *,
        model: type[ModelT],
        params: Mapping[str, str | int] | None = None,
        page_size: int | None = None,
        token: str | None = None,
        prefetch: int = DEFAULT_PREFETCH,
        ordered: bool = True,
        consistency: Consistency = "detect",
        max_passes: int = DEFAULT_MAX_PASSES,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
        key: str | None = None,
    ) -> Pager[ModelT]: ...

    @overload
    def paginate(
        self,
        path: str,
        *,
        model: None = None,
        params: Mapping[str, str | int] | None = None,
        page_size: int | None = None,
        token: str | None = None,
        prefetch: int = DEFAULT_PREFETCH,
        ordered: bool = True,
        consistency: Consistency = "detect",
        max_passes: int = DEFAULT_MAX_PASSES,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
        key: str | None = None,
    ) -> Pager[dict[str, Any]]: ...

    def paginate(
        self,
        path: str,
        *,
        model: type[Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        page_size: int | None = None,
        token: str | None = None,
        prefetch: int = DEFAULT_PREFETCH,
        ordered: bool = True,
        consistency: Consistency = "detect",
        max_passes: int = DEFAULT_MAX_PASSES,
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: Priority | None = None,
        key: str | None = None,
    ) -> Pager[Any]:
        """Walk a list the SDK does not list: a `GET` with `page` and `size`, answered with `data` and `totalRecord`.

        Args:
            path: As for `request`.
            model: An attrs class for the records; `metadata={"wire": name}` on a field gives its name on the wire, and
                a class with a field `extra` is treated like `InboundQueue`. None for plain dicts.
            params: The query, apart from `page` and `size`.
            page_size: Records a page, 100 if not given.
            token: Go on where `pager.token` or `error.resume_token` stood.
            prefetch: As for `list_inbound`.
            ordered: As for `list_inbound`.
            consistency: As for `list_inbound`; without `key`, a record that comes again is not noticed.
            max_passes: As for `list_inbound`.
            deadline: Seconds for the whole walk.
            max_wait: Most seconds each page may wait for the rate limit; beyond it `RateLimitWaitError` at once.
            priority: Who goes first where requests wait for the rate limit; None for the client's.
            key: Wire name of the field no two records share; lets the pager leave out a record that came already.

        Raises:
            InvalidArgumentError: As for `request` and `list_inbound`; or a model no record can be made of.
        """
        return make_pager(
            self._requestor,
            Route.of("GET", check_path(path)),
            _structurer(model, strict=self._strict),
            WalkOptions(
                page_size=page_size,
                token=token,
                prefetch=prefetch,
                ordered=ordered,
                consistency=consistency,
                max_passes=max_passes,
            ),
            CallOptions(deadline=deadline, max_wait=max_wait, priority=priority),
            path=path,
            params=params,
            key=key,
        )

    async def aclose(self) -> None:
        """Close the connections this client made; again is harmless. A session it was given stays open.

        A copy that `with_options` made is closed alone: the connections are those of the client it was made from.
        """
        await self._requestor.transport.aclose()

    async def __aenter__(self) -> Self:
        if self._requestor.transport.closed:
            raise ClientClosedError("this client is closed; make a new AlohubClient")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        config = self._requestor.config
        return f"<AlohubClient {config.endpoint.base_url} tenant_id={config.tenant_id!r}>"


def _checked_method(method: Any) -> str:
    if not isinstance(method, str) or method.upper() not in _METHODS:
        raise InvalidArgumentError(f"method must be one of {sorted(_METHODS)}; {method!r} was given")
    return method.upper()


def _structurer(model: Any, *, strict: bool) -> Callable[[Sequence[Any], int], list[Any]]:
    if model is None:
        return lambda records, _: list(records)
    from cattrs import BaseValidationError, StructureHandlerNotFoundError, transform_error

    if not inspect.isclass(get_origin(model) or model) or not attrs.has(model):
        raise InvalidArgumentTypeError(f"model must be an attrs class, or None for dicts; {model!r} was given")
    try:
        structure = converter_for(strict=strict).get_structure_hook(model)
    except (StructureHandlerNotFoundError, TypeError) as exc:
        raise InvalidArgumentTypeError(f"no record can be made of {model!r}: {exc}") from exc

    def structure_page(records: Sequence[Any], page: int) -> list[Any]:
        items: list[Any] = []
        for index, record in enumerate(records):
            try:
                items.append(structure(record, model))
            except (BaseValidationError, ValueError, TypeError, KeyError) as exc:
                why = "; ".join(transform_error(exc)) if isinstance(exc, BaseValidationError) else f"{exc!r:.200}"
                raise APIResponseError(
                    f"page {page}, index {index}: the record does not fit {model.__name__}: {why}", status=200
                ) from exc
        return items

    return structure_page


def _endpoint(endpoint: Any) -> Endpoint:
    if endpoint is None:
        return Endpoint.production()
    return Endpoint(endpoint) if isinstance(endpoint, str) else _instance("endpoint", endpoint, Endpoint)


def _instance(name: str, value: Any, kind: type[ModelT]) -> ModelT:
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be a {kind.__name__}; {type(value).__name__} was given")
    return value
