"""The prepared answers: files for nginx, in lists of several lengths and kinds.

A list is one directory with a file per page, or per id. Published SDKs find the next page by fields of their own APIs,
so lists exist in two forms: as in the contract, and with `navigation` fields for these SDKs. The bytes of the records
are the same in both.

Records have the types and nulls of the contract's example. A tenth of the names has Vietnamese letters. Ids rise, with
gaps.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from alohub_async.testing import WireQueue
from alohub_async.testing.contract import list_envelope
from benchmarks.speed.lists import FIRST_ID, LIST_PATH, Answers, List

_SEED: Final = 20_260_310
_SAMPLE: Final = 10_000  # records to compute their mean length
_NAMES: Final = ("Support", "Sales", "Billing", "Hotline", "Cham soc khach hang", "Tong dai ban hang")
_VIETNAMESE_NAMES: Final = ("Chăm sóc khách hàng", "Hỗ trợ kỹ thuật", "Đặt lịch khám bệnh", "Đường dây nóng")
_STRATEGIES: Final = (1, 1, 1, 1, 2, 2, 3, 4, 99)
_MUSIC: Final = ("waiting.wav", "waiting.wav", "moh-2026.mp3", None)
_LONGEST_WAIT: Final = 600  # seconds
_FLAGS: Final = (None, None, "0", "1")
_NEW_STRATEGIES: Final = (5, 6, 7, 8, 100)
_THRESHOLDS: Final = ("5", "10", "15", "15", "20", "30")


def _documented(rng: random.Random, number: int, queue_id: int) -> WireQueue:
    names = _VIETNAMESE_NAMES if rng.random() < 0.1 else _NAMES
    return {
        "callinId": queue_id,
        "callinName": f"{rng.choice(names)} {number}",
        "strategy": rng.choice(_STRATEGIES),
        "musicinQueue": rng.choice(_MUSIC),
        "timeWait": str(rng.randrange(_LONGEST_WAIT)) if rng.random() < 0.9 else None,
        "agentSelector": None,
        "nguongRanhRoi": rng.choice(_FLAGS),
        "callinNumber": f"024{rng.randrange(10**8):08}" if rng.random() < 0.5 else None,
    }


def _differing(record: WireQueue, rng: random.Random, answers: Answers) -> WireQueue:
    """The record with what is odd in this kind of answers."""
    if answers == "undocumented":
        hour, minute, second = rng.randrange(24), rng.randrange(60), rng.randrange(60)
        return {**record, "createdAt": f"2026-03-10T{hour:02}:{minute:02}:{second:02}Z"}
    if answers == "documented" or rng.random() >= 0.25:
        return record
    if answers == "numbers":
        return {**record, "strategy": rng.choice(_NEW_STRATEGIES)}
    if answers == "misfits":
        return {**record, "nguongRanhRoi": rng.choice(_THRESHOLDS)}
    return {**record, "timeWait": rng.randrange(_LONGEST_WAIT)}


def records(which: List) -> Iterator[WireQueue]:
    """The records of a list: always the same, and those of a shorter list are the first ones of a longer list."""
    rng, odd = random.Random(_SEED), random.Random(f"{_SEED} {which.answers}")
    queue_id = FIRST_ID
    for number in range(which.records):
        yield _differing(_documented(rng, number, queue_id), odd, which.answers)
        queue_id += 1 if which.form == "details" else rng.choice((1, 1, 1, 2, 5, 17))


def next_url(which: List, page: int) -> str | None:
    """The path of the next page, relative to the list; None on the last page."""
    return f"{LIST_PATH}?page={page + 1}&size={which.size}" if page + 1 < which.pages else None


def navigation(which: List, page: int) -> dict[str, object]:
    """The fields that point to the next page, for each SDK that reads them from the body."""
    url = next_url(which, page)
    cursor = "" if url is None else str(page + 1)
    return {
        "ok": True,  # slack_sdk: any other value is an error
        "response_metadata": {"next_cursor": cursor},  # slack_sdk
        "meta": {"key": "data"},  # twilio: the key of the records
        "next_page_uri": url,  # twilio
        "has_more": url is not None,  # openai
        "last_id": cursor,  # openai
        "object": "list",  # stripe
        "next_page_url": url and url.replace("/v1/", "/v2/"),  # stripe: newer lists are below /v2
        "next_token": cursor or None,  # aiobotocore, azure-core
    }


def _said(value: object) -> bytes:
    """Compact JSON in UTF-8, as servers send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _page(which: List, page: int, rows: Sequence[bytes]) -> bytes:
    """The body of a page with these records, which are JSON already: most lists have the same ones."""
    envelope = list_envelope([], total=which.records, total_style="int")
    if which.form == "sdk":
        envelope = {**navigation(which, page), **envelope}
    head, key, tail = _said(envelope).rpartition(b'"data":[')
    return b"".join((head, key, b",".join(rows), tail))


def prepare(root: Path, lists: Sequence[List]) -> None:
    """Write lists of one kind of records below `root`."""
    rows = [_said(record) for record in records(max(lists, key=lambda which: which.records))]
    for which in lists:
        directory = root / which.name
        directory.mkdir()
        if which.form == "details":
            for record_id, row in zip(which.ids, rows, strict=False):
                (directory / f"{record_id}.json").write_bytes(row)
            continue
        for page in range(which.pages):
            on_page = rows[page * which.size : min((page + 1) * which.size, which.records)]
            (directory / f"{page}.json").write_bytes(_page(which, page, on_page))


def mean_length() -> float:
    """The mean bytes of a documented record."""
    sample = [*records(List(1, _SAMPLE))]
    return len(_said(sample)) / len(sample)
