"""The contestants: each is a module with the same small interface."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, TypeAlias

import attrs

Walk: TypeAlias = Callable[[], Awaitable[int]]
"""Walks a whole list, visits every record, and returns the number of records."""

Open: TypeAlias = Callable[[str, int], AbstractAsyncContextManager[Walk]]
"""`open(url, size)` in the module of a contestant: opens a client for the list at `url`, with pages of `size`."""

Kind: TypeAlias = Literal["floor", "ours", "sdk", "loop"]


@attrs.frozen
class Contestant:
    """One way to walk the list.

    Attributes:
        name: The name in the tables.
        module: The module below `benchmarks.speed`.
        opens: The function of the module; see `Open`.
        kind: A floor that no client can beat by much, ours, a published SDK, or a handwritten loop.
        typed: Whether records are objects with attributes instead of dicts.
        package: The package whose version the table shows.
        navigated: Whether it needs more than the envelope of the contract to find the next page.
        hidden: A module that is hidden from it, as if it were not installed.
    """

    name: str
    module: str
    opens: str = "opened"
    kind: Kind = "sdk"
    typed: bool = False
    package: str = "aiohttp"
    navigated: bool = False
    hidden: str | None = None


BYTES: Final = Contestant("aiohttp, bytes only", "floors", "read_bytes", "floor")
JSON: Final = Contestant("aiohttp + r.json() dicts", "floors", "json_dicts", "floor")
ORJSON: Final = Contestant("aiohttp + orjson dicts", "peers.orjson_dicts", kind="floor", package="orjson")
KEEPING: Final = Contestant(
    "the same, large blocks kept", "peers.orjson_dicts", "keeping", kind="floor", package="orjson"
)
STRUCTS: Final = Contestant(
    "aiohttp + msgspec structs", "peers.msgspec_structs", kind="floor", typed=True, package="msgspec"
)
ITEMS: Final = Contestant("alohub-async, items", "ours", "items", "ours", typed=True, package="alohub-async")
PAGES: Final = Contestant("alohub-async, pages", "ours", "pages", "ours", typed=True, package="alohub-async")
AHEAD: Final = Contestant("alohub-async, prefetch 4", "ours", "ahead", "ours", typed=True, package="alohub-async")
PLAIN: Final = Contestant(
    "alohub-async without speed", "ours", "items", "ours", typed=True, package="alohub-async", hidden="msgspec"
)
TWILIO: Final = Contestant("twilio", "peers.twilio_pages", typed=True, package="twilio", navigated=True)
OPENAI: Final = Contestant("openai", "peers.openai_pages", "default", typed=True, package="openai", navigated=True)
GIDGETHUB: Final = Contestant("gidgethub", "peers.gidgethub_iter", package="gidgethub", navigated=True)

CONTESTANTS: Final = (
    BYTES,
    STRUCTS,
    ORJSON,
    KEEPING,
    JSON,
    PAGES,
    ITEMS,
    AHEAD,
    PLAIN,
    GIDGETHUB,
    Contestant("slack_sdk", "peers.slack_cursor", package="slack_sdk", navigated=True),
    TWILIO,
    Contestant("httpx + pydantic", "peers.httpx_pydantic", kind="loop", typed=True, package="pydantic"),
    Contestant("openai, strict", "peers.openai_pages", "strict", typed=True, package="openai", navigated=True),
    OPENAI,
    Contestant("azure-core", "peers.azure_paged", package="azure-core", navigated=True),
    Contestant("aiobotocore", "peers.aiobotocore_paginator", package="aiobotocore", navigated=True),
    Contestant("stripe", "peers.stripe_list", typed=True, package="stripe", navigated=True),
)
"""All contestants, in the order of the tables."""
