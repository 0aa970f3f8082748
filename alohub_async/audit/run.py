"""`audit_inbound`: gets the list and the details of every queue, then runs the rules."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Unpack

import attrs

from alohub_async.audit.builtin import DEFAULT_RULES
from alohub_async.audit.config import check_needs, configure, read_config
from alohub_async.audit.report import AuditReport, make_report
from alohub_async.audit.rules import AuditedList, AuditedQueue, Rule
from alohub_async.client import AlohubClient
from alohub_async.errors import NotFoundError
from alohub_async.models import InboundQueue
from alohub_async.options import DEFAULT_CONCURRENCY, CallOptions, Deadline, PageOptions, PageOptionsDict
from alohub_async.pagination import Consistency, Pager
from alohub_async.resources import Outcome, Outcomes
from alohub_async.resources.bulk import each_alone


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

    Details are requested while the list is walked. If some of them fail, each failure is a finding; if all fail, the
    first error is raised. With a strict client, a value that does not fit its documented type is an error instead.

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

    queues: list[AuditedQueue] = []
    if details:
        deadline = Deadline(CallOptions(**PageOptions.of(options).keywords()), what="get the details of all queues")

        async def get(queue_id: int) -> InboundQueue:
            return await client.queues.get_inbound(queue_id, **deadline.next_call().keywords())

        get_many = partial(each_alone, call=get, concurrency=concurrency)
        await _collect_with_details(pager, get_many, queues, progress)
    else:
        async for queue in pager:
            queues.append(AuditedQueue(queue))
            if progress is not None:
                progress(len(queues), pager.total)
    audited = AuditedList(
        queues=tuple(queues), complete=pager.complete, total=pager.total, drift=pager.drift, details=details
    )
    return make_report(audited, enabled, started=started)


async def _collect_with_details(
    pager: Pager[InboundQueue],
    get_many: Callable[[AsyncIterable[int]], Outcomes[Outcome[InboundQueue]]],
    queues: list[AuditedQueue],
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Append each listed queue, and request its details during the walk, once for each id."""
    indexes: dict[int, int] = {}  # in `queues`, by id

    async def walk() -> AsyncGenerator[int]:
        async for queue in pager:
            queues.append(AuditedQueue(queue))
            if queue.id is not None and queue.id not in indexes:
                indexes[queue.id] = len(queues) - 1
                yield queue.id

    done = failed = 0
    async with aclosing(walk()) as ids, aclosing(get_many(ids)) as outcomes:
        async for each in outcomes:
            outcome = each.unwrap()  # raises what concerns all queues
            error, index = outcome.error, indexes[outcome.id]
            queues[index] = attrs.evolve(queues[index], detail=outcome.value, error=error)
            done += 1
            failed += error is not None and not isinstance(error, NotFoundError)
            if progress is not None:
                progress(done, pager.total)
    if done and failed == done:
        raise next(queue.error for queue in queues if queue.error is not None)
