"""`audit_inbound`: gets the list and the details of every queue, then runs the rules."""

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
    """Audit all inbound queues: get the list and the details of each queue, and run rules on them.

    Details are requested while the list is walked. If some requests for details fail, each failure is a finding; if all
    fail, the first error is raised. With a strict client, a value that does not fit its documented type is an error
    instead of a finding.

    Args:
        client: The client to use; its rate limiter applies.
        rules: The rules to run.
        config: The settings of the rules: a table for `configure`, or a TOML file for `read_config`.
        details: Whether to request the details of each queue; without them, an audit needs far fewer requests.
        consistency: How to treat a list that changes during the walk; see `list_inbound`.
        concurrency: Maximum number of requests for details at the same time, 1 to 1,000.
        progress: Called with the number of queues so far and the total that the server reports.
        options: See `PageOptions`. A deadline covers the walk, and the details together from the first one on.

    Raises:
        ConfigurationError: The settings are not valid, or an optional package that a rule needs is missing.
        AlohubError: The list, or the details of every queue, could not be retrieved.
    """
    enabled = configure(rules, read_config(config) if isinstance(config, Path) else config or {})
    check_needs(enabled)
    started = datetime.now(UTC)
    pager = client.queues.list_inbound(consistency=consistency, **options)
    collector = _Collector(pager, progress or _no_progress)
    if details:
        await collector.collect_with_details(client, concurrency, PageOptions.of(options))
    else:
        async for queue in pager:
            collector.add(queue)
            collector.report_progress(len(collector.queues))
    audited = AuditedList(
        queues=tuple(collector.queues),
        complete=pager.complete,
        total=pager.total,
        drift=pager.drift,
        details=details,
    )
    return make_report(audited, enabled, started=started)


def _no_progress(_: int, __: int | None) -> None:
    pass


@attrs.define
class _Collector:
    """Collects the queues of a walk and their details."""

    pager: Pager[InboundQueue]
    progress: Callable[[int, int | None], None]
    queues: list[AuditedQueue] = attrs.field(init=False, factory=list[AuditedQueue])
    indexes: dict[int, int] = attrs.field(init=False, factory=dict[int, int])  # in `queues`, by id

    def add(self, queue: InboundQueue) -> int | None:
        """Add a listed queue. Returns its id; None if it has no id or the id is a duplicate."""
        queue_id = cast("int | None", queue.id)  # None if the id does not fit its type
        self.queues.append(AuditedQueue(queue))
        if queue_id is None or queue_id in self.indexes:
            return None
        self.indexes[queue_id] = len(self.queues) - 1
        return queue_id

    def report_progress(self, done: int) -> None:
        self.progress(done, self.pager.total)

    async def _ids(self) -> AsyncGenerator[int]:
        """Walk the list as fast as its details are requested."""
        async for queue in self.pager:
            queue_id = self.add(queue)
            if queue_id is not None:
                yield queue_id

    async def collect_with_details(self, client: AlohubClient, concurrency: int, options: CallOptions) -> None:
        done = failed = 0
        async with aclosing(self._ids()) as ids:
            outcomes = client.queues.get_many_inbound(ids, concurrency=concurrency, **options.keywords())
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    error = outcome.error
                    if isinstance(error, DeadlineExceededError | RateLimitWaitError):
                        raise error  # no time is left for the other queues
                    index = self.indexes[outcome.id]
                    self.queues[index] = attrs.evolve(self.queues[index], detail=outcome.value, error=error)
                    done += 1
                    failed += error is not None and not isinstance(error, NotFoundError)
                    self.report_progress(done)
        if done and failed == done:
            raise next(queue.error for queue in self.queues if queue.error is not None)
