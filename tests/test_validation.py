"""What errors show of a value that is not allowed, whatever it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from alohub_async import (
    AlohubClient,
    AlohubError,
    CallOptions,
    ConfigurationError,
    Endpoint,
    InboundQueueUpdate,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    PageOptions,
    WalkOptions,
)
from alohub_async.validation import check_id, check_iterable

HUGE: Any = 10**5000  # Python refuses to make text of it


class Odd:
    """An object that can neither be shown nor compared, as some of numpy."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = object.__hash__


def client() -> AlohubClient:
    return AlohubClient("sk_live_of_this_test", endpoint="http://127.0.0.1:9")


TAKERS: dict[str, Callable[[Any], object]] = {
    "deadline": lambda value: CallOptions(deadline=value),
    "priority": lambda value: CallOptions(priority=value),
    "page_size": lambda value: PageOptions(page_size=value),
    "ordered": lambda value: WalkOptions(ordered=value),
    "consistency": lambda value: WalkOptions(consistency=value),
    "token": lambda value: client().queues.list_inbound(token=value),
    "ids": check_iterable.__get__("ids"),
    "id": check_id.__get__("queue_id"),
    "max_wait": lambda value: InboundQueueUpdate(max_wait=value),
    "strategy": lambda value: InboundQueueUpdate(strategy=value),
    "announce_position": lambda value: InboundQueueUpdate(announce_position=value),
    "key_header": lambda value: Endpoint("http://127.0.0.1", key_header=value),
    "on_event": lambda value: AlohubClient("sk_live_of_this_test", on_event=value),
    "ssl": lambda value: AlohubClient("sk_live_of_this_test", ssl=value),
    "method": lambda value: client().paginate("/v1/things", method=value),
    "first_page": lambda value: client().paginate("/v1/things", first_page=value),
    "page_name": lambda value: client().paginate("/v1/things", page_name=value),
    "params": lambda value: client().paginate("/v1/things", params={"a": value}),
    "model": lambda value: client().paginate("/v1/things", model=value),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize("value", [HUGE, Odd(), b"k" * 10_000], ids=["huge", "odd", "long"])
def test_any_value_is_refused_in_few_words(take: Callable[[Any], object], value: object) -> None:
    """Its text may be endless, or not to be had at all."""
    with pytest.raises(AlohubError) as caught:
        take(value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("begin", range(170, 202, 4))
def test_a_value_is_cut_so_that_no_part_of_a_key_remains(begin: int) -> None:
    """Wherever the key stands in it."""
    key = "0123456789abcdefghij"
    kept = AlohubClient(key)
    with pytest.raises(InvalidArgumentError) as caught:
        CallOptions(priority="-" * begin + key)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert "01" not in str(caught.value)
    del kept


def test_a_path_is_cut() -> None:
    """As other values."""
    with pytest.raises(InvalidArgumentError) as caught:
        client().paginate("/v1/" + "x/../" * 3000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("empty", ["", Path()], ids=repr)
def test_an_empty_path_names_no_certificates(empty: object) -> None:
    """It would mean all authorities that Python trusts."""
    with pytest.raises(ConfigurationError, match="ssl must"):
        AlohubClient("sk_live_of_this_test", ssl=empty)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_names_of_a_query_are_strings() -> None:
    """None would become the text `None`."""
    odd: Any = {None: 1}
    with pytest.raises(InvalidArgumentTypeError, match="params"):
        client().paginate("/v1/things", params=odd)


@pytest.mark.parametrize("annotation", ["Missing", "attrs.Missing", "int |"])
def test_a_model_whose_types_are_not_found_is_refused(annotation: str) -> None:
    """The error says what was not found."""
    model = attrs.define(type("Model", (), {"__annotations__": {"field": annotation}, "__module__": __name__}))
    with pytest.raises(InvalidArgumentTypeError, match="no record can be made of"):
        client().paginate("/v1/things", model=model)
