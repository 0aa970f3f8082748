"""The lists that are walked, by name; what is in them is in `pages.py`, which the contestants do not import."""

from typing import Final, Literal, TypeAlias

import attrs

LIST_PATH: Final = "/v1/queues/inbound"
FIRST_ID: Final = 1_001_226
"""The first id: the one of the vendor's example."""

Answers: TypeAlias = Literal["documented", "undocumented", "numbers", "misfits", "integers"]
"""How the records differ from the documentation."""

ANSWERS: Final[dict[Answers, str]] = {
    "documented": "as documented",
    "undocumented": "an undocumented field",
    "numbers": "new enum numbers",
    "misfits": "values that do not fit",
    "integers": "ints for strings",
}
"""The kinds of answers, and what tables and the picture call them."""

ODD: Final[tuple[Answers, ...]] = ("undocumented", "numbers", "misfits", "integers")

Form: TypeAlias = Literal["list", "sdk", "details"]
"""Pages as in the contract, pages with the fields that published SDKs read, or one answer per id."""


@attrs.frozen
class List:
    """One list.

    Attributes:
        pages: The number of pages.
        size: Records per page.
        answers: The kind of the records.
        form: The form of the answers.
    """

    pages: int
    size: int
    answers: Answers = "documented"
    form: Form = "list"

    @property
    def name(self) -> str:
        """The name of its directory and the first part of its path on the server."""
        return f"{self.form}-{self.answers}-{self.pages}x{self.size}"

    @property
    def records(self) -> int:
        """The total number of records. The last page lacks one, as the last page of most lists is not full."""
        return self.pages * self.size - (self.size > 1)

    @property
    def forms(self) -> "list[List]":
        """The forms in which it is served, this one first: pages in both forms."""
        return [self] if self.form != "list" else [self, attrs.evolve(self, form="sdk")]

    @property
    def ids(self) -> range:
        """The ids of its records in the form `details`."""
        return range(FIRST_ID, FIRST_ID + self.records)
