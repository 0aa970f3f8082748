"""Retries: the edges of what is repeated, what a policy accepts, and when a quota counts as full."""

from typing import Any

import pytest

from alohub_async.errors import ConfigurationError, InternalServerError
from alohub_async.http.retries import RetryPolicy, RetryQuota


@pytest.mark.parametrize(("status", "repeated"), [(200, True), (299, True), (300, False), (301, False)])
def test_failure_code_counts_as_500_only_under_a_success(status: int, *, repeated: bool) -> None:
    """The API reports FAIL under HTTP 200; beside another status that is not transient, nothing is repeated."""
    error = InternalServerError(status=status, error_code="FAIL")
    assert (RetryPolicy().delay(1, "GET", error, lambda: 1.0) is not None) == repeated


def test_each_error_status_can_be_chosen() -> None:
    """From the first to the last."""
    assert RetryPolicy(retry_statuses=frozenset({400, 599})).retry_statuses == {400, 599}
    for status in (399, 600):
        with pytest.raises(ConfigurationError, match=f"each of retry_statuses must be .* 400 to 599; {status} was"):
            RetryPolicy(retry_statuses=frozenset({status}))


def test_statuses_that_are_no_set_are_refused_with_what_was_given() -> None:
    """The message says what is wanted, too."""
    no_set: Any = 503
    with pytest.raises(ConfigurationError, match="retry_statuses must be a set of HTTP statuses; 503 was given"):
        RetryPolicy(retry_statuses=no_set)


def test_quota_is_full_until_a_retry_and_after_five_successes() -> None:
    """A client whose quota is full does not record its successes."""
    quota = RetryQuota(retries=2)
    assert quota.full is True
    for _ in range(2):
        assert quota.spend()
        for _ in range(5):
            assert quota.full is False
            quota.refund()
        assert quota.full is True
