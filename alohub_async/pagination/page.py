"""The values of pagination: pages as fetched and as returned, and what is known about a list that moves."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import attrs

T = TypeVar("T")

StopReason: TypeAlias = Literal["total", "empty page", "repeated page"]
"""Why a walk ended: the total was reached; or a page was empty or repeated, and no total said that there is more."""

Consistency: TypeAlias = Literal["detect", "raise", "repair"]
"""What to do about a list that moves during the walk: report it, raise an error, or repeat the walk."""

MAX_PAGE_SIZE: Final = 10_000
"""Our own limit, against typing errors. The API does not document one; a server that caps the size is handled."""


@attrs.frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Its records, without those that were returned before.
        number: Its number, counted from 0 in pages of `size`.
        size: Records in a full page: as requested, or as the server caps it.
        total: Records in the whole list, as this page reports, or the last one that did; None if none did.
    """

    items: tuple[T, ...]
    number: int
    size: int
    total: int | None


@attrs.define(eq=False, repr=False)
class FetchedPage(Generic[T]):
    """The result of fetching a page: its records, and the total; None if the server does not report it."""

    items: Sequence[T]
    keys: Sequence[Hashable]  # of each record: its id, an int or a string; a tuple for a record without an id
    total: int | None
    gone: frozenset[int] = frozenset()  # indexes of records that did not exist any more when looked up
    absent: bool = False  # the server says that there is no such page; it is empty then


Fetch: TypeAlias = Callable[[int, int], Awaitable[FetchedPage[T]]]
"""Fetches a page, given its number (counted from 0) and its size. An error does not change the walk's position."""

LoadedPage: TypeAlias = tuple[int, FetchedPage[T], frozenset[int]]
"""A page with its number, and the indexes of its records that came before."""

Enrich: TypeAlias = Callable[[int, FetchedPage[T]], Awaitable[FetchedPage[T]]]
"""Completes a page, given its number, by further requests about its records."""


@attrs.frozen(kw_only=True)
class Drift:
    """The signs that a list moved while it was walked.

    Attributes:
        duplicates: Records that came again and were left out, because others were added before them.
        totals: The different totals that pages reported, in order; several if the list (or the server's count) changed.
        gone: Records that were listed but did not exist any more when their details were requested.
        refetched: Pages that were fetched again because the list moved there (`repair` only).
        passes: Walks over the whole list that were finished (`repair` needs several).
        settled: Whether the last pass proved that nothing is missing; None while that is open, or without `repair`.
    """

    duplicates: int = 0
    totals: tuple[int, ...] = ()
    gone: int = 0
    refetched: int = 0
    passes: int = 0
    settled: bool | None = None

    @property
    def moved(self) -> bool:
        """Whether there is any sign that the list moved."""
        return bool(self.duplicates or self.gone or len(self.totals) > 1)


@attrs.frozen
class Estimate:
    """What the rest of a walk costs.

    Attributes:
        requests: Requests that are left, if the list does not change and no request fails.
        seconds: The least time until the rate limits, as now known, allow the last of them; 0.0 if none delays it.
    """

    requests: int
    seconds: float


Forecast: TypeAlias = Callable[[int, int], Estimate]
"""Estimates the cost of a number of pages that hold a number of records together."""
