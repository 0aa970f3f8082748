"""The API's errors, pages and updates, pure; from the vendor's page unless a docstring says `not documented`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, cast

from attrs import evolve, field, frozen
from multidict import MultiMapping

from alohub_async.testing.data import WireRecord
from alohub_async.validation import check_count, read_digits, validator

TotalStyle: TypeAlias = Literal["int", "string", "missing"]
"""The form of `totalRecord`: `3`, `"3"`, or missing."""

DetailStyle: TypeAlias = Literal["bare", "object", "list"]
"""The form of a detail: bare (the vendor's page), or an envelope whose `data` is an object or a list of one."""

CapStyle: TypeAlias = Literal["rebase", "truncate"]
"""The offset of a capped page: `page * cap`, or `page * size` (the page is only shorter)."""

# The error tables of the vendor's page, with its own words as messages.
PROBLEMS: Final = {
    400: ("INVALID_INPUT", "Sai input"),
    401: ("UNAUTHORIZED", "Thiếu hoặc sai API key"),
    403: ("INSUFFICIENT_SCOPE", "Key không có scope"),
    404: ("NOT_FOUND", "Không tìm thấy"),
    429: ("RATE_LIMIT_EXCEEDED", "Vượt giới hạn request"),
    500: ("FAIL", "Lỗi hệ thống"),
}

_MAX_NUMBER: Final = 2**63 - 1
_MAX_NAME: Final = 255  # bytes of a file name, on most file systems


@frozen
class Answer:
    """A response before it is sent, which is after `delay` seconds.

    `content_type` is without charset, `headers` are those besides `Content-Type` and `Content-Length`. `cut` is where
    the connection is closed: nowhere, before the response, or in the middle of its body. `tenant_remaining` and
    `route_remaining` are the requests left in the two windows; None without such a limit or tenant.
    """

    status: int = field(validator=validator(check_count, least=100, most=599))
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(factory=dict[str, str])
    delay: float = 0.0
    cut: Literal["nowhere", "before", "inside"] = "nowhere"
    tenant_remaining: int | None = None
    route_remaining: int | None = None

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """The response with more headers."""
        return evolve(self, headers={**self.headers, **headers})


def json_answer(payload: object, *, status: int = 200) -> Answer:
    """A response with a JSON body in UTF-8, with escapes only for lone surrogates."""
    return Answer(status, json.dumps(payload, ensure_ascii=False).encode(errors="backslashreplace"))


def gateway_page(status: int) -> Answer:
    """The HTML page of a gateway in front of the service."""
    page = f"<html>\n<head><title>{status}</title></head>\n<body><h1>{status}</h1></body>\n</html>\n"
    return Answer(status, page.encode(), "text/html")


def problem(status: int, *, code: str | None = None, message: str | None = None) -> Answer:
    """An error in the contract's form, by default with code and message of the error table."""
    usual_code, usual_message = PROBLEMS.get(status, PROBLEMS[500])
    body = {"success": "0", "error_code": code or usual_code, "error_message": message or usual_message}
    return json_answer(body, status=status)


def strip_prefix(path: str) -> str:
    """The path without the backend's prefix: the vendor's backend examples ({{host}}/api/v1/…) have one."""
    return path.removeprefix("/api") if path.startswith("/api/") else path


def is_backend(path: str) -> bool:
    """Whether the path has the backend's prefix."""
    return strip_prefix(path) != path


def path_fits(pattern: str, path: str) -> bool:
    """Whether a path is that of the pattern, in which `{id}` is any segment. The backend's prefix does not matter."""
    wanted, found = strip_prefix(pattern).split("/"), strip_prefix(path).split("/")
    fitting = (part == name or (part == "{id}" and name != "") for part, name in zip(wanted, found, strict=False))
    return len(wanted) == len(found) and all(fitting)


def whole_number(text: object) -> int | None:
    """The number of a string of ASCII digits; None for anything else, and for more than 64 bits hold."""
    number = read_digits(text)
    return number if number is not None and number <= _MAX_NUMBER else None


def fields_of(body: object) -> Mapping[str, object]:
    """The fields of a JSON object; none if it is no object."""
    return cast("dict[str, object]", body) if isinstance(body, dict) else {}


@frozen
class Paging:
    """How a list is asked for a page: by the query, or, if its pages count from 1, by a JSON body.

    `filters` are the fields, which hold numbers, by parameter; `required` is a parameter that must be sent.
    """

    size_name: str = "size"
    default: int = 20
    first: int = 0
    required: str | None = None
    filters: Mapping[str, str] = field(factory=dict[str, str])

    def read(self, query: MultiMapping[str], body: object) -> tuple[int, int] | str:
        """Page from 0 and size, or the message of a 400; what is refused is not documented."""
        given = fields_of(body) if self.first else query
        page, size = given.get("page", self.first), given.get(self.size_name, self.default)
        page, size = (number if type(number) is int else whole_number(number) for number in (page, size))
        if self.first and not isinstance(body, dict):
            return "Body phải là một JSON object"
        if self.required is not None and not query.get(self.required):
            return f"{self.required} là bắt buộc"
        if len(query.getall("page", [])) > 1 or len(query.getall(self.size_name, [])) > 1:
            return f"page, {self.size_name} chỉ được gửi một lần"
        if page is None or page < self.first:
            return f"page phải là số nguyên, bắt đầu từ {self.first}"
        return (page - self.first, size) if size and size > 0 else f"{self.size_name} phải là số nguyên dương"

    def select(self, rows: list[WireRecord], query: Mapping[str, str]) -> list[WireRecord] | str:
        """The rows that pass the filters, or the message of a 400."""
        for name in self.filters.keys() & query.keys():
            number = whole_number(query[name])
            if number is None or (name == "status" and number > 1):
                return f"{name} phải là {'0 hoặc 1' if name == 'status' else 'số nguyên'}"
            rows = [row for row in rows if row.get(self.filters[name]) == number]
        return rows


def list_envelope(rows: Sequence[WireRecord], *, total: int, total_style: TotalStyle) -> dict[str, object]:
    """The envelope of a list, with the total in this style."""
    shown = {} if total_style == "missing" else {"totalRecord": str(total) if total_style == "string" else total}
    return {"success": "1", "error_code": "SUCCESS", **shown, "data": list(rows)}


def detail_payload(record: WireRecord, *, style: DetailStyle) -> dict[str, object]:
    """A record's detail in this style."""
    if style == "bare":
        return record
    return {"success": "1", "error_code": "SUCCESS", "data": record if style == "object" else [record]}


UPDATED: Final = {"success": "1", "error_code": "SUCCESS", "error_message": "Inbound queue updated successfully"}


def _is_file_name(value: object) -> bool:
    if not isinstance(value, str) or not value.strip() or value in {".", ".."} or {"/", "\\"} & {*value}:
        return False
    return value.isprintable() and len(value.encode()) <= _MAX_NAME


def _is_strategy(value: object) -> bool:
    return type(value) is int and value in {1, 2, 3, 4, 99}


# The update table of the vendor's page: write name, read name, check, and the table's description.
_WRITABLE: Final[dict[str, tuple[str, Callable[[object], bool], str]]] = {
    "moh_file_id": ("musicinQueue", _is_file_name, "chuỗi tên file nhạc chờ"),
    "max_wait_sec": ("timeWait", lambda text: whole_number(text) is not None, "chuỗi số, đơn vị giây"),
    "strategy": ("strategy", _is_strategy, "số nguyên trong tập {1,2,3,4,99}"),
    "announce_position": ("nguongRanhRoi", ("0", "1").__contains__, '"0" hoặc "1"'),
}


def read_update(body: object) -> WireRecord | str:
    """The changes by read name, or the message of a 400. Refusing unknown fields, null, bad names is undocumented."""
    if not isinstance(body, dict):
        return "Body phải là một JSON object"
    changes: WireRecord = {}
    for name, value in cast("dict[str, object]", body).items():
        if name not in _WRITABLE:
            return f"Field không hợp lệ: {name}"
        read_name, accepts, description = _WRITABLE[name]
        if not accepts(value):
            return f"{name} phải là {description}"
        changes[read_name] = value
    return changes or "Cần ít nhất 1 field để cập nhật"
