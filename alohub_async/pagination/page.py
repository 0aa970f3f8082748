"""The values that paging is about: pages, as fetched and as handed out, and what is known of a list that moved."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import attrs

T = TypeVar("T")

StopReason: TypeAlias = Literal["total", "empty page", "repeated page"]
"""Why a walk ended: as many records came as the total says; or a page was empty, or was there before, and the total
said nothing more or was never told."""

Consistency: TypeAlias = Literal["detect", "raise", "repair"]
"""What is done about a list that moves during the walk: it is reported, it raises, or the walk is repeated."""

MAX_PAGE_SIZE: Final = 10_000
"""Ours, against typing errors: the API does not tell its own, and a server that caps the size is handled."""


@attrs.frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Its records, without those that were handed out before.
        number: Counted from 0, in pages of `size`.
        size: Records a full page has: as asked, or as the server caps it.
        total: Records in the whole list as this page, or the last one that did, tells it; None if none did.
    """

    items: tuple[T, ...]
    number: int
    size: int
    total: int | None


class FetchedPage(Generic[T]):
    """What a fetch brings.

    Attributes:
        items: The records of the page.
        keys: What each of them is known by: its id, an int or a string; anything else if it has none.
        total: The total, if the answer tells it.
        gone: Indexes of records that were listed and could not be had because they are gone.
    """

    __slots__ = ("__weakref__", "gone", "items", "keys", "total")

    def __init__(
        self, items: Sequence[T], keys: Sequence[Hashable], total: int | None, gone: frozenset[int] = frozenset()
    ) -> None:
        self.items: Sequence[T] = items
        self.keys: Sequence[Hashable] = keys
        self.total: int | None = total
        self.gone: frozenset[int] = gone


Arrival: TypeAlias = tuple[int, FetchedPage[T], bytes]
"""A page of the walk: its number, what was fetched, and what `gaps_of` makes of its keys."""

Fetch: TypeAlias = Callable[[int, int], Awaitable[FetchedPage[T]]]
"""Fetches a page by its number, counted from 0, and size. Its errors leave the walk where it was."""

Enrich: TypeAlias = Callable[[int, FetchedPage[T]], Awaitable[FetchedPage[T]]]
"""Completes a page, given its number, with what further requests tell of its records."""


@attrs.frozen(kw_only=True)
class Drift:
    """What a walk has noticed of its list moving under it.

    Attributes:
        duplicates: Records that came again and were left out, because others were added before them.
        totals: The totals that pages told, in order, without repetition; more than one means that the list grew or
            shrank (or that the server does not know).
        gone: Records that were listed and gone when their details were asked for.
        refetched: Pages that were fetched again because the list moved there (`repair` only).
        passes: Walks over the whole list that were finished (`repair`: as many as it took).
        settled: `repair` only: whether the last walk proved that nothing is missing. None elsewhere, and before that.
    """

    duplicates: int = 0
    totals: tuple[int, ...] = ()
    gone: int = 0
    refetched: int = 0
    passes: int = 0
    settled: bool | None = None

    @property
    def moved(self) -> bool:
        """Whether the list was seen to move."""
        return bool(self.duplicates or self.gone or len(self.totals) > 1)


@attrs.frozen
class Estimate:
    """What the rest of a walk takes.

    Attributes:
        requests: Requests that are left, if the list stays as it is and none fails.
        seconds: The least time until the last of them may go under the rate limits as they stand; 0.0 if the limits do
            not delay it, or are not known yet.
    """

    requests: int
    seconds: float
