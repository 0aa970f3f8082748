"""Counts in messages."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number and its noun, such as `"1 queue"` or `"2,000 queues"`; a `plural` of None adds an `s`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
