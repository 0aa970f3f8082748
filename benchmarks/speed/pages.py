"""The prepared pages: what the sandbox would answer, as files, in lists of several lengths.

A list is one directory with a file per page. Published SDKs find their way by what their own APIs put beside the
records, so there is each list in two kinds: as the contract has it, and with `navigation` added for them. The records,
and the bytes that say them, are the same in both.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from alohub_async.testing import WireQueue, seed_queues
from alohub_async.testing.contract import LIST_PATH, list_envelope

SEED: Final = 20_260_310
_SAMPLE: Final = 10_000  # records, for their mean length


@attrs.frozen
class List:
    """One list.

    Attributes:
        pages: How many there are.
        size: Records a page.
        navigated: Whether published SDKs can walk it.
    """

    pages: int
    size: int
    navigated: bool = False

    @property
    def name(self) -> str:
        """Of its directory, and the beginning of its path on the server."""
        return f"{'sdk' if self.navigated else 'list'}-{self.pages}x{self.size}"

    @property
    def records(self) -> int:
        """How many there are in all."""
        return self.pages * self.size


def next_url(which: List, page: int) -> str | None:
    """Where the page after this one is, from the list's name on; None after the last."""
    return f"{LIST_PATH}?page={page + 1}&size={which.size}" if page + 1 < which.pages else None


def navigation(which: List, page: int) -> dict[str, object]:
    """What says where the next page is, in the words of each SDK that reads it from the body."""
    url = next_url(which, page)
    cursor = "" if url is None else str(page + 1)
    return {
        "ok": True,  # slack_sdk takes anything else for an error
        "response_metadata": {"next_cursor": cursor},  # slack_sdk
        "meta": {"key": "data"},  # twilio: where the records are
        "next_page_uri": url,  # twilio
        "has_more": url is not None,  # openai
        "last_id": cursor,  # openai
        "object": "list",  # stripe
        "next_page_url": url and url.replace("/v1/", "/v2/"),  # stripe: its newer lists are below /v2
        "next_token": cursor or None,  # aiobotocore, azure-core
    }


def _said(value: object) -> bytes:
    """As servers say it: UTF-8, and no blanks."""
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
    """Write the lists below `root`; the mean bytes of a record."""
    wanted = list(lists)
    queues = seed_queues(max([_SAMPLE, *(which.records for which in wanted)]), seed=SEED)
    for which in wanted:
        directory = root / which.name
        directory.mkdir()
        for page, body in enumerate(bodies(which, queues)):
            (directory / f"{page}.json").write_bytes(body)
    sample = queues[:_SAMPLE]
    return len(_said(sample)) / len(sample)
