"""What is done with each record of a walk: it is counted, or kept to be compared with what was sent."""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

import attrs

_WIRE_NAMES: Final = {
    "id": "callinId",
    "name": "callinName",
    "strategy": "strategy",
    "music_on_hold": "musicinQueue",
    "max_wait": "timeWait",
    "agent_selector": "agentSelector",
    "announce_position": "nguongRanhRoi",
    "number": "callinNumber",
}
"""Wire names by the names of the attributes, which all typed contestants share."""

Fields: TypeAlias = dict[str, str | None]
"""The fields of one record by wire name, in a form in which all contestants agree; see `fields_of`."""


class Counting:
    """Visits each record and counts it. Every timed walk uses it."""

    def page(self, records: Iterable[Any]) -> int:
        """Visit the records of a page. A separate function, so that no page is kept while the next one is read."""
        count = 0
        for _ in records:
            count += 1
        return count

    async def items(self, records: AsyncIterable[Any]) -> int:
        """Visit records one by one."""
        count = 0
        async for _ in records:
            count += 1
        return count


@attrs.define
class Keeping(Counting):
    """Keeps each record as well."""

    records: list[Any] = attrs.field(factory=list[Any])

    def page(self, records: Iterable[Any]) -> int:
        """Keep the records of a page."""
        before = len(self.records)
        self.records += records
        return len(self.records) - before

    async def items(self, records: AsyncIterable[Any]) -> int:
        """Keep records one by one."""
        return self.page([record async for record in records])


def _as_mapping(record: object) -> Mapping[str, Any]:
    """The record by wire name."""
    if isinstance(record, dict):
        return cast("dict[str, Any]", record)
    typed = cast("Any", record)
    if hasattr(typed, "extra"):  # ours: what does not fit is None, and raw in `extra`
        return cast("dict[str, Any]", typed.to_dict(wire=True))
    if hasattr(typed, "to_dict"):  # openai, stripe
        return cast("dict[str, Any]", typed.to_dict())
    if hasattr(typed, "model_dump"):  # pydantic
        return cast("dict[str, Any]", typed.model_dump(by_alias=True))
    return {wire: getattr(typed, attribute) for attribute, wire in _WIRE_NAMES.items()}


def _as_text(value: Any) -> str | None:
    return None if value is None else str(int(value)) if isinstance(value, int) else str(value)


def fields_of(record: Any) -> Fields:
    """The fields of a record. A number or flag and its digits are the same: SDKs differ in which one they return."""
    return {name: _as_text(value) for name, value in _as_mapping(record).items()}


def first_difference(found: list[Fields], sent: list[Fields], *, drops: bool) -> str | None:
    """The first field that was not read as it was sent; None if all were.

    The order does not matter, and null may be missing. With `drops`, fields that are not documented may be missing.
    """
    if len(found) != len(sent):
        return f"{len(found)} of {len(sent)} records"

    def by_id(each: Fields) -> str:
        return each["callinId"] or ""

    for read, record in zip(sorted(found, key=by_id), sorted(sent, key=by_id), strict=True):
        names = {*_WIRE_NAMES.values()} if drops else {*record, *read}
        for name in sorted(names):
            if read.get(name) != record.get(name):
                return f"{name} of {record['callinId']} is {read.get(name)!r} instead of {record.get(name)!r}"
    return None
