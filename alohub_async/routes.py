"""Routes: each has its own rate-limit budget."""

import functools
from typing import NamedTuple


class Route(NamedTuple):
    """One endpoint: a method, in upper case, and a path template. A tuple, because it is a fast dict key.

    The template is the path, from `/v1` on, with `{name}` for each value that varies.
    """

    method: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @classmethod
    @functools.lru_cache(maxsize=1024)  # programs call the same few paths repeatedly
    def of(cls, method: str, path: str) -> "Route":
        """The route of a literal path; a segment of digits counts as an id.

        The vendor does not document what counts as one route. Method and template is the narrowest interpretation.
        """
        segments = ("{id}" if segment.isdigit() else segment for segment in path.split("/"))
        return cls(method.upper(), "/".join(segments))
