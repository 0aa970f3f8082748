"""The arithmetic of a walk, without an await: which pages came, which are next, whether there are more.

When does a list end? The API tells a total on each page, so the walk goes on until that many records came, as the
latest page tells it. A short or an empty page is no end: the server may cap the page size, and may leave out what the
key must not see. Only where the total says nothing more, or there is none, does an empty page end the walk, or one that
was there before (some servers answer past the end with the last page again).
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from alohub_async.errors import APIResponseError
from alohub_async.pagination.page import StopReason
from alohub_async.pagination.seen_keys import fingerprint
from alohub_async.pagination.token import MAX_PAGES

_MAX_BARREN_PAGES: Final = 10  # in a row without a new record, while the total says more


class PageProgress:
    """Which pages of a list came, in whatever order, and whether that is all of it.

    Attributes:
        base: The first page that did not come yet.
        beyond: Pages behind it that came.
        size: Records a page.
        received: Records of all pages that came, before any is left out as a duplicate.
        total: The latest total; None if unknown.
        totals: The totals as told, without those that say what the one before said.
        repeated: Records of whole pages that came again where others were due.
        first_total: The total that the first page told; None if it told none, or none came.
        stopped_by: Why the walk ended; None while it has not.
        latest: Fingerprint of the last page that brought something; "" if none did.
        before: Fingerprint of the one before that.
        marks: Fingerprints of all that brought something, as far as this walk knows.
    """

    def __init__(
        self,
        *,
        size: int,
        base: int = 0,
        beyond: frozenset[int] = frozenset(),
        received: int = 0,
        total: int | None = None,
        before: str = "",
    ) -> None:
        self.base: int = base
        self.beyond: set[int] = {*beyond}
        self.size: int = size
        self.received: int = received
        self.total: int | None = total
        self.totals: list[int] = [] if total is None else [total]
        self.repeated: int = 0
        self.first_total: int | None = None
        self.stopped_by: StopReason | None = None
        self.latest: str = before
        self.before: str = ""
        self._barren = 0
        self.marks: set[str] = {before} - {""}

    def missing(self, total: int) -> Iterator[int]:
        """The pages that did not come yet, as far as that total reaches, the first one first."""
        number = self.base
        while number * self.size < total:
            if number not in self.beyond:
                yield number
            number += 1

    def looks_capped(self, count: int, total: int | None) -> bool:
        """Whether the first page is short, while the total says more: the server may cap the size.

        Args:
            count: Its records.
            total: The total it tells.
        """
        return 0 < count < self.size and total is not None and count < total

    def looks_ignored(self, number: int, total: int | None) -> bool:
        """Whether a page that was there before comes where the total says that there must be another one.

        Either the server does not heed the page number, or the list has moved by just a page.

        Args:
            number: Of the page.
            total: The total it tells.
        """
        return number > 0 and total is not None and (number + 1) * self.size <= total

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
        """Take account of a page that did not come yet; False if it brings nothing new.

        Args:
            number: Of the page.
            keys: What its records are known by.
            total: The total it tells.
            mark: The fingerprint of those, if it is known already.
            capped: Whether the server was found to cap the size.
            ignored: Whether the server was found not to heed the page number.

        Raises:
            APIResponseError: The server cannot be walked: it repeats a page where another must be, promises more and
                more, or never ends. The walk stays where it was.
        """
        count = len(keys)
        start = number * self.size
        if total is not None:
            # A total below what the very same page holds is not a total: go on until a page is empty.
            self.total = None if count and total < start + count <= start + self.size else total
        mark = fingerprint(keys) if mark is None else mark
        repeated = count > 0 and mark in self.marks
        barren = count == 0 or repeated
        if barren or number >= MAX_PAGES:
            self._refuse(number, repeated=repeated, barren=barren, ignored=ignored)
        if number == 0 and not barren and (capped or count > self.size or self.total is None):
            # The first page tells what the server makes of the size. Asking for just that from now on gives the same
            # pages whether the server counts them in its own size or in ours.
            self.size = count
        if not self.received and not self._barren:
            self.first_total = total
        if total is not None and self.totals[-1:] != [total]:
            self.totals.append(total)
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
        self.before, self.latest = self.latest, mark
        self.received += count
        if self.total is not None and self.received >= self.total:
            self._end("total")
        return True

    def _note_barren(self, start: int, count: int) -> None:
        self._barren += 1
        if self.total is None or start >= self.total:
            self._end("repeated page" if count else "empty page")
        else:
            self.repeated += count

    def _end(self, reason: StopReason) -> None:
        """End the walk, unless pages are left out between those that came."""
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
            raise APIResponseError(
                f"page {number} {what}, although {self.received} records came and the server tells of {total};"
                " the rest of the list cannot be had this way",
                status=200,
            )
