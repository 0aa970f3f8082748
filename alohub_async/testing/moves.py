"""A list that moves during a walk: queues are added and removed by script, or at random by seed."""

import random
from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import define, field

from alohub_async.testing.data import RecordTable

When: TypeAlias = Literal["before", "after"]
"""Before a page is read, so that it shows the moved list, or after, so that it does not."""

Change: TypeAlias = Callable[[RecordTable], object]


@define(eq=False)
class MoveScript:
    """The changes of the list while its pages are read; each scripted one is for the next time that its page is."""

    scripted: list[tuple[When, int, Change]] = field(init=False, factory=list[tuple[When, int, Change]])
    _at_random: Change | None = field(init=False, default=None)

    def add_random(self, *, seed: int, chance: float, most: int) -> None:
        """Add and remove records at random before pages are read, from now on."""
        rng = random.Random(seed)

        def change(table: RecordTable) -> None:
            for _ in range(rng.randint(1, most) if rng.random() < chance else 0):
                count = len(table.rows)
                if rng.getrandbits(1):
                    table.insert(rng.randint(0, count), table.fresh())
                elif count:
                    table.remove_at(rng.randrange(count))

        self._at_random = change

    def clear(self) -> None:
        """Remove the changes that have not happened yet, and stop the random ones."""
        self.scripted.clear()
        self._at_random = None

    def play(self, when: When, page: int, table: RecordTable) -> None:
        """Make the changes that are due before or after this page is read."""
        if when == "before" and self._at_random is not None:
            self._at_random(table)
        for move in [move for move in self.scripted if move[:2] == (when, page)]:
            self.scripted.remove(move)
            move[2](table)
