"""Routes: each has its own rate-limit budget."""

import functools
from typing import NamedTuple


class Route(NamedTuple):
    """A method, in upper case, and a path from `/v1` on, with `{name}` for what varies; a tuple is a fast dict key."""

    method: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @classmethod
    @functools.lru_cache(maxsize=1024)  # programs call the same few paths repeatedly
    def of(cls, method: str, path: str) -> "Route":
        """The route of a literal path; digits are an id. The narrowest interpretation: the vendor documents none."""
        segments = ("{id}" if segment.isdigit() else segment for segment in path.split("/"))
        return cls(method.upper(), "/".join(segments))
