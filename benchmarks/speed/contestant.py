"""What is measured: contestants, each in a module of its own, behind one small interface."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, TypeAlias

import attrs

Walk: TypeAlias = Callable[[], Awaitable[int]]
"""Walks a whole list, looking at every record, and returns how many there were."""

Open: TypeAlias = Callable[[str, int], AbstractAsyncContextManager[Walk]]
"""`open(url, size)` of a contestant's module: makes a client for the list at `url`, in pages of `size`."""

Kind: TypeAlias = Literal["floor", "ours", "sdk", "loop"]


@attrs.frozen
class Contestant:
    """One way to walk the list.

    Attributes:
        name: Of the rows.
        module: Below `benchmarks.speed`.
        opens: The function of the module, see `Open`.
        kind: A floor that no client can be much faster than, ours, a published SDK, or what one writes by hand.
        typed: Whether records are objects with attributes, rather than dicts.
        package: Whose version stands in the table.
        navigated: Whether it needs more than the contract's envelope to find the next page.
        hidden: A module it is to run without, as if it were not installed.
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
"""All of them, in the order of the tables."""
