"""What the API does with a request, as pure functions: routes, errors, pages, updates.

Every wire fact is the vendor's page unless the docstring says that nobody told us and what was chosen.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, cast

from attrs import evolve, field, frozen

from alohub_async.testing.data import WireRecord

TotalStyle: TypeAlias = Literal["int", "string", "missing"]
"""How `totalRecord` arrives: `3`, `"3"`, or not at all."""

DetailStyle: TypeAlias = Literal["bare", "object", "list"]
"""How a detail arrives: the object alone (the vendor's page), or enveloped, `data` an object or a list of one."""

CapStyle: TypeAlias = Literal["rebase", "truncate"]
"""What a page-size cap does to the offset: `page * cap`, or `page * size` (the page only gets shorter)."""

# The vendor's page: gateway examples have no prefix, backend examples ({{host}}/api/v1/…) have this one.
_BACKEND_PREFIX: Final = "/api"

# The error tables of the vendor's page, with its own words as messages.
_PROBLEMS: Final = {
    400: ("INVALID_INPUT", "Sai input"),
    401: ("UNAUTHORIZED", "Thiếu hoặc sai API key"),
    403: ("INSUFFICIENT_SCOPE", "Key không có scope"),
    404: ("NOT_FOUND", "Không tìm thấy"),
    429: ("RATE_LIMIT_EXCEEDED", "Vượt giới hạn request"),
}
_SYSTEM_ERROR: Final = ("FAIL", "Lỗi hệ thống")

_DEFAULT_SIZE: Final = 20
_LONGEST_NUMBER: Final = 18  # digits: what certainly fits a 64-bit integer


@frozen
class Answer:
    """One answer before it is sent.

    Attributes:
        status: The HTTP status.
        body: The body, as bytes.
        content_type: Its media type, without charset.
        headers: Headers besides `Content-Type` and `Content-Length`.
        delay: Seconds to wait before it is sent.
        cut: Where the connection is closed: after the whole answer, before anything, or in the middle of the body.
        tenant_remaining: What the tenant's window had left, None without such a limit or before the tenant is known.
        route_remaining: What the route's window had left.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(factory=dict[str, str])
    delay: float = 0.0
    cut: Literal["nowhere", "before", "inside"] = "nowhere"
    tenant_remaining: int | None = None
    route_remaining: int | None = None

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """The same answer with more headers."""
        return evolve(self, headers={**self.headers, **headers})


def json_answer(payload: object, *, status: int = 200) -> Answer:
    """An answer with a JSON body, UTF-8 without escapes where UTF-8 can say it (half a surrogate pair it cannot)."""
    try:
        return Answer(status, json.dumps(payload, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return Answer(status, json.dumps(payload).encode())


def problem(status: int, *, code: str | None = None, message: str | None = None) -> Answer:
    """An error in the contract's shape; code and message are the error table's unless given."""
    usual_code, usual_message = _PROBLEMS.get(status, _SYSTEM_ERROR)
    body = {"success": "0", "error_code": code or usual_code, "error_message": message or usual_message}
    return json_answer(body, status=status)


def strip_prefix(path: str) -> str:
    """The path without the backend's prefix."""
    return path.removeprefix(_BACKEND_PREFIX) if path.startswith(f"{_BACKEND_PREFIX}/") else path


def whole_number(text: str) -> int | None:
    """The number that ASCII digits mean; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


@frozen
class PageRequest:
    """The page asked for: its number from 0, and its size in records."""

    page: int
    size: int


def read_page_request(query: Mapping[str, str]) -> PageRequest | str:
    """The page asked for (defaults 0 and 20, the vendor's page), or the message of a 400.

    What the service does with garbage is not documented; here anything but digits, a size of 0, or more than 18
    digits is refused. Other parameters are ignored.
    """
    page = whole_number(query.get("page", "0"))
    size = whole_number(query.get("size", str(_DEFAULT_SIZE)))
    if page is None:
        return "page phải là số nguyên, bắt đầu từ 0"
    if not size:
        return "size phải là số nguyên dương"
    return PageRequest(page, size)


def page_slice(asked: PageRequest, *, cap: int | None, cap_style: CapStyle) -> slice:
    """Which records of the list the page holds.

    Whether the service caps the size, and what it does to the offset, is not documented: hence the two styles.
    """
    size = asked.size if cap is None else min(asked.size, cap)
    start = asked.page * (size if cap_style == "rebase" else asked.size)
    return slice(start, start + size)


def list_envelope(rows: Sequence[WireRecord], *, total: int, total_style: TotalStyle) -> dict[str, object]:
    """The list's envelope as on the vendor's page, with the total in the chosen style."""
    totals: dict[TotalStyle, dict[str, object]] = {
        "int": {"totalRecord": total},
        "string": {"totalRecord": str(total)},
        "missing": {},
    }
    return {"success": "1", "error_code": "SUCCESS", **totals[total_style], "data": list(rows)}


def detail_payload(record: WireRecord, *, style: DetailStyle) -> dict[str, object]:
    """A record's detail: bare as on the vendor's page, or enveloped."""
    if style == "bare":
        return record
    return {"success": "1", "error_code": "SUCCESS", "data": record if style == "object" else [record]}


UPDATED: Final = {"success": "1", "error_code": "SUCCESS", "error_message": "Inbound queue updated successfully"}
"""The answer to an update that was taken (the vendor's page)."""


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_wait(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]+", value) is not None


def _is_strategy(value: object) -> bool:
    return type(value) is int and value in {1, 2, 3, 4, 99}


def _is_switch(value: object) -> bool:
    return isinstance(value, str) and value in {"0", "1"}


@frozen
class _Writable:
    read_name: str
    accepts: Callable[[object], bool]
    message: str


# The update table of the vendor's page: write name -> read name, form, and what it says of the form.
_WRITABLE: Final = {
    "moh_file_id": _Writable("musicinQueue", _is_file_name, "moh_file_id phải là chuỗi tên file nhạc chờ"),
    "max_wait_sec": _Writable("timeWait", _is_wait, "max_wait_sec phải là chuỗi số, đơn vị giây"),
    "strategy": _Writable("strategy", _is_strategy, "strategy phải là số nguyên trong tập {1,2,3,4,99}"),
    "announce_position": _Writable("nguongRanhRoi", _is_switch, 'announce_position phải là "0" hoặc "1"'),
}


def read_update(body: object) -> WireRecord | str:
    """The changes under their read names, or the message of a 400.

    At least one field, each in the documented form. That an unknown field, null or an empty file name is refused is a
    choice: the vendor's page is silent on them.

    Args:
        body: The decoded body; anything but an object (None when it was not JSON) is refused.
    """
    if not isinstance(body, dict):
        return "Body phải là một JSON object"
    changes: WireRecord = {}
    for name, value in cast("dict[str, object]", body).items():
        rule = _WRITABLE.get(name)
        if rule is None:
            return f"Field không hợp lệ: {name}"
        if not rule.accepts(value):
            return rule.message
        changes[rule.read_name] = value
    return changes or "Cần ít nhất 1 field để cập nhật"


def whole_seconds(seconds: float) -> int:
    """`Retry-After` in whole seconds: rounded up (but not over an error of floating point), at least 1."""
    return max(1, math.ceil(seconds - 1e-9))
