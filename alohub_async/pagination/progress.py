"""The arithmetic of a walk: which pages have come, which page is next, whether there are more. No I/O, no event loop.

When does a list end? The API reports a total on each page, so the walk continues until as many records have come as the
latest page reports. A short or an empty page is not the end: the server may cap the page size, and may leave out
records that the key must not see. Only if no total says that there is more, an empty page ends the walk; so does one
that repeats an earlier one (some servers answer requests beyond the end with the last page).

The total is a claim, not a proof: some servers cap their count, others report the count of the page. So after a full
page that reaches the total, one more page is requested. It is empty if the total is true. No request is added if the
last page is shorter than the first one. A first page that is shorter than requested is the last one, too, unless its
length looks like a cap of the server: the documented default, or a multiple of 50. Where the walk is to `prove` that
the list is whole, any length does. A total that a page refutes by its records is dropped.
"""

from collections.abc import Hashable, Iterator, Sequence
from itertools import filterfalse
from typing import Final

from alohub_async.errors import APIResponseError
from alohub_async.pagination.page import StopReason
from alohub_async.pagination.seen_keys import fingerprint
from alohub_async.pagination.token import MAX_PAGES

_DEFAULT_SIZE: Final = 20  # documented; a server that ignores the size uses it
_CAP_STEP: Final = 50  # a page size that a server caps at is a multiple of this
_MAX_BARREN_PAGES: Final = 10  # pages in a row without a new record, while the total says that there is more


class PageProgress:
    """Which pages of a list have come, in any order, and whether they are the whole list."""

    def __init__(
        self,
        *,
        size: int,
        base: int = 0,
        beyond: frozenset[int] = frozenset(),
        received: int = 0,
        total: int | None = None,
        before: str = "",
        prove: bool = False,
    ) -> None:
        self.base: int = base  # the first page that has not come yet
        self.beyond: set[int] = {*beyond}  # pages behind it that have come
        self.size: int = size  # records in a full page
        self.received: int = received  # records of all pages that have come, before duplicates are left out
        self.total: int | None = total  # the latest; None if it is not known, or was refuted
        self.totals: list[int] = [] if total is None else [total]  # without refuted ones, and repetition in a row
        self.repeated: int = 0  # records of whole pages that came again where other pages were due
        self.stopped_by: StopReason | None = None
        self.latest: str = before  # fingerprint of the highest page that brought records; "" if none did
        self.before: str = ""  # the same, without the page that came last
        self._barren = 0
        self._prove = prove
        self._refuted = -1  # the highest total that was not true
        self._full = size  # records in the first page
        self._last = (max(beyond), size) if beyond else (base - 1, size)  # of the pages with records: number and count
        self.marks: set[str] = {before} - {""}  # fingerprints of all pages with records, as far as this walk knows them

    def missing(self, total: int) -> Iterator[int]:
        """Iterate over the pages of a list of `total` records that have not come yet, in order.

        The last one is short. If the total is a multiple of the size, it is the empty page that confirms the total.
        """
        return filterfalse(self.beyond.__contains__, range(self.base, total // self.size + 1))

    def is_missing(self, number: int, total: int) -> bool:
        """Whether a page is one of `missing`."""
        return number >= self.base and number * self.size <= total and number not in self.beyond

    def pages_left(self, total: int) -> int:
        """Return how many pages are `missing`."""
        beyond = sum(number * self.size <= total for number in self.beyond)
        return max(0, total // self.size + 1 - self.base - beyond)

    def arrive(
        self,
        number: int,
        keys: Sequence[Hashable],
        total: int | None,
        *,
        mark: str | None = None,
        capped: bool = False,
        ignored: bool = False,
    ) -> bool:
        """Record the arrival of a page; False if it brings nothing new.

        `mark` is the fingerprint of `keys`, if it is known already. `capped` and `ignored` tell whether the server was
        found to cap the size, and to ignore the page number. An `APIResponseError`, which changes no position, means
        that the server repeats a page where another one must be, keeps raising its total, or never ends.
        """
        count, start = len(keys), number * self.size
        mark = fingerprint(keys) if mark is None else mark
        repeated = count > 0 and mark in self.marks
        barren = count == 0 or repeated
        if total is not None:
            self._note_total(total, number, count, repeated=repeated)
        if barren or number >= MAX_PAGES:
            self._refuse(number, repeated=repeated, barren=barren, ignored=ignored)
        may_be_cap = count == self.total and (self._prove or count == _DEFAULT_SIZE or count % _CAP_STEP == 0)
        if number == 0 and count and (capped or count > self.size or self.total is None or may_be_cap):
            # The first page shows which size the server uses. Requesting exactly that size from now on gives the same
            # pages whether the server counts them in its own size or in ours.
            self.size = count
        if number == self.base:
            self.base += 1
            while self.base in self.beyond:
                self.beyond.remove(self.base)
                self.base += 1
        else:
            self.beyond.add(number)
        if barren:
            self._note_barren(start, count)
            return False
        self._barren = 0
        self.marks.add(mark)
        self.before = self.latest
        self.received += count
        if number == 0:
            self._full = count
        if number > self._last[0]:
            self._last, self.latest = (number, count), mark
        is_short = self._last[1] < (self._full if self._last[0] else self.size)  # so it is the last one
        if self.total is not None and self.received >= self.total and is_short:
            self._end("total")
        return True

    def _note_total(self, total: int, number: int, count: int, *, repeated: bool) -> None:
        start = number * self.size
        shown = start + count if count and (number == 0 or count <= self.size) else 0
        if (self._prove or not repeated) and (total < shown or total <= self._refuted):
            self._refuted, self.total = max(self._refuted, total), None  # continue until a page is empty
        elif count or total or start < (self.total or 1):  # 0 beyond the end says nothing
            self.total = total
            if self.totals[-1:] != [total]:
                self.totals.append(total)

    def _note_barren(self, start: int, count: int) -> None:
        self._barren += 1
        if self.total is not None and start < self.total:
            self.repeated += count
        elif self.total is not None and 0 < self.received >= self.total:
            self._end("total")
        else:
            self._end("repeated page" if count else "empty page")

    def _end(self, reason: StopReason) -> None:
        """End the walk, unless a page between those that came is missing."""
        if not self.beyond or (self.total is not None and self.base * self.size >= self.total):
            self.stopped_by = reason

    def _refuse(self, number: int, *, repeated: bool, barren: bool, ignored: bool) -> None:
        total = self.total
        if barren and (total is None or number * self.size >= total):
            return
        if number >= MAX_PAGES:
            raise APIResponseError(f"the list has not ended after {MAX_PAGES} pages; giving up", status=200)
        if barren and (ignored or self._barren + 1 >= _MAX_BARREN_PAGES):
            self._barren = 0
            what = "repeats an earlier page" if repeated else "is empty"
            records = "1 record" if self.received == 1 else f"{self.received} records"
            found = f"page {number} {what}, although {records} came and the server reports {total}"
            raise APIResponseError(f"{found}; the rest of the list cannot be fetched this way", status=200)
