"""`export_tenants` and `audit_tenants` in one process."""

import asyncio
import importlib
import json
import multiprocessing
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from alohub_async import AlohubPool, ConfigurationError, FileError, InvalidArgumentError, RetryPolicy, Tenant
from alohub_async.audit import DEFAULT_RULES, AuditReport
from alohub_async.export import ExportProgress
from alohub_async.tenants import audit_tenants, export_tenants
from alohub_async.testing import Delay, Sandbox
from tests.tenants.once import export_file
from tests.tenants.support import served

if TYPE_CHECKING:
    from alohub_async.tenants import TenantsProgress

Served = dict[str, tuple[Tenant, Sandbox]]


@pytest.fixture(name="served")
def _served(monkeypatch: pytest.MonkeyPatch) -> Generator[Served]:
    """Three tenants, with 2, 3 and 4 queues."""
    with served(monkeypatch, a=2, b=3, c=4) as found:
        yield found


def all_of(served: Served) -> list[Tenant]:
    """The tenants."""
    return [tenant for tenant, _ in served.values()]


def sent(served: Served) -> list[int]:
    """The number of requests to each."""
    return [len(sandbox.requests) for _, sandbox in served.values()]


def files(folder: Path) -> set[str]:
    """The names of all files."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


async def until_there(path: Path) -> None:
    """Wait for a file."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(path.exists):
            pass


def read_report(folder: Path) -> dict[str, Any]:
    """What is in `_report.json`."""
    found: dict[str, Any] = json.loads((folder / "_report.json").read_bytes())
    return found


async def test_export_makes_one_data_set(served: Served, tmp_path: Path) -> None:
    """Programs that read folders get all queues, with the tenant's name as a column, and skip every other file."""
    report = await export_tenants(all_of(served), tmp_path)
    assert report.counts == {"done": 3, "skipped": 0, "failed": 0}
    assert report.complete
    pandas, duckdb = importlib.import_module("pandas"), importlib.import_module("duckdb")
    dataset = importlib.import_module("pyarrow.dataset").dataset(tmp_path, partitioning="hive")
    assert pandas.read_parquet(tmp_path)["tenant"].value_counts().to_dict() == {"a": 2, "b": 3, "c": 4}
    assert sorted(dataset.to_table()["tenant"].to_pylist()) == [*"aabbbcccc"]
    rows = duckdb.read_parquet(f"{tmp_path}/*/*.parquet", hive_partitioning=True)
    assert rows.aggregate("tenant, count(DISTINCT id)").order("tenant").fetchall() == [("a", 2), ("b", 3), ("c", 4)]
    assert {name for name in files(tmp_path) if name[0] not in "._"} == {"queues.parquet"}


async def test_polars_reads_the_data_set(served: Served, tmp_path: Path) -> None:
    """By a pattern, because it does not skip side files by itself."""
    polars = pytest.importorskip("polars")
    await export_tenants(all_of(served), tmp_path)
    found = polars.read_parquet(f"{tmp_path}/**/*.parquet", hive_partitioning=True)
    assert sorted(found["tenant"].to_list()) == [*"aabbbcccc"]


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
async def test_other_formats(served: Served, tmp_path: Path, file_format: str) -> None:
    """`file_format` says which."""
    await export_tenants(all_of(served)[:1], tmp_path, file_format=file_format)
    assert (tmp_path / "tenant=a" / f"queues.{file_format}").exists()


async def test_report_says_what_was_done_and_whose_it_is(served: Served, tmp_path: Path) -> None:
    """It has a status for each tenant; a failure has its class and message, and does not stop the others."""
    served["b"][1].fail(status=400, next=1)
    tenants = [*all_of(served), Tenant("d", api_key_env="NO_SUCH_KEY")]
    report = await export_tenants(tenants, tmp_path)
    found = read_report(tmp_path)
    assert found == report.as_record()
    assert found["counts"] == {"done": 2, "skipped": 0, "failed": 2}
    assert found["started"] < found["finished"]
    failed = found["tenants"]["b"]
    assert failed["error"]["class"] == "BadRequestError"
    assert found["started"] <= failed["finished"] <= found["finished"]
    assert found["tenants"]["d"]["error"]["message"] == "tenant 'd': no API key: set NO_SUCH_KEY"
    done = found["tenants"]["a"]
    tenant, sandbox = served["a"]
    result = done["result"]
    assert (done["status"], result["tenant_id"], result["address"]) == ("done", tenant.tenant_id, f"{sandbox.url}/")
    assert result["sdk_version"] == found["sdk_version"]
    assert found["started"] <= result["finished"] <= found["finished"]
    side = tmp_path / "tenant=a" / "_queues.parquet.report.json"
    assert json.loads(side.read_bytes()) == result
    assert not report.complete
    assert isinstance(report.entries["d"].exception, ConfigurationError)


async def test_progress(served: Served, tmp_path: Path) -> None:
    """Each tenant begins, comes on and ends; the numbers of tenants are there."""
    seen: list[TenantsProgress] = []
    await export_tenants(all_of(served), tmp_path, on_progress=seen.append, concurrency=1)
    of_b = [step for step in seen if step.tenant == "b"]
    assert [step.status for step in (of_b[0], of_b[-1])] == ["running", "done"]
    assert of_b[0].finished <= 1
    assert (of_b[-1].finished, of_b[-1].total) == (2, 3)
    progress = of_b[-2].progress
    assert isinstance(progress, ExportProgress)
    assert progress.written == 3


async def test_interrupted_run_goes_on(served: Served, tmp_path: Path) -> None:
    """What is done is not done again; the next run does everything."""
    tenants = all_of(served)
    served["b"][1].fail(Delay(30))
    task = asyncio.create_task(export_tenants(tenants, tmp_path, concurrency=2))
    await until_there(tmp_path / "tenant=c" / "_queues.parquet.report.json")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    interrupted = read_report(tmp_path)
    assert interrupted["finished"] is None
    assert "b" not in interrupted["tenants"]
    before = sent(served)
    report = await export_tenants(tenants, tmp_path)
    assert {name: entry.status for name, entry in report.entries.items()} == {
        "a": "skipped",
        "b": "done",
        "c": "skipped",
    }
    assert report.as_record()["started"] == interrupted["started"]
    after = sent(served)
    assert (after[0], after[2]) == (before[0], before[2])
    assert (await export_tenants(tenants, tmp_path)).counts["done"] == 3


def test_killed_run_goes_on(served: Served, tmp_path: Path) -> None:
    """At any moment, the report says of each tenant what is in the folder; what is done is not done again."""
    served["b"][1].fail(Delay(60))
    out = tmp_path / "out"
    names = ("api_key_env", "tenant_id", "base_url")
    tables = [(tenant.name, [f'{name} = "{getattr(tenant, name)}"' for name in names]) for tenant in all_of(served)]
    text = "\n".join("\n".join((f"[tenants.{name}]", *lines)) for name, lines in tables)
    (tmp_path / "t.toml").write_text(text)
    process = multiprocessing.get_context("spawn").Process(target=export_file, args=(tmp_path / "t.toml", out))
    process.start()
    asyncio.run(until_there(out / "tenant=c" / "_queues.parquet.report.json"))
    process.kill()
    process.join()
    process.close()
    killed = read_report(out)
    assert killed["finished"] is None
    for name, entry in killed["tenants"].items():
        assert (out / f"tenant={name}" / "queues.parquet").stat().st_size == entry["result"]["size"]
    before = sent(served)
    report = asyncio.run(export_tenants(tmp_path / "t.toml", out))
    assert report.complete
    assert (report.entries["b"].status, report.entries["c"].status) == ("done", "skipped")
    assert sent(served)[2] == before[2]


@pytest.mark.parametrize("change", ["restart", "details", "excel", "a file that is gone", "another tenant"])
async def test_what_is_done_again(served: Served, tmp_path: Path, change: str) -> None:
    """A result of another export, or without its file, is none."""
    tenants = all_of(served)[:1]
    options: dict[str, Any] = {"file_format": "csv"}
    await export_tenants(tenants, tmp_path, **options)
    options["newer_than"] = timedelta(hours=1)
    assert (await export_tenants(tenants, tmp_path, **options)).counts["skipped"] == 1
    if change == "a file that is gone":
        (tmp_path / "tenant=a" / "queues.csv").unlink()
    elif change == "another tenant":
        other, _ = served["b"]
        tenants = [Tenant("a", api_key_env="KEY_b", tenant_id=other.tenant_id, base_url=other.base_url)]
    else:
        options[change] = True
    assert (await export_tenants(tenants, tmp_path, **options)).counts["done"] == 1


@pytest.mark.parametrize("name", ["complete", "written", "reason"])
async def test_damaged_report_of_a_tenant_is_no_result(served: Served, tmp_path: Path, name: str) -> None:
    """What lacks a part of a report is made again."""
    tenants = all_of(served)[:1]
    await export_tenants(tenants, tmp_path)
    side = tmp_path / "tenant=a" / "_queues.parquet.report.json"
    record = json.loads(side.read_bytes())
    del record[name]
    side.write_text(json.dumps(record), encoding="utf-8")
    report = await export_tenants(tenants, tmp_path, newer_than=timedelta(hours=1))
    assert (report.counts["done"], report.complete) == (1, True)


@pytest.mark.parametrize("place", ["{}", "file://{}"])
async def test_a_new_format_replaces_the_old_one(served: Served, tmp_path: Path, place: str) -> None:
    """Otherwise who reads the folder gets each queue twice. A file that is not of an export stays."""
    tenants, folder = all_of(served)[:1], place.format(tmp_path)
    (tmp_path / "tenant=a").mkdir()
    (tmp_path / "tenant=a" / "queues.jsonl").write_text("mine", encoding="utf-8")
    await export_tenants(tenants, folder, file_format="csv")
    await export_tenants(tenants, folder)
    assert files(tmp_path) == {"_report.json", "_queues.parquet.report.json", "queues.parquet", "queues.jsonl"}


async def test_newer_than_a_time_or_an_age(served: Served, tmp_path: Path) -> None:
    """Only older results are made again."""
    tenants = all_of(served)
    await export_tenants(tenants[:1], tmp_path)
    between = datetime.now(UTC)
    await asyncio.sleep(0.005)
    await export_tenants(tenants[1:2], tmp_path)
    report = await export_tenants(tenants, tmp_path, newer_than=between)
    assert {name: entry.status for name, entry in report.entries.items()} == {"a": "done", "b": "skipped", "c": "done"}
    await asyncio.sleep(0.005)
    assert (await export_tenants(tenants, tmp_path, newer_than=timedelta(milliseconds=1))).counts["done"] == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"kind": "export", "started": 5, "finished": null}'])
async def test_damaged_report_is_no_run(served: Served, tmp_path: Path, content: bytes) -> None:
    """It is replaced."""
    (tmp_path / "_report.json").write_bytes(content)
    assert (await export_tenants(all_of(served)[:1], tmp_path)).counts["done"] == 1
    assert read_report(tmp_path)["counts"]["done"] == 1


async def test_two_runs_in_one_folder(served: Served, tmp_path: Path) -> None:
    """The second is refused; the lock leaves no file."""
    served["a"][1].fail(Delay(0.3))
    task = asyncio.create_task(export_tenants(all_of(served)[:1], tmp_path))
    await until_there(tmp_path / "_report.json")
    with pytest.raises(FileError, match="is running"):
        await export_tenants(all_of(served)[:1], tmp_path)
    await task
    assert files(tmp_path) == {"_report.json", "_queues.parquet.report.json", "queues.parquet"}


async def test_a_url_as_folder(served: Served) -> None:
    """Any that fsspec knows; each file is whole there, and nothing else is left."""
    memory = importlib.import_module("fsspec").filesystem("memory")
    url = "memory://alohub/exports"
    report = await export_tenants(all_of(served), url)
    assert report.counts == {"done": 3, "skipped": 0, "failed": 0}
    again = await export_tenants(all_of(served), url, newer_than=timedelta(hours=1))
    assert again.counts == {"done": 0, "skipped": 3, "failed": 0}
    assert (await export_tenants(all_of(served), url)).counts["done"] == 3
    names = sorted(name.removeprefix("/alohub/exports/") for name in memory.find("alohub/exports"))
    pair = ("_queues.parquet.report.json", "queues.parquet")
    assert names == ["_report.json", *(f"tenant={name}/{file}" for name in "abc" for file in pair)]
    entry = report.entries["a"]
    assert entry.result is not None
    assert entry.result["path"] == f"{url}/tenant=a/queues.parquet"
    assert memory.size("alohub/exports/tenant=a/queues.parquet") == entry.result["size"]
    memory.rm("alohub", recursive=True)


async def test_audits(served: Served, tmp_path: Path) -> None:
    """Each tenant has its findings as JSON, and `on_report` gets the report itself; done is done, as for exports."""
    reports: dict[str, AuditReport] = {}

    def note(tenant: Tenant, report: AuditReport) -> None:
        reports[tenant.name] = report

    tenants = [*all_of(served), Tenant("d", api_key_env="NO_SUCH_KEY")]
    report = await audit_tenants(tenants, tmp_path, on_report=note, details=False)
    assert report.counts == {"done": 3, "skipped": 0, "failed": 1}
    assert {*reports} == {"a", "b", "c"}
    found = json.loads((tmp_path / "tenant=a" / "_audit.json").read_bytes())
    assert found == read_report(tmp_path)["tenants"]["a"]["result"]
    assert found["findings"] == reports["a"].as_record()["findings"]
    assert (found["tenant_id"], found["address"]) == (served["a"][0].tenant_id, f"{served['a'][1].url}/")
    before = sent(served)
    again = await audit_tenants(tenants, tmp_path, newer_than=timedelta(hours=1), details=False)
    assert again.counts == {"done": 0, "skipped": 3, "failed": 1}
    assert sent(served) == before
    assert (await audit_tenants(tenants, newer_than=timedelta(hours=1))).counts["done"] == 3


async def test_rules_may_be_a_generator(served: Served) -> None:
    """Every tenant is audited by all of them."""
    rules = (each for each in DEFAULT_RULES[:3])
    report = await audit_tenants(all_of(served), rules=rules, details=False)
    numbers = [len(entry.result["rules"]) for entry in report.entries.values() if entry.result is not None]
    assert numbers == [3] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"page_size": 0}, "page_size must be"),
        ({"consistency": "none"}, "consistency must be"),
        ({"config": {"no-such-rule": False}}, "has no rule 'no-such-rule'"),
        ({"config": Path("none.toml")}, "none.toml"),
        ({"rules": 5}, "rules must be"),
    ],
)
async def test_wrong_option_of_an_audit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """Nothing is begun, not even with a wrong rule."""
    with pytest.raises((InvalidArgumentError, ConfigurationError, FileError), match=message):
        await audit_tenants([], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


async def test_file_in_the_place_of_a_tenants_folder(served: Served, tmp_path: Path) -> None:
    """It is that tenant's failure, with an error of the package; so is a name that is too long."""
    (tmp_path / "tenant=a").write_text("")
    long = attrs.evolve(served["b"][0], name="b" * 300)
    report = await export_tenants([served["a"][0], long, served["c"][0]], tmp_path)
    assert [type(report.entries[name].exception) for name in ("a", long.name)] == [FileError, FileError]
    assert report.entries["c"].status == "done"


async def test_options_of_the_pool_are_used(served: Served, tmp_path: Path) -> None:
    """And the pool stays open."""
    served["a"][1].fail(status=502, next=2)
    async with AlohubPool(retry=RetryPolicy(max_retries=0)) as pool:
        assert (await export_tenants(all_of(served)[:1], tmp_path, pool=pool)).counts["failed"] == 1
        assert (await pool.each(_nothing, all_of(served)).collect())[0].ok


async def _nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"newer_than": 5}, "newer_than must be a datetime with a time zone"),
        ({"newer_than": datetime.now(UTC).replace(tzinfo=None)}, "newer_than must be"),
        ({"newer_than": timedelta(-1)}, "newer_than must be"),
        ({"concurrency": 0}, "concurrency must be"),
        ({"file_format": "xlsx"}, "file_format must be one of"),
        ({"page_size": 0}, "page_size must be"),
        ({"detials": True}, "there is no option 'detials'; did you mean 'details'"),
    ],
)
async def test_wrong_option(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """Nothing is begun."""
    with pytest.raises(InvalidArgumentError, match=message):
        await export_tenants([], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", ["aa", "aA", "\u017fs", "\uff41a", ("7", "007")])
async def test_two_tenants_of_one_folder(served: Served, tmp_path: Path, names: tuple[str, str]) -> None:
    """Names that are the same on some file system, or to a program that reads the folder, end the run with an error."""
    tenant, _ = served["a"]
    with pytest.raises(InvalidArgumentError, match=f"two tenants have the name '{names[1]}'"):
        await export_tenants([attrs.evolve(tenant, name=name) for name in names], tmp_path)


async def test_name_that_ends_with_a_dot(served: Served, tmp_path: Path) -> None:
    """Windows would leave the dot out."""
    report = await export_tenants([attrs.evolve(served["a"][0], name="a.")], tmp_path)
    assert "must not begin with '-' or '.', or end with '.'" in str(report.entries["a."].exception)


async def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file in its place, or an unknown kind of URL, is an error of the package."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write"):
        await export_tenants([], tmp_path / "file")
    with pytest.raises(ConfigurationError, match="fsspec cannot open nope://x/y"):
        await export_tenants([], "nope://me:s3cr3t-word@x/y")


@pytest.mark.parametrize("place", ["a\0b", "file:///a\0b", "file:///proc/none", "{url}"])
async def test_folder_that_cannot_be_written(served: Served, place: str) -> None:
    """Whatever its file system raises, and however: it is an error of the package."""
    with pytest.raises(FileError, match="cannot"):
        await export_tenants([], place.format(url=served["a"][1].url))


async def test_credentials_of_a_url_are_not_shown(served: Served) -> None:
    """Neither in the report nor in an error."""
    importlib.import_module("fsspec").filesystem("memory")
    report = await export_tenants(all_of(served)[:1], "memory://me:s3cr3t-word@host/credentials")
    assert report.directory == "memory://host/credentials"
    assert "s3cr3t" not in repr(report.as_record())
    importlib.import_module("fsspec").filesystem("memory").rm("/", recursive=True)


async def test_lock_is_removed_after_an_error(served: Served, tmp_path: Path) -> None:
    """The next run finds nothing but what was there."""
    (tmp_path / "_report.json").mkdir()
    with pytest.raises(FileError, match="cannot read"):
        await export_tenants(all_of(served), tmp_path)
    assert files(tmp_path) == set()
