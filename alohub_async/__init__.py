"""Async client for the Alohub cloud call centre API.

async with AlohubClient("sk_live_…", tenant_id="20260310") as client:
    async for queue in client.queues.list_inbound():
        print(queue.id, queue.name)
"""

from alohub_async._lazy import attach_stub
from alohub_async._version import __version__ as __version__

__getattr__, __dir__, __all__ = attach_stub(__name__)
