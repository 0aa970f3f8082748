"""What one answer says of one budget."""

import attrs


@attrs.frozen
class RateLimit:
    """What one answer said of one scope's budget (`X-RateLimit-…`).

    Attributes:
        limit: Requests the scope may make in one window. 0 or more.
        remaining: Requests it had left when the server answered. 0 or more, and never above `limit`.
        reset: Seconds from the answer until the budget is full again, or None when the server does not say (the
            vendor documents no such header; others send one).
    """

    limit: int
    remaining: int
    reset: float | None = None
