"""The benchmarks measure the same responses as the sandbox's, with all of them read and a yardstick that is right."""

import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from aiohttp import ClientSession, web

from alohub_async.testing import Sandbox
from alohub_async.testing.windows import make_window
from benchmarks.limiter import REPORT_SEEDS, TUNING_SEEDS
from benchmarks.limiter.loop import Loop
from benchmarks.limiter.scenario import KINDS, Setup, buckets, omniscient
from benchmarks.limiter.server import Headers, OddDenial, Server
from benchmarks.speed import floors, ours, picture, report, targets
from benchmarks.speed.contestant import BARE_GETS, CONTESTANTS, GETS, ITEMS, MANY, ORJSON, Open
from benchmarks.speed.crew import Times
from benchmarks.speed.estimate import median
from benchmarks.speed.lists import ANSWERS, ODD, Answers, Form, List
from benchmarks.speed.pages import prepare, records
from benchmarks.speed.rates import SIZES, AllRates, Rates
from benchmarks.speed.visits import Counting, Fields, Keeping, fields_of, first_difference


@pytest.mark.parametrize("form", ["list", "sdk"])
@pytest.mark.parametrize("answers", ANSWERS)
async def test_prepared_pages_say_what_the_sandbox_answers(tmp_path: Path, answers: Answers, form: Form) -> None:
    """Each prepared page equals the sandbox's, apart from the fields added for other SDKs."""
    which = List(3, 20, answers, form)
    prepare(tmp_path, [which])
    async with Sandbox(queues=records(which)) as sandbox, ClientSession() as session:
        for page in range(which.pages):
            prepared = json.loads((tmp_path / which.name / f"{page}.json").read_bytes())
            url, headers = sandbox.url / "v1/queues/inbound", {"X-Api-Key": sandbox.api_key}
            async with session.get(url, params={"page": page, "size": which.size}, headers=headers) as response:
                answer = await response.json()
            assert answer == {name: prepared[name] for name in answer}
            assert (len(prepared) > len(answer)) is (form == "sdk")


def _share(field: str, answers: Answers) -> float:
    """The share of the records of a kind whose field differs from the documented one."""
    documented, odd = records(List(1, 2001)), records(List(1, 2001, answers))
    return sum(one.get(field) != other.get(field) for one, other in zip(documented, odd, strict=True)) / 2000


def test_each_kind_of_answers_differs_in_one_field_of_a_quarter_or_of_all_records() -> None:
    """What is odd is the only difference from the documented records."""
    shares = {"undocumented": ("createdAt", 1.0), "numbers": ("strategy", 0.25)}
    shares |= {"misfits": ("nguongRanhRoi", 0.25), "integers": ("timeWait", 0.25)}
    for answers in ODD:
        odd_field, share = shares[answers]
        assert _share(odd_field, answers) == pytest.approx(share, abs=0.03)
        others = {*next(records(List(1, 1)))} - {odd_field}
        assert not any(_share(field, answers) for field in others)


def test_a_tenth_of_the_names_has_vietnamese_letters() -> None:
    """They take longer to decode than ASCII."""
    names = [str(record["callinName"]) for record in records(List(1, 2001))]
    assert sum(not name.isascii() for name in names) / len(names) == pytest.approx(0.1, abs=0.03)


@asynccontextmanager
async def _served(root: Path) -> AsyncGenerator[str]:
    """The prepared files as nginx serves them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("id") or request.query["page"]
        body = (root / request.match_info["list"] / f"{name}.json").read_bytes()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{list}/v1/queues/inbound", answer)
    app.router.add_get("/{list}/v1/queues/inbound/{id}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _read(opens: Open, root: Path, which: List) -> list[Fields]:
    prepare(root, [which])
    visit = Keeping()
    async with _served(root) as url, opens(f"{url}/{which.name}", which) as walk:
        assert await walk(Counting()) == await walk(visit) == which.records
    return [fields_of(record) for record in visit.records]


def _sent(which: List) -> list[Fields]:
    return [fields_of(record) for record in records(which)]


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("opens", [floors.json_dicts, ours.items, ours.pages, ours.ahead])
async def test_contestants_read_every_field_that_is_sent(tmp_path: Path, opens: Open, answers: Answers) -> None:
    """Also fields and values that are not documented."""
    which = List(3, 20, answers)
    assert first_difference(await _read(opens, tmp_path, which), _sent(which), drops=False) is None


@pytest.mark.parametrize("opens", [ours.gets, ours.many])
async def test_single_gets_read_every_field_that_is_sent(tmp_path: Path, opens: Open) -> None:
    """Each record once, in any order."""
    which = List(40, 1, form="details")
    assert first_difference(await _read(opens, tmp_path, which), _sent(which), drops=False) is None


def test_a_record_that_is_missing_or_read_wrong_is_found() -> None:
    """The proof names the first wrong field; undocumented fields may be missing only where that is declared."""
    sent = _sent(List(1, 20, "undocumented"))
    documented = [{name: value for name, value in each.items() if name != "createdAt"} for each in sent]
    assert first_difference(sent[:-1], sent, drops=False) == "18 of 19 records"
    wrong = [*sent[:-1], {**sent[-1], "timeWait": "7"}]
    assert "timeWait of" in (first_difference(wrong, sent, drops=False) or "")
    assert "createdAt of" in (first_difference(documented, sent, drops=False) or "")
    assert first_difference(documented, sent, drops=True) is None


def _rates(*contestants: Any, walls: tuple[float, ...]) -> Rates:
    """Walks of 20 records that take these seconds of wall-clock time, and half of that CPU time."""
    rates = Rates()
    times = [(List(1, 20), Times(wall, wall / 2)) for wall in walls]
    rates.note(dict(zip(contestants, times, strict=True)))
    return rates


def _all_rates(walls: tuple[float, ...]) -> AllRates:
    shown = [each for each in CONTESTANTS if each.name in {ITEMS.name, ORJSON.name, "twilio"}]
    return {(kind, size): _rates(*shown, walls=walls) for kind in ANSWERS for size in SIZES}


def test_each_kind_of_answers_and_page_size_has_its_targets() -> None:
    """A walk that takes 1.5 times as long as the floor, and a third of the best SDK, reaches some of them."""
    checks = [*targets.of_rates(_all_rates((1.0, 1.5, 4.5)), ANSWERS)]
    missed = {check.what for check in checks if not check.ok}
    floor, sdk = f"items / {ORJSON.name}", "items / best typed SDK (twilio)"
    for size in SIZES:
        for answers in ANSWERS.values():
            assert {f"{floor}, {size} a page, {answers}", f"{sdk}, {size} a page, {answers}"} <= {
                check.what for check in checks
            }
    assert f"{floor}, 1000 a page, {ANSWERS['documented']}" in missed
    assert f"{floor}, 1000 a page, {ANSWERS['numbers']}" not in missed
    assert not any(what.startswith(sdk) for what in missed)


def test_single_gets_have_targets_by_wall_clock_and_by_cpu() -> None:
    """Both ratios are to the bare loop."""
    rates = _rates(BARE_GETS, GETS, MANY, walls=(1.0, 1.0, 2.0))
    verdicts = {check.what: check.ok for check in targets.of_singles(rates)}
    assert verdicts == {
        "get_inbound / aiohttp + orjson": True,
        "get_inbound / aiohttp + orjson, by CPU": True,
        "get_many_inbound / aiohttp + orjson": False,
        "get_many_inbound / aiohttp + orjson, by CPU": False,
    }
    assert "0.50" in report.of_singles(rates, 20)


def test_the_picture_shows_documented_and_odd_answers() -> None:
    """It is well-formed XML with a title for each kind, and no bar is wider than its panel."""
    drawn = ET.fromstring(picture.draw(_all_rates((1.0, 1.5, 4.5))))  # noqa: S314  (our own)
    texts = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {f"answers: {kind}" for kind in ANSWERS.values()} <= texts
    assert all(float(bar.attrib["width"]) <= 223 for bar in drawn.iter("{http://www.w3.org/2000/svg}rect"))


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
