"""The requests that wait: their order, their count, and the time that they waited."""

import math
import weakref

import attrs

from alohub_async.rate_limits.bucket import Bucket
from alohub_async.rate_limits.priorities import Priority
from alohub_async.rate_limits.wait_queues import Agenda, Listed, RouteQueue, RouteQueues, WaitingTime, WaitQueue


@attrs.define(eq=False)
class Waiter:
    """A request that waits."""

    sequence: int
    priority: Priority = "normal"
    arrived: float = 0.0
    max_retry_after: float = math.inf
    cancelled: bool = False


def queue_of(*waiters: Waiter) -> WaitQueue[Waiter]:
    """A queue that they entered in this order."""
    queue = WaitQueue[Waiter]()
    for waiter in waiters:
        queue.add(waiter)
    return queue


def drain(queue: WaitQueue[Waiter]) -> list[int]:
    """Remove all, one after another; return their numbers."""
    numbers = list[int]()
    while (head := queue.head()) is not None:
        numbers.append(head.sequence)
        queue.pop()
    return numbers


def test_an_agenda_has_each_item_under_its_last_rank() -> None:
    """The lowest comes first, and stays until it is listed otherwise."""
    agenda, first, second = Agenda[Listed](), Listed(), Listed()
    assert agenda.first() is None
    agenda.put(first, (2.0, 0))
    agenda.put(second, (1.0, 5))
    assert agenda.first() == agenda.first() == ((1.0, 5), second)
    agenda.put(second, (3.0, 0))
    assert agenda.first() == ((2.0, 0), first)
    agenda.put(first, None)
    assert agenda.first() == ((3.0, 0), second)
    agenda.put(second, None)
    assert agenda.first() is None


def test_an_agenda_needs_no_order_of_its_items() -> None:
    """Under one rank, the one that was listed first comes first."""
    agenda, items = Agenda[Listed](), [Listed() for _ in range(5)]
    for item in items:
        agenda.put(item, (1.0, 1))
    found = list[Listed]()
    while (entry := agenda.first()) is not None:
        found.append(entry[1])
        agenda.put(entry[1], None)
    assert found == items


def test_a_request_that_waited_before_passes_those_that_came_later() -> None:
    """By its number, wherever that belongs."""
    queue = queue_of(*(Waiter(number) for number in (3, 7, 5, 9, 1)))
    assert queue.waiting == 5
    assert drain(queue) == [1, 3, 5, 7, 9]
    assert queue.waiting == 0


def test_cancelled_waiters_do_not_count_and_never_go() -> None:
    """Wherever in the queue they are."""
    waiters = [Waiter(number) for number in range(5)]
    queue = queue_of(*waiters)
    for number in (0, 1, 3):
        waiters[number].cancelled = True
        queue.note_cancelled()
    assert queue.waiting == 2
    assert drain(queue) == [2, 4]


def test_many_cancelled_waiters_are_forgotten() -> None:
    """Also behind one that goes on waiting for long."""
    waiters = [Waiter(number) for number in range(1000)]
    queue, kept = queue_of(*waiters), [weakref.ref(waiter) for waiter in waiters]
    for number in range(1, 1000):
        waiters[number].cancelled = True
        queue.note_cancelled()
    waiters.clear()
    assert sum(ref() is not None for ref in kept) <= 67
    assert (queue.waiting, drain(queue)) == (1, [0])


def test_a_few_cancelled_waiters_stay() -> None:
    """Up to 64 more than wait: it is not worth looking at all that wait, again and again."""
    waiters = [Waiter(number) for number in range(200)]
    queue, kept = queue_of(*waiters), [weakref.ref(waiter) for waiter in waiters]
    for number in range(100, 200):
        waiters[number].cancelled = True
        queue.note_cancelled()
    waiters.clear()
    assert sum(ref() is not None for ref in kept) == 200
    assert (queue.waiting, drain(queue)) == (100, [*range(100)])


def test_those_that_may_not_wait_for_a_retry_after_are_removed() -> None:
    """Not those that may wait exactly that long; the others keep their order."""
    waiters = [
        Waiter(number, max_retry_after=seconds) for number, seconds in enumerate((9.0, 30.0, 5.0, 10.0, 8.0, 11.0))
    ]
    queue = queue_of(*waiters)
    waiters[4].cancelled = True
    queue.note_cancelled()
    assert queue.remove_blocked(10.0) == [waiters[0], waiters[2]]
    assert queue.waiting == 3
    assert drain(queue) == [1, 3, 5]


def test_waits_at_the_same_time_count_once() -> None:
    """Pauses do not count, and a wait that has not ended does."""
    waited = WaitingTime()
    assert waited.seconds(5.0) == 0.0
    waited.begin(10.0)
    waited.begin(11.0)
    waited.end(12.0)
    assert (waited.seconds(14.0), waited.waiters) == (4.0, 1)
    waited.end(15.0)
    assert (waited.seconds(99.0), waited.waiters) == (5.0, 0)
    waited.begin(100.0)
    assert waited.seconds(102.0) == 7.0
    waited.end(103.0)
    assert waited.seconds(200.0) == 8.0


def _new_bucket(_: object) -> Bucket:
    return Bucket(10.0, 60.0)


def test_a_route_without_its_waiters_is_like_new() -> None:
    """They ended with their event loop."""
    route_queue = RouteQueues[Waiter](_new_bucket)["one"]
    for queue in route_queue.queues.values():
        queue.add(Waiter(1))
    route_queue.waited.begin(1.0)
    Agenda[RouteQueue[Waiter]]().put(route_queue, (1.0, 0))
    assert route_queue.waiting == 3
    route_queue.clear()
    assert (route_queue.waiting, route_queue.waited.waiters, route_queue.listed) == (0, 0, None)
    assert [queue.head() for queue in route_queue.queues.values()] == [None] * 3


def test_an_idle_route_makes_room_for_a_new_one() -> None:
    """One where nothing waits and nothing is in flight; without such a route, there is one more."""
    routes = RouteQueues[Waiter](_new_bucket)
    tickets = [routes[number].bucket.send(0.0) for number in range(1000)]
    for number in (3, 5, 7):
        routes[number].bucket.settle(tickets[number], 0.0, None, lost=True)
    routes[3].queues["bulk"].add(Waiter(1))
    assert routes[8] is routes[8]
    assert len(routes) == 1000
    for number, kept in ((1000, 1000), (1001, 1000), (1002, 1001)):
        routes[number].bucket.send(0.0)
        assert len(routes) == kept
    assert {*range(1003)} - {*routes} == {5, 7}
