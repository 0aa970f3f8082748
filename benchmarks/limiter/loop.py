"""Virtual time: callbacks run in the order of their time, and the clock jumps from one to the next."""

import heapq
from collections.abc import Callable
from itertools import count


class Loop:
    """A discrete-event loop; `now` is in seconds."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Schedule a call for that time, or for now if it has passed; calls for the same time keep their order."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), call))

    def run(self, until: float) -> None:
        """Run all calls that are due before that time."""
        while self._events and self._events[0][0] < until:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = until
