"""Moves of the sandbox's list, by script or at random. Removed ids are never used again."""

from typing import Any

import pytest

from alohub_async import AlohubClient
from alohub_async.testing import Sandbox
from tests.support import QUEUE, id_of, json_reply


def _ids(sandbox: Sandbox) -> list[Any]:
    return [stored["callinId"] for stored in sandbox.queues]


async def _walk(client: AlohubClient, **options: Any) -> list[int]:
    return [id_of(queue) async for queue in client.queues.list_inbound(page_size=10, prefetch=0, **options)]


async def test_queue_is_inserted_at_once(sandbox: Sandbox, client: AlohubClient) -> None:
    """A new queue is in the list at its index, and its detail can be read."""
    before = _ids(sandbox)
    new = sandbox.insert_queue(index=3)
    given = sandbox.insert_queue({**QUEUE, "callinId": 7, "callinName": "mới"})
    assert _ids(sandbox) == [7, *before[:3], new, *before[3:]]
    assert new not in before
    assert (await client.queues.get_inbound(given)).name == "mới"
    assert (await client.queues.get_inbound(new)).id == new


async def test_queue_is_removed_at_once(sandbox: Sandbox, client: AlohubClient) -> None:
    """A removed queue is not in the list, and has no detail."""
    gone, *rest = _ids(sandbox)
    sandbox.remove_queue(gone)
    assert _ids(sandbox) == rest
    assert await _walk(client) == rest
    with pytest.raises(ValueError, match="queue_id must be the id of a queue in the list"):
        sandbox.remove_queue(gone)


async def test_page_shows_the_list_as_it_was_before_a_move_after_it(sandbox: Sandbox, client: AlohubClient) -> None:
    """A queue inserted at the front after page 0 moves the last queue of page 0 to page 1."""
    ids = _ids(sandbox)
    sandbox.insert_queue(after_page=0)
    assert sandbox.moves_left == 1
    pager = client.queues.list_inbound(page_size=10, prefetch=0)
    assert [queue.id async for queue in pager] == ids
    assert (pager.drift.duplicates, pager.drift.totals) == (1, (25, 26))
    assert sandbox.moves_left == 0


async def test_page_shows_the_list_as_it_is_after_a_move_before_it(sandbox: Sandbox, client: AlohubClient) -> None:
    """A queue of page 0 removed before page 1 moves a queue from page 1 to page 0, where the walk misses it."""
    ids = _ids(sandbox)
    sandbox.remove_queue(ids[0], before_page=1)
    assert await _walk(client) == [*ids[:10], *ids[11:]]


async def test_repair_finds_missed_queues(sandbox: Sandbox, client: AlohubClient) -> None:
    """A walk with repair yields every queue that was in the list all the time."""
    ids = _ids(sandbox)
    sandbox.remove_queue(ids[0], before_page=1)
    sandbox.insert_queue(after_page=1)
    pager = client.queues.list_inbound(page_size=10, consistency="repair")
    got = [queue.id async for queue in pager]
    assert {*ids[1:]} <= {*got}
    assert len(got) == len({*got})
    assert pager.drift.settled


async def test_scripted_removal_of_a_removed_queue_does_nothing(sandbox: Sandbox, client: AlohubClient) -> None:
    """A queue may have been removed before its scripted removal is due."""
    ids = _ids(sandbox)
    sandbox.remove_queue(ids[0], before_page=1)
    sandbox.remove_queue(ids[0])
    assert await _walk(client) == ids[1:]
    assert sandbox.moves_left == 0


async def test_moves_at_random_are_those_of_the_seed() -> None:
    """The same seed gives the same moves, another seed gives others."""

    async def moved(seed: int) -> list[Any]:
        async with Sandbox(queues=40, tenant_limit=None, route_limit=None) as sandbox, sandbox.client() as client:
            sandbox.move_at_random(seed=seed)
            await _walk(client)
            sandbox.stop_moving()
            ids = _ids(sandbox)
            assert await _walk(client) == ids
            return ids

    assert await moved(1) == await moved(1) != await moved(2)


async def test_ids_are_not_reused(sandbox: Sandbox) -> None:
    """An inserted queue never has the id of a removed one."""
    given: set[int] = {*_ids(sandbox)}
    for _ in range(10):
        new = sandbox.insert_queue()
        assert new not in given
        given.add(new)
        sandbox.remove_queue(new)


async def test_only_a_served_page_moves_the_list(sandbox: Sandbox, client: AlohubClient) -> None:
    """A fault instead of the page leaves the script unchanged."""
    sandbox.insert_queue(before_page=0)
    sandbox.fail(json_reply({}, status=502))
    sandbox.fail(status=500)
    await client.queues.list_inbound(page_size=100).first()
    assert [request.status for request in sandbox.requests] == [502, 500, 200]
    assert (sandbox.moves_left, len(sandbox.queues)) == (0, 26)


async def test_second_queue_with_the_same_id_is_found() -> None:
    """If two queues have the same id, the second is found after the first is removed."""
    twins = [{**QUEUE, "callinName": name} for name in ("một", "hai")]
    async with Sandbox(queues=twins) as sandbox, sandbox.client() as client:
        queue_id = int(str(QUEUE["callinId"]))
        sandbox.remove_queue(queue_id)
        assert (await client.queues.get_inbound(queue_id)).name == "hai"


async def test_wrong_arguments_are_refused(sandbox: Sandbox) -> None:
    """The message has the given and the allowed value."""
    with pytest.raises(ValueError, match="give before_page or after_page; 1 and 2 were given"):
        sandbox.insert_queue(before_page=1, after_page=2)
    with pytest.raises(ValueError, match="before_page must be an int of 0 or more, or None; -1 was given"):
        sandbox.insert_queue(before_page=-1)
    with pytest.raises(TypeError, match="queue must be one with an int as its callinId"):
        sandbox.insert_queue({"callinName": "không số"})
    wrong: list[dict[str, Any]] = [{"chance": 1.5}, {"chance": -0.1}, {"chance": "1"}, {"most": 0}, {"seed": 0.5}]
    for options in wrong:
        [name] = options
        with pytest.raises(ValueError, match=f"{name} must be"):
            sandbox.move_at_random(**options)
