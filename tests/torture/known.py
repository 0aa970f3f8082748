"""What is known to fail today. An entry that fails no longer fails the test: it must be removed."""

from typing import Final

from attrs import frozen


@frozen
class Known:
    """A kind of violation.

    Attributes:
        points: The names of its points: a pattern of `fnmatch`.
        what: A regular expression that is found in its description.
        why: One sentence.
        example: A point that shows it. The short mode tries it, too; without one, the points must
            be of one test, and only the long mode can tell whether it still fails.
    """

    points: str
    what: str
    why: str
    example: str | None = None


KNOWN: Final[tuple[Known, ...]] = ()
