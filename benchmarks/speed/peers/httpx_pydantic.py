"""A handwritten loop with httpx and pydantic."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from pydantic import BaseModel, Field

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


class _Queue(BaseModel):
    id: int = Field(alias="callinId")
    name: str = Field(alias="callinName")
    strategy: int | None = None
    music_on_hold: str | None = Field(None, alias="musicinQueue")
    max_wait: int | None = Field(None, alias="timeWait")
    agent_selector: str | None = Field(None, alias="agentSelector")
    announce_position: str | None = Field(None, alias="nguongRanhRoi")
    number: str | None = Field(None, alias="callinNumber")


class _Page(BaseModel):
    data: list[_Queue]
    total: int = Field(alias="totalRecord")


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """One client for all requests."""
    async with httpx.AsyncClient(base_url=url, headers={"X-Api-Key": "sk_live_speed"}) as client:

        async def walk(visit: Counting) -> int:
            count = number = 0
            total = 1
            while count < total:
                response = await client.get("/v1/queues/inbound", params={"page": number, "size": which.size})
                page = _Page.model_validate_json(response.raise_for_status().content)
                count += visit.page(page.data)
                total = page.total
                number += 1
            return count

        yield walk
