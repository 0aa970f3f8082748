"""One task at a time, first come first served, at no cost as long as only one comes."""

import asyncio
from collections import deque


class Turn:
    """As an `asyncio.Lock`, but that nothing needs to be called where no task waits, and that it is of no event loop.

    Who comes sets `taken`, or waits if it is set, which also takes the turn; and in the end calls `end`.

    Attributes:
        taken: Whether it is anybody's turn.
    """

    def __init__(self) -> None:
        self.taken: bool = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for the turn, which must be taken, and take it over."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except BaseException:
            if given.done() and not given.cancelled():
                self.end()  # it was given at the very moment
            elif given in self._waiting:
                self._waiting.remove(given)
            raise

    def end(self) -> None:
        """Give the turn to the first who waits."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self.taken = False
