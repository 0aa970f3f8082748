"""`alohub queues`: list, get and update inbound queues."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from unicodedata import normalize

import attrs
import typer
from typer import Argument, Option

from alohub_async.changes import ChangeLog, FieldChange, Status
from alohub_async.changes.rows import STRATEGIES, parse_strategy
from alohub_async.cli import output
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.apply import LOG
from alohub_async.cli.diff import field_change, print_table
from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.cli.outcomes import JOBS, for_each, outcome_records, write_failures
from alohub_async.client import AlohubClient
from alohub_async.files import queue_record
from alohub_async.files.delimited import from_cell
from alohub_async.files.records import columns_of
from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy
from alohub_async.options import CallOptions, Deadline
from alohub_async.pagination import Pager
from alohub_async.resources.edits import Edit, conflict, value_of
from alohub_async.tenant import Tenant
from alohub_async.validation import nearest

app: typer.Typer = typer.Typer(
    help="List, change, export and audit inbound queues.",
    epilog="Example: alohub queues list --sandbox",
    rich_markup_mode=None,
)

_id = Argument(metavar="ID", min=1, show_default=False, help="Queue id, such as 1001226.")


def _read_strategy(text: str) -> QueueStrategy:
    if (strategy := parse_strategy(text)) is None:
        raise typer.BadParameter(f"{text!r} is not one of {STRATEGIES}")
    return strategy


def _read_listed_strategy(text: str) -> QueueStrategy:
    """Also a number that has no name yet, since a queue can have it."""
    return QueueStrategy(int(text)) if text.isdecimal() else _read_strategy(text)


def _complete_strategy(incomplete: str) -> list[str]:
    return [strategy.name for strategy in QueueStrategy if strategy.name.startswith(incomplete.upper())]


_by_name = f"Queue strategy, by name or number: {STRATEGIES}."
# Annotated as numbers: older versions of Typer read an enum once more, by its text.
_strategy_option = partial(Option, "--strategy", metavar="NAME", autocompletion=_complete_strategy)
_strategies = _strategy_option(parser=_read_listed_strategy, help=f"{_by_name} May be given several times.")
_pattern = Option(
    "--name", metavar="PATTERN", help="Shell pattern of the whole name, such as '*huế*'; case does not matter."
)
_WILDCARDS: Final = {*"*?["}
_limit = Option(metavar="N", min=1, help="List at most N queues; with --tenants, N of each tenant.")
_columns = Option(metavar="NAME,…", help=f"Columns to show, in this order: {', '.join(output.QUEUE_COLUMNS)}.")


_LIST_EPILOG: Final = """\b
Example: alohub queues list --strategy VIP --output csv > vip.csv
Some:    alohub queues list --name '*huế*' --limit 10 --columns id,name
Of one tenant of a file: alohub queues list --tenant hanoi"""


@app.command("list", epilog=_LIST_EPILOG)
@with_access
def list_command(
    *,
    strategies: Annotated[list[int] | None, _strategies] = None,
    pattern: Annotated[str | None, _pattern] = None,
    limit: Annotated[int | None, _limit] = None,
    columns: Annotated[str | None, _columns] = None,
    form: output.Output = "table",
    page_size: Annotated[int | None, Option(metavar="N", help="Queues per page.  [default: 100]")] = None,
    jobs: Annotated[int | None, JOBS] = None,
    access: Access,
) -> None:
    """List inbound queues, by default all; with --tenants, those of each tenant.

    JSON Lines and CSV are written as pages arrive.
    """
    wanted = strategies or (), _folded("*" if pattern is None else pattern), limit
    listing = _Listing(form, _chosen(columns, form, many=access.many), *wanted)

    async def work(client: AlohubClient, tenant: Tenant | None = None) -> _Listed:
        # A page ahead would be a request that the limit may make superfluous.
        ahead: Any = {} if limit is None else {"prefetch": 0}
        pager = client.queues.list_inbound(page_size=page_size, deadline=access.deadline, **ahead)
        return await listing.walk(pager, "" if tenant is None else tenant.name)

    if access.many:
        outcomes = for_each(access, work, jobs=jobs, label="Listing queues of tenants…")
        lists = [(outcome.tenant.name, outcome.unwrap()) for outcome in outcomes if outcome.ok]
        document: object = outcome_records(outcomes, listing.record)
    else:
        outcomes, lists = [], [("", access.run(work))]
        document = listing.record(lists[0][1])["queues"]
    if form == "table":
        output.print_queues([(name, listed.queues) for name, listed in lists], listing.columns)
    elif form == "json":
        output.write_json(document)
    if pattern is not None and not (listing.count or _WILDCARDS & {*pattern}):
        advice = f"for a part of a name: --name '*{output.one_line(pattern)}*'"
        output.write_stderr(f"no queue has exactly this name; {advice}")
    code = write_failures(outcomes)
    if not (code or all(listed.enough for _, listed in lists)):
        code = ExitCode.INCOMPLETE  # the pager has logged why
    if code:
        raise typer.Exit(code)


def _chosen(text: str | None, form: output.Form, *, many: bool) -> list[str]:
    """The names of the columns."""
    tenant = ["tenant"] if many else []
    if text is None:
        return [*tenant, *(output.TABLE_COLUMNS if form == "table" else output.QUEUE_COLUMNS)]
    names = list(dict.fromkeys([*tenant, *(name.strip() for name in text.split(","))]))
    for name in names:
        if name not in {*tenant, *output.QUEUE_COLUMNS}:
            raise CommandError(f"--columns: no column {name!r:.60}; {nearest(name, output.QUEUE_COLUMNS)}")
    return names


def _folded(text: str) -> str:
    """The text without differences of case and of the form of Unicode."""
    return normalize("NFC", normalize("NFD", text).casefold())


@attrs.frozen
class _Listed:
    """The queues of one tenant; none if they are written already."""

    queues: list[InboundQueue]
    complete: bool
    enough: bool  # complete, or as many as are wanted


@attrs.define
class _Listing:
    """Which queues are listed, and in which form."""

    form: output.Form
    columns: Sequence[str]
    strategies: Collection[int | None]
    pattern: str
    limit: int | None
    count: int = attrs.field(default=0, init=False)  # of all queues that were found
    _header: bool = attrs.field(default=True, init=False)  # whether it is not written yet

    async def walk(self, pager: Pager[InboundQueue], tenant: str) -> _Listed:
        """Walk until there are enough queues; JSON Lines and CSV are written meanwhile."""
        queues: list[InboundQueue] = []
        count = seen = 0
        streams = self.form in {"jsonl", "csv"}
        with nullcontext() if tenant or streams else output.progress() as update:
            async for page in pager.pages():
                found = [*filter(self._is_wanted, page.items)]
                if self.limit is not None:
                    del found[self.limit - count :]
                count, seen = count + len(found), seen + len(page.items)
                if streams:
                    output.write_rows(
                        self.form, self.columns, (self._row(queue, tenant) for queue in found), header=self._header
                    )
                    self._header = False
                else:
                    queues += found
                if update:
                    update(seen, page.total)
                if count == self.limit:
                    break
        self.count += count
        return _Listed(queues, pager.complete, pager.complete or count == self.limit)

    def record(self, listed: _Listed) -> dict[str, Any]:
        """The queues of a tenant as a JSON object."""
        rows = (queue_record(queue) for queue in listed.queues)
        queues = [{name: row[name] for name in self.columns if name in row} for row in rows]
        return {"complete": listed.complete, "queues": queues}

    def _is_wanted(self, queue: InboundQueue) -> bool:
        has_strategy = not self.strategies or queue.strategy in self.strategies
        return has_strategy and fnmatchcase(_folded(queue.name or ""), self.pattern)

    def _row(self, queue: InboundQueue, tenant: str) -> dict[str, Any]:
        return {"tenant": tenant, **output.queue_row(queue, self.form)}


@app.command(
    "get",
    epilog="""\b
Example: alohub queues get 1001226 --output json
See each request: alohub queues get 1001226 -vv""",
)
@with_access
def get_command(
    queue_id: Annotated[int, _id],
    *,
    form: output.Output = "table",
    access: Access,
) -> None:
    """Get one inbound queue."""
    queue = access.run(lambda client: client.queues.get_inbound(queue_id, deadline=access.deadline))
    if form == "table":
        output.print_queue(queue)
    else:
        row = output.queue_row(queue, form)
        output.write_rows(form, output.QUEUE_COLUMNS, [row], document=row)


_strategy = _strategy_option(parser=_read_strategy, help=_by_name)
_music = Option(metavar="FILE", help="Music on hold: file name without a path.")
_announce = Option(help="Announce their position in the queue to callers.")
_expect = Option(metavar="FIELD=VALUE", help="Update only if the field has this value; may be given several times.")


_UPDATE_EPILOG: Final = """\b
Example: alohub queues update 1001226 --max-wait 180 --dry-run
If 60:   alohub queues update 1001226 --max-wait 180 --expect max_wait=60
Logged:  alohub queues update 1001226 --max-wait 180 --log changes.log"""


@app.command("update", epilog=_UPDATE_EPILOG)
@with_access
def update_command(
    queue_id: Annotated[int, _id],
    *,
    max_wait: Annotated[int | None, Option(metavar="SECONDS", min=0, help="Maximum wait of a caller.")] = None,
    strategy: Annotated[int | None, _strategy] = None,
    music_on_hold: Annotated[str | None, _music] = None,
    announce_position: Annotated[bool | None, _announce] = None,
    expect: Annotated[list[str] | None, _expect] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would change without changing anything.")] = False,
    log_file: Annotated[Path | None, LOG] = None,
    access: Access,
) -> None:
    """Update one inbound queue, and show each value before and after.

    Only the given options are changed; all other fields keep their values.
    The queue is read before and after. A field that has neither its new value
    nor the one of --expect is a conflict; null expects that it is not set.
    """
    fields: dict[str, Any] = {"max_wait": max_wait, "strategy": strategy, "music_on_hold": music_on_hold}
    fields["announce_position"] = announce_position
    wanted = {name: value for name, value in fields.items() if value is not None}
    if not wanted:
        raise CommandError("nothing to change: give --max-wait, --strategy, --music-on-hold or --announce-position")
    update, expected = InboundQueueUpdate(**wanted), _read_expected(expect or ())
    what, log = f"queue {queue_id}", None if log_file is None or dry_run else ChangeLog(log_file)

    async def work(client: AlohubClient) -> Edit[InboundQueue]:
        deadline = Deadline(CallOptions(deadline=access.deadline), what=f"update of {what}")
        edit, snapshot, fields = client.queues.edit_inbound, None, list[FieldChange]()
        if expected or dry_run or log:
            plan = await edit(queue_id, update, dry_run=True, **deadline.next_call().keywords())
            missed = {name: value for name, value in expected.items() if name in plan.changed or name not in wanted}
            if refused := conflict(what, plan.before, missed):
                raise refused
            if dry_run:
                return plan
            snapshot = attrs.evolve(plan.before, id=queue_id)  # some responses lack the id
            fields = [FieldChange(name, value_of(plan.before, name), getattr(update, name)) for name in plan.changed]
            if log and fields:
                log.note(client, access.tenant, [(queue_id, fields)], Status.UNKNOWN)
        edited = await edit(queue_id, update, expect=snapshot, **deadline.next_call().keywords())
        if log and fields:
            log.note(client, access.tenant, [(queue_id, fields)], Status.NOT_TAKEN if edited.not_taken else Status.DONE)
        return edited

    edit = access.run(work)
    done = "not taken" if edit.not_taken else "changed" if edit.sent else "to change"
    state = done if edit.changed else "unchanged"
    changes = (_change_line(edit, name, wanted[name]) for name in edit.changed)
    print_table([("", attrs.evolve(edit.before, id=queue_id), changes)], {state: 1})
    if dry_run and edit.changed:
        output.write(output.DRY_RUN)
    if edit.not_taken:
        message = f"the server reported success but did not change {', '.join(edit.not_taken)}"
        raise CommandError(f"{what}: {message}", ExitCode.FAILED)


def _change_line(edit: Edit[InboundQueue], name: str, wanted: object) -> str:
    line = field_change(FieldChange(name, value_of(edit.before, name), wanted))
    return f"{line} (it is {output.value_text(name, value_of(edit.after, name))})" if name in edit.not_taken else line


def _read_expected(texts: Iterable[str]) -> dict[str, Any]:
    """The values of `--expect`, by field."""
    columns, expected = columns_of(InboundQueue), dict[str, Any]()
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name in expected:
            why = "is the second one of its field" if equals else "is not FIELD=VALUE, such as max_wait=60"
            raise CommandError(f"--expect: {text!r:.60} {why}")
        if (kind := columns.kinds.get(name)) is None:
            raise CommandError(f"--expect: no field {name!r:.60}; {nearest(name, columns.kinds)}")
        try:
            found = value if kind is str else from_cell(value, kind)
            expected[name] = None if value == "null" else columns.checked(name, found)
        except ValueError as exc:
            raise CommandError(f"--expect: {exc}") from exc
    return expected
