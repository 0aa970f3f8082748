"""Answers that no honest server sends: each is a right result or an error of ours, and costs little."""

import asyncio
import copy
import json
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import attrs
import pytest
from attrs import frozen

from alohub_async import AlohubClient, AlohubError, APIConnectionError, RetryPolicy
from tests.support import FIRST, LIST, QUEUE, RawServer, Step, http
from tests.torture.grammar import PAYLOADS, Call, Hostile, answers, combined
from tests.torture.harness import Torture
from tests.torture.world import World, bounded, check_idle, tried, within

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALLS: Final[Mapping[Call, Callable[[AlohubClient], Coroutine[Any, Any, object]]]] = {
    "list": lambda client: client.queues.list_inbound(max_passes=2).collect(),
    "get": lambda client: client.queues.get_inbound(FIRST),
    "update": lambda client: client.queues.update_inbound(FIRST, max_wait=1),
    "request": lambda client: client.request("GET", f"{LIST}/{FIRST}"),
}
_LONGEST: Final = 300.0  # seconds of the loop's clock for a call
_BLOCKED: Final = 120.0  # seconds that an answer may keep later calls waiting: twice the longest Retry-After
_MANY: Final = 60  # honest requests afterwards, with a limit of 50 in 10 seconds
_COMBINED: Final = 1500  # of each call in the long mode
_MESSAGE: Final = 4000  # characters of an error
_POINTS: Final = 45  # of each call in the short mode
_HONEST: Final = {
    "X-RateLimit-Limit-Tenant": "100",
    "X-RateLimit-Limit-Route": "50",
    "X-RateLimit-Remaining-Tenant": "90",
    "X-RateLimit-Remaining-Route": "45",
}


@frozen
class Answered:
    """A point.

    Attributes:
        call: The call.
        hostile: What answers all its attempts.
    """

    call: Call
    hostile: Hostile


@pytest.mark.parametrize("call", get_args(Call))
def test_hostile_answers(torture: Torture, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """No answer ends, hangs, fills or fools a client."""
    caplog.set_level(logging.DEBUG, "alohub_async")

    def run(point: Answered) -> Iterable[str]:
        caplog.clear()
        return [*tried(lambda world: _run(world, point)), *_odd_lines(caplog.messages)]

    points = {f"hostile/{call}/{name}": Answered(call, hostile) for name, hostile in answers(call).items()}
    if torture.long:
        mixed = combined(call, _COMBINED, seed=torture.seed)
        points |= {f"hostile/{call}/{name}": Answered(call, hostile) for name, hostile in mixed.items()}
    torture.try_points(points, run, short=_POINTS)


async def _run(world: World, point: Answered) -> None:
    healed = False
    honest = [http(QUEUE, headers=_HONEST)]

    def answer(_: int) -> Iterable[Step]:
        return honest if healed else point.hostile.steps()

    async with (
        RawServer(lambda number: [*answer(number)]) as server,
        AlohubClient("key", endpoint=server.url, retry=RetryPolicy(max_retries=1, backoff=0)) as client,
    ):
        with bounded(world, seconds=2, megabytes=150):
            async with within(world, _LONGEST, "it"):
                task = asyncio.ensure_future(_CALLS[point.call](client))
                await asyncio.wait([task])
        sent = len(server.requests)
        if task.exception() is None:
            world.check(point.hostile.verdict != "wrong", f"it was taken for right: {task.result()!r:.200}")
            world.check(all(map(math.isfinite, _floats(task.result()))), "a number that is not finite came through")
        else:
            world.check(point.hostile.verdict != "right", f"it was not taken for right: {task.exception()!r:.300}")
            _check_error(world, task.exception(), sent, a_list=point.call == "list")
        if point.call == "update" and point.hostile.once:
            world.check(sent == 1, f"an update that may be done was sent {sent} times")
        healed = True
        check_idle(world, client)
        async with within(world, _BLOCKED, "a call afterwards"):
            await _until_answered(client)
        if not point.hostile.about_limits:
            return
        async with within(world, _BLOCKED, f"{_MANY} calls afterwards"):
            await asyncio.gather(*(client.queues.get_inbound(FIRST) for _ in range(_MANY)))
        check_idle(world, client)


def _check_error(world: World, error: BaseException | None, sent: int, *, a_list: bool) -> None:
    if not isinstance(error, AlohubError):
        world.wrong.append(f"an error that is not ours: {error!r:.300}")
        return
    # An attempt may meet a connection that the server is closing, and pages together may be wrong, each being right.
    right = sent <= error.attempts <= sent + 1 or (a_list and not error.attempts)
    world.check(right, f"{sent} requests came, and attempts is {error.attempts}: {error!r:.300}")
    if isinstance(error, APIConnectionError):
        world.check(error.maybe_sent, "a request came, and maybe_sent is False")
    world.wrong += _odd_lines([str(error), *getattr(error, "__notes__", ())])
    copied = copy.deepcopy(error)  # as pickle does
    world.check((type(copied), str(copied)) == (type(error), str(error)), "a copied error is another")


def _odd_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if len(line) > _MESSAGE:
            yield f"a message of {len(line)} characters: {line[:100]}"
        if not line.isprintable():
            odd = next(char for char in line if not char.isprintable())
            yield f"a message with {odd!a}: {line[:300]!a}"


async def _until_answered(client: AlohubClient) -> None:
    """Get the queue; the first calls may be refused for what a hostile answer said."""
    while True:
        try:
            await client.queues.get_inbound(FIRST)
        except AlohubError:
            await asyncio.sleep(5)
        else:
            return


def _floats(value: Any) -> Iterator[float]:
    inside: Iterable[Any] = ()
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        inside = cast("dict[str, Any]", value).values()
    elif isinstance(value, list | tuple):
        inside = cast("Sequence[Any]", value)
    elif attrs.has(cast("type[object]", type(value))):
        inside = attrs.asdict(value, recurse=False).values()
    for each in inside:
        yield from _floats(each)


@pytest.mark.parametrize("call", get_args(Call))
def test_right_answers_are_right(call: Call) -> None:
    """The grammar begins with an answer that the call takes."""
    right = Answered(call, Hostile(body=json.dumps(PAYLOADS[call]).encode(), verdict="right"))
    assert not tried(lambda world: _run(world, right))
