"""The records of the API: a queue, an update of a queue, and the result of an update.

The `metadata` of each field holds its wire name and its least valid value; `codec/converter.py` reads them. Names and
types come from the vendor's page, whose table cells were lost: names were restored by position.
"""

import enum
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

import attrs

from alohub_async.secret import repr_of_fields
from alohub_async.unset import UNSET, UnsetType
from alohub_async.validation import check_flag, refuse, validator


class OpenIntEnum(enum.IntEnum):
    """An open set of named numbers: a number that the API adds later becomes an unnamed member."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_, member._value_ = f"UNKNOWN_{int(value)}", int(value)
        return member

    def __str__(self) -> str:
        return self.name

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[int]]:
        # By value: the first releases of Python 3.11 pickle by name, which fails for an unknown number.
        return type(self), (self.value,)

    @property
    def is_known(self) -> bool:
        """Whether the API documents this number. Only documented numbers can be written."""
        return self.name in type(self).__members__


class QueueStrategy(OpenIntEnum):
    """How a queue treats its calls. A number that the API adds later becomes an unnamed member."""

    NORMAL = 1
    VIP = 2
    BLACKLIST = 3
    DIVERT = 4
    LOCKED = 99
    """Temporarily locked."""


class _NoFields(dict[str, Any]):
    """An immutable empty dict that records can share; a copy or a pickle of it is a plain dict."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the fields of a record cannot be changed")

    if not TYPE_CHECKING:  # regardless of their signatures
        __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce_ex__(self, _: object) -> tuple[type[dict[str, Any]], tuple[()]]:
        return dict, ()


NO_FIELDS: Final[Mapping[str, Any]] = _NoFields()
"""The shared `extra` of records without unknown fields; a dict for each would take half a record's memory."""


@attrs.frozen(init=False, eq=False, repr=False)  # a subclass has them
class Record:
    """Base of the records that the API returns. A subclass has a field `id` and a field `extra`.

    Where the API's value does not fit, a field is None if its type allows that, or else has its default; without one,
    the record is refused. `"required": True` in the metadata means that the API never sends null.

    `codec/fields.py` creates them without their constructors: these may only set the fields; no default `takes_self`.
    """

    id: int | None

    def to_dict(self, *, wire: bool = False) -> dict[str, Any]:
        """Return the record as JSON has it: by attribute, with `extra`, and with numbers for enums.

        With `wire`, the names are the API's, and the fields of `extra` stand beside the others. So it is what the API
        sent, but with numbers for strings of digits, and flags as booleans.
        """
        found: dict[str, Any] = {}
        for attribute, name in wire_names(type(self)).items():
            value = getattr(self, attribute)
            found[name if wire else attribute] = int(value) if isinstance(value, enum.IntEnum) else value
        extra: Mapping[str, Any] = cast("Any", self).extra
        return {**found, **(extra if wire else {"extra": dict(extra)})}


def wire_names(cls: type[Record]) -> dict[str, str]:
    """The wire name of each field of a record class but `extra`, by attribute."""
    return {field.name: field.metadata.get("wire", field.name) for field in attrs.fields(cls) if field.name != "extra"}


@attrs.frozen(init=False, eq=False, repr=False)  # a subclass has them
class RecordUpdate:
    """Base of the updates of a record; a field left `UNSET` is not changed.

    A field's metadata has its write name (`wire`) and, if the value is sent in another form, its encoder (`encode`).
    """


@attrs.frozen
class InboundQueue(Record):
    """An inbound call queue, as returned by the list or detail endpoint.

    A value that does not match its documented type is None here, and its raw value is kept in `extra` under its wire
    name. So are `id` and `name`, which the API documents as never null: one invalid record must not make its page fail.
    A queue without an id cannot be got or updated. With `AlohubClient(strict=True)` such a value raises an error.

    Attributes:
        id: The queue's id, the one `get_inbound` and `update_inbound` take (`callinId`), or None, see above.
        name: Its name (`callinName`), or None, see above.
        strategy: How it treats its calls (`strategy`), or None if the API returns null.
        music_on_hold: File name of the music on hold (`musicinQueue`), or None if there is none.
        max_wait: Longest wait in seconds (`timeWait`, a string of digits on the wire), or None if none is set.
        agent_selector: Name of the algorithm that picks the agent (`agentSelector`), or None.
        announce_position: Whether callers hear their position (`nguongRanhRoi`, 0 or 1), or None if not set.
        number: The queue's phone number, with its leading zeros (`callinNumber`), or None if it has none.
        extra: Fields that the SDK does not know, by wire name and unchanged, and values of an unexpected type (see
            above). Do not modify it: records without such fields share one empty mapping.
    """

    id: int | None = attrs.field(metadata={"wire": "callinId", "minimum": 1, "required": True})
    name: str | None = attrs.field(metadata={"wire": "callinName", "required": True})
    strategy: QueueStrategy | None = attrs.field(default=None, metadata={"wire": "strategy"})
    music_on_hold: str | None = attrs.field(default=None, metadata={"wire": "musicinQueue"})
    max_wait: int | None = attrs.field(default=None, metadata={"wire": "timeWait", "minimum": 0})
    agent_selector: str | None = attrs.field(default=None, metadata={"wire": "agentSelector"})
    announce_position: bool | None = attrs.field(default=None, metadata={"wire": "nguongRanhRoi"})
    number: str | None = attrs.field(default=None, metadata={"wire": "callinNumber"})
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)


_SECONDS_LIMIT: Final = 10**18  # at most 18 digits, which always fit a 64-bit integer


def _wait_seconds(value: int | timedelta | UnsetType) -> int | UnsetType:
    given = cast("Any", value)  # callers without a type checker pass anything
    if isinstance(given, UnsetType):
        return given
    if isinstance(given, timedelta):
        seconds, rest = divmod(given, timedelta(seconds=1))
        if rest:
            raise refuse("max_wait", "whole seconds", given)
    elif isinstance(given, int) and not isinstance(given, bool):
        seconds = int(given)
    else:
        raise refuse("max_wait", "an int (seconds) or a timedelta", given, wrong_type=True)
    if not 0 <= seconds < _SECONDS_LIMIT:
        raise refuse("max_wait", "0 seconds or more, with at most 18 digits", given)
    return seconds


def _known_strategy(value: int | UnsetType) -> QueueStrategy | UnsetType:
    given = cast("Any", value)  # callers without a type checker pass anything
    if isinstance(given, UnsetType):
        return given
    if isinstance(given, bool) or not isinstance(given, int):
        raise refuse("strategy", "a QueueStrategy or its number", given, wrong_type=True)
    known = [*map(int, QueueStrategy)]
    if given not in known:
        raise refuse("strategy", f"one of {known}", int(given))
    return QueueStrategy(given)


def _check_file_name(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise refuse(name, "a file name (str)", value, wrong_type=True)
    # "C…" are control, format, surrogate, private and unassigned characters; "Zl" and "Zp" are line breaks.
    categories = {unicodedata.category(char) for char in value}
    unprintable = any(category[0] == "C" or category in {"Zl", "Zp"} for category in categories)
    if unprintable or not value.strip() or value in {".", ".."} or "/" in value or "\\" in value:
        raise refuse(name, "a plain file name such as 'waiting.wav', without a path or control characters", value)


_file_name: Final = validator(_check_file_name)
_flag: Final = validator(check_flag)


@attrs.frozen(kw_only=True)
class InboundQueueUpdate(RecordUpdate):
    """Changes to an inbound queue; a field left `UNSET` is not changed.

    Attributes:
        music_on_hold: File name of the music on hold (`moh_file_id`).
        max_wait: Longest wait: whole seconds, 0 or more, or a `timedelta` of whole seconds (`max_wait_sec`).
        strategy: A known `QueueStrategy`, or its number (`strategy`).
        announce_position: Whether to tell callers their position (`announce_position`).

    Raises:
        InvalidArgumentError: A value outside its documented range or type; None is never allowed.
    """

    music_on_hold: str | UnsetType = attrs.field(default=UNSET, validator=_file_name, metadata={"wire": "moh_file_id"})
    max_wait: int | UnsetType = attrs.field(
        default=UNSET, converter=_wait_seconds, metadata={"wire": "max_wait_sec", "encode": str}
    )
    strategy: QueueStrategy | UnsetType = attrs.field(
        default=UNSET, converter=_known_strategy, metadata={"wire": "strategy", "encode": int}
    )
    announce_position: bool | UnsetType = attrs.field(
        default=UNSET, validator=_flag, metadata={"wire": "announce_position", "encode": {False: "0", True: "1"}.get}
    )

    __repr__ = repr_of_fields


@attrs.frozen
class UpdateResult:
    """The API's confirmation of an update: the queue's id, its message, unchanged or None, and the attempts made."""

    id: int
    message: str | None
    attempts: int
