"""Rate-limit headers: every spelling in the module's table, and invalid values."""

import cProfile
import gc
import logging
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.headers import HeaderReader, RateLimitHeaders, Scope
from alohub_async.rate_limits.status import RateLimit
from alohub_async.secret import Secret
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


NAMES = RateLimitHeaders(
    tenant_limit="X-All", tenant_remaining="X-Left", route_limit="X-Route-All", route_remaining="X-Route-Left"
)


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
        (_headers(X_RateLimit_Limit_10="100", X_RateLimit_Remaining_10="40"), RateLimit(100, 40, None, 10.0)),
        (_headers(RateLimit_Limit="100", RateLimit_Remaining="40", RateLimit_Reset="7"), RateLimit(100, 40, 7.0)),
        (_headers(RateLimit_Limit="100, 100;w=10", RateLimit_Remaining="40"), RateLimit(100, 40, None, 10.0)),
        (_headers(RateLimit="limit=100, remaining=40, reset=7"), RateLimit(100, 40, 7.0)),
        (
            _headers(RateLimit="limit=100, remaining=40, reset=7", RateLimit_Policy="100;w=10"),
            RateLimit(100, 40, 7.0, 10.0),
        ),
        (
            _headers(RateLimit_Policy='"default";q=100;w=10', RateLimit='"default";r=40;t=7'),
            RateLimit(100, 40, 7.0, 10.0),
        ),
        (
            _headers(RateLimit_Policy='"default"; w=10; q=100', RateLimit='"default"; t=7; r=40'),
            RateLimit(100, 40, 7.0, 10.0),
        ),
        (_headers(RateLimit_Policy="default;q=100", RateLimit="default;r=40"), RateLimit(100, 40)),
        (_headers(RateLimit_Policy='"default";q=100', RateLimit='"default";r=400'), RateLimit(100, 100)),
        (_headers(X_RateLimit="100", X_RateLimit_Remaining="40"), RateLimit(100, 40)),
        (_headers(X_RateLimit_10="100", X_RateLimit_10_Remaining="40"), RateLimit(100, 40, None, 10.0)),
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
        ("100;w=10", "7", RateLimit(100, 7, None, 10.0)),
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
        _headers(RateLimit='"default";r=0', RateLimit_Policy=f'"default";q={"1" * 16}'),
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


# Several limits at once


def _tenant(*counters: RateLimit) -> dict[Scope, RateLimit]:
    return {"tenant": counters[0]._replace(also=counters[1:])}


@pytest.mark.parametrize(
    ("suffix", "window"),
    [
        ("10", 10.0),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("2days", 172_800.0),
        ("Second", 1.0),
        ("Minute", 60.0),
        ("Per-Minute", 60.0),
        ("hour", 3600.0),
        ("DAY", 86_400.0),
        ("Month", 31 * 86_400.0),
        ("Year", 366 * 86_400.0),
        ("3600", 3600.0),
    ],
)
@pytest.mark.parametrize("scope", ["tenant", "route"])
@pytest.mark.parametrize(
    "name",
    [
        "X-RateLimit-{field}-{scope}-{window}",
        "X-RateLimit-{field}-{window}-{scope}",
        "X-RateLimit-{scope}-{field}-{window}",
        "X-{scope}-RateLimit-{field}-{window}",
        "x_rate_limit_{scope}_{window}_{field}",
        "X-RateLimit-{scope}{field}{window}",
    ],
)
def test_window_in_a_name_is_read(name: str, scope: Scope, suffix: str, window: float) -> None:
    """In seconds, with a unit, or as a word; wherever the scope is named."""
    values = {"Limit": "50", "Remaining": "7", "Reset": "3"}
    headers = CIMultiDict(
        {name.format(field=field, scope=scope.title(), window=suffix): value for field, value in values.items()}
    )
    assert _read(headers) == {scope: RateLimit(50, 7, 3.0, window)}


@pytest.mark.parametrize("window", ["0", "999999999", "1" * 30, "10x", "fortnight", "-", "1e3", "٣"], ids=ascii)
def test_strange_window_in_a_name_is_not_guessed(window: str) -> None:
    """At most a year, and more than nothing."""
    headers = CIMultiDict({f"X-RateLimit-Limit-{window}x": "50", f"X-RateLimit-Remaining-{window}x": "7"})
    assert _read(headers) == {}


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0", None),
        ("0s", None),
        ("1", 1.0),
        ("31622400", 31_622_400.0),
        ("1y", 31_622_400.0),
        ("31622401", None),
        ("367d", None),
        ("2y", None),
    ],
)
def test_window_in_a_name_is_a_year_at_most(text: str, window: float | None) -> None:
    """And more than nothing; other numbers mean something else."""
    headers = CIMultiDict({f"X-RateLimit-Limit-{text}": "50", f"X-RateLimit-Remaining-{text}": "7"})
    assert _read(headers) == ({} if window is None else {"tenant": RateLimit(50, 7, None, window)})


@pytest.mark.parametrize(
    ("headers", "counters"),
    [
        (
            _headers(
                X_RateLimit_Limit_3600="1000",
                X_RateLimit_Remaining_3600="900",
                X_RateLimit_Limit_10="50",
                X_RateLimit_Remaining_10="7",
            ),
            [RateLimit(1000, 900, None, 3600.0), RateLimit(50, 7, None, 10.0)],
        ),
        (  # Kong's own, with the copy of the tightest that it adds
            _headers(
                X_RateLimit_Limit_Minute="600",
                X_RateLimit_Remaining_Minute="599",
                X_RateLimit_Limit_Second="5",
                X_RateLimit_Remaining_Second="4",
                RateLimit_Limit="5",
                RateLimit_Remaining="4",
                RateLimit_Reset="1",
            ),
            [RateLimit(5, 4, 1.0, 1.0), RateLimit(600, 599, None, 60.0)],
        ),
        (  # without a window it is the limiter's, here 10 s
            _headers(
                X_RateLimit_Limit="100",
                X_RateLimit_Remaining="40",
                X_RateLimit_Limit_Hour="9000",
                X_RateLimit_Remaining_Hour="80",
            ),
            [RateLimit(9000, 80, None, 3600.0), RateLimit(100, 40)],
        ),
        (  # of two with one window, that of which less remains
            _headers(
                X_RateLimit_Limit="100",
                X_RateLimit_Remaining="40",
                X_RateLimit_Limit_10s="90",
                X_RateLimit_Remaining_10s="80",
            ),
            [RateLimit(100, 40)],
        ),
        (  # what remains is said once: it is of the lowest rate
            _headers(X_RateLimit_Limit_10="50", X_RateLimit_Limit_3600="1000", X_RateLimit_Remaining="7"),
            [RateLimit(1000, 7, None, 3600.0)],
        ),
        (
            _headers(X_RateLimit_Limit_10="50", X_RateLimit_Limit_3600="1000", X_RateLimit_Remaining_10="7"),
            [RateLimit(50, 7, None, 10.0)],
        ),
        (_headers(X_RateLimit_Limit="100", RateLimit_Remaining="40"), [RateLimit(100, 40)]),
        (  # of a window whose limit is not said: that of another one is no guess
            _headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40", X_RateLimit_Remaining_10="7"),
            [RateLimit(100, 40)],
        ),
        (_headers(X_RateLimit_Limit="50, 20", X_RateLimit_Remaining="30, 4"), [RateLimit(20, 4)]),
        (_headers(X_RateLimit_Limit="50,20", X_RateLimit_Remaining="30,4"), [RateLimit(20, 4)]),
        (_headers(X_RateLimit_Limit="50, 20", X_RateLimit_Remaining="3, 4"), [RateLimit(50, 3)]),
        (_headers(X_RateLimit_Limit="50, 20", X_RateLimit_Remaining="7"), [RateLimit(20, 7)]),
        (_headers(X_RateLimit_Limit="50, 20", X_RateLimit_Remaining="30"), [RateLimit(20, 20)]),
        (_headers(X_RateLimit_Limit="50, 20", X_RateLimit_Remaining="30, 4, 2"), [RateLimit(20, 2)]),
        (_headers(X_RateLimit_Limit="100,100", X_RateLimit_Remaining="99,40"), [RateLimit(100, 40)]),
        (
            _headers(X_RateLimit_Limit="50;w=10, 1000;w=3600", X_RateLimit_Remaining="7, 900"),
            [RateLimit(1000, 900, None, 3600.0), RateLimit(50, 7, None, 10.0)],
        ),
        (
            _headers(X_RateLimit_Limit="50/10s, 1000/1h", X_RateLimit_Remaining="7, 900", X_RateLimit_Reset="3, 60"),
            [RateLimit(1000, 900, 60.0, 3600.0), RateLimit(50, 7, 3.0, 10.0)],
        ),
        (  # drafts to 06: the first limit is the one of which the rest is told, then come the policies
            _headers(RateLimit_Limit="100, 100;w=10, 1000;w=3600", RateLimit_Remaining="40", RateLimit_Reset="7"),
            [RateLimit(100, 40, 7.0, 10.0)],
        ),
        (
            _headers(RateLimit_Limit="1000, 100;w=10", RateLimit_Remaining="40", RateLimit_Policy="1000;w=3600"),
            [RateLimit(1000, 40, None, 3600.0)],
        ),
        (
            _headers(RateLimit_Limit="1000", RateLimit_Remaining="40", RateLimit_Policy="100;w=10, 1000;w=3600"),
            [RateLimit(1000, 40, None, 3600.0)],
        ),
        (
            _headers(RateLimit_Limit="100", RateLimit_Remaining="40", RateLimit_Policy="100;w=10, 100;w=3600"),
            [RateLimit(100, 40, None, 3600.0)],
        ),
        (
            _headers(RateLimit_Remaining="40", RateLimit_Policy="100;w=10, 1000;w=3600"),
            [RateLimit(1000, 40, None, 3600.0)],
        ),
        (
            _headers(RateLimit="limit=1000, remaining=40, reset=7", RateLimit_Policy="100;w=10, 1000;w=3600"),
            [RateLimit(1000, 40, 7.0, 3600.0)],
        ),
        (_headers(RateLimit="limit=50;remaining=40;w=60"), [RateLimit(50, 40, None, 60.0)]),
        (_headers(RateLimit="remaining=3, limit=50, remaining=40, limit=100"), [RateLimit(50, 3)]),  # sent twice
        (_headers(RateLimit="limit=100, remaining=40, limit=50, remaining=3"), [RateLimit(50, 3)]),
        (_headers(X_RateLimit_Limit="50", X_RateLimit_Remaining_10="7"), [RateLimit(50, 7, None, 10.0)]),
        (
            _headers(
                RateLimit_Policy='"burst";q=50;w=10,"day";q=1000;w=86400;qu="requests"',
                RateLimit='"day";r=900;t=80000, "burst";r=7;t=3',
            ),
            [RateLimit(1000, 900, 80_000.0, 86_400.0), RateLimit(50, 7, 3.0, 10.0)],
        ),
        (
            _headers(RateLimit_Policy='"day";q=1000;w=86400, "burst";q=50;w=10', RateLimit='"burst";r=7;t=3'),
            [RateLimit(50, 7, 3.0, 10.0)],
        ),
        (  # a name that no policy has: the lowest rate has it
            _headers(RateLimit_Policy='"burst";q=50;w=10, "day";q=1000;w=86400', RateLimit='"other";r=7;t=3'),
            [RateLimit(1000, 7, 3.0, 86_400.0)],
        ),
        (  # commas and semicolons in names, and a key of the partition
            _headers(
                RateLimit_Policy=r'"a, \"b\";q=1";q=50;w=10;pk=:cHJvamVjdA==:, day;q=1000;w=86400',
                RateLimit=r'"a, \"b\";q=1";r=7;t=3;pk=:cHJvamVjdA==:',
            ),
            [RateLimit(50, 7, 3.0, 10.0)],
        ),
        (  # two partitions of one policy
            _headers(RateLimit_Policy='"a";q=50;w=10', RateLimit='"a";r=30;t=3;pk=:YQ==:, "a";r=7;t=9;pk=:Yg==:'),
            [RateLimit(50, 7, 9.0, 10.0)],
        ),
        (
            _headers(RateLimit_Policy='"a";q=50;w=10, "a";q=60;w=5', RateLimit='"a";r=7;t=9, "a";r=30;t=3'),
            [RateLimit(50, 7, 9.0, 10.0)],
        ),
        (  # a quota of bytes is none of requests
            _headers(
                RateLimit_Policy='"bytes";q=5;w=3600;qu="content-bytes", "calls";q=50;w=10',
                RateLimit='"bytes";r=3;t=60, "calls";r=7;t=3',
            ),
            [RateLimit(50, 7, 3.0, 10.0)],
        ),
        (_headers(RateLimit='"default";r=7;t=3'), [RateLimit(7, 7, 3.0)]),
    ],
    ids=str,
)
def test_tightest_of_several_comes_first(headers: CIMultiDict[str], counters: list[RateLimit]) -> None:
    """The lowest rate is the scope's limit, with its own window; the others are there too, one for each window."""
    assert _read(headers) == _tenant(*counters)


def test_unscoped_beside_the_tenants_own_count_with_a_window_alone() -> None:
    """A gateway's own limit is one more; a plain copy of one of the others is not."""
    kong = _headers(X_RateLimit_Limit_Second="3", X_RateLimit_Remaining_Second="2", RateLimit_Limit="3")
    kong["RateLimit-Remaining"] = "2"
    assert _read(_joined(FIELD_FIRST, kong)) == {
        **_tenant(RateLimit(3, 2, None, 1.0), RateLimit(100, 99)),
        "route": RateLimit(50, 7),
    }


@pytest.mark.parametrize(
    ("limit", "remaining", "read"),
    [
        ("1,000", "999", RateLimit(1000, 999)),
        ("1,000", "1,000", RateLimit(1000, 1000)),
        ("12,345,678", "12,345,001", RateLimit(12_345_678, 12_345_001)),
        (" 1,000 ", "0", RateLimit(1000, 0)),
        ("1,000;w=10", "1,000", RateLimit(1000, 1000, None, 10.0)),
        ("1,000/1h", "7", RateLimit(1000, 7, None, 3600.0)),
        ("1,000, 20", "999, 4", RateLimit(20, 4)),
        ("50.0", "7.9", RateLimit(50, 7)),
        ("50/10s", "7", RateLimit(50, 7, None, 10.0)),
        ("50 / minute", "7", RateLimit(50, 7, None, 60.0)),
        ("50;w=10s", "7", RateLimit(50, 7, None, 10.0)),
        ("50;window=0.5", "7", RateLimit(50, 7, None, 0.5)),
        ("50;w=0", "7", RateLimit(50, 7)),
        ("50;w=many", "7", RateLimit(50, 7)),
        ("50;w=99999999999", "7", RateLimit(50, 7)),
        ('50;w=10;comment="20, 30;w=1"', "7", RateLimit(50, 7, None, 10.0)),
        ("50;burst", "7;x", RateLimit(50, 7)),
        ("50, 50", "7, 7", RateLimit(50, 7)),
        ("50,", "7", RateLimit(50, 7)),
    ],
)
def test_numbers_are_read_in_every_spelling(limit: str, remaining: str, read: RateLimit) -> None:
    """Grouped by thousands, with a window, with fractions, with parameters."""
    assert _read(_headers(X_RateLimit_Limit_Route=limit, X_RateLimit_Remaining_Route=remaining)) == {"route": read}


def test_header_sent_twice_says_two_limits() -> None:
    """What is on two lines counts as if it were joined; where only one of both is there twice, the lower counts."""
    twice = [("x-ratelimit-remaining-tenant", "3"), ("X-RateLimit-Limit-Route", "9")]
    headers = CIMultiDict([*FIELD_FIRST.items(), *twice])
    assert _read(headers) == {"tenant": RateLimit(100, 3), "route": RateLimit(9, 7)}
    assert HeaderReader(None).read(CIMultiDictProxy(headers), wall_clock=lambda: NOW) == _read(headers)
    pairs = [("X-RateLimit-Limit", "50"), ("X-RateLimit-Limit", "20;w=1"), ("X-RateLimit-Remaining", "9")]
    pairs.append(("X-RateLimit-Remaining", "4"))
    assert _read(CIMultiDict(pairs)) == _tenant(RateLimit(50, 9), RateLimit(20, 4, None, 1.0))


def test_plain_mapping_is_read() -> None:
    """The headers need not be a multidict."""
    assert HeaderReader(None).read(dict(FIELD_FIRST), wall_clock=lambda: NOW) == BOTH
    slow = {"X-RateLimit-Limit": "50;w=10", "X-RateLimit-Remaining": "7"}
    assert HeaderReader(None).read(slow, wall_clock=lambda: NOW) == _tenant(RateLimit(50, 7, None, 10.0))


def test_used_gives_what_remains() -> None:
    """The limit less what was used, unless it is said what remains."""
    used = _headers(X_RateLimit_Limit="50", X_RateLimit_Used="8")
    assert _read(used) == _tenant(RateLimit(50, 42))
    assert _read(_joined(used, _headers(X_RateLimit_Remaining="7"))) == _tenant(RateLimit(50, 7))
    assert _read(_headers(X_RateLimit_Limit="50", X_RateLimit_Used="80")) == _tenant(RateLimit(50, 0))


@pytest.mark.parametrize(
    ("text", "reset"),
    [
        ("Tue, 14 Nov 2023 22:13:27 GMT", 7.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("Tue, 14 Nov 1989 22:13:10 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        ("10s", 10.0),
        ("1m", 60.0),
        ("9" * 15, None),
    ],
)
def test_reset_may_be_a_date_or_have_a_unit(text: str, reset: float) -> None:
    """Never negative, and never more than 31 years."""
    found = _read(_headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40", X_RateLimit_Reset=text))["tenant"]
    assert found.reset == reset or reset is None


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


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        (
            _headers(X_RateLimit_Limit="50", X_RateLimit_Remaining="7"),
            _headers(X_RateLimit_Remaining="6"),
            RateLimit(50, 6),
        ),
        (_headers(X_RateLimit_Limit="50"), _headers(X_RateLimit_Remaining="6"), RateLimit(50, 6)),
        (_headers(X_RateLimit_Limit="50"), _headers(X_RateLimit_Remaining="60"), RateLimit(60, 60)),
        (
            _headers(X_RateLimit_Limit_10="50", X_RateLimit_Remaining_10="7"),
            _headers(X_RateLimit_Remaining_10="6", X_RateLimit_Reset_10="3"),
            RateLimit(50, 6, 3.0, 10.0),
        ),
        (
            _headers(RateLimit_Policy='"day";q=1000;w=86400, "burst";q=50;w=10', RateLimit='"burst";r=7'),
            _headers(RateLimit='"day";r=900'),
            RateLimit(1000, 900, None, 86_400.0),
        ),
        (_headers(RateLimit='"a";r=7'), _headers(RateLimit='"a";r=6'), RateLimit(7, 6)),
        (_headers(RateLimit='"a";r=7'), _headers(RateLimit='"a";r=49'), RateLimit(49, 49)),
        (_headers(RateLimit='"a";r=7'), _headers(RateLimit='"a";r=0'), RateLimit(7, 0)),
    ],
    ids=str,
)
def test_limit_that_is_not_said_is_the_last_one(
    first: CIMultiDict[str], second: CIMultiDict[str], read: RateLimit
) -> None:
    """A 429 may have said it, or a policy of an earlier answer; or the most that remained is all that is known."""
    reader = HeaderReader(None)
    reader.read(first, wall_clock=lambda: NOW)
    assert reader.read(second, wall_clock=lambda: NOW) == {"tenant": read}


def test_changing_names_fill_no_memory() -> None:
    """A server that puts numbers into names, headers or policies does not grow the client."""
    reader = HeaderReader(None)
    for number in range(1000):
        names = _headers(X_RateLimit_Remaining="6", RateLimit=f'"{number}";r=6')
        names[f"X-RateLimit-Limit-{number + 1}"] = names[f"X-RateLimit-Remaining-{number + 1}"] = "7"
        reader.read(names, wall_clock=lambda: NOW)
        for _ in range(2):
            reader.read(
                {f"X-RateLimit-{kind}-{number + 1}s": "7" for kind in ("Limit", "Remaining")}, wall_clock=lambda: NOW
            )
        reader.read({f"X-{number}-{'x' * 8000}": "7"}, wall_clock=lambda: NOW)
    kept = pickle.dumps([vars(reader)["_plans"], vars(reader)["_known"]])
    assert len(kept) < 50_000


def test_window_of_the_limiter_counts_where_none_is_said() -> None:
    """Which of two limits is tighter may depend on it."""
    headers = _headers(X_RateLimit_Limit="100", X_RateLimit_Remaining="40")
    headers.update(X_RateLimit_Limit_60="300", X_RateLimit_Remaining_60="200")
    short, long = (HeaderReader(None, window).read(headers, wall_clock=lambda: NOW)["tenant"] for window in (10, 100))
    assert (short.limit, long.limit) == (300, 100)


# The log


Lines: TypeAlias = Callable[..., list[logging.LogRecord]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The log of a reader of some answers, each with whether it is a 429."""

    def read(*answers: tuple[CIMultiDict[str], bool], names: RateLimitHeaders | None = None) -> list[logging.LogRecord]:
        reader = HeaderReader(names)
        with caplog.at_level(logging.DEBUG, "alohub_async"):
            for headers, denied in answers:
                reader.read(headers, wall_clock=lambda: NOW, denied=denied)
        return caplog.records

    return read


UNKNOWN = _joined(
    FIELD_FIRST,
    _headers(
        X_Api_Quota_Left="7",
        X_Throttle="slow",
        X_RateLimit_Limit_User="100",
        X_AppLimit="9",
        Requests_Remaining="3",
        Content_Length="9",
        Cache_Control="max-age=9",
        Retry_After="7",
        X_Delimiter="x",
        X_Generated="x",
        Strict_Transport_Security="max-age=9",
        Date="Tue, 14 Nov 2023 22:13:27 GMT",
    ),
)


def test_log_names_what_was_not_understood(lines: Lines) -> None:
    """At DEBUG at the first answer, at WARNING at the first 429, each once; only what looks like a limit."""
    first, denied = lines((UNKNOWN, False), (UNKNOWN, False), (UNKNOWN, True), (UNKNOWN, True), (UNKNOWN, False))
    assert (first.levelno, denied.levelno) == (logging.DEBUG, logging.WARNING)
    assert (
        first.getMessage()
        == denied.getMessage()
        == (
            "rate-limit headers that were not understood: X-Api-Quota-Left: '7', X-Throttle: 'slow', "
            "X-RateLimit-Limit-User: '100', X-AppLimit: '9', Requests-Remaining: '3'"
        )
    )


def test_log_of_a_first_429_is_enough(lines: Lines) -> None:
    """Later answers that are like it add nothing."""
    [line] = lines((UNKNOWN, True), (UNKNOWN, False), (UNKNOWN, True))
    assert line.levelno == logging.WARNING


def test_log_is_silent_when_all_is_understood(lines: Lines) -> None:
    """Even at a 429, and with no limit at all."""
    assert not lines((FIELD_FIRST, False), (FIELD_FIRST, True))
    assert not lines((_headers(Content_Type="x", Retry_After="7"), True))


def test_log_names_a_limit_of_which_nothing_remains_said(lines: Lines) -> None:
    """It is understood, but of no use."""
    [line] = lines((_headers(X_RateLimit_Limit="100"), True))
    assert line.getMessage().endswith(": X-RateLimit-Limit: '100'")


def test_log_shows_others_beside_the_names_that_the_user_gave(lines: Lines) -> None:
    """The usual ones too: the given ones may be wrong."""
    headers = _joined(_headers(X_All="9", X_Left="8", X_Route_All="9", X_Route_Left="8"), _headers(RateLimit_Limit="7"))
    [line] = lines((headers, True), names=NAMES)
    assert line.getMessage().endswith(": RateLimit-Limit: '7'")


def test_log_shows_no_secret_and_little(lines: Lines) -> None:
    """Values are cut to 40 printable characters, a key in use is struck out, a name of secrets has no value."""
    key = Secret("sk_live_0123456789abcdef")
    headers = _headers(
        X_RateLimit_User=f"{'x' * 30} {key.revealed}",
        X_Quota="\x1b[31m\u202e" + "9" * 70_000,
        X_RateLimit_Session_Id="7c9e6679",
        X_Limit_For=f"{'y' * 1020}{key.revealed}",
    )
    headers["X-Limit-" + "z" * 8000] = "7"
    [line] = lines((headers, True))
    message = line.getMessage()
    assert message.isascii() is False
    assert message.isprintable()
    assert "sk_l" not in message
    assert "7c9e6679" not in message
    assert len(message) < 500


def test_log_cuts_names_and_values_after_40_characters(lines: Lines) -> None:
    """Those that are that long are shown whole."""
    whole = f"X-Limit-{'z' * 32}"
    headers = CIMultiDict({whole: "9" * 40, f"{whole}y": "8" * 41})
    [line] = lines((headers, True))
    cut = f"{whole[:39]}…: '{'8' * 39}…'"
    assert line.getMessage().endswith(f": {whole}: '{'9' * 40}', {cut}")


# Names that the user gives


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


@pytest.mark.parametrize("value", ["", " ", "X Left", "X-Left:", "X-Lëft", "X-Left\n", 7, b"X-Left", True], ids=ascii)
def test_invalid_header_name_is_refused(value: Any) -> None:
    """The message names the argument and what was given."""
    with pytest.raises(ConfigurationError, match=r"tenant_limit must be the name of a header; .* was given"):
        RateLimitHeaders(tenant_limit=value, tenant_remaining="X-Left")


@pytest.mark.parametrize("name", ["tenant_limit", "tenant_remaining", "route_limit", "route_remaining"])
def test_half_a_scope_is_refused(name: str) -> None:
    """A limit without its remaining says nothing."""
    names: dict[str, Any] = {name: "X-Half"}
    with pytest.raises(ConfigurationError, match="a scope needs both names"):
        RateLimitHeaders(**names)


def test_window_of_named_headers_can_be_given() -> None:
    """It holds for each scope by itself; a value that says its own is read with the longer of both."""
    names = RateLimitHeaders(
        tenant_limit="X-All",
        tenant_remaining="X-Left",
        tenant_window=3600,
        route_limit="X-Route-All",
        route_remaining="X-Route-Left",
    )
    headers = _headers(X_All="100", X_Left="99", X_Route_All="50", X_Route_Left="7")
    assert _read(headers, names) == {"tenant": RateLimit(100, 99, None, 3600.0), "route": RateLimit(50, 7)}
    headers["X-All"], headers["X-Route-All"] = "100;w=60", "50;w=60"
    assert _read(headers, names) == {"tenant": RateLimit(100, 99, None, 3600.0), "route": RateLimit(50, 7, None, 60.0)}


@pytest.mark.parametrize("window", [0, -1, float("nan"), float("inf"), "10", True], ids=repr)
@pytest.mark.parametrize("scope", ["tenant", "route"])
def test_invalid_window_is_refused(scope: str, window: Any) -> None:
    """It is a number of seconds above 0."""
    names: dict[str, Any] = {f"{scope}_limit": "X-All", f"{scope}_remaining": "X-Left", f"{scope}_window": window}
    with pytest.raises(ConfigurationError, match=f"{scope}_window must be a number of seconds above 0"):
        RateLimitHeaders(**names)


def test_window_without_names_is_refused() -> None:
    """It would have no effect."""
    with pytest.raises(ConfigurationError, match="a scope needs both names"):
        RateLimitHeaders(tenant_window=10.0)


# Everything at once

names_in_use = st.sampled_from(
    [
        *FIELD_FIRST,
        *SCOPE_FIRST,
        *(
            f"{x}RateLimit-{kind}{window}"
            for x in ("X-", "")
            for kind in ("Limit", "Remaining", "Reset", "Used")
            for window in ("", "-10", "-Minute")
        ),
        "RateLimit",
        "RateLimit-Policy",
        "X-Quota",
    ]
)
values_in_use = st.sampled_from(
    [
        "0",
        "7",
        "100",
        "-1",
        "4.75",
        "1,000",
        "50, 20",
        "50,20;w=10",
        "50/10s",
        "100, 100;w=10, 1000;w=3600",
        "1700000007",
        "Tue, 14 Nov 2023 22:13:27 GMT",
        "limit=100, remaining=7",
        "100;w=10",
        '"a";q=9',
        '"a";q=9;w=60, "b";q=50;w=1',
        '"a";r=7;t=3',
        '"b";r=7, "a";r=0',
    ]
)


def _check(found: RateLimit, assumed: float) -> None:
    every = (found, *found.also)
    windows = [each.window or assumed for each in every]
    assert len({*windows}) == len(windows)
    rates = [each.limit / window for each, window in zip(every, windows, strict=True)]
    assert rates == sorted(rates)
    for each in every:
        assert type(each.limit) is type(each.remaining) is int
        assert 0 <= each.remaining <= each.limit
        assert each.reset is None or (type(each.reset) is float and 0 <= each.reset <= 1e9)
        assert each.window is None or (type(each.window) is float and 0 < each.window <= 366 * 86_400)
    assert not any(each.also for each in found.also)


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(names_in_use, values_in_use | any_text), max_size=8), st.booleans()), max_size=4
    ),
    st.sampled_from([1.0, 10.0, 60.0]),
)
def test_no_headers_raise_and_every_snapshot_is_valid(
    answers: list[tuple[list[tuple[str, str]], bool]], window: float
) -> None:
    """For any sequence of answers: whole numbers, remaining within the limit, no negative reset, the tightest first."""
    reader = HeaderReader(None, window)
    for pairs, denied in answers:
        for scope, found in reader.read(CIMultiDict(pairs), wall_clock=lambda: NOW, denied=denied).items():
            assert scope in {"tenant", "route"}
            _check(found, window)


@given(st.dictionaries(names_in_use, st.sampled_from(["0", "5", "7", "50"]), min_size=1, max_size=9))
def test_fast_way_reads_what_the_slow_way_reads(headers: dict[str, str]) -> None:
    """Plain digits have a way of their own, except on the first answer and on a 429."""
    reader = HeaderReader(None)
    reader.read(headers, wall_clock=lambda: NOW)
    assert reader.read(headers, wall_clock=lambda: NOW) == reader.read(headers, wall_clock=lambda: NOW, denied=True)


HOSTILE = [
    "1" * 65_536,
    f"1{'0' * 400}",
    "٣" * 65_536,
    "NaN",
    "," * 65_536,
    "1," * 500,
    "100," * 250,
    ";" * 1024,
    '"' * 1023,
    '"\\' * 500,
    "\\" * 1024,
    " " * 1024,
    "=" * 1024,
    "a=" * 500,
    ";w=1" * 250,
    '"a";r=1,' * 120,
    "1/" * 500,
    "Mon, 01 Jan 2020 99999999999999999999:00:00 GMT",
    "(" * 1000 + ":",
    "\ud800" * 900,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:9]))
@pytest.mark.parametrize("names", [None, NAMES], ids=["usual", "given"])
def test_hostile_value_costs_little(value: str, names: RateLimitHeaders | None) -> None:
    """It raises nothing, and costs a bounded number of function calls, however long it is."""
    headers = CIMultiDict(
        dict.fromkeys(
            (*FIELD_FIRST, "RateLimit", "RateLimit-Policy", "X-RateLimit-Reset-Tenant", "X-Left", "X-All"), value
        )
    )
    headers.add("X-All", value)
    HeaderReader(names).read(CIMultiDict(dict.fromkeys(headers, "1" + value)), wall_clock=lambda: NOW)  # compiles
    reader = HeaderReader(names)
    gc.disable()  # what it collects is not the reader's
    with cProfile.Profile() as profile:
        reader.read(headers, wall_clock=lambda: NOW)
    gc.enable()
    assert sum(entry.callcount for entry in profile.getstats()) < 9999
