"""openai: `get_api_list` with one of its cursor pages, as in its own resources."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from openai import AsyncOpenAI, BaseModel
from openai.pagination import AsyncConversationCursorPage
from pydantic import Field

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


@asynccontextmanager
async def default(url: str, which: List, *, strict: bool = False) -> AsyncGenerator[Walk]:
    """The default: responses become models without validation."""
    client = AsyncOpenAI(api_key="sk_live_speed", base_url=f"{url}/v1", _strict_response_validation=strict)
    async with client:

        async def walk(visit: Counting) -> int:
            pages = client.get_api_list(
                "/queues/inbound",
                model=_Queue,
                page=AsyncConversationCursorPage[_Queue],
                options={"params": {"size": which.size}},
            )
            return await visit.items(pages)

        yield walk


@asynccontextmanager
async def strict(url: str, which: List) -> AsyncGenerator[Walk]:
    """Responses are validated by pydantic, which is faster."""
    async with default(url, which, strict=True) as walk:
        yield walk
