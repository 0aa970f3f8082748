"""`alohub queues`: list, get and update inbound queues."""

from typing import Annotated, TypeAlias

import typer

from alohub_async.changes.rows import STRATEGIES, parse_strategy
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.cli.output import one_line, print_queue, print_queues, progress, write, write_json
from alohub_async.client import AlohubClient
from alohub_async.files import json_text, queue_record
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy, UpdateResult
from alohub_async.pagination import Pager
from alohub_async.unset import UNSET

app: typer.Typer = typer.Typer(
    help="List, change, export and audit inbound queues.",
    epilog="Example: alohub queues list --sandbox",
    rich_markup_mode=None,
)

_ID_HELP = "Queue id, such as 1001226."

IdArgument: TypeAlias = Annotated[int, typer.Argument(metavar="ID", min=1, show_default=False, help=_ID_HELP)]


@app.command("list", epilog="Example: alohub queues list --jsonl > queues.jsonl")
@with_access
def list_command(
    *,
    page_size: Annotated[int | None, typer.Option(metavar="N", help="Queues per page.  [default: 100]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output a JSON array.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Output one JSON object per line, as pages arrive.")
    ] = False,
    access: Access,
) -> None:
    """List all inbound queues, as a table or as JSON."""
    if as_json and as_jsonl:
        raise CommandError("give either --json or --jsonl, not both")
    show = _show_json if as_json else _show_jsonl if as_jsonl else _show_table

    async def work(client: AlohubClient) -> Pager[InboundQueue]:
        pager = client.queues.list_inbound(page_size=page_size, deadline=access.deadline)
        await show(pager)
        return pager

    pager = access.run(work)
    if not pager.complete:
        raise typer.Exit(ExitCode.INCOMPLETE)  # the pager has logged why


async def _show_table(pager: Pager[InboundQueue]) -> None:
    print_queues(await _collect(pager))


async def _show_json(pager: Pager[InboundQueue]) -> None:
    write_json([queue_record(queue) for queue in await _collect(pager)])


async def _show_jsonl(pager: Pager[InboundQueue]) -> None:
    async for page in pager.pages():
        write("".join(json_text(queue_record(queue)) for queue in page.items), as_utf8=True)


async def _collect(pager: Pager[InboundQueue]) -> list[InboundQueue]:
    queues: list[InboundQueue] = []
    with progress() as update:
        async for page in pager.pages():
            queues.extend(page.items)
            update(len(queues), page.total)
    return queues


@app.command("get", epilog="Example: alohub queues get 1001226 --json")
@with_access
def get_command(
    queue_id: IdArgument,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Output a JSON object.")] = False,
    access: Access,
) -> None:
    """Get one inbound queue."""

    async def work(client: AlohubClient) -> InboundQueue:
        return await client.queues.get_inbound(queue_id, deadline=access.deadline)

    queue = access.run(work)
    if as_json:
        write_json(queue_record(queue))
    else:
        print_queue(queue)


def _read_strategy(text: str) -> QueueStrategy:
    strategy = parse_strategy(text)
    if strategy is None:
        raise typer.BadParameter(f"{text!r} is not one of {STRATEGIES}")
    return strategy


def _complete_strategy(incomplete: str) -> list[str]:
    return [strategy.name for strategy in QueueStrategy if strategy.name.startswith(incomplete.upper())]


StrategyOption: TypeAlias = Annotated[
    QueueStrategy | None,
    typer.Option(
        parser=_read_strategy,
        metavar="NAME",
        help=f"Queue strategy, by name or number: {STRATEGIES}.",
        autocompletion=_complete_strategy,
    ),
]
MaxWaitOption: TypeAlias = Annotated[
    int | None, typer.Option(metavar="SECONDS", min=0, help="Maximum wait of a caller.")
]
MusicOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FILE", help="Music on hold: a file name without a path.")
]
AnnounceOption: TypeAlias = Annotated[
    bool | None,
    typer.Option("--announce-position/--no-announce-position", help="Announce their position in the queue to callers."),
]


@app.command("update", epilog="Example: alohub queues update 1001226 --max-wait 180 --strategy VIP")
@with_access
def update_command(
    queue_id: IdArgument,
    *,
    max_wait: MaxWaitOption = None,
    strategy: StrategyOption = None,
    music_on_hold: MusicOption = None,
    announce_position: AnnounceOption = None,
    access: Access,
) -> None:
    """Update one inbound queue.

    Only the given options are changed; all other fields keep their values.
    """
    changes = InboundQueueUpdate(
        max_wait=UNSET if max_wait is None else max_wait,
        strategy=UNSET if strategy is None else strategy,
        music_on_hold=UNSET if music_on_hold is None else music_on_hold,
        announce_position=UNSET if announce_position is None else announce_position,
    )
    if changes == InboundQueueUpdate():
        raise CommandError("nothing to change: give --max-wait, --strategy, --music-on-hold or --announce-position")

    async def work(client: AlohubClient) -> UpdateResult:
        return await client.queues.update_inbound(queue_id, changes, deadline=access.deadline)

    result = access.run(work)
    write(one_line(f"Updated queue {result.id}. {result.message or ''}") + "\n")
