"""Listing with details, under limits and deadlines, and options that exclude each other."""

import asyncio
from functools import partial
from typing import Any

import pytest

from alohub_async import (
    AlohubClient,
    DeadlineExceededError,
    InternalServerError,
    InvalidArgumentError,
    PageDriftError,
    QueueStrategy,
    RetryPolicy,
)
from alohub_async.testing import Sandbox
from tests.support import LIST, id_of, json_reply


def _ids(sandbox: Sandbox) -> list[int]:
    return [int(str(stored["callinId"])) for stored in sandbox.queues]


def _details_asked(sandbox: Sandbox) -> list[int]:
    return [int(request.path.rpartition("/")[2]) for request in sandbox.requests if request.page is None]


async def test_details_are_what_get_says(sandbox: Sandbox, client: AlohubClient) -> None:
    """Each queue is requested once, and returned in the order of the list."""
    queues = await client.queues.list_inbound(page_size=7, details=True).collect()
    assert [queue.id for queue in queues] == _ids(sandbox)
    assert sorted(_details_asked(sandbox)) == _ids(sandbox)
    assert queues[3] == await client.queues.get_inbound(id_of(queues[3]))


async def test_detail_takes_precedence_over_the_list(sandbox: Sandbox, client: AlohubClient) -> None:
    """A queue that changed in between has the values of the detail."""
    first = _ids(sandbox)[0]
    sandbox.fail(json_reply({"callinId": first, "callinName": "mới"}), path=f"{LIST}/{first}")
    queue = await client.queues.list_inbound(details=True).first()
    assert queue is not None
    assert queue.name == "mới"


@pytest.mark.looptime
async def test_queue_that_is_gone_in_detail_is_left_out_and_counted(sandbox: Sandbox, client: AlohubClient) -> None:
    """It was removed after it was listed; with `raise` that is an error."""
    ids = _ids(sandbox)
    sandbox.fail(status=404, path=f"{LIST}/{ids[4]}", next=None)
    pager = client.queues.list_inbound(page_size=10, details=True)
    assert [queue.id async for queue in pager] == ids[:4] + ids[5:]
    assert (pager.drift.gone, pager.drift.moved, pager.complete) == (1, True, False)
    with pytest.raises(PageDriftError):
        await client.queues.list_inbound(details=True, consistency="raise").collect()
    repaired = client.queues.list_inbound(details=True, consistency="repair")
    assert [queue.id async for queue in repaired] == ids[:4] + ids[5:]
    assert repaired.drift.gone >= 1


@pytest.mark.looptime
async def test_details_that_were_found_survive_a_failure(sandbox: Sandbox) -> None:
    """Continuing after a failed lookup requests only the missing details."""
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        ids = _ids(sandbox)
        sandbox.latency = 0.1
        sandbox.fail(status=500, path=f"{LIST}/{ids[20]}")
        pager = client.queues.list_inbound(details=True)
        with pytest.raises(InternalServerError) as caught:
            await pager.collect()
        assert caught.value.resume_token == pager.token
        asked = len(_details_asked(sandbox))
        assert [queue.id async for queue in pager] == ids
        assert len(_details_asked(sandbox)) < asked + 10
        assert asyncio.all_tasks() - _servers() == {asyncio.current_task()}


def _servers() -> set["asyncio.Task[Any]"]:
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task.get_coro())}


@pytest.mark.looptime
async def test_details_overlap_the_walk_within_their_bound() -> None:
    """Sixteen lookups at a time, while pages are fetched ahead."""
    async with (
        Sandbox(queues=160, latency=1.0, tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client() as client,
    ):
        started = asyncio.get_running_loop().time()
        assert len(await client.queues.list_inbound(page_size=16, details=True).collect()) == 160
        assert (
            asyncio.get_running_loop().time() - started < 14
        )  # 10 for the lookups, 2 for the first pages, and a little
        most = max(
            sum(other.at <= request.at < other.at + 1 for other in sandbox.requests if other.page is None)
            for request in sandbox.requests
        )
        assert most <= 16


@pytest.mark.looptime
async def test_estimate_knows_limits_and_details() -> None:
    """Requests that are left, and the least seconds: the walk takes no less, and not more than two windows more."""
    async with Sandbox(queues=95, route_limit=20, tenant_limit=None) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=10, details=True, prefetch=0)
        estimate = await pager.estimate()
        assert estimate is not None
        assert estimate.requests == 9 + 85
        started = asyncio.get_running_loop().time()
        assert len(await pager.collect()) == 95
        took = asyncio.get_running_loop().time() - started
        assert estimate.seconds <= took <= estimate.seconds + 20
        plain = await client.queues.list_inbound(page_size=5).estimate()
        assert plain is not None
        assert plain.requests == 19  # the last of them confirms that 95 is all


@pytest.mark.looptime
async def test_deadline_of_a_walk_covers_its_details() -> None:
    """Pages and lookups share one deadline."""
    async with Sandbox(queues=40, latency=1.0) as sandbox, sandbox.client() as client:
        pager = client.queues.list_inbound(page_size=20, details=True, deadline=2.5)
        started = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceededError):
            await pager.collect()
        assert asyncio.get_running_loop().time() - started <= 2.5
        gone_on = client.queues.list_inbound(token=pager.token, deadline=0.5)
        with pytest.raises(DeadlineExceededError):
            await gone_on.collect()
        with pytest.raises(DeadlineExceededError, match=r"not done within its deadline of 0\.50 s"):
            await gone_on.collect()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefetch": -1}, "prefetch must be an int from 0 to 100; -1 was given"),
        ({"prefetch": 101}, "prefetch must be an int from 0 to 100"),
        ({"prefetch": True}, "prefetch must be an int from 0 to 100; True was given"),
        ({"ordered": None}, "ordered must be True or False; None was given"),
        ({"consistency": "hope"}, r"consistency must be one of \('detect', 'raise', 'repair'\); 'hope' was given"),
        ({"max_passes": 1}, "max_passes must be an int from 2 to 100; 1 was given"),
        (
            {"max_rate_limit_wait": "1"},
            "max_rate_limit_wait must be a number of seconds, 0 or more, or None; '1' was given",
        ),
        (
            {"max_rate_limit_wait": -0.1},
            "max_rate_limit_wait must be a number of seconds, 0 or more, or None; -0.1 was given",
        ),
        ({"priority": "high"}, r"priority must be one of \('interactive', 'normal', 'bulk'\); 'high'"),
    ],
)
def test_bad_option_is_refused_when_the_pager_is_made(options: dict[str, Any], message: str) -> None:
    """The message has the given value and the allowed ones."""
    client = AlohubClient("sk_live_x")
    for make in (client.queues.list_inbound, partial(client.paginate, LIST)):
        with pytest.raises(InvalidArgumentError, match=message):
            make(**options)


async def test_token_is_for_the_same_consistency(client: AlohubClient) -> None:
    """A token of a walk with repair is refused by a walk without it."""
    plain = client.queues.list_inbound()
    repair = client.queues.list_inbound(consistency="repair")
    with pytest.raises(InvalidArgumentError, match='of a walk with a consistency other than "repair"'):
        client.queues.list_inbound(token=plain.token, consistency="repair")
    with pytest.raises(InvalidArgumentError, match='of a walk with consistency="repair"'):
        client.queues.list_inbound(token=repair.token)
    assert await client.queues.list_inbound(token=plain.token, consistency="raise").count() == 25


async def test_other_query_values_of_a_walk_arrive_as_given(sandbox: Sandbox, client: AlohubClient) -> None:
    """Each page has them beside its number and size, with every character as it was."""
    params: dict[str, str | int] = {"q": "Hà Nội & +1=%2F", "a b": 7}
    pager = client.paginate(LIST, params=params, page_size=10)
    assert len(await pager.collect()) == 25
    for number, request in enumerate(sandbox.requests):
        assert request.query == {"q": "Hà Nội & +1=%2F", "a b": "7", "page": str(number), "size": "10"}


async def test_token_of_a_walk_by_an_enum_is_one_by_its_number(client: AlohubClient) -> None:
    """Both mean the same list."""
    by_enum = client.paginate(LIST, params={"strategy": QueueStrategy.VIP})
    by_number = client.paginate(LIST, params={"strategy": 2})
    assert by_enum.token == by_number.token
