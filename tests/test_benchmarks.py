"""The benchmarks measure the same responses as the sandbox's."""

import json
from pathlib import Path

import pytest
from aiohttp import ClientSession

from alohub_async.testing import Sandbox, seed_queues
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
