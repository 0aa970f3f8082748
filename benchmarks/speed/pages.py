"""The prepared pages: responses of the sandbox as files, in lists of several lengths.

A list is one directory with a file per page. Published SDKs find the next page by fields of their own APIs, so each
list exists in two variants: as in the contract, and with `navigation` fields for these SDKs. The bytes of the records
are the same in both.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from alohub_async.testing import WireQueue, seed_queues
from alohub_async.testing.contract import list_envelope

LIST_PATH: Final = "/v1/queues/inbound"
SEED: Final = 20_260_310
_SAMPLE: Final = 10_000  # records to compute their mean length


@attrs.frozen
class List:
    """One list.

    Attributes:
        pages: The number of pages.
        size: Records per page.
        navigated: Whether it has the fields for published SDKs.
    """

    pages: int
    size: int
    navigated: bool = False

    @property
    def name(self) -> str:
        """The name of its directory and the first part of its path on the server."""
        return f"{'sdk' if self.navigated else 'list'}-{self.pages}x{self.size}"

    @property
    def records(self) -> int:
        """The total number of records."""
        return self.pages * self.size


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


def bodies(which: List, queues: list[WireQueue]) -> Iterator[bytes]:
    """The body of each page."""
    for page in range(which.pages):
        rows = queues[page * which.size : (page + 1) * which.size]
        envelope = list_envelope(rows, total=which.records, total_style="int")
        if which.navigated:
            envelope = {**navigation(which, page), **envelope}
        yield _said(envelope)


def prepare(root: Path, lists: Iterable[List]) -> float:
    """Write the lists below `root`. Returns the mean bytes per record."""
    wanted = list(lists)
    queues = seed_queues(max([_SAMPLE, *(which.records for which in wanted)]), seed=SEED)
    for which in wanted:
        directory = root / which.name
        directory.mkdir()
        for page, body in enumerate(bodies(which, queues)):
            (directory / f"{page}.json").write_bytes(body)
    sample = queues[:_SAMPLE]
    return len(_said(sample)) / len(sample)
