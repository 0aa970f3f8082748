"""The outcomes of a command over several tenants: a line for each in JSON, failures on stderr, the exit code."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from typer import Option

from alohub_async.cli.errors import CommandError, ExitCode, describe
from alohub_async.cli.output import write, write_stderr
from alohub_async.errors import FileError
from alohub_async.files import json_text
from alohub_async.pool import TenantOutcome
from alohub_async.tenant import Tenant

T = TypeVar("T")
_PARTITION: Final = "tenant="

JOBS: Final[Any] = Option(metavar="N", min=1, max=1000, help="With --tenants, tenants at the same time.  [default: 8]")


def check_partitions(folder: Path, tenants: Iterable[Tenant]) -> None:
    """Refuse a folder that has none, or one of a tenant that the file does not have."""
    found = {path.name.removeprefix(_PARTITION) for path in folder.glob(f"{_PARTITION}*")}
    if not found:
        raise CommandError(f"{folder} must be a folder with a folder tenant=NAME in it for each tenant")
    if unknown := sorted(found - {tenant.name for tenant in tenants}):
        raise CommandError(f"{folder} has tenants that the file of tenants does not have: {', '.join(unknown)}")


def partition(folder: Path, tenant: Tenant, endings: Collection[str] = (".jsonl", ".csv", ".parquet")) -> Path:
    """The one file of a tenant in a folder."""
    inside = folder / f"{_PARTITION}{tenant.name}"
    files = [path for path in sorted(inside.glob("[!._]*")) if path.suffix in endings]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise FileError(f"{inside} must have one file that ends in {', '.join(endings)}; it has {names}", path=inside)
    return files[0]


def write_lines(outcomes: Iterable[TenantOutcome[T]], record: Callable[[T], Mapping[str, Any]]) -> None:
    """Write a JSON object in a line for each tenant: the record of its result, or its error."""
    for outcome in outcomes:
        if outcome.error is None:
            found = {"status": "done", **record(outcome.unwrap())}
        else:
            _, message = describe(outcome.error, tenant=outcome.tenant)
            found = {"status": "failed", "error": {"class": type(outcome.error).__name__, "message": message}}
        write(json_text({"tenant": outcome.tenant.name, **found}), as_json=True)


def write_failures(outcomes: Iterable[TenantOutcome[Any]]) -> int:
    """Write a line to stderr for each tenant that failed, and return the worst exit code."""
    worst: int = ExitCode.OK
    for outcome in outcomes:
        if outcome.error is not None:
            code, line = describe(outcome.error, tenant=outcome.tenant)
            write_stderr(f"tenant {outcome.tenant.name}: {line}")
            worst = max(worst, code)
    return worst
