"""How far an export has come, as its journal keeps it; and what a queue is known by."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import attrs

from alohub_async.files import queue_record
from alohub_async.models import InboundQueue
from alohub_async.pagination.passes import settle
from alohub_async.pagination.seen_keys import KeySet

Key: TypeAlias = int | str

_ID_FIELD: Final = attrs.fields(InboundQueue).id.metadata["wire"]


def key_of(record: Mapping[str, Any]) -> Key:
    """What a queue is known by: its id; or a string, of the odd id it came with, or of all it says if it has none."""
    queue_id = record["id"]
    if isinstance(queue_id, int):
        return queue_id
    odd = record["extra"].get(_ID_FIELD)
    return f"id {odd}" if isinstance(odd, int | str) else json.dumps(record)


def has_id(key: Key) -> bool:
    """Whether the key is that of a queue with an id, so that nothing else can have it."""
    return isinstance(key, int) or key.startswith("id ")


def keyed(queues: Iterable[InboundQueue]) -> Iterator[tuple[Key, InboundQueue]]:
    """These queues, each with what it is known by."""
    return ((queue.id or key_of(queue_record(queue)), queue) for queue in queues)


def merged(totals: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    """Totals as told, one after the other, without those that say what the one before said."""
    for total in more:
        if totals[-1:] != (total,):
            totals = (*totals, total)
    return totals


def _ints(given: Any) -> tuple[int, ...]:
    return tuple(given)


@attrs.frozen(kw_only=True)
class Spent:
    """What an export has cost so far, over all its runs; see `ExportReport`."""

    requests: int = 0
    denied: int = 0
    waited: float = 0.0
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class State:
    """Where an export stands at a checkpoint.

    Attributes:
        number: Of the pass at hand, from 1.
        token: Where it stands; None at its beginning.
        received: Records it brought, duplicates included.
        first_total: The total its first page told.
        moved: Whether the list was seen to move in this pass.
        moved_before: Whether it was in the one before; None if there is none.
        total: The latest total.
        totals: All that were told.
        duplicates: Records left out, over all passes.
        gone: Ids that had no details, over all passes.
        settled: Whether the list was proven whole; None while that is open, and with `detect`.
        ended: Whether all passes are done.
        runs: How often the export was begun.
        spent: What it cost.
    """

    number: int = 1
    token: str | None = None
    received: int = 0
    first_total: int | None = None
    moved: bool = False
    moved_before: bool | None = None
    total: int | None = None
    totals: tuple[int, ...] = attrs.field(default=(), converter=_ints)
    duplicates: int = 0
    gone: int = 0
    settled: bool | None = None
    ended: bool = False
    runs: int = 0
    spent: Spent = Spent()

    @classmethod
    def read(cls, saved: dict[str, Any]) -> "State":
        """What `attrs.asdict` made of it."""
        spent: Any = Spent(**saved["spent"])
        return cls(**{**saved, "spent": spent})


class Seen:
    """Which keys the passes brought.

    Attributes:
        now: The pass at hand.
        before: The pass before; None if there is none.
        known: All passes but the one at hand.
    """

    def __init__(self) -> None:
        self.now: KeySet = KeySet()
        self.before: KeySet | None = None
        self.known: KeySet = KeySet()

    def turn(self) -> None:
        """A pass has ended, the next begins."""
        self.known.update(self.now)
        self.before, self.now = self.now, KeySet()


def concluded(state: State, seen: Seen, *, max_passes: int | None) -> State:
    """What follows when a pass has ended: the end, or another pass.

    Args:
        state: When it ended.
        seen: The keys.
        max_passes: Most passes there may be; None for one that proves nothing.
    """
    if max_passes is None:
        return attrs.evolve(state, ended=True)
    before = seen.before
    same = before is not None and len(seen.now) == len(before) and seen.now <= before
    settled = settle(
        different=len(seen.now),
        first_total=state.first_total,
        all_known=seen.now <= seen.known,
        agreed=same and not state.moved and state.moved_before is False,
        passes=state.number,
        max_passes=max_passes,
    )
    if settled is not None:
        return attrs.evolve(state, ended=True, settled=settled)
    return attrs.evolve(
        state,
        number=state.number + 1,
        token=None,
        received=0,
        first_total=None,
        moved=False,
        moved_before=state.moved,
    )


def verdict(state: State) -> tuple[bool, str]:
    """Whether an export that has ended is complete, and why."""
    if state.settled is not None:
        why = "the last pass proved that nothing is missing"
        return state.settled, why if state.settled else f"the list moved during each of {state.number} passes"
    if state.moved:
        return False, "the list moved while it was walked"
    if state.total is not None and state.received < state.total:
        return False, f"{state.received} queues came, and the server tells of {state.total}"
    return True, "as many queues came as the server tells of, and nothing was seen to move"
