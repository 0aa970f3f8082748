"""Whether to try again and when: the decision table, the bounds of the delay, the quota."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alohub_async.errors import (
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RateLimitWaitError,
    RequestFailedError,
)
from alohub_async.http.retries import RetryPolicy, RetryQuota
from tests.twins import pickled

ALL = {"GET", "PUT", "DELETE", "POST", "PATCH"}
IDEMPOTENT = {"GET", "PUT", "DELETE"}
READS = {"GET"}
NONE: set[str] = set()

DECISIONS: list[tuple[AlohubError, set[str]]] = [
    (APIConnectionError("no connection", maybe_sent=False), ALL),
    (APITimeoutError("no connection in time", maybe_sent=False), ALL),
    (RateLimitError(status=429), ALL),
    (RateLimitError(status=200, error_code="RATE_LIMIT_EXCEEDED"), ALL),
    (APIConnectionError("lost", maybe_sent=True), IDEMPOTENT),
    (APITimeoutError("no answer in time", maybe_sent=True), IDEMPOTENT),
    *((APIStatusError(status=status), ALL) for status in (408, 425)),
    *((InternalServerError(status=status), IDEMPOTENT) for status in (500, 502, 503, 504)),
    *((InternalServerError(status=status), IDEMPOTENT) for status in (520, 521, 522, 523, 524, 529, 530)),
    (InternalServerError(status=200, error_code="FAIL"), IDEMPOTENT),
    *((InternalServerError(status=status), NONE) for status in (501, 505, 511, 519, 525, 526, 531, 599)),
    (InternalServerError(status=400, error_code="FAIL"), NONE),
    (APIResponseError("cut short", status=200, undecodable=True), READS),
    (APIResponseError("unknown shape", status=200), NONE),
    (BadRequestError(status=400), NONE),
    (AuthenticationError(status=401), NONE),
    (PermissionDeniedError(status=403), NONE),
    (NotFoundError(status=404), NONE),
    (APIStatusError(status=409), NONE),
    (APIStatusError(status=302), NONE),
    (RequestFailedError(status=200), NONE),
    (NotFoundError(status=500, error_code="NOT_FOUND"), NONE),
    (BadRequestError(status=408, error_code="INVALID_INPUT"), NONE),
    (RateLimitError(status=503, error_code="RATE_LIMIT_EXCEEDED"), ALL),
    (ClientClosedError("closed"), NONE),
    (ConfigurationError("no key"), NONE),
    (InvalidArgumentError("bad"), NONE),
    (RateLimitWaitError("too long", wait=90.0), NONE),
]


def _one() -> float:
    return 1.0


EACH_DECISION = pytest.mark.parametrize(
    ("error", "methods"), [pytest.param(*row, id=f"{type(row[0]).__name__}: {row[0]}") for row in DECISIONS]
)


@EACH_DECISION
@pytest.mark.parametrize("method", sorted(ALL))
def test_which_failures_are_retried(error: AlohubError, methods: set[str], method: str) -> None:
    """Transient failures of idempotent requests, and failures of any request that was certainly not processed."""
    assert (RetryPolicy().delay(1, method, error, _one) is not None) == (method in methods)


@EACH_DECISION
@pytest.mark.parametrize("method", sorted(ALL))
def test_retries_of_writes_can_be_disabled(error: AlohubError, methods: set[str], method: str) -> None:
    """Without `retry_writes`, PUT and DELETE are retried only if the server certainly did not process them."""
    expected = methods if methods == ALL else methods & READS
    assert (RetryPolicy(retry_writes=False).delay(1, method, error, _one) is not None) == (method in expected)


FAILURE = InternalServerError(status=503)


@pytest.mark.parametrize("most", [0, 1, 3, 100])
def test_retries_are_counted(most: int) -> None:
    """`max_retries` retries follow the first attempt, and 0 means none."""
    policy = RetryPolicy(max_retries=most)
    allowed = [attempt for attempt in range(1, 110) if policy.delay(attempt, "GET", FAILURE, _one) is not None]
    assert allowed == [*range(1, most + 1)]


@given(
    attempt=st.integers(1, 100),
    backoff=st.floats(0, 1e308),
    most=st.floats(0, 1e308),
    drawn=st.floats(0, 1),
)
def test_delay_is_spread_over_its_whole_range(attempt: int, backoff: float, most: float, drawn: float) -> None:
    """Full jitter: a random share of the exponential delay, never above the cap, never negative."""
    policy = RetryPolicy(max_retries=100, backoff=backoff, max_backoff=most)
    delay = policy.delay(attempt, "GET", FAILURE, lambda: drawn)
    longest = policy.delay(attempt, "GET", FAILURE, _one)
    assert delay is not None
    assert longest is not None
    assert 0 <= delay <= longest <= most
    assert delay == drawn * longest
    assert longest == min(most, backoff * 2.0 ** (attempt - 1))


def test_default_delays_double_up_to_the_cap() -> None:
    """The longest delays are 0.5, 1, 2, 4, then 8 seconds; the shortest is 0."""
    policy = RetryPolicy(max_retries=10)
    longest = [policy.delay(attempt, "GET", FAILURE, _one) for attempt in range(1, 8)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert [policy.delay(attempt, "GET", FAILURE, lambda: 0.0) for attempt in (1, 7)] == [0.0, 0.0]


ASKED = [(None, 0.5), (0.0, 0.5), (0.2, 0.5), (4.75, 4.75), (60.0, 60.0), (60.01, None), (410400.0, None)]


@pytest.mark.parametrize(("asked", "delay"), ASKED)
def test_server_is_obeyed_up_to_the_cap(asked: float | None, delay: float | None) -> None:
    """`Retry-After` can only lengthen the wait; above the cap it ends the call."""
    error = RateLimitError(status=429, retry_after=asked)
    assert RetryPolicy().delay(1, "GET", error, _one) == delay
    assert error.retry_after == asked


@pytest.mark.parametrize(
    "error",
    [
        InternalServerError(status=503),
        InternalServerError(status=529),
        APIStatusError(status=425),
        RateLimitError(status=200, error_code="RATE_LIMIT_EXCEEDED"),
    ],
    ids=str,
)
@given(
    asked=st.floats(0, 60),
    attempt=st.integers(1, 3),
    backoff=st.sampled_from([0.0, 0.5, 30.0]),
    drawn=st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_clients_sent_away_together_come_back_one_by_one(
    error: APIStatusError, asked: float, attempt: int, backoff: float, drawn: list[float]
) -> None:
    """Each waits for the whole `Retry-After`, and then for a random time of a tenth of it or more."""
    twin = type(error)(status=error.status, error_code=error.error_code, retry_after=asked)
    policy = RetryPolicy(backoff=backoff, max_backoff=30)
    early, late = (policy.delay(attempt, "GET", twin, iter([draw]).__next__) for draw in drawn)
    assert early is not None
    assert late is not None
    assert asked <= early <= late
    assert late - early == pytest.approx((drawn[1] - drawn[0]) * max(asked / 10, min(30, backoff * 2 ** (attempt - 1))))


def test_the_statuses_that_are_retried_are_configurable() -> None:
    """Others can be added, and those of the default left out."""
    policy = RetryPolicy(retry_statuses=frozenset({404, 503}))
    retried: dict[AlohubError, bool] = {
        NotFoundError(status=404): True,
        InternalServerError(status=503): True,
        InternalServerError(status=500): False,
        InternalServerError(status=200, error_code="FAIL"): False,
        RateLimitError(status=429): False,
        APIStatusError(status=408): False,
        APIConnectionError("lost", maybe_sent=True): True,
    }
    assert {error: policy.delay(1, "GET", error, _one) is not None for error in retried} == retried
    assert policy == RetryPolicy(retry_statuses=[503, 404, 503])


@pytest.mark.parametrize("statuses", [503, "503", [200], [True], ["503"], [600], [503.0], None], ids=repr)
def test_statuses_are_checked(statuses: Any) -> None:
    """A status is an int from 400 to 599."""
    with pytest.raises(ConfigurationError, match=r"retry_statuses must be .* was given"):
        RetryPolicy(retry_statuses=statuses)


def test_cap_of_retry_after_is_configurable() -> None:
    """A batch job may wait longer than a web request."""
    error = RateLimitError(status=429, retry_after=1200.0)
    assert RetryPolicy(max_retry_after=3600).delay(1, "GET", error, _one) == 1200
    assert RetryPolicy(max_retry_after=0).delay(1, "GET", RateLimitError(status=429, retry_after=0.1), _one) is None
    assert RetryPolicy(max_retry_after=0).delay(1, "GET", RateLimitError(status=429, retry_after=0.0), _one) == 0.5


@pytest.mark.parametrize("value", [-1, 101, 1.0, True, "3", None, float("nan")], ids=repr)
def test_number_of_retries_is_checked(value: Any) -> None:
    """The message has the range and the given value."""
    with pytest.raises(ConfigurationError, match=r"max_retries must be an int from 0 to 100; .* was given"):
        RetryPolicy(max_retries=value)


NOT_SECONDS = [-0.1, float("nan"), float("inf"), 10**400, True, "3", None]


@pytest.mark.parametrize("name", ["backoff", "max_backoff", "max_retry_after"])
@pytest.mark.parametrize(
    "value", [-0.1, float("nan"), float("inf"), 10**400, True, "3", None], ids=lambda value: f"{value!r:.9}"
)
def test_seconds_are_checked(name: str, value: Any) -> None:
    """The message names the option and has the given value."""
    with pytest.raises(ConfigurationError, match=rf"{name} must be a number of seconds, 0 or more; .* was given"):
        RetryPolicy(**{name: value})


def test_policy_is_a_value() -> None:
    """It has no state of a call: it compares, hashes, pickles and is immutable."""
    policy = RetryPolicy(max_retries=1, backoff=0)
    assert {policy, RetryPolicy(max_retries=1, backoff=0.0), pickled(policy)} == {policy}
    field = "max_retries"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(policy, field, 2)


# The quota


def test_quota_is_exhausted_and_recovers() -> None:
    """After a burst of retries they stop; five successes earn one back."""
    quota = RetryQuota(retries=3)
    assert [quota.spend() for _ in range(5)] == [True, True, True, False, False]
    for _ in range(4):
        quota.refund()
    assert not quota.spend()
    quota.refund()
    assert quota.spend()
    assert not quota.spend()


def test_quota_is_never_more_than_full() -> None:
    """Successes with a full quota earn nothing."""
    quota = RetryQuota(retries=2)
    for _ in range(100):
        quota.refund()
    assert [quota.spend() for _ in range(3)] == [True, True, False]


def test_outage_does_not_multiply_traffic() -> None:
    """If 1,000 calls all fail, 100 retries are sent, not 3,000."""
    quota = RetryQuota()
    assert sum(quota.spend() for _ in range(3000)) == 100


@given(st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_capacity_and_earnings(events: list[bool]) -> None:
    """In any order, the retries are at most the capacity plus a fifth of the successes."""
    quota = RetryQuota(retries=5)
    spent = successes = 0
    for success in events:
        if success:
            quota.refund()
            successes += 1
        else:
            spent += quota.spend()
        assert spent <= 5 + successes * 0.2 + 1e-9
