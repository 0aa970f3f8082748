"""One run of an export, in a process that can be killed: `python -m tests.export.once URL KEY TENANT PATH`."""

import asyncio
import sys

from alohub_async import AlohubClient, RateLimiter, RetryPolicy
from alohub_async.export import export_inbound


async def main(url: str, key: str, tenant_id: str, path: str) -> None:
    """Export all queues into the file."""
    retry = RetryPolicy(max_retries=8, backoff=0.01)
    async with AlohubClient(key, tenant_id=tenant_id, endpoint=url, retry=retry, rate_limiter=RateLimiter()) as client:
        await export_inbound(client, path)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
