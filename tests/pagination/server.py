"""A server that is a coroutine over a list in memory, with the habits that servers have."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from alohub_async.errors import APIConnectionError
from alohub_async.pagination import FetchedPage, Pager, PageToken, WalkingSource

Total: TypeAlias = Callable[[int], int | None]
CapStyle: TypeAlias = Literal["rebase", "truncate"]
LISTED = "GET /v1/queues/inbound"


@attrs.define(kw_only=True)
class Server:
    """A list, and the habits of its server.

    Attributes:
        records: The list; a record is its own key.
        total: Returns the total of a page, given its number; None reports the length of the list.
        cap: Maximum number of records in a page; the rest of a page is cut off.
        cap_style: Whether pages are counted in the capped size ("rebase") or in the requested size ("truncate").
        clamps: Whether a request beyond the end is answered with the last page.
        ignores_page: Whether every request is answered with the first page.
        ignores_size: The size of every page, whatever was requested.
        hidden: Records that are left out of their page.
        absent: Whether a page beyond the end is answered as one that does not exist.
        fails: Which fetches fail, counted from 0.
        pauses: How often a fetch yields to other tasks; one number for each fetch in turn, repeated.
        fetched: The requested pages and their sizes.
    """

    records: Sequence[Any]
    total: Total | None = None
    cap: int | None = None
    cap_style: CapStyle = "rebase"
    clamps: bool = False
    ignores_page: bool = False
    ignores_size: int | None = None
    hidden: frozenset[Any] = frozenset()
    absent: bool = False
    fails: frozenset[int] = frozenset()
    pauses: Sequence[int] = (0,)
    fetched: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])

    async def fetch(self, page: int, size: int) -> FetchedPage[Any]:
        """Return the page that the server would send."""
        self.fetched.append((page, size))
        number = len(self.fetched) - 1
        for _ in range(self.pauses[number % len(self.pauses)]):
            await asyncio.sleep(0)
        if number in self.fails:
            raise APIConnectionError("lost", maybe_sent=True)
        size = self.ignores_size or size
        most = min(size, self.cap or size)
        step = most if self.cap_style == "rebase" else size
        count = len(self.records)
        start = 0 if self.ignores_page else page * step
        if self.clamps and start >= count:
            start = max(0, math.ceil(count / step) - 1) * step
        if self.absent and start >= count and page:
            return FetchedPage([], [], None, absent=True)
        found = [record for record in self.records[start : start + most] if record not in self.hidden]
        return FetchedPage(found, found, count if self.total is None else self.total(page))

    def pager(
        self, *, page_size: int = 10, token: str | None = None, prefetch: int = 0, ordered: bool = True
    ) -> Pager[Any]:
        """Make a pager of the list, as `list_inbound` does."""
        start = beginning(page_size) if token is None else PageToken.decode(token, listed=LISTED)
        return Pager(WalkingSource(self.fetch, start, prefetch=prefetch, ordered=ordered))


def beginning(page_size: int) -> PageToken:
    """Return the position at the beginning of a walk."""
    return PageToken(listed=LISTED, size=page_size, asked=page_size)


def no_total(_: int) -> None:
    """Report no total."""
    return
