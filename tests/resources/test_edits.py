"""Safe updates: read, compare, send, read back, and check before a retry."""

import asyncio
import unicodedata
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given

from alohub_async import (
    UNSET,
    AlohubClient,
    APIConnectionError,
    APIResponseError,
    ConflictError,
    DeadlineExceededError,
    InboundQueue,
    InboundQueueUpdate,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    QueueStrategy,
    RetryPolicy,
)
from alohub_async.resources.edits import looks, told_apart
from alohub_async.testing import DropConnection, Fault, HtmlPage, Sandbox, Status
from tests.strategies import any_text
from tests.support import FIRST, json_reply, queue

pytestmark = pytest.mark.looptime


def _methods(sandbox: Sandbox) -> list[str]:
    return [request.method for request in sandbox.requests]


CHANGE = InboundQueueUpdate(max_wait=777)
"""What no seeded queue has yet."""


def _changed(found: InboundQueue) -> InboundQueue:
    return attrs.evolve(found, max_wait=777)


async def test_edit_reads_writes_and_reads_back(sandbox: Sandbox, client: AlohubClient) -> None:
    """The result has the queue before and after, and the names of the changed fields."""
    found = await client.queues.get_inbound(FIRST)
    sandbox.clear()
    edit = await client.queues.edit_inbound(FIRST, CHANGE)
    assert (edit.id, edit.before, edit.sent, edit.changed, edit.not_taken) == (FIRST, found, True, ("max_wait",), ())
    assert edit.after == _changed(found)
    assert edit.after == await client.queues.get_inbound(FIRST)
    assert _methods(sandbox)[:3] == ["GET", "PUT", "GET"]


@pytest.mark.parametrize("answered", [FIRST + 1, str(FIRST + 1)])
async def test_nothing_is_written_by_another_queue(sandbox: Sandbox, client: AlohubClient, answered: object) -> None:
    """A queue that was not requested is an error of the edit; one without an id is accepted."""
    sandbox.fail(json_reply(queue(callinId=answered)), method="GET")
    with pytest.raises(APIResponseError, match=f"queue {FIRST} was requested, and queue {FIRST + 1} came") as caught:
        await client.queues.edit_inbound(FIRST, CHANGE)
    assert (caught.value.attempts, caught.value.maybe_written) == (1, False)
    assert _methods(sandbox) == ["GET"]
    sandbox.fail(json_reply(queue(callinId=None)), method="GET")
    assert (await client.queues.edit_inbound(FIRST, CHANGE)).sent


async def test_only_what_differs_is_sent(sandbox: Sandbox, client: AlohubClient) -> None:
    """A field that already has the wanted value is not sent."""
    found = await client.queues.get_inbound(FIRST)
    assert found.max_wait is not None
    change = InboundQueueUpdate(max_wait=found.max_wait, music_on_hold="khac.wav")
    edit = await client.queues.edit_inbound(FIRST, change)
    assert edit.changed == ("music_on_hold",)
    [put] = sandbox.requests.of(method="PUT")
    assert put.json == {"moh_file_id": "khac.wav"}


async def test_nothing_is_sent_where_nothing_differs(sandbox: Sandbox, client: AlohubClient) -> None:
    """Only one read is sent."""
    found = await client.queues.get_inbound(FIRST)
    sandbox.clear()
    edit = await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=found.max_wait or 0))
    assert (edit.sent, edit.changed, edit.after) == (False, (), found)
    assert _methods(sandbox) == ["GET"]


async def test_dry_run_sends_nothing_and_reports_the_changes(sandbox: Sandbox, client: AlohubClient) -> None:
    """The queue is not changed."""
    found = await client.queues.get_inbound(FIRST)
    edit = await client.queues.edit_inbound(FIRST, CHANGE, dry_run=True)
    assert (edit.sent, edit.changed, edit.before) == (False, ("max_wait",), found)
    assert edit.after == _changed(found)
    assert await client.queues.get_inbound(FIRST) == found
    assert "PUT" not in _methods(sandbox)


async def test_unverified_edit_is_not_read_back(sandbox: Sandbox, client: AlohubClient) -> None:
    """It sends two requests, and returns the queue with the expected values."""
    found = await client.queues.get_inbound(FIRST)
    sandbox.clear()
    edit = await client.queues.edit_inbound(FIRST, CHANGE, verify=False)
    assert edit.after == _changed(found)
    assert _methods(sandbox) == ["GET", "PUT"]


async def test_field_the_server_did_not_change_is_reported(sandbox: Sandbox, client: AlohubClient) -> None:
    """The server reported success, but the value is unchanged."""
    found = await client.queues.get_inbound(FIRST)
    sandbox.fail(json_reply({"success": "1", "error_code": "SUCCESS"}), method="PUT")
    edit = await client.queues.edit_inbound(FIRST, CHANGE)
    assert (edit.sent, edit.changed, edit.not_taken, edit.after) == (True, ("max_wait",), ("max_wait",), found)


async def test_conflict_names_both_values_and_writes_nothing(sandbox: Sandbox, client: AlohubClient) -> None:
    """Another client changed a field that would be written."""
    found = await client.queues.get_inbound(FIRST)
    await client.queues.update_inbound(FIRST, max_wait=999)
    sandbox.clear()
    with pytest.raises(ConflictError, match=rf"max_wait is 999, not {found.max_wait!r}; nothing was written") as caught:
        await client.queues.edit_inbound(FIRST, CHANGE, expect=found)
    assert caught.value.differences == {"max_wait": (found.max_wait, 999)}
    assert _methods(sandbox) == ["GET"]


async def test_difference_in_another_field_is_no_conflict(client: AlohubClient) -> None:
    """Only fields to be written count, and one that already has the wanted value is no conflict."""
    found = await client.queues.get_inbound(FIRST)
    await client.queues.update_inbound(FIRST, music_on_hold="khac.wav")
    assert (await client.queues.edit_inbound(FIRST, CHANGE, expect=found)).sent
    assert not (await client.queues.edit_inbound(FIRST, CHANGE, expect=found)).sent


AMBIGUOUS: dict[str, Fault] = {
    "connection": DropConnection(),
    "status": Status(502),
    "html": HtmlPage(status=200),
}


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_ambiguous_failure_is_checked_before_a_retry(
    sandbox: Sandbox, client: AlohubClient, fault: Fault
) -> None:
    """The queue is read, and the update is sent again because it was not applied."""
    sandbox.fail(fault, method="PUT")
    sandbox.clear()
    edit = await client.queues.edit_inbound(FIRST, CHANGE)
    assert (edit.sent, edit.not_taken, edit.after.max_wait) == (True, (), 777)
    expected = ["GET", "PUT", "GET", "PUT", "GET"]
    assert _methods(sandbox) == expected


async def test_update_applied_without_a_response_is_not_repeated(sandbox: Sandbox, client: AlohubClient) -> None:
    """A read shows that it was applied, and serves as the verification."""
    sandbox.fail(DropConnection(processed=True), method="PUT")
    sandbox.clear()
    edit = await client.queues.edit_inbound(FIRST, CHANGE)
    assert (edit.sent, edit.not_taken, edit.after.max_wait) == (True, (), 777)
    assert _methods(sandbox) == ["GET", "PUT", "GET"]


async def test_retries_are_the_policys(sandbox: Sandbox) -> None:
    """The policy sets the number of retries, none without `retry_writes`; the error is the update's own."""
    for policy, puts in ((RetryPolicy(max_retries=2), 3), (RetryPolicy(retry_writes=False), 1)):
        async with sandbox.client(retry=policy) as client:
            sandbox.clear()
            sandbox.fail(status=500, method="PUT", next=None)
            with pytest.raises(InternalServerError):
                await client.queues.edit_inbound(FIRST, CHANGE)
            assert _methods(sandbox).count("PUT") == puts
            sandbox.heal()


async def test_failure_to_read_back_says_that_the_update_was_accepted(sandbox: Sandbox) -> None:
    """The error shows that the update was applied although reading back failed."""
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        edit = client.queues.edit_inbound(FIRST, CHANGE)
        sandbox.fail(json_reply(queue(callinId=FIRST, timeWait="1")), method="GET")
        sandbox.fail(status=503, method="GET")
        with pytest.raises(InternalServerError) as caught:
            await edit
        assert caught.value.__notes__ == [f"the update of queue {FIRST} was accepted; only reading it back failed"]


async def test_deadline_is_for_all_requests_together(sandbox: Sandbox, client: AlohubClient) -> None:
    """Three requests of two seconds each exceed a deadline of five."""
    sandbox.latency = 2.0
    with pytest.raises(DeadlineExceededError):
        await client.queues.edit_inbound(FIRST, CHANGE, deadline=5)


async def test_edit_does_not_sleep_past_its_deadline(sandbox: Sandbox) -> None:
    """A delay before a retry that would exceed the deadline raises at once."""
    async with sandbox.client(retry=RetryPolicy(backoff=1000, max_backoff=1000)) as client:
        sandbox.fail(DropConnection(), method="PUT", next=None)
        started = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError, match=f"edit of queue {FIRST}: not done within"):
            await client.queues.edit_inbound(FIRST, CHANGE, deadline=5)
        assert asyncio.get_running_loop().time() - started < 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, InboundQueueUpdate(max_wait=1)), "queue_id must be 1 or more"),
        ((FIRST, InboundQueueUpdate()), "nothing to change: give at least one of music_on_hold, max_wait"),
        ((FIRST, {"max_wait": 1}), "changes must be an InboundQueueUpdate; dict was given"),
        ((FIRST, UNSET), "changes must be an InboundQueueUpdate; UnsetType was given"),
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_sent(
    sandbox: Sandbox, client: AlohubClient, arguments: tuple[Any, ...], message: str
) -> None:
    """The message has the given value and the allowed ones."""
    with pytest.raises(InvalidArgumentError, match=message):
        await client.queues.edit_inbound(*arguments)
    for expect, said in ((InboundQueue(5, "x"), "one of 5 was given"), ("x", "str was given")):
        wrong: Any = expect
        with pytest.raises(InvalidArgumentError, match=said):
            await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=1), expect=wrong)
    assert sandbox.requests == []


async def test_errors_of_the_first_reading_are_its_own(client: AlohubClient, sandbox: Sandbox) -> None:
    """Editing a queue that does not exist raises `NotFoundError`."""
    with pytest.raises(NotFoundError):
        await client.queues.edit_inbound(5, InboundQueueUpdate(strategy=QueueStrategy.VIP))
    sandbox.fail(DropConnection(), next=4, method="GET")
    with pytest.raises(APIConnectionError):
        await client.queues.edit_inbound(FIRST, InboundQueueUpdate(strategy=QueueStrategy.VIP))
    assert sandbox.requests.of(method="PUT") == []


LOOK_ALIKE: list[tuple[str, str, str, str]] = [
    ("Hỗ trợ", unicodedata.normalize("NFD", "Hỗ trợ"), "'Hỗ trợ'", r"'Ho\u0302\u0303 tro\u031b\u0323'"),
    ("Hỗ trợ", "Hỗ trợ ", "'Hỗ trợ'", "'Hỗ trợ '"),
    ("Hỗ trợ", "Hỗ  trợ", "'Hỗ trợ'", "'Hỗ  trợ'"),
    ("Hỗ trợ", "Hỗ\u00a0trợ", "'Hỗ trợ'", r"'Hỗ\xa0trợ'"),
    ("Hỗ trợ", "Hỗ\u200b trợ\u2060", "'Hỗ trợ'", r"'Hỗ\u200b trợ\u2060'"),
    ("a\u200bb", "a\u2060b", r"'a\u200bb'", r"'a\u2060b'"),
    ("a\tb", "a\nb", r"'a\tb'", r"'a\nb'"),
    ("Đà Nẵng", "\u00d0à Nẵng", "'Đà Nẵng'", r"'\xd0à Nẵng'"),
    ("CSKH", "\u0421SKH", "'CSKH'", r"'\u0421SKH'"),
    ("101", "\uff11\uff10\uff11", "'101'", r"'\uff11\uff10\uff11'"),
    ("", " ", "''", "' '"),
]


@pytest.mark.parametrize(("one", "other", "first", "second"), LOOK_ALIKE)
@pytest.mark.parametrize("show", [str, "{:.60}".format])
def test_texts_that_look_the_same_are_told_apart(
    one: str, other: str, first: str, second: str, show: Callable[[object], str]
) -> None:
    """What a reader does not see is escaped, wherever it is in a long text."""
    assert told_apart(one, other, show) == (first, second)
    assert told_apart(other, one, show) == (second, first)
    long = told_apart("x" * 5000 + one, "x" * 5000 + other, show)
    assert long[0].endswith(first.removeprefix("'"))
    assert long[1].endswith(second.removeprefix("'"))
    assert max(map(len, long)) < 200


def test_other_texts_are_shown_as_they_are() -> None:
    """Also if they have what is escaped elsewhere; of what is no text, only the type may differ."""
    assert told_apart("Hỗ trợ ", "Huế", str) == ("Hỗ trợ ", "Huế")
    assert told_apart("a", "a", str) == ("a", "a")
    assert told_apart(None, "None", str) == ("null", "'None'")
    assert told_apart(["ợ"], ["ợ"], str) == ("['ợ']", "['ợ']")
    assert told_apart(["\u1ee3"], ["o\u031b\u0323"], str) == (r'["\u1ee3"]', r'["o\u031b\u0323"]')


@given(any_text, any_text)
def test_different_texts_are_never_shown_alike(one: str, other: str) -> None:
    """Any two texts that differ look different."""
    shown = told_apart(one, other, str)
    assert one == other or looks(shown[0]) != looks(shown[1])


async def test_a_conflict_shows_what_differs(sandbox: Sandbox, client: AlohubClient) -> None:
    """Both values look the same, so the message escapes them."""
    sandbox.queues[0]["musicinQueue"] = unicodedata.normalize("NFC", "nhạc.wav")
    found = await client.queues.get_inbound(FIRST)
    sandbox.queues[0]["musicinQueue"] = unicodedata.normalize("NFD", "nhạc.wav")
    with pytest.raises(ConflictError, match=r"music_on_hold is 'nha\\u0323c.wav', not 'nhạc.wav'"):
        await client.queues.edit_inbound(FIRST, InboundQueueUpdate(music_on_hold="x.wav"), expect=found)
