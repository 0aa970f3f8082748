"""The k-th answer of each call fails in each way: a right result, or an error that tells the truth and goes on."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import takewhile
from typing import Any, Final, get_args
from unittest.mock import patch

import aiohttp
import aiohttp.abc
import pytest
from attrs import frozen
from yarl import URL

from alohub_async import AlohubClient, AlohubError, APIConnectionError, DeadlineExceededError, Endpoint, RetryPolicy
from alohub_async.testing import Sandbox
from tests.torture.gateway import Gateway, Transmission, Way
from tests.torture.harness import Torture
from tests.torture.scenarios import QUEUES, SCENARIOS, Apply, Edit, Export, Get, Request, Scenario, Told, Walk
from tests.torture.steps import Steps
from tests.torture.world import World, bounded, check_idle, tried, within

_LONGEST: Final = 2000.0  # seconds of the loop's clock: some attempts of each of some requests
_POLICIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "no retries": {"retry": RetryPolicy(max_retries=0)},
    "retries": {},
    "deadline": {"deadline": 3.0},
    "short waits": {"max_rate_limit_wait": 0.5},
}
_GIVEN: Final = frozenset({"session closed", "no name in a given session"})
_LOOKUPS: Final = frozenset({"no name", "no name in a given session"})
_UNCOUNTED: Final = frozenset({"refused", "session closed", *_LOOKUPS})  # transmissions that the gateway does not see
_LOOKUP: Final = 150.0  # seconds until a lookup that hangs fails: longer than any time limit of an attempt
_SOON: Final = 0.01  # seconds of the loop's clock for tasks to end after the call
_POINTS: Final = 10  # of each scenario in the short mode


@frozen
class Failing:
    """A point.

    Attributes:
        scenario: The call.
        policy: The options of the client, by name.
        way: How answers fail; None if they do not.
        first: The number of the first answer that fails, from 1.
    """

    scenario: str
    policy: str = "retries"
    way: Way | None = None
    first: int = 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_answer_fails_in_each_way(torture: Torture, scenario: str) -> None:
    """The result is right, or an error of ours says what was sent; afterwards all is as if nothing had happened."""
    counted: list[int] = []
    assert not tried(lambda world: _run(world, Failing(scenario), counted))
    points = {
        f"failing/{scenario}/{way}/{policy}/{first}": Failing(scenario, policy, way, first)
        for first in range(1, counted[0] + 1)
        for policy in _POLICIES
        for way in get_args(Way)
        if way != "no name" or first == 1  # aiohttp remembers an address
    }
    torture.try_points(points, lambda point: tried(lambda world: _run(world, point, [])), short=_POINTS)


async def _run(world: World, point: Failing, counted: list[int]) -> None:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(queues=QUEUES))
        gateway = await stack.enter_async_context(Gateway(sandbox.url, point.way, point.first))
        client = await stack.enter_async_context(_client(sandbox, gateway, point))
        scenario, steps = SCENARIOS[point.scenario](client, sandbox, world.folder), Steps()
        with bounded(world, seconds=2, megabytes=20):
            async with within(world, _LONGEST, "it"):
                task = await steps.run(scenario.act())
        error = task.exception()
        counted.append(len(gateway.log))
        world.check(error is None or isinstance(error, AlohubError), f"an error that is not ours: {error!r}")
        world.check_threads()
        world.check_folder(Export.FILES)
        check_idle(world, client)
        await asyncio.sleep(_SOON)  # what was on its way has arrived
        log = [*gateway.log]
        world.check(all(each.done() for each in steps.tasks) or point.way in _LOOKUPS, "tasks still run")
        await asyncio.sleep(200)  # what the server does late is done
        world.check(len(gateway.log) == len(log), "requests were sent afterwards")
        for told in scenario.told(error):
            world.wrong += _lies(told, log, scenario, point.way)
        gateway.heal()
        another = client.with_options(deadline=None, max_rate_limit_wait=None)
        if point.way == "session closed":
            scenario.closed = True
            another = await stack.enter_async_context(sandbox.client(endpoint=client.endpoint))
        async with within(world, _LONGEST, "going on"):
            try:
                world.wrong += await scenario.finish(another)
            except AlohubError as failed:
                world.wrong.append(f"going on failed: {failed!r}")
        check_idle(world, client)


@asynccontextmanager
async def _client(sandbox: Sandbox, gateway: Gateway, point: Failing) -> AsyncGenerator[AlohubClient]:
    """Make a client that knows the gateway by address, or by a name if lookups of the name are to hang."""
    lookups = _Lookups(point.first if point.way in _LOOKUPS else 0)
    url = URL(gateway.url)
    if point.way in _LOOKUPS:
        url = url.with_host("gateway.test")
    options: dict[str, Any] = {"endpoint": Endpoint(url, allow_http=True), **_POLICIES[point.policy]}
    if point.way not in _GIVEN:
        with patch.object(asyncio.get_running_loop(), "getaddrinfo", lookups.getaddrinfo):
            async with sandbox.client(**options) as client:
                yield client
        return
    by_name = point.way in _LOOKUPS
    connector = aiohttp.TCPConnector(resolver=lookups, use_dns_cache=False, force_close=by_name)
    async with aiohttp.ClientSession(connector=connector) as session:
        gateway.close_session = session.close
        async with sandbox.client(session=session, **options) as client:
            yield client


class _Lookups(aiohttp.abc.AbstractResolver):
    """Lookups of names: one of them hangs."""

    def __init__(self, hangs: int) -> None:
        """Hang at the lookup of this number, from 1; 0 for none."""
        self._left = hangs

    async def getaddrinfo(self, _: str, port: int, **__: Any) -> list[Any]:
        """Return the local address, as a loop does."""
        await self._look_up()
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    async def resolve(self, host: str, port: int = 0, family: Any = 2) -> list[Any]:
        """Return the local address, as a resolver does."""
        await self._look_up()
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]

    async def _look_up(self) -> None:
        self._left -= 1
        if not self._left:
            await asyncio.sleep(_LOOKUP)
            raise OSError("the name was not found in time")

    async def close(self) -> None:
        """Do nothing."""


def _lies(told: Told, log: Sequence[Transmission], scenario: Scenario, way: Way | None) -> Iterable[str]:
    """Compare what was said with what came to the server and with what it did."""
    mine = [each for each in log if told.queue_id is None or each.path.endswith(f"/{told.queue_id}")]
    puts = [each for each in mine if each.method == "PUT"]
    error, name = told.error, type(told.error).__name__
    maybe_sent = getattr(error, "maybe_sent", None)
    if told.queue_id is not None and told.written is not None and told.written != scenario.has(told.queue_id):
        yield f"queue {told.queue_id} is said to be {'' if told.written else 'not '}written: {name}"
    if told.whole and error is not None and any(put.acted for put in puts) and not maybe_sent:
        yield f"an update was done, and maybe_sent is {maybe_sent} on {name}"
    failed = [*takewhile(lambda each: each.way is not None, reversed(log))]
    alone = isinstance(scenario, Walk) and scenario.pages_alone and way not in _UNCOUNTED
    if alone and error is not None and told.attempts != len(failed):
        yield f"{len(failed)} requests for the failed page came, and attempts is {told.attempts} on {name}"
    single = told.queue_id is not None or isinstance(scenario, Get | Request)
    received = puts if isinstance(scenario, Edit | Apply) else mine  # these read before they write
    # A request may have been on its way, or its connection: a user's connector does not report when it has one.
    uncertain = way == "session closed" or (way in _GIVEN and isinstance(error, DeadlineExceededError))
    if isinstance(error, APIConnectionError) and single and len(mine) <= 1:
        if error.maybe_sent and not mine and not uncertain:
            yield f"no request came, and maybe_sent is True on {name}: {error}"
        if not error.maybe_sent and received:
            yield f"{len(received)} requests came, and maybe_sent is False on {name}: {error}"
    if told.attempts is not None and told.queue_id is not None:
        right = told.attempts >= len(mine) if way in _UNCOUNTED else told.attempts == len(mine)
        if not right:
            yield f"{len(mine)} requests came, and attempts is {told.attempts} on {name}"
