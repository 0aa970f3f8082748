"""One run of an export, in a process that can be killed."""

import asyncio

from alohub_async import AlohubClient, RateLimiter, RetryPolicy
from alohub_async.export import export_inbound


def export(*arguments: str) -> None:
    """Export all queues of a server into a file: URL, key, tenant id and path."""
    asyncio.run(_export(*arguments))


async def _export(url: str, key: str, tenant_id: str, path: str) -> None:
    retry = RetryPolicy(max_retries=8, backoff=0.01)
    async with AlohubClient(key, tenant_id=tenant_id, endpoint=url, retry=retry, rate_limiter=RateLimiter()) as client:
        await export_inbound(client, path)
