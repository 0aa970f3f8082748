"""The contestants: each is a module with the same small interface."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, TypeAlias

import attrs

from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting

Walk: TypeAlias = Callable[[Counting], Awaitable[int]]
"""Walks a whole list, visits every record, and returns the number of records."""

Open: TypeAlias = Callable[[str, List], AbstractAsyncContextManager[Walk]]
"""`open(url, which)` in the module of a contestant: opens a client for the list at `url`."""

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
        drops: Whether its records lack fields that are not documented.
    """

    name: str
    module: str
    opens: str = "opened"
    kind: Kind = "sdk"
    typed: bool = False
    package: str = "aiohttp"
    navigated: bool = False
    hidden: str | None = None
    drops: bool = False


BYTES: Final = Contestant("aiohttp, bytes only", "floors", "read_bytes", "floor")
JSON: Final = Contestant("aiohttp + r.json() dicts", "floors", "json_dicts", "floor")
ORJSON: Final = Contestant("aiohttp + orjson dicts", "peers.orjson_dicts", kind="floor", package="orjson")
KEEPING: Final = Contestant(
    "the same, large blocks kept", "peers.orjson_dicts", "keeping", kind="floor", package="orjson"
)
STRUCTS: Final = Contestant(
    "aiohttp + msgspec structs", "peers.msgspec_structs", kind="floor", typed=True, package="msgspec", drops=True
)
ITEMS: Final = Contestant("alohub-async, items", "ours", "items", "ours", typed=True, package="alohub-async")
PAGES: Final = Contestant("alohub-async, pages", "ours", "pages", "ours", typed=True, package="alohub-async")
AHEAD: Final = Contestant("alohub-async, prefetch 4", "ours", "ahead", "ours", typed=True, package="alohub-async")
PLAIN: Final = Contestant(
    "alohub-async without speed", "ours", "items", "ours", typed=True, package="alohub-async", hidden="msgspec"
)
TWILIO: Final = Contestant("twilio", "peers.twilio_pages", typed=True, package="twilio", navigated=True, drops=True)
PYDANTIC: Final = Contestant(
    "httpx + pydantic", "peers.httpx_pydantic", kind="loop", typed=True, package="pydantic", drops=True
)
OPENAI: Final = Contestant("openai", "peers.openai_pages", "default", typed=True, package="openai", navigated=True)
OPENAI_STRICT: Final = Contestant(
    "openai, strict", "peers.openai_pages", "strict", typed=True, package="openai", navigated=True
)
STRIPE: Final = Contestant("stripe", "peers.stripe_list", typed=True, package="stripe", navigated=True)
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
    PYDANTIC,
    OPENAI_STRICT,
    OPENAI,
    Contestant("azure-core", "peers.azure_paged", package="azure-core", navigated=True),
    Contestant("aiobotocore", "peers.aiobotocore_paginator", package="aiobotocore", navigated=True),
    STRIPE,
)
"""All contestants, in the order of the tables."""

ON_ODD_ANSWERS: Final = (STRUCTS, ORJSON, JSON, ITEMS, PLAIN, TWILIO, PYDANTIC, OPENAI_STRICT, OPENAI, STRIPE)
"""Those that walk answers that differ from the documentation: all that make objects, and the floors."""

BARE_GETS: Final = Contestant("aiohttp + orjson", "peers.orjson_dicts", "gets", "floor", package="orjson")
GETS: Final = Contestant("get_inbound", "ours", "gets", "ours", typed=True, package="alohub-async")
MANY: Final = Contestant("get_many_inbound", "ours", "many", "ours", typed=True, package="alohub-async")
PLAIN_GETS: Final = Contestant(
    "get_inbound without speed", "ours", "gets", "ours", typed=True, package="alohub-async", hidden="msgspec"
)
PLAIN_MANY: Final = Contestant(
    "get_many_inbound without speed", "ours", "many", "ours", typed=True, package="alohub-async", hidden="msgspec"
)

SINGLES: Final = (BARE_GETS, GETS, MANY, PLAIN_GETS, PLAIN_MANY)
"""Those that get records by id, many at once."""
