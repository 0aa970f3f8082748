"""azure-core: `AsyncPipelineClient` with the policies of the SDKs of Azure, and `AsyncItemPaged` over dicts."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from azure.core import AsyncPipelineClient
from azure.core.async_paging import AsyncItemPaged, AsyncList
from azure.core.configuration import Configuration
from azure.core.pipeline import policies
from azure.core.rest import AsyncHttpResponse, HttpRequest

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


def _configuration() -> Configuration[Any, Any]:
    """As in generated clients."""
    config: Configuration[Any, Any] = Configuration()
    config.user_agent_policy = policies.UserAgentPolicy("speed")
    config.headers_policy = policies.HeadersPolicy({"X-Api-Key": "sk_live_speed"})
    config.proxy_policy = policies.ProxyPolicy()
    config.logging_policy = policies.NetworkTraceLoggingPolicy()
    config.retry_policy = policies.AsyncRetryPolicy()
    config.custom_hook_policy = policies.CustomHookPolicy()
    config.redirect_policy = policies.AsyncRedirectPolicy()
    return config


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """A client, and the two functions that a generated client has for each list."""
    async with AsyncPipelineClient(url, config=_configuration()) as client:

        async def get_next(token: str | None) -> AsyncHttpResponse:
            params = {"page": token or "0", "size": str(which.size)}
            response = await client.send_request(HttpRequest("GET", f"{url}/v1/queues/inbound", params=params))
            response.raise_for_status()
            return response

        async def extract_data(response: AsyncHttpResponse) -> tuple[str | None, AsyncIterator[Any]]:
            answer = response.json()
            return answer["next_token"], AsyncList(answer["data"])

        async def walk(visit: Counting) -> int:
            return await visit.items(AsyncItemPaged(get_next, extract_data))

        yield walk
