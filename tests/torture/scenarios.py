"""The calls that are disturbed, and how each of them goes on afterwards to the whole result."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field, frozen

from alohub_async import AlohubClient, AlohubError, InboundQueueUpdate, Outcome, Pager
from alohub_async.changes import Change, Result, Status, apply_plan, plan_changes
from alohub_async.export import export_inbound
from alohub_async.export.job import report_path
from alohub_async.export.journal import journal_path
from alohub_async.files import read_queues
from alohub_async.testing import Sandbox
from tests.support import FIRST, LIST

QUEUES: Final = 13
PAGE: Final = 5
_MANY: Final = 5
_WANTED: Final = 777


@frozen
class Told:
    """What the SDK said about one operation.

    Attributes:
        error: The error, if it failed.
        attempts: Transmissions made, as far as it said.
        queue_id: The queue, if the operation was about one.
        written: Whether the queue has the wanted value, as far as it said; None if it did not say.
        whole: Whether an error is about the whole operation, not about one of its queues.
    """

    error: BaseException | None = None
    attempts: int | None = None
    queue_id: int | None = None
    written: bool | None = None
    whole: bool = True


@define(eq=False)
class Scenario:
    """One call.

    Attributes:
        client: The client.
        sandbox: What serves it.
        folder: A place for files.
        closed: Whether the client is closed, and another one goes on.
    """

    client: AlohubClient
    sandbox: Sandbox
    folder: Path
    closed: bool = field(init=False, default=False)

    async def act(self) -> None:
        """Make the call."""
        raise NotImplementedError

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """Return what was said, given the error that ended the call."""
        return [Told(error, getattr(error, "attempts", None))]

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Go on with a server that is well; return what is wrong with the whole.

        Args:
            client: A client of the same endpoint; another one if the first is closed.
        """
        raise NotImplementedError

    @property
    def ids(self) -> list[int]:
        """The ids of all queues."""
        return [int(str(queue["callinId"])) for queue in self.sandbox.queues]

    def has(self, queue_id: int) -> bool:
        """Return whether the stored queue has the wanted value."""
        return any(row["callinId"] == queue_id and row["timeWait"] == str(_WANTED) for row in self.sandbox.queues)

    def lacking(self, ids: Iterable[int]) -> Iterable[str]:
        """Yield the queues that lack the wanted value."""
        return [f"queue {queue_id} is not updated at the end" for queue_id in ids if not self.has(queue_id)]


@define(eq=False)
class Walk(Scenario):
    """`async for` over a list."""

    options: Mapping[str, Any] = field(factory=dict[str, Any])
    plain: bool = False
    got: list[int] = field(init=False, factory=list[int])
    pager: Pager[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pager = self._pager(self.client, page_size=PAGE)

    @property
    def pages_alone(self) -> bool:
        """Whether one page is requested at a time, and nothing else."""
        return self.options.get("prefetch") == 0

    def _pager(self, client: AlohubClient, **more: Any) -> Pager[Any]:
        options = {**self.options, **more}
        return client.paginate(LIST, key="callinId", **options) if self.plain else client.queues.list_inbound(**options)

    def _id(self, record: Any) -> int:
        return int(record["callinId"] if self.plain else record.id)

    async def act(self) -> None:
        """Walk."""
        async for record in self.pager:
            self.got.append(self._id(record))

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """The error has a token: that of the pager."""
        if isinstance(error, AlohubError):
            assert error.resume_token is not None, "the error of a walk has no token"
            assert error.resume_token == self.pager.token, "the error has another token than the pager"
        return super().told(error)

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Resume by the token, and with the same pager."""
        wrong: list[str] = []
        resumed = self._pager(client, token=self.pager.token)
        rests = {"token": [self._id(record) async for record in resumed]}
        if not self.closed:
            rests["pager"] = [self._id(record) async for record in self.pager]
            if not self.pager.complete:
                wrong.append("the pager is not complete at the end")
        in_order = self.options.get("ordered", True) and "consistency" not in self.options
        for name, rest in rests.items():
            every = [*self.got, *rest]
            if (every if in_order else sorted(every)) != self.ids:
                wrong.append(f"{self.got} before and {rest} by the {name} are not the whole list")
        return wrong


@define(eq=False)
class Get(Scenario):
    """`get_inbound`."""

    async def act(self) -> None:
        """Get a queue."""
        assert (await self.client.queues.get_inbound(FIRST)).id == FIRST

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Get it again."""
        found = await client.queues.get_inbound(FIRST)
        return [] if found.id == FIRST else [f"another queue: {found}"]


@define(eq=False)
class Request(Scenario):
    """`request`."""

    attempts: int | None = field(init=False, default=None)

    async def act(self) -> None:
        """Request a queue."""
        self.attempts = (await self.client.request("GET", f"{LIST}/{FIRST}")).attempts

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """The answer has its attempts, too."""
        return [Told(None, self.attempts)] if error is None else super().told(error)

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Request it again."""
        found = await client.request("GET", f"{LIST}/{FIRST}")
        return [] if found.payload["callinId"] == FIRST else [f"another queue: {found}"]


@define(eq=False)
class Update(Scenario):
    """`update_inbound`."""

    attempts: int | None = field(init=False, default=None)

    async def act(self) -> None:
        """Update a queue."""
        self.attempts = (await self.client.queues.update_inbound(FIRST, max_wait=_WANTED)).attempts

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """The result has its attempts, too."""
        attempts = self.attempts if error is None else getattr(error, "attempts", None)
        return [Told(error, attempts, FIRST, written=True if error is None else None)]

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Update it again."""
        await client.queues.update_inbound(FIRST, max_wait=_WANTED)
        return self.lacking([FIRST])


@define(eq=False)
class Edit(Scenario):
    """`edit_inbound`."""

    async def act(self) -> None:
        """Edit a queue."""
        edit = await self.client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=_WANTED))
        assert not edit.not_taken, "the update was not taken"

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """A result means that it is written."""
        return [Told(error, getattr(error, "attempts", None), FIRST, written=True if error is None else None)]

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Edit it again."""
        await client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=_WANTED))
        return self.lacking([FIRST])


@define(eq=False)
class Many(Scenario):
    """`get_many_inbound` and `update_many_inbound`."""

    update: bool = False
    got: list[Outcome[Any]] = field(init=False, factory=list[Outcome[Any]])
    outcomes: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outcomes = self._outcomes(self.client, self.ids[:_MANY])

    def _outcomes(self, client: AlohubClient, ids: Sequence[int]) -> Any:
        if not self.update:
            return client.queues.get_many_inbound(ids, concurrency=3)
        changes = dict.fromkeys(ids, InboundQueueUpdate(max_wait=_WANTED))
        return client.queues.update_many_inbound(changes, concurrency=3)

    async def act(self) -> None:
        """Make the calls."""
        async for outcome in self.outcomes:
            self.got.append(outcome)

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """Each outcome is one of its own."""
        written = {outcome.id: outcome.ok or None for outcome in self.got}
        return [
            Told(each.error, each.attempts, each.id, written=written[each.id] if self.update else None)
            for each in self.got
        ] or [Told(error, whole=False)]

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Go on with the rest, and repeat what failed."""
        wrong: list[str] = []
        if not self.closed:
            self.got += [outcome async for outcome in self.outcomes]
            if sorted(outcome.id for outcome in self.got) != self.ids[:_MANY]:
                wrong.append(f"outcomes of {sorted(outcome.id for outcome in self.got)}")
        done = {outcome.id for outcome in self.got if outcome.ok}
        async for outcome in self._outcomes(client, [each for each in self.ids[:_MANY] if each not in done]):
            outcome.unwrap()
        return [*wrong, *(self.lacking(self.ids[:_MANY]) if self.update else [])]


@define(eq=False)
class UpdateMany(Many):
    """`update_many_inbound`."""

    update: bool = True


@define(eq=False)
class Apply(Scenario):
    """`plan_changes` and `apply_plan`."""

    results: list[Result] = field(init=False, factory=list[Result])

    async def _apply(self, client: AlohubClient, results: list[Result]) -> None:
        changes = [Change(queue_id, InboundQueueUpdate(max_wait=_WANTED)) for queue_id in self.ids[:_MANY]]
        plan = await plan_changes(client, changes, concurrency=3)
        async for result in apply_plan(client, plan, concurrency=3):
            results += (result,)  # a comprehension would lose them at an error

    async def act(self) -> None:
        """Plan and apply."""
        await self._apply(self.client, self.results)

    def told(self, error: BaseException | None) -> Iterable[Told]:
        """A status says whether the queue has the wanted values."""
        says = {Status.DONE: True, Status.UNCHANGED: True, Status.FAILED: False, Status.CONFLICT: False}
        return [
            *(Told(each.error, None, each.id, written=says.get(each.status)) for each in self.results),
            *([] if error is None else [Told(error, whole=False)]),
        ]

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Plan and apply again."""
        again: list[Result] = []
        await self._apply(client, again)
        bad = [f"{result.id} is {result.status} at the end" for result in again if not result.status.is_good]
        return [*bad, *self.lacking(self.ids[:_MANY])]


@define(eq=False)
class Export(Scenario):
    """`export_inbound`."""

    details: bool = False
    TARGET: ClassVar[str] = "queues.jsonl"
    FILES: ClassVar[Sequence[str]] = (
        TARGET,
        report_path(Path(TARGET)).name,
        journal_path(Path(TARGET)).name,
    )
    """The files that an export may leave: the last one only until it is done."""

    @property
    def path(self) -> Path:
        """The target."""
        return self.folder / self.TARGET

    async def act(self) -> None:
        """Export."""
        report = await export_inbound(self.client, self.path, page_size=PAGE, details=self.details)
        assert report.complete, f"not complete: {report.reason}"

    async def finish(self, client: AlohubClient) -> Iterable[str]:
        """Make the same call again, which resumes it."""
        if self.path.exists():
            self._check()
        report = await export_inbound(client, self.path, page_size=PAGE, details=self.details)
        left = {path.name for path in self.folder.iterdir()} - {*self.FILES[:-1]}
        return [
            *([] if report.complete else [f"not complete at the end: {report.reason}"]),
            *([f"left: {sorted(left)}"] if left else []),
            *self._check(),
        ]

    def _check(self) -> Iterable[str]:
        ids = [queue.id for queue in read_queues(self.path)]
        return [] if ids == self.ids else [f"the file has {ids}"]


Make: TypeAlias = Callable[[AlohubClient, Sandbox, Path], Scenario]

SCENARIOS: Final[Mapping[str, Make]] = {
    "walk": lambda client, sandbox, folder: Walk(client, sandbox, folder, {"prefetch": 0}),
    "prefetched walk": lambda client, sandbox, folder: Walk(client, sandbox, folder, {"prefetch": 3}),
    "unordered walk": lambda client, sandbox, folder: Walk(client, sandbox, folder, {"prefetch": 3, "ordered": False}),
    "repair walk": lambda client, sandbox, folder: Walk(client, sandbox, folder, {"consistency": "repair"}),
    "details": lambda client, sandbox, folder: Walk(client, sandbox, folder, {"details": True}),
    "paginate": lambda client, sandbox, folder: Walk(client, sandbox, folder, plain=True),
    "get": Get,
    "request": Request,
    "get many": Many,
    "update": Update,
    "update many": UpdateMany,
    "edit": Edit,
    "apply": Apply,
    "export": Export,
    "export with details": lambda client, sandbox, folder: Export(client, sandbox, folder, details=True),
}
"""The calls by name."""
