"""`audit_inbound`: every queue as listed and in detail, then the rules."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack, cast

import attrs

from alohub_async.audit.builtin import DEFAULT_RULES
from alohub_async.audit.config import check_needs, configure, read_config
from alohub_async.audit.report import AuditReport, make_report
from alohub_async.audit.rules import AuditedList, AuditedQueue, Rule
from alohub_async.client import AlohubClient
from alohub_async.errors import DeadlineExceededError, NotFoundError, RateLimitWaitError
from alohub_async.models import InboundQueue
from alohub_async.options import DEFAULT_CONCURRENCY, CallOptions, PageOptions, PageOptionsDict
from alohub_async.pagination import Consistency, Pager


async def audit_inbound(
    client: AlohubClient,
    *,
    rules: Iterable[Rule] = DEFAULT_RULES,
    config: Mapping[str, object] | Path | None = None,
    details: bool = True,
    consistency: Consistency = "detect",
    concurrency: int = DEFAULT_CONCURRENCY,
    progress: Callable[[int, int | None], None] | None = None,
    **options: Unpack[PageOptionsDict],
) -> AuditReport:
    """Audit all inbound queues: get each as the list has it and as its detail says, and run rules on them.

    Details are looked up while the list is walked. One that cannot be had is a finding; an audit in which none could
    be had raises. With a client that is strict, a value that does not fit is an error rather than a finding.

    Args:
        client: What to ask; its rate limit is kept.
        rules: What to look for.
        config: Which rules run, their severities and options: a table as `configure` takes it, or a TOML file as
            `read_config` does.
        details: Whether to look details up; False takes the list alone, in far fewer requests.
        consistency: What to do about a list that moves while it is walked; see `list_inbound`.
        concurrency: Most details that are looked up at once, 1 to 1,000.
        progress: Called with the number of queues that are gathered, and how many the server tells of.
        options: See `PageOptions`. A deadline covers the walk, and the details together from the first one on.

    Raises:
        ConfigurationError: A configuration that does not fit, or a package that a rule needs is missing.
        AlohubError: The list, or all details, could not be had.
    """
    chosen = configure(rules, read_config(config) if isinstance(config, Path) else config or {})
    check_needs(chosen)
    started = datetime.now(UTC)
    pager = client.queues.list_inbound(consistency=consistency, **options)
    gathering = _Gathering(pager, progress or _in_silence)
    if details:
        await gathering.with_details(client, concurrency, PageOptions.of(options))
    else:
        async for queue in pager:
            gathering.note(queue)
            gathering.tell(len(gathering.queues))
    audited = AuditedList(
        queues=tuple(gathering.queues),
        complete=pager.complete,
        total=pager.total,
        drift=pager.drift,
        details=details,
    )
    return make_report(audited, chosen, started=started)


def _in_silence(_: int, __: int | None) -> None:
    pass


@attrs.define
class _Gathering:
    """The queues so far."""

    pager: Pager[InboundQueue]
    progress: Callable[[int, int | None], None]
    queues: list[AuditedQueue] = attrs.field(init=False, factory=list[AuditedQueue])
    places: dict[int, int] = attrs.field(init=False, factory=dict[int, int])  # by id

    def note(self, queue: InboundQueue) -> int | None:
        """Take a listed queue; its id, if it has one that was not there before."""
        queue_id = cast("int | None", queue.id)  # one that did not fit is None
        self.queues.append(AuditedQueue(queue))
        if queue_id is None or queue_id in self.places:
            return None
        self.places[queue_id] = len(self.queues) - 1
        return queue_id

    def tell(self, done: int) -> None:
        self.progress(done, self.pager.total)

    async def _ids(self) -> AsyncGenerator[int]:
        """Walk the list as far as details are wanted."""
        async for queue in self.pager:
            queue_id = self.note(queue)
            if queue_id is not None:
                yield queue_id

    async def with_details(self, client: AlohubClient, concurrency: int, options: CallOptions) -> None:
        done = failed = 0
        async with aclosing(self._ids()) as ids:
            outcomes = client.queues.get_many_inbound(ids, concurrency=concurrency, **options.keywords())
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    error = outcome.error
                    if isinstance(error, DeadlineExceededError | RateLimitWaitError):
                        raise error  # the rest has no time, either
                    place = self.places[outcome.id]
                    self.queues[place] = attrs.evolve(self.queues[place], detail=outcome.value, error=error)
                    done += 1
                    failed += error is not None and not isinstance(error, NotFoundError)
                    self.tell(done)
        if done and failed == done:
            raise next(queue.error for queue in self.queues if queue.error is not None)
