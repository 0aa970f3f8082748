"""From a route that lists to a `Pager`: the one place where fetching, structuring and the deadline of a walk meet."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from alohub_async.config import check_deadline
from alohub_async.errors import DeadlineExceededError, InvalidArgumentError
from alohub_async.pagination import FetchedPage, Pager, PageToken, check_page_size
from alohub_async.requestor import Requestor
from alohub_async.routes import Route
from alohub_async.wire import build_request, read_list

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 100
"""Records a page when neither the caller nor a token says. The API's own default is 20 (the vendor's page)."""


def make_pager(
    requestor: Requestor,
    route: Route,
    structure: Callable[[Sequence[Any], int], list[T]],
    *,
    path: str | None = None,
    params: Mapping[str, str | int] | None = None,
    page_size: int | None,
    token: str | None,
    deadline: float | None,
    key: str | None,
) -> Pager[T]:
    """Make the pager of a list; nothing is sent yet.

    Args:
        requestor: Sends.
        route: The list's route.
        structure: Makes the records of a page, given its number.
        path: The literal path, if the route does not name it.
        params: The query, apart from `page` and `size`.
        page_size: Records a page; None for the token's, or `DEFAULT_PAGE_SIZE`.
        token: Where to start.
        deadline: Seconds for the whole walk, from its first request.
        key: Wire name of the field by which a record is known; None if there is none.

    Raises:
        InvalidArgumentError: An argument outside of what is said above.
    """
    query = dict(params or {})
    if reserved := {"page", "size"} & query.keys():
        raise InvalidArgumentError(
            f"params must not hold {sorted(reserved)}: the pager sets them; use page_size or token"
        )
    # Bad input is refused here, not at the first step.
    build_request(route, requestor.config.endpoint, path=path, params=query)
    listed = f"{route.method} {path or route.template}?{urlencode(sorted(query.items()))}".rstrip("?")
    start = None if token is None else PageToken.decode(token, listed=listed)
    if page_size is not None and check_page_size(page_size) and start is not None and start.asked != page_size:
        raise InvalidArgumentError(
            f"the token is of a walk with page_size={start.asked}; leave page_size={page_size} out, or start anew"
        )
    seconds = check_deadline(deadline)
    ends: float | None = None

    async def fetch(page: int, size: int) -> FetchedPage[T]:
        nonlocal ends
        left: float | None = None
        if seconds is not None:
            now = asyncio.get_running_loop().time()
            ends = now + seconds if ends is None else ends
            left = ends - now
            if left <= 0:
                raise DeadlineExceededError(
                    f"{listed}: not walked within its deadline of {seconds:.2f} s", maybe_sent=False
                )
        request = build_request(
            route, requestor.config.endpoint, path=path, params={**query, "page": page, "size": size}
        )
        response = await requestor.send(request, deadline=left)
        found = read_list(response.payload, request=str(request))
        return FetchedPage(
            structure(found.items, page), [_known_by(record, key) for record in found.items], found.total
        )

    return Pager(
        fetch,
        listed=listed,
        page_size=start.size if start is not None else (page_size or DEFAULT_PAGE_SIZE),
        unique=key is not None,
        token=start,
    )


def _known_by(record: Mapping[str, Any], key: str | None) -> Hashable:
    # A record without its id is known by all it says, so that two broken ones are not taken for one.
    value = record.get(key) if key is not None else None
    return value if isinstance(value, int | str) else repr(record)
