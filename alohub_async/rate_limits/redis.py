"""`RedisRateLimiter`: one budget for many processes, through Redis or Valkey."""

import hashlib
import importlib
import importlib.util
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Literal, Self, TypeAlias, Unpack, get_args

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.leases import Lease
from alohub_async.rate_limits.limiter import RateLimiter, RateLimiterOptionsDict
from alohub_async.rate_limits.member import Member
from alohub_async.rate_limits.store import RedisClient, Store
from alohub_async.rate_limits.wait_queues import RouteQueues
from alohub_async.secret import Secret, hide
from alohub_async.validation import check_choice, check_instance, check_number, check_seconds, check_text

_URL: Final = r"(?i)rediss?://[^/?#]*(/\d*)?(\?.*)?|unix://.*"

WhenUnavailable: TypeAlias = Literal["local", "fail"]
"""What is done while the store does not answer: each process goes on with its share, or requests fail."""


class RedisRateLimiterOptionsDict(RateLimiterOptionsDict, total=False):
    """Keywords of `RedisRateLimiter`."""

    tenant: str | None
    weight: float
    lease: float
    when_unavailable: WhenUnavailable
    store_timeout: float


class RedisRateLimiter(RateLimiter):
    """A `RateLimiter` whose budgets are shared by all processes that use the same Redis or Valkey.

        limiter = RedisRateLimiter.from_url("redis://localhost")
        async with AlohubClient(key, rate_limiter=limiter) as client:
            ...

    Redis 6.2 or later, or Valkey. The limiter belongs to the clients of one tenant: which one says the client's
    `tenant_id`, else its key, of which only a hash is stored. Within a process, requests go in their order; between
    processes that wait, what is free is divided by their weights. A wait for the store counts as a wait for the rate
    limit, so `max_rate_limit_wait=0` allows only requests for which the process holds a permit already.

    It is closed with the last client that uses it, or by `aclose`, or `async with`; a later use opens it again.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        tenant: str | None = None,
        weight: float = 1.0,
        lease: float = 5.0,
        when_unavailable: WhenUnavailable = "local",
        store_timeout: float = 1.0,
        **options: Unpack[RateLimiterOptionsDict],
    ) -> None:
        """Make a limiter. Nothing is sent or opened yet.

        Args:
            redis: A `redis.asyncio.Redis` or `RedisCluster`; it is not closed.
            tenant: Whose budget it is; by default the client's tenant, or the one of its key.
            weight: The part of the budget that the process gets while others wait, relative to theirs.
            lease: Seconds after which the permits of a process that died are free again.
            when_unavailable: While the store does not answer, `local` lets each process send its last share of the
                budget; `fail` raises `RateLimiterUnavailableError`.
            store_timeout: Most seconds for an answer of the store.
            options: Those of `RateLimiter`.

        Raises:
            ConfigurationError: A value is not allowed, or the extra `redis` is not installed.
        """
        _check_installed()
        from redis.asyncio import Redis, RedisCluster

        kind = RedisCluster if isinstance(redis, RedisCluster) else Redis
        check_instance("redis", redis, kind, error=ConfigurationError)
        super().__init__(**options)
        check_text("tenant", tenant, pattern="(?s).+", allowed="text, or None", optional=True, error=ConfigurationError)
        check_number("weight", weight, above=0.0, allowed="a number above 0", error=ConfigurationError)
        for name, seconds in ("lease", lease), ("store_timeout", store_timeout):
            check_seconds(name, seconds, error=ConfigurationError)
        check_choice("when_unavailable", when_unavailable, get_args(WhenUnavailable), error=ConfigurationError)
        self._tenant, self._store_timeout = tenant, store_timeout
        self._users = 0
        password = getattr(getattr(redis, "connection_pool", None), "connection_kwargs", {}).get("password")
        self._hidden = hide(password or "")  # no error or log line shows it
        scheduler = self._scheduler
        self._member = member = Member(scheduler, weight=weight, lease=lease, fails=when_unavailable == "fail")
        scheduler.tenant, scheduler.route_queues = Lease(member), RouteQueues(member.of_route)
        self._bound = False  # to the endpoint and the tenant of a client
        self._use(lambda: redis, owned=False)

    @classmethod
    def from_url(cls, url: str, **options: Unpack[RedisRateLimiterOptionsDict]) -> Self:
        """Make a limiter with a connection of its own, which `aclose` closes.

        Args:
            url: Such as `redis://localhost:6379/0`, or `rediss://` with TLS; see `redis.asyncio.Redis.from_url`.
            options: Those of the class.

        Raises:
            ConfigurationError: As for the class, or not such a URL. The error never shows it: it may hold a password.
        """
        _check_installed()
        secret = Secret((url,))  # hidden in frames; a text would be struck out of other errors, too
        del url
        limiter = cls(_from_url(secret), **options)
        limiter._use(partial(_from_url, secret), owned=True)
        return limiter

    def _use(self, connect: Callable[[], RedisClient], *, owned: bool) -> None:
        self._connect, self._owned = connect, owned
        if self._tenant is None:
            self._scheduler.unavailable = _without_tenant
        else:
            self._member.store = self._store("", f"tenant {self._tenant}")

    def bind(self, endpoint: str, tenant_id: str | None, key: Secret[str] | None) -> None:
        """Note that a client uses it; `ConfigurationError` if its budget is another one than that of the others."""
        whose = self._tenant or tenant_id
        if whose is None and key is None:
            raise ConfigurationError(
                "RedisRateLimiter cannot tell whose budget it is, as the API key comes from a callable; "
                "pass tenant= to it, or tenant_id= to the client"
            )
        owner = f"tenant {whose}" if whose or key is None else f"key {key.revealed}"
        store = self._store(endpoint, owner)
        if not self._bound or self._member.store is None:
            self._bound, self._member.store, self._scheduler.unavailable = True, store, None
        elif store.log != self._member.store.log:
            raise ConfigurationError(
                "this RedisRateLimiter is used for another tenant, key or endpoint; make one for each"
            )
        self._users += 1

    async def release(self) -> None:
        """Note that a client is closed; with the last one, the limiter closes."""
        self._users -= 1
        if not self._users:
            await self.aclose()

    async def aclose(self) -> None:
        """Return what is held, write what is due, and close the connection if it is its own."""
        await self._member.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _store(self, endpoint: str, owner: str) -> Store:
        whose = f"{endpoint}\n{owner}".encode(errors="surrogatepass")
        budget = hashlib.blake2b(whose, digest_size=16).hexdigest()
        log, booked = (f"alohub:{{{budget}}}:{name}" for name in ("log", "booked"))
        return Store(self._connect, self._owned, self._store_timeout, log, booked)


def _without_tenant() -> ConfigurationError:
    return ConfigurationError("a RedisRateLimiter that no AlohubClient uses needs to know whose budget it is: tenant=")


def _check_installed() -> None:
    if importlib.util.find_spec("redis") is None:
        raise ConfigurationError("RedisRateLimiter needs redis; run: pip install 'alohub-async[redis]'")


def _from_url(url: Secret[tuple[str]]) -> Any:
    import redis.exceptions

    client: Any = importlib.import_module("redis.asyncio")  # its types are not complete
    with suppress(AttributeError, TypeError, ValueError, redis.exceptions.RedisError):  # they would show the URL
        if re.fullmatch(_URL, *url.revealed):
            made = client.Redis.from_url(*url.revealed)
            made.connection_pool.make_connection()  # nothing is sent; it knows the options that are allowed
            return made
    message = "url must be that of a Redis server, such as redis://localhost:6379/0, with options of redis.asyncio"
    raise ConfigurationError(message)
