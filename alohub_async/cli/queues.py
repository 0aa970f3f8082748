"""`alohub queues`: list, get and update inbound queues."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from typer import Argument, Option

from alohub_async.changes.rows import STRATEGIES, parse_strategy
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.cli.outcomes import JOBS, for_each, write_failures, write_outcomes
from alohub_async.cli.output import (
    QUEUE_COLUMNS,
    Output,
    one_line,
    print_queue,
    print_queues,
    progress,
    queue_row,
    write,
    write_json,
    write_rows,
)
from alohub_async.client import AlohubClient
from alohub_async.files import json_text, queue_record
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy
from alohub_async.pool import TenantOutcome
from alohub_async.tenant import Tenant

app: typer.Typer = typer.Typer(
    help="List, change, export and audit inbound queues.",
    epilog="Example: alohub queues list --sandbox",
    rich_markup_mode=None,
)

_id = Argument(metavar="ID", min=1, show_default=False, help="Queue id, such as 1001226.")


@app.command("list", epilog="Example: alohub queues list --jsonl > queues.jsonl")
@with_access
def list_command(
    *,
    page_size: Annotated[int | None, Option(metavar="N", help="Queues per page.  [default: 100]")] = None,
    as_json: Annotated[bool, Option("--json", help="Output a JSON array; with --tenants, a line each.")] = False,
    as_jsonl: Annotated[bool, Option("--jsonl", help="Output one JSON object per line, as pages arrive.")] = False,
    jobs: Annotated[int | None, JOBS] = None,
    access: Access,
) -> None:
    """List all inbound queues, as a table or as JSON; with --tenants, those of each tenant."""
    if as_json and as_jsonl:
        raise CommandError("give either --json or --jsonl, not both")

    async def work(client: AlohubClient, tenant: Tenant | None = None) -> tuple[list[InboundQueue], bool]:
        whose = {} if tenant is None else {"tenant": tenant.name}
        pager = client.queues.list_inbound(page_size=page_size, deadline=access.deadline)
        queues: list[InboundQueue] = []
        with nullcontext() if tenant or as_jsonl else progress() as update:
            async for page in pager.pages():
                if as_jsonl:
                    write("".join(json_text({**whose, **queue_record(queue)}) for queue in page.items), as_json=True)
                else:
                    queues += page.items
                if update:
                    update(len(queues), page.total)
        return queues, pager.complete

    if access.many:
        outcomes = for_each(access, work, jobs=jobs, label="Listing queues of tenants…")
        code = _print_lists(outcomes, as_json=as_json, as_jsonl=as_jsonl)
    else:
        queues, complete = access.run(work)
        if as_json:
            write_json([queue_record(queue) for queue in queues])
        elif not as_jsonl:
            print_queues([("", queues)])
        code = ExitCode.OK if complete else ExitCode.INCOMPLETE  # the pager has logged why
    if code:
        raise typer.Exit(code)


def _print_lists(
    outcomes: Sequence[TenantOutcome[tuple[list[InboundQueue], bool]]], *, as_json: bool, as_jsonl: bool
) -> int:
    """Write the queues of several tenants, and return the exit code; JSON Lines are written already."""
    lists = [(outcome.tenant.name, *outcome.unwrap()) for outcome in outcomes if outcome.ok]
    if as_json:
        write_outcomes(outcomes, lambda found: {"complete": found[1], "queues": [*map(queue_record, found[0])]})
    elif not as_jsonl:
        print_queues([(name, queues) for name, queues, _ in lists], tenants=True)
    complete = all(complete for _, _, complete in lists)
    return write_failures(outcomes) or (ExitCode.OK if complete else ExitCode.INCOMPLETE)


@app.command("get", epilog="Example: alohub queues get 1001226 --output json")
@with_access
def get_command(
    queue_id: Annotated[int, _id],
    *,
    output: Output = "table",
    access: Access,
) -> None:
    """Get one inbound queue."""
    queue = access.run(lambda client: client.queues.get_inbound(queue_id, deadline=access.deadline))
    if output == "table":
        print_queue(queue)
    elif output == "json":
        write_json(queue_record(queue))
    else:
        write_rows(output, QUEUE_COLUMNS, [queue_row(queue, output)])


def _read_strategy(text: str) -> QueueStrategy:
    if (strategy := parse_strategy(text)) is None:
        raise typer.BadParameter(f"{text!r} is not one of {STRATEGIES}")
    return strategy


def _complete_strategy(incomplete: str) -> list[str]:
    return [strategy.name for strategy in QueueStrategy if strategy.name.startswith(incomplete.upper())]


_by_name = f"Queue strategy, by name or number: {STRATEGIES}."
_strategy = Option(parser=_read_strategy, metavar="NAME", help=_by_name, autocompletion=_complete_strategy)
_music = Option(metavar="FILE", help="Music on hold: file name without a path.")
_announce = Option(help="Announce their position in the queue to callers.")


@app.command("update", epilog="Example: alohub queues update 1001226 --max-wait 180 --strategy VIP")
@with_access
def update_command(
    queue_id: Annotated[int, _id],
    *,
    max_wait: Annotated[int | None, Option(metavar="SECONDS", min=0, help="Maximum wait of a caller.")] = None,
    strategy: Annotated[QueueStrategy | None, _strategy] = None,
    music_on_hold: Annotated[str | None, _music] = None,
    announce_position: Annotated[bool | None, _announce] = None,
    access: Access,
) -> None:
    """Update one inbound queue.

    Only the given options are changed; all other fields keep their values.
    """
    names = ("max_wait", "strategy", "music_on_hold", "announce_position")
    values = (max_wait, strategy, music_on_hold, announce_position)
    changes: dict[str, Any] = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if not changes:
        raise CommandError("nothing to change: give --max-wait, --strategy, --music-on-hold or --announce-position")
    update = InboundQueueUpdate(**changes)
    result = access.run(lambda client: client.queues.update_inbound(queue_id, update, deadline=access.deadline))
    write(one_line(f"Updated queue {result.id}. {result.message or ''}") + "\n")
