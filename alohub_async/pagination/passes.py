"""The pass engine: walk a list again and again, until one pass proves that the list is whole although it moves.

Pages are counted by position. A record that is added or removed during a walk therefore shifts all records behind it:
one record may be skipped, another one may come twice. No way of fetching such pages can exclude that in a single walk.

What proves a pass whole: it brought as many different ids as the list had when the pass began, and every one of these
ids was known before the pass began. The argument:

1. An id is never given twice. So a record that was there before the pass began, and was there again during the pass,
   was there all the time in between: it was in the list at the moment when the pass began.
2. All ids of the pass are of that kind, so each of them was in the list at that moment.
3. The list had just as many records at that moment. So there were no others: no record of that moment is missing.

"When the pass began" is when the server reported the first total. For step 1, all records of the pass must have been
listed then or later. So the first total must be reported before the first records, or together with them. (Pages are
not fetched concurrently until a total is known.) If there is none, a proof by number is not possible.

The server may report no total, count records that it does not show, or cap its count (a page then refutes the total).
Then two successive passes that brought the same ids, without a sign of movement in either, are accepted as the whole
list.

This module is pure. `RepairingSource` drives it in one pager, an export across processes, from its journal.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import attrs

from alohub_async.pagination.page import Drift
from alohub_async.pagination.seen_keys import KeySet
from alohub_async.pagination.token import as_tuple


@attrs.frozen(kw_only=True)
class PassesState:
    """Where the passes stand, apart from the keys: together they make a checkpoint."""

    number: int = 1  # of the current pass
    first_total: int | None = None  # when this pass began; None if it is not known, or no page has come
    moved: bool = False  # whether this pass shows a sign that the list moved
    moved_before: bool | None = None  # whether the pass before did; None if there is none
    totals: tuple[int, ...] = attrs.field(default=(), converter=as_tuple)  # of all passes, without repetition in a row
    duplicates: int = 0  # records that came again within a pass, over all passes
    refuted: bool = False  # whether a page, in any pass, refuted its total: then totals prove nothing
    settled: bool | None = None  # whether the list was proven whole; None while that is open


class Passes:
    """What the passes over one list brought, and whether they prove it whole.

    A key is an int or a string, which is an id; or a tuple, for a record without an id. Such a record counts, but is
    never taken for a duplicate: another record may look the same.

    Each call brings the drift that the walk of this pass reports so far, so that it need not be reported in steps.
    """

    def __init__(self) -> None:
        self.state: PassesState = PassesState()  # a new object after each change
        self._known: KeySet = KeySet(with_anonymous=True)  # before this pass
        self._before: KeySet | None = None  # in the pass before
        self._begin()

    def _begin(self) -> None:
        self._now: KeySet = KeySet(with_anonymous=True)
        self._refetched: KeySet = KeySet(with_anonymous=True)
        self._noted = Drift()  # of the walk of this pass
        self._totals: dict[int, int] = {}  # by page
        self._shifted: set[int] = set()  # pages that brought duplicates

    @property
    def count(self) -> int:
        """How many different records came in this pass."""
        return len(self._now)

    @property
    def finished(self) -> int:
        """How many passes have ended."""
        return self.state.number - (self.state.settled is None)

    def came(self, key: Hashable) -> bool:
        """Whether a record with this id came in this pass already."""
        return not isinstance(key, tuple) and key in self._now

    def was_known(self, key: Hashable) -> bool:
        """Whether a record with this key came in an earlier pass."""
        return key in self._known

    def holds(self, key: Hashable) -> bool:
        """Whether a record with this key may be in the list: once that is proven whole, if it came in the last pass."""
        return not self.state.settled or key in self._now

    def add_page(self, number: int, keys: Sequence[Any], total: int | None, drift: Drift) -> frozenset[int]:
        """Add a page of this pass: the identity keys of its records, without duplicates that `drift` counts.

        `total` is that of the walk: None if none is known, or the latest was refuted.
        Returns the indexes of the records that came in this pass already.
        """
        noted = self._noted.duplicates
        self._note(drift)
        repeated = self._now.add_all(keys)
        if repeated:
            self.state = attrs.evolve(self.state, moved=True, duplicates=self.state.duplicates + len(repeated))
        if repeated or drift.duplicates > noted:
            self._shifted.add(number)
        if total is not None:
            self._totals[number] = total
        elif drift.totals:
            self.state = attrs.evolve(self.state, refuted=True)
        return repeated

    def _note(self, drift: Drift) -> None:
        state, noted, totals = self.state, self._noted, self.state.totals
        for total in drift.totals[len(noted.totals) :]:
            if totals[-1:] != (total,):
                totals = (*totals, total)
        self.state = attrs.evolve(
            state,
            first_total=state.first_total if self._now else next(iter(drift.totals), None),
            moved=state.moved or drift.duplicates > 0 or len(drift.totals) > 1,
            totals=totals,
            duplicates=state.duplicates + drift.duplicates - noted.duplicates,
        )
        self._noted = drift

    def suspects(self) -> list[int]:
        """Return the pages where the list shifted, which have any skipped record: `add_refetched` may save a pass."""
        totals = self._totals
        edges = [number for number, total in totals.items() if number and totals.get(number - 1, total) != total]
        pages = {*self._shifted, *edges}
        return sorted({number for page in pages for number in (page - 1, page) if number >= 0})

    def add_refetched(self, keys: Sequence[Any]) -> None:
        """Add a page that was fetched again after this pass: its records are known to the next pass."""
        self._refetched.add_all(keys)

    def end_pass(self, drift: Drift, *, max_passes: int | None, refuted: bool = False) -> bool:
        """Begin another pass (True), unless the list is proven whole or `max_passes` are done; None is for no proof.

        `refuted`: the latest total of the walk was refuted, if there was one.
        """
        self._note(drift)
        if refuted and drift.totals:
            self.state = attrs.evolve(self.state, refuted=True)
        if max_passes is None:
            return False
        state, before = self.state, self._before
        proven = not state.refuted and self.count == state.first_total and self._now <= self._known
        is_same = before is not None and self.count == len(before) and self._now <= before
        agreed = is_same and not state.moved and state.moved_before is False
        if proven or agreed or state.number >= max_passes:
            self.state = attrs.evolve(state, settled=proven or agreed)
            return False
        self._turn()
        number, moved = state.number + 1, state.moved
        self.state = attrs.evolve(state, number=number, first_total=None, moved=False, moved_before=moved)
        return True

    def _turn(self) -> None:
        """Begin the next pass."""
        self._known.update(self._now)
        self._known.update(self._refetched)
        self._before = self._now
        self._begin()

    def restore(self, keys: Sequence[Any], state: PassesState) -> None:
        """Add all keys since the checkpoint before, and continue at this one."""
        self._now.add_all(keys)
        if state.number > self.state.number:
            self._turn()
        self.state = state
