"""The benchmarks measure the same responses as the sandbox's, with a yardstick that is right."""

import json
import random
from pathlib import Path

import pytest
from aiohttp import ClientSession

from alohub_async.testing import Sandbox, seed_queues
from alohub_async.testing.windows import make_window
from benchmarks.limiter import REPORT_SEEDS, TUNING_SEEDS
from benchmarks.limiter.loop import Loop
from benchmarks.limiter.scenario import KINDS, Setup, buckets, omniscient
from benchmarks.limiter.server import Headers, OddDenial, Server
from benchmarks.speed.estimate import median
from benchmarks.speed.pages import SEED, List, prepare


@pytest.mark.parametrize("navigated", [False, True])
async def test_prepared_pages_say_what_the_sandbox_answers(tmp_path: Path, navigated: bool) -> None:  # noqa: FBT001
    """Each prepared page equals the sandbox's, apart from the fields added for other SDKs."""
    which = List(pages=3, size=20, navigated=navigated)
    prepare(tmp_path, [which])
    async with Sandbox(queues=seed_queues(which.records, seed=SEED)) as sandbox, ClientSession() as session:
        for page in range(which.pages):
            prepared = json.loads((tmp_path / which.name / f"{page}.json").read_bytes())
            url, headers = sandbox.url / "v1/queues/inbound", {"X-Api-Key": sandbox.api_key}
            async with session.get(url, params={"page": page, "size": which.size}, headers=headers) as response:
                answer = await response.json()
            assert answer == {name: prepared[name] for name in answer}
            assert (len(prepared) > len(answer)) is navigated


def test_a_median_lies_in_its_interval_which_does_not_change_from_run_to_run() -> None:
    """The draws are seeded, and the interval is no wider than the samples."""
    samples = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 7.0]
    found = median(samples)
    assert found == median(samples)
    assert found.value == 4.0
    assert 1.0 <= found.low < found.value < found.high <= 9.0


def test_the_limiter_is_reported_with_seeds_that_it_was_not_tuned_with() -> None:
    """No seed is in both lists."""
    assert not {*REPORT_SEEDS} & {*TUNING_SEEDS}


@pytest.mark.parametrize("also", [(), ((5, 1.0),)], ids=["one window", "two windows"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_client_that_sees_the_server_is_never_refused(kind: str, also: tuple[tuple[int, float], ...]) -> None:
    """It uses the budget up, under every kind of window, with a hidden one too."""
    best = omniscient(Setup(kind, 20, "large", seed=1, windows=12, also=also))
    assert best.denials == []
    assert best.rate >= 0.85 * 20 / 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_depends_on_its_seed_alone(kind: str) -> None:
    """The same setup gives the same result."""
    setup = Setup(kind, 5, "large", seed=3, windows=5, headers=Headers(missing=0.3), lost=0.1, clients=2)
    first, second = buckets(setup), buckets(setup)
    assert (first.served, first.by_client) == (second.served, second.by_client)


def test_simulated_answers_say_what_the_setup_asks_for() -> None:
    """Headers that are missing, late or on 429s only; a window that is named; an odd 429."""
    windows = {"tenant": make_window("sliding-log", 2, also=[make_window("sliding-log", 1, seconds=1.0)])}

    def answers(headers: Headers, odd: OddDenial | None = None) -> list[tuple[object, ...]]:
        server = Server(Loop(0.0), {"tenant": make_window("sliding-log", 1)}, headers, random.Random(0))
        server.odd = odd
        found = [server.serve(["tenant"]) for _ in range(2)]
        return [
            (each.denied, each.snapshots["tenant"] and each.snapshots["tenant"][:2], each.retry_after) for each in found
        ]

    assert answers(Headers()) == [(False, (1, 0), None), (True, (1, 0), 10)]
    assert answers(Headers(off_by_one=True)) == [(False, (1, 1), None), (True, (1, 0), 10)]
    assert answers(Headers("429", retry_after="zero")) == [(False, None, None), (True, (1, 0), 0)]
    assert answers(Headers("none", retry_after="absent")) == [(False, None, None), (True, None, None)]
    assert answers(Headers(), OddDenial(99.0, says_empty=True))[0] == (True, (1, 0), 99.0)
    assert answers(Headers(), OddDenial(None, says_empty=False))[0] == (True, (1, 1), None)
    said = Server(Loop(0.0), windows, Headers(window=True), random.Random(0)).serve(["tenant"]).snapshots["tenant"]
    assert said is not None
    assert (said.limit, said.window, said.also) == (2, 10.0, ((1, 0, None, 1.0, ()),))
