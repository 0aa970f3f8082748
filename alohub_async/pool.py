"""`AlohubPool`: clients for many tenants over one set of connections, and jobs over them."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar, Unpack, cast
from weakref import WeakSet, WeakValueDictionary

import attrs

from alohub_async.background_tasks import Caught, wait_until_done
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, ClientClosedError, ConfigurationError
from alohub_async.http.network import network_of, read_proxy
from alohub_async.http.transport import Transport
from alohub_async.options import BulkOptions, ClientOptions, PoolOptionsDict
from alohub_async.rate_limits.limiter import RateLimiter
from alohub_async.resources.bulk import ConcurrentCalls
from alohub_async.tenant import Tenant, Tenants, check_tenant, tenants_of
from alohub_async.validation import check_count, check_instance, check_names, refuse

T = TypeVar("T")

MakeLimiter: TypeAlias = Callable[[Tenant], RateLimiter]
"""Returns the rate limiter of a tenant."""

Job: TypeAlias = Callable[[AlohubClient, Tenant], Awaitable[T]]
"""What is done for each tenant, with its client."""

_KEPT: Final = 60.0  # seconds for which the limiter of a dropped client is kept: longer than windows and blocks


@attrs.frozen
class TenantOutcome(Generic[T]):
    """The outcome of a job for one tenant.

    Attributes:
        tenant: The tenant.
        value: The result of the job; None if it failed.
        error: The error of the job; None if it succeeded.
    """

    tenant: Tenant
    value: T | None
    error: Exception | None

    @property
    def ok(self) -> bool:
        """Whether the job succeeded."""
        return self.error is None

    def unwrap(self) -> T:
        """Return the result of the job, or raise its error."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)


class TenantOutcomes(ConcurrentCalls[TenantOutcome[T]]):
    """The outcomes of a job over many tenants, as they finish; `AlohubPool.each` returns it.

    No job starts before the first step. Leaving a loop over it cancels the running jobs; a later loop repeats them.
    """

    async def fail(self, error: AlohubError) -> None:
        """Cancel the running jobs, wait for their end, and end the iteration with an error, unless it has ended."""
        crew = self._crew
        if crew.jobs or not crew.exhausted:
            crew.error = error
        await crew.aclose()


@attrs.define(eq=False)
class _Entry:
    client: AlohubClient
    budget: Tenant  # without its key, since another key has the same budget
    limiter: RateLimiter
    users: int = 0


class AlohubPool:
    """Clients for many tenants over one set of connections, each with the tenant's own rate limiter.

        async with AlohubPool() as pool:
            async for outcome in pool.each(job, "tenants.toml"):
                print(outcome.tenant.name, outcome.error or outcome.value)

    A client is made when it is first needed; of those not in use, the latest few are kept. Each tenant has a number of
    connections of its own, so that a slow tenant does not take those of others. Use it in one event loop at a time.
    """

    def __init__(
        self,
        *,
        rate_limiter: MakeLimiter | None = None,
        max_idle: int = 100,
        **options: Unpack[PoolOptionsDict],
    ) -> None:
        """Make a pool. Nothing is sent or opened yet.

        Args:
            rate_limiter: Makes the rate limiter of a tenant, once while its budget matters; None for a plain one.
            max_idle: Most clients that are kept while not in use.
            options: See `ClientOptions`. `endpoint` is for tenants without a base URL. `max_connections` is for each
                tenant; the default is 20.

        Raises:
            ConfigurationError, InvalidArgumentError: As for `AlohubClient`.
        """
        check_names(options, PoolOptionsDict.__optional_keys__, ("rate_limiter", "max_idle"))
        if not (rate_limiter is None or callable(rate_limiter)):
            raise ConfigurationError("rate_limiter of a pool must be a function that takes a Tenant")
        self._rate_limiter = rate_limiter
        self._max_idle = check_count("max_idle", max_idle, least=0, error=ConfigurationError) or 0
        options["proxy"] = read_proxy(options.get("proxy"))  # its URL may have a password
        self._options: PoolOptionsDict = {"max_connections": 20, **options}
        chosen = ClientOptions(**self._options)
        self._endpoint = server = chosen.endpoint
        network = network_of(server.base_url, proxy=chosen.proxy, trust_env=chosen.trust_env, ssl=chosen.ssl)
        self._ssl = network.ssl
        self._transport = Transport(session=chosen.session, max_connections=1, network=network)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: dict[Tenant, _Entry] = {}
        self._idle: OrderedDict[Tenant, _Entry] = OrderedDict()  # of them, those not in use, by their last use
        self._limiters: WeakValueDictionary[Tenant, RateLimiter] = WeakValueDictionary()  # by tenant without its key
        # The limiters of dropped clients, in order, each until a time of the loop.
        self._kept: OrderedDict[Tenant, tuple[float, RateLimiter]] = OrderedDict()
        self._running: set[asyncio.Task[Any]] = set()
        self._outcomes: WeakSet[TenantOutcomes[Any]] = WeakSet()

    @asynccontextmanager
    async def client(self, tenant: Tenant) -> AsyncGenerator[AlohubClient]:
        """The client of a tenant, which belongs to the pool: `async with pool.client(tenant) as client`.

        Raises:
            ConfigurationError: The tenant has no key, or another value that cannot be used.
        """
        entry = await self._entry(check_tenant(tenant))
        entry.users += 1
        self._idle.pop(tenant, None)
        try:
            yield entry.client.with_options()  # a copy, which the user may close
        finally:
            entry.users -= 1
            if not entry.users and self._clients.get(tenant) is entry:
                self._idle[tenant] = entry
                while len(self._idle) > self._max_idle:
                    await self._drop(*self._idle.popitem(last=False))

    def each(self, job: Job[T], tenants: Tenants, *, concurrency: int = 8) -> TenantOutcomes[T]:
        """Do a job for each tenant, several at a time; yields an outcome for each, as they finish.

        Any error of the job, and of a tenant's configuration, is the outcome of that tenant; the others go on.

        Args:
            job: An async function that gets the client and the tenant.
            tenants: See `Tenants`. An iterable is read only as needed.
            concurrency: Most tenants at the same time, 1 to 1,000.

        Raises:
            InvalidArgumentError: `concurrency` is out of range, or the job is no function.
            ConfigurationError, FileError: The tenants file cannot be used.
        """
        if not callable(job):
            raise refuse("job", "an async function", job, wrong_type=True)
        options = BulkOptions(concurrency=concurrency)
        outcomes = TenantOutcomes(tenants_of(tenants), lambda tenant: self._outcome(job, tenant), options, finish=False)
        self._outcomes.add(outcomes)
        return outcomes

    async def _outcome(self, job: Job[T], tenant: Tenant) -> TenantOutcome[T]:
        self._check_open()
        check_tenant(tenant)
        task, value = cast("asyncio.Task[Any]", asyncio.current_task()), None
        self._running.add(task)
        try:
            with Caught() as caught:
                async with self.client(tenant) as client:
                    value = await job(client, tenant)
        finally:
            self._running.discard(task)
        return TenantOutcome(tenant, value, caught.error)

    def _check_open(self) -> None:
        if self._transport.closed:
            raise _closed()

    async def _entry(self, tenant: Tenant) -> _Entry:
        self._check_open()
        session = (await self._transport.connections()).session
        self._enter(asyncio.get_running_loop())
        if (entry := self._clients.get(tenant)) is None:
            key, endpoint = tenant.key(), tenant.endpoint(self._endpoint)
            options: Any = {**self._options, "session": session, "ssl": self._ssl}
            options |= {"tenant_id": tenant.tenant_id, "tenant_name": tenant.name, "endpoint": endpoint}
            budget = attrs.evolve(tenant, api_key=None, api_key_env=None, key_provider=None)
            if (limiter := self._limiters.get(budget)) is None:
                limiter = self._rate_limiter(tenant) if self._rate_limiter else RateLimiter()
                check_instance("what rate_limiter returns", limiter, RateLimiter, error=ConfigurationError)
                self._limiters[budget] = limiter
            client = AlohubClient(key, rate_limiter=limiter, **options)
            entry = self._clients[tenant] = _Entry(client, budget, limiter)
        return entry

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget the clients of another event loop, and the limiters whose windows have passed."""
        now = loop.time()
        if loop is not self._loop:
            self._kept = OrderedDict((budget, (now + _KEPT, limiter)) for budget, limiter in self._limiters.items())
            self._loop, self._clients, self._idle = loop, {}, OrderedDict()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)

    async def _drop(self, tenant: Tenant, entry: _Entry) -> None:
        del self._clients[tenant]
        self._kept.pop(entry.budget, None)  # the order is that of dropping
        known = entry.limiter.status()
        if known.denied or any(scope.limit is not None for scope in (known.tenant, *known.routes.values())):
            self._kept[entry.budget] = asyncio.get_running_loop().time() + _KEPT, entry.limiter
        await entry.client.aclose()

    async def aclose(self) -> None:
        """Cancel the running jobs, wait for their end, and close the connections; a given session stays open.

        A loop over the outcomes of `each` that has not ended raises a `ClientClosedError`. A job that closes the pool
        is not cancelled itself.
        """
        for outcomes in [*self._outcomes]:
            await outcomes.fail(_closed())
        jobs = self._running - {asyncio.current_task()}
        for job in jobs:
            job.cancel()
        await wait_until_done(jobs)
        await asyncio.sleep(0)  # jobs that were cancelled before their first step end in it
        for entry in self._clients.values():
            await entry.client.aclose()
        for each in (self._clients, self._idle, self._kept):
            each.clear()
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, a pool is its settings: another process makes its own connections."""
        make = partial(type(self), rate_limiter=self._rate_limiter, max_idle=self._max_idle, **self._options)
        return make, ()


def _closed() -> ClientClosedError:
    return ClientClosedError("this pool is closed; make a new AlohubPool")
