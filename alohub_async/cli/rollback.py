"""`alohub queues rollback`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer import Argument

from alohub_async import changes
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.apply import CONCURRENCY, DRY_RUN, YES, Apply
from alohub_async.cli.errors import ExitCode
from alohub_async.cli.outcomes import JOBS
from alohub_async.cli.output import Output, one_line, write_stderr
from alohub_async.client import AlohubClient
from alohub_async.plurals import counted

ROLLBACK_EPILOG: Final = """Example: alohub queues rollback changes.log --dry-run

\b
Exit codes, in addition to those of alohub --help:
    0  every queue has the values from before the changes
    1  at least one queue failed or is a conflict, or is of another tenant"""

_log = Argument(metavar="LOG", show_default=False, help="A log that apply or update wrote with --log.")


@with_access
def rollback_command(
    log: Annotated[Path, _log],
    *,
    yes: Annotated[bool, YES] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    concurrency: Annotated[int, CONCURRENCY] = 16,
    form: Output = "table",
    jobs: Annotated[int | None, JOBS] = None,
    access: Access,
) -> None:
    """Undo the changes of a log.

    Restores the values from before all changes in it that were made, or may have
    been made. A queue that somebody else changed since is a conflict and is left
    alone. The rollback is appended to the log, so running it again changes nothing.
    """
    logged = changes.read_log(log)
    left = {*range(len(logged))}

    async def plan(
        client: AlohubClient, name: str | None, logged: Sequence[changes.Logged], **options: Any
    ) -> changes.Plan:
        mine = [index for index, each in enumerate(logged) if each.is_of(client, name)]
        left.difference_update(mine)
        return await changes.plan_rollback(client, [logged[index] for index in mine], **options)

    how: Any = {"yes": yes, "dry_run": dry_run, "concurrency": concurrency, "form": form}
    apply = Apply(access, plan, log=None if dry_run else changes.ChangeLog(log), **how)
    code = apply.run(dict.fromkeys(access.read_tenants().tenants if access.many else [None], logged), jobs)
    if left:
        others = {f"{each.tenant or each.tenant_id or '-'} at {each.address}" for each in map(logged.__getitem__, left)}
        what = f"{counted(len(left), 'change')} of other tenants or addresses left alone"
        write_stderr(one_line(f"{what}: {', '.join(sorted(others))}"))
    if code or left:
        raise typer.Exit(code or ExitCode.FAILED)
