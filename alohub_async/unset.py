"""`UNSET`: a value that was not given, where None has a meaning of its own."""

import enum
from typing import Final, Literal


class UnsetType(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return self.name


UNSET: Final = UnsetType.UNSET
"""Not given: the client's own option, or a field that stays as it is. None means "none" for an option, and is refused
for a field, since nobody knows what the API does with null."""
