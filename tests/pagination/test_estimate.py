"""What a walk costs is arithmetic, however large the total is."""

import time
from typing import Any

import pytest

from alohub_async import AlohubClient
from tests.support import RawServer, http, queue

LIMITS = {
    "X-RateLimit-Limit-Tenant": "100",
    "X-RateLimit-Remaining-Tenant": "99",
    "X-RateLimit-Limit-Route": "20",
    "X-RateLimit-Remaining-Route": "19",
}
SIZE = 10


@pytest.mark.parametrize("options", [{}, {"details": True}, {"consistency": "repair"}, {"prefetch": 0}], ids=str)
@pytest.mark.parametrize("total", [10**9, 10**15, 10**30, "9" * 19])
async def test_estimate_takes_no_time(total: int | str, options: dict[str, Any]) -> None:
    """The requests that are left and their time are computed, not counted; so they are for a resumed walk."""
    page = [queue(callinId=number) for number in range(1, SIZE + 1)]
    # A list and details in one.
    answer = http({"success": "1", "totalRecord": total, "data": page, **queue()}, headers=LIMITS)
    async with RawServer(lambda _: [answer]) as server, AlohubClient("sk_live_x", endpoint=server.url) as client:
        pager = client.queues.list_inbound(page_size=SIZE, **options)
        assert await pager.count() == int(total)
        began = time.process_time()
        estimate = await pager.estimate()
        assert time.process_time() - began < 0.1
        assert estimate is not None
        assert estimate.requests >= int(total) // SIZE - 10
        assert estimate.seconds > estimate.requests / 1000
        assert pager.token
        await pager.aclose()
