"""Expectations about the requests that came, and the message if they are not met."""

import json
from typing import Final

from alohub_async.testing.request_log import RecordedRequest, RequestFilter, Requests

_ROWS: Final = 20  # of a table; the latest are what a test is about
_BODY: Final = 60  # characters of a body


def mismatch(requests: Requests, wanted: RequestFilter, *, times: int | None) -> str | None:
    """Why the requests are not as expected; None when they are.

    Args:
        requests: All that came.
        wanted: Which of them are meant.
        times: How many of those there should be; None for one or more.
    """
    count = len(requests.matching(wanted))
    if count == times or (times is None and count):
        return None
    expected = "at least one" if times is None else str(times)
    return f"expected {expected}, came {count}: {wanted}\n{table(requests)}"


def table(requests: Requests) -> str:
    """The requests as lines of text: no header, and of the query only the page and its size, so no key."""
    if not requests:
        return "No request came."
    rows = [_row(number, request) for number, request in enumerate(requests)][-_ROWS:]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left_out = len(requests) - len(rows)
    return "\n".join(["Requests that came:", *([f"… {left_out} before these"] if left_out else []), *lines])


def _row(number: int, request: RecordedRequest) -> tuple[str, ...]:
    query = [f"{name}={request.query[name]}" for name in ("page", "size") if name in request.query]
    body = "" if request.json is None else json.dumps(request.json, ensure_ascii=False)
    return (
        f"[{number}]",
        request.method,
        "?".join([request.path, *(["&".join(query)] if query else [])]),
        "no answer" if request.status is None else str(request.status),
        body if len(body) <= _BODY else f"{body[:_BODY]}…",
    )
