"""Details that differ from the list."""

import pytest

from alohub_async import AlohubClient, InboundQueueUpdate, NotFoundError
from alohub_async.testing import Sandbox
from tests.support import FIRST, id_of


async def test_detail_differs_from_the_list(sandbox: Sandbox, client: AlohubClient) -> None:
    """In the given fields, even in one that the list does not have. The list and other queues do not change."""
    listed = await client.queues.list_inbound().collect()
    sandbox.set_detail(FIRST, {"timeWait": "91", "note": "mới"})
    detail = await client.queues.get_inbound(FIRST)
    assert (detail.max_wait, detail.extra, detail.name) == (91, {"note": "mới"}, listed[0].name)
    assert await client.queues.list_inbound().collect() == listed
    assert await client.queues.get_inbound(id_of(listed[1])) == listed[1]


async def test_difference_survives_an_update_and_can_be_removed(sandbox: Sandbox, client: AlohubClient) -> None:
    """The update changes the list, but not the detail, until the difference is removed."""
    sandbox.set_detail(FIRST, {"timeWait": "91"})
    edit = await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=5))
    assert (edit.not_taken, sandbox.queues[0]["timeWait"]) == (("max_wait",), "5")
    sandbox.set_detail(FIRST, {})
    assert (await client.queues.get_inbound(FIRST)).max_wait == 5


async def test_hidden_queue_is_only_in_the_list(sandbox: Sandbox, client: AlohubClient) -> None:
    """It is listed and counted, but can be neither read nor updated by its id, until its detail is set again."""
    before = dict(sandbox.queues[0])
    sandbox.hide_detail(FIRST)
    assert (await client.queues.list_inbound().collect())[0].id == FIRST
    with pytest.raises(NotFoundError):
        await client.queues.get_inbound(FIRST)
    with pytest.raises(NotFoundError):
        await client.queues.update_inbound(FIRST, max_wait=5)
    assert sandbox.queues[0] == before
    sandbox.set_detail(FIRST, {})
    assert (await client.queues.get_inbound(FIRST)).id == FIRST


def test_queue_must_be_in_the_list() -> None:
    """An id of no queue is refused."""
    sandbox = Sandbox(queues=1)
    with pytest.raises(ValueError, match="queue_id must be the id of a queue in the list; 5 was given"):
        sandbox.set_detail(5, {})
    with pytest.raises(ValueError, match="queue_id must be the id of a queue in the list; 5 was given"):
        sandbox.hide_detail(5)
