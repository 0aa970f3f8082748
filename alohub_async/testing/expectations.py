"""The messages of failed assertions about requests."""

import json
from typing import Final

from alohub_async.plurals import counted
from alohub_async.testing.request_log import RecordedRequest, RequestFilter, Requests

_ROWS: Final = 20  # of a table: the latest ones
_BODY: Final = 60  # characters of a body


def mismatch(requests: Requests, wanted: RequestFilter, *, times: int | None) -> str | None:
    """Why not `times` requests match (None: at least one); None if they do."""
    count = len(requests.matching(wanted))
    if count == times or (times is None and count):
        return None
    expected = "at least 1 request" if times is None else counted(times, "request")
    return f"expected {expected}, received {count}: {wanted}\n{table(requests)}"


def table(requests: Requests) -> str:
    """The requests as lines of text. It shows no headers, and no query parameters but page and size, so no key."""
    if not requests:
        return "No requests were received."
    rows = [_row(number, request) for number, request in enumerate(requests)][-_ROWS:]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left_out = len(requests) - len(rows)
    return "\n".join(["Received requests:", *([f"… {left_out} earlier"] if left_out else []), *lines])


def _row(number: int, request: RecordedRequest) -> tuple[str, ...]:
    query = [f"{name}={request.query[name]}" for name in ("page", "size") if name in request.query]
    body = "" if request.json is None else json.dumps(request.json, ensure_ascii=False)
    return (
        f"[{number}]",
        request.method,
        "?".join([request.path, *(["&".join(query)] if query else [])]),
        "no response" if request.status is None else str(request.status),
        body if len(body) <= _BODY else f"{body[:_BODY]}…",
    )
