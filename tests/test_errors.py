"""The exception tree: its hierarchy, and how errors are pickled, copied and printed."""

import copy
import pickle
import traceback
from pathlib import Path

import pytest
from multidict import CIMultiDict

import alohub_async
from alohub_async import errors
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
    ConflictError,
    DeadlineExceededError,
    FileError,
    InternalServerError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    NotFoundError,
    PageDriftError,
    PermissionDeniedError,
    RateLimitError,
    RateLimiterUnavailableError,
    RateLimitWaitError,
    RequestFailedError,
)
from tests.twins import pickled

PARENTS: dict[type[AlohubError], tuple[type[BaseException], ...]] = {
    ConfigurationError: (AlohubError, ValueError),
    InvalidArgumentError: (AlohubError, ValueError),
    InvalidArgumentTypeError: (InvalidArgumentError, TypeError),
    ClientClosedError: (AlohubError,),
    RateLimiterUnavailableError: (AlohubError,),
    RateLimitWaitError: (AlohubError,),
    PageDriftError: (AlohubError,),
    ConflictError: (AlohubError,),
    FileError: (AlohubError,),
    APIConnectionError: (AlohubError,),
    APITimeoutError: (APIConnectionError,),
    DeadlineExceededError: (APITimeoutError,),
    APIResponseError: (AlohubError,),
    APIStatusError: (AlohubError,),
    BadRequestError: (APIStatusError,),
    AuthenticationError: (APIStatusError,),
    PermissionDeniedError: (APIStatusError,),
    NotFoundError: (APIStatusError,),
    RateLimitError: (APIStatusError,),
    InternalServerError: (APIStatusError,),
    RequestFailedError: (APIStatusError,),
}

VIETNAMESE = "Không tìm thấy hàng đợi"


def _samples() -> list[AlohubError]:
    """One error of each class, with every attribute set to a value other than its default."""
    samples: list[AlohubError] = [AlohubError("root")]
    for kind in PARENTS:
        if issubclass(kind, APIStatusError):
            samples.append(
                kind(
                    VIETNAMESE,
                    status=418,
                    error_code="TEAPOT",
                    request="GET /v1/queues/inbound/7",
                    request_id="req-1",
                    retry_after=2.5,
                    headers=CIMultiDict({"Retry-After": "2.5"}),
                    body='{"error_message": "…"}',
                )
            )
        elif issubclass(kind, APIConnectionError):
            samples.append(kind("the connection was lost", maybe_sent=True))
        elif issubclass(kind, APIResponseError):
            samples.append(kind("no JSON", status=200, body="<html>", undecodable=True))
        elif issubclass(kind, RateLimitWaitError):
            samples.append(kind("too long", wait=12.5))
        elif issubclass(kind, PageDriftError):
            samples.append(kind("it moved", duplicates=2, totals=(25, 26)))
        elif issubclass(kind, FileError):
            samples.append(kind(VIETNAMESE, path=Path("queues.csv")))
        elif issubclass(kind, ConflictError):
            samples.append(kind("not as expected", differences={"max_wait": (60, 90)}))
        else:
            samples.append(kind(f"a {kind.__name__}"))
    for number, error in enumerate(samples):
        error.resume_token = f"token-{number}"
        error.attempts = number + 1
        error.add_note("page 3, index 7")
    return samples


SAMPLES = pytest.mark.parametrize("error", _samples(), ids=lambda error: type(error).__name__)


def _assert_whole(twin: AlohubError, error: AlohubError) -> None:
    assert twin is not error
    assert type(twin) is type(error)
    assert twin.args == error.args
    assert str(twin) == str(error)
    assert repr(twin) == repr(error)
    assert vars(twin) == vars(error)
    assert twin.resume_token == error.resume_token
    assert twin.__notes__ == ["page 3, index 7"]


@pytest.mark.parametrize(("kind", "parents"), PARENTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_tree_is_as_drawn(kind: type[AlohubError], parents: tuple[type[BaseException], ...]) -> None:
    """Each class has exactly the parents in the diagram of the module."""
    assert kind.__bases__ == parents


def test_every_error_is_in_the_table_and_public() -> None:
    """A class added to the module must be added to these tests and to the package's names."""
    defined = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AlohubError)}
    assert defined == {AlohubError, *PARENTS}
    assert {kind.__name__ for kind in defined} <= set(dir(alohub_async))
    assert all(getattr(alohub_async, kind.__name__) is kind for kind in defined)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@SAMPLES
def test_every_error_pickles_whole(error: AlohubError, protocol: int) -> None:
    """Process pools and task queues get the error with all its attributes, with every pickle protocol."""
    _assert_whole(pickled(error, protocol), error)


@SAMPLES
def test_every_error_copies_whole(error: AlohubError) -> None:
    """A shallow and a deep copy have all attributes and notes."""
    _assert_whole(copy.copy(error), error)
    _assert_whole(copy.deepcopy(error), error)


def test_deep_copy_shares_nothing_that_can_change() -> None:
    """A note or a header added to a deep copy does not appear on the original."""
    error = NotFoundError(status=404, headers=CIMultiDict({"A": "1"}))
    error.add_note("first")
    twin = copy.deepcopy(error)
    twin.add_note("second")
    assert error.__notes__ == ["first"]
    assert twin.headers is not error.headers


def test_headers_stay_case_insensitive_through_a_pickle() -> None:
    """An unpickled error finds a header in upper or lower case."""
    error = RateLimitError(status=429, headers=CIMultiDict({"Retry-After": "3"}))
    assert pickled(error).headers["retry-after"] == "3"


class _TheirError(NotFoundError):
    """A user's own subclass with a constructor of its own."""

    def __init__(self, *, queue_id: int) -> None:
        super().__init__("gone", status=404)
        self.queue_id = queue_id


def test_subclass_with_its_own_constructor_pickles_and_copies() -> None:
    """Rebuilding does not call the constructor, so a subclass may have any."""
    error = _TheirError(queue_id=7)
    for twin in (pickled(error), copy.copy(error), copy.deepcopy(error)):
        assert isinstance(twin, _TheirError)
        assert (twin.queue_id, twin.status, str(twin)) == (7, 404, str(error))


@SAMPLES
def test_resume_token_is_none_until_set(error: AlohubError) -> None:
    """Errors outside of a walk have no token, and setting one does not change the class."""
    assert error.resume_token is not None
    assert type(error).resume_token is None


def test_status_error_prints_its_details() -> None:
    """Request, status, code, the vendor's unchanged message, and the request id are in the text."""
    error = NotFoundError(
        VIETNAMESE, status=404, error_code="NOT_FOUND", request="GET /v1/queues/inbound/7", request_id="req-1"
    )
    assert str(error) == f"GET /v1/queues/inbound/7 failed with HTTP 404 NOT_FOUND: {VIETNAMESE} (request id req-1)"
    assert error.message == VIETNAMESE


def test_status_error_without_details_prints_its_status() -> None:
    """Without details, the text has no dangling colon and no None."""
    error = InternalServerError(status=502)
    assert str(error) == "request failed with HTTP 502"
    assert (error.message, error.error_code, error.request_id, error.retry_after) == (None, None, None, None)
    assert (dict(error.headers), error.body) == ({}, "")


def test_notes_and_message_show_in_a_traceback() -> None:
    """The printed traceback has the message and the notes, before and after a pickle."""
    error = NotFoundError(VIETNAMESE, status=404)
    error.add_note("page 3, index 7")
    for shown in (error, pickled(error)):
        text = "".join(traceback.format_exception(shown))
        assert VIETNAMESE in text
        assert "page 3, index 7" in text


def test_body_and_headers_stay_out_of_the_text() -> None:
    """The text of an error is for logs: headers and body are available as attributes."""
    error = InternalServerError(status=500, headers={"Set-Cookie": "session=abc"}, body="<html>abc</html>")
    assert "abc" not in str(error) + repr(error)
