"""The endpoints, as constants. A route is the key of its own rate-limit budget."""

import functools
from typing import Final, NamedTuple


class Route(NamedTuple):
    """One endpoint: a method and a path template; a tuple, which is quick to look up by.

    Attributes:
        method: The HTTP method, in capitals.
        template: The path, from `/v1` on, with `{name}` for each value that varies.
    """

    method: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @classmethod
    @functools.lru_cache(maxsize=1024)  # a program asks for the same few paths again and again
    def of(cls, method: str, path: str) -> "Route":
        """The route of a literal path: segments of digits are taken for ids.

        What the server counts as one route is not documented; method and template is the narrowest reading.
        """
        segments = ("{id}" if segment.isdigit() else segment for segment in path.split("/"))
        return cls(method.upper(), "/".join(segments))


LIST_INBOUND: Final = Route("GET", "/v1/queues/inbound")
GET_INBOUND: Final = Route("GET", "/v1/queues/inbound/{id}")
UPDATE_INBOUND: Final = Route("PUT", "/v1/queues/inbound/{id}")
