"""Rate-limit headers: every spelling in the module's table, and invalid values."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.headers import HeaderReader, RateLimitHeaders, Scope
from alohub_async.rate_limits.status import RateLimit
from tests.strategies import any_text

NOW = 1_700_000_000.0


def _headers(*pairs: tuple[str, str], **named: str) -> CIMultiDict[str]:
    return CIMultiDict([*pairs, *((name.replace("_", "-"), value) for name, value in named.items())])


def _joined(first: CIMultiDict[str], second: CIMultiDict[str]) -> CIMultiDict[str]:
    return CIMultiDict([*first.items(), *second.items()])


def _read(headers: CIMultiDict[str], names: RateLimitHeaders | None = None) -> dict[Scope, RateLimit]:
    reader = HeaderReader(names)
    first, again = (reader.read(headers, wall_clock=lambda: NOW) for _ in range(2))
    assert again == first  # once its names are known
    return first


FIELD_FIRST = _headers(
    X_RateLimit_Limit_Tenant="100",
    X_RateLimit_Remaining_Tenant="99",
    X_RateLimit_Limit_Route="50",
    X_RateLimit_Remaining_Route="7",
)
SCOPE_FIRST = _headers(
    X_RateLimit_Tenant_Limit="100",
    X_RateLimit_Tenant_Remaining="99",
    X_RateLimit_Route_Limit="50",
    X_RateLimit_Route_Remaining="7",
)
BOTH: dict[Scope, RateLimit] = {"tenant": RateLimit(100, 99), "route": RateLimit(50, 7)}


def _same(name: str) -> str:
    return name


@pytest.mark.parametrize("headers", [FIELD_FIRST, SCOPE_FIRST], ids=["field first", "scope first"])
@pytest.mark.parametrize("change", [_same, str.lower, str.upper, str.title, str.swapcase], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "spelled",
    [("", ""), ("X-", ""), ("RateLimit", "Rate-Limit")],
    ids=["X-", "bare", "Rate-Limit"],
)
def test_both_word_orders_are_read_in_any_case(
    headers: CIMultiDict[str], change: Callable[[str], str], spelled: tuple[str, str]
) -> None:
    """With or without `X-`, in any case, with or without a hyphen in the middle."""
    renamed = CIMultiDict([(change(name.replace(*spelled)), value) for name, value in headers.items()])
    assert _read(renamed) == BOTH


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        (_headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40"), RateLimit(100, 40)),
        (_headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40", X_RateLimit_Reset="7"), RateLimit(100, 40, 7.0)),
        (_headers(X_RateLimit_Limit_10="100", X_RateLimit_Remaining_10="40"), RateLimit(100, 40)),
        (_headers(RateLimit_Limit="100", RateLimit_Remaining="40", RateLimit_Reset="7"), RateLimit(100, 40, 7.0)),
        (_headers(RateLimit_Limit="100, 100;w=10", RateLimit_Remaining="40"), RateLimit(100, 40)),
        (_headers(RateLimit="limit=100, remaining=40, reset=7"), RateLimit(100, 40, 7.0)),
        (_headers(RateLimit="limit=100, remaining=40, reset=7", RateLimit_Policy="100;w=10"), RateLimit(100, 40, 7.0)),
        (_headers(RateLimit_Policy='"default";q=100;w=10', RateLimit='"default";r=40;t=7'), RateLimit(100, 40, 7.0)),
        (
            _headers(RateLimit_Policy='"default"; w=10; q=100', RateLimit='"default"; t=7; r=40'),
            RateLimit(100, 40, 7.0),
        ),
        (_headers(RateLimit_Policy="default;q=100", RateLimit="default;r=40"), RateLimit(100, 40)),
        (_headers(RateLimit_Policy='"default";q=100', RateLimit='"default";r=400'), RateLimit(100, 100)),
    ],
    ids=str,
)
def test_unscoped_headers_count_for_the_tenant(headers: CIMultiDict[str], limit: RateLimit) -> None:
    """In every unscoped spelling of the table, those of the IETF drafts among them."""
    assert _read(headers) == {"tenant": limit}


def test_unscoped_fill_in_where_only_the_route_is_named() -> None:
    """The tenant's own names come before the unscoped; without them, the unscoped are the tenant's."""
    unscoped = _headers(X_RateLimit_Limit="200", X_RateLimit_Remaining="40")
    route = _headers(X_RateLimit_Limit_Route="50", X_RateLimit_Remaining_Route="7")
    assert _read(_joined(unscoped, route)) == {
        "tenant": RateLimit(200, 40),
        "route": RateLimit(50, 7),
    }
    assert _read(_joined(unscoped, FIELD_FIRST)) == BOTH


def test_scoped_reset_is_read() -> None:
    """Each scope has its own."""
    resets = _headers(X_RateLimit_Reset_Tenant="3", X_RateLimit_Reset_Route="4.75")
    assert _read(_joined(FIELD_FIRST, resets)) == {"tenant": RateLimit(100, 99, 3.0), "route": RateLimit(50, 7, 4.75)}


@pytest.mark.parametrize(
    ("text", "reset"),
    [
        ("0", 0.0),
        ("10", 10.0),
        ("4.75", 4.75),
        ("999999999", 999_999_999.0),
        ("1700000007", 7.0),
        ("1700000007.5", 7.5),
        ("1699999990", 0.0),
        ("1700000007000", 7.0),
        ("1699999990000", 0.0),
        ("-1", None),
        ("soon", None),
        ("", None),
    ],
)
def test_reset_is_seconds_or_a_time(text: str, reset: float | None) -> None:
    """A duration, or seconds since the epoch by the given clock; never negative, never shortened."""
    headers = _headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40", X_RateLimit_Reset=text)
    assert _read(headers) == {"tenant": RateLimit(100, 40, reset)}


@pytest.mark.parametrize(
    ("limit", "remaining", "read"),
    [
        ("100", "0", RateLimit(100, 0)),
        ("0", "0", RateLimit(0, 0)),
        ("100", "-1", RateLimit(100, 0)),
        ("100", "101", RateLimit(100, 100)),
        ("100", "100.0", RateLimit(100, 100)),
        (" 100 ", " 7 ", RateLimit(100, 7)),
        ("100;w=10", "7", RateLimit(100, 7)),
        ("9" * 15, "7", RateLimit(int("9" * 15), 7)),
    ],
)
def test_remaining_is_kept_between_zero_and_the_limit(limit: str, remaining: str, read: RateLimit) -> None:
    """Below 0 is 0, above the limit is the limit."""
    assert _read(_headers(X_RateLimit_Limit_Route=limit, X_RateLimit_Remaining_Route=remaining)) == {"route": read}


GARBAGE = ["", "many", "-", "1e3", "0x10", "1_0", "٣", "1" * 16, "NaN", "inf", "10 per second", "100/10", "1\n2"]


@pytest.mark.parametrize("text", [*GARBAGE, "-1"], ids=ascii)
def test_invalid_limit_is_ignored(text: str) -> None:
    """The scope is left out, the other is read."""
    headers = CIMultiDict(FIELD_FIRST)
    headers["X-RateLimit-Limit-Tenant"] = text
    assert _read(headers) == {"route": RateLimit(50, 7)}


@pytest.mark.parametrize("text", GARBAGE, ids=ascii)
def test_invalid_remaining_is_ignored(text: str) -> None:
    """The scope is left out, the other is read."""
    headers = CIMultiDict(FIELD_FIRST)
    headers["X-RateLimit-Remaining-Route"] = text
    assert _read(headers) == {"tenant": RateLimit(100, 99)}


@pytest.mark.parametrize(
    "headers",
    [
        _headers(),
        _headers(Content_Type="application/json", Retry_After="7"),
        _headers(X_RateLimit_Limit_Tenant="100"),
        _headers(X_RateLimit_Remaining_Tenant="99"),
        _headers(X_RateLimit_Limit_Tenant="100", X_RateLimit_Remaining_Route="7"),
        _headers(X_RateLimit_Limit_User="100", X_RateLimit_Remaining_User="7"),
        _headers(X_RateLimit_Limit_Tenant_Extra="100", X_RateLimit_Remaining_Tenant_Extra="7"),
        _headers(RateLimit_Policy='"default";q=100;w=10'),
    ],
    ids=str,
)
def test_incomplete_headers_are_ignored(headers: CIMultiDict[str], caplog: pytest.LogCaptureFixture) -> None:
    """A limit without its remaining, another scope, no header at all: nothing is guessed, nothing is reported."""
    assert _read(headers) == {}
    assert not caplog.messages


@pytest.mark.parametrize(
    "headers",
    [
        _headers(X_RateLimit_Limit="many", X_RateLimit_Remaining="few"),
        _headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="few"),
        _headers(RateLimit="50"),
        _headers(RateLimit='"default";r=many', RateLimit_Policy='"default";q=100'),
        _headers(RateLimit='"default";r=-1', RateLimit_Policy='"default";q=100'),
        _headers(RateLimit='"default";r=1', RateLimit_Policy=f'"default";q={"1" * 16}'),
        _headers(RateLimit='"default";r=7'),
    ],
    ids=str,
)
def test_invalid_values_are_reported_once(headers: CIMultiDict[str], caplog: pytest.LogCaptureFixture) -> None:
    """A warning names a header and shows its value; later answers do not repeat it."""
    reader = HeaderReader(None)
    with caplog.at_level(logging.WARNING, "alohub_async"):
        for _ in range(3):
            assert reader.read(headers, wall_clock=lambda: NOW) == {}
    assert len(caplog.messages) == 1
    name, value = next((name, value) for name, value in headers.items() if f"{name}:" in caplog.messages[0])
    assert repr(value) in caplog.messages[0], name


def test_first_of_a_header_sent_twice_counts() -> None:
    """As the module says: a proxy's second value is not mixed in."""
    headers = CIMultiDict(
        [*FIELD_FIRST.items(), ("x-ratelimit-remaining-tenant", "3"), ("X-RateLimit-Limit-Route", "9")]
    )
    assert _read(headers) == BOTH


# What the reader remembers


def test_scope_that_the_first_answer_leaves_out_is_learnt_later() -> None:
    """A gateway's own answer with one scope does not hide the other for ever."""
    reader = HeaderReader(None)
    tenant = _headers(X_RateLimit_Limit_Tenant="100", X_RateLimit_Remaining_Tenant="0")
    assert reader.read(tenant, wall_clock=lambda: NOW) == {"tenant": RateLimit(100, 0)}
    assert reader.read(FIELD_FIRST, wall_clock=lambda: NOW) == BOTH


@pytest.mark.parametrize(
    "other", [SCOPE_FIRST, _headers(), _headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40")]
)
def test_names_may_change_from_answer_to_answer(other: CIMultiDict[str]) -> None:
    """Two servers behind a load balancer may spell them differently; each answer is read by its own names."""
    reader = HeaderReader(None)
    for headers in (FIELD_FIRST, other, FIELD_FIRST, _headers(), other):
        assert reader.read(headers, wall_clock=lambda: NOW) == _read(headers)


# Names that the user gives

NAMES = RateLimitHeaders(
    tenant_limit="X-All", tenant_remaining="X-Left", route_limit="X-Route-All", route_remaining="X-Route-Left"
)


def test_named_headers_are_read_in_any_case_and_alone() -> None:
    """Only the user's names count, not those recognised otherwise."""
    headers = _headers(x_all="100", X_LEFT="99", X_Route_All="50", X_Route_Left="7")
    assert _read(headers, NAMES) == BOTH
    assert _read(FIELD_FIRST, NAMES) == {}
    assert _read(_headers(RateLimit="limit=100, remaining=40"), NAMES) == {}


def test_one_scope_may_be_named_alone() -> None:
    """The other is then not read at all."""
    names = RateLimitHeaders(route_limit="X-Route-All", route_remaining="X-Route-Left")
    headers = _joined(FIELD_FIRST, _headers(X_Route_All="50", X_Route_Left="7"))
    assert _read(headers, names) == {"route": RateLimit(50, 7)}


def test_named_remaining_may_be_below_zero() -> None:
    """Whatever the header is called."""
    assert _read(_headers(X_All="100", X_Left="-3"), NAMES) == {"tenant": RateLimit(100, 0)}


def test_empty_names_read_nothing() -> None:
    """With no name given, no header is read."""
    assert _read(FIELD_FIRST, RateLimitHeaders()) == {}


@pytest.mark.parametrize("value", ["", " ", "X Left", "X-Left:", "X-Lëft", "X-Left\n", 7, b"X-Left", True], ids=repr)
def test_invalid_header_name_is_refused(value: Any) -> None:
    """The message names the argument and what was given."""
    with pytest.raises(ConfigurationError, match=r"tenant_limit must be the name of a header; .* was given"):
        RateLimitHeaders(tenant_limit=value, tenant_remaining="X-Left")


@pytest.mark.parametrize("name", ["tenant_limit", "tenant_remaining", "route_limit", "route_remaining"])
def test_half_a_scope_is_refused(name: str) -> None:
    """A limit without its remaining says nothing."""
    with pytest.raises(ConfigurationError, match="a scope needs both names"):
        RateLimitHeaders(**{name: "X-Half"})


# Everything at once

names_in_use = st.sampled_from(
    [
        *FIELD_FIRST,
        *SCOPE_FIRST,
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "RateLimit",
        "RateLimit-Policy",
    ]
)
values_in_use = st.sampled_from(
    ["0", "7", "100", "-1", "4.75", "1700000007", "limit=100, remaining=7", '"a";q=9', '"a";r=7;t=3']
)


@given(st.lists(st.lists(st.tuples(names_in_use, values_in_use | any_text), max_size=8), max_size=4))
def test_no_headers_raise_and_every_snapshot_is_valid(answers: list[list[tuple[str, str]]]) -> None:
    """For any sequence of answers: whole numbers, remaining within the limit, no negative reset."""
    reader = HeaderReader(None)
    for pairs in answers:
        for scope, found in reader.read(CIMultiDict(pairs), wall_clock=lambda: NOW).items():
            assert scope in {"tenant", "route"}
            assert type(found.limit) is type(found.remaining) is int
            assert 0 <= found.remaining <= found.limit
            assert found.reset is None or (type(found.reset) is float and found.reset >= 0)
