"""`alohub queues apply`."""

import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs
import typer
from typer import Argument, Option

from alohub_async import changes
from alohub_async.changes.changes_file import ENDINGS
from alohub_async.cli import output
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.diff import Entry, counts_text, field_change, print_table
from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.cli.outcomes import JOBS, check_partitions, each_tenant, partition, write_failures
from alohub_async.client import AlohubClient
from alohub_async.plurals import counted
from alohub_async.pool import AlohubPool
from alohub_async.tenant import Tenant

APPLY_EPILOG: Final = """\b
Example: alohub queues apply changes.csv --dry-run
To be undone:         alohub queues apply changes.csv --log changes.log
From another program: program | alohub queues apply - --format jsonl --yes

\b
Columns of the CSV file, or keys in JSON Lines:
  id                  queue id
  music_on_hold, max_wait, strategy, announce_position
                      new value; an empty cell leaves the field unchanged
  expect.max_wait, …  expected current value, null for none; if the queue
                      has another value, the row is a conflict
  name, number, …     expected, too: these fields cannot be changed

\b
Exit codes, in addition to those of alohub --help:
    0  every queue has the values of the file
    1  at least one queue failed or is a conflict
    2  the file has problems; all are listed, nothing was sent"""


_file = Argument(
    metavar="FILE", show_default=False, help="Changes, as .csv or .jsonl; with --tenants, a folder; - is stdin."
)
_format = Option("--format", help="Format of stdin.  [default: csv]")
CONCURRENCY: Final[Any] = Option(metavar="N", min=1, max=1000, help="Queues processed at the same time.")
LOG: Final[Any] = Option("--log", metavar="FILE", help="Append what is changed to this log, for rollback.")
YES: Final[Any] = Option("--yes", "-y", help="Do not ask for confirmation.")
DRY_RUN: Final[Any] = Option("--dry-run", help="Show the plan without changing anything.")


@with_access
def apply_command(
    file: Annotated[Path, _file],
    *,
    file_format: Annotated[Literal["csv", "jsonl"] | None, _format] = None,
    yes: Annotated[bool, YES] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    log: Annotated[Path | None, LOG] = None,
    form: output.Output = "table",
    concurrency: Annotated[int, CONCURRENCY] = 16,
    jobs: Annotated[int | None, JOBS] = None,
    access: Access,
) -> None:
    """Apply a file of changes to many queues.

    Writes only the fields that differ. A queue that somebody else changes in
    the meantime is a conflict and is not written. The command can be run
    again: queues that already have the values are left unchanged.

    FILE may also be an edited export, best one of export --excel: what was not
    edited is not written. Any CSV may have ; or tabs between its cells.

    With --tenants, FILE is a folder as diff --tenants --changes writes it.
    """
    files: dict[Tenant | None, Path] = {None: file}
    if access.many:
        tenants = access.read_tenants().tenants
        check_partitions(file, tenants)
        found = [tenant for tenant in tenants if (file / f"tenant={tenant.name}").is_dir()]
        files = {tenant: partition(file, tenant, ENDINGS) for tenant in found}
    piped = file == output.STANDARD_STREAM
    if file_format is not None and not piped:
        raise CommandError("--format is for stdin; the ending of a file is its format")
    how: Any = {"yes": yes, "dry_run": dry_run, "can_ask": not piped, "concurrency": concurrency, "form": form}
    if log is not None:
        whose = {"--tenants": access.tenants, "--tenant": access.tenant}
        words = [word for option, value in whose.items() if value for word in (option, str(value))]
        how |= {"log": changes.ChangeLog(log), "undo": shlex.join(["alohub", "queues", "rollback", str(log), *words])}
    apply = Apply(access, _plan, **how)
    wanted = _read_changes({None: Path(f"stdin.{file_format or 'csv'}")} if piped else files, piped=piped)
    if code := apply.run(wanted, jobs):
        raise typer.Exit(code)


async def _plan(client: AlohubClient, _: str | None, wanted: Sequence[Any], **options: Any) -> changes.Plan:
    return await changes.plan_changes(client, wanted, **options)


def _read_changes(files: Mapping[Tenant | None, Path], *, piped: bool) -> dict[Tenant | None, list[changes.Change]]:
    """The changes of each file; the problems of all of them are written to stderr."""
    wanted, problems = dict[Tenant | None, list[changes.Change]](), Counter[Path]()
    for key, file in files.items():
        try:
            wanted[key] = changes.read_changes(file, opened=sys.stdin.buffer if piped else None)
        except changes.ChangesFileError as exc:
            problems[file] = len(exc.problems)
            for problem in exc.problems:
                output.write_stderr(output.message_line(f"{'stdin' if piped else file}, {problem}"))
    if problems:
        where = "stdin" if piped else next(iter(problems)) if len(problems) == 1 else counted(len(problems), "file")
        raise CommandError(f"{counted(problems.total(), 'problem')} in {where}; nothing was sent")
    return wanted


_ROW: Final = ("tenant", "id", "name", "result", "fields", "error")


@attrs.frozen
class Apply:
    """How plans are made from what is wanted, and applied."""

    access: Access
    plan: Callable[..., Awaitable[changes.Plan]]  # of a client, the name of its tenant, and what is wanted
    yes: bool = attrs.field(kw_only=True)
    dry_run: bool = attrs.field(kw_only=True)
    concurrency: int = attrs.field(kw_only=True)
    log: changes.ChangeLog | None = attrs.field(default=None, kw_only=True)
    form: output.Form = attrs.field(kw_only=True)
    can_ask: bool = attrs.field(default=True, kw_only=True)
    undo: str = attrs.field(default="", kw_only=True)  # the command line that does
    rows: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]], init=False)  # of other forms than tables

    def __attrs_post_init__(self) -> None:
        if not (self.yes or self.dry_run or (self.can_ask and self.form == "table" and sys.stdin.isatty())):
            why = "stdin is not a terminal" if self.form == "table" else f"{self.form} shows no plan before"
            raise CommandError(f"cannot ask to confirm: {why}; give --yes, or --dry-run to see the plan")

    def run(self, wanted: Mapping[Tenant | None, Sequence[Any]], jobs: int | None) -> int:
        """Do it for each tenant, or for the one that is None, and return the exit code."""
        code = -1  # until there is one
        try:
            code = self._run(wanted, jobs)
        finally:
            if self.form != "table" and (self.rows or code >= 0):
                output.write_rows(self.form, _ROW[not self.access.many :], self.rows)
        return code

    def _run(self, wanted: Mapping[Tenant | None, Sequence[Any]], jobs: int | None) -> int:
        access = self.access
        if access.many:
            by_tenant = {tenant: rows for tenant, rows in wanted.items() if tenant}
            return access.run_without_client(lambda: self._tenants(access.pool(), by_tenant, jobs))
        return ExitCode.OK if access.run(lambda client: self._one(client, wanted[None])) else ExitCode.FAILED

    async def _one(self, client: AlohubClient, wanted: Sequence[Any]) -> bool:
        """Plan and apply the changes of one tenant; whether every queue has its values."""
        started = time.monotonic()
        plan = await self._plan(client, self.access.tenant, wanted)
        remaining = self._remaining(started)
        if not self._shall_apply([("", plan)]):
            return not plan.impossible
        return await self._apply(client, plan, self.access.tenant, remaining)

    async def _tenants(self, pool: AlohubPool, wanted: Mapping[Tenant, Sequence[Any]], jobs: int | None) -> int:
        """Plan the changes of all tenants, ask once, apply them, and return the exit code."""

        async def plan(client: AlohubClient, tenant: Tenant) -> changes.Plan:
            return await self._plan(client, tenant.name, wanted[tenant])

        async def apply(client: AlohubClient, tenant: Tenant) -> bool:
            return await self._apply(client, plans[tenant], tenant.name, remaining)

        started = time.monotonic()
        async with pool:
            outcomes = await each_tenant(pool, plan, [*wanted], jobs=jobs, label="Planning changes of tenants…")
            plans = {outcome.tenant: outcome.unwrap() for outcome in outcomes if outcome.ok}
            code, remaining = write_failures(outcomes), self._remaining(started)
            good = not any(plan.impossible for plan in plans.values())
            if self._shall_apply([(tenant.name, plan) for tenant, plan in plans.items()]):
                changed = [tenant for tenant, plan in plans.items() if plan.to_write]
                applied = await each_tenant(pool, apply, changed, jobs=jobs, label="Changing queues of tenants…")
                code = max(code, write_failures(applied))
                good = good and all(outcome.value for outcome in applied)
        return code or (ExitCode.OK if good else ExitCode.FAILED)

    async def _plan(self, client: AlohubClient, name: str | None, wanted: Sequence[Any]) -> changes.Plan:
        return await self.plan(client, name, wanted, concurrency=self.concurrency, deadline=self.access.deadline)

    def _remaining(self, started: float) -> float | None:
        deadline = self.access.deadline
        return None if deadline is None else max(started + deadline - time.monotonic(), 0.001)

    def _shall_apply(self, plans: Sequence[tuple[str, changes.Plan]]) -> bool:
        """Show the plans, and ask if need be."""
        count = sum(len(plan.to_write) for _, plan in plans)
        self._show(plans)
        if self.dry_run or not count:
            return False
        if not self.yes:
            _confirm(count)
        if self.undo and self.form == "table":
            output.write(f"To undo it: {self.undo}\n")
        return True

    def _show(self, plans: Sequence[tuple[str, changes.Plan]]) -> None:
        if self.form == "table":
            _print_plans(plans)
            if not any(plan.to_write for _, plan in plans):
                output.write("Nothing to change.\n")
            elif self.dry_run:
                output.write(output.DRY_RUN)
            return
        for name, plan in plans:
            if self.dry_run or not plan.to_write:  # it will have no results
                self.rows.extend(_row(name, step, _planned(step), step.error) for step in plan.steps)

    async def _apply(self, client: AlohubClient, plan: changes.Plan, name: str | None, deadline: float | None) -> bool:
        """Whether every queue has its values. The results so far are written even if it ends early."""
        results, whose = list[changes.Result](), f"{name}  " if self.access.many else ""

        def note(steps: Iterable[changes.Step], status: changes.Status) -> None:
            if self.log is not None:
                self.log.note(client, name, [(step.change.id, step.fields) for step in steps], status)

        note(plan.to_write, changes.Status.UNKNOWN)  # so that a crash leaves nothing out
        try:
            async for result in changes.apply_plan(client, plan, concurrency=self.concurrency, deadline=deadline):
                results.append(result)
                if result.step.fields and result.step.error is None:
                    note([result.step], result.status)
                if self.form != "table":
                    self.rows.append(_row(name, result.step, result.status, _reason(result)))
                elif result.step.fields or result.error is not None:
                    output.write_wrapped(
                        f"{whose}{result.id}  {': '.join(filter(None, (result.status, _reason(result))))}"
                    )
        finally:
            counts = Counter(result.status for result in results)
            if self.form == "table":
                output.write(whose + counts_text({status.value: counts[status] for status in changes.Status}) + "\n")
            if left := len(plan.steps) - len(results):
                hint = "without a result; run the same command again to finish"
                output.write_stderr(f"{whose}{counted(left, 'queue')} {hint}")
        return all(result.status.is_good for result in results)


def _confirm(count: int) -> None:
    """Ask the user for confirmation; raise CommandError if the user declines, typer.Abort after Ctrl-C."""
    # The handler of the event loop would only cancel the task; this one interrupts the blocking read.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write(f"Change {counted(count, 'queue')}? [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip().lower()
    except KeyboardInterrupt as exc:
        raise typer.Abort from exc
    finally:
        signal.signal(signal.SIGINT, handler)
    if answer not in {"y", "yes"}:
        raise CommandError("nothing was changed", ExitCode.FAILED)


def _print_plans(plans: Iterable[tuple[str, changes.Plan]]) -> None:
    entries, counts = list[Entry](), Counter[str]()
    for name, plan in plans:
        for step in (*plan.to_write, *plan.impossible):
            lines = [f"impossible: {output.message_line(step.error)}"] if step.error else map(field_change, step.fields)
            entries.append((name, step.found or step.change, lines))
        sizes = {"to change": len(plan.to_write), "impossible": len(plan.impossible), "unchanged": plan.unchanged}
        counts.update(sizes)
    print_table(entries, counts)


def _reason(result: changes.Result) -> str | None:
    if result.not_taken:
        return f"the server reported success but did not change {', '.join(result.not_taken)}"
    return None if result.error is None else output.message_line(result.error)


def _planned(step: changes.Step) -> str:
    return "impossible" if step.error is not None else "to change" if step.fields else "unchanged"


def _row(name: str | None, step: changes.Step, result: str, error: object) -> dict[str, Any]:
    fields = {field.name: {"before": field.before, "after": field.after} for field in step.fields}
    found, why = step.found and step.found.name, None if error is None else output.message_line(error)
    return {"tenant": name, "id": step.change.id, "name": found, "result": result, "fields": fields, "error": why}
