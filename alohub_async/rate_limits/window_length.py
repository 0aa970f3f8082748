"""How long the window of a budget is: as given, as headers say, or as 429s show. Pure state.

Where headers say a window, it is used; another one than before only if it is said twice in a row.

Otherwise, a server whose window is longer than the given one is exceeded about once per window. Two 429s with requests
served between them, whose `Retry-After` no window of the assumed length explains, show a longer one. It is used for two
of these windows. Then the given one is tried again; one such 429 brings the longer one back, for twice as long. So a
wrong `Retry-After` changes nothing for good.
"""

import math
from typing import Final

import attrs

SHOWN: Final = 4  # windows in which a second 429 confirms what the first one showed
_FIRST_TRUST: Final = 2  # windows that a longer window is used, before the given one is tried again
_MAX_TRUST: Final = 64


@attrs.define(eq=False, repr=False)
class WindowLength:
    """The assumed length. What changes it returns whether the window is to be used anew."""

    seconds: float
    said: float | None = None  # by headers
    _given: float = attrs.field(init=False)
    _said_next: float | None = None
    _shown: float = 0.0
    _shown_until: float = -math.inf  # until then, one more 429 confirms what was shown
    _served_since: bool = False
    _until: float = math.inf  # until then a longer one is used
    _trust: int = _FIRST_TRUST

    def __attrs_post_init__(self) -> None:
        self._given = self.seconds

    def follow(self, said: float) -> bool:
        """Note what headers say."""
        use = self.said is None or said == self._said_next
        if use:
            self._given = self.said = self.seconds = said
            self._until = math.inf
        self._said_next = said
        return use

    def served(self) -> None:
        """Note a served request."""
        self._served_since = True

    def denied(self, now: float, retry_after: float, *, limit: int, oldest: float) -> bool:
        """Note a 429 with that `Retry-After`; the `oldest` request that counts for the limit was answered then.

        Servers round up to whole seconds. A weighted counter that is used up in its current window allows the next
        request up to one window and a share of `1 / limit` later; more if it counts denied requests.
        """
        if retry_after <= self.seconds + max(1.0, 2 * self.seconds / limit):
            return False
        window = retry_after + (min(now - oldest, retry_after) if math.isfinite(oldest) else 0.0)
        use = False
        if now >= self._shown_until:
            self._trust, self._shown = _FIRST_TRUST, window
        elif self._served_since:
            self._shown = self.seconds = window = max(window, self._shown)
            self._until = now + self._trust * window
            self._trust = min(2 * self._trust, _MAX_TRUST)
            use = True
        self._shown_until, self._served_since = now + SHOWN * window, False
        return use

    def given_again(self, now: float) -> bool:
        """Use the given one again, if a longer one has had its time."""
        if now < self._until:
            return False
        self._until = math.inf
        self._shown_until, self._served_since = now + SHOWN * self.seconds, True
        self.seconds = self._given
        return True
