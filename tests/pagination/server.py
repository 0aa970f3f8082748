"""A server that is a coroutine over a list in memory, with each habit that servers have."""

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
    """A list and the habits of the server that has it.

    Attributes:
        records: The list; a record is its own key.
        total: The total told with a page, given its number; None tells none.
        cap: Most records a page; the rest of a page is cut off.
        cap_style: Whether pages then count in the capped size ("rebase") or in the size asked for ("truncate").
        clamps: Whether a page past the end is answered with the last one.
        ignores_page: Whether every page is the first.
        ignores_size: The size of every page, whatever was asked for.
        hidden: Records that are left out of their page after it was cut.
        fails: Which fetches fail, counted from 0.
        pauses: Times a fetch gives way to other tasks, of each fetch in turn, over and over.
        fetched: The pages asked for, and their sizes.
    """

    records: Sequence[Any]
    total: Total | None = None
    cap: int | None = None
    cap_style: CapStyle = "rebase"
    clamps: bool = False
    ignores_page: bool = False
    ignores_size: int | None = None
    hidden: frozenset[Any] = frozenset()
    fails: frozenset[int] = frozenset()
    pauses: Sequence[int] = (0,)
    fetched: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])

    async def fetch(self, page: int, size: int) -> FetchedPage[Any]:
        """Answer as the server does."""
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
        found = [record for record in self.records[start : start + most] if record not in self.hidden]
        return FetchedPage(found, found, count if self.total is None else self.total(page))

    def pager(
        self, *, page_size: int = 10, token: str | None = None, prefetch: int = 0, ordered: bool = True
    ) -> Pager[Any]:
        """A walk over the list, as `list_inbound` makes one."""
        start = beginning(page_size) if token is None else PageToken.decode(token, listed=LISTED)
        return Pager(WalkingSource(self.fetch, start, prefetch=prefetch, ordered=ordered))


def beginning(page_size: int) -> PageToken:
    """Where a walk in pages of that size begins."""
    return PageToken(listed=LISTED, size=page_size, asked=page_size)


def untold(_: int) -> None:
    """Tell no total."""
    return
