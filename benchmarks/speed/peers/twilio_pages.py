"""twilio: the async HTTP client, and a list resource in the form of its generated ones."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from twilio.base import deserialize
from twilio.base.domain import Domain
from twilio.base.instance_resource import InstanceResource
from twilio.base.page import Page
from twilio.base.version import Version
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting


class _Queue(InstanceResource):
    """Like `QueueInstance`."""

    def __init__(self, version: Version, payload: dict[str, Any]) -> None:
        super().__init__(version)
        self.id: int | None = deserialize.integer(payload.get("callinId"))
        self.name: str | None = payload.get("callinName")
        self.strategy: int | None = deserialize.integer(payload.get("strategy"))
        self.music_on_hold: str | None = payload.get("musicinQueue")
        self.max_wait: int | None = deserialize.integer(payload.get("timeWait"))
        self.agent_selector: str | None = payload.get("agentSelector")
        self.announce_position: str | None = payload.get("nguongRanhRoi")
        self.number: str | None = payload.get("callinNumber")
        self._context = None


class _QueuePage(Page):
    def get_instance(self, payload: dict[str, Any]) -> _Queue:
        return _Queue(self._version, payload)


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """A client whose only domain is the list."""
    async with AsyncTwilioHttpClient() as http_client:
        version = Version(Domain(Client("AC0", "sk_live_speed", http_client=http_client), url), "v1")

        async def walk(visit: Counting) -> int:
            response = await version.page_async("GET", "/queues/inbound", params={"page": 0, "size": which.size})
            return await visit.items(version.stream_async(_QueuePage(version, response)))

        yield walk
