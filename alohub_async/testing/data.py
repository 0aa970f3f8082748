"""The sandbox's records: seeded queues by wire name, and the table of a tenant's records."""

import json
import random
import reprlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Final, Literal, TypeAlias, cast

from attrs import define, field

from alohub_async.errors import InvalidArgumentTypeError
from alohub_async.validation import read_digits, refuse

WireRecord: TypeAlias = dict[str, object]
"""One record under its wire names."""

WireQueue: TypeAlias = WireRecord
"""One queue under its wire names (`callinId`, `callinName`, …)."""

OtherRecords: TypeAlias = Literal["agents", "campaigns", "calls"]
"""What the other lists hold, whose fields are not documented."""

FIRST_ID: Final = 1_001_226
"""The first seeded id: the one of the vendor's examples."""

_WORK: Final = (
    "Chăm sóc khách hàng, Tổng đài bán hàng, Hỗ trợ kỹ thuật, Khiếu nại và bảo hành, Đặt lịch khám bệnh,"
    " Tư vấn tín dụng, Đặt vé máy bay, Giao nhận hàng hoá, Thu hồi công nợ, Khách hàng thân thiết, Đường dây nóng,"
    " Tiếp nhận sự cố điện, Tuyển sinh, Đặt bàn nhà hàng, Hàng chờ ngoài giờ"
)
_PLACES: Final = (
    "Hà Nội, TP. Hồ Chí Minh, Đà Nẵng, Hải Phòng, Cần Thơ, Huế, Nha Trang, Đắk Lắk, Quảng Ninh, Thừa Thiên,"
    " Bà Rịa - Vũng Tàu, Vĩnh Phúc, Phú Thọ, Kiên Giang, toàn quốc"
)
_MUSIC: Final = ("waiting.wav", "waiting.wav", "nhac_cho_tet.wav", "gioi_thieu_cong_ty.wav", "moh-2026.mp3", None)
_WAITS: Final = ("30", "60", "90", "120", "120", "180", "300", "600", "0", None)
_STRATEGIES: Final = (1, 1, 1, 1, 2, 2, 3, 4, 99, None)
_SELECTORS: Final = (None, None, None, "rrmemory", "leastrecent")
_ANNOUNCE: Final = ("0", "1", "1", None)
_AREAS: Final = ("024", "028", "0236", "0225", "0292", "1900", "1800", None)


def _number(rng: random.Random) -> str | None:
    prefix = rng.choice(_AREAS)
    if prefix is None:
        return None
    # Geographic numbers have 11 digits with the leading zero, 1900/1800 numbers have 8.
    digits = (11 if prefix.startswith("0") else 8) - len(prefix)
    return prefix + "".join(rng.choices("0123456789", k=digits))


def seed_queues(count: int, *, seed: int = 0) -> list[WireQueue]:
    """Make `count` queues, always the same for the same seed; fewer queues are the first ones of more.

    Types are those of the contract's example: integer ids with gaps, strings of digits, and nulls here and there.
    """
    rng = random.Random(seed)
    queue_id = FIRST_ID
    queues: list[WireQueue] = []
    for _ in range(count):
        queue: WireQueue = {
            "callinId": queue_id,
            "callinName": f"{rng.choice(_WORK.split(', '))} {rng.choice(_PLACES.split(', '))}",
            "strategy": rng.choice(_STRATEGIES),
            "musicinQueue": rng.choice(_MUSIC),
            "timeWait": rng.choice(_WAITS),
            "agentSelector": rng.choice(_SELECTORS),
            "nguongRanhRoi": rng.choice(_ANNOUNCE),
            "callinNumber": _number(rng),
        }
        queues.append(queue)
        queue_id += rng.choice((1, 1, 1, 2, 5, 17))
    return queues


def seed_rows(name: OtherRecords, queues: Iterable[WireQueue], *, seed: int) -> list[WireRecord]:
    """Agents of these queues, campaigns or call logs; their fields are made up, as nobody has told them."""
    rng = random.Random(f"{name} {seed}")
    if name == "agents":
        served = [queue.get("callinId") for queue in queues for _ in range(rng.choice((0, 1, 1, 2, 4)))]
        statuses = rng.choices((1, 0), (4, 1), k=len(served))
        rows = zip(served, statuses, strict=True)
        return [
            {"agentId": 501 + n, "queueId": row[0], "status": row[1], "teamId": n % 5} for n, row in enumerate(rows)
        ]
    key = f"{name.removesuffix('s')}Id"
    return [{key: number, "name": rng.choice(_WORK.split(", "))} for number in range(1, 126)]


def check_json(name: str, value: object) -> None:
    """Check that a value can be sent as JSON."""
    try:
        json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as exc:
        shown = reprlib.repr(value)  # short, however deep it is nested
        raise InvalidArgumentTypeError(f"{name} must be a JSON value ({exc}); {shown} was given") from None


def copy_record(name: str, record: Mapping[str, object]) -> WireRecord:
    """A copy of a record that can be sent."""
    copied = deepcopy(dict(record))
    check_json(name, copied)
    return copied


@define(eq=False)
class RecordTable:
    """One tenant's records, in the order of the list; `details` has what differs in a detail, None to hide it."""

    rows: list[WireRecord]
    id_field: str = "callinId"
    details: dict[int, WireRecord | None] = field(init=False, repr=False, factory=dict[int, WireRecord | None])
    _by_id: dict[int, WireRecord] = field(init=False, repr=False, factory=dict[int, WireRecord])
    _next_id: int = field(init=False, repr=False, default=FIRST_ID)

    def __attrs_post_init__(self) -> None:
        self._index(self.rows)

    def _id_of(self, record: WireRecord) -> int | None:
        value = record.get(self.id_field)
        return value if isinstance(value, int) else read_digits(value)

    def _index(self, rows: Iterable[WireRecord]) -> None:
        for row in rows:
            queue_id = self._id_of(row)
            if queue_id is not None:
                self._by_id.setdefault(queue_id, row)
                self._next_id = max(self._next_id, queue_id + 1)

    @classmethod
    def of(cls, queues: int | Iterable[Mapping[str, object]], *, seed: int = 0) -> "RecordTable":
        """Seed this number of queues, or copy the given ones unchanged."""
        is_number = isinstance(queues, int) and not isinstance(queues, bool)
        with suppress(TypeError, ValueError):
            if not isinstance(queues, int | str | Mapping):
                return cls([copy_record("queues", queue) for queue in queues])
            if isinstance(queues, int) and is_number and queues >= 0:
                return cls(seed_queues(queues, seed=seed))
        allowed = "how many, 0 or more, or the queues themselves by wire name"
        raise refuse("queues", allowed, cast("object", queues), wrong_type=not is_number)

    def find(self, queue_id: int) -> WireRecord | None:
        """The first record with this id, or None."""
        return self._by_id.get(queue_id)

    def detail(self, queue_id: int) -> WireRecord | None:
        """The record as its detail shows it; None if there is none or it is hidden."""
        queue, changes = self.find(queue_id), self.details.get(queue_id, {})
        return None if queue is None or changes is None else {**queue, **changes}

    def fresh(self) -> WireRecord:
        """A new queue, not in the list yet, with an id that no record has or had."""
        self._next_id += 1
        [queue] = seed_queues(1, seed=self._next_id)
        return {**queue, "callinId": self._next_id - 1}

    def insert(self, index: int, queue: WireRecord) -> None:
        """Insert a record into the list, as `list.insert` does."""
        self.rows.insert(index, queue)
        self._index([queue])

    def remove(self, queue_id: int) -> None:
        """Remove the record with this id from the list, if there is one."""
        queue = self.find(queue_id)
        if queue is not None:
            self.remove_at(next(index for index, row in enumerate(self.rows) if row is queue))

    def remove_at(self, index: int) -> None:
        """Remove the record at this index from the list."""
        gone = self.rows.pop(index)
        queue_id = self._id_of(gone)
        if queue_id is not None and self._by_id.get(queue_id) is gone:
            del self._by_id[queue_id]
            if len(self._by_id) < len(self.rows):  # another record may have the same id
                self._index(self.rows)
