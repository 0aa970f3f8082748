"""A plain HTTP session for a sandbox, to test it without the SDK's client."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import frozen
from multidict import CIMultiDictProxy

from alohub_async.testing import Sandbox

LIST = "/v1/queues/inbound"


@frozen
class Reply:
    """A complete response."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.text)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and `error_code` of an error. Checks the form of the error, too."""
        body = self.json
        assert body.keys() == {"success", "error_code", "error_message"}
        assert body["success"] == "0"
        assert body["error_message"]
        return self.status, body["error_code"]

    @property
    def limits(self) -> dict[str, str]:
        """The rate-limit headers, including `Retry-After`."""
        return {
            name: value
            for name, value in self.headers.items()
            if name.startswith("X-RateLimit") or name == "Retry-After"
        }


@frozen
class Raw:
    """A session and its sandbox."""

    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Reply:
        """Send one request, by default with the gateway's key header. A body is sent as JSON unless it is text."""
        url = self.sandbox.url.with_path(path)
        sent = {"X-Api-Key": self.sandbox.api_key} if headers is None else dict(headers)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        async with self.session.request(method, url, headers=sent, data=data, params=params) as response:
            return Reply(response.status, response.headers, await response.text())

    async def get(self, path: str = LIST, **params: str | int) -> Reply:
        """Send a GET with query parameters."""
        return await self.send("GET", path, params=params)

    async def put(self, queue_id: int, body: object) -> Reply:
        """Send a PUT with an update."""
        return await self.send("PUT", f"{LIST}/{queue_id}", body=body)

    @property
    def first_id(self) -> int:
        """The id of the first queue."""
        return int(str(self.sandbox.queues[0]["callinId"]))


@asynccontextmanager
async def open_raw(**settings: Any) -> AsyncGenerator[Raw, None]:
    """Run a sandbox with these settings, and open a session for it."""
    async with Sandbox(**settings) as sandbox, aiohttp.ClientSession() as session:
        yield Raw(sandbox, session)
