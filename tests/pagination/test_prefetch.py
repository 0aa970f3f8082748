"""Prefetching: how far ahead, in which order, and that nothing is left behind."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from alohub_async import AlohubClient
from alohub_async.errors import APIConnectionError
from alohub_async.pagination import FetchedPage, Pager, WalkingSource
from alohub_async.testing import Sandbox
from tests.pagination.server import Server, beginning, no_total
from tests.support import LIST, until
from tests.torture.steps import Steps


@attrs.define(kw_only=True)
class Slow(Server):
    """A server that answers each fetch when the test says so.

    Attributes:
        open: Fetches that wait, by page.
        most: The largest number of fetches that waited at the same time.
    """

    open: dict[int, "asyncio.Future[None]"] = attrs.field(factory=dict[int, "asyncio.Future[None]"])
    most: int = 0

    async def fetch(self, page: int, size: int) -> FetchedPage[Any]:
        """Wait for `answer`."""
        self.open[page] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.open))
        try:
            await self.open[page]
        finally:
            del self.open[page]
        return await Server.fetch(self, page, size)

    def answer(self, page: int) -> None:
        """Let this fetch continue."""
        self.open[page].set_result(None)


async def _idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def _open(server: Slow, *pages: int) -> None:
    """Wait until exactly these fetches are in flight."""
    await _idle()
    assert {*server.open} == {*pages}


async def test_next_pages_are_in_flight_while_the_first_is_consumed() -> None:
    """The first page is fetched alone; then as many pages are in flight, and in memory, as allowed."""
    server = Slow(records=range(95))
    pager = server.pager(prefetch=3)
    first = asyncio.ensure_future(anext(pager))
    await _open(server, 0)
    server.answer(0)
    assert await first == 0
    await _open(server, 1, 2, 3)
    assert [await anext(pager) for _ in range(9)] == [*range(1, 10)]
    await _open(server, 1, 2, 3)
    more = asyncio.ensure_future(anext(pager))
    for page, then in ((3, (1, 2, 4)), (4, (1, 2, 5)), (2, (1, 5, 6)), (5, (1, 6))):
        server.answer(page)
        await _open(server, *then)
    server.answer(1)
    assert await more == 10
    await _open(server, 6, 7)  # pages 2 to 5 have arrived, and no more are needed
    await pager.aclose()


async def test_slow_consumer_stops_the_fetching() -> None:
    """No page is requested while as many as allowed wait to be consumed."""
    server = Server(records=range(1000))
    pager = server.pager(prefetch=5)
    await anext(pager)
    await _idle()
    assert len(server.fetched) == 11
    await pager.aclose()


@pytest.mark.parametrize("prefetch", [1, 2, 7, 100])
async def test_never_more_in_flight_than_allowed(prefetch: int) -> None:
    """At most `prefetch` pages are in flight, and exactly as many when the consumer waits."""
    server = Slow(records=range(300))
    pager = server.pager(prefetch=prefetch)
    walk = asyncio.ensure_future(pager.collect())
    while not walk.done():
        await _idle()
        for page in sorted(server.open, reverse=True)[:2]:
            server.answer(page)
    assert await walk == [*range(300)]
    assert server.most == min(prefetch, 30)


async def test_no_page_beyond_the_latest_total_is_requested() -> None:
    """Neither beyond the total of the first page, nor beyond a smaller one that came later."""
    server = Server(records=range(45))
    await server.pager(prefetch=50).collect()
    assert sorted(page for page, _ in server.fetched) == [0, 1, 2, 3, 4]

    slow = Slow(records=range(95))
    pager = slow.pager(prefetch=3)
    walk = asyncio.ensure_future(pager.collect())
    await _open(slow, 0)
    slow.answer(0)
    await _open(slow, 1, 2, 3)
    slow.records = range(39)
    slow.answer(3)
    await _idle()
    slow.answer(1)
    await _open(slow, 2)
    slow.answer(2)
    assert await walk == [*range(39)]
    assert {page for page, _ in slow.fetched} == {0, 1, 2, 3}


async def test_nothing_is_fetched_ahead_while_the_total_is_not_known() -> None:
    """A server that reports no total is walked page by page."""
    server = Slow(records=range(35), total=no_total)
    walk = asyncio.ensure_future(server.pager(prefetch=4).collect())
    while not walk.done():
        await _idle()
        for page in [*server.open]:
            server.answer(page)
    assert await walk == [*range(35)]
    assert server.most == 1


async def test_unordered_pages_come_as_they_arrive() -> None:
    """A page that has arrived does not wait for one that has not; each has its number."""
    server = Slow(records=range(50))
    pager = server.pager(prefetch=4, ordered=False)
    numbers: list[int] = []

    async def walk() -> None:
        async for page in pager.pages():
            assert page.items == tuple(range(page.number * 10, page.number * 10 + 10))
            numbers.append(page.number)

    task = asyncio.ensure_future(walk())
    await _open(server, 0)
    server.answer(0)
    await _open(server, 1, 2, 3, 4)
    for page in (3, 1, 4, 2, 5):
        server.answer(page)
        await _idle()
    await task
    assert numbers == [0, 3, 1, 4, 2]
    assert pager.complete


async def test_failed_page_surfaces_in_its_turn() -> None:
    """The records before it come first; the token points at it; continuing tries it again, and loses nothing."""
    server = Server(records=range(60), fails=frozenset({3}))
    pager = server.pager(prefetch=4)
    got: list[int] = []
    with pytest.raises(APIConnectionError) as caught:
        await _walk(pager, got)
    assert got == [*range(server.fetched[3][0] * 10)]
    resumed = server.pager(token=caught.value.resume_token, prefetch=4)
    assert await resumed.collect() == [*range(len(got), 60)]
    await _walk(pager, got)
    assert got == [*range(60)]


async def _walk(pager: Pager[Any], got: list[Any]) -> None:
    async for item in pager:
        got.append(item)  # noqa: PERF401  (a comprehension would lose them at an error)


async def test_estimate_counts_what_is_left() -> None:
    """Requests that are neither done nor in flight; None if the server reports no total."""
    server = Server(records=range(95))
    pager = server.pager(prefetch=0)
    estimate = await pager.estimate()
    assert estimate is not None
    assert (estimate.requests, estimate.seconds) == (9, 0.0)
    await pager.collect()
    assert (await pager.estimate() or estimate).requests == 0
    assert await Server(records=range(95), total=no_total).pager().estimate() is None


# Nothing is left behind


async def _break(pager: Pager[Any]) -> None:
    async for _ in pager:
        break


async def _raise(pager: Pager[Any]) -> None:
    with pytest.raises(LookupError):
        await _walk_into_an_error(pager)


async def _walk_into_an_error(pager: Pager[Any]) -> None:
    async for _ in pager:
        raise LookupError


async def _cancel(pager: Pager[Any]) -> None:
    task = asyncio.create_task(_walk(pager, []))
    await _idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _break_pages(pager: Pager[Any]) -> None:
    async for _ in pager.pages():
        break


async def _first(pager: Pager[Any]) -> None:
    await pager.first()


async def _count(pager: Pager[Any]) -> None:
    await pager.count()


async def _close(pager: Pager[Any]) -> None:
    await anext(pager)
    await pager.aclose()


ENDS: dict[str, Callable[[Pager[Any]], Awaitable[None]]] = {
    "break": _break,
    "exception": _raise,
    "cancellation": _cancel,
    "break by page": _break_pages,
    "first": _first,
    "count": _count,
    "aclose": _close,
}


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_end_of_a_loop_leaves_no_task(end: Callable[[Pager[Any]], Awaitable[None]], *, ordered: bool) -> None:
    """However it ends, prefetching is cancelled, and continuing delivers the rest."""
    server = Slow(records=range(95))
    pager = server.pager(prefetch=4, ordered=ordered)
    walk = asyncio.ensure_future(end(pager))
    await _open(server, 0)
    if not walk.done():
        server.answer(0)
    await asyncio.wait([walk])
    walk.result()
    await _open(server)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    plain = Server(records=range(95)).pager(token=pager.token, ordered=ordered)
    rest = await plain.collect()
    assert rest == [*range(95 - len(rest), 95)]


async def test_pager_that_is_dropped_leaves_no_task() -> None:
    """Without a loop that ends, dropping the pager cancels prefetching."""
    server = Slow(records=range(95))
    pager = server.pager(prefetch=4)
    step = asyncio.ensure_future(anext(pager))
    await _open(server, 0)
    server.answer(0)
    await step
    await _open(server, 1, 2, 3, 4)
    gc.disable()  # reference counting alone must be enough
    try:
        del pager, step
        await _open(server)
    finally:
        gc.enable()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_pager_may_outlive_its_event_loop() -> None:
    """Fetches in flight ended with the loop; continuing in another one fetches those pages again."""
    server = Server(records=range(95))
    pager = server.pager(prefetch=4)

    async def some() -> list[int]:
        return [await anext(pager) for _ in range(15)]

    got = asyncio.run(some())
    got += asyncio.run(pager.collect())
    assert got == [*range(95)]


async def test_error_of_an_unused_page_is_not_reported() -> None:
    """A prefetched page that failed is not reported as an exception that was never retrieved."""
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    server = Server(records=range(95), fails=frozenset({2, 3}))
    pager = server.pager(prefetch=4)
    await anext(pager)
    await _idle()
    del pager
    gc.collect()
    await _idle()
    assert reports == []


# Over sockets


async def test_fetching_ahead_over_sockets(sandbox: Sandbox, client: AlohubClient) -> None:
    """By default pages are prefetched, and the walk is whole."""
    queues = await client.queues.list_inbound(page_size=3).collect()
    assert [queue.id for queue in queues] == [stored["callinId"] for stored in sandbox.queues]
    assert sorted(request.page or 0 for request in sandbox.requests) == [*range(9)]


@pytest.mark.looptime
async def test_prefetch_waits_its_turn_at_the_limiter() -> None:
    """A request made before the prefetched ones is sent before them; the server refuses none."""
    async with Sandbox(queues=100, tenant_limit=2, route_limit=None) as sandbox, sandbox.client() as client:
        await client.queues.get_inbound(int(str(sandbox.queues[0]["callinId"])))
        pager = client.queues.list_inbound(page_size=10, prefetch=8)
        await anext(pager)
        await until(lambda: client.rate_limits.tenant.waiting == 8)
        other = asyncio.create_task(client.queues.get_inbound(int(str(sandbox.queues[1]["callinId"]))))
        await until(lambda: client.rate_limits.tenant.waiting == 9)
        rest = asyncio.create_task(pager.collect())
        await other
        assert len(await rest) == 99
        order = [request.page for request in sandbox.requests]
        assert order[:11] == [None, *range(9), None]
        assert {request.status for request in sandbox.requests} == {200}


@pytest.mark.looptime
@pytest.mark.parametrize(("prefetch", "details"), [(0, False), (3, False), (3, True)])
async def test_cancelled_at_any_await_nothing_is_sent_any_more(prefetch: int, *, details: bool) -> None:
    """Cancelled at each of its awaits in turn, a walk sends nothing further and holds no permit."""
    counted, at = 0, 0
    while at == 0 or counted >= at:
        at += 1
        async with (
            Sandbox(queues=15, tenant_limit=4, route_limit=None, latency=0.1) as sandbox,
            sandbox.client() as client,
        ):
            pager = client.queues.list_inbound(page_size=5, prefetch=prefetch, details=details)
            steps = Steps(at)
            walk = await steps.run(_walk(pager, []))
            assert walk.cancelled() == steps.hit == (steps.counted >= at)
            counted = steps.counted
            await asyncio.sleep(0.2)  # requests in flight have arrived
            sent = len(sandbox.requests)
            await asyncio.sleep(100)
            assert len(sandbox.requests) == sent
            status = client.rate_limits.tenant
            assert (status.in_flight, status.waiting) == (0, 0)
            assert asyncio.all_tasks() - _servers() == {asyncio.current_task()}
            assert len(await client.queues.list_inbound(page_size=5).collect()) == 15
            assert {request.status for request in sandbox.requests} <= {200, None}
    assert at > 5


def _servers() -> set["asyncio.Task[Any]"]:
    """Return the tasks of the sandbox."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task.get_coro())}


async def test_break_leaves_no_request_behind(sandbox: Sandbox, client: AlohubClient) -> None:
    """After `break`, the limiter has no request in flight and none waiting."""
    sandbox.latency = 0.02
    async for _ in client.queues.list_inbound(page_size=2, prefetch=8):
        break
    await until(lambda: client.rate_limits.tenant.in_flight == 0)
    status = client.rate_limits.routes[f"GET {LIST}"]
    assert (status.in_flight, status.waiting) == (0, 0)


async def test_beginning_is_one_page_whatever_the_prefetch() -> None:
    """A list of one page costs one request."""
    server = Server(records=range(5))
    assert await Pager(WalkingSource(server.fetch, beginning(10), prefetch=8)).collect() == [*range(5)]
    assert server.fetched == [(0, 10)]
